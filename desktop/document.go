package desktop

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/eidbridge/eidbridge/signing"
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
}

// MediaTypePDF is the only type of document that is signed now.
const MediaTypePDF = "application/pdf"

// PDFBytes is a PDF in memory, handed in by a page; its signed form stays in
// memory. The bytes must not change afterwards.
func PDFBytes(name string, data []byte) Document { return pdfBytes{name: name, data: data} }

type pdfBytes struct {
	name string
	data []byte
}

func (d pdfBytes) Describe(context.Context) (Description, error) {
	if len(d.data) > MaxDocument {
		return Description{}, ErrTooLarge
	}
	return Description{
		Name: d.name, MediaType: MediaTypePDF,
		Size: int64(len(d.data)), SHA256: sha256.Sum256(d.data),
	}, nil
}

func (d pdfBytes) Sign(ctx context.Context, shown Description, credential signing.Credential, o Output) (Signed, error) {
	var out bytes.Buffer
	result, err := pades.Sign(ctx, bytes.NewReader(d.data), int64(len(d.data)), &out, credential, padesOptions(o))
	if err != nil {
		return Signed{}, err
	}
	if err := check(ctx, bytes.NewReader(out.Bytes()), int64(out.Len()), shown, credential); err != nil {
		return Signed{}, err
	}
	return Signed{
		Name: d.name, Data: out.Bytes(), SHA256: sha256.Sum256(out.Bytes()),
		Algorithm: result.SignatureAlgorithm,
	}, nil
}

// PDFFile is a PDF on disk; its signed form becomes the file out, which must not
// exist unless overwrite is set.
func PDFFile(in, out string, overwrite bool) Document {
	return pdfFile{in: in, out: out, overwrite: overwrite}
}

type pdfFile struct {
	in, out   string
	overwrite bool
}

func (d pdfFile) Describe(ctx context.Context) (Description, error) {
	// Before anybody is asked for a PIN; SignFile checks again at the end.
	if _, err := os.Lstat(d.out); err == nil && !d.overwrite {
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
	shown := Description{Name: filepath.Base(d.in), MediaType: MediaTypePDF, Size: info.Size()}
	shown.SHA256, err = digest(ctx, f, shown.Size)
	return shown, err
}

func (d pdfFile) Sign(ctx context.Context, shown Description, credential signing.Credential, o Output) (Signed, error) {
	options := padesOptions(o)
	options.Overwrite = d.overwrite
	result, err := pades.SignFile(ctx, d.in, d.out, credential, options)
	if err != nil {
		return Signed{}, err
	}
	signed := Signed{Name: filepath.Base(d.out), Path: d.out, Algorithm: result.SignatureAlgorithm}
	f, err := os.Open(d.out)
	if err != nil {
		return Signed{}, fmt.Errorf("read the signed file: %w", err)
	}
	defer f.Close()
	// The file may have been replaced between the question and SignFile's own
	// reading of it (threats P-49): then the signature is one nobody agreed to.
	err = check(ctx, f, result.Size, shown, credential)
	if err == nil {
		signed.SHA256, err = digest(ctx, f, result.Size)
	}
	if err != nil && !d.overwrite {
		return Signed{}, errors.Join(err, os.Remove(d.out))
	}
	return signed, err
}

func padesOptions(o Output) pades.Options {
	return pades.Options{Reason: o.Reason, Location: o.Location}
}

// check makes sure that a signed document is the shown one with one more
// signature, made with this certificate, over all of it.
func check(ctx context.Context, signed io.ReaderAt, size int64, shown Description, credential signing.Credential) error {
	if size <= shown.Size {
		return fmt.Errorf("%w: shorter than the document", pades.ErrCheck)
	}
	before, err := digest(ctx, signed, shown.Size)
	if err != nil {
		return err
	}
	if before != shown.SHA256 {
		return fmt.Errorf("%w: not the one that was shown", pades.ErrSourceChanged)
	}
	report, err := pades.Verify(ctx, signed, size, pades.VerifyOptions{})
	if err != nil {
		return fmt.Errorf("%w: %w", pades.ErrCheck, err)
	}
	if len(report.Signatures) == 0 {
		return fmt.Errorf("%w: no signature", pades.ErrCheck)
	}
	last := report.Signatures[len(report.Signatures)-1]
	if last.Integrity != pades.Intact || last.Coverage != pades.WholeFile ||
		last.Signer == nil || !last.Signer.Certificate.Equal(credential.Certificate) {
		return fmt.Errorf("%w: last signature is not ours or not whole", pades.ErrCheck)
	}
	return nil
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
