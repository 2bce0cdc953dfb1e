package desktop

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/eidbridge/eidbridge/signing"
	"github.com/eidbridge/eidbridge/signing/appearance"
	"github.com/eidbridge/eidbridge/signing/pades"
)

// Document is one thing to be signed, with the place where its signed form goes.
type Document interface {
	// Describe reads the document once and says what a person is shown.
	Describe(ctx context.Context) (Description, error)
	// Sign makes the signed form with exactly one use of the key, checks it and
	// puts it in place, whole or not at all. shown is what Describe returned:
	// when the document is another one by now, nothing comes of it.
	Sign(ctx context.Context, shown Description, credential signing.Credential, o Output) (Signed, error)
}

// Description is what can be told of a document.
type Description struct {
	// Name is the file's base name, or what the asker called it.
	Name      string
	MediaType string
	Size      int64 // bytes
	SHA256    [sha256.Size]byte
	// Scan names what can change what is shown, act by itself, or hide something;
	// nil for documents that are not looked through.
	Scan *pades.Scan
	// Parts are the files under one signature, of a container.
	Parts []Description
}

// Active tells whether the document acts by itself.
func (d Description) Active() bool { return d.Scan != nil && len(d.Scan.Active()) > 0 }

// MediaTypePDF is the type of documents that pages hand in.
const MediaTypePDF = "application/pdf"

// PDFBytes is a PDF in memory, handed in by a page; its signed form stays in
// memory. The bytes must not change afterwards.
func PDFBytes(name string, data []byte) Document { return pdfBytes{name: name, data: data} }

type pdfBytes struct {
	name string
	data []byte
}

func (d pdfBytes) Describe(ctx context.Context) (Description, error) {
	if len(d.data) > MaxDocument {
		return Description{}, ErrTooLarge
	}
	scan, err := pades.ScanDocument(ctx, bytes.NewReader(d.data), int64(len(d.data)), nil)
	if err != nil {
		return Description{}, err
	}
	return Description{
		Name: d.name, MediaType: MediaTypePDF,
		Size: int64(len(d.data)), SHA256: sha256.Sum256(d.data), Scan: scan,
	}, nil
}

// Sign needs no look at what was shown: the bytes are the same ones.
func (d pdfBytes) Sign(ctx context.Context, _ Description, credential signing.Credential, o Output) (Signed, error) {
	src := bytes.NewReader(d.data)
	plan, err := pades.Prepare(ctx, src, int64(len(d.data)), credential, padesOptions(o, credential))
	if err != nil {
		return Signed{}, err
	}
	_, digest := plan.Digest()
	value, err := credential.Signer.Sign(rand.Reader, digest, plan.SignerOpts())
	if err != nil {
		return Signed{}, err
	}
	var out bytes.Buffer
	if err := plan.Complete(ctx, src, &out, value); err != nil {
		return Signed{}, err
	}
	if err := plan.Check(ctx, src, bytes.NewReader(out.Bytes())); err != nil {
		return Signed{}, err
	}
	signed := Signed{Name: d.name, Algorithm: plan.Result().SignatureAlgorithm, Baseline: signing.BaselineB}
	if o.Baseline != signing.BaselineB {
		var raised bytes.Buffer
		e, err := pades.Extend(ctx, bytes.NewReader(out.Bytes()), int64(out.Len()), &raised, o.Baseline, o.Services)
		if err != nil {
			return Signed{}, err
		}
		out, signed.Baseline, signed.Shortfall = raised, e.After, e.Shortfall
	}
	signed.Data, signed.SHA256 = out.Bytes(), sha256.Sum256(out.Bytes())
	return signed, nil
}

// FileOptions are about one file.
type FileOptions struct {
	// Overwrite lets an existing output be replaced.
	Overwrite bool
	// Password opens an encrypted document. The caller wipes it when the request is
	// over.
	Password []byte
}

// PDFFile is a PDF on disk; its signed form becomes the file out.
func PDFFile(in, out string, o FileOptions) Document {
	return &pdfFile{FileOptions: o, in: in, out: out}
}

type pdfFile struct {
	FileOptions
	in, out string
	seen    fs.FileInfo // of in, when it was described
}

func (d *pdfFile) Describe(ctx context.Context) (Description, error) {
	// Before anybody is asked for a PIN; SignFile checks again at the end.
	if _, err := os.Lstat(d.out); err == nil && !d.Overwrite {
		return Description{}, fmt.Errorf("%s: %w", d.out, pades.ErrExists)
	}
	f, err := os.Open(d.in)
	if err != nil {
		return Description{}, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return Description{}, err
	}
	if !info.Mode().IsRegular() {
		return Description{}, fmt.Errorf("%s: %w: not a regular file", d.in, ErrInvalid)
	}
	d.seen = info
	shown := Description{Name: filepath.Base(d.in), MediaType: MediaTypePDF, Size: info.Size()}
	// Before anybody is asked: can this be signed at all, and what is in it?
	if shown.Scan, err = pades.ScanDocument(ctx, f, shown.Size, d.Password); err != nil {
		return Description{}, err
	}
	shown.SHA256, err = digest(ctx, f, shown.Size)
	return shown, err
}

func (d *pdfFile) Sign(ctx context.Context, shown Description, credential signing.Credential, o Output) (Signed, error) {
	if err := d.unchanged(); err != nil {
		return Signed{}, err
	}
	options := padesOptions(o, credential)
	options.Overwrite, options.Password, options.Group = d.Overwrite, d.Password, o.group
	// What unchanged cannot see is found out before the key is used, too.
	options.SourceSHA256 = &shown.SHA256
	result, err := pades.SignFile(ctx, d.in, d.out, credential, options)
	if err != nil {
		return Signed{}, err
	}
	return Signed{
		Name: filepath.Base(d.out), Path: d.out, SHA256: result.SHA256,
		Algorithm: result.SignatureAlgorithm, Baseline: result.Baseline, Shortfall: result.Shortfall,
	}, nil
}

// unchanged tells, before a key is used, whether the file is still the described
// one, as far as its name, size and time say (threats P-49).
func (d *pdfFile) unchanged() error {
	now, err := os.Stat(d.in)
	if err != nil {
		return err
	}
	if d.seen == nil || !os.SameFile(now, d.seen) || now.Size() != d.seen.Size() || !now.ModTime().Equal(d.seen.ModTime()) {
		return fmt.Errorf("%w: it is not the one that was shown", pades.ErrSourceChanged)
	}
	return nil
}

func padesOptions(o Output, credential signing.Credential) pades.Options {
	options := pades.Options{
		Reason: o.Reason, Location: o.Location, FieldName: o.Field, Level: o.Baseline, Services: o.Services,
		Certify: o.Certify, LegalAttestation: o.LegalAttestation, Lock: o.Lock, Claims: o.Claims,
	}
	if o.Visible != nil {
		visible := *o.Visible
		h := HolderOf(credential.Certificate)
		visible.Mark.Values = appearance.Values{Name: h.Name, Identifier: h.Number, Issuer: h.Issuer}
		options.Visible = &visible
	}
	return options
}

// PreviewMark lays out how a signature of a file would show, as Sign would draw it
// now. It needs no key and signs nothing.
func PreviewMark(ctx context.Context, in string, f FileOptions, certificate *x509.Certificate, o Output) (*appearance.Drawing, error) {
	src, err := os.Open(in)
	if err != nil {
		return nil, err
	}
	defer src.Close()
	info, err := src.Stat()
	if err != nil {
		return nil, err
	}
	credential := signing.Credential{Certificate: certificate}
	options := padesOptions(o, credential)
	options.Password = f.Password
	return pades.Preview(ctx, src, info.Size(), credential, options)
}

// digest hashes the first size bytes, looking at ctx now and then.
func digest(ctx context.Context, r io.ReaderAt, size int64) ([sha256.Size]byte, error) {
	h := sha256.New()
	const step = 4 << 20 // bytes
	for at := int64(0); at < size; at += step {
		if err := ctx.Err(); err != nil {
			return [sha256.Size]byte{}, err
		}
		if _, err := io.Copy(h, io.NewSectionReader(r, at, min(step, size-at))); err != nil {
			return [sha256.Size]byte{}, err
		}
	}
	return [sha256.Size]byte(h.Sum(nil)), nil
}
