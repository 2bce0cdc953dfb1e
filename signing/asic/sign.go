package asic

import (
	"bytes"
	"context"
	"crypto"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/eidbridge/eidbridge/signing"
	"github.com/eidbridge/eidbridge/signing/archive"
	"github.com/eidbridge/eidbridge/signing/c14n"
	"github.com/eidbridge/eidbridge/signing/cades"
	"github.com/eidbridge/eidbridge/signing/cms"
	"github.com/eidbridge/eidbridge/signing/xades"
	"github.com/eidbridge/eidbridge/signing/xmldsig"
)

// Options says what goes into the signature besides key and files. The zero value
// makes XAdES at B-B.
type Options struct {
	// CAdES makes CAdES signatures instead of XAdES. A container that is signed
	// keeps to what it has.
	CAdES bool
	// SigningTime is claimed; zero means now.
	SigningTime time.Time
	// Claims are policy, commitments, roles and place.
	Claims signing.Claims
	// PSS makes RSA keys sign with RSASSA-PSS instead of PKCS #1 v1.5.
	PSS bool
	// Digest is SHA-256, SHA-384 or SHA-512; zero takes the one that fits the key.
	Digest crypto.Hash
	// Level is the baseline level to make; empty is B-B. A level above it needs
	// Services. When those cannot be reached, the level that was reached is made,
	// and the Result says so; Extend finishes it later.
	Level    signing.Baseline
	Services *signing.Services
	// Overwrite lets an existing output file be replaced.
	Overwrite bool
	// Rand feeds the signer; nil means crypto/rand.Reader.
	Rand io.Reader
}

// stampDigest is the digest that time-stamps and archive manifests are made over.
const stampDigest = crypto.SHA256

func (o *Options) xades() xades.Options {
	// Exclusive canonicalization throughout: in an ASiC-S, further signatures are put
	// into the same file, under whatever is declared there; and the octets of the
	// signed properties are those that archive time-stamps are made over, whichever
	// form a reader makes them in.
	return xades.Options{
		Claims: o.Claims, SigningTime: o.SigningTime, Container: true, Canonicalization: c14n.Exclusive10,
		PSS: o.PSS, Digest: o.Digest, Level: o.Level, Services: o.Services, Rand: o.Rand,
	}
}

func (o *Options) cades(kind signing.Format) cades.Options {
	x := cades.Options{
		Detached: true, Claims: o.Claims, SigningTime: o.SigningTime,
		PSS: o.PSS, Digest: o.Digest, Level: o.Level, Services: o.Services, Rand: o.Rand,
	}
	if kind == signing.ASiCE && o.Level == signing.BaselineLTA {
		x.Level = signing.BaselineLT // the archive manifest comes on top
	}
	return x
}

// hash is the digest of the data files.
func (o *Options) hash(cred signing.Credential) (crypto.Hash, error) {
	if cred.Certificate == nil {
		return 0, signing.Refuse(signing.RefusedCertificate, "", "the credential has no certificate")
	}
	a, err := cms.AlgorithmFor(cred.Certificate.PublicKey, o.Digest, o.PSS)
	if err != nil {
		return 0, signing.Refuse(signing.RefusedKey, "use another key", "the key cannot be used: %v", err)
	}
	return a.Digest, nil
}

func (o *Options) now() time.Time {
	if o.SigningTime.IsZero() {
		return time.Now()
	}
	return o.SigningTime
}

// ready refuses what would fail after the key was used.
func (o *Options) ready(cred signing.Credential) error {
	if cred.Signer == nil {
		return signing.Refuse(signing.RefusedKey, "", "the credential has no key")
	}
	if err := o.Services.Check(o.Level); err != nil {
		return err
	}
	return cred.Check(o.now())
}

// Sign writes a new container with files and one signature about all of them. The
// files are read once. The signer is called once at most, after all files were
// read. On an error dst may hold part of the container; SignFiles is the way to a
// file.
func Sign(ctx context.Context, dst io.Writer, kind signing.Format, inputs []Input, cred signing.Credential, o Options) (*signing.Result, error) {
	result, _, err := sign(ctx, dst, kind, inputs, cred, o)
	return result, err
}

// sign also returns the files as they were read.
func sign(ctx context.Context, dst io.Writer, kind signing.Format, inputs []Input, cred signing.Credential, o Options) (*signing.Result, []*File, error) {
	if err := checkKind(kind); err != nil {
		return nil, nil, err
	}
	if err := o.ready(cred); err != nil {
		return nil, nil, err
	}
	if err := checkInputs(kind, nil, inputs); err != nil {
		return nil, nil, err
	}
	if len(inputs) == 0 {
		return nil, nil, signing.Refuse(signing.RefusedOption, "name at least one file", "there is nothing to sign")
	}
	hash, err := o.hash(cred)
	if err != nil {
		return nil, nil, err
	}
	w := archive.NewWriter(dst)
	if err := writeMimetype(w, kind); err != nil {
		return nil, nil, err
	}
	s := &staged{kind: kind, now: o.now()}
	var size int64
	content := make(map[string]signing.Content)
	for _, in := range inputs {
		f, err := writeInput(ctx, w, in, o.hashes(hash)...)
		if err != nil {
			return nil, nil, err
		}
		size += f.Size
		content[f.Name] = in.Content
		s.files = append(s.files, f)
	}
	result, err := s.sign(ctx, hash, cred, o, contents(content))
	if err != nil {
		return nil, nil, err
	}
	if err := s.finish(ctx, w); err != nil {
		return nil, nil, err
	}
	result.Format, result.SourceSize, result.Size = kind, size, w.Size()
	return result, s.files, nil
}

// hashes are the digests of data files that signing needs.
func (o *Options) hashes(hash crypto.Hash) []crypto.Hash {
	if o.CAdES || o.Level == signing.BaselineLTA {
		return []crypto.Hash{hash, stampDigest}
	}
	return []crypto.Hash{hash}
}

// AddSignature writes the container with a further signature about all of its
// files. They are read once to be digested, and copied as they are.
func (c *Container) AddSignature(ctx context.Context, dst io.Writer, cred signing.Credential, o Options) (*signing.Result, error) {
	if err := o.ready(cred); err != nil {
		return nil, err
	}
	s, hash, err := c.begin(ctx, cred, &o)
	if err != nil {
		return nil, err
	}
	earlier := len(c.metaOf(roleXAdES)) + len(c.metaOf(roleCAdES))
	result, err := s.sign(ctx, hash, cred, o, &resolver{c: c, seen: make(map[string]bool)})
	if err != nil {
		return nil, err
	}
	result.Format, result.SourceSize, result.EarlierSignatures = c.Kind, c.size, earlier
	result.Size, err = s.write(ctx, dst)
	if err != nil {
		return nil, err
	}
	return result, nil
}

// begin refuses containers that cannot be signed and digests the data files.
func (c *Container) begin(ctx context.Context, cred signing.Credential, o *Options) (*staged, crypto.Hash, error) {
	switch {
	case len(c.Files) == 0:
		return nil, 0, signing.Refuse(signing.RefusedOption, "add files first", "the container holds no file")
	case c.shape != nil:
		return nil, 0, c.shape
	case len(c.metaOf(roleXAdES)) > 0:
		o.CAdES = false
	case c.CAdES():
		o.CAdES = true
	}
	if c.Kind == signing.ASiCS && len(c.metaOf(roleToken)) > 0 {
		return nil, 0, signing.Refuse(signing.RefusedOption, "put it into another container", "the container holds a time-stamp, and no signatures beside it")
	}
	for _, f := range c.Files {
		if archive.Misleading(f.Name) {
			return nil, 0, signing.Refuse(signing.RefusedOption, "have the file renamed", "the name %+q does not show what it is", f.Name)
		}
	}
	if archives := c.metaOf(roleArchive); len(archives) > 0 {
		return nil, 0, signing.Refuse(signing.RefusedOption, "put it into another container", "the container is archived, so that it takes no signature any more")
	}
	hash, err := o.hash(cred)
	if err != nil {
		return nil, 0, err
	}
	for _, f := range c.Files {
		if _, err := f.digest(ctx, o.hashes(hash)...); err != nil {
			return nil, 0, err
		}
	}
	return c.stage(o.now()), hash, nil
}

// sign makes the signature and puts its files into META-INF.
func (s *staged) sign(ctx context.Context, hash crypto.Hash, cred signing.Credential, o Options, files resolving) (*signing.Result, error) {
	if !o.CAdES {
		return s.signXAdES(ctx, hash, cred, o, files)
	}
	if s.kind == signing.ASiCS {
		return s.signSingle(ctx, cred, o, files)
	}
	signature := s.free("signature%03d.p7s", 1)
	manifest := s.manifestAbout(signature, hash)
	var out bytes.Buffer
	result, err := cades.Sign(ctx, memory(manifest), &out, cred, o.cades(s.kind))
	if err != nil {
		return nil, err
	}
	s.put(s.free("ASiCManifest%03d.xml", 1), manifest)
	s.put(signature, out.Bytes())
	if o.Level == signing.BaselineLTA && result.Baseline == signing.BaselineLT {
		if err := s.archive(ctx, o.Services); err != nil {
			if !unreached(err) {
				return nil, err
			}
			result.Shortfall = err.Error()
			return result, nil
		}
		result.Baseline = signing.BaselineLTA
	}
	return result, nil
}

// objects are the data files as a XAdES signature refers to them.
func (s *staged) objects(hash crypto.Hash) []xades.Object {
	var all []xades.Object
	for _, f := range s.files {
		all = append(all, xades.Object{URI: xmldsig.NameURI(f.Name), MimeType: f.MediaType, Digest: f.digests[hash]})
	}
	return all
}

func (s *staged) signXAdES(ctx context.Context, hash crypto.Hash, cred signing.Credential, o Options, files resolving) (*signing.Result, error) {
	var out bytes.Buffer
	result, err := xades.SignObjects(ctx, s.objects(hash), &out, cred, files, o.xades())
	if err != nil {
		return nil, err
	}
	return result, s.putXAdES(out.Bytes())
}

// putXAdES puts a signature file into META-INF: one of its own in an ASiC-E, into
// signatures.xml in an ASiC-S.
func (s *staged) putXAdES(document []byte) error {
	if s.kind == signing.ASiCE {
		s.put(s.free("signatures%d.xml", 0), document)
		s.putManifest()
		return nil
	}
	if !s.has(nameSignaturesS) {
		s.put(nameSignaturesS, document)
		return nil
	}
	have, err := s.read(nameSignaturesS)
	if err != nil {
		return err
	}
	joined, err := join(have, document)
	if err != nil {
		return err
	}
	s.put(nameSignaturesS, joined)
	return nil
}

// join puts the signature of one asic:XAdESSignatures document at the end of
// another.
func join(have, added []byte) ([]byte, error) {
	open := bytes.Index(added, []byte("<ds:Signature"))
	end := bytes.LastIndex(added, []byte("</asic:XAdESSignatures>"))
	at := bytes.LastIndex(have, []byte("</"))
	if open < 0 || end < open || at < 0 || !bytes.Contains(have[at:], []byte("XAdESSignatures")) {
		return nil, fmt.Errorf("%w: %s cannot take a further signature", ErrFormat, nameSignaturesS)
	}
	return slices.Concat(have[:at], added[open:end], have[at:]), nil
}

// manifestAbout is an ASiCManifest about all data files.
func (s *staged) manifestAbout(signature string, hash crypto.Hash) []byte {
	var all []reference
	for _, f := range s.files {
		all = append(all, reference{uri: xmldsig.NameURI(f.Name), mediaType: f.MediaType, hash: hash, digest: f.digests[hash]})
	}
	return writeASiCManifest(signature, mediaTypeCAdES, all)
}

// signSingle signs the file of an ASiC-S with CAdES, beside earlier signers.
func (s *staged) signSingle(ctx context.Context, cred signing.Credential, o Options, files resolving) (*signing.Result, error) {
	content := opened{ctx, files, s.files[0].Name}
	var out bytes.Buffer
	var result *signing.Result
	var err error
	if s.has(nameSignatureS) {
		var have []byte
		if have, err = s.read(nameSignatureS); err != nil {
			return nil, err
		}
		result, err = cades.CoSign(ctx, bytes.NewReader(have), int64(len(have)), content, &out, cred, o.cades(s.kind))
	} else {
		result, err = cades.Sign(ctx, content, &out, cred, o.cades(s.kind))
	}
	if err != nil {
		return nil, err
	}
	s.put(nameSignatureS, out.Bytes())
	return result, nil
}
