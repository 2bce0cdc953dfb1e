package desktop

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"mime"
	"os"
	"path/filepath"
	"strconv"

	"github.com/eidbridge/eidbridge/signing"
	"github.com/eidbridge/eidbridge/signing/archive"
	"github.com/eidbridge/eidbridge/signing/asic"
	"github.com/eidbridge/eidbridge/signing/cades"
	"github.com/eidbridge/eidbridge/signing/facturae"
	"github.com/eidbridge/eidbridge/signing/xades"
	"github.com/eidbridge/eidbridge/signing/xmltext"
)

// File is a file on disk of any type, signed by itself in the format of the
// output: XAdES, CAdES or FacturaE. Its signed form becomes the file out.
func File(in, out string, o FileOptions) Document {
	return &fileDocument{FileOptions: o, in: []string{in}, out: out, sign: signFile}
}

// Beside are files on disk that one XAdES signature in a file of its own is about.
// They stay as they are; the signature becomes the file out.
func Beside(in []string, out string, o FileOptions) Document {
	return &fileDocument{FileOptions: o, in: in, out: out, sign: signBeside, whole: len(in) > 1}
}

// NewContainer are files that go into one new container together, under one
// signature; the format of the output is its kind. It becomes the file out.
func NewContainer(in []string, out string, o FileOptions) Document {
	return &fileDocument{FileOptions: o, in: in, out: out, sign: signContainer, whole: true}
}

// Container is a container on disk that gets a further signature about all of its
// files. The signed one becomes the file out.
func Container(in, out string, o FileOptions) Document {
	return &fileDocument{FileOptions: o, in: []string{in}, out: out, sign: addToContainer, inside: true}
}

// Message is a CAdES message on disk that gets a further signer. Content is the
// file that a detached one is about, empty where it is inside. The signed one
// becomes the file out.
func Message(in, content, out string, o FileOptions) Document {
	return &fileDocument{FileOptions: o, in: []string{in}, out: out, sign: func(ctx context.Context, d *fileDocument, credential signing.Credential, o Output) (*signing.Result, error) {
		options := cadesOptions(d, o)
		if o.Countersign == "" {
			return cades.CoSignFile(ctx, in, content, d.out, credential, options)
		}
		signer, err := strconv.Atoi(o.Countersign)
		if err != nil {
			return nil, signing.Refuse(signing.RefusedOption, "name it by its number", "the message has no signer %q", o.Countersign)
		}
		return cades.CounterSignFile(ctx, in, content, d.out, signer, credential, options)
	}}
}

// fileDocument is one or several files that one signature is about.
type fileDocument struct {
	FileOptions
	in   []string
	out  string
	seen []fs.FileInfo // of in, when they were described
	// agreed is the digest of what was shown, for formats that compare it themselves.
	agreed *[sha256.Size]byte
	sign   func(ctx context.Context, d *fileDocument, credential signing.Credential, o Output) (*signing.Result, error)
	// whole shows the container and lists the files in it; inside lists what a
	// container holds already.
	whole, inside bool
}

func (d *fileDocument) Describe(ctx context.Context) (Description, error) {
	// Before anybody is asked for a PIN; signing checks again at the end.
	if _, err := os.Lstat(d.out); err == nil && !d.Overwrite {
		return Description{}, fmt.Errorf("%s: %w", d.out, signing.ErrExists)
	}
	d.seen = nil
	var parts []Description
	for _, name := range d.in {
		part, info, err := describeFile(ctx, name)
		if err != nil {
			return Description{}, err
		}
		d.seen = append(d.seen, info)
		parts = append(parts, part)
	}
	switch {
	case d.whole:
		return joined(filepath.Base(d.out), parts), nil
	case d.inside:
		shown := parts[0]
		var err error
		shown.Parts, err = insideOf(ctx, d.in[0], shown.Size)
		return shown, err
	}
	return parts[0], nil
}

// joined describes files under one signature: their digests make up that of the
// whole.
func joined(name string, parts []Description) Description {
	all := Description{Name: name, MediaType: mediaTypeOf(name), Parts: parts}
	h := sha256.New()
	for _, p := range parts {
		all.Size += p.Size
		h.Write(p.SHA256[:])
	}
	all.SHA256 = [sha256.Size]byte(h.Sum(nil))
	return all
}

func describeFile(ctx context.Context, name string) (Description, fs.FileInfo, error) {
	f, err := os.Open(name)
	if err != nil {
		return Description{}, nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return Description{}, nil, err
	}
	if !info.Mode().IsRegular() {
		return Description{}, nil, fmt.Errorf("%s: %w: not a regular file", name, ErrInvalid)
	}
	shown := Description{Name: filepath.Base(name), MediaType: mediaTypeOf(name), Size: info.Size()}
	shown.SHA256, err = digest(ctx, f, shown.Size)
	return shown, info, err
}

// insideOf describes the data files of a container.
func insideOf(ctx context.Context, name string, size int64) ([]Description, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	c, err := asic.Open(ctx, f, size, archive.Limits{})
	if err != nil {
		return nil, err
	}
	var parts []Description
	for _, file := range c.Files {
		digests, size, err := signing.Digests(ctx, file, Hash)
		if err != nil {
			return nil, err
		}
		parts = append(parts, Description{Name: file.Name, MediaType: file.MediaType, Size: size, SHA256: [sha256.Size]byte(digests[Hash])})
	}
	return parts, nil
}

func mediaTypeOf(name string) string {
	switch filepath.Ext(name) {
	case ".asice", ".sce", ".bdoc":
		return "application/vnd.etsi.asic-e+zip"
	case ".asics", ".scs":
		return "application/vnd.etsi.asic-s+zip"
	}
	if t, _, err := mime.ParseMediaType(mime.TypeByExtension(filepath.Ext(name))); err == nil {
		return t
	}
	return "application/octet-stream"
}

func (d *fileDocument) Sign(ctx context.Context, shown Description, credential signing.Credential, o Output) (Signed, error) {
	for i, name := range d.in {
		now, err := os.Stat(name)
		if err != nil {
			return Signed{}, err
		}
		if i >= len(d.seen) || !os.SameFile(now, d.seen[i]) || now.Size() != d.seen[i].Size() || !now.ModTime().Equal(d.seen[i].ModTime()) {
			return Signed{}, fmt.Errorf("%w: it is not the one that was shown", signing.ErrSourceChanged)
		}
	}
	d.agreed = &shown.SHA256
	result, err := d.sign(ctx, d, credential, o)
	if err != nil {
		return Signed{}, err
	}
	signed := Signed{Name: filepath.Base(d.out), Path: d.out, SHA256: result.SHA256, Algorithm: result.SignatureAlgorithm, Baseline: result.Baseline, Shortfall: result.Shortfall}
	if result.SourceSHA256 == shown.SHA256 {
		return signed, nil // compared before the key was used
	}
	// What names, sizes and times cannot tell: then the signature is one nobody
	// agreed to.
	err = d.recheck(ctx, shown)
	if err == nil {
		var after Description
		after, _, err = describeFile(ctx, d.out)
		signed.SHA256 = after.SHA256
	}
	if err != nil {
		return Signed{}, errors.Join(err, os.Remove(d.out))
	}
	return signed, nil
}

// recheck compares the files with what was shown, after they were signed.
func (d *fileDocument) recheck(ctx context.Context, shown Description) error {
	var parts []Description
	for _, name := range d.in {
		part, _, err := describeFile(ctx, name)
		if err != nil {
			return err
		}
		parts = append(parts, part)
	}
	now := parts[0].SHA256
	if d.whole {
		now = joined(d.out, parts).SHA256
	}
	if now != shown.SHA256 {
		return fmt.Errorf("%w: it is not the one that was shown", signing.ErrSourceChanged)
	}
	return nil
}

// claims are what the output says of the signer's words; a reason has no place
// outside PDF.
func claims(o Output) signing.Claims {
	c := o.Claims
	if o.Location != "" {
		c.Place.Locality = o.Location
	}
	return c
}

func xadesOptions(d *fileDocument, o Output) xades.Options {
	x := xades.Options{
		Limits: xmltext.FileLimits(), Packaging: xades.Packaging(o.Packaging), Elements: o.Elements, Parallel: o.Parallel, Manifest: o.Manifest,
		Claims: claims(o), Level: o.Baseline, Services: o.Services, Overwrite: d.Overwrite,
		MimeType: xmlMimeType(d.in[0]), SourceSHA256: d.agreed,
	}
	if o.Packaging == signing.Internal {
		x.Packaging = xades.Detached
	}
	return x
}

func cadesOptions(d *fileDocument, o Output) cades.Options {
	return cades.Options{
		Detached: o.Packaging == signing.Detached, Claims: claims(o), Level: o.Baseline, Services: o.Services, Overwrite: d.Overwrite,
	}
}

func signBeside(ctx context.Context, d *fileDocument, credential signing.Credential, o Output) (*signing.Result, error) {
	var files []xades.FileObject
	for _, name := range d.in {
		files = append(files, xades.FileObject{Path: name, MimeType: mediaTypeOf(name)})
	}
	return xades.SignObjectFiles(ctx, files, d.out, credential, xadesOptions(d, o))
}

func signFile(ctx context.Context, d *fileDocument, credential signing.Credential, o Output) (*signing.Result, error) {
	in := d.in[0]
	switch o.Format {
	case signing.XAdES:
		if o.Countersign != "" {
			return xades.CountersignFile(ctx, in, d.out, o.Countersign, credential, xadesOptions(d, o))
		}
		return xades.SignFile(ctx, in, d.out, credential, xadesOptions(d, o))
	case signing.FacturaE:
		options := facturae.Options{Limits: xmltext.FileLimits(), Level: o.Baseline, Services: o.Services, Overwrite: d.Overwrite, SourceSHA256: d.agreed}
		if len(o.Claims.Roles) > 0 {
			options.Role = facturae.Role(o.Claims.Roles[0])
		}
		return facturae.SignFile(ctx, in, d.out, credential, options)
	case signing.CAdES:
		options := cadesOptions(d, o)
		if options.Detached {
			options.MediaType = mediaTypeOf(in)
		}
		return cades.SignFile(ctx, in, d.out, credential, options)
	}
	return nil, fmt.Errorf("%w: format %q", ErrInvalid, o.Format)
}

// xmlMimeType is the type of what is not XML, empty for what is.
func xmlMimeType(name string) string {
	if t := mediaTypeOf(name); t != "text/xml" && t != "application/xml" && t != "application/octet-stream" {
		return t
	}
	return ""
}

func containerOptions(d *fileDocument, o Output) asic.Options {
	return asic.Options{CAdES: o.CAdES, Claims: claims(o), Level: o.Baseline, Services: o.Services, Overwrite: d.Overwrite}
}

func signContainer(ctx context.Context, d *fileDocument, credential signing.Credential, o Output) (*signing.Result, error) {
	return asic.SignFiles(ctx, d.in, d.out, o.Format, credential, containerOptions(d, o))
}

func addToContainer(ctx context.Context, d *fileDocument, credential signing.Credential, o Output) (*signing.Result, error) {
	return asic.AddSignatureFile(ctx, d.in[0], d.out, credential, containerOptions(d, o))
}
