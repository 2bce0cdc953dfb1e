package pdf

import (
	"errors"
	"io"
)

// readXRefStream reads a cross-reference stream (7.5.8). Memory follows the
// rows that are really there, not what /Size or /Index announce.
func (d *Document) readXRefStream(offset int64, total *int) (*section, error) {
	object, err := d.indirectAt(offset)
	if err != nil {
		return nil, err
	}
	dict := object.Value
	if !object.Stream() || dict.Get("Type").Name() != "XRef" {
		return nil, malformed(offset, "no cross-reference stream here")
	}
	widths, err := rowWidths(dict)
	if err != nil {
		return nil, err
	}
	ranges, err := d.indexRanges(dict)
	if err != nil {
		return nil, err
	}
	data, err := d.open(object)
	if err != nil {
		return nil, err
	}
	s := &section{offset: offset, end: object.end, stream: true, trailer: dict}
	row := make([]byte, widths[0]+widths[1]+widths[2])
	for _, r := range ranges {
		for number := r[0]; number < r[0]+r[1]; number++ {
			if _, err := io.ReadFull(data, row); err != nil {
				if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
					return nil, malformed(offset, "cross-reference stream has fewer rows than announced")
				}
				return nil, err
			}
			e, known := d.rowEntry(uint32(number), row, widths)
			if !known { // 7.5.8.3: unknown types are references to null
				e.kind = entryFree
			}
			if err := d.add(s, e, total); err != nil {
				return nil, err
			}
		}
	}
	return s, nil
}

func rowWidths(dict Object) (widths [3]int, err error) {
	items := dict.Get("W").Items()
	if len(items) != 3 {
		return widths, malformed(dict.Offset(), "/W is no array of three widths")
	}
	sum := 0
	for i, item := range items {
		w, ok := item.Int()
		if !ok || w < 0 || w > 8 {
			return widths, malformed(item.Offset(), "width in /W is not between 0 and 8")
		}
		widths[i] = int(w)
		sum += int(w)
	}
	if sum == 0 || widths[1] == 0 {
		return widths, malformed(dict.Offset(), "/W leaves no room for offsets")
	}
	return widths, nil
}

// indexRanges returns pairs of first number and count.
func (d *Document) indexRanges(dict Object) ([][2]int64, error) {
	size, ok := dict.Get("Size").Int()
	if !ok || size < 0 {
		return nil, malformed(dict.Offset(), "cross-reference stream without /Size")
	}
	index := dict.Get("Index")
	if index.IsNull() {
		return d.checkRanges([][2]int64{{0, size}})
	}
	items := index.Items()
	if len(items)%2 != 0 {
		return nil, malformed(index.Offset(), "/Index is no array of pairs")
	}
	var ranges [][2]int64
	for i := 0; i < len(items); i += 2 {
		first, ok1 := items[i].Int()
		count, ok2 := items[i+1].Int()
		if !ok1 || !ok2 || first < 0 || count < 0 {
			return nil, malformed(index.Offset(), "/Index holds something else than numbers")
		}
		ranges = append(ranges, [2]int64{first, count})
	}
	return d.checkRanges(ranges)
}

func (d *Document) checkRanges(ranges [][2]int64) ([][2]int64, error) {
	for _, r := range ranges {
		if r[0] > d.limits.ObjectNumber || r[1] > d.limits.ObjectNumber+1 || r[0]+r[1]-1 > d.limits.ObjectNumber {
			return nil, &LimitError{What: "object number", Limit: d.limits.ObjectNumber}
		}
	}
	return ranges, nil
}

// rowEntry decodes one row (table 18).
func (d *Document) rowEntry(number uint32, row []byte, widths [3]int) (entry, bool) {
	field := func(from, width int) uint64 {
		var v uint64
		for _, b := range row[from : from+width] {
			v = v<<8 | uint64(b)
		}
		return v
	}
	kind := uint64(entryInUse)
	if widths[0] > 0 {
		kind = field(0, widths[0])
	}
	second := field(widths[0], widths[1])
	third := field(widths[0]+widths[1], widths[2])
	e := entry{number: number}
	if kind > uint64(entryCompressed) || second > 1<<62 {
		return e, false
	}
	e.kind = entryKind(kind)
	switch e.kind {
	case entryFree:
	case entryInUse:
		e.offset = int64(second) + d.header
		e.generation = uint16(min(third, 65535))
		if second == 0 {
			e.kind = entryFree
		}
	case entryCompressed:
		if second > uint64(d.limits.ObjectNumber) || third > 65535 {
			return e, false
		}
		e.offset, e.generation = int64(second), uint16(third)
	}
	return e, true
}
