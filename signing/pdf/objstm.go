package pdf

import (
	"slices"
)

// streamCache keeps the object streams read last, because neighbours are asked
// for together.
type streamCache struct {
	streams []*objectStream
	bytes   int
}

// cacheBytes bounds what the cache holds beside the newest stream.
const cacheBytes = 4 << 20

// objectStream is a decoded object stream (7.5.7).
type objectStream struct {
	offset int64 // of the stream object in the file
	data   []byte
	first  int
	places []place
}

type place struct {
	number uint32
	offset int32 // from first
}

func (c *streamCache) find(offset int64) *objectStream {
	for _, s := range c.streams {
		if s.offset == offset {
			return s
		}
	}
	return nil
}

func (c *streamCache) add(s *objectStream) {
	c.streams = append(c.streams, s)
	c.bytes += len(s.data)
	for len(c.streams) > 1 && c.bytes > cacheBytes {
		c.bytes -= len(c.streams[0].data)
		c.streams = slices.Delete(c.streams, 0, 1)
	}
}

// compressed reads an object out of its stream. The stream itself must lie in
// the file, so the indirection has depth one; /Extends is not followed because
// the cross-reference section names the stream of every object.
func (d *Document) compressed(ref Ref, e entry) (Indirect, error) {
	if d.Locked() {
		return Indirect{}, ErrEncrypted
	}
	home, ok := d.lookup(uint32(e.offset))
	if !ok || home.kind != entryInUse {
		return Indirect{}, malformed(-1, "object %d lies in stream %d, which is not in the file", ref.Number, e.offset)
	}
	s := d.streams.find(home.offset)
	if s == nil {
		if d.src.opening {
			return Indirect{}, malformed(-1, "object stream %d needs itself to be read", e.offset)
		}
		d.src.opening = true
		var err error
		s, err = d.readObjectStream(home.offset, uint32(e.offset))
		d.src.opening = false
		if err != nil {
			return Indirect{}, err
		}
		d.streams.add(s)
	}
	index := int(e.generation)
	if index >= len(s.places) || s.places[index].number != ref.Number {
		return Indirect{}, malformed(-1, "object stream %d does not have object %d where it should", e.offset, ref.Number)
	}
	from := s.first + int(s.places[index].offset)
	if from > len(s.data) {
		return Indirect{}, malformed(-1, "object %d lies behind the end of stream %d", ref.Number, e.offset)
	}
	object := Indirect{Ref: ref, Compressed: true, data: -1}
	l := &lexer{buf: s.data[from:], base: -1, last: true, limits: &d.limits}
	err := d.src.lend(l, func(l *lexer) (err error) {
		object.Value, err = l.object(0)
		return err
	})
	if err != nil {
		return Indirect{}, err
	}
	return object, nil
}

func (d *Document) readObjectStream(offset int64, number uint32) (*objectStream, error) {
	object, err := d.indirectAt(offset)
	if err != nil {
		return nil, err
	}
	dict := object.Value
	count, ok1 := dict.Get("N").Int()
	first, ok2 := dict.Get("First").Int()
	if object.Ref.Number != number || !object.Stream() || dict.Get("Type").Name() != "ObjStm" || !ok1 || !ok2 {
		return nil, malformed(offset, "object %d is no object stream", number)
	}
	if count < 0 || count > int64(d.limits.Objects) {
		return nil, &LimitError{What: "objects", Limit: int64(d.limits.Objects)}
	}
	data, err := d.readAll(object)
	if err != nil {
		return nil, err
	}
	if first < 0 || first > int64(len(data)) {
		return nil, malformed(offset, "/First of object stream %d lies outside its data", number)
	}
	s := &objectStream{offset: offset, data: data, first: int(first)}
	l := &lexer{buf: data[:first], base: -1, last: true, limits: &d.limits}
	for range count {
		l.items = 0
		n, err := l.plain()
		if err != nil {
			return nil, err
		}
		at, err := l.plain()
		if err != nil {
			return nil, err
		}
		if n > d.limits.ObjectNumber || at > int64(len(data)) {
			return nil, malformed(offset, "object stream %d has an impossible header", number)
		}
		s.places = append(s.places, place{number: uint32(n), offset: int32(at)})
	}
	return s, nil
}

// plain reads a non-negative integer that begins no reference.
func (l *lexer) plain() (int64, error) {
	if err := l.skip(); err != nil {
		return 0, err
	}
	var n int64
	from := l.pos
	for l.pos < len(l.buf) && isDigit(l.buf[l.pos]) && l.pos-from < 18 {
		n = n*10 + int64(l.buf[l.pos]-'0')
		l.pos++
	}
	if l.pos == from {
		return 0, l.malformed("no number in the header of an object stream")
	}
	return n, nil
}
