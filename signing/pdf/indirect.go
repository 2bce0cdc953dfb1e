package pdf

import (
	"errors"
	"fmt"
	"io"
)

// Indirect is an indirect object as read from the file.
type Indirect struct {
	Ref   Ref
	Value Object
	// Compressed tells that the object comes from an object stream.
	Compressed bool
	at         int64 // offset of "n g obj"
	data       int64 // offset of the stream data, -1 without stream
	length     int64
	end        int64 // behind endobj
}

// Stream tells whether the object is a stream.
func (i Indirect) Stream() bool { return i.data >= 0 }

// Offset returns where the object begins ("n g obj"), or -1 for a compressed
// one.
func (i Indirect) Offset() int64 {
	if i.Compressed {
		return -1
	}
	return i.at
}

// Object reads an indirect object. It returns ErrMissing when the file has none
// of that number and generation, ErrEncrypted when it lies in an encrypted
// object stream.
func (d *Document) Object(ref Ref) (Indirect, error) {
	e, ok := d.lookup(ref.Number)
	if !ok {
		return Indirect{}, fmt.Errorf("object %d: %w", ref.Number, ErrMissing)
	}
	if e.kind == entryCompressed {
		if ref.Generation != 0 {
			return Indirect{}, fmt.Errorf("object %d: %w", ref.Number, ErrMissing)
		}
		return d.compressed(ref, e)
	}
	if e.generation != ref.Generation {
		return Indirect{}, fmt.Errorf("object %d: %w", ref.Number, ErrMissing)
	}
	object, err := d.indirectAt(e.offset)
	if err != nil {
		return Indirect{}, err
	}
	if object.Ref != ref {
		return Indirect{}, malformed(e.offset, "object %d where the cross-reference table has %d", object.Ref.Number, ref.Number)
	}
	return object, nil
}

// Resolve follows references to a value; a missing object is null (7.3.10).
func (d *Document) Resolve(o Object) (Object, error) {
	for range 8 { // chains of references do occur, long ones are loops
		ref, ok := o.Ref()
		if !ok {
			return o, nil
		}
		target, err := d.Object(ref)
		if errors.Is(err, ErrMissing) {
			return Object{}, nil
		}
		if err != nil {
			return Object{}, err
		}
		o = target.Value
	}
	return Object{}, malformed(o.Offset(), "references lead to references without end")
}

// Value resolves the entry of a dictionary.
func (d *Document) Value(dict Object, key string) (Object, error) {
	v, err := d.Resolve(dict.Get(key))
	if err != nil {
		return Object{}, fmt.Errorf("/%s: %w", key, err)
	}
	return v, nil
}

// parseAt parses a bare value and returns it with the offset behind it.
func (d *Document) parseAt(offset int64) (o Object, end int64, err error) {
	err = d.window(offset, func(l *lexer) error {
		o, err = l.object(0)
		end = offset + int64(l.pos)
		return err
	})
	return o, end, err
}

// indirectAt parses "n g obj … endobj" at an offset.
func (d *Document) indirectAt(offset int64) (Indirect, error) {
	var object Indirect
	if offset >= d.size {
		return object, malformed(offset, "object lies behind the end of the file")
	}
	if object, known := d.src.recent.find(offset, d.size, d.crypt); known {
		return object, nil
	}
	isStream := false
	err := d.window(offset, func(l *lexer) error {
		object = Indirect{data: -1}
		if err := l.skip(); err != nil {
			return err
		}
		object.at = l.offset()
		if err := l.header(&object.Ref); err != nil {
			return err
		}
		l.secret = d.crypt.object(object.Ref)
		var err error
		if object.Value, err = l.object(0); err != nil {
			return err
		}
		if isStream, err = l.keyword("stream"); err != nil {
			return err
		}
		if isStream {
			err = l.streamStart(&object)
			return err
		}
		found, err := l.keyword("endobj")
		if err == nil && !found {
			err = l.malformed("object %d does not end with endobj", object.Ref.Number)
		}
		object.end = offset + int64(l.pos)
		return err
	})
	if err != nil {
		return object, err
	}
	if !isStream {
		d.src.recent.keep(offset, d.crypt, object)
		return object, nil
	}
	return object, d.measureStream(&object)
}

// recent holds small objects that were read last: the catalog, the form and the first
// page are asked for again and again.
type recent struct {
	kept [16]struct {
		offset int64
		crypt  *encryption // what its strings were decrypted by
		object Indirect
	}
	next int
}

// recentBytes is how long an object may be that is kept.
const recentBytes = 1 << 10

// find returns an object that lies before the end of a view.
func (r *recent) find(offset, end int64, crypt *encryption) (Indirect, bool) {
	for i := range r.kept {
		k := &r.kept[i]
		if k.offset == offset && k.crypt == crypt && k.object.end > 0 && k.object.end <= end {
			return k.object, true
		}
	}
	return Indirect{}, false
}

func (r *recent) keep(offset int64, crypt *encryption, object Indirect) {
	if object.end-offset > recentBytes {
		return
	}
	k := &r.kept[r.next]
	k.offset, k.crypt, k.object = offset, crypt, object
	r.next = (r.next + 1) % len(r.kept)
}

func (l *lexer) header(ref *Ref) error {
	number, err := l.object(0)
	if err != nil {
		return err
	}
	generation, err := l.object(0)
	if err != nil {
		return err
	}
	n, ok1 := number.Int()
	g, ok2 := generation.Int()
	if !ok1 || !ok2 || n <= 0 || g < 0 || g > 65535 {
		return l.malformed("no object here")
	}
	if n > l.limits.ObjectNumber {
		return &LimitError{What: "object number", Limit: l.limits.ObjectNumber}
	}
	found, err := l.keyword("obj")
	if err == nil && !found {
		// "obj" may touch the value behind it.
		if l.pos+3 <= len(l.buf) && string(l.buf[l.pos:l.pos+3]) == "obj" {
			l.pos += 3
			found = true
		}
	}
	if err == nil && !found {
		err = l.malformed("no object here")
	}
	*ref = Ref{Number: uint32(n), Generation: uint16(g)}
	return err
}

// streamStart passes over the end-of-line behind "stream" (7.3.8.1).
func (l *lexer) streamStart(object *Indirect) error {
	if object.Value.Kind() != Dictionary {
		return l.malformed("stream without a dictionary")
	}
	if l.pos+2 > len(l.buf) {
		return l.end("a stream")
	}
	switch {
	case l.buf[l.pos] == '\r' && l.buf[l.pos+1] == '\n':
		l.pos += 2
	case l.buf[l.pos] == '\n', l.buf[l.pos] == '\r':
		l.pos++
	default:
		return l.malformed("stream does not begin on a new line")
	}
	object.data = l.offset()
	return nil
}

// measureStream resolves /Length and demands endstream behind the data. A
// stream whose length is wrong is not repaired.
func (d *Document) measureStream(object *Indirect) error {
	value := object.Value.Get("Length")
	if ref, ok := value.Ref(); ok {
		length, err := d.streamLength(ref)
		if err != nil {
			return err
		}
		value = length
	}
	length, ok := value.Int()
	if !ok || length < 0 || length > d.size-object.data {
		return malformed(object.Value.Offset(), "stream %d has no usable /Length", object.Ref.Number)
	}
	object.length = length
	return d.window(object.data+length, func(l *lexer) error {
		for _, word := range []string{"endstream", "endobj"} {
			found, err := l.keyword(word)
			if err != nil {
				return err
			}
			if !found {
				return l.malformed("stream %d does not end where its /Length says", object.Ref.Number)
			}
		}
		object.end = l.offset()
		return nil
	})
}

// streamLength reads an indirect /Length. The length of an object stream must
// not lie in one (7.5.7), or it could depend on itself.
func (d *Document) streamLength(ref Ref) (Object, error) {
	e, ok := d.lookup(ref.Number)
	if ok && e.kind == entryCompressed && !d.src.opening {
		object, err := d.Object(ref)
		return object.Value, err
	}
	if !ok || e.kind != entryInUse || e.generation != ref.Generation {
		return Object{}, malformed(-1, "/Length refers to object %d, which is not in the file", ref.Number)
	}
	var value Object
	err := d.window(e.offset, func(l *lexer) error {
		if err := l.skip(); err != nil {
			return err
		}
		var found Ref
		if err := l.header(&found); err != nil {
			return err
		}
		if found != ref {
			return l.malformed("object %d where /Length expects %d", found.Number, ref.Number)
		}
		var err error
		value, err = l.object(0)
		return err
	})
	return value, err
}

// raw returns the undecoded stream data.
func (d *Document) raw(object Indirect) *io.SectionReader {
	return io.NewSectionReader(readerAt{d}, object.data, object.length)
}

// Data returns the undecoded data of a stream, nil for other objects.
func (d *Document) Data(object Indirect) *io.SectionReader {
	if !object.Stream() {
		return nil
	}
	return d.raw(object)
}
