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
	"sync/atomic"

	"github.com/eidbridge/eidbridge/signing/outfile"
)

// sink is where a signature and the document before it are written.
type sink interface {
	io.Writer
	// copySource writes the document, to be digested most likely by this algorithm. It
	// may begin at once or when it is waited for.
	copySource(ctx context.Context, likely crypto.Hash, src io.ReaderAt, size int64) copying
	// planned is told what will follow the document, before the key is used.
	planned(ctx context.Context, p *Plan, src io.ReaderAt)
}

// copying is a document on its way to a sink.
type copying interface {
	// wait returns a running digest of the document once it is written.
	wait(algorithm crypto.Hash) (hash.Hash, error)
	// stop gives up, and returns when nothing is written any more.
	stop()
}

// stream is a sink that cannot be read again and to which nothing may be written in
// vain.
type stream struct{ io.Writer }

func (s stream) copySource(ctx context.Context, _ crypto.Hash, src io.ReaderAt, size int64) copying {
	return streaming(func(algorithm crypto.Hash) (hash.Hash, error) {
		h := algorithm.New()
		return h, copySource(ctx, io.MultiWriter(s.Writer, h), src, size)
	})
}

func (stream) planned(context.Context, *Plan, io.ReaderAt) {}

type streaming func(crypto.Hash) (hash.Hash, error)

func (s streaming) wait(algorithm crypto.Hash) (hash.Hash, error) { return s(algorithm) }
func (s streaming) stop()                                         {}

// file is a sink whose content is what was digested: every piece of the document is
// written, read back and compared with what the digests are fed. The check of the
// output therefore need not pass over the document again.
type file struct {
	*outfile.File
	w    io.Writer
	size int64 // written so far, in bytes
	// want, unless nil, is the SHA-256 that the document must have.
	want *[sha256.Size]byte
	// copied is set once the document is in the file.
	copied *copied
	// structure tells in the end whether the output will be a valid file; nil before
	// anything is planned.
	structure chan error
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

// planned begins to check the structure of the output while the key signs.
func (f *file) planned(ctx context.Context, p *Plan, src io.ReaderAt) {
	f.structure = make(chan error, 1)
	go func() { f.structure <- p.checkStructure(ctx, src, p.rehearsed(f)) }()
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
	if err := f.put(p, make([]byte, len(p))); err != nil {
		return 0, err
	}
	return len(p), nil
}

// sums sets the digests of a document before and after.
func (f *file) sums(ctx context.Context, r *Result) error {
	h, from := f.copied.digest(crypto.SHA256, r.SourceSize)
	if err := copyRange(ctx, h, f, from, r.SourceSize); err != nil {
		return fmt.Errorf("%w: %w", ErrCheck, err)
	}
	r.SourceSHA256 = [sha256.Size]byte(h.Sum(nil))
	if err := copyRange(ctx, h, f, r.SourceSize, r.Size); err != nil {
		return fmt.Errorf("%w: %w", ErrCheck, err)
	}
	r.SHA256 = [sha256.Size]byte(h.Sum(nil))
	return nil
}

// copySource begins to copy at once. Beside the algorithm it digests by SHA-256, for
// time-stamps and for the result.
func (f *file) copySource(ctx context.Context, likely crypto.Hash, src io.ReaderAt, size int64) copying {
	c := &copier{file: f, size: size, algorithm: likely, done: make(chan struct{})}
	c.ctx, c.cancel = context.WithCancel(ctx)
	go func() {
		defer close(c.done)
		c.err = c.run(src)
	}()
	return c
}

const (
	// pieceSize is what is read, written and digested at a time, in bytes.
	pieceSize = 128 << 10
	// pieces is how many of them are on their way at most.
	pieces = 3
	// writeback is how much is written before the disk is set to work, in bytes.
	writeback = 1 << 20
)

// copier writes a document to a file. Each digest is made by a goroutine of its own,
// which takes about as long as writing.
type copier struct {
	file      *file
	size      int64
	algorithm crypto.Hash
	ctx       context.Context
	cancel    context.CancelFunc
	done      chan struct{}
	err       error // when done is closed
}

func (c *copier) wait(algorithm crypto.Hash) (hash.Hash, error) {
	if <-c.done; c.err != nil {
		return nil, c.err
	}
	h, from := c.file.copied.digest(algorithm, c.size)
	return h, copyRange(c.ctx, h, c.file, from, c.size)
}

func (c *copier) stop() {
	c.cancel()
	<-c.done
}

// piece is a part of the document that several look at.
type piece struct {
	buf     []byte
	content []byte // of buf
	users   atomic.Int32
}

// digester feeds pieces to a digest.
type digester struct {
	algorithm crypto.Hash
	hash      hash.Hash
	feed      chan *piece
	done      chan struct{}
}

func (c *copier) run(src io.ReaderAt) error {
	free := make(chan *piece, pieces)
	for range min(pieces, c.size/pieceSize+1) {
		free <- &piece{buf: make([]byte, min(pieceSize, c.size))}
	}
	release := func(p *piece) {
		if p.users.Add(-1) == 0 {
			free <- p
		}
	}
	var digesters []*digester
	for _, a := range slices.Compact([]crypto.Hash{c.algorithm, crypto.SHA256}) {
		d := &digester{algorithm: a, hash: a.New(), feed: make(chan *piece, pieces), done: make(chan struct{})}
		digesters = append(digesters, d)
		go func() {
			defer close(d.done)
			for p := range d.feed {
				_, _ = d.hash.Write(p.content) // digests do not fail
				release(p)
			}
		}()
	}
	back := make([]byte, min(pieceSize, c.size))
	err := c.each(src, func() *piece { return <-free }, func(p *piece) error {
		p.users.Store(int32(1 + len(digesters)))
		for _, d := range digesters {
			d.feed <- p
		}
		defer release(p)
		return c.file.put(p.content, back)
	})
	for _, d := range digesters {
		close(d.feed)
		<-d.done
	}
	if err != nil {
		return err
	}
	if want := c.file.want; want != nil && !bytes.Equal(digesters[len(digesters)-1].hash.Sum(nil), want[:]) {
		return fmt.Errorf("%w: it is not the one that was shown", ErrSourceChanged)
	}
	c.file.copied = &copied{size: c.size, states: make(map[crypto.Hash]hash.Cloner)}
	for _, d := range digesters {
		if state, ok := d.hash.(hash.Cloner); ok {
			c.file.copied.states[d.algorithm] = state
		}
	}
	return nil
}

// each reads the document piece by piece.
func (c *copier) each(src io.ReaderAt, next func() *piece, use func(*piece) error) error {
	begun := int64(0) // what lies before is on its way to the disk
	for at := int64(0); at < c.size; {
		if err := c.ctx.Err(); err != nil {
			return err
		}
		p := next()
		p.content = p.buf[:min(int64(len(p.buf)), c.size-at)]
		if err := readFull(src, p.content, at); err != nil {
			return err
		}
		if err := use(p); err != nil {
			return err
		}
		at += int64(len(p.content))
		if at-begun >= writeback || at == c.size {
			c.file.Writeback(begun, at-begun)
			begun = at
		}
	}
	return nil
}

// put appends a piece and compares what the file then holds.
func (f *file) put(content, back []byte) error {
	if _, err := f.w.Write(content); err != nil {
		return err
	}
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
