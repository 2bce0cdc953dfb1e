package xmldsig

import (
	"context"
	"crypto"
	"errors"
	"fmt"
	"hash"
	"io"
	"strings"
	"time"

	"github.com/eidbridge/eidbridge/signing/c14n"
	"github.com/eidbridge/eidbridge/signing/xmltext"
)

// pass is one reading of a document that computes digests.
type pass struct {
	d      *Document
	source *source
	reader *xmltext.Reader
	canon  *c14n.Canonicalizer
	sinks  []*sink
	byID   map[string][]*sink
	// texts are sinks of base64 whose element is open.
	texts []*sink
	// within are sinks whose element is open.
	within []*sink
	work   work
	// survey collects what Open wants to know.
	survey   bool
	found    []place
	open     []int // indices in found of open signatures
	contexts int
}

// place is where a ds:Signature stands.
type place struct {
	start, end               int64
	depth                    int
	context                  *c14n.Context
	parentSpace, parentLocal string
}

// sink takes the octets of one target.
type sink struct {
	target
	hashes  map[crypto.Hash]hash.Hash
	copy    io.Writer // takes the octets too, nil for nobody
	decoder *base64Writer
	output  int // index in the canonicalizer, -1 for base64
	matches int
	depth   int // of the element while it is open
	omitted int // depth of an omitted signature while it is open (base64)
	out     Outcome
	pass    *pass
}

// work bounds the octets of all references together.
type work struct{ left int64 }

func (s *sink) Write(p []byte) (int, error) {
	s.out.Size += int64(len(p))
	if s.pass.work.left -= int64(len(p)); s.pass.work.left < 0 {
		return 0, excess(workFactor, "times the document referred to")
	}
	for _, h := range s.hashes {
		h.Write(p)
	}
	if s.copy != nil {
		return s.copy.Write(p)
	}
	return len(p), nil
}

// pass reads the document once for what is wanted.
func (d *Document) pass(ctx context.Context, wanted map[digestKey]bool, survey bool) error {
	p := d.newPass(ctx, survey)
	if err := p.plan(wanted); err != nil {
		return err
	}
	if err := p.run(); err != nil {
		return err
	}
	if survey {
		d.size = p.source.at
	}
	p.finish()
	if survey {
		d.Encoding = p.reader.Encoding()
		return d.load(p.found)
	}
	return nil
}

// copyPass reads the document for one digest and writes its octets.
func (d *Document) copyPass(ctx context.Context, key digestKey, to io.Writer) error {
	p := d.newPass(ctx, false)
	if err := p.plan(map[digestKey]bool{key: true}); err != nil {
		return err
	}
	p.sinks[0].copy = to
	if err := p.run(); err != nil {
		return err
	}
	p.finish()
	return nil
}

func (d *Document) newPass(ctx context.Context, survey bool) *pass {
	p := &pass{d: d, byID: make(map[string][]*sink), survey: survey, work: work{max(minWork, workFactor*d.size)}}
	p.source = &source{ctx: ctx, src: d.src, size: d.size, until: deadline(d.opts.Time)}
	if survey {
		p.source.copy, p.source.growing = d.opts.Copy, d.opts.Growing
	}
	p.reader = xmltext.NewReader(p.source, xmltext.Options{Limits: d.opts.Limits, Subset: d.opts.Subset, Length: d.size})
	return p
}

func deadline(limit time.Duration) time.Time {
	switch {
	case limit < 0:
		return time.Time{}
	case limit == 0:
		limit = DefaultTime
	}
	return time.Now().Add(limit)
}

// plan makes a sink for each target.
func (p *pass) plan(wanted map[digestKey]bool) error {
	byTarget := make(map[target]*sink)
	var outputs []c14n.Output
	for key := range wanted {
		s := byTarget[key.target]
		if s == nil {
			s = &sink{target: key.target, hashes: make(map[crypto.Hash]hash.Hash), output: -1, pass: p}
			byTarget[key.target] = s
			p.sinks = append(p.sinks, s)
			if s.kind == KindElement {
				p.byID[s.id] = append(p.byID[s.id], s)
			}
			if s.base64 {
				s.decoder = &base64Writer{to: s}
			} else {
				s.output = len(outputs)
				outputs = append(outputs, c14n.Output{
					Method: s.method, Prefixes: strings.Fields(s.prefixes), Manual: s.kind == KindElement,
					Apart: true, Omit: s.omit(), To: s,
				})
			}
		}
		if !key.hash.Available() {
			return unaccepted("digest %s", key.hash)
		}
		s.hashes[key.hash] = key.hash.New()
	}
	var err error
	p.canon, err = c14n.New(p.reader, outputs...)
	return err
}

// omit picks the signatures that are left out; nil leaves nothing out.
func (s *sink) omit() c14n.Selector {
	switch {
	case s.all:
		return func(t *xmltext.Token) bool { return s.leaves(t, t.Name.Is(Namespace, "Signature")) }
	case s.top:
		return func(t *xmltext.Token) bool {
			return s.leaves(t, t.Start == s.own || t.Depth == 2 && t.Name.Is(Namespace, "Signature"))
		}
	case s.own >= 0:
		return func(t *xmltext.Token) bool { return s.leaves(t, t.Start == s.own) }
	case s.own == unplaced:
		return func(t *xmltext.Token) bool { return s.leaves(t, s.pass.expected(t)) }
	}
	return nil
}

// expected says that an element is the signature Options.ExpectIn.
func (p *pass) expected(t *xmltext.Token) bool {
	if !t.Name.Is(Namespace, "Signature") {
		return false
	}
	id, _ := t.Attr("", "Id")
	return string(id) == p.d.opts.ExpectIn
}

func (s *sink) leaves(t *xmltext.Token, out bool) bool {
	if out && len(s.out.Omitted) < maxSignatures {
		s.out.Omitted = append(s.out.Omitted, [2]int64{t.Start, 0})
	}
	return out
}

// run feeds the tokens of the document.
func (p *pass) run() error {
	for {
		t, err := p.reader.Next()
		if err != nil {
			if errors.Is(err, io.EOF) {
				return p.canon.Close()
			}
			return err
		}
		if p.survey && p.d.opts.Watch != nil {
			p.d.opts.Watch(t)
		}
		if t.Kind == xmltext.StartElement && len(p.byID) > 0 {
			p.identify(t)
		}
		if err := p.canon.Token(t); err != nil {
			return err
		}
		if t.Kind == xmltext.EndElement && len(p.within) > 0 {
			p.leave(t)
		}
		if len(p.texts) > 0 || t.Kind == xmltext.StartElement && t.Depth == 1 {
			p.text(t)
		}
		if p.survey {
			if err := p.look(t); err != nil {
				return err
			}
		}
	}
}

// identify starts what the identifiers of an element are waited for by. A second
// element of the same identifier makes the first worthless.
func (p *pass) identify(t *xmltext.Token) {
	for i := range t.Attributes {
		a := &t.Attributes[i]
		if !p.isID(a) {
			continue
		}
		for _, s := range p.byID[string(a.Value)] {
			if s.matches++; s.matches > 1 {
				if t.Depth != s.depth || s.out.Start != t.Start {
					s.out.Err = malformed("the identifier %s occurs more than once", quoted(s.id))
				}
				continue
			}
			s.begin(t)
			p.within = append(p.within, s)
			if s.output >= 0 {
				p.canon.Start(s.output)
			} else {
				p.texts = append(p.texts, s)
			}
		}
	}
}

// leave notes where elements end.
func (p *pass) leave(t *xmltext.Token) {
	kept := p.within[:0]
	for _, s := range p.within {
		if s.depth == t.Depth {
			s.out.End = t.End
			continue
		}
		kept = append(kept, s)
	}
	p.within = kept
}

func (s *sink) begin(t *xmltext.Token) {
	s.depth, s.out.Depth = t.Depth, t.Depth
	s.out.Start, s.out.Space, s.out.Local = t.Start, string(t.Name.Space), string(t.Name.Local())
}

func (p *pass) isID(a *xmltext.Attribute) bool {
	if a.ID {
		return true
	}
	local := a.Name.Local()
	if a.Name.Slot >= 0 {
		return a.Name.Slot == xmltext.XMLSlot && string(local) == "id"
	}
	if len(local) == 2 {
		switch string(local) {
		case "Id", "ID", "id":
			return true
		}
	}
	for _, other := range p.d.opts.IDAttributes {
		if string(local) == other {
			return true
		}
	}
	return false
}

// text feeds the sinks of base64: their string value is the character data in
// the element, less what is left out.
func (p *pass) text(t *xmltext.Token) {
	if t.Kind == xmltext.StartElement && t.Depth == 1 {
		for _, s := range p.sinks {
			if s.output < 0 && s.kind == KindDocument {
				s.begin(t)
				p.texts = append(p.texts, s)
			}
		}
	}
	ended := false
	for _, s := range p.texts {
		switch t.Kind {
		case xmltext.Text, xmltext.CDATA:
			if s.omitted == 0 {
				s.decoder.Write(t.Data) //nolint:errcheck // the decoder keeps its error
			}
		case xmltext.StartElement:
			if omit := s.omit(); s.omitted == 0 && omit != nil && omit(t) {
				s.omitted = t.Depth
			}
		case xmltext.EndElement:
			if t.Depth == s.omitted {
				s.omitted = 0
			}
			ended = ended || t.Depth == s.depth
		}
	}
	if ended {
		kept := p.texts[:0]
		for _, s := range p.texts {
			if t.Depth != s.depth {
				kept = append(kept, s)
			}
		}
		p.texts = kept
	}
}

// look notes where signatures stand, and what the document element is.
func (p *pass) look(t *xmltext.Token) error {
	root := &p.d.Root
	switch t.Kind {
	case xmltext.StartElement:
		if t.Depth == 1 {
			*root = Root{
				Space: string(t.Name.Space), Local: string(t.Name.Local()), Qualified: string(t.Name.Qualified),
				Start: t.Start, Context: p.canon.Context(),
			}
		}
		if t.Name.Is(Namespace, "Signature") {
			if len(p.found) == maxSignatures {
				return excess(maxSignatures, "signatures")
			}
			ctx := p.canon.Context()
			if p.contexts += ctx.Size(); p.contexts > maxContexts {
				return excess(maxContexts, "bytes of declarations around signatures")
			}
			found := place{start: t.Start, depth: t.Depth, context: ctx}
			if t.Depth > 1 {
				parent := p.reader.Open(t.Depth - 1)
				found.parentSpace, found.parentLocal = string(parent.Space), string(parent.Local())
			}
			p.open = append(p.open, len(p.found))
			p.found = append(p.found, found)
		}
	case xmltext.EndElement:
		if t.Depth == 1 {
			root.Close, root.End = t.Start, t.End
		}
		if n := len(p.open); n > 0 && p.found[p.open[n-1]].depth == t.Depth {
			p.found[p.open[n-1]].end = t.End
			p.open = p.open[:n-1]
		}
	case xmltext.ProcessingInstruction:
		if t.Depth > 0 {
			root.Instructions++
		}
	}
	return nil
}

// finish keeps the digests.
func (p *pass) finish() {
	for _, s := range p.sinks {
		switch {
		case s.out.Err != nil:
		case s.kind == KindElement && s.matches == 0:
			s.out.Err = fmt.Errorf("%w: no element has the identifier %s", ErrNotFound, quoted(s.id))
		case s.decoder != nil:
			if s.out.Err = s.decoder.Close(); s.out.Err == nil && s.out.Size == 0 {
				s.out.Err = fmt.Errorf("%w: there is nothing to digest", ErrNotFound)
			}
		default:
			s.out.Err = p.canon.Err(s.output)
		}
		if s.kind == KindDocument {
			s.out.Start, s.out.End, s.out.Depth = 0, p.d.size, 0
		}
		for i := range s.out.Omitted {
			s.out.Omitted[i][1] = p.end(s.out.Omitted[i][0])
		}
		if s.own == unplaced {
			if len(s.out.Omitted) != 1 {
				continue // it is not there, or its Id is no name
			}
			s.own = s.out.Omitted[0][0]
		}
		for h, state := range s.hashes {
			out := s.out
			if out.Err == nil {
				out.Digest = state.Sum(nil)
			}
			p.d.digests[digestKey{s.target, h}] = out
		}
	}
}

// end finds where the signature that starts at an offset ends.
func (p *pass) end(start int64) int64 {
	for i := range p.found {
		if p.found[i].start == start {
			return p.found[i].end
		}
	}
	for _, s := range p.d.Signatures {
		if s.Start == start {
			return s.End
		}
	}
	return start
}

// source reads the document as long as context and time allow.
type source struct {
	ctx     context.Context
	src     io.ReaderAt
	at      int64
	size    int64
	until   time.Time
	copy    io.Writer // takes what is read, nil for nobody
	growing bool      // where the source ends, not size, the document does
}

func (s *source) Read(b []byte) (int, error) {
	if err := s.ctx.Err(); err != nil {
		return 0, err
	}
	if !s.until.IsZero() && time.Now().After(s.until) {
		return 0, fmt.Errorf("%w: reading took too long", ErrLimit)
	}
	if s.at >= s.size {
		return 0, io.EOF
	}
	n, err := s.src.ReadAt(b[:min(int64(len(b)), s.size-s.at)], s.at)
	s.at += int64(n)
	switch {
	case n > 0:
		err = nil
	case s.growing && errors.Is(err, io.EOF):
		return 0, io.EOF
	case err == nil || errors.Is(err, io.EOF):
		err = io.ErrUnexpectedEOF
	}
	if s.copy != nil && n > 0 {
		_, err = s.copy.Write(b[:n])
	}
	return n, err
}
