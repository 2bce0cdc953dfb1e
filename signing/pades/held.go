package pades

import (
	"bytes"
	"context"
	"crypto"
	"crypto/sha256"
	"hash"
	"io"
)

// held is a document in memory on its way to a file. It is read once: what is decided
// on, digested and written are the same bytes, and the file is compared with them.
//
// One goroutine makes the file, writes it and reads it back, while the other decides
// what to append and then digests; that takes each about as long. Neither waits for the
// other in between, as waking up a processor takes as long as several pieces.
type held struct {
	file    *file
	content []byte
	ctx     context.Context
	cancel  context.CancelFunc
	read    chan error    // whether content holds the document
	written chan struct{} // closed when the file holds it, or never will
	failed  error         // when it is closed
	// second is of SHA-256, unless that is the likely algorithm; then it is nil.
	second hash.Hash
}

// hold reads a document and begins to write it.
func (f *file) hold(ctx context.Context, likely crypto.Hash, src io.ReaderAt, size int64) (copying, error) {
	h := &held{file: f, content: f.memory.Take(int(size)), read: make(chan error, 1), written: make(chan struct{})}
	h.ctx, h.cancel = context.WithCancel(ctx)
	f.copying = h
	go func() {
		defer close(h.written)
		h.failed = h.write(likely)
	}()
	err := readFull(src, h.content, 0)
	h.read <- err
	if err != nil {
		h.stop()
		return nil, copyFailed(err)
	}
	return h, nil
}

func (h *held) write(likely crypto.Hash) error {
	err := h.file.create()
	if unread := <-h.read; unread != nil {
		return unread
	}
	if err != nil {
		return err // nothing was copied yet
	}
	if _, err := h.file.w.Write(h.content); err != nil {
		return copyFailed(err)
	}
	h.file.Writeback(0, int64(len(h.content)))
	if err := h.compare(); err != nil {
		return copyFailed(err)
	}
	if likely != crypto.SHA256 {
		h.second = sha256.New()
		h.second.Write(h.content)
	}
	return nil
}

// compare reads back what was written.
func (h *held) compare() error {
	back := h.file.memory.Take(min(pieceSize, len(h.content)))
	defer h.file.memory.Return(back)
	for rest := h.content; len(rest) > 0; {
		if err := h.ctx.Err(); err != nil {
			return err
		}
		piece := rest[:min(len(rest), pieceSize)]
		if err := h.file.holds(piece, back); err != nil {
			return err
		}
		rest = rest[len(piece):]
	}
	return nil
}

func (h *held) source() io.ReaderAt { return bytes.NewReader(h.content) }

func (h *held) wait(algorithm crypto.Hash) (hash.Hash, error) {
	digest := algorithm.New()
	digest.Write(h.content)
	if <-h.written; h.failed != nil {
		return nil, h.failed
	}
	digests := map[crypto.Hash]hash.Hash{algorithm: digest}
	if h.second == nil && algorithm != crypto.SHA256 { // a field demands another digest
		h.second = sha256.New()
		h.second.Write(h.content)
	}
	if h.second != nil {
		digests[crypto.SHA256] = h.second
	}
	return h.file.copiedAs(h.ctx, int64(len(h.content)), algorithm, digests)
}

func (h *held) stop() {
	h.cancel()
	<-h.written
}

// beginning is what the file is compared with.
func (h *held) beginning() io.ReaderAt { return h.source() }

// release gives the memory back.
func (h *held) release() {
	h.stop()
	h.file.memory.Return(h.content)
	h.content = nil
}
