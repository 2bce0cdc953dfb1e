package pdf

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/eidbridge/eidbridge/fixtures/pdfs"
)

// TestNeighboursAreReadTogether: what stands in a window that was read before is not
// read again, but never beyond the end of a view or the limit of an object.
func TestNeighboursAreReadTogether(t *testing.T) {
	file := append(pdfs.Classic(), bytes.Repeat([]byte{'\n'}, 10<<10)...)
	src := &counted{Reader: bytes.NewReader(file)}
	d := &Document{src: &source{r: src, ctx: context.Background()}, size: int64(len(file)), limits: Limits{}.withDefaults()}
	at := func(number string) int64 { return int64(bytes.Index(file, []byte(number+" 0 obj"))) }
	for _, number := range []string{"1", "2", "3", "4"} {
		if _, err := d.indirectAt(at(number)); err != nil {
			t.Fatal(err)
		}
	}
	if src.reads != 1 {
		t.Errorf("four neighbours took %d reads", src.reads)
	}
	short := *d
	short.size = at("5") + 10
	if _, err := short.indirectAt(at("5")); err == nil {
		t.Error("a view has an object that goes on behind its end")
	}
	short.size, short.limits.ObjectBytes = d.size, 10
	var limit *LimitError
	if _, err := short.indirectAt(at("5")); !errors.As(err, &limit) {
		t.Errorf("over the limit: %v", err)
	}
	if whole, err := d.peek(int64(len(file))-10, 100); err != nil || !bytes.Equal(whole, file[len(file)-10:]) {
		t.Errorf("at the end of the file: %q, %v", whole, err)
	}
}

// TestStackIsLentToOneParser: parsers that run inside each other do not share a stack,
// nothing stays on it after an error, and a large one is not kept.
func TestStackIsLentToOneParser(t *testing.T) {
	limits := Limits{}.withDefaults()
	s := new(source)
	text := func(source string) *lexer { return &lexer{buf: []byte(source), last: true, limits: &limits} }
	var outer, inner Object
	err := s.lend(text("[1 [2 3] << /A 4 >>]"), func(l *lexer) (err error) {
		l.stack = append(l.stack, Object{kind: Name}) // as if in the middle of an array
		if outer, err = l.object(0); err != nil {
			return err
		}
		return s.lend(text("[5 [6] 7]"), func(l *lexer) (err error) {
			inner, err = l.object(0)
			return err
		})
	})
	if err != nil || len(outer.Items()) != 3 || len(outer.Items()[1].Items()) != 2 || len(inner.Items()) != 3 {
		t.Errorf("read %v and %v: %v", outer, inner, err)
	}
	if a, ok := outer.Items()[2].Get("A").Int(); !ok || a != 4 {
		t.Errorf("the dictionary holds %d", a)
	}
	parse := func(l *lexer) error {
		_, err := l.object(0)
		return err
	}
	if err := s.lend(text("[1 2 [3 << /A (b) /C >> ]"), parse); err == nil {
		t.Error("a broken array was read")
	}
	if len(s.stack) != 0 || cap(s.stack) == 0 {
		t.Fatalf("a stack with %d values of %d is kept after an error", len(s.stack), cap(s.stack))
	}
	for i, o := range s.stack[:cap(s.stack)] {
		if o.raw != nil || o.items != nil {
			t.Errorf("value %d is still there after an error: %q", i, o.raw)
		}
	}
	if err := s.lend(text("["+strings.Repeat("0 ", 2*keptStack)+"]"), parse); err != nil {
		t.Fatal(err)
	}
	if cap(s.stack) > keptStack {
		t.Errorf("a stack for %d values is kept", cap(s.stack))
	}
}
