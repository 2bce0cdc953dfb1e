package pades

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/eidbridge/eidbridge/signing"
)

// SignFile signs the file in and puts the result in place as out. It writes
// beside out, checks what it wrote by reading it again, and links it to its name
// only then, so that a failure at any moment leaves in and an earlier out as
// they were. The output takes the permissions of the input.
//
// Beside the errors of Sign it returns ErrExists, ErrOutput and ErrCheck.
func SignFile(ctx context.Context, in, out string, cred signing.Credential, o Options) (*Result, error) {
	src, info, err := openSource(in)
	if err != nil {
		return nil, err
	}
	defer src.Close()
	if err := checkTarget(info, out, o.Overwrite); err != nil {
		return nil, err
	}
	temp, err := os.CreateTemp(filepath.Dir(out), "."+filepath.Base(out)+".*.part")
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrOutput, err)
	}
	done := false
	defer func() {
		temp.Close()
		if !done {
			_ = os.Remove(temp.Name())
		}
	}()
	made, err := signTo(ctx, src, info.Size(), outputWriter{temp}, cred, o)
	if err != nil {
		return nil, err
	}
	if err := made.plan.Check(ctx, src, temp); err != nil {
		return nil, err
	}
	result, err := raiseFile(ctx, temp, made, o)
	if err != nil {
		return nil, err
	}
	if err := putInPlace(ctx, temp, out, info.Mode().Perm(), o.Overwrite); err != nil {
		return nil, err
	}
	done = true
	return result, nil
}

// putInPlace makes a finished temporary file durable and gives it its name.
func putInPlace(ctx context.Context, temp *os.File, out string, mode fs.FileMode, overwrite bool) error {
	if err := temp.Chmod(mode); err != nil {
		return fmt.Errorf("%w: %w", ErrOutput, err)
	}
	if err := temp.Sync(); err != nil {
		return fmt.Errorf("%w: %w", ErrOutput, err)
	}
	if err := temp.Close(); err != nil {
		return fmt.Errorf("%w: %w", ErrOutput, err)
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	return place(temp.Name(), out, overwrite)
}

// outputWriter marks errors of the output, so that a full disk is told apart
// from an unreadable source.
type outputWriter struct{ w io.Writer }

func (o outputWriter) Write(p []byte) (int, error) {
	n, err := o.w.Write(p)
	if err != nil {
		err = fmt.Errorf("%w: %w", ErrOutput, err)
	}
	return n, err
}

func openSource(name string) (*os.File, fs.FileInfo, error) {
	// Looked at before it is opened: opening a FIFO would wait for its writer.
	info, err := os.Stat(name)
	if err != nil {
		return nil, nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, nil, &fs.PathError{Op: "sign", Path: name, Err: errors.New("not a regular file")}
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
func checkTarget(in fs.FileInfo, out string, overwrite bool) error {
	info, err := os.Lstat(out)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return fmt.Errorf("%w: %w", ErrOutput, err)
	case os.SameFile(in, info):
		return fmt.Errorf("%w: output and input are the same file", ErrOutput)
	case !info.Mode().IsRegular():
		return fmt.Errorf("%w: %s is not a regular file", ErrOutput, out)
	case !overwrite:
		return fmt.Errorf("%w: %s", ErrExists, out)
	}
	return nil
}

// place gives the finished file its name and makes that durable.
func place(temp, out string, overwrite bool) error {
	if overwrite {
		if err := os.Rename(temp, out); err != nil {
			return fmt.Errorf("%w: %w", ErrOutput, err)
		}
	} else if err := linkNew(temp, out); err != nil {
		return err
	}
	if err := syncDir(filepath.Dir(out)); err != nil {
		return fmt.Errorf("%w: %w", ErrOutput, err)
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
		return fmt.Errorf("%w: %s", ErrExists, out)
	}
	reserved, err := os.OpenFile(out, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("%w: %s", ErrExists, out)
	}
	if err != nil {
		return fmt.Errorf("%w: %w", ErrOutput, err)
	}
	reserved.Close()
	if err := os.Rename(temp, out); err != nil {
		_ = os.Remove(out)
		return fmt.Errorf("%w: %w", ErrOutput, err)
	}
	return nil
}
