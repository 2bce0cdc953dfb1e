package pdf

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"slices"
)

// Update is an incremental update under construction (7.5.6): new objects,
// changed objects under their old numbers, one cross-reference section of the
// kind the file uses, and a trailer.
type Update struct {
	doc     *Document
	objects []pending
	next    uint32
	id      []byte
	start   int64 // offset of the first byte appended
	lead    []byte
	err     error // of an earlier Put
}

type pending struct {
	ref  Ref
	body []byte
	at   int64 // offset of the body in the finished file
}

// NewUpdate begins an update of the document as it is.
func (d *Document) NewUpdate() (*Update, error) {
	size, _ := d.Trailer().Get("Size").Int()
	if size > d.limits.ObjectNumber {
		return nil, &LimitError{What: "object number", Limit: d.limits.ObjectNumber}
	}
	size = max(size, 1)
	u := &Update{doc: d, next: uint32(size), start: d.size}
	for _, s := range d.sections { // a /Size that is too small must not cost an object
		if n := len(s.entries); n > 0 {
			u.next = max(u.next, s.entries[n-1].number+1)
		}
	}
	last := make([]byte, 1)
	if _, err := d.readAt(last, d.size-1); err != nil {
		return nil, err
	}
	if last[0] != '\n' && last[0] != '\r' {
		u.lead = []byte{'\n'}
	}
	return u, nil
}

// Reserve takes a new object number.
func (u *Update) Reserve() Ref {
	ref := Ref{Number: u.next}
	u.next++
	return ref
}

// Avoid takes no number for new objects that the elements of an array refer to: what
// referred to nothing would come to life.
func (u *Update) Avoid(array Object) {
	for _, item := range array.Items() {
		if ref, ok := item.Ref(); ok && int64(ref.Number) < u.doc.limits.ObjectNumber {
			u.next = max(u.next, ref.Number+1)
		}
	}
}

// Put sets the body of an object: PDF source of a value, without "obj" and
// "endobj". Putting an object again replaces it.
//
// In an encrypted document a changed object keeps its strings as they are in the
// file; those of new objects, and of objects that lay in an object stream, are
// given in plain and encrypted here.
func (u *Update) Put(ref Ref, body []byte) {
	if e, ok := u.doc.lookup(ref.Number); u.doc.crypt != nil && (!ok || e.kind != entryInUse) {
		var err error
		if body, err = u.sealed(ref, body); err != nil && u.err == nil {
			u.err = err
		}
	}
	for i := range u.objects {
		if u.objects[i].ref == ref {
			u.objects[i].body = body
			return
		}
	}
	u.objects = append(u.objects, pending{ref: ref, body: body})
}

// Replaced returns the body put under a reference, or nil.
func (u *Update) Replaced(ref Ref) []byte {
	for _, o := range u.objects {
		if o.ref == ref {
			return o.body
		}
	}
	return nil
}

// SetID gives the second half of the trailer /ID, 16 bytes. The first half stays
// as it is, or becomes the same where there was none (14.4).
func (u *Update) SetID(id []byte) { u.id = id }

// Bytes lays the update out and returns what is to be appended to the file.
// BodyOffset is valid afterwards.
func (u *Update) Bytes() ([]byte, error) {
	if u.err != nil {
		return nil, u.err
	}
	room := 1 << 10 // of the section
	for _, o := range u.objects {
		room += len(o.body) + len("4294967295 65535 obj\n\nendobj\n")
	}
	out := append(make([]byte, 0, room), u.lead...)
	rows := make([]entry, 0, len(u.objects)+1)
	for i := range u.objects {
		o := &u.objects[i]
		rows = append(rows, entry{
			number: o.ref.Number, generation: o.ref.Generation, kind: entryInUse,
			offset: u.start + int64(len(out)) - u.doc.header,
		})
		out = fmt.Appendf(out, "%d %d obj\n", o.ref.Number, o.ref.Generation)
		o.at = u.start + int64(len(out))
		out = append(out, o.body...)
		out = append(out, "\nendobj\n"...)
	}
	place := u.start + int64(len(out)) - u.doc.header
	if u.doc.rebuilt {
		rows = u.complete(rows)
	}
	if u.doc.sections[0].stream {
		self := u.Reserve()
		rows = append(rows, entry{number: self.Number, kind: entryInUse, offset: place})
		sortRows(rows)
		out = u.appendStream(out, self, rows)
	} else {
		sortRows(rows)
		var err error
		if out, err = u.appendTable(out, rows); err != nil {
			return nil, err
		}
	}
	return fmt.Appendf(out, "startxref\n%d\n%%%%EOF\n", place), nil
}

// complete adds the rows of all other objects of a rebuilt document, and the head
// of the list of free ones: its section stands alone.
func (u *Update) complete(rows []entry) []entry {
	changed := make(map[uint32]bool, len(rows))
	for _, e := range rows {
		changed[e.number] = true
	}
	for _, e := range u.doc.sections[0].entries {
		if changed[e.number] {
			continue
		}
		if e.kind == entryInUse {
			e.offset -= u.doc.header
		}
		rows = append(rows, e)
	}
	return append(rows, entry{number: 0, generation: 65535, kind: entryFree})
}

// BodyOffset returns where the body of an object begins in the finished file,
// or -1.
func (u *Update) BodyOffset(ref Ref) int64 {
	for _, o := range u.objects {
		if o.ref == ref {
			return o.at
		}
	}
	return -1
}

func sortRows(rows []entry) {
	slices.SortFunc(rows, func(a, b entry) int { return cmp.Compare(a.number, b.number) })
}

// runs yields the subsections: stretches of consecutive numbers.
func runs(rows []entry, each func([]entry)) {
	for len(rows) > 0 {
		n := 1
		for n < len(rows) && rows[n].number == rows[n-1].number+1 {
			n++
		}
		each(rows[:n])
		rows = rows[n:]
	}
}

// maxTableOffset is what ten digits hold (7.5.4).
const maxTableOffset = 9_999_999_999

func (u *Update) appendTable(out []byte, rows []entry) ([]byte, error) {
	out = append(out, "xref\n"...)
	over := false
	runs(rows, func(run []entry) {
		out = fmt.Appendf(out, "%d %d\n", run[0].number, len(run))
		for _, e := range run {
			over = over || e.offset > maxTableOffset
			kind := 'n'
			if e.kind == entryFree {
				kind = 'f'
			}
			out = fmt.Appendf(out, "%010d %05d %c \n", e.offset, e.generation, kind)
		}
	})
	if over {
		return nil, &LimitError{What: "offset in a cross-reference table", Limit: maxTableOffset}
	}
	out = append(out, "trailer\n"...)
	out = append(out, u.trailer("XRefStm")...)
	return append(out, '\n'), nil
}

func (u *Update) appendStream(out []byte, self Ref, rows []entry) []byte {
	width := 4
	for _, e := range rows {
		for width < 8 && e.offset >= 1<<(8*width) {
			width++
		}
	}
	var index, data []byte
	runs(rows, func(run []entry) {
		index = fmt.Appendf(index, " %d %d", run[0].number, len(run))
		for _, e := range run {
			var offset [8]byte
			binary.BigEndian.PutUint64(offset[:], uint64(e.offset))
			data = append(data, byte(e.kind))
			data = append(data, offset[8-width:]...)
			data = binary.BigEndian.AppendUint16(data, e.generation)
		}
	})
	dict := u.trailer("Length", "Filter", "DecodeParms", "Index", "W", "Type", "FFilter", "F", "FDecodeParms", "DL")
	dict = dict[:len(dict)-len(">>")]
	out = fmt.Appendf(out, "%d 0 obj\n%s/Type /XRef\n/W [1 %d 2]\n/Index [%s]\n/Length %d\n>>\nstream\n",
		self.Number, dict, width, index[1:], len(data))
	out = append(out, data...)
	return append(out, "\nendstream\nendobj\n"...)
}

// trailer returns the old trailer with what an update changes.
func (u *Update) trailer(drop ...string) []byte {
	e := NewEdit(u.doc.Trailer())
	e.Remove(drop...)
	e.Set("Size", fmt.Appendf(nil, "%d", u.next))
	if !u.doc.rebuilt {
		e.Set("Prev", fmt.Appendf(nil, "%d", u.doc.startxref-u.doc.header))
	}
	old, err := u.doc.Resolve(u.doc.Trailer().Get("ID"))
	whole := err == nil && len(old.Items()) == 2 && old.Items()[0].Kind() == String
	// The first half of the identifier is part of the key of an encrypted document.
	if u.id != nil && (whole || !u.doc.Encrypted()) {
		first := AppendHex(nil, u.id)
		if whole {
			first = old.Items()[0].Raw()
		}
		id := append([]byte{'['}, first...)
		id = append(id, ' ')
		id = AppendHex(id, u.id)
		e.Set("ID", append(id, ']'))
	}
	return e.Bytes()
}
