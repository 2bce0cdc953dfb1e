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
	temp      string // the name it goes by until then; a new file needs none on Linux
	mode      fs.FileMode
	overwrite bool
	left      bool // Discard no longer concerns it
}

// Create begins an output. The target must be free or, with overwrite, a plain
// file other than the sources; errors match signing.ErrExists or
// signing.ErrOutput. mode holds the permissions it gets.
func Create(out string, mode fs.FileMode, overwrite bool, sources ...fs.FileInfo) (*File, error) {
	if err := checkTarget(sources, out, overwrite); err != nil {
		return nil, err
	}
	f := &File{out: out, mode: mode, overwrite: overwrite}
	if !overwrite {
		f.File = openUnnamed(filepath.Dir(out))
	}
	if f.File == nil {
		temp, err := createPart(out)
		if err != nil {
			return nil, outputError(err)
		}
		f.File, f.temp = temp, temp.Name()
	}
	return f, nil
}

// createPart makes the file that an output is until it gets its name.
func createPart(out string) (*os.File, error) {
	for {
		f, err := os.CreateTemp(filepath.Dir(out), "."+filepath.Base(out)+".*.part")
		if err != nil || claimNew(f) {
			return f, err
		}
		f.Close() // swept already
	}
}

// Writer writes to the file and marks errors as those of the output, so that a
// full disk is told apart from an unreadable source.
func (f *File) Writer() io.Writer { return writer{f.File} }

// Place gives the file its name and makes both durable. Nothing may be done with it
// afterwards but Discard.
func (f *File) Place(ctx context.Context) error { return f.place(ctx.Err) }

// place is Place; ended says why it should not go on.
func (f *File) place(ended func() error) error {
	if err := f.Chmod(f.mode); err != nil {
		return outputError(err)
	}
	// The package comment has the reasons for this order.
	onDisk := !f.overwrite && ordered(f.File) && f.wait()
	if !onDisk {
		if err := f.Sync(); err != nil {
			return outputError(err)
		}
	}
	if err := ended(); err != nil {
		return err
	}
	if err := f.name(!onDisk); err != nil {
		return err
	}
	if !onDisk && f.temp != "" {
		return f.placed(SyncFolder(filepath.Dir(f.out)))
	}
	// Side by side, for with one journal both wait for the same commit. Without, the
	// disk must learn that the file is named.
	synced := make(chan error, 1)
	go func() { synced <- f.Sync() }()
	err := SyncFolder(filepath.Dir(f.out))
	return f.placed(errors.Join(err, <-synced))
}

// Replace makes a file hold data, whatever it held before, or leaves it as it is; it
// removes what a program that was killed left beside it.
func Replace(out string, data []byte, mode fs.FileMode) error {
	if _, err := Sweep(out); err != nil {
		return err
	}
	f, err := Create(out, mode, true)
	if err != nil {
		return err
	}
	defer f.Discard()
	if _, err := f.Writer().Write(data); err != nil {
		return err
	}
	return f.place(func() error { return nil })
}

// Discard closes the file, and removes it unless it is in place or handed over.
func (f *File) Discard() {
	if f.left {
		return
	}
	f.left = true
	f.Close()
	if f.temp != "" {
		_ = os.Remove(f.temp)
	}
}

// name gives the file its name. Where it is claimed it stays open meanwhile: closed, and
// under the name that it goes by until then, it is what Sweep takes for abandoned.
// Elsewhere one that is complete is closed before, as some systems rename no open files.
func (f *File) name(complete bool) error {
	if f.temp == "" {
		return outputError(linkUnnamed(f.File, f.out))
	}
	if complete && !claims {
		if err := f.Close(); err != nil {
			return outputError(err)
		}
	}
	if f.overwrite {
		return outputError(os.Rename(f.temp, f.out))
	}
	return outputError(linkNew(f.temp, f.out))
}

// placed ends the work on a file that has its name. When it could not be made
// durable, a name that was free is free again.
func (f *File) placed(err error) error {
	if err != nil && !f.overwrite {
		mine, err1 := f.Stat()
		there, err2 := os.Lstat(f.out)
		if err1 == nil && err2 == nil && os.SameFile(mine, there) {
			_ = os.Remove(f.out)
		}
	}
	f.left = true
	f.Close()
	return outputError(err)
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

// outputError marks an error as one of the output.
func outputError(err error) error {
	switch {
	case err == nil, errors.Is(err, signing.ErrExists):
		return err
	case errors.Is(err, fs.ErrExist):
		return fmt.Errorf("%w: %w", signing.ErrExists, err)
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
// early for the sake of a good answer; File.name decides.
func checkTarget(sources []fs.FileInfo, out string, overwrite bool) error {
	info, err := os.Lstat(out)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return outputError(err)
	case slices.ContainsFunc(sources, func(in fs.FileInfo) bool { return os.SameFile(in, info) }):
		return fmt.Errorf("%w: output and input are the same file", signing.ErrOutput)
	case !info.Mode().IsRegular():
		return fmt.Errorf("%w: %s is not a regular file", signing.ErrOutput, out)
	case !overwrite:
		return fmt.Errorf("%w: %s", signing.ErrExists, out)
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
		return err
	}
	reserved, err := os.OpenFile(out, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	reserved.Close()
	if err := os.Rename(temp, out); err != nil {
		_ = os.Remove(out)
		return err
	}
	return nil
}
