package asic

import (
	"bytes"
	"context"
	"crypto"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/eidbridge/eidbridge/signing"
	"github.com/eidbridge/eidbridge/signing/archive"
	"github.com/eidbridge/eidbridge/signing/cades"
	"github.com/eidbridge/eidbridge/signing/cms"
	"github.com/eidbridge/eidbridge/signing/xades"
	"github.com/eidbridge/eidbridge/signing/xmldsig"
	"github.com/eidbridge/eidbridge/signing/xmltext"
)

// Verify examines every signature of a container. An error means that the
// container is refused: ErrNotContainer, ErrFormat, or an error of package archive
// or of src. A bad signature is no error but a verdict.
func Verify(ctx context.Context, src io.ReaderAt, size int64, o signing.VerifyOptions) (*signing.Report, error) {
	c, err := Open(ctx, src, size, archive.Limits{})
	if err != nil {
		return nil, err
	}
	return c.Verify(ctx, o)
}

// verifier examines one container.
type verifier struct {
	c       *Container
	options signing.VerifyOptions
	report  *signing.Report
	// archives are what archive manifests prove, the newest first.
	archives []*archived
	covered  map[string]bool // data files that a signature covers
	answered bool
	files    int // signature files that were examined
}

// Verify examines every signature of the container.
func (c *Container) Verify(ctx context.Context, o signing.VerifyOptions) (*signing.Report, error) {
	v := &verifier{
		c: c, options: o, covered: make(map[string]bool), answered: true,
		report: &signing.Report{
			Format: c.Kind, Size: c.size, Signatures: []signing.Signature{}, TimeStamps: []signing.TimeStamp{},
			Warnings: append([]signing.Finding{}, c.Warnings...), NotChecked: []signing.Check{signing.CheckTrustedList},
		},
	}
	if len(o.Roots) == 0 {
		v.report.NotChecked = append(v.report.NotChecked, signing.CheckChain)
	}
	steps := []func(context.Context) error{v.xades, v.single, v.tokenOfSingle}
	if c.Kind == signing.ASiCE {
		steps = []func(context.Context) error{v.readArchives, v.xades, v.manifests, v.orphans}
	}
	for _, step := range steps {
		if err := step(ctx); err != nil {
			return nil, err
		}
	}
	for _, f := range c.Files {
		if !v.covered[f.Name] {
			v.warn(findUnsigned, "the file %+q is not signed", f.Name)
		}
	}
	if !v.answered {
		v.report.NotChecked = append(v.report.NotChecked, signing.CheckRevocation)
	}
	return v.report, nil
}

func (v *verifier) warn(code, format string, args ...any) {
	v.report.Warnings = append(v.report.Warnings, signing.Finding{Code: code, Text: fmt.Sprintf(format, args...)})
}

// read returns a file of META-INF; false when it is corrupt, which is reported as
// a signature that cannot be read.
func (v *verifier) read(f *archive.File) ([]byte, bool, error) {
	if v.files++; v.files > maxSignatures {
		return nil, false, fmt.Errorf("%w: signature files", archive.ErrLimit)
	}
	raw, err := f.ReadAll(maxMeta)
	if err != nil && corrupt(err) {
		return nil, false, nil
	}
	return raw, err == nil, err
}

// unreadable reports a signature file that cannot be read as one signature.
func (v *verifier) unreadable(file string, format signing.Format, why string, args ...any) {
	s := signing.Signature{Format: format, File: file, Integrity: signing.Unknown, Findings: []signing.Finding{}, TimeStamps: []signing.TimeStamp{}}
	s.Fail(signing.TotalFailed, signing.FormatFailure, findReference, why, args...)
	v.answered = false
	v.report.Signatures = append(v.report.Signatures, s)
}

// add takes the signatures of one file into the report of the container.
func (v *verifier) add(r *signing.Report, file string, each func(*signing.Signature)) {
	first := len(v.report.Signatures)
	v.answered = v.answered && !slices.Contains(r.NotChecked, signing.CheckRevocation)
	v.report.Warnings = append(v.report.Warnings, r.Warnings...)
	for _, s := range r.Signatures {
		s.File = file
		if s.Countersigns > 0 {
			s.Countersigns += first
		}
		if v.c.shape != nil {
			s.Fail(signing.TotalFailed, signing.FormatFailure, findReference, "%v", v.c.shape)
		}
		each(&s)
		v.report.Signatures = append(v.report.Signatures, s)
	}
}

// covers records which files a signature is about, and says which it is not.
func (v *verifier) covers(s *signing.Signature, names []string) {
	s.Signed = names
	for _, name := range names {
		if s.Indication != signing.TotalFailed {
			v.covered[name] = true
		}
	}
	if s.Countersigns > 0 {
		return
	}
	for _, f := range v.c.Files {
		if !slices.Contains(names, f.Name) {
			s.Note(findUnsigned, "the signature does not cover the file %+q", f.Name)
		}
	}
}

// xades judges the XAdES signatures (EN 319 162-1 4.3.3.2, 4.4.3).
func (v *verifier) xades(ctx context.Context) error {
	for _, f := range v.c.metaOf(roleXAdES) {
		raw, ok, err := v.read(f)
		if err != nil {
			return err
		}
		if !ok {
			v.unreadable(f.Name, signing.XAdES, "the file %q is corrupt", f.Name)
			continue
		}
		resolver := &resolver{c: v.c, seen: make(map[string]bool)}
		r, err := xades.Verify(ctx, bytes.NewReader(raw), int64(len(raw)), xades.VerifyOptions{VerifyOptions: v.optionsFor(f.Name), Resolver: resolver})
		var syntax *xmltext.Error
		switch {
		case errors.As(err, &syntax), errors.Is(err, xmldsig.ErrLimit), errors.Is(err, xmldsig.ErrFormat):
			v.unreadable(f.Name, signing.XAdES, "the file %q cannot be read: %v", f.Name, err)
			continue
		case err != nil:
			return err
		}
		v.add(r, f.Name, func(s *signing.Signature) {
			if !v.c.manifest.lists() {
				v.failEmpty(s)
			}
			if v.c.Kind == signing.ASiCE && v.c.manifest == nil {
				s.Fail(signing.TotalFailed, signing.FormatFailure, findManifest, "the container has no manifest.xml, so it does not say what belongs to it")
			}
			v.checkMediaTypes(s)
			v.covers(s, v.referred(s.Signed))
		})
	}
	return nil
}

// failEmpty fails a signature of a container without data files, which is none
// (EN 319 162-1 4.3.1, 4.4.1).
func (v *verifier) failEmpty(s *signing.Signature) {
	if len(v.c.Files) > 0 || s.Countersigns > 0 {
		return
	}
	s.Indication, s.SubIndication = "", ""
	s.Fail(signing.TotalFailed, signing.FormatFailure, findReference, "the container holds no file that could be signed")
}

// referred resolves the references of a signature to names of files.
func (v *verifier) referred(uris []string) []string {
	var names []string
	for _, uri := range uris {
		if f := v.c.refer(uri); f != nil && !slices.Contains(names, f.Name) {
			names = append(names, f.Name)
		}
	}
	return names
}

// checkMediaTypes compares the types that are signed with those of manifest.xml.
func (v *verifier) checkMediaTypes(s *signing.Signature) {
	if v.c.manifest == nil {
		return
	}
	for _, d := range s.Data {
		f := v.c.refer(d.URI)
		if f == nil || d.MimeType == "" || d.URI == "" {
			continue
		}
		if file := v.c.File(f.Name); file != nil && file.MediaType != d.MimeType {
			s.Note(findMediaType, "the manifest gives %+q the type %+q, and the signature %+q", f.Name, file.MediaType, d.MimeType)
		}
	}
}

// single judges the CAdES signature of an ASiC-S (EN 319 162-1 4.3.3.3).
func (v *verifier) single(ctx context.Context) error {
	for _, f := range v.c.metaOf(roleCAdES) {
		var content signing.Content
		var names []string
		if len(v.c.Files) > 0 {
			content, names = v.c.Files[0], []string{v.c.Files[0].Name}
		}
		if err := v.cades(ctx, f, content, func(s *signing.Signature) {
			v.failEmpty(s)
			v.covers(s, names)
		}); err != nil {
			return err
		}
	}
	return nil
}

// cades judges one CAdES file over content.
func (v *verifier) cades(ctx context.Context, f *archive.File, content signing.Content, each func(*signing.Signature)) error {
	raw, ok, err := v.read(f)
	if err != nil {
		return err
	}
	if !ok {
		v.unreadable(f.Name, signing.CAdES, "the file %q is corrupt", f.Name)
		return nil
	}
	r, err := cades.Verify(ctx, bytes.NewReader(raw), int64(len(raw)), content, v.optionsFor(f.Name))
	switch {
	case err == nil && elsewhere(raw, content, r):
		v.unreadable(f.Name, signing.CAdES, "the signature in %q is about something else than the files of the container", f.Name)
		return nil
	case errors.Is(err, cms.ErrFormat), errors.Is(err, cms.ErrLimit):
		v.unreadable(f.Name, signing.CAdES, "the file %q cannot be read: %v", f.Name, err)
		return nil
	case err != nil && corrupt(err):
		v.unreadable(f.Name, signing.CAdES, "a file of the container is corrupt")
		return nil
	case err != nil:
		return err
	}
	v.add(r, f.Name, each)
	return nil
}

// elsewhere tells whether a message has content inside that is not what the container
// gives: then the signature is not about the container.
func elsewhere(raw []byte, content signing.Content, r *signing.Report) bool {
	message, err := cms.Open(bytes.NewReader(raw), int64(len(raw)))
	if err != nil || message.Detached() {
		return false
	}
	return content == nil || slices.ContainsFunc(r.Warnings, func(f signing.Finding) bool { return f.Code == cades.FindOtherContent })
}

// manifests judges the CAdES signatures and time-stamp tokens of an ASiC-E, each
// over a manifest (EN 319 162-1 4.4.4).
func (v *verifier) manifests(ctx context.Context) error {
	for _, f := range v.c.metaOf(roleManifest) {
		raw, ok, err := v.read(f)
		if err != nil {
			return err
		}
		if !ok {
			v.warn(findManifest, "the file %q is corrupt", f.Name)
			continue
		}
		m, err := parseASiCManifest(f.Name, raw)
		if err != nil {
			v.warn(findManifest, "%v", err)
			continue
		}
		signature := v.c.refer(m.signature)
		if signature == nil {
			// There is nothing to judge: who took it out left a container without it.
			v.warn(findManifest, "the signature that %q names is not there", f.Name)
			continue
		}
		if slices.ContainsFunc(v.report.Signatures, func(s signing.Signature) bool { return s.File == signature.Name }) {
			v.warn(findManifest, "%q names a signature that another manifest names too", f.Name)
			continue
		}
		worst, at, names, err := v.c.compare(ctx, m)
		if err != nil {
			return err
		}
		if roleOf(signature.Name) == roleToken {
			if err := v.token(ctx, signature, raw, worst, at, names); err != nil {
				return err
			}
			continue
		}
		err = v.cades(ctx, signature, memory(raw), func(s *signing.Signature) {
			failManifest(s, worst, at)
			v.failEmpty(s)
			v.covers(s, names)
			v.raiseLevel(s, signature.Name)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// failManifest turns the state of the files into the verdict: they count as
// signed objects (EN 319 102-1 5.2.7).
func failManifest(s *signing.Signature, worst state, at reference) {
	if worst == stateIntact || s.Countersigns > 0 {
		return
	}
	if s.Indication != signing.TotalFailed {
		// What is signed comes before what is known of the signer.
		s.Indication, s.SubIndication = "", ""
	}
	switch worst {
	case stateMissing:
		s.Integrity = signing.Unknown
		s.Fail(signing.Indeterminate, signing.SignedDataNotFound, findReference, "the signed file %+q is not there", at.uri)
	case stateChanged:
		s.Integrity = signing.Broken
		s.Fail(signing.TotalFailed, signing.HashFailure, signing.FindDigest, "the signed file %+q was changed: its digest is not the signed one", at.uri)
	case stateUnknown:
		s.Integrity = signing.Unknown
		s.Fail(signing.Indeterminate, signing.CryptoConstraintsFailureNoPOE, signing.FindAlgorithm, "the digest %+q of %+q cannot be checked", at.unknown, at.uri)
	}
}

// orphans reports CAdES files that no readable manifest names.
func (v *verifier) orphans(ctx context.Context) error {
	for _, f := range v.c.metaOf(roleCAdES) {
		if !slices.ContainsFunc(v.report.Signatures, func(s signing.Signature) bool { return s.File == f.Name }) {
			v.unreadable(f.Name, signing.CAdES, "no manifest says what the signature in %q is about", f.Name)
		}
	}
	return ctx.Err()
}

// optionsFor are the options for a signature file, with what archive manifests
// prove about it.
func (v *verifier) optionsFor(name string) signing.VerifyOptions {
	o := v.options
	for _, a := range v.archives {
		if !a.proves(name) {
			continue
		}
		if o.Existed == nil || a.at.Before(*o.Existed) {
			at := a.at
			o.Existed = &at
		}
	}
	return o
}

// memory is content in memory.
type memory []byte

// Open returns the bytes.
func (m memory) Open() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(m)), nil }

func digestOf(h crypto.Hash, data []byte) []byte {
	if !h.Available() {
		return nil
	}
	s := h.New()
	s.Write(data)
	return s.Sum(nil)
}
