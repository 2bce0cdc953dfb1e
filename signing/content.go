package signing

import (
	"context"
	"crypto"
	"errors"
	"fmt"
	"io"
	"os"
)

// Content is data that a signature is about and that stands elsewhere: a file
// beside it, or one in a container.
type Content interface {
	// Open returns the bytes from the start, as often as it is called. The caller
	// closes.
	Open() (io.ReadCloser, error)
}

// FileContent is a file on disk.
type FileContent string

// Open opens the file, which must be a regular one.
func (f FileContent) Open() (io.ReadCloser, error) {
	info, err := os.Stat(string(f))
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s: not a regular file", f)
	}
	return os.Open(string(f))
}

// SectionContent is a stretch of something that can be read at any place.
func SectionContent(src io.ReaderAt, at, size int64) Content { return section{src, at, size} }

type section struct {
	src      io.ReaderAt
	at, size int64
}

func (s section) Open() (io.ReadCloser, error) {
	return io.NopCloser(io.NewSectionReader(s.src, s.at, s.size)), nil
}

// Digests reads the content once and returns its digests and its size.
func Digests(ctx context.Context, c Content, hashes ...crypto.Hash) (map[crypto.Hash][]byte, int64, error) {
	r, err := c.Open()
	if err != nil {
		return nil, 0, err
	}
	defer r.Close()
	writers := make(map[crypto.Hash]io.Writer)
	sums := make(map[crypto.Hash]func() []byte)
	var all []io.Writer
	for _, h := range hashes {
		if writers[h] == nil && h.Available() {
			sum := h.New()
			writers[h], sums[h] = sum, func() []byte { return sum.Sum(nil) }
			all = append(all, sum)
		}
	}
	size, err := Copy(ctx, io.MultiWriter(all...), r)
	if err != nil {
		return nil, 0, err
	}
	digests := make(map[crypto.Hash][]byte)
	for h, sum := range sums {
		digests[h] = sum()
	}
	return digests, size, nil
}

// copyBuffer is what a pass over content holds, in bytes.
const copyBuffer = 256 << 10

// Copy copies to the end of src and looks at the context between pieces.
func Copy(ctx context.Context, dst io.Writer, src io.Reader) (int64, error) {
	buf := make([]byte, copyBuffer)
	var size int64
	for {
		if err := ctx.Err(); err != nil {
			return size, err
		}
		n, err := src.Read(buf)
		if n > 0 {
			if _, err := dst.Write(buf[:n]); err != nil {
				return size, err
			}
			size += int64(n)
		}
		if errors.Is(err, io.EOF) {
			return size, nil
		}
		if err != nil {
			return size, err
		}
	}
}
