// Package outfile puts a finished file in place: it is written beside its target,
// checked there, made durable, and gets its name only then. A failure at any
// moment leaves the input and an earlier output as they were.
package outfile

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/eidbridge/eidbridge/signing"
)

// File is an output that has no name yet.
type File struct {
	*os.File
	out       string
	mode      fs.FileMode
	overwrite bool
	done      bool
}

// Create begins an output. The target must be free or, with overwrite, a plain
// file other than the sources; errors match signing.ErrExists or
// signing.ErrOutput. mode holds the permissions it gets.
func Create(out string, mode fs.FileMode, overwrite bool, sources ...fs.FileInfo) (*File, error) {
	if err := checkTarget(sources, out, overwrite); err != nil {
		return nil, err
	}
	temp, err := os.CreateTemp(filepath.Dir(out), "."+filepath.Base(out)+".*.part")
	if err != nil {
		return nil, fmt.Errorf("%w: %w", signing.ErrOutput, err)
	}
	return &File{File: temp, out: out, mode: mode, overwrite: overwrite}, nil
}

// Writer writes to the file and marks errors as those of the output, so that a
// full disk is told apart from an unreadable source.
func (f *File) Writer() io.Writer { return writer{f.File} }

// Place makes the file durable and gives it its name. Nothing may be done with it
// afterwards but Discard.
func (f *File) Place(ctx context.Context) error {
	if err := put(ctx, f.File, f.out, f.mode, f.overwrite); err != nil {
		return err
	}
	f.done = true
	return nil
}

// Discard closes the file, and removes it unless it is in place.
func (f *File) Discard() {
	f.Close()
	if !f.done {
		_ = os.Remove(f.Name())
	}
}

// Put makes a finished temporary file durable and gives it its name.
func put(ctx context.Context, temp *os.File, out string, mode fs.FileMode, overwrite bool) error {
	if err := temp.Chmod(mode); err != nil {
		return fmt.Errorf("%w: %w", signing.ErrOutput, err)
	}
	if err := temp.Sync(); err != nil {
		return fmt.Errorf("%w: %w", signing.ErrOutput, err)
	}
	if err := temp.Close(); err != nil {
		return fmt.Errorf("%w: %w", signing.ErrOutput, err)
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	return place(temp.Name(), out, overwrite)
}

type writer struct{ f *os.File }

func (o writer) Write(p []byte) (int, error) {
	n, err := o.f.Write(p)
	return n, outputError(err)
}

// WriteAt lets a format complete what stands before, once it is known.
func (o writer) WriteAt(p []byte, at int64) (int, error) {
	n, err := o.f.WriteAt(p, at)
	return n, outputError(err)
}

func outputError(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%w: %w", signing.ErrOutput, err)
}

// Open opens a source, which must be a regular file.
func Open(name string) (*os.File, fs.FileInfo, error) {
	// Looked at before it is opened: opening a FIFO would wait for its writer.
	info, err := os.Stat(name)
	if err != nil {
		return nil, nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, nil, &fs.PathError{Op: "open", Path: name, Err: errors.New("not a regular file")}
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, nil, err
	}
	if info, err = f.Stat(); err != nil {
		f.Close()
		return nil, nil, err
	}
	return f, info, nil
}

// checkTarget refuses an output that is in the way or no plain file. It does so
// early for the sake of a good answer; place decides.
func checkTarget(sources []fs.FileInfo, out string, overwrite bool) error {
	info, err := os.Lstat(out)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return fmt.Errorf("%w: %w", signing.ErrOutput, err)
	case slices.ContainsFunc(sources, func(in fs.FileInfo) bool { return os.SameFile(in, info) }):
		return fmt.Errorf("%w: output and input are the same file", signing.ErrOutput)
	case !info.Mode().IsRegular():
		return fmt.Errorf("%w: %s is not a regular file", signing.ErrOutput, out)
	case !overwrite:
		return fmt.Errorf("%w: %s", signing.ErrExists, out)
	}
	return nil
}

// place gives the finished file its name and makes that durable.
func place(temp, out string, overwrite bool) error {
	if overwrite {
		if err := os.Rename(temp, out); err != nil {
			return fmt.Errorf("%w: %w", signing.ErrOutput, err)
		}
	} else if err := linkNew(temp, out); err != nil {
		return err
	}
	if err := syncDir(filepath.Dir(out)); err != nil {
		return fmt.Errorf("%w: %w", signing.ErrOutput, err)
	}
	return nil
}

// linkNew moves a file to a name that must be free. A hard link does this
// atomically; file systems without them get the name reserved first.
func linkNew(temp, out string) error {
	err := os.Link(temp, out)
	if err == nil {
		_ = os.Remove(temp) // a left-over second name harms nothing
		return nil
	}
	if errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("%w: %s", signing.ErrExists, out)
	}
	reserved, err := os.OpenFile(out, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("%w: %s", signing.ErrExists, out)
	}
	if err != nil {
		return fmt.Errorf("%w: %w", signing.ErrOutput, err)
	}
	reserved.Close()
	if err := os.Rename(temp, out); err != nil {
		_ = os.Remove(out)
		return fmt.Errorf("%w: %w", signing.ErrOutput, err)
	}
	return nil
}
