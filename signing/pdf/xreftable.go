package pdf

import (
	"bufio"
	"cmp"
	"errors"
	"io"
	"slices"
	"strconv"
)

// tableReader reads the words of a cross-reference table as a stream.
type tableReader struct {
	b      *bufio.Reader
	offset int64
	buf    [20]byte
}

// word returns the next word of at most 20 bytes and its offset. The word is good
// until the next one is read: large tables have millions of them.
func (t *tableReader) word() (text []byte, at int64, err error) {
	buf, n := &t.buf, 0
	for {
		c, err := t.b.ReadByte()
		if err != nil {
			if n > 0 && errors.Is(err, io.EOF) {
				return buf[:n], at, nil
			}
			return nil, t.offset, err
		}
		t.offset++
		switch {
		case isRegular(c):
			if n == 0 {
				at = t.offset - 1
			}
			if n == len(buf) {
				return nil, at, malformed(at, "over-long word in a cross-reference table")
			}
			buf[n] = c
			n++
		case n > 0:
			return buf[:n], at, t.back()
		case !isSpace(c):
			return nil, t.offset, malformed(t.offset-1, "byte %#02x in a cross-reference table", c)
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
	n, err := strconv.ParseInt(string(text), 10, 64)
	if err != nil || n < 0 {
		return 0, malformed(at, "%q is no number in a cross-reference table", text)
	}
	return n, nil
}

// tableBuffer is what reading a table holds of it at most, in bytes.
const tableBuffer = 4 << 10

// readTable reads a classic section (7.5.4), and the stream of a hybrid one.
func (d *Document) readTable(offset int64, total *int) (*section, error) {
	s := &section{offset: offset}
	r := io.NewSectionReader(readerAt{d}, offset, d.size-offset)
	t := &tableReader{b: bufio.NewReaderSize(r, int(min(tableBuffer, d.size-offset))), offset: offset}
	if word, at, err := t.word(); err != nil || string(word) != "xref" {
		return nil, orMalformed(err, at, "cross-reference table does not begin with xref")
	}
	for {
		word, at, err := t.word()
		if err != nil {
			return nil, orMalformed(err, t.offset, "cross-reference table has no trailer")
		}
		if string(word) == "trailer" {
			break
		}
		first, err := strconv.ParseInt(string(word), 10, 64)
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
	return s, nil
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
	// Room for what is announced, as far as the rest of the file can hold it: an
	// entry takes 18 bytes at least, with its shortest line end.
	s.entries = slices.Grow(s.entries, int(max(0, min(count, (d.size-t.offset)/18, int64(d.limits.Objects-*total)))))
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
		kind, _, err := t.word()
		if err != nil {
			return err
		}
		if i == 0 && first == 1 && string(kind) == "f" && generation == 65535 && place == 0 {
			d.deviate(at, "first subsection begins at 1 instead of 0")
			shift = 1
		}
		e := entry{number: uint32(first + i - shift), generation: uint16(min(generation, 65535))}
		switch {
		case string(kind) == "n" && place == 0: // producers that mean "free"
		case string(kind) == "n":
			e.kind, e.offset = entryInUse, place+d.header
		case string(kind) != "f":
			return malformed(t.offset, "%q is no entry type", kind)
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

// mergeHybrids adds the objects that hybrid sections hide from old readers
// (7.5.8.4). Some producers copy /XRefStm from the trailer of the section before:
// then the stream is that one's business.
func (d *Document) mergeHybrids(total *int) error {
	for i, s := range d.sections {
		if s.stream || s.trailer.Get("XRefStm").IsNull() {
			continue
		}
		extra, err := d.readHidden(s, total)
		if err != nil {
			return err
		}
		stale := slices.ContainsFunc(d.sections[i+1:], func(older *section) bool {
			return !older.stream && Equal(older.trailer.Get("XRefStm"), s.trailer.Get("XRefStm"))
		})
		if err := s.merge(extra, stale); err != nil {
			return err
		}
	}
	return nil
}

func (d *Document) readHidden(s *section, total *int) (*section, error) {
	hidden := s.trailer.Get("XRefStm")
	offset, ok := hidden.Int()
	if !ok || offset < 0 || offset >= d.size {
		return nil, malformed(hidden.Offset(), "/XRefStm is no offset in the file")
	}
	at, table, ok, err := d.sectionAt(offset + d.header)
	if err != nil {
		return nil, err
	}
	if !ok || table {
		return nil, malformed(offset, "/XRefStm does not lead to a cross-reference stream")
	}
	return d.readXRefStream(at, total)
}

// merge takes over what a stream hides. Where both kinds place an object in use,
// they must agree; a stale stream must not bring back what the section freed.
func (s *section) merge(extra *section, stale bool) error {
	s.hybrid = !stale
	visible := len(s.entries)
	for _, e := range extra.entries {
		i, found := slices.BinarySearchFunc(s.entries[:visible], e.number, func(e entry, n uint32) int {
			return cmp.Compare(e.number, n)
		})
		switch {
		case stale && found && s.entries[i].kind == entryFree && e.kind != entryFree:
			return malformed(extra.offset, "the two halves of a hybrid section disagree on object %d", e.number)
		case stale:
		case !found:
			s.entries = append(s.entries, e)
		case s.entries[i].kind == entryFree:
			s.entries[i] = e
		case e.kind != entryFree && e != s.entries[i]:
			return malformed(extra.offset, "the two halves of a hybrid section disagree on object %d", e.number)
		}
	}
	slices.SortStableFunc(s.entries, func(a, b entry) int { return cmp.Compare(a.number, b.number) })
	return nil
}
