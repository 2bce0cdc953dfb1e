package xades

import (
	"context"
	"errors"
	"fmt"
	"io"
)

// Piece is a part of a document to be written: bytes, or a stretch of the source.
type Piece struct {
	Bytes []byte `json:"bytes,omitempty"`
	// From and To delimit the stretch if there are no Bytes.
	From int64 `json:"from,omitempty"`
	To   int64 `json:"to,omitempty"`
}

func (p Piece) size() int64 {
	if p.Bytes != nil {
		return int64(len(p.Bytes))
	}
	return p.To - p.From
}

// pieces is a document made of pieces.
type pieces struct {
	src  io.ReaderAt
	list []Piece
}

func (p pieces) size() int64 {
	n := int64(0)
	for _, piece := range p.list {
		n += piece.size()
	}
	return n
}

// ReadAt reads across the seams.
func (p pieces) ReadAt(b []byte, at int64) (int, error) {
	n := 0
	for _, piece := range p.list {
		size := piece.size()
		if at >= size {
			at -= size
			continue
		}
		want := min(int64(len(b)-n), size-at)
		if piece.Bytes != nil {
			copy(b[n:], piece.Bytes[at:at+want])
		} else if m, err := p.src.ReadAt(b[n:n+int(want)], piece.From+at); int64(m) < want {
			if err == nil || errors.Is(err, io.EOF) {
				err = io.ErrUnexpectedEOF
			}
			return n + m, err
		}
		n, at = n+int(want), 0
		if n == len(b) {
			return n, nil
		}
	}
	return n, io.EOF
}

// copyBuffer is what a pass over a document holds, in bytes.
const copyBuffer = 256 << 10

// writeTo writes the document and looks at the context between pieces.
func (p pieces) writeTo(ctx context.Context, dst io.Writer) error {
	for _, piece := range p.list {
		if piece.Bytes != nil {
			if _, err := dst.Write(piece.Bytes); err != nil {
				return err
			}
			continue
		}
		if err := copyRange(ctx, dst, p.src, piece.From, piece.To); err != nil {
			return err
		}
	}
	return nil
}

// copyRange copies a stretch of the source.
func copyRange(ctx context.Context, dst io.Writer, src io.ReaderAt, from, to int64) error {
	buf := make([]byte, max(0, min(copyBuffer, to-from)))
	for from < to {
		if err := ctx.Err(); err != nil {
			return err
		}
		piece := buf[:min(int64(len(buf)), to-from)]
		n, err := src.ReadAt(piece, from)
		if n < len(piece) {
			if err == nil || errors.Is(err, io.EOF) {
				err = io.ErrUnexpectedEOF
			}
			return fmt.Errorf("reading the document: %w", err)
		}
		if _, err := dst.Write(piece); err != nil {
			return err
		}
		from += int64(n)
	}
	return nil
}
