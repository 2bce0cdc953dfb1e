package archive

import (
	"archive/zip"
	"compress/flate"
	"context"
	"encoding/binary"
	"hash/crc32"
	"io"
	"path"
	"strings"
	"time"

	"github.com/eidbridge/eidbridge/signing"
)

// Writer writes an archive from front to back.
type Writer struct {
	zip *zip.Writer
	out *counter
	// level is that of the file which is written now.
	level int
}

// counter counts what is written.
type counter struct {
	to   io.Writer
	size int64
}

func (c *counter) Write(p []byte) (int, error) {
	n, err := c.to.Write(p)
	c.size += int64(n)
	return n, err
}

// NewWriter begins an archive. Where the destination is an io.WriterAt that is
// empty so far, large files are stored as they are.
func NewWriter(dst io.Writer) *Writer {
	out := &counter{to: dst}
	w := &Writer{zip: zip.NewWriter(out), out: out}
	w.zip.RegisterCompressor(zip.Deflate, func(out io.Writer) (io.WriteCloser, error) {
		return flate.NewWriter(out, w.level)
	})
	return w
}

// Bare writes a small stored file without extra field and data descriptor, as
// the first file of a container has to be (EN 319 162-1 A.1).
func (w *Writer) Bare(name string, content []byte) error {
	out, err := w.zip.CreateRaw(&zip.FileHeader{
		Name: name, Method: zip.Store, CRC32: crc32.ChecksumIEEE(content),
		CompressedSize64: uint64(len(content)), UncompressedSize64: uint64(len(content)),
	})
	if err != nil {
		return err
	}
	_, err = out.Write(content)
	return err
}

// Size is what was written so far, in bytes; all of it after Close.
func (w *Writer) Size() int64 { return w.out.size }

// SmallFile is the size up to which files are compressed, in bytes. Larger ones
// go into the archive as they are: most large files are compressed already, and
// signing should not take longer than reading them.
const SmallFile = 4 << 20

// largest is the size from which on a header has no room for it.
const largest = 1<<32 - 1

// stored writes a file as it is and puts its checksum into the header afterwards.
type stored struct {
	w      *Writer
	out    io.Writer
	header *zip.FileHeader
	at     int64 // of the header
	sum    uint32
	size   int64
}

func (s *stored) Write(p []byte) (int, error) {
	n, err := s.out.Write(p)
	s.sum = crc32.Update(s.sum, crc32.IEEETable, p[:n])
	s.size += int64(n)
	return n, err
}

// Close completes the header before the file and the one in the directory.
func (s *stored) Close() error {
	if uint64(s.size) != s.header.UncompressedSize64 {
		return signing.ErrSourceChanged
	}
	if err := s.w.zip.Flush(); err != nil {
		return err
	}
	s.header.CRC32 = s.sum // the directory is written from this very header
	_, err := s.w.out.to.(io.WriterAt).WriteAt(binary.LittleEndian.AppendUint32(nil, s.sum), s.at+headerSum)
	return err
}

// headerSum is where the checksum stands in the header before a file
// (APPNOTE 4.3.7).
const headerSum = 14

type open struct{ io.Writer }

func (open) Close() error { return nil }

// Create begins a file whose size is known, -1 if it is not. What is written to
// the result is its content; it is closed before the next call.
func (w *Writer) Create(name string, modified time.Time, size int64) (io.WriteCloser, error) {
	if err := CheckName(name); err != nil {
		return nil, err
	}
	h := &zip.FileHeader{Name: name, Method: zip.Deflate, Modified: modified}
	h.SetMode(0o644)
	w.level = flate.DefaultCompression
	if size < 0 || size > SmallFile || compressed(name) {
		w.level = flate.NoCompression
		if _, patches := w.out.to.(io.WriterAt); patches && size >= 0 && size < largest {
			return w.store(h, size)
		}
	}
	out, err := w.zip.CreateHeader(h)
	return open{out}, err
}

func (w *Writer) store(h *zip.FileHeader, size int64) (io.WriteCloser, error) {
	h.Method, h.CompressedSize64, h.UncompressedSize64 = zip.Store, uint64(size), uint64(size)
	out, err := w.zip.CreateRaw(h)
	if err != nil {
		return nil, err
	}
	// The header is what was written last, behind the end of the file before.
	if err := w.zip.Flush(); err != nil {
		return nil, err
	}
	at := w.out.size - localSize - int64(len(h.Name)+len(h.Extra))
	return &stored{w: w, out: out, header: h, at: at}, nil
}

// Write writes a small file.
func (w *Writer) Write(name string, modified time.Time, content []byte) error {
	out, err := w.Create(name, modified, int64(len(content)))
	if err != nil {
		return err
	}
	if _, err := out.Write(content); err != nil {
		return err
	}
	return out.Close()
}

// compressed tells by its name whether compressing a file is in vain.
func compressed(name string) bool {
	switch strings.ToLower(path.Ext(name)) {
	case ".zip", ".gz", ".bz2", ".xz", ".zst", ".7z", ".rar", ".jpg", ".jpeg", ".png", ".gif", ".webp", ".mp3", ".mp4", ".m4a", ".mkv",
		".mov", ".avi", ".docx", ".xlsx", ".pptx", ".odt", ".ods", ".odp", ".epub", ".jar", ".asice", ".asics", ".bdoc", ".sce", ".scs", ".ddoc":
		return true
	}
	return false
}

// Copy copies a file of another archive as it is, without inflating it.
func (w *Writer) Copy(ctx context.Context, f *File) error {
	h := &zip.FileHeader{
		Name: f.Name, Method: uint16(f.Method), CRC32: f.CRC32, Modified: f.Modified,
		CompressedSize64: uint64(f.Compressed), UncompressedSize64: uint64(f.Size),
	}
	if f.Compressed >= largest || f.Size >= largest {
		h.Flags |= flagDescriptor // carries sizes that the header has no room for
	}
	h.SetMode(0o644)
	out, err := w.zip.CreateRaw(h)
	if err != nil {
		return err
	}
	_, err = signing.Copy(ctx, out, f.Raw())
	return err
}

// Close writes the directory.
func (w *Writer) Close() error { return w.zip.Close() }
