package pdf

import (
	"bytes"
	"cmp"
	"iter"
	"slices"
)

// Revision is one state of the file: all bytes up to End. A linearized file has
// two cross-reference sections in its first revision.
type Revision struct {
	// EOF is the offset behind %%EOF, End the offset behind its end-of-line.
	EOF, End int64
	// Objects lists the objects that this revision places or frees, by number.
	Objects []uint32
	tip     int // newest section of the revision, index in Document.sections
}

// Revisions returns the revisions, oldest first.
func (d *Document) Revisions() []Revision { return d.revisions }

// At returns the document as it was at the end of the revision with that
// index. Objects and sections behind the end do not exist in it.
func (d *Document) At(index int) *Document {
	r := d.revisions[index]
	view := *d
	view.size = r.End
	view.sections = d.sections[r.tip:]
	view.startxref = view.sections[0].offset
	view.revisions = d.revisions[:index+1]
	return &view
}

// Closed tells whether everything a view refers to lies inside it: no section
// and no cross-reference entry points behind its end.
func (d *Document) Closed() bool {
	for _, s := range d.sections {
		if s.end > d.size {
			return false
		}
		for _, e := range s.entries {
			if e.kind == entryInUse && e.offset >= d.size {
				return false
			}
		}
	}
	return true
}

// readRevisions finds the "startxref … %%EOF" behind each section and so the
// end of each revision.
func (d *Document) readRevisions() error {
	at := make(map[int64]int, len(d.sections))
	for i, s := range d.sections {
		at[s.offset] = i
	}
	for _, s := range d.sections {
		tip, eof, end, err := d.revisionEnd(s, at)
		if err != nil {
			return err
		}
		if tip >= 0 {
			d.revisions = append(d.revisions, Revision{EOF: eof, End: end, tip: tip})
		}
	}
	slices.SortFunc(d.revisions, func(a, b Revision) int { return cmp.Compare(a.End, b.End) })
	for i := 1; i < len(d.revisions); i++ {
		if d.revisions[i].tip >= d.revisions[i-1].tip {
			return malformed(d.revisions[i].EOF, "the order of the revisions is not that of their sections")
		}
	}
	if n := len(d.revisions); n == 0 || d.revisions[n-1].tip != 0 {
		// The newest section may stand before other objects of its revision.
		d.revisions = append(d.revisions, Revision{EOF: d.lastEOF, End: d.lastEOF})
	}
	below := len(d.sections)
	for i := range d.revisions {
		d.revisions[i].Objects = numbers(d.sections[d.revisions[i].tip:below])
		below = d.revisions[i].tip
	}
	return nil
}

// revisionEnd reads the startxref behind a section and returns the section it
// names, or -1.
func (d *Document) revisionEnd(s *section, at map[int64]int) (tip int, eof, end int64, err error) {
	window, err := d.peek(s.end, tailWindow)
	if err != nil {
		return 0, 0, 0, err
	}
	start := bytes.Index(window, []byte("startxref"))
	if start < 0 {
		return -1, 0, 0, nil
	}
	offset, length, ok := parseStartxref(window[start:])
	if !ok {
		return -1, 0, 0, nil
	}
	eof = s.end + int64(start+length)
	end = eof
	rest := window[start+length:]
	switch {
	case bytes.HasPrefix(rest, []byte("\r\n")):
		end += 2
	case bytes.HasPrefix(rest, []byte("\n")), bytes.HasPrefix(rest, []byte("\r")):
		end++
	}
	for _, candidate := range []int64{offset + d.header, offset} {
		if i, known := at[candidate]; known {
			return i, eof, end, nil
		}
	}
	// The offset may be one that locateSection had to correct.
	if found, _, err := d.locateQuietly(offset); err == nil {
		if i, known := at[found]; known && offset != 0 {
			return i, eof, end, nil
		}
	}
	return -1, 0, 0, nil
}

func (d *Document) locateQuietly(offset int64) (int64, bool, error) {
	probe := *d
	probe.deviations = nil
	return probe.locateSection(offset)
}

func numbers(sections []*section) []uint32 {
	count := 0
	for _, s := range sections {
		count += len(s.entries)
	}
	all := make([]uint32, 0, count)
	for _, s := range sections {
		for _, e := range s.entries {
			all = append(all, e.number)
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// Refs yields a reference to every object in use, by number.
func (d *Document) Refs() iter.Seq[Ref] {
	return func(yield func(Ref) bool) {
		for _, number := range numbers(d.sections) {
			e, ok := d.lookup(number)
			if !ok {
				continue
			}
			ref := Ref{Number: number}
			if e.kind == entryInUse {
				ref.Generation = e.generation
			}
			if !yield(ref) {
				return
			}
		}
	}
}

// Current returns the reference under which an object number is in use.
func (d *Document) Current(number uint32) (Ref, bool) {
	e, ok := d.lookup(number)
	if !ok {
		return Ref{}, false
	}
	ref := Ref{Number: number}
	if e.kind == entryInUse {
		ref.Generation = e.generation
	}
	return ref, true
}

// SameObject tells whether two views place an object number at the same spot,
// so that it needs no comparison.
func SameObject(a, b *Document, number uint32) bool {
	ea, oka := a.lookup(number)
	eb, okb := b.lookup(number)
	if oka != okb || !oka {
		return oka == okb
	}
	if ea != eb {
		return false
	}
	if ea.kind == entryCompressed {
		ha, oka := a.lookup(uint32(ea.offset))
		hb, okb := b.lookup(uint32(ea.offset))
		return oka && okb && ha == hb
	}
	return true
}
