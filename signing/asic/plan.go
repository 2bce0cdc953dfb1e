package asic

import (
	"bytes"
	"context"
	"crypto"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/eidbridge/eidbridge/signing"
	"github.com/eidbridge/eidbridge/signing/cades"
	"github.com/eidbridge/eidbridge/signing/cms"
	"github.com/eidbridge/eidbridge/signing/xades"
)

// Plan is a prepared signature of a container: everything but the signature value
// and the container. It is plain data and survives JSON, so that the key can be on
// another machine. Whoever lets it leave the process authenticates it; Complete
// checks only that container and signature value fit it.
type Plan struct {
	Kind signing.Format `json:"kind"`
	// XAdES or CAdES is the plan of the signature itself.
	XAdES *xades.Plan `json:"xades,omitempty"`
	CAdES *cades.Plan `json:"cades,omitempty"`
	// Manifest is what a CAdES signature in an ASiC-E is about; it gets the name
	// ManifestName, and the signature SignatureName.
	Manifest      []byte `json:"manifest,omitempty"`
	ManifestName  string `json:"manifest_name,omitempty"`
	SignatureName string `json:"signature_name,omitempty"`
	// Files are the data files with the digests that were signed.
	Files []PlannedFile `json:"files"`
	// DigestAlgorithm is that of the files: "SHA-256", "SHA-384" or "SHA-512".
	DigestAlgorithm   string `json:"digest_algorithm"`
	EarlierSignatures int    `json:"earlier_signatures,omitempty"`
}

// PlannedFile is a data file at the time of Prepare.
type PlannedFile struct {
	Name   string `json:"name"`
	Digest []byte `json:"digest"`
}

// Prepare decides on a further signature about all files of the container, which
// are read once. The Signer of the credential may be nil. The level of the options
// is not looked at: Complete makes B-B, and Extend raises it.
func (c *Container) Prepare(ctx context.Context, cred signing.Credential, o Options) (*Plan, error) {
	o.Level = ""
	if err := cred.Check(o.now()); err != nil {
		return nil, err
	}
	s, hash, err := c.begin(ctx, cred, &o)
	if err != nil {
		return nil, err
	}
	p := &Plan{Kind: c.Kind, DigestAlgorithm: hash.String(), EarlierSignatures: len(c.metaOf(roleXAdES)) + len(c.metaOf(roleCAdES))}
	for _, f := range s.files {
		p.Files = append(p.Files, PlannedFile{f.Name, f.digests[hash]})
	}
	switch {
	case !o.CAdES:
		p.XAdES, err = xades.PrepareObjects(ctx, s.objects(hash), cred, o.xades())
	case c.Kind == signing.ASiCE:
		p.SignatureName = s.free("signature%03d.p7s", 1)
		p.ManifestName = s.free("ASiCManifest%03d.xml", 1)
		p.Manifest = s.manifestAbout(p.SignatureName, hash)
		p.CAdES, err = cades.Prepare(ctx, memory(p.Manifest), cred, o.cades(c.Kind))
	case s.has(nameSignatureS):
		var have []byte
		if have, err = s.read(nameSignatureS); err != nil {
			return nil, err
		}
		p.SignatureName = nameSignatureS
		p.CAdES, err = cades.PrepareCoSignature(ctx, bytes.NewReader(have), int64(len(have)), c.Files[0], cred, o.cades(c.Kind))
	default:
		p.SignatureName = nameSignatureS
		p.CAdES, err = cades.Prepare(ctx, c.Files[0], cred, o.cades(c.Kind))
	}
	return p, err
}

// Digest returns what the key has to sign and its algorithm.
func (p *Plan) Digest() (crypto.Hash, []byte) {
	switch {
	case p.XAdES != nil:
		return p.XAdES.Digest()
	case p.CAdES != nil:
		return p.CAdES.Digest()
	}
	return 0, nil
}

// SignerOpts returns the options for crypto.Signer.
func (p *Plan) SignerOpts() crypto.SignerOpts {
	switch {
	case p.XAdES != nil:
		return p.XAdES.SignerOpts()
	case p.CAdES != nil:
		return p.CAdES.SignerOpts()
	}
	return crypto.Hash(0)
}

func (p *Plan) time() time.Time {
	if p.XAdES != nil {
		return p.XAdES.SigningTime
	}
	return p.CAdES.SigningTime
}

// Complete writes the container with the signature around a value. It returns
// signing.ErrWrongSignature when the value does not verify, and
// signing.ErrSourceChanged when the files are not those that were prepared; both
// before anything is written.
func (p *Plan) Complete(ctx context.Context, c *Container, dst io.Writer, signature []byte) error {
	if err := p.check(ctx, c); err != nil {
		return err
	}
	if p.XAdES == nil && p.CAdES == nil {
		return errors.New("plan without a signature")
	}
	s := c.stage(p.time())
	var out bytes.Buffer
	switch {
	case p.XAdES != nil:
		if err := p.XAdES.Complete(ctx, nil, &out, signature); err != nil {
			return err
		}
		if err := s.putXAdES(out.Bytes()); err != nil {
			return err
		}
	case p.CAdES != nil:
		if err := p.CAdES.Complete(ctx, nil, &out, signature); err != nil {
			return err
		}
		if p.Manifest != nil {
			if s.has(p.ManifestName) || s.has(p.SignatureName) {
				return signing.ErrSourceChanged
			}
			s.put(p.ManifestName, p.Manifest)
		}
		s.put(p.SignatureName, out.Bytes())
	}
	_, err := s.write(ctx, dst)
	return err
}

// check compares the container with the one that was prepared.
func (p *Plan) check(ctx context.Context, c *Container) error {
	if c.Kind != p.Kind || len(c.Files) != len(p.Files) || len(c.metaOf(roleXAdES))+len(c.metaOf(roleCAdES)) != p.EarlierSignatures {
		return signing.ErrSourceChanged
	}
	hash := cms.SigningDigest(p.DigestAlgorithm)
	if hash == 0 {
		return errors.New("plan without digest algorithm")
	}
	for i, want := range p.Files {
		f := c.Files[i]
		found, err := f.digest(ctx, hash)
		if err != nil {
			return err
		}
		if f.Name != want.Name || !bytes.Equal(found[hash], want.Digest) {
			return fmt.Errorf("%w: %q", signing.ErrSourceChanged, f.Name)
		}
	}
	return nil
}
