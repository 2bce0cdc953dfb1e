package archive

import (
	"compress/flate"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
)

// Open returns the inflated content from the start. Reading fails with ErrCorrupt
// when the bytes are not those that the directory describes; that is known at the
// end.
func (f *File) Open() (io.ReadCloser, error) {
	raw := io.NewSectionReader(f.src, f.at, f.Compressed)
	c := &checker{f: f, inner: raw, close: func() error { return nil }}
	if f.Method == Deflated {
		inflated := flate.NewReader(raw)
		c.inner, c.close, c.raw = inflated, inflated.Close, raw
	}
	return c, nil
}

// Raw returns the compressed bytes.
func (f *File) Raw() *io.SectionReader { return io.NewSectionReader(f.src, f.at, f.Compressed) }

// ReadAll returns the content of a small file; ErrLimit when it has more than
// most bytes.
func (f *File) ReadAll(most int64) ([]byte, error) {
	if f.Size > most {
		return nil, limitError("%s has %d bytes", quoted(f.Name), f.Size)
	}
	r, err := f.Open()
	if err != nil {
		return nil, err
	}
	defer r.Close()
	return io.ReadAll(r)
}

// checker counts and sums what is read.
type checker struct {
	f     *File
	inner io.Reader
	raw   *io.SectionReader // behind a decompressor
	close func() error
	size  int64
	sum   uint32
}

func (c *checker) Close() error { return c.close() }

func (c *checker) Read(p []byte) (int, error) {
	n, err := c.inner.Read(p)
	c.size += int64(n)
	c.sum = crc32.Update(c.sum, crc32.IEEETable, p[:n])
	if c.size > c.f.Size {
		return 0, fmt.Errorf("%w: %s is longer than the directory says", ErrCorrupt, quoted(c.f.Name))
	}
	if err == nil {
		return n, nil
	}
	if !errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		var syntax flate.CorruptInputError
		if errors.As(err, &syntax) || errors.Is(err, io.ErrUnexpectedEOF) {
			err = fmt.Errorf("%w: %s does not inflate", ErrCorrupt, quoted(c.f.Name))
		}
		return n, err
	}
	if c.size != c.f.Size || c.sum != c.f.CRC32 {
		return n, fmt.Errorf("%w: %s is not what the directory says", ErrCorrupt, quoted(c.f.Name))
	}
	return n, io.EOF
}
