package pdf

import (
	"bytes"
	"cmp"
	"io"
	"slices"
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
	return d.mergeHybrids(&total)
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
				d.misplaced(c, "offset counted from the start of the file")
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
	before := byte(' ')
	for i, c := range window[:n] {
		at := from + int64(i)
		begins := isSpace(before) && !isSpace(c)
		before = c
		if !begins {
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
	d.misplaced(offset, "cross-reference section lies %d bytes beside its offset", abs(best-offset))
	return best, table, nil
}

func abs(n int64) int64 {
	if n < 0 {
		return -n
	}
	return n
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
