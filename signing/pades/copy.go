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
	// copied is set once the document is in the file.
	copied *copied
}

// copied is the digest of the document at the beginning of an output.
type copied struct {
	size      int64 // bytes
	algorithm crypto.Hash
	state     hash.Cloner // nobody writes to it
}

// digest returns a running digest over the first size bytes; nil where there is
// none of that algorithm over so little.
func (c *copied) digest(algorithm crypto.Hash, most int64) hash.Hash {
	if c == nil || c.algorithm != algorithm || c.size > most {
		return nil
	}
	clone, err := c.state.Clone()
	if err != nil {
		return nil
	}
	return clone
}

func (f *file) Write(p []byte) (int, error) { return f.w.Write(p) }

func (f *file) copySource(ctx context.Context, algorithm crypto.Hash, src io.ReaderAt, size int64) (hash.Hash, error) {
	h := algorithm.New()
	copying := f.copyBeside
	if size < besideFrom {
		copying = f.copyInTurn
	}
	if err := copying(ctx, h, src, size); err != nil {
		return nil, err
	}
	if cloner, ok := h.(hash.Cloner); ok {
		if state, err := cloner.Clone(); err == nil {
			f.copied = &copied{size: size, algorithm: algorithm, state: state}
		}
	}
	return h, nil
}

// besideFrom is the size from which on digesting in a goroutine of its own is
// worth the change between them, in bytes.
const besideFrom = 8 << 20

func (f *file) copyInTurn(ctx context.Context, h hash.Hash, src io.ReaderAt, size int64) error {
	buf := make([]byte, min(copyBuffer, size))
	return copySource(ctx, &readBack{file: f, next: func() []byte { return buf }, read: func(_, content []byte) { h.Write(content) }}, src, size)
}

// copyBeside digests one piece while the next ones are copied: both take about as
// long.
func (f *file) copyBeside(ctx context.Context, h hash.Hash, src io.ReaderAt, size int64) error {
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
			h.Write(p.content)
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
