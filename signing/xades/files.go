package xades

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"

	"github.com/eidbridge/eidbridge/signing"
	"github.com/eidbridge/eidbridge/signing/outfile"
	"github.com/eidbridge/eidbridge/signing/xmldsig"
)

// SignFile signs the file in and puts the result in place as out. It writes
// beside out, checks what it wrote by reading it again, and gives it its name only
// then, so that a failure at any moment leaves in and an earlier out as they were.
// The output takes the permissions of the input. It is durable when SignFile
// returns, unless a Group of the options sees to that later.
//
// Beside the errors of Sign it returns signing.ErrExists, signing.ErrOutput and
// signing.ErrCheck.
func SignFile(ctx context.Context, in, out string, cred signing.Credential, o Options) (*signing.Result, error) {
	return toFile(ctx, in, out, o, func(src io.ReaderAt, size int64, target *outfile.File) (*signing.Result, error) {
		if o.drafts(size) {
			result, err := signDraft(ctx, src, size, target, cred, o)
			if !errors.Is(err, errUnfit) {
				return result, err
			}
		}
		p, err := prepare(ctx, src, size, cred, o)
		if err != nil {
			return nil, err
		}
		return p.signAgreed(ctx, src, target, cred, o)
	})
}

// FileObject is a file that a detached signature is about.
type FileObject struct {
	Path string
	// MimeType goes into DataObjectFormat; empty is application/octet-stream.
	MimeType string
}

// SignObjectFiles signs files where they are, named by their base names, and puts a
// document that holds the signature in place as out, as SignFile does.
func SignObjectFiles(ctx context.Context, in []FileObject, out string, cred signing.Credential, o Options) (*signing.Result, error) {
	m, err := newMaker(cred, o)
	if err != nil {
		return nil, err
	}
	var objects []Object
	var infos []fs.FileInfo
	var files Files
	for _, file := range in {
		f, info, err := outfile.Open(file.Path)
		if err != nil {
			return nil, err
		}
		digests, _, err := signing.Digests(ctx, signing.SectionContent(f, 0, info.Size()), m.algorithm.Digest)
		f.Close()
		if err != nil {
			return nil, err
		}
		objects = append(objects, Object{URI: xmldsig.NameURI(filepath.Base(file.Path)), MimeType: file.MimeType, Digest: digests[m.algorithm.Digest]})
		infos, files = append(infos, info), append(files, file.Path)
	}
	target, err := outfile.Create(out, 0o644, o.Overwrite, infos...)
	if err != nil {
		return nil, err
	}
	defer target.Discard()
	p, err := prepareObjects(ctx, objects, cred, o)
	if err != nil {
		return nil, err
	}
	p.resolver = files
	result, err := p.signTo(ctx, nil, target, cred, o)
	if err != nil {
		return nil, err
	}
	return result, target.PlaceIn(ctx, o.Group)
}

// Files is an xmldsig.Resolver of files on this computer that the caller named: a reference
// finds one by its base name, escaped or not. Nothing else is opened because a
// document says so.
type Files []string

// Open implements xmldsig.Resolver.
func (f Files) Open(_ context.Context, uri string) (io.ReadCloser, error) {
	name, err := url.PathUnescape(uri)
	if err != nil {
		name = uri
	}
	for _, file := range f {
		if base := filepath.Base(file); base == name || base == uri {
			return signing.FileContent(file).Open()
		}
	}
	return nil, fmt.Errorf("%w: %.80q", xmldsig.ErrNotFound, uri)
}

// CountersignFile does so with a countersignature.
func CountersignFile(ctx context.Context, in, out, id string, cred signing.Credential, o Options) (*signing.Result, error) {
	return toFile(ctx, in, out, o, func(src io.ReaderAt, size int64, target *outfile.File) (*signing.Result, error) {
		p, err := prepareCountersignature(ctx, src, size, id, cred, o)
		if err != nil {
			return nil, err
		}
		return p.signAgreed(ctx, src, target, cred, o)
	})
}

// toFile runs what makes and checks an output, and puts that in place.
func toFile(ctx context.Context, in, out string, o Options, work func(io.ReaderAt, int64, *outfile.File) (*signing.Result, error)) (*signing.Result, error) {
	src, info, err := outfile.Open(in)
	if err != nil {
		return nil, err
	}
	defer src.Close()
	target, err := outfile.Create(out, info.Mode().Perm(), o.Overwrite, info)
	if err != nil {
		return nil, err
	}
	defer target.Discard()
	result, err := work(src, info.Size(), target)
	if err != nil {
		return nil, err
	}
	return result, target.PlaceIn(ctx, o.Group)
}

// signAgreed signs a document that is the one that was agreed to.
func (p *prepared) signAgreed(ctx context.Context, src io.ReaderAt, target *outfile.File, cred signing.Credential, o Options) (*signing.Result, error) {
	if o.SourceSHA256 != nil && !bytes.Equal(o.SourceSHA256[:], p.plan.SourceDigest) {
		return nil, signing.ErrSourceChanged
	}
	result, err := p.signTo(ctx, src, target, cred, o)
	if err == nil && o.SourceSHA256 != nil {
		result.SourceSHA256 = *o.SourceSHA256
	}
	return result, err
}

// signTo signs, writes and checks, one after the other.
func (p *prepared) signTo(ctx context.Context, src io.ReaderAt, target *outfile.File, cred signing.Credential, o Options) (*signing.Result, error) {
	result, err := p.sign(ctx, src, target.Writer(), cred, o)
	if err != nil {
		return nil, err
	}
	check, sum := o.xml(), sha256.New()
	check.Resolver = p.resolver
	if o.SourceSHA256 != nil {
		check.Copy = sum
	}
	doc, err := xmldsig.Open(ctx, target, result.Size, check)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", signing.ErrCheck, err)
	}
	if check.Copy != nil {
		result.SHA256 = [sha256.Size]byte(sum.Sum(nil))
	}
	return result, p.check(ctx, doc)
}

// check compares the finished output with what was meant: the new signature
// verifies, its references included, and earlier ones are as whole as they were.
func (p *prepared) check(ctx context.Context, doc *xmldsig.Document) error {
	failed := func(format string, args ...any) error {
		return fmt.Errorf("%w: %s", signing.ErrCheck, fmt.Sprintf(format, args...))
	}
	if err := doc.PrepareAll(ctx); err != nil {
		return fmt.Errorf("%w: %w", signing.ErrCheck, err)
	}
	now, err := whole(ctx, doc)
	if err != nil {
		return fmt.Errorf("%w: %w", signing.ErrCheck, err)
	}
	c, _, err := p.plan.signer()
	if err != nil {
		return err
	}
	found := false
	for _, s := range doc.Signatures {
		if s.ID() != p.plan.SignatureID {
			continue
		}
		if err := s.VerifyValue(c.PublicKey); err != nil || found || !now[s.Fingerprint()] {
			return failed("the new signature does not verify")
		}
		found = true
	}
	if !found {
		return failed("the new signature is not found")
	}
	if p.document == nil {
		return nil
	}
	before, err := whole(ctx, p.document)
	if err != nil {
		return err
	}
	for value, was := range before {
		if was && !now[value] {
			return failed("an earlier signature would be harmed")
		}
	}
	return nil
}

// whole tells of each signature, by its value, whether its references that are in
// the document are right.
func whole(ctx context.Context, doc *xmldsig.Document) (map[[32]byte]bool, error) {
	all := make(map[[32]byte]bool)
	for _, s := range doc.Signatures {
		if s.Err != nil {
			continue
		}
		outcomes, err := doc.Digest(ctx, s, s.References)
		if err != nil {
			return nil, err
		}
		right := true
		for i, out := range outcomes {
			if errors.Is(out.Err, xmldsig.ErrNotFound) {
				if kind, _ := s.References[i].Kind(); kind == xmldsig.KindExternal {
					continue
				}
			}
			right = right && out.Err == nil && string(out.Digest) == string(s.References[i].Value)
		}
		all[s.Fingerprint()] = right
	}
	return all, nil
}

// ExtendFile extends the file in and puts the result in place as out.
func ExtendFile(ctx context.Context, in, out string, level signing.Baseline, s *signing.Services, o ExtendOptions) (*signing.Extension, error) {
	src, info, err := outfile.Open(in)
	if err != nil {
		return nil, err
	}
	defer src.Close()
	target, err := outfile.Create(out, info.Mode().Perm(), o.Overwrite, info)
	if err != nil {
		return nil, err
	}
	defer target.Discard()
	e, err := Extend(ctx, src, info.Size(), target.Writer(), level, s, o)
	if err != nil {
		return nil, err
	}
	r, err := Verify(ctx, target, e.Size, VerifyOptions{
		VerifyOptions: signing.VerifyOptions{Roots: s.Anchors, Intermediates: s.Candidates, Time: s.Now()},
		Resolver:      o.Resolver, Limits: o.Limits, IDAttributes: o.IDAttributes,
	})
	if err != nil {
		return nil, fmt.Errorf("%w: %w", signing.ErrCheck, err)
	}
	for i := range r.Signatures {
		if r.Signatures[i].Integrity != signing.Intact && r.Signatures[i].Countersigns == 0 {
			return nil, fmt.Errorf("%w: signature %d is not whole", signing.ErrCheck, i+1)
		}
	}
	return e, target.Place(ctx)
}

// VerifyFile examines the signatures of a file.
func VerifyFile(ctx context.Context, in string, o VerifyOptions) (*signing.Report, error) {
	f, err := os.Open(in)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	return Verify(ctx, f, info.Size(), o)
}
