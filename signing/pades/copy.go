package pades

import (
	"bytes"
	"context"
	"crypto"
	"errors"
	"fmt"
	"hash"
	"io"

	"github.com/eidbridge/eidbridge/signing/outfile"
)

// sink is where a signature and the document before it are written.
type sink interface {
	io.Writer
	// copySource writes the document and returns its running digest.
	copySource(ctx context.Context, algorithm crypto.Hash, src io.ReaderAt, size int64) (hash.Hash, error)
}

// stream is a sink that cannot be read again.
type stream struct{ io.Writer }

func (s stream) copySource(ctx context.Context, algorithm crypto.Hash, src io.ReaderAt, size int64) (hash.Hash, error) {
	h := algorithm.New()
	return h, copySource(ctx, io.MultiWriter(s.Writer, h), src, size)
}

// file is a sink whose content is digested as it stands in the file: every piece
// is read back, compared with the source and only then digested. The check of the
// output therefore need not pass over the document again.
type file struct {
	*outfile.File
	w io.Writer
	// also are algorithms to digest by besides that of the signature.
	also []crypto.Hash
	// copied is set once the document is in the file.
	copied *copied
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

func (f *file) Write(p []byte) (int, error) { return f.w.Write(p) }

func (f *file) copySource(ctx context.Context, algorithm crypto.Hash, src io.ReaderAt, size int64) (hash.Hash, error) {
	h := algorithm.New()
	digests := map[crypto.Hash]hash.Hash{algorithm: h}
	all := []io.Writer{h}
	for _, a := range f.also {
		if digests[a] == nil {
			digests[a] = a.New()
			all = append(all, digests[a])
		}
	}
	copying := f.copyBeside
	if size < besideFrom {
		copying = f.copyInTurn
	}
	if err := copying(ctx, io.MultiWriter(all...), src, size); err != nil {
		return nil, err
	}
	f.copied = &copied{size: size, states: make(map[crypto.Hash]hash.Cloner)}
	for a, d := range digests {
		if cloner, ok := d.(hash.Cloner); ok {
			if state, err := cloner.Clone(); err == nil {
				f.copied.states[a] = state
			}
		}
	}
	return h, nil
}

// besideFrom is the size from which on digesting in a goroutine of its own is
// worth the change between them, in bytes.
const besideFrom = 8 << 20

func (f *file) copyInTurn(ctx context.Context, h io.Writer, src io.ReaderAt, size int64) error {
	buf := make([]byte, min(copyBuffer, size))
	digest := func(_, content []byte) { _, _ = h.Write(content) } // digests do not fail
	return copySource(ctx, &readBack{file: f, next: func() []byte { return buf }, read: digest}, src, size)
}

// copyBeside digests one piece while the next ones are copied: both take about as
// long.
func (f *file) copyBeside(ctx context.Context, h io.Writer, src io.ReaderAt, size int64) error {
	type piece struct{ buf, content []byte }
	const pieces = 3
	free, full := make(chan []byte, pieces), make(chan piece, pieces)
	for range pieces {
		free <- make([]byte, copyBuffer)
	}
	digested := make(chan struct{})
	go func() {
		defer close(digested)
		for p := range full {
			_, _ = h.Write(p.content) // digests do not fail
			free <- p.buf
		}
	}()
	err := copySource(ctx, &readBack{
		file: f, next: func() []byte { return <-free }, read: func(buf, content []byte) { full <- piece{buf, content} },
	}, src, size)
	close(full)
	<-digested
	return err
}

// writeback is how much is written before the disk is set to work, in bytes.
const writeback = 8 << 20

// readBack writes to the file and hands on what it then reads there.
type readBack struct {
	file  *file
	at    int64
	begun int64         // what lies before is on its way to the disk
	next  func() []byte // a buffer to read into
	read  func(buf, content []byte)
}

func (b *readBack) Write(p []byte) (int, error) {
	if n, err := b.file.w.Write(p); err != nil {
		return n, err
	}
	buf := b.next()
	content := buf[:len(p)]
	if n, err := b.file.ReadAt(content, b.at); n < len(p) {
		if err == nil || errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return 0, fmt.Errorf("%w: reading back: %w", ErrOutput, err)
	}
	b.at += int64(len(p))
	if b.at-b.begun >= writeback {
		b.file.Writeback(b.begun, b.at-b.begun)
		b.begun = b.at
	}
	if !bytes.Equal(p, content) {
		return 0, fmt.Errorf("%w: the output does not hold what was written", ErrCheck)
	}
	b.read(buf, content)
	return len(p), nil
}
