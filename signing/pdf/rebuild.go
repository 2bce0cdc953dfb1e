package pdf

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"slices"
)

// AmbiguousError says why a file whose cross-reference chain is broken is not
// rebuilt: programs could read different documents from it, or a signature
// covers what would have to be guessed.
type AmbiguousError struct {
	Offset int64 // in bytes from the start of the file
	What   string
	// Cut tells that a part of the file is missing, as after a download that broke off.
	Cut bool
}

// Error returns the reason with its place.
func (e *AmbiguousError) Error() string {
	return fmt.Sprintf("PDF cannot be rebuilt without guessing: %s (byte %d)", e.What, e.Offset)
}

// Rebuild opens a file whose cross-reference chain does not lead to its objects,
// by looking for them in one pass over the file. It does so only where nothing
// has to be guessed: every object is there once, or in copies that are the same;
// there is one catalog, and all that it leads to; and there is no signature, because
// what a signature covers is never repaired. Otherwise it returns an *AmbiguousError, or the
// errors of Open.
//
// An update of a rebuilt document brings a complete cross-reference section, so
// that the result can be read by everybody.
func Rebuild(ctx context.Context, r io.ReaderAt, size int64, limits Limits, password []byte) (*Document, error) {
	d := &Document{
		src:     &source{r: r, ctx: ctx},
		size:    size,
		limits:  limits.withDefaults(),
		streams: new(streamCache),
		rebuilt: true,
	}
	if err := d.readHeader(); err != nil {
		return nil, err
	}
	b := &rebuilder{d: d, found: make(map[uint32]foundObject)}
	if err := d.scanFile(b.object, b.trailer); err != nil {
		return nil, err
	}
	if err := b.finish(); err != nil {
		return nil, err
	}
	if err := d.unlock(password); err != nil {
		return nil, err
	}
	if err := b.unpack(); err != nil {
		return nil, err
	}
	return d, d.complete()
}

// Rebuilt tells whether the document was opened by Rebuild.
func (d *Document) Rebuilt() bool { return d.rebuilt }

// LooseSignature is a signature dictionary that a scan of a file came upon.
type LooseSignature struct {
	Ref       Ref
	SubFilter string // a name, without its slash
}

// LooseSignatures looks for signature dictionaries in one pass over a file whose
// cross-reference chain does not lead to its objects, each number once. Nothing
// can be said about what they sign; but that they are there can.
func LooseSignatures(ctx context.Context, r io.ReaderAt, size int64, limits Limits) ([]LooseSignature, error) {
	d := &Document{
		src:     &source{r: r, ctx: ctx},
		size:    size,
		limits:  limits.withDefaults(),
		streams: new(streamCache),
	}
	if err := d.readHeader(); err != nil {
		return nil, err
	}
	var found []LooseSignature
	err := d.scanFile(func(o foundObject) error {
		if o.value.Get("Contents").Kind() != String || o.value.Get("ByteRange").IsNull() ||
			slices.ContainsFunc(found, func(s LooseSignature) bool { return s.Ref.Number == o.ref.Number }) {
			return nil
		}
		if len(found) == d.limits.Signatures {
			return &LimitError{What: "signatures", Limit: int64(d.limits.Signatures)}
		}
		found = append(found, LooseSignature{Ref: o.ref, SubFilter: o.value.Get("SubFilter").Name()})
		return nil
	}, func(Object) {})
	return found, err
}

// foundObject is an object as a scan of the file sees it.
type foundObject struct {
	ref         Ref
	offset, end int64
	value       Object
	stream      bool
	sum         [sha256.Size]byte
}

// rebuilder collects what a scan finds.
type rebuilder struct {
	d        *Document
	found    map[uint32]foundObject
	trailers []Object
	streams  bool // the file uses cross-reference streams or object streams
	packed   []foundObject
}

func (b *rebuilder) object(o foundObject) error {
	if len(b.found) == b.d.limits.Objects {
		return &LimitError{What: "objects", Limit: int64(b.d.limits.Objects)}
	}
	kind := o.value.Get("Type").Name()
	if kind == "Sig" && !o.value.Get("Contents").IsNull() || kind == "DocTimeStamp" || !o.value.Get("ByteRange").IsNull() {
		return &AmbiguousError{Offset: o.offset, What: "the file is signed"}
	}
	if o.stream && kind == "XRef" {
		b.streams = true
		own, err := b.d.looseObject(o.offset, nil) // what outlives the scan
		b.trailers = append(b.trailers, own.value)
		return err // its place is taken by the new section
	}
	var err error
	if o.sum, err = b.d.sum(o.offset, o.end); err != nil {
		return err
	}
	if old, ok := b.found[o.ref.Number]; ok && (old.ref != o.ref || old.sum != o.sum) {
		return &AmbiguousError{Offset: o.offset, What: fmt.Sprintf("object %d is there twice", o.ref.Number)}
	}
	if o.stream && kind == "ObjStm" {
		b.streams = true
		b.packed = append(b.packed, o)
	}
	o.value = Object{}
	b.found[o.ref.Number] = o
	return nil
}

func (b *rebuilder) trailer(o Object) { b.trailers = append(b.trailers, o) }

// finish makes the one section of the rebuilt document.
func (b *rebuilder) finish() error {
	d := b.d
	s := &section{offset: d.size, end: d.size, stream: b.streams}
	for _, o := range b.found {
		s.entries = append(s.entries, entry{number: o.ref.Number, generation: o.ref.Generation, kind: entryInUse, offset: o.offset})
	}
	if len(s.entries) == 0 {
		return malformed(d.size, "no objects in the file")
	}
	slices.SortFunc(s.entries, func(a, b entry) int { return cmp.Compare(a.number, b.number) })
	d.sections = []*section{s}
	d.startxref = d.size
	d.revisions = []Revision{{EOF: d.size, End: d.size, Objects: numbers(d.sections)}}
	d.deviate(0, "cross-reference chain rebuilt")
	text, err := b.trailerText()
	if err != nil {
		return err
	}
	l := &lexer{buf: text, base: -1, last: true, limits: &d.limits}
	s.trailer, err = l.object(0)
	return err
}

// trailerText joins the trailers that were found. They must agree on the catalog
// and the encryption.
func (b *rebuilder) trailerText() ([]byte, error) {
	dict := NewEdit(Object{})
	seen := make(map[string]Object)
	for _, t := range b.trailers {
		for _, key := range []string{"Root", "Encrypt", "Info", "ID"} {
			value := t.Get(key)
			if value.IsNull() {
				continue
			}
			if old, ok := seen[key]; ok && !Equal(old, value) && (key == "Root" || key == "Encrypt") {
				return nil, &AmbiguousError{Offset: max(0, value.Offset()), What: "the trailers disagree on /" + key}
			}
			seen[key] = value
			dict.Set(key, value.Raw())
		}
	}
	if _, ok := seen["Root"]; !ok {
		root, err := b.catalog()
		if err != nil {
			return nil, err
		}
		dict.Set("Root", []byte(root.String()))
	}
	last := b.d.sections[0].entries[len(b.d.sections[0].entries)-1].number
	return dict.Set("Size", fmt.Appendf(nil, "%d", last+1)).Bytes(), nil
}

// catalog finds the only catalog of a file without a trailer.
func (b *rebuilder) catalog() (Ref, error) {
	var root Ref
	for _, e := range b.d.sections[0].entries {
		ref := Ref{Number: e.number, Generation: e.generation}
		object, err := b.d.Object(ref)
		if err != nil || object.Value.Get("Type").Name() != "Catalog" {
			continue
		}
		if root != (Ref{}) {
			return Ref{}, &AmbiguousError{Offset: e.offset, What: "there are several catalogs"}
		}
		root = ref
	}
	if root == (Ref{}) {
		return Ref{}, malformed(b.d.size, "no catalog in the file")
	}
	return root, nil
}

// unpack adds the objects of object streams.
func (b *rebuilder) unpack() error {
	d := b.d
	if d.Locked() {
		return nil
	}
	s := d.sections[0]
	home := make(map[uint32]uint32)
	for _, o := range b.packed {
		stream, err := d.readObjectStream(o.offset, o.ref.Number)
		if err != nil {
			return err
		}
		for i, p := range stream.places {
			_, loose := b.found[p.number]
			_, again := home[p.number]
			if loose || again {
				return &AmbiguousError{Offset: o.offset, What: fmt.Sprintf("object %d is there twice", p.number)}
			}
			if len(s.entries) == d.limits.Objects {
				return &LimitError{What: "objects", Limit: int64(d.limits.Objects)}
			}
			home[p.number] = o.ref.Number
			s.entries = append(s.entries, entry{number: p.number, kind: entryCompressed, offset: int64(o.ref.Number), generation: uint16(min(i, 65535))})
		}
	}
	slices.SortFunc(s.entries, func(a, b entry) int { return cmp.Compare(a.number, b.number) })
	d.revisions[0].Objects = numbers(d.sections)
	return nil
}

// Unlisted calls visit for every object that begins somewhere in the file without
// any cross-reference section of the chain placing it there. another tells whether
// the document has an object of that number before it, so that a reader that looks
// for objects and takes the last one of each number sees another document.
func (d *Document) Unlisted(visit func(ref Ref, another bool)) error {
	total := 2 * len(d.sections)
	for _, s := range d.sections {
		total += len(s.entries)
	}
	listed := make([]int64, 0, total)
	for _, s := range d.sections {
		listed = append(listed, s.offset)
		for _, e := range s.entries {
			if e.kind == entryInUse {
				listed = append(listed, e.offset)
			}
		}
		if offset, ok := s.trailer.Get("XRefStm").Int(); ok { // the hidden half of a hybrid section
			listed = append(listed, offset+d.header)
		}
	}
	slices.Sort(listed)
	return d.scanFile(func(o foundObject) error {
		// An entry may point to white space before its object.
		const slack = 4
		if i, _ := slices.BinarySearch(listed, o.offset-slack); i < len(listed) && listed[i] <= o.offset {
			return nil
		}
		visit(o.ref, d.placedBefore(o.ref.Number, o.offset))
		return nil
	}, func(Object) {})
}

// placedBefore tells whether the chain places an object, or the object stream it
// lies in, before an offset.
func (d *Document) placedBefore(number uint32, offset int64) bool {
	e, ok := d.lookup(number)
	if ok && e.kind == entryCompressed {
		e, ok = d.lookup(uint32(e.offset))
	}
	return ok && e.offset < offset
}

// complete tells whether everything is there that the catalog leads to. In a sound file
// a reference to nothing is null (7.3.10); in one whose table is lost it is more likely
// that the object went the same way, and pages would be signed without their content.
func (d *Document) complete() error {
	if d.Locked() {
		return nil
	}
	root, _, err := d.Root()
	if err != nil {
		return err
	}
	seen := map[uint32]bool{root.Number: true}
	queue := []Ref{root}
	for len(queue) > 0 {
		ref := queue[len(queue)-1]
		queue = queue[:len(queue)-1]
		if _, ok := d.Current(ref.Number); !ok {
			return &AmbiguousError{Offset: d.size, What: fmt.Sprintf("object %d, which belongs to the document, is missing", ref.Number), Cut: true}
		}
		object, err := d.Object(ref)
		if err != nil {
			return err
		}
		Walk(object.Value, func(_ string, to Ref) {
			if !seen[to.Number] {
				seen[to.Number] = true
				queue = append(queue, to)
			}
		})
	}
	return nil
}

func (d *Document) sum(from, to int64) (out [sha256.Size]byte, err error) {
	h := sha256.New()
	if _, err := io.Copy(h, io.NewSectionReader(readerAt{d}, from, to-from)); err != nil {
		return out, err
	}
	return [sha256.Size]byte(h.Sum(nil)), nil
}

// scanWindow is how much of the file a scan holds at most, in bytes, and firstScan
// what it begins with, there and behind each long stream.
const (
	scanWindow = 256 << 10
	firstScan  = 4 << 10
)

// scanFile passes over the file and reports every object that begins outside the
// data of a stream, and every trailer dictionary. The value of an object is valid
// only during the call. Time is linear in the size of
// the file: what was looked at is not looked at again.
func (d *Document) scanFile(object func(foundObject) error, trailer func(Object)) error {
	at := d.header
	var buf []byte
	base, n := d.size, 0 // what buf holds
	for at < d.size {
		end := base + int64(n)
		if at < base || at >= end-scanOverlap && end < d.size {
			if wanted := min(2*len(buf), scanWindow); at > end || wanted == 0 {
				buf = slices.Grow(buf[:0], firstScan)[:firstScan]
			} else {
				buf = slices.Grow(buf[:0], wanted)[:wanted]
			}
			var err error
			if n, err = d.readAt(buf, at); err != nil {
				return err
			}
			base, end = at, at+int64(n)
		}
		begin, isTrailer := nextBeginning(buf[at-base : n])
		if begin < 0 {
			if end >= d.size {
				return nil
			}
			at = end - scanOverlap
			continue
		}
		at += int64(begin)
		if isTrailer {
			if dict, end, err := d.parseAt(at + int64(len("trailer"))); err == nil && dict.Kind() == Dictionary {
				trailer(dict)
				at = end
			} else {
				at += int64(len("trailer"))
			}
			continue
		}
		o, err := d.looseObject(at, buf[at-base:n])
		var format *FormatError
		if errors.As(err, &format) {
			at++ // not an object after all
			continue
		}
		if err != nil {
			return err
		}
		if err := object(o); err != nil {
			return err
		}
		at = max(at+1, o.end)
	}
	return nil
}

// scanOverlap is what two windows share, so that no beginning is cut in two:
// more than the longest "n g obj" or "trailer".
const scanOverlap = 64

// nextBeginning finds the first "n g obj" or "trailer" that begins a line or
// follows white space.
func nextBeginning(b []byte) (at int, trailer bool) {
	at = -1
	for from := 0; ; {
		i := bytes.Index(b[from:], []byte("obj"))
		if i < 0 {
			break
		}
		i += from
		from = i + len("obj")
		start := objectStart(b, i)
		if start >= 0 {
			at = start
			break
		}
	}
	limit := b
	if at >= 0 {
		limit = b[:at]
	}
	if i := bytes.Index(limit, []byte("trailer")); i >= 0 {
		return i, true
	}
	return at, false
}

// objectStart goes back from "obj" to the object number, or returns -1.
func objectStart(b []byte, obj int) int {
	i := obj
	for range 2 {
		j := i
		for j > 0 && isSpace(b[j-1]) {
			j--
		}
		if j == i && i != obj || j == 0 {
			return -1
		}
		k := j
		for k > 0 && isDigit(b[k-1]) && j-k < 10 {
			k--
		}
		if k == j {
			return -1
		}
		i = k
	}
	if i > 0 && isRegular(b[i-1]) && b[i-1] != 'j' && b[i-1] != 'F' { // "endobj" or "%%EOF" may touch
		return -1
	}
	return i
}

// looseObject reads an object where the scan stands, without the help of a
// cross-reference section. window holds the file from there on, as far as the scan
// has it.
func (d *Document) looseObject(offset int64, window []byte) (foundObject, error) {
	var o foundObject
	var indirect Indirect
	parse := func(l *lexer) error {
		indirect = Indirect{data: -1}
		if err := l.skip(); err != nil {
			return err
		}
		o.offset = l.offset()
		if err := l.header(&o.ref); err != nil {
			return err
		}
		var err error
		if o.value, err = l.object(0); err != nil {
			return err
		}
		o.end = l.offset()
		if o.stream, err = l.keyword("stream"); err != nil || !o.stream {
			return err
		}
		indirect.Value = o.value
		return l.streamStart(&indirect)
	}
	err := d.parse(window, offset, parse)
	if errors.Is(err, errShort) {
		err = d.window(offset, parse)
	}
	if err != nil || !o.stream {
		return o, err
	}
	entry := o.value.Get("Length")
	if ref, ok := entry.Ref(); ok && len(d.sections) > 0 {
		if resolved, err := d.streamLength(ref); err == nil {
			entry = resolved
		}
	}
	if length, ok := entry.Int(); ok && length >= 0 && length <= d.size-indirect.data {
		end, found, err := d.endOfStream(indirect.data + length)
		if err != nil {
			return o, err
		}
		if found {
			o.end = end
			return o, nil
		}
	}
	o.end, err = d.searchEndOfStream(indirect.data)
	return o, err
}

func (d *Document) endOfStream(at int64) (end int64, found bool, err error) {
	window := make([]byte, 32)
	n, err := d.readAt(window, at)
	if err != nil {
		return 0, false, err
	}
	rest := bytes.TrimLeft(window[:n], " \t\r\n\f\x00")
	if !bytes.HasPrefix(rest, []byte("endstream")) {
		return 0, false, nil
	}
	return at + int64(n-len(rest)+len("endstream")), true, nil
}

// searchEndOfStream looks for the next endstream.
func (d *Document) searchEndOfStream(at int64) (int64, error) {
	word := []byte("endstream")
	buf := make([]byte, scanWindow)
	for from := at; from < d.size; from += int64(len(buf) - len(word)) {
		n, err := d.readAt(buf, from)
		if err != nil {
			return 0, err
		}
		if i := bytes.Index(buf[:n], word); i >= 0 {
			return from + int64(i+len(word)), nil
		}
	}
	return 0, &FormatError{Offset: at, What: "stream without an end"}
}
