package pdf

import (
	"bufio"
	"bytes"
	"cmp"
	"errors"
	"io"
	"slices"
	"strconv"
)

// entryKind is the type field of a cross-reference stream (table 18).
type entryKind uint8

const (
	entryFree entryKind = iota
	entryInUse
	entryCompressed
)

// entry places one object. For a compressed one, offset holds the number of the
// object stream and generation the index in it.
type entry struct {
	offset     int64
	number     uint32
	generation uint16
	kind       entryKind
}

// section is one cross-reference table or stream with its trailer.
type section struct {
	offset  int64
	end     int64 // behind the trailer dictionary or endobj
	stream  bool
	hybrid  bool // entries include those of /XRefStm
	trailer Object
	entries []entry // by number
}

func (s *section) find(number uint32) (entry, bool) {
	i, ok := slices.BinarySearchFunc(s.entries, number, func(e entry, n uint32) int {
		return cmp.Compare(e.number, n)
	})
	if !ok {
		return entry{}, false
	}
	return s.entries[i], true
}

// lookup finds the newest entry of an object number.
func (d *Document) lookup(number uint32) (entry, bool) {
	for _, s := range d.sections {
		if e, ok := s.find(number); ok {
			return e, e.kind != entryFree
		}
	}
	return entry{}, false
}

// readSections follows the chain of /Prev from the newest section.
func (d *Document) readSections(start int64) error {
	seen := make(map[int64]bool)
	total := 0
	for offset := start; ; {
		if len(d.sections) == d.limits.Sections {
			return &LimitError{What: "cross-reference sections", Limit: int64(d.limits.Sections)}
		}
		s, err := d.readSection(offset, &total)
		if err != nil {
			return err
		}
		if seen[s.offset] {
			return malformed(s.offset, "the chain of cross-reference sections runs in a circle")
		}
		seen[s.offset] = true
		d.sections = append(d.sections, s)
		prev := s.trailer.Get("Prev")
		if prev.IsNull() {
			break
		}
		next, ok := prev.Int()
		if !ok || next < 0 || next >= d.size {
			return malformed(prev.Offset(), "/Prev is no offset in the file")
		}
		if next == 0 { // written by some producers for "none"
			d.deviate(prev.Offset(), "/Prev 0")
			break
		}
		offset = next
	}
	d.startxref = d.sections[0].offset
	return nil
}

func (d *Document) readSection(given int64, total *int) (*section, error) {
	offset, table, err := d.locateSection(given)
	if err != nil {
		return nil, err
	}
	var s *section
	if table {
		s, err = d.readTable(offset, total)
	} else {
		s, err = d.readXRefStream(offset, total)
	}
	if err != nil {
		return nil, err
	}
	if key, found := s.trailer.Duplicate(); found {
		return nil, malformed(s.trailer.Offset(), "trailer with two entries /%s", key)
	}
	slices.SortStableFunc(s.entries, func(a, b entry) int { return cmp.Compare(a.number, b.number) })
	return s, d.dropRepeated(s)
}

// dropRepeated refuses a section that places one object twice.
func (d *Document) dropRepeated(s *section) error {
	kept := s.entries[:0]
	for _, e := range s.entries {
		if n := len(kept); n > 0 && kept[n-1].number == e.number {
			if kept[n-1] == e {
				continue
			}
			return malformed(s.offset, "cross-reference section places object %d twice", e.number)
		}
		kept = append(kept, e)
	}
	s.entries = kept
	return nil
}

// locateSection finds the section that an offset means. Offsets count from the
// header; producers also write them from the start of the file, or some bytes
// beside the place.
func (d *Document) locateSection(given int64) (offset int64, table bool, err error) {
	if given < 0 || given >= d.size {
		return 0, false, malformed(given, "cross-reference offset lies outside the file")
	}
	candidates := []int64{given + d.header}
	if d.header > 0 {
		candidates = append(candidates, given)
	}
	for i, c := range candidates {
		at, table, ok, err := d.sectionAt(c)
		if err != nil {
			return 0, false, err
		}
		if ok {
			if i > 0 {
				d.deviate(c, "offset counted from the start of the file")
			}
			return at, table, nil
		}
	}
	return d.searchSection(given + d.header)
}

// sectionAt looks for a section behind white space at an offset.
func (d *Document) sectionAt(offset int64) (at int64, table, ok bool, err error) {
	window := make([]byte, 64)
	n, err := d.readAt(window, offset)
	if err != nil {
		return 0, false, false, err
	}
	window = window[:n]
	trimmed := bytes.TrimLeft(window, " \t\r\n\f\x00")
	at = offset + int64(len(window)-len(trimmed))
	if bytes.HasPrefix(trimmed, []byte("xref")) {
		return at, true, true, nil
	}
	return at, false, objectHeader(trimmed) > 0, nil
}

// objectHeader returns the length of "n g obj" at the start of b, or 0.
func objectHeader(b []byte) int {
	pos := 0
	for _, most := range []int{10, 5} {
		from := pos
		for pos < len(b) && isDigit(b[pos]) && pos-from < most {
			pos++
		}
		if pos == from || pos == len(b) || !isSpace(b[pos]) {
			return 0
		}
		for pos < len(b) && isSpace(b[pos]) {
			pos++
		}
	}
	if bytes.HasPrefix(b[pos:], []byte("obj")) {
		return pos + len("obj")
	}
	return 0
}

// searchSection looks for the section nearest to an offset that is off by a few
// bytes.
func (d *Document) searchSection(offset int64) (int64, bool, error) {
	from := max(0, offset-startxrefSlack)
	window := make([]byte, 2*startxrefSlack)
	n, err := d.readAt(window, from)
	if err != nil {
		return 0, false, err
	}
	best, table := int64(-1), false
	for i := range n {
		at := from + int64(i)
		if i > 0 && !isSpace(window[i-1]) || isSpace(window[i]) {
			continue
		}
		isTable := bytes.HasPrefix(window[i:n], []byte("xref"))
		if !isTable && objectHeader(window[i:n]) == 0 {
			continue
		}
		if best < 0 || abs(at-offset) < abs(best-offset) {
			best, table = at, isTable
		}
	}
	if best < 0 {
		return 0, false, malformed(offset, "no cross-reference section here")
	}
	d.deviate(offset, "cross-reference section lies %d bytes beside its offset", abs(best-offset))
	return best, table, nil
}

func abs(n int64) int64 {
	if n < 0 {
		return -n
	}
	return n
}

// tableReader reads the words of a cross-reference table as a stream.
type tableReader struct {
	b      *bufio.Reader
	offset int64
}

// word returns the next word of at most 20 bytes and its offset.
func (t *tableReader) word() (text string, at int64, err error) {
	var buf [20]byte
	n := 0
	for {
		c, err := t.b.ReadByte()
		if err != nil {
			if n > 0 && errors.Is(err, io.EOF) {
				return string(buf[:n]), at, nil
			}
			return "", t.offset, err
		}
		t.offset++
		switch {
		case isRegular(c):
			if n == 0 {
				at = t.offset - 1
			}
			if n == len(buf) {
				return "", at, malformed(at, "over-long word in a cross-reference table")
			}
			buf[n] = c
			n++
		case n > 0:
			return string(buf[:n]), at, t.back()
		case !isSpace(c):
			return "", t.offset, malformed(t.offset-1, "byte %#02x in a cross-reference table", c)
		}
	}
}

func (t *tableReader) back() error {
	t.offset--
	return t.b.UnreadByte()
}

func (t *tableReader) number() (int64, error) {
	text, at, err := t.word()
	if err != nil {
		return 0, err
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < 0 {
		return 0, malformed(at, "%q is no number in a cross-reference table", text)
	}
	return n, nil
}

// readTable reads a classic section (7.5.4), and the stream of a hybrid one.
func (d *Document) readTable(offset int64, total *int) (*section, error) {
	s := &section{offset: offset}
	r := io.NewSectionReader(readerAt{d}, offset, d.size-offset)
	t := &tableReader{b: bufio.NewReaderSize(r, 16<<10), offset: offset}
	if word, at, err := t.word(); err != nil || word != "xref" {
		return nil, orMalformed(err, at, "cross-reference table does not begin with xref")
	}
	for {
		word, at, err := t.word()
		if err != nil {
			return nil, orMalformed(err, t.offset, "cross-reference table has no trailer")
		}
		if word == "trailer" {
			break
		}
		first, err := strconv.ParseInt(word, 10, 64)
		if err != nil || first < 0 {
			return nil, malformed(at, "%q begins no subsection", word)
		}
		if err := d.readSubsection(s, t, first, total); err != nil {
			return nil, orMalformed(err, t.offset, "cross-reference table ends early")
		}
	}
	trailer, end, err := d.parseAt(t.offset)
	if err != nil {
		return nil, err
	}
	if trailer.Kind() != Dictionary {
		return nil, malformed(t.offset, "trailer is no dictionary")
	}
	s.trailer, s.end = trailer, end
	return s, d.mergeHybrid(s, total)
}

func orMalformed(err error, at int64, what string) error {
	if err == nil || errors.Is(err, io.EOF) {
		return malformed(at, "%s", what)
	}
	return err
}

func (d *Document) readSubsection(s *section, t *tableReader, first int64, total *int) error {
	at := t.offset
	count, err := t.number()
	if err != nil {
		return err
	}
	if first > d.limits.ObjectNumber || count > d.limits.ObjectNumber+1 || first+count-1 > d.limits.ObjectNumber {
		return &LimitError{What: "object number", Limit: d.limits.ObjectNumber}
	}
	shift := int64(0)
	for i := range count {
		place, err := t.number()
		if err != nil {
			return err
		}
		generation, err := t.number()
		if err != nil {
			return err
		}
		word, _, err := t.word()
		if err != nil {
			return err
		}
		if i == 0 && first == 1 && word == "f" && generation == 65535 && place == 0 {
			d.deviate(at, "first subsection begins at 1 instead of 0")
			shift = 1
		}
		e := entry{number: uint32(first + i - shift), generation: uint16(min(generation, 65535))}
		switch {
		case word == "n" && place == 0: // producers that mean "free"
		case word == "n":
			e.kind, e.offset = entryInUse, place+d.header
		case word != "f":
			return malformed(t.offset, "%q is no entry type", word)
		}
		if err := d.add(s, e, total); err != nil {
			return err
		}
	}
	return nil
}

func (d *Document) add(s *section, e entry, total *int) error {
	if e.number == 0 {
		return nil
	}
	if *total++; *total > d.limits.Objects {
		return &LimitError{What: "objects", Limit: int64(d.limits.Objects)}
	}
	s.entries = append(s.entries, e)
	return nil
}

// mergeHybrid adds the objects that a hybrid file hides from old readers
// (7.5.8.4). Where both kinds place an object in use, they must agree.
func (d *Document) mergeHybrid(s *section, total *int) error {
	hidden := s.trailer.Get("XRefStm")
	if hidden.IsNull() {
		return nil
	}
	offset, ok := hidden.Int()
	if !ok || offset < 0 || offset >= d.size {
		return malformed(hidden.Offset(), "/XRefStm is no offset in the file")
	}
	at, table, ok, err := d.sectionAt(offset + d.header)
	if err != nil {
		return err
	}
	if !ok || table {
		return malformed(offset, "/XRefStm does not lead to a cross-reference stream")
	}
	extra, err := d.readXRefStream(at, total)
	if err != nil {
		return err
	}
	s.hybrid = true
	slices.SortStableFunc(s.entries, func(a, b entry) int { return cmp.Compare(a.number, b.number) })
	visible := len(s.entries)
	for _, e := range extra.entries {
		i, found := slices.BinarySearchFunc(s.entries[:visible], e.number, func(e entry, n uint32) int {
			return cmp.Compare(e.number, n)
		})
		switch {
		case !found:
			s.entries = append(s.entries, e)
		case s.entries[i].kind == entryFree:
			s.entries[i] = e
		case e.kind != entryFree && e != s.entries[i]:
			return malformed(offset, "the two halves of a hybrid section disagree on object %d", e.number)
		}
	}
	return nil
}

// readerAt lets the io helpers read a document within its bounds.
type readerAt struct{ d *Document }

func (r readerAt) ReadAt(p []byte, offset int64) (int, error) {
	n, err := r.d.readAt(p, offset)
	if err == nil && n < len(p) {
		err = io.EOF
	}
	return n, err
}
