package asic

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"time"

	"github.com/eidbridge/eidbridge/signing"
	"github.com/eidbridge/eidbridge/signing/archive"
)

// Create writes an unsigned container with files. The content of each is read
// once.
func Create(ctx context.Context, dst io.Writer, kind signing.Format, inputs []Input) error {
	if err := checkKind(kind); err != nil {
		return err
	}
	if err := checkInputs(kind, nil, inputs); err != nil {
		return err
	}
	w := archive.NewWriter(dst)
	if err := writeMimetype(w, kind); err != nil {
		return err
	}
	s := &staged{kind: kind, now: time.Now()}
	for _, in := range inputs {
		f, err := writeInput(ctx, w, in)
		if err != nil {
			return err
		}
		s.files = append(s.files, f)
	}
	if kind == signing.ASiCE {
		s.putManifest()
	}
	return s.finish(ctx, w)
}

func checkKind(kind signing.Format) error {
	if kind != signing.ASiCE && kind != signing.ASiCS {
		return signing.Refuse(signing.RefusedOption, "choose asic-e or asic-s", "%q is no kind of container", kind)
	}
	return nil
}

// unsigned refuses to change files of a container that somebody signed.
func (c *Container) unsigned() error {
	if !c.hasSignatures() && len(c.metaOf(roleToken)) == 0 {
		return nil
	}
	return fmt.Errorf("%w: %w", ErrSigned, signing.Refuse(signing.RefusedOption,
		"extract the files and make a new container of them", "the container is signed, and every change of its files would break or mislead about the signatures"))
}

// Add writes a container with further files. A signed container takes none: its
// signatures would not cover them (ErrSigned).
func (c *Container) Add(ctx context.Context, dst io.Writer, inputs ...Input) error {
	if err := c.unsigned(); err != nil {
		return err
	}
	if err := checkInputs(c.Kind, c.Files, inputs); err != nil {
		return err
	}
	w := archive.NewWriter(dst)
	if err := writeMimetype(w, c.Kind); err != nil {
		return err
	}
	s := c.stage(time.Now())
	for _, f := range s.files {
		if err := w.Copy(ctx, f.zip); err != nil {
			return fmt.Errorf("copying %q: %w", f.Name, err)
		}
	}
	for _, in := range inputs {
		f, err := writeInput(ctx, w, in)
		if err != nil {
			return err
		}
		s.files = append(slices.Clip(s.files), f)
	}
	if c.Kind == signing.ASiCE {
		s.putManifest()
	}
	return s.finish(ctx, w)
}

// Remove writes a container without some of its files. Files that signatures
// cover stay (ErrSigned).
func (c *Container) Remove(ctx context.Context, dst io.Writer, names ...string) error {
	for _, name := range names {
		if c.File(name) == nil {
			return fmt.Errorf("%w: %q", ErrNoFile, name)
		}
	}
	if err := c.unsigned(); err != nil {
		return err
	}
	s := c.stage(time.Now())
	s.files = slices.DeleteFunc(slices.Clone(s.files), func(f *File) bool { return slices.Contains(names, f.Name) })
	if len(s.files) == 0 {
		return signing.Refuse(signing.RefusedOption, "delete the container instead", "nothing would be left in it")
	}
	if c.Kind == signing.ASiCE {
		s.putManifest()
	}
	_, err := s.write(ctx, dst)
	return err
}

// Extract writes data files into a folder that exists; without names, all of
// them. Nothing outside the folder is touched, links in it are not followed out of
// it, and a file that exists is left alone (signing.ErrExists). It returns the
// paths below the folder.
func (c *Container) Extract(ctx context.Context, folder string, names ...string) ([]string, error) {
	files := c.Files
	if len(names) > 0 {
		files = nil
		for _, name := range names {
			f := c.File(name)
			if f == nil {
				return nil, fmt.Errorf("%w: %q", ErrNoFile, name)
			}
			files = append(files, f)
		}
	}
	root, err := os.OpenRoot(folder)
	if err != nil {
		return nil, err
	}
	defer func() { _ = root.Close() }() // nothing is written through it any more
	var done []string
	for _, f := range files {
		if err := f.extract(ctx, root); err != nil {
			return done, fmt.Errorf("extracting %q: %w", f.Name, err)
		}
		done = append(done, f.Name)
	}
	return done, nil
}

func (f *File) extract(ctx context.Context, root *os.Root) error {
	name := filepath.FromSlash(f.Name)
	if dir := path.Dir(f.Name); dir != "." {
		if err := root.MkdirAll(filepath.FromSlash(dir), 0o755); err != nil {
			return err
		}
	}
	out, err := root.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644)
	if errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("%w: %s", signing.ErrExists, name)
	}
	if err != nil {
		return fmt.Errorf("%w: %w", signing.ErrOutput, err)
	}
	err = f.copy(ctx, out)
	if failure := out.Close(); err == nil && failure != nil {
		err = fmt.Errorf("%w: %w", signing.ErrOutput, failure)
	}
	if err != nil {
		_ = root.Remove(name) // half a file would pass for a whole one
	}
	return err
}

func (f *File) copy(ctx context.Context, dst io.Writer) error {
	src, err := f.Open()
	if err != nil {
		return err
	}
	defer src.Close()
	_, err = signing.Copy(ctx, dst, src)
	return err
}

// FileInput is a file on disk under its base name.
func FileInput(name string) (Input, error) {
	info, err := os.Stat(name)
	if err != nil {
		return Input{}, err
	}
	if !info.Mode().IsRegular() {
		return Input{}, &fs.PathError{Op: "open", Path: name, Err: errors.New("not a regular file")}
	}
	return Input{Name: filepath.Base(name), Modified: info.ModTime(), Size: info.Size(), Content: signing.FileContent(name)}, nil
}
