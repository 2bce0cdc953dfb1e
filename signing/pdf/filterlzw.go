package pdf

import (
	"bufio"
	"errors"
	"io"
)

// lzwReader decodes LZWDecode (7.4.4.2): codes of 9 to 12 bits, 256 clears the
// table, 257 ends the data.
type lzwReader struct {
	r     *bufio.Reader
	early int // codes grow one entry early, as all but some producers do
	bits  uint32
	have  uint
	width uint
	next  int
	last  int
	// entry i is the entry prefix[i] followed by suffix[i].
	prefix [4096]uint16
	suffix [4096]byte
	stack  [4096]byte
	ready  []byte
	done   bool
}

const (
	lzwClear = 256
	lzwEnd   = 257
)

func newLZWReader(r io.Reader, early int) *lzwReader {
	l := &lzwReader{r: bufio.NewReader(r), early: early}
	l.clear()
	return l
}

func (l *lzwReader) clear() { l.width, l.next, l.last = 9, lzwEnd+1, -1 }

func (l *lzwReader) Read(p []byte) (int, error) {
	for len(l.ready) == 0 {
		if l.done {
			return 0, io.EOF
		}
		if err := l.decode(); err != nil {
			return 0, err
		}
	}
	n := copy(p, l.ready)
	l.ready = l.ready[n:]
	return n, nil
}

func (l *lzwReader) code() (int, error) {
	for l.have < l.width {
		b, err := l.r.ReadByte()
		if errors.Is(err, io.EOF) {
			return lzwEnd, nil // the end code is often missing
		}
		if err != nil {
			return 0, err
		}
		l.bits = l.bits<<8 | uint32(b)
		l.have += 8
	}
	l.have -= l.width
	return int(l.bits>>l.have) & (1<<l.width - 1), nil
}

// decode reads one code and puts what it stands for into ready.
func (l *lzwReader) decode() error {
	code, err := l.code()
	if err != nil {
		return err
	}
	switch {
	case code == lzwEnd:
		l.done = true
		return nil
	case code == lzwClear:
		l.clear()
		return nil
	case code > l.next || code == l.next && l.last < 0:
		return malformed(-1, "LZW code without meaning")
	}
	entry, at := code, len(l.stack)
	if code == l.next { // the entry that is about to be made
		entry = l.last
		at--
		l.stack[at] = l.first(l.last)
	}
	for entry >= lzwEnd {
		at--
		l.stack[at] = l.suffix[entry]
		entry = int(l.prefix[entry])
	}
	at--
	l.stack[at] = byte(entry)
	if l.last >= 0 && l.next < len(l.prefix) {
		l.prefix[l.next], l.suffix[l.next] = uint16(l.last), l.stack[at]
		l.next++
		if l.next+l.early == 1<<l.width && l.width < 12 {
			l.width++
		}
	}
	l.last = code
	l.ready = l.stack[at:]
	return nil
}

// first is the first byte of an entry.
func (l *lzwReader) first(entry int) byte {
	for entry >= lzwEnd {
		entry = int(l.prefix[entry])
	}
	return byte(entry)
}

// runLengthReader decodes RunLengthDecode (7.4.5).
type runLengthReader struct {
	r     *bufio.Reader
	run   int // bytes to come: copies of value, or literal ones
	value int // -1 for literal bytes
	done  bool
}

func (r *runLengthReader) Read(p []byte) (int, error) {
	for n := 0; ; {
		if r.done || n == len(p) {
			if n == 0 && r.done {
				return 0, io.EOF
			}
			return n, nil
		}
		if r.run == 0 {
			if err := r.length(); err != nil {
				return n, err
			}
			continue
		}
		b := byte(r.value)
		if r.value < 0 {
			var err error
			if b, err = r.r.ReadByte(); err != nil {
				return n, err
			}
		}
		p[n] = b
		n++
		r.run--
	}
}

// length reads what the next run is.
func (r *runLengthReader) length() error {
	b, err := r.r.ReadByte()
	switch {
	case errors.Is(err, io.EOF) || err == nil && b == 128:
		r.done = true
		return nil
	case err != nil:
		return err
	case b < 128:
		r.run, r.value = int(b)+1, -1
		return nil
	}
	v, err := r.r.ReadByte()
	r.run, r.value = 257-int(b), int(v)
	return err
}

// tiffReader undoes the horizontal prediction of TIFF (7.4.4.4, predictor 2) for
// components of eight bits.
type tiffReader struct {
	r      io.Reader
	colors int
	row    []byte
	ready  []byte
}

func (t *tiffReader) Read(p []byte) (int, error) {
	if len(t.ready) == 0 {
		n, err := io.ReadFull(t.r, t.row)
		if n == 0 {
			return 0, err
		}
		for i := t.colors; i < n; i++ {
			t.row[i] += t.row[i-t.colors]
		}
		t.ready = t.row[:n]
	}
	n := copy(p, t.ready)
	t.ready = t.ready[n:]
	return n, nil
}
