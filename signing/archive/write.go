package archive

import (
	"archive/zip"
	"compress/flate"
	"context"
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
	// level is that of the file which is written now.
	level int
}

// NewWriter begins an archive.
func NewWriter(dst io.Writer) *Writer {
	w := &Writer{zip: zip.NewWriter(dst)}
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

// SmallFile is the size up to which files are compressed, in bytes. Larger ones
// go into the archive as they are, in the form of deflate that compresses
// nothing: most large files are compressed already, and signing should not take
// longer than reading them.
const SmallFile = 4 << 20

// Create begins a file whose size is known roughly; -1 if not at all. What is
// written to the result is its content, until the next call.
func (w *Writer) Create(name string, modified time.Time, size int64) (io.Writer, error) {
	if err := CheckName(name); err != nil {
		return nil, err
	}
	w.level = flate.DefaultCompression
	if size < 0 || size > SmallFile || compressed(name) {
		w.level = flate.NoCompression
	}
	h := &zip.FileHeader{Name: name, Method: zip.Deflate, Modified: modified}
	h.SetMode(0o644)
	return w.zip.CreateHeader(h)
}

// Write writes a small file.
func (w *Writer) Write(name string, modified time.Time, content []byte) error {
	out, err := w.Create(name, modified, int64(len(content)))
	if err != nil {
		return err
	}
	_, err = out.Write(content)
	return err
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
	const largest = 1<<32 - 1
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
