package xmldsig

import (
	"context"
	"crypto"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/eidbridge/eidbridge/signing/c14n"
	"github.com/eidbridge/eidbridge/signing/xmltext"
)

// Options say how a document is processed. The zero value is right for one of
// unknown origin.
type Options struct {
	Limits xmltext.Limits
	// IDAttributes names further attributes, in no namespace, that hold
	// identifiers, beside Id, ID, id and xml:id.
	IDAttributes []string
	// Resolver gives external references; nil finds none.
	Resolver Resolver
	// XPointer accepts #xpointer(/) and #xpointer(id('…')).
	XPointer bool
	// Subset accepts a document type declaration; nil refuses it.
	Subset *xmltext.Subset
	// Expect are references that are to be computed in the first pass, for a
	// signature that is still to be made.
	Expect []Reference
	// ExpectIn is the Id of the signature that the expected references are in, for
	// one that the document has and whose place is not known. Nothing else is then
	// guessed.
	ExpectIn string
	// Copy takes the bytes of the document as the first pass reads them.
	Copy io.Writer
	// Watch is shown each token of the document as the first pass reads it, and may
	// keep none of its bytes.
	Watch func(*xmltext.Token)
	// Growing is for a document that is being written: the source waits for what is
	// still to come and says io.EOF where it ends. The size that Open is given is
	// then the largest.
	Growing bool
	// Time bounds one pass; 0 is DefaultTime, negative is no bound.
	Time time.Duration
}

// Document is an XML document with its signatures.
type Document struct {
	src  io.ReaderAt
	size int64
	opts Options
	// Encoding is that of the source, see xmltext.Reader.Encoding.
	Encoding string
	// Root is the document element.
	Root Root
	// Signatures are all ds:Signature elements in document order, those inside
	// others too.
	Signatures []*Signature
	// Digests are computed once for each target and hash.
	digests map[digestKey]Outcome
}

// Root is the document element of a document.
type Root struct {
	Space, Local, Qualified string
	// Start and End delimit it in the document, Close is where its end-tag
	// starts, bytes. In an empty-element tag Close is End.
	Start, Close, End int64
	// Context is what a child of the document element inherits.
	Context *c14n.Context
	// Instructions counts the processing instructions inside it.
	Instructions int
}

// Empty says that the document element is an empty-element tag.
func (r *Root) Empty() bool { return r.Close == r.End }

type digestKey struct {
	target
	hash crypto.Hash
}

// Outcome is what a reference yields.
type Outcome struct {
	Digest []byte
	// Size counts the octets that were digested, bytes.
	Size int64
	// Start and End delimit, in the document, what was digested: the element, or
	// the document. Both are 0 for external data.
	Start, End int64
	// Space and Local name the element, Depth counts the elements down to it, itself
	// included; 0 for the document and for external data.
	Space, Local string
	Depth        int
	// Omitted are the places inside that were left out.
	Omitted [][2]int64
	// Err is ErrNotFound, ErrFormat (base64), ErrLimit, or an error of c14n or of
	// the Resolver.
	Err error
}

// Open reads a document and finds its signatures. The error is that of reading
// it: *xmltext.Error, ErrLimit, the context's or the source's. Signatures that
// are malformed are listed with their error.
func Open(ctx context.Context, src io.ReaderAt, size int64, o Options) (*Document, error) {
	d := &Document{src: src, size: size, opts: o, digests: make(map[digestKey]Outcome)}
	wanted, from := make(map[digestKey]bool), int64(-1)
	if o.ExpectIn != "" {
		from = unplaced
	}
	for i := range o.Expect {
		r := &o.Expect[i]
		want(wanted, r.target(from, o.XPointer), r.Digest)
	}
	if o.ExpectIn == "" {
		d.guess(ctx, wanted)
	}
	if err := d.pass(ctx, wanted, true); err != nil {
		return nil, err
	}
	return d, nil
}

// unplaced stands for the start of the signature Options.ExpectIn until it is found.
const unplaced = -2

func want(wanted map[digestKey]bool, t target, hash crypto.Hash) {
	if t.kind == KindDocument || t.kind == KindElement {
		wanted[digestKey{t, hash}] = true
	}
}

// Digest computes references of a signature; sig is nil for one that is not in
// the document yet. The outcomes are in the order of the references. The error is
// one of reading the document.
func (d *Document) Digest(ctx context.Context, sig *Signature, references []Reference) ([]Outcome, error) {
	if err := d.Prepare(ctx, sig, references); err != nil {
		return nil, err
	}
	all := make([]Outcome, len(references))
	for i := range references {
		all[i] = d.outcome(ctx, sig, &references[i])
	}
	return all, nil
}

// Prepare computes references of the document that Digest will be asked for, in
// one pass.
func (d *Document) Prepare(ctx context.Context, sig *Signature, references []Reference) error {
	wanted := make(map[digestKey]bool)
	for i := range references {
		r := &references[i]
		if r.Err != nil {
			continue
		}
		t := r.target(start(sig), d.opts.XPointer)
		if _, known := d.digests[digestKey{t, r.Digest}]; !known {
			want(wanted, t, r.Digest)
		}
	}
	if len(wanted) == 0 {
		return nil
	}
	return d.pass(ctx, wanted, false)
}

// PrepareAll does so for all signatures, in one pass.
func (d *Document) PrepareAll(ctx context.Context) error {
	wanted := make(map[digestKey]bool)
	for _, s := range d.Signatures {
		for i := range s.References {
			r := &s.References[i]
			if r.Err != nil {
				continue
			}
			t := r.target(s.Start, d.opts.XPointer)
			if _, known := d.digests[digestKey{t, r.Digest}]; !known {
				want(wanted, t, r.Digest)
			}
		}
	}
	if len(wanted) == 0 {
		return nil
	}
	return d.pass(ctx, wanted, false)
}

func start(sig *Signature) int64 {
	if sig == nil {
		return -1
	}
	return sig.Start
}

func (d *Document) outcome(ctx context.Context, sig *Signature, r *Reference) Outcome {
	if r.Err != nil {
		return Outcome{Err: r.Err}
	}
	t := r.target(start(sig), d.opts.XPointer)
	key := digestKey{t, r.Digest}
	if o, known := d.digests[key]; known {
		return o
	}
	o := external(ctx, d.opts, t, r.Digest)
	if ctx.Err() == nil {
		d.digests[key] = o
	}
	return o
}

// load reads the ds:Signature elements that a pass has found.
func (d *Document) load(found []place) error {
	total := int64(0)
	var outer []*Signature
	for _, p := range found {
		s := &Signature{Start: p.start, End: p.end, Depth: p.depth, ParentSpace: p.parentSpace, ParentLocal: p.parentLocal}
		for len(outer) > 0 && outer[len(outer)-1].End <= s.Start {
			outer = outer[:len(outer)-1]
		}
		d.Signatures = append(d.Signatures, s)
		if len(outer) > 0 {
			s.Outer = outer[len(outer)-1]
			s.Fragment = s.Outer.Fragment
			s.Element = find(s.Fragment.Element, s.Start-outer[0].Start)
			if s.Element == nil {
				// It stands in something that another signature envelops.
				s.Fragment = nil
			}
		}
		outer = append(outer, s)
		if s.Fragment == nil {
			if total += s.End - s.Start; total > maxSignature {
				return excess(maxSignature, "bytes of signatures")
			}
			raw := make([]byte, s.End-s.Start)
			if n, err := d.src.ReadAt(raw, s.Start); n < len(raw) {
				return fmt.Errorf("reading a signature: %w", noEOF(err))
			}
			var err error
			if s.Fragment, err = NewFragment(raw, d.Encoding, p.context); err != nil {
				return err
			}
			s.Element = s.Fragment.Element
		}
		s.Err = s.read()
	}
	return nil
}

func noEOF(err error) error {
	if err == nil || errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// find finds the element that starts at an offset.
func find(e *Element, at int64) *Element {
	for {
		if e.Start == at {
			return e
		}
		var next *Element
		for _, c := range e.Children {
			if c.Start <= at && at < c.End {
				next = c
			}
		}
		if next == nil {
			return nil
		}
		e = next
	}
}

// Detached is no document: a place from which external references are resolved.
func Detached(r Resolver) *Document {
	return &Document{opts: Options{Resolver: r}, digests: make(map[digestKey]Outcome)}
}
