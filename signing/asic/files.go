package asic

import (
	"context"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"

	"github.com/eidbridge/eidbridge/signing"
	"github.com/eidbridge/eidbridge/signing/archive"
	"github.com/eidbridge/eidbridge/signing/outfile"
)

// SignFiles puts files into a new container under their base names, signs them,
// and puts the container in place as out. What was written is checked by reading
// it again. Beside the errors of Sign it returns signing.ErrExists, ErrOutput and
// ErrCheck.
func SignFiles(ctx context.Context, files []string, out string, kind signing.Format, cred signing.Credential, o Options) (*signing.Result, error) {
	inputs, infos, err := fileInputs(files)
	if err != nil {
		return nil, err
	}
	return toFile(ctx, out, 0o644, o.Overwrite, infos, func(dst io.Writer) (*signing.Result, []*File, error) {
		return sign(ctx, dst, kind, inputs, cred, o)
	})
}

// CreateFile puts files into a new unsigned container.
func CreateFile(ctx context.Context, files []string, out string, kind signing.Format, overwrite bool) error {
	inputs, infos, err := fileInputs(files)
	if err != nil {
		return err
	}
	_, err = toFile(ctx, out, 0o644, overwrite, infos, func(dst io.Writer) (struct{}, []*File, error) {
		return struct{}{}, nil, Create(ctx, dst, kind, inputs)
	})
	return err
}

func fileInputs(files []string) ([]Input, []fs.FileInfo, error) {
	var inputs []Input
	var infos []fs.FileInfo
	for _, name := range files {
		in, err := FileInput(name)
		if err != nil {
			return nil, nil, err
		}
		f, info, err := outfile.Open(name)
		if err != nil {
			return nil, nil, err
		}
		f.Close()
		inputs, infos = append(inputs, in), append(infos, info)
	}
	return inputs, infos, nil
}

// changeFile opens the container in a file and writes a changed one. Without an
// output it takes the place of the old one.
func changeFile[R any](ctx context.Context, in, out string, overwrite bool, change func(*Container, io.Writer) (R, error)) (R, error) {
	var none R
	src, info, err := outfile.Open(in)
	if err != nil {
		return none, err
	}
	defer src.Close()
	c, err := Open(ctx, src, info.Size(), archive.Limits{})
	if err != nil {
		return none, err
	}
	sources := []fs.FileInfo{info}
	if out == "" {
		out, overwrite, sources = in, true, nil
	}
	return toFile(ctx, out, info.Mode().Perm(), overwrite, sources, func(dst io.Writer) (R, []*File, error) {
		result, err := change(c, dst)
		return result, c.Files, err
	})
}

// AddSignatureFile adds a signature to the container in the file in.
func AddSignatureFile(ctx context.Context, in, out string, cred signing.Credential, o Options) (*signing.Result, error) {
	return changeFile(ctx, in, out, o.Overwrite, func(c *Container, dst io.Writer) (*signing.Result, error) {
		return c.AddSignature(ctx, dst, cred, o)
	})
}

// AddFiles adds files to the container in the file in; an empty out changes it in
// place.
func AddFiles(ctx context.Context, in, out string, overwrite bool, files ...string) error {
	inputs, _, err := fileInputs(files)
	if err != nil {
		return err
	}
	_, err = changeFile(ctx, in, out, overwrite, func(c *Container, dst io.Writer) (struct{}, error) {
		return struct{}{}, c.Add(ctx, dst, inputs...)
	})
	return err
}

// RemoveFiles removes files from the container in the file in; an empty out changes
// it in place.
func RemoveFiles(ctx context.Context, in, out string, overwrite bool, names ...string) error {
	_, err := changeFile(ctx, in, out, overwrite, func(c *Container, dst io.Writer) (struct{}, error) {
		return struct{}{}, c.Remove(ctx, dst, names...)
	})
	return err
}

// toFile writes an output, checks it as a stranger would, and puts it in place.
func toFile[R any](ctx context.Context, out string, mode fs.FileMode, overwrite bool, sources []fs.FileInfo, write func(io.Writer) (R, []*File, error)) (R, error) {
	var none R
	target, err := outfile.Create(out, mode, overwrite, sources...)
	if err != nil {
		return none, err
	}
	defer target.Discard()
	result, known, err := write(target.Writer())
	if err != nil {
		return none, err
	}
	size, err := target.Seek(0, io.SeekEnd)
	if err != nil {
		return none, fmt.Errorf("%w: %w", signing.ErrCheck, err)
	}
	if err := check(ctx, target, size, known); err != nil {
		return none, err
	}
	return result, target.Place(ctx)
}

// check examines a finished container as a stranger would: its structure, and every
// signature in it. The digests of data files are those that were made while they
// were written; what they are written with says when they change on the disk.
func check(ctx context.Context, src io.ReaderAt, size int64, known []*File) error {
	c, err := Open(ctx, src, size, archive.Limits{})
	if err != nil {
		return fmt.Errorf("%w: %w", signing.ErrCheck, err)
	}
	for _, f := range known {
		if written := c.File(f.Name); written != nil && written.Size == f.Size {
			written.digests = f.digests
		}
	}
	report, err := c.Verify(ctx, signing.VerifyOptions{})
	if err != nil {
		return fmt.Errorf("%w: %w", signing.ErrCheck, err)
	}
	for _, s := range report.Signatures {
		if s.Indication == signing.TotalFailed || s.Integrity != signing.Intact {
			return fmt.Errorf("%w: the signature in %q does not verify", signing.ErrCheck, s.File)
		}
	}
	return nil
}

// Extension is what containers are usually called.
func Extension(kind signing.Format) string {
	if kind == signing.ASiCS {
		return ".asics"
	}
	return ".asice"
}

// IsContainer tells by its name whether a file is one.
func IsContainer(name string) bool {
	switch filepath.Ext(name) {
	case ".asice", ".sce", ".bdoc", ".asics", ".scs":
		return true
	}
	return false
}

// ExtendFile extends the container in the file in and puts the result in place as
// out.
func ExtendFile(ctx context.Context, in, out string, level signing.Baseline, s *signing.Services, overwrite bool) (*signing.Extension, error) {
	return changeFile(ctx, in, out, overwrite, func(c *Container, dst io.Writer) (*signing.Extension, error) {
		return c.Extend(ctx, dst, level, s)
	})
}
