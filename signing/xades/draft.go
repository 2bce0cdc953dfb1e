package xades

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"sync"

	"github.com/eidbridge/eidbridge/signing"
	"github.com/eidbridge/eidbridge/signing/outfile"
	"github.com/eidbridge/eidbridge/signing/xmldsig"
)

// draft is an output that is checked while it is written. The pass that digests
// the document puts what it reads into the output, and right behind it another pass
// reads the output, on another processor, as far as it will stay as it is; it waits
// there for the signature and reads on. So document and output are read once each,
// at the same time.
type draft struct {
	out *outfile.File
	to  io.Writer // out, with errors marked
	sum hash.Hash // of the document, nil where nobody asks

	mu      sync.Mutex
	changed sync.Cond
	written int64
	ready   int64 // so many bytes will stay as they are
	whole   bool  // nothing comes after them
	err     error // why nothing will
}

const (
	// lag is how far the check stays behind: where the document element ends within
	// it, nothing has been read of what the signature moves, bytes.
	lag = 256 << 10
	// leastDraft is the size from which reading at the same time pays, bytes.
	leastDraft = 1 << 20
	// writeback is after how much the system is told to begin to write to the disk.
	writeback = 8 << 20
)

// errUnfit says that a document has so much after its document element that it
// cannot be drafted. Nothing was signed yet.
var errUnfit = errors.New("too much follows the document element")

// drafts tells whether a document is signed by way of a draft: the references must
// be known before it was read.
func (o *Options) drafts(size int64) bool {
	return size >= leastDraft && len(o.Elements) == 0 && (o.Packaging == "" || o.Packaging == Enveloped)
}

// signDraft makes and checks an enveloped signature.
func signDraft(ctx context.Context, src io.ReaderAt, size int64, target *outfile.File, cred signing.Credential, o Options) (*signing.Result, error) {
	m, err := newMaker(cred, o)
	if err != nil {
		return nil, err
	}
	expected, err := m.expected()
	if err != nil {
		return nil, err
	}
	d := &draft{out: target, to: target.Writer()}
	d.changed.L = &d.mu
	check := o.xml()
	check.Expect, check.ExpectIn, check.Growing = expected, m.id, true
	check.Time = -1 // it waits for the key; the first pass has its bound
	signed := sha256.New()
	if o.SourceSHA256 != nil {
		d.sum, check.Copy = sha256.New(), signed
	}
	var doc *xmldsig.Document
	var failure error
	var checking sync.WaitGroup
	checking.Go(func() { doc, failure = xmldsig.Open(ctx, d, size+maxGrowth, check) })
	result, p, err := d.sign(ctx, m, src, size, cred, &o)
	d.end(err)
	checking.Wait()
	switch {
	case errors.Is(err, errUnfit):
		return nil, errors.Join(err, d.reset())
	case err != nil:
		return nil, err
	case failure != nil:
		return nil, fmt.Errorf("%w: %w", signing.ErrCheck, failure)
	}
	if o.SourceSHA256 != nil {
		result.SourceSHA256, result.SHA256 = *o.SourceSHA256, [sha256.Size]byte(signed.Sum(nil))
	}
	return result, p.check(ctx, doc)
}

// maxGrowth bounds what a signature adds to a document, bytes.
const maxGrowth = 64 << 20

// expected are the references of the signature to be made, to a document as a
// whole and to its own parts, as the finished output has them.
func (m *maker) expected() ([]xmldsig.Reference, error) {
	all, err := m.parts()
	if err != nil {
		return nil, err
	}
	for i := range all {
		all[i].Transforms = m.transforms(true)
	}
	all = append(all, m.inner(m.propertiesID(), typeSignedProperties))
	if m.options.SignKeyInfo {
		all = append(all, m.inner((&xmldsig.Template{ID: m.id}).KeyInfoID(), ""))
	}
	if m.options.Manifest {
		all = append(all, m.inner(m.manifestID(), xmldsig.TypeManifest))
	}
	for i := range all {
		if all[i], err = xmldsig.NewReference(all[i]); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// sign reads the document into the draft, signs, and puts the signature in.
func (d *draft) sign(ctx context.Context, m *maker, src io.ReaderAt, size int64, cred signing.Credential, o *Options) (*signing.Result, *prepared, error) {
	p, err := m.enveloped(ctx, pieces{src, []Piece{{To: size}}}, d)
	if err != nil {
		return nil, nil, err
	}
	if d.sum != nil && !bytes.Equal(d.sum.Sum(nil), o.SourceSHA256[:]) {
		return nil, nil, signing.ErrSourceChanged
	}
	p.plan.SourceSize = size
	head := p.plan.Before[0]
	if head.Bytes != nil || head.To < d.ready {
		return nil, nil, errUnfit
	}
	raw, result, err := p.finish(ctx, cred, o)
	if err != nil {
		return nil, nil, err
	}
	// What is moved is read from the output, which has what was digested.
	rest := p.plan.output(d.out, raw)
	rest.list = rest.list[1:]
	moved := make([]byte, rest.size())
	if _, err := rest.ReadAt(moved, 0); err != nil {
		return nil, nil, fmt.Errorf("%w: %w", signing.ErrOutput, err)
	}
	result.Size = head.To + rest.size()
	return result, p, d.put(moved, head.To)
}

// Write adds to the output what was read of the document.
func (d *draft) Write(p []byte) (int, error) {
	n, err := d.to.Write(p)
	if d.sum != nil {
		d.sum.Write(p[:n])
	}
	before := d.written
	d.written += int64(n)
	if d.written/writeback > before/writeback {
		d.out.Writeback(before/writeback*writeback, writeback)
	}
	d.mu.Lock()
	d.ready = max(d.ready, d.written-lag)
	d.mu.Unlock()
	d.changed.Signal()
	return n, err
}

// put writes the end of the output over what is there.
func (d *draft) put(p []byte, at int64) error {
	to, ok := d.to.(io.WriterAt)
	if !ok {
		return fmt.Errorf("%w: it can only be written in order", signing.ErrOutput)
	}
	if _, err := to.WriteAt(p, at); err != nil {
		return err
	}
	d.mu.Lock()
	d.ready, d.whole = at+int64(len(p)), true
	d.mu.Unlock()
	return nil
}

// end lets the check read to the end, or ends it.
func (d *draft) end(err error) {
	d.mu.Lock()
	d.err = err
	d.mu.Unlock()
	d.changed.Signal()
}

// reset makes the output empty.
func (d *draft) reset() error {
	_, err := d.out.Seek(0, io.SeekStart)
	if err == nil {
		err = d.out.Truncate(0)
	}
	if err != nil {
		return fmt.Errorf("%w: %w", signing.ErrOutput, err)
	}
	return nil
}

// ReadAt reads the output and waits for what is not there yet.
func (d *draft) ReadAt(b []byte, at int64) (int, error) {
	d.mu.Lock()
	for d.ready < at+int64(len(b)) && !d.whole && d.err == nil {
		d.changed.Wait()
	}
	ready, err := d.ready, d.err
	d.mu.Unlock()
	switch {
	case err != nil:
		return 0, err
	case ready <= at:
		return 0, io.EOF
	}
	n := min(int64(len(b)), ready-at)
	read, err := d.out.ReadAt(b[:n], at)
	if err == nil && read < len(b) {
		err = io.EOF
	}
	return read, err
}
