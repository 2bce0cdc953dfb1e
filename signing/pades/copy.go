package pades

import (
	"bytes"
	"context"
	"crypto"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"slices"
	"sync"

	"github.com/eidbridge/eidbridge/signing/outfile"
)

// sink is where a signature and the document before it are written.
type sink interface {
	io.Writer
	// copySource writes the document, to be digested most likely by this algorithm. It
	// may begin at once or when it is waited for. Its errors, and those of wait, need no
	// more words.
	copySource(ctx context.Context, likely crypto.Hash, src io.ReaderAt, size int64) (copying, error)
	// planned is told what will follow the document, as soon as that is decided.
	planned(ctx context.Context, p *Plan)
	// tail returns what is to be written behind the document.
	tail(p *Plan, signature []byte) ([]byte, error)
}

// copying is a document on its way to a sink.
type copying interface {
	// source is the document, to decide what follows it.
	source() io.ReaderAt
	// wait returns a running digest of the document once it is written.
	wait(algorithm crypto.Hash) (hash.Hash, error)
	// stop gives up, and returns when nothing is written any more.
	stop()
}

// stream is a sink that cannot be read again and to which nothing may be written in
// vain.
type stream struct{ io.Writer }

func (s stream) copySource(ctx context.Context, _ crypto.Hash, src io.ReaderAt, size int64) (copying, error) {
	return &streaming{ctx, s.Writer, src, size}, nil
}

func (stream) planned(context.Context, *Plan) {}

func (stream) tail(p *Plan, signature []byte) ([]byte, error) { return p.signedTail(signature) }

// streaming is a document that is copied when it is waited for.
type streaming struct {
	ctx  context.Context
	dst  io.Writer
	src  io.ReaderAt
	size int64
}

func (s *streaming) source() io.ReaderAt { return s.src }

func (s *streaming) wait(algorithm crypto.Hash) (hash.Hash, error) {
	h := algorithm.New()
	if err := copySource(s.ctx, io.MultiWriter(s.dst, h), s.src, s.size); err != nil {
		return nil, copyFailed(err)
	}
	return h, nil
}

func (s *streaming) stop() {}

// file is a sink whose content is what was digested: every piece of the document is
// written, read back and compared with what was read. The check of the output therefore
// need not pass over the document again.
type file struct {
	*outfile.File // nil until the document is copied
	w             io.Writer
	begin         func() (*outfile.File, error)
	memory        *outfile.Memory
	size          int64 // written and compared so far, in bytes
	// want, unless nil, is the SHA-256 that the document must have.
	want *[sha256.Size]byte
	// copying is the document on its way to the file, copied what is known of it in the
	// end.
	copying interface {
		copying
		// beginning is what the file begins with, or will have been found to begin
		// with; nil when that cannot be.
		beginning() io.ReaderAt
		// release is called when nobody needs the document any more.
		release()
	}
	copied *copied
	// structure tells in the end whether the output will be a valid file; nil before
	// anything is planned.
	structure chan error
}

// create makes the file, which has no name yet.
func (f *file) create() (err error) {
	if f.File == nil {
		if f.File, err = f.begin(); err == nil {
			f.w = f.Writer()
		}
	}
	return err
}

// close ends all that concerns the file, and removes it unless it is in place or handed
// over.
func (f *file) close() {
	if f.copying != nil {
		f.copying.stop()
	}
	_ = f.checked()
	if f.copying != nil {
		f.copying.release()
	}
	if f.File != nil {
		f.Discard()
	}
}

// copied is the digest of the document at the beginning of an output, by one or
// more algorithms.
type copied struct {
	size   int64                       // bytes
	states map[crypto.Hash]hash.Cloner // nobody writes to them
}

// digest returns a running digest of src from its beginning, and where it goes on.
// It takes up what is known, if that is of this algorithm and not over more than
// most bytes.
func (c *copied) digest(algorithm crypto.Hash, most int64) (h hash.Hash, from int64) {
	if c != nil && c.size <= most && c.states[algorithm] != nil {
		if clone, err := c.states[algorithm].Clone(); err == nil {
			return clone, c.size
		}
	}
	return algorithm.New(), 0
}

// planned begins to check the structure of the output, which needs neither the digest
// of the document nor the key.
func (f *file) planned(ctx context.Context, p *Plan) {
	f.structure = make(chan error, 1)
	go func() {
		beginning := f.copying.beginning()
		if beginning == nil {
			f.structure <- nil // whoever waits for the copy is told
			return
		}
		f.structure <- p.checkStructure(ctx, f.copying.source(), p.rehearsed(beginning))
	}()
}

// tail leaves it to checkValue to verify the signature value, as part of the message
// that is in the file by then and before the file has a name.
func (f *file) tail(p *Plan, signature []byte) ([]byte, error) {
	tail, err := p.filledTail(signature)
	if err != nil {
		if wrong := p.verifyValue(signature); wrong != nil {
			return nil, wrong
		}
	}
	return tail, err
}

// checked waits for the check of the structure, if one was begun.
func (f *file) checked() error {
	if f.structure == nil {
		return nil
	}
	defer func() { f.structure = nil }()
	return <-f.structure
}

// Write appends and compares what the file then holds.
func (f *file) Write(p []byte) (int, error) {
	back := f.memory.Take(len(p))
	defer f.memory.Return(back)
	if err := f.put(p, back); err != nil {
		return 0, err
	}
	return len(p), nil
}

// sums sets the digests of a document before and after.
func (f *file) sums(ctx context.Context, r *Result) error {
	h, from := f.copied.digest(crypto.SHA256, r.SourceSize)
	if err := copyRange(ctx, h, f, from, r.SourceSize); err != nil {
		return unchecked(ctx, err)
	}
	r.SourceSHA256 = [sha256.Size]byte(h.Sum(nil))
	if err := copyRange(ctx, h, f, r.SourceSize, r.Size); err != nil {
		return unchecked(ctx, err)
	}
	r.SHA256 = [sha256.Size]byte(h.Sum(nil))
	return nil
}

// copySource begins to copy at once. Beside the algorithm it digests by SHA-256, for
// time-stamps and for the result.
func (f *file) copySource(ctx context.Context, likely crypto.Hash, src io.ReaderAt, size int64) (copying, error) {
	if size <= small {
		return f.hold(ctx, likely, src, size)
	}
	if err := f.create(); err != nil {
		return nil, err
	}
	c := &copier{file: f, src: src, size: size, written: make(chan struct{})}
	c.ctx, c.cancel = context.WithCancel(ctx)
	c.moved.L = &c.mu
	f.copying = c
	for _, a := range slices.Compact([]crypto.Hash{likely, crypto.SHA256}) {
		c.digesters = append(c.digesters, &digester{algorithm: a, hash: a.New(), done: make(chan struct{})})
	}
	go c.run()
	return c, nil
}

// copiedAs ends the copying of a document that has these digests, and returns a running
// digest of it.
func (f *file) copiedAs(ctx context.Context, size int64, algorithm crypto.Hash, digests map[crypto.Hash]hash.Hash) (hash.Hash, error) {
	if f.want != nil && !bytes.Equal(digests[crypto.SHA256].Sum(nil), f.want[:]) {
		return nil, copyFailed(fmt.Errorf("%w: it is not the one that was shown", ErrSourceChanged))
	}
	f.copied = &copied{size: size, states: make(map[crypto.Hash]hash.Cloner)}
	for a, h := range digests {
		if state, ok := h.(hash.Cloner); ok {
			f.copied.states[a] = state
		}
	}
	h, from := f.copied.digest(algorithm, size)
	if err := copyRange(ctx, h, f, from, size); err != nil {
		return nil, copyFailed(err)
	}
	return h, nil
}

const (
	// pieceSize is what is read, written and digested at a time, in bytes.
	pieceSize = 64 << 10
	// small is up to which size a document is held in memory, in bytes.
	small = 4 << 20
	// ahead is how much is written before it is digested at most, in bytes: what comes
	// soon after need not be read from the disk.
	ahead = 8 << 20
	// writeback is how much is written before the disk is set to work, in bytes.
	writeback = 1 << 20
)

// copier writes a document to a file. Each digest is made by a goroutine of its own,
// of what the file holds by then. It takes longer than writing.
type copier struct {
	file      *file
	src       io.ReaderAt
	size      int64
	digesters []*digester // the last one is of SHA-256
	ctx       context.Context
	cancel    context.CancelFunc
	written   chan struct{} // closed when all is in the file, or never will be
	failed    error         // when it is closed

	mu    sync.Mutex
	moved sync.Cond
	ready int64 // so much of the document is in the file, in bytes
	ended bool  // no more will be
}

// digester makes a digest of what was written.
type digester struct {
	algorithm crypto.Hash
	hash      hash.Hash
	at        int64 // bytes digested
	done      chan struct{}
	failed    error
}

func (c *copier) source() io.ReaderAt { return c.src }

func (c *copier) beginning() io.ReaderAt {
	if <-c.written; c.failed != nil {
		return nil
	}
	return c.file
}

func (c *copier) wait(algorithm crypto.Hash) (hash.Hash, error) {
	if err := c.finish(); err != nil {
		return nil, copyFailed(err)
	}
	digests := make(map[crypto.Hash]hash.Hash)
	for _, d := range c.digesters {
		digests[d.algorithm] = d.hash
	}
	return c.file.copiedAs(c.ctx, c.size, algorithm, digests)
}

func (c *copier) stop() {
	c.cancel()
	_ = c.finish()
}

func (c *copier) release() {}

// finish returns when nothing is written or digested any more.
func (c *copier) finish() error {
	<-c.written
	err := c.failed
	for _, d := range c.digesters {
		if <-d.done; err == nil {
			err = d.failed
		}
	}
	return err
}

// run copies.
func (c *copier) run() {
	defer close(c.written)
	for _, d := range c.digesters {
		go d.run(c)
	}
	buf, back := c.buffer(), c.buffer()
	defer c.file.memory.Return(buf)
	defer c.file.memory.Return(back)
	begun := int64(0) // what lies before is on its way to the disk
	for c.failed == nil && c.ready < c.size {
		if c.failed = c.ctx.Err(); c.failed != nil {
			break
		}
		at, piece := c.ready, buf[:min(int64(len(buf)), c.size-c.ready)]
		if c.failed = readFull(c.src, piece, at); c.failed != nil {
			break
		}
		if c.failed = c.file.put(piece, back); c.failed != nil {
			break
		}
		if c.failed = c.advance(int64(len(piece))); c.failed != nil {
			break
		}
		if c.ready-begun >= writeback || c.ready == c.size {
			c.file.Writeback(begun, c.ready-begun)
			begun = c.ready
		}
	}
	c.mu.Lock()
	c.ended = true
	c.moved.Broadcast()
	c.mu.Unlock()
}

// buffer returns memory for a piece.
func (c *copier) buffer() []byte { return c.file.memory.Take(pieceSize) }

// advance tells the digesters of more, and waits for them where they lag.
func (c *copier) advance(n int64) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ready += n
	c.moved.Broadcast()
	for _, d := range c.digesters {
		for d.failed == nil && c.ready-d.at > ahead {
			c.moved.Wait()
		}
		if d.failed != nil {
			return d.failed
		}
	}
	return nil
}

// next returns up to where there is something to digest; that is where the digester is
// when there will be no more.
func (c *copier) next(d *digester, n int) int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	lagged := c.ready-d.at > ahead
	d.at += int64(n)
	if lagged {
		c.moved.Broadcast()
	}
	for c.ready == d.at && !c.ended {
		c.moved.Wait()
	}
	return c.ready
}

func (d *digester) run(c *copier) {
	defer close(d.done)
	buf := c.buffer()
	defer c.file.memory.Return(buf)
	for n := 0; ; {
		end := c.next(d, n)
		if end == d.at {
			return
		}
		n = int(min(int64(len(buf)), end-d.at))
		if err := readFull(c.file, buf[:n], d.at); err != nil {
			c.mu.Lock()
			d.failed = fmt.Errorf("%w: reading back: %w", ErrOutput, err)
			c.moved.Broadcast()
			c.mu.Unlock()
			return
		}
		_, _ = d.hash.Write(buf[:n]) // digests do not fail
	}
}

// put appends a piece and compares what the file then holds.
func (f *file) put(content, back []byte) error {
	if _, err := f.w.Write(content); err != nil {
		return err
	}
	return f.holds(content, back)
}

// holds compares what the file holds behind what was compared before.
func (f *file) holds(content, back []byte) error {
	back = back[:len(content)]
	if err := readFull(f, back, f.size); err != nil {
		return fmt.Errorf("%w: reading back: %w", ErrOutput, err)
	}
	f.size += int64(len(content))
	if !bytes.Equal(content, back) {
		return fmt.Errorf("%w: the output does not hold what was written", ErrCheck)
	}
	return nil
}

// readFull reads len(p) bytes or fails.
func readFull(src io.ReaderAt, p []byte, at int64) error {
	n, err := src.ReadAt(p, at)
	if n == len(p) {
		return nil
	}
	if err == nil || errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return err
}
