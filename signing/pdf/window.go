package pdf

import "errors"

// firstWindow is how much of the file the parser of an object begins with, in bytes.
const firstWindow = 1 << 10

// window runs a parser over growing windows of the file until it has enough. It begins
// with one that was read before, if there is one.
func (d *Document) window(offset int64, parse func(*lexer) error) error {
	size := int64(firstWindow)
	known, err := d.known(offset, d.limits.ObjectBytes)
	if err != nil {
		return err
	}
	if len(known) > 0 {
		if err := d.parse(known, offset, parse); !errors.Is(err, errShort) {
			return err
		}
		for size <= int64(len(known)) {
			size *= 4
		}
	}
	for ; ; size *= 4 {
		over := size > d.limits.ObjectBytes
		buf, err := d.read(offset, min(size, d.limits.ObjectBytes))
		if err != nil {
			return err
		}
		if err = d.parse(buf, offset, parse); !errors.Is(err, errShort) {
			return err
		}
		if over {
			return &LimitError{What: "bytes of one object", Limit: d.limits.ObjectBytes}
		}
	}
}

// peek returns a piece of the file, size bytes where there are as many. Nobody may
// change it.
func (d *Document) peek(offset, size int64) ([]byte, error) {
	size = min(size, max(0, d.size-offset))
	if known, err := d.known(offset, size); err != nil || int64(len(known)) == size {
		return known, err
	}
	return d.read(offset, size)
}

// read reads a window of the file.
func (d *Document) read(offset, size int64) ([]byte, error) {
	buf := make([]byte, min(size, max(0, d.size-offset)))
	n, err := d.readAt(buf, offset)
	if err != nil {
		return nil, err
	}
	d.src.windows.keep(buf[:n], offset)
	return buf[:n], nil
}

// known returns what was read from an offset on, up to so many bytes of it.
func (d *Document) known(offset, most int64) ([]byte, error) {
	found := d.src.windows.find(offset, d.size)
	return found[:min(int64(len(found)), most)], d.src.ctx.Err()
}

// windows holds those that were read last: what is asked for next often stands in one
// of them. Objects refer to their bytes, which never change.
type windows struct {
	kept [4]struct {
		buf  []byte
		base int64 // file offset of buf[0]
	}
	next int
}

// windowBytes is how long a window may be that is kept.
const windowBytes = 16 << 10

// find returns the most that a window holds from an offset to the end of a view.
func (w *windows) find(offset, end int64) (found []byte) {
	for _, k := range w.kept {
		behind := min(end, k.base+int64(len(k.buf)))
		if k.base <= offset && behind-offset > int64(len(found)) {
			found = k.buf[offset-k.base : behind-k.base]
		}
	}
	return found
}

func (w *windows) keep(buf []byte, base int64) {
	if len(buf) <= windowBytes {
		k := &w.kept[w.next]
		k.buf, k.base = buf, base
		w.next = (w.next + 1) % len(w.kept)
	}
}

// parse runs a parser over a window.
func (d *Document) parse(window []byte, offset int64, parse func(*lexer) error) error {
	l := &lexer{buf: window, base: offset, last: offset+int64(len(window)) >= d.size, limits: &d.limits}
	return d.src.lend(l, parse)
}

// lend runs a parser with a stack that is used again. Where one runs inside another it
// has a stack of its own.
func (s *source) lend(l *lexer, parse func(*lexer) error) error {
	l.stack, s.stack = s.stack, nil
	err := parse(l)
	if clear(l.stack); cap(l.stack) <= keptStack { // what an error left there refers to windows
		s.stack = l.stack[:0]
	}
	return err
}

// keptStack is how large a stack may be that is used again, in values of 80 bytes.
const keptStack = 256
