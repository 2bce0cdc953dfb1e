package asic

import (
	"cmp"
	"context"
	"crypto"
	"slices"
	"time"

	"github.com/eidbridge/eidbridge/signing"
	"github.com/eidbridge/eidbridge/signing/archive"
	"github.com/eidbridge/eidbridge/signing/cms"
	"github.com/eidbridge/eidbridge/signing/revocation"
	"github.com/eidbridge/eidbridge/signing/tsp"
	"github.com/eidbridge/eidbridge/signing/validation"
)

// token judges a time-stamp token over a manifest. It is no signature.
func (v *verifier) token(ctx context.Context, f *archive.File, manifest []byte, worst state, at reference, names []string) error {
	raw, ok, err := v.read(f)
	if err != nil {
		return err
	}
	t := validation.NewTimeStamp(signing.DocumentStamp)
	t.File = f.Name
	if !ok {
		t.Fail(signing.TotalFailed, signing.FormatFailure, signing.FindTimeStamp, "the file %q is corrupt", f.Name)
	} else {
		failToken(&t, worst, at)
		v.judge(ctx, &t, raw, func(h crypto.Hash) []byte { return digestOf(h, manifest) }, v.options.Now())
	}
	for _, name := range names {
		v.covered[name] = v.covered[name] || t.Integrity == signing.Intact
	}
	v.report.TimeStamps = append(v.report.TimeStamps, t)
	return nil
}

// failToken turns the state of the files of a manifest into the verdict on its
// time-stamp.
func failToken(t *signing.TimeStamp, worst state, at reference) {
	switch worst {
	case stateMissing:
		t.Fail(signing.Indeterminate, signing.SignedDataNotFound, findReference, "the file %+q is not there", at.uri)
	case stateChanged:
		t.Fail(signing.TotalFailed, signing.HashFailure, signing.FindDigest, "the file %+q was changed", at.uri)
	case stateUnknown:
		t.Fail(signing.Indeterminate, signing.CryptoConstraintsFailureNoPOE, signing.FindAlgorithm, "the digest of %+q cannot be checked", at.uri)
	}
}

// judge judges a token as of a time. What the token holds of validation data
// counts.
func (v *verifier) judge(ctx context.Context, t *signing.TimeStamp, raw []byte, digest func(crypto.Hash) []byte, control time.Time) {
	j := validation.New(v.options, tokenMaterial(raw))
	if token, verified := j.Read(t, raw, digest); verified {
		j.Token(ctx, t, token, control)
	}
}

func tokenMaterial(raw []byte) revocation.Material {
	message, err := cms.Parse(raw)
	if err != nil {
		return revocation.Material{}
	}
	crls, ocsps := cms.RevocationInfo(message.CRLs)
	return revocation.Material{Certificates: message.Certificates, CRLs: crls, OCSPs: ocsps}
}

// tokenOfSingle judges the time-stamp token of an ASiC-S (EN 319 162-1 4.3.3.4).
func (v *verifier) tokenOfSingle(ctx context.Context) error {
	for _, f := range v.c.metaOf(roleToken) {
		raw, ok, err := v.read(f)
		if err != nil {
			return err
		}
		t := validation.NewTimeStamp(signing.DocumentStamp)
		t.File = f.Name
		switch {
		case !ok:
			t.Fail(signing.TotalFailed, signing.FormatFailure, signing.FindTimeStamp, "the file %q is corrupt", f.Name)
		case len(v.c.Files) == 0:
			t.Fail(signing.Indeterminate, signing.SignedDataNotFound, findReference, "the file that it is about is not there")
		default:
			file := v.c.Files[0]
			var failure error
			v.judge(ctx, &t, raw, func(h crypto.Hash) []byte {
				found, err := file.digest(ctx, h)
				if err != nil {
					failure = err
				}
				return found[h]
			}, v.options.Now())
			if failure != nil && !corrupt(failure) {
				return failure
			}
			v.covered[file.Name] = v.covered[file.Name] || t.Integrity == signing.Intact
		}
		v.report.TimeStamps = append(v.report.TimeStamps, t)
	}
	return nil
}

// archived is an archive manifest with its token (EN 319 162-1 A.7).
type archived struct {
	manifest *asicManifest
	token    string // name of the file of the token
	raw      []byte
	time     time.Time // that the token states
	out      signing.TimeStamp
	// at is what the time-stamp proves; names are the files it is about.
	at    time.Time
	names []string
	// intact tells that token and files are right, whoever made the token.
	intact bool
}

func (a *archived) proves(name string) bool {
	return a.out.Indication == signing.TotalPassed && slices.Contains(a.names, name)
}

// readArchives judges the archive manifests from the newest to the oldest, each
// as of the time that newer ones prove.
func (v *verifier) readArchives(ctx context.Context) error {
	for _, f := range v.c.metaOf(roleArchive) {
		a, err := v.readArchive(ctx, f)
		if err != nil {
			return err
		}
		if a != nil {
			v.archives = append(v.archives, a)
		}
	}
	slices.SortStableFunc(v.archives, func(a, b *archived) int { return cmp.Compare(b.time.UnixNano(), a.time.UnixNano()) })
	for i, a := range v.archives {
		control := v.options.Now()
		for _, newer := range v.archives[:i] {
			if newer.proves(a.token) && newer.proves(a.manifest.file) && newer.at.Before(control) {
				control = newer.at
			}
		}
		v.judge(ctx, &a.out, a.raw, func(h crypto.Hash) []byte { return digestOf(h, a.manifest.raw) }, control)
		a.intact = a.out.Integrity == signing.Intact && a.out.Indication != signing.TotalFailed && a.out.SubIndication != signing.SignedDataNotFound
		if a.out.Time != nil {
			a.at = *a.out.Time
		}
	}
	for _, a := range slices.Backward(v.archives) {
		v.report.TimeStamps = append(v.report.TimeStamps, a.out)
	}
	return nil
}

func (v *verifier) readArchive(ctx context.Context, f *archive.File) (*archived, error) {
	raw, ok, err := v.read(f)
	if err != nil {
		return nil, err
	}
	if !ok {
		v.warn(findManifest, "the file %q is corrupt", f.Name)
		return nil, nil
	}
	m, err := parseASiCManifest(f.Name, raw)
	if err != nil {
		v.warn(findManifest, "%v", err)
		return nil, nil //nolint:nilerr // said as a warning
	}
	a := &archived{manifest: m, out: validation.NewTimeStamp(signing.ArchiveStamp)}
	file := v.c.refer(m.signature)
	if file == nil || roleOf(file.Name) != roleToken {
		v.warn(findManifest, "the time-stamp that %q names is not there", f.Name)
		return nil, nil
	}
	a.token, a.out.File = file.Name, file.Name
	if a.raw, ok, err = v.read(file); err != nil || !ok {
		return nil, err
	}
	worst, at, names, err := v.c.compare(ctx, m)
	if err != nil {
		return nil, err
	}
	failToken(&a.out, worst, at)
	a.names = names
	if token, err := tsp.Inspect(a.raw); err == nil {
		a.time = token.Time
	}
	return a, nil
}

// raiseLevel gives B-LTA to a signature with validation data whose file and
// manifest an archive manifest covers.
func (v *verifier) raiseLevel(s *signing.Signature, file string) {
	if s.Baseline != signing.BaselineLT || s.Countersigns > 0 {
		return
	}
	for _, a := range v.archives {
		if a.intact && slices.Contains(a.names, file) {
			s.Baseline = signing.BaselineLTA
		}
	}
}
