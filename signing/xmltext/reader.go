package xmltext

import (
	"errors"
	"fmt"
	"io"
)

// Options say what a Reader accepts. The zero value is right for documents of
// unknown origin.
type Options struct {
	Limits Limits
	// Subset accepts a document type declaration; nil refuses it.
	Subset *Subset
	// Namespaces are in scope around the source, for a source that was cut
	// out of a document. They count as declarations.
	Namespaces []Namespace
	// Encoding is that of the document the source was cut out of, as
	// Reader.Encoding names it; empty finds it out from the source.
	Encoding string
	// Length is that of the source in bytes where it is known. It decides on the
	// buffer and on nothing else.
	Length int64
}

// buffer is the size of the first buffer: one that a small source fits into, with room
// to find its end.
func (o *Options) buffer() int64 {
	if o.Length <= 0 {
		return firstWindow
	}
	return min(max(o.Length+2*minRead, leastWindow), window)
}

// stage is where in a document the reader is.
type stage uint8

const (
	inProlog  stage = iota // before the document element
	inContent              // inside it
	inEpilog               // after it
)

// element is an open element.
type element struct {
	name     int32 // where its qualified name starts in Reader.names
	local    int32 // where the local part starts in the name
	bindings int32 // length of the scope before its declarations
	binding  int32 // of its prefix
}

// Reader splits a document into tokens.
type Reader struct {
	source  source
	limits  Limits
	accept  *Subset
	given   string  // encoding of the options
	subset  *subset // of the document's own doctype, nil if it has none
	begun   bool
	ended   error // how the source ended: io.EOF or why not; nil until then
	failed  error // what Next returned last
	stage   stage
	buf     []byte // of UTF-8
	pos     int    // of the next token in buf
	end     int    // of what is filled in buf
	offset  int64  // of pos in the source
	token   Token
	count   int64 // of elements
	open    []element
	names   []byte // qualified names of the open elements
	scope   scope
	closing bool // an empty element waits for its end
	leaving bool // the innermost element ended with the last token
	cdata   bool // inside a CDATA section

	// Of the start-tag being read.
	raw      []rawAttribute
	attrs    []Attribute
	declared []Namespace
	values   []byte // attribute values that differ from the source
	seen     nameSet

	reference [4]byte // what a character reference stands for
}

// NewReader prepares reading. Errors of src come back from Next as they are.
func NewReader(src io.Reader, o Options) *Reader {
	r := &Reader{
		source: source{in: src}, limits: o.Limits.complete(), accept: o.Subset,
		buf: make([]byte, o.buffer()), scope: newScope(), given: o.Encoding,
	}
	r.source.limit = r.limits.Size
	for _, n := range o.Namespaces {
		r.scope.bind(n.Prefix, n.URI)
	}
	return r
}

// Encoding names the encoding of the source, once a token was read: UTF-8,
// UTF-16BE, UTF-16LE, ISO-8859-1 and so on.
func (r *Reader) Encoding() string { return r.source.encoding }

// Next reads a token; it is valid until the next call. After the last token of
// a well-formed document the error is io.EOF. Any other is an *Error or comes
// from the source, and is returned again by further calls.
func (r *Reader) Next() (*Token, error) {
	if r.failed != nil {
		return nil, r.failed
	}
	if err := r.next(); err != nil {
		r.failed = r.located(err)
		return nil, r.failed
	}
	return &r.token, nil
}

// located turns a fault into an error with its place in the source.
func (r *Reader) located(err error) error {
	var f *fault
	if !errors.As(err, &f) {
		return err
	}
	at := min(r.pos+f.at, r.end)
	return &Error{Offset: r.offset + r.source.width(r.buf[r.pos:max(at, r.pos)]), Problem: f.problem, Reason: f.reason}
}

func (r *Reader) next() error {
	if r.leaving {
		r.leave()
	}
	if r.closing {
		r.closing = false
		r.endElement()
		r.token.Start, r.token.End = r.offset, r.offset
		return nil
	}
	if !r.begun {
		r.begun = true
		if done, err := r.begin(); done || err != nil {
			return err
		}
	}
	for {
		n, err := r.scan(r.buf[r.pos:r.end])
		if err == nil {
			r.advance(n)
			return nil
		}
		if err != errMore { //nolint:errorlint // a sentinel of this package, never wrapped
			return err
		}
		if err := r.more(); err != nil {
			return err
		}
	}
}

// advance makes the n bytes at hand those of the token.
func (r *Reader) advance(n int) {
	r.token.Start = r.offset
	r.offset += r.source.width(r.buf[r.pos : r.pos+n])
	r.token.End = r.offset
	r.pos += n
}

// more gets further bytes, or says why none can help.
func (r *Reader) more() error {
	have := r.end - r.pos
	switch {
	case r.ended != nil && !r.final():
		return r.ended
	case r.ended != nil && (have > 0 || r.cdata):
		return syntax(have, "the document ends within markup")
	case r.ended != nil && r.stage == inContent:
		return syntax(have, "the document ends before its element does")
	case r.ended != nil && r.stage == inProlog:
		return syntax(have, "no document element")
	case r.ended != nil:
		return io.EOF
	case have > r.limits.Markup:
		return excess(0, "bytes of markup", int64(r.limits.Markup))
	}
	r.fill()
	return nil
}

// final says that the source has ended well and that what is in the buffer is
// all there is.
func (r *Reader) final() bool { return r.ended != nil && errors.Is(r.ended, io.EOF) }

// fill moves what is unread to the front and fills the buffer, which grows
// when one token takes more than half of it.
func (r *Reader) fill() {
	have := r.end - r.pos
	if have > len(r.buf)/2 || r.offset > 0 && len(r.buf) < window {
		grown := make([]byte, max(2*len(r.buf), window))
		copy(grown, r.buf[r.pos:r.end])
		r.buf = grown
	} else {
		copy(r.buf, r.buf[r.pos:r.end])
	}
	r.pos, r.end = 0, have
	for idle := 0; r.ended == nil && len(r.buf)-r.end >= minRead; {
		n, err := r.source.Read(r.buf[r.end:])
		r.end += n
		r.ended = err
		if n > 0 {
			idle = 0
		} else if idle++; idle > 100 && err == nil {
			r.ended = io.ErrNoProgress
		}
	}
}

// scan reads the token at the start of b and says how many bytes it has.
func (r *Reader) scan(b []byte) (int, error) {
	if len(b) == 0 {
		return 0, errMore
	}
	if r.cdata {
		return r.characters(b, 0)
	}
	if b[0] != '<' {
		if r.stage != inContent {
			return r.space(b)
		}
		if b[0] == '&' {
			return r.referenceText(b)
		}
		return r.characters(b, 0)
	}
	if len(b) < 2 {
		return 0, errMore
	}
	switch b[1] {
	case '/':
		return r.endTag(b)
	case '!':
		return r.exclamation(b)
	case '?':
		return r.instruction(b)
	}
	return r.startTag(b)
}

// exclamation reads what begins with <! in a document.
func (r *Reader) exclamation(b []byte) (int, error) {
	const comment, section, doctype = "<!--", "<![CDATA[", "<!DOCTYPE"
	switch {
	case hasPrefix(b, comment):
		return r.comment(b)
	case hasPrefix(b, section) && r.stage == inContent:
		r.cdata = true
		n, err := r.characters(b, len(section))
		if err != nil {
			r.cdata = false
		}
		return n, err
	case hasPrefix(b, doctype):
		return r.doctype(b)
	case len(b) < len(section) && !r.final():
		return 0, errMore
	}
	return 0, syntax(0, "no markup begins like this here")
}

func hasPrefix(b []byte, prefix string) bool {
	return len(b) >= len(prefix) && string(b[:len(prefix)]) == prefix
}

// space reads white space outside the document element.
func (r *Reader) space(b []byte) (int, error) {
	n := skipSpace(b, 0)
	if n == 0 {
		return 0, syntax(0, "text outside the document element")
	}
	r.set(Space)
	r.token.Data = b[:n]
	return n, nil
}

// set begins a new token.
func (r *Reader) set(k Kind) {
	r.token = Token{}
	r.token.Kind, r.token.Depth = k, len(r.open)
}

// name gives the token the name of a tag. Field by field: this runs for every tag,
// and a value that is put together first and copied then takes several times as
// long.
func (r *Reader) name(qualified []byte, local int, of *binding) {
	n := &r.token.Name
	n.Qualified, n.local = qualified, local
	n.Space, n.Slot = of.uri, int(of.slot)
}

// enter opens an element whose declarations are in scope from mark on.
func (r *Reader) enter(name []byte, local int, binding int32, mark int) error {
	if r.count++; r.count > r.limits.Elements {
		return excess(0, "elements", r.limits.Elements)
	}
	if len(r.open) >= r.limits.Depth {
		return excess(0, "nested elements", int64(r.limits.Depth))
	}
	if r.stage == inEpilog {
		return syntax(0, "a second document element")
	}
	r.stage = inContent
	r.open = append(r.open, element{name: int32(len(r.names)), local: int32(local), bindings: int32(mark), binding: binding})
	r.names = append(r.names, name...)
	return nil
}

// endElement makes the token that ends the innermost element, which stays in
// scope until the next token is read.
func (r *Reader) endElement() {
	r.set(EndElement)
	e := &r.open[len(r.open)-1]
	r.name(r.names[e.name:], int(e.local), &r.scope.bindings[e.binding])
	r.leaving = true
}

// Open gives the name of the open element at a depth, 1 for the document element;
// it is valid until the next call of Next.
func (r *Reader) Open(depth int) Name {
	e, end := r.open[depth-1], len(r.names)
	if depth < len(r.open) {
		end = int(r.open[depth].name)
	}
	b := &r.scope.bindings[e.binding]
	return Name{Qualified: r.names[e.name:end], local: int(e.local), Space: b.uri, Slot: int(b.slot)}
}

func (r *Reader) leave() {
	r.leaving = false
	e := r.open[len(r.open)-1]
	r.open = r.open[:len(r.open)-1]
	r.names = r.names[:e.name]
	r.scope.release(int(e.bindings))
	if len(r.open) == 0 {
		r.stage = inEpilog
	}
}

// quoted shows a name in a message, cut where it is long.
func quoted(name []byte) string {
	const most = 60
	if len(name) > most {
		return fmt.Sprintf("%q…", name[:most])
	}
	return fmt.Sprintf("%q", name)
}
