package pdf

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
)

// Document is an open PDF file, or the state of one at the end of a revision.
// It is not safe for concurrent use.
type Document struct {
	src      *source
	size     int64 // what lies behind this does not exist for this document
	header   int64 // offset of %PDF-
	version  string
	sections []*section // newest first
	// startxref is the offset of the newest section.
	startxref  int64
	lastEOF    int64      // behind the last %%EOF
	revisions  []Revision // oldest first
	deviations []Deviation
	limits     Limits
	streams    *streamCache
	crypt      *encryption // nil when not encrypted, or locked
	rebuilt    bool        // by a scan, without a cross-reference section of the file
}

// source is what all views of one file share.
type source struct {
	r        io.ReaderAt
	ctx      context.Context
	inflated int64
	recent   recent
	windows  windows
	stack    []Object // empty, for the next lexer
	// opening is set while an object stream is read, which must not need another.
	opening bool
}

// Deviation is a departure from the standard that the reader put up with.
type Deviation struct {
	Offset int64
	What   string
	tip    bool // about the way to the newest section, which an update mends
}

// Open reads header, cross-reference sections and trailers of a file of size
// bytes. The context ends long reads, also later ones. Errors are ErrNotPDF,
// *FormatError, *LimitError, or those of r.
//
// An encrypted document is opened with the empty password, which is the frequent
// case; see OpenProtected.
func Open(ctx context.Context, r io.ReaderAt, size int64, limits Limits) (*Document, error) {
	return OpenProtected(ctx, r, size, limits, nil)
}

// OpenProtected opens a document with the password of its user or its owner. With
// a wrong one, or with a kind of encryption that is not known, the document is
// open but Locked: what lies inside the encryption yields ErrEncrypted.
func OpenProtected(ctx context.Context, r io.ReaderAt, size int64, limits Limits, password []byte) (*Document, error) {
	d := &Document{
		src:     &source{r: r, ctx: ctx},
		size:    size,
		limits:  limits.withDefaults(),
		streams: new(streamCache),
	}
	if err := d.readHeader(); err != nil {
		return nil, err
	}
	start, err := d.findStartxref()
	if err != nil {
		return nil, err
	}
	if err := d.readSections(start); err != nil {
		return nil, err
	}
	if err := d.readRevisions(); err != nil {
		return nil, err
	}
	return d, d.unlock(password)
}

// readAt fills as much of p as there is and returns how much that was.
func (d *Document) readAt(p []byte, offset int64) (int, error) {
	if err := d.src.ctx.Err(); err != nil {
		return 0, err
	}
	if offset < 0 || offset >= d.size {
		return 0, nil
	}
	p = p[:min(int64(len(p)), d.size-offset)]
	n, err := d.src.r.ReadAt(p, offset)
	if n == len(p) || errors.Is(err, io.EOF) {
		return n, nil
	}
	if err != nil {
		return n, fmt.Errorf("reading PDF: %w", err)
	}
	return n, nil
}

func (d *Document) readHeader() error {
	window, err := d.peek(0, headerWindow)
	if err != nil {
		return err
	}
	at := bytes.Index(window, []byte("%PDF-"))
	if at < 0 || at+len("%PDF-1.0") > len(window) {
		return ErrNotPDF
	}
	version := window[at+len("%PDF-") : at+len("%PDF-1.0")]
	if !isDigit(version[0]) || version[1] != '.' || !isDigit(version[2]) {
		return ErrNotPDF
	}
	d.header, d.version = int64(at), string(version)
	return nil
}

// findStartxref reads the offset behind the last startxref of the file.
func (d *Document) findStartxref() (int64, error) {
	base := max(0, d.size-tailWindow)
	window, err := d.peek(base, tailWindow)
	if err != nil {
		return 0, err
	}
	at := bytes.LastIndex(window, []byte("startxref"))
	if at < 0 {
		return 0, malformed(d.size, "no startxref in the last %d bytes", tailWindow)
	}
	offset, length, ok := parseStartxref(window[at:])
	d.lastEOF = base + int64(at+length)
	if !ok {
		return 0, malformed(base+int64(at), "startxref without an offset and %%%%EOF")
	}
	return offset, nil
}

// parseStartxref reads "startxref", an offset and "%%EOF" and returns the
// offset and the length up to the end of %%EOF.
func parseStartxref(b []byte) (offset int64, length int, ok bool) {
	pos := len("startxref")
	if len(b) < pos || string(b[:pos]) != "startxref" {
		return 0, 0, false
	}
	for pos < len(b) && isSpace(b[pos]) {
		pos++
	}
	from := pos
	for pos < len(b) && isDigit(b[pos]) && pos-from < 19 {
		pos++
	}
	offset, err := strconv.ParseInt(string(b[from:pos]), 10, 64)
	if err != nil {
		return 0, 0, false
	}
	for pos < len(b) && isSpace(b[pos]) {
		pos++
	}
	if !bytes.HasPrefix(b[pos:], []byte("%%EOF")) {
		return 0, 0, false
	}
	return offset, pos + len("%%EOF"), true
}

func (d *Document) deviate(offset int64, format string, args ...any) {
	d.deviations = append(d.deviations, Deviation{Offset: offset, What: fmt.Sprintf(format, args...)})
}

// misplaced records an offset that did not lead where it should.
func (d *Document) misplaced(offset int64, format string, args ...any) {
	d.deviate(offset, format, args...)
	d.deviations[len(d.deviations)-1].tip = len(d.sections) == 0
}

// Sound tells whether an update of the document can be read by everybody: its
// chain needs no tolerance but for the newest offset, which the update mends, and
// no entry leads behind the end of the file, where the update will be. Nor may
// objects follow the end.
func (d *Document) Sound() bool {
	if d.rebuilt {
		return true
	}
	for _, deviation := range d.deviations {
		if !deviation.tip {
			return false
		}
	}
	rest := make([]byte, min(tailWindow, max(0, d.size-d.lastEOF)))
	n, err := d.readAt(rest, d.lastEOF)
	if at, trailer := nextBeginning(rest[:n]); err != nil || at >= 0 || trailer {
		return false // part of a revision that lost its end
	}
	return d.Closed()
}

// Size returns the length in bytes of the file, or of the revision that At
// stopped at.
func (d *Document) Size() int64 { return d.size }

// HeaderOffset returns how many bytes lie before the header.
func (d *Document) HeaderOffset() int64 { return d.header }

// Deviations returns what the reader put up with.
func (d *Document) Deviations() []Deviation { return d.deviations }

// Limits returns the limits in force.
func (d *Document) Limits() Limits { return d.limits }

// Trailer returns the newest trailer dictionary.
func (d *Document) Trailer() Object { return d.sections[0].trailer }

// Encrypted tells whether the trailer names an encryption dictionary.
func (d *Document) Encrypted() bool {
	for _, s := range d.sections {
		if !s.trailer.Get("Encrypt").IsNull() {
			return true
		}
	}
	return false
}

// Root returns the reference to the catalog and the catalog itself.
func (d *Document) Root() (Ref, Object, error) {
	ref, ok := d.Trailer().Get("Root").Ref()
	if !ok {
		return Ref{}, Object{}, malformed(d.Trailer().Offset(), "trailer without a reference to the catalog")
	}
	catalog, err := d.Object(ref)
	if err != nil {
		return Ref{}, Object{}, fmt.Errorf("reading catalog: %w", err)
	}
	if catalog.Value.Kind() != Dictionary {
		return Ref{}, Object{}, malformed(catalog.Value.Offset(), "the catalog is no dictionary")
	}
	return ref, catalog.Value, nil
}

// Version returns the PDF version such as "1.7": the later of header and
// catalog (7.2.2 and table 29).
func (d *Document) Version() string {
	_, catalog, err := d.Root()
	if err != nil {
		return d.version
	}
	if v, err := d.Resolve(catalog.Get("Version")); err == nil && len(v.Name()) == 3 && v.Name() > d.version {
		return v.Name()
	}
	return d.version
}
