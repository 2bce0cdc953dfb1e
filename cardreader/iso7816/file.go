package iso7816

import (
	"context"
	"errors"
	"fmt"

	"github.com/eidbridge/eidbridge/cardreader/apdu"
	"github.com/eidbridge/eidbridge/cardreader/tlv"
)

// Tags of file control information (ISO/IEC 7816-4 tables 8 and 10). A file's
// length stands under 80 on some cards and under 81 on others.
const (
	tagFCP        tlv.Tag = 0x62
	tagFCI        tlv.Tag = 0x6F
	tagFileSize   tlv.Tag = 0x80
	tagFileLength tlv.Tag = 0x81
)

// FileSize reads the length of a file, in bytes, from the answer to SELECT. The
// error is ErrContent for an empty file or one above MaxFile, else of package
// tlv.
func FileSize(control []byte) (int, error) {
	template, err := tlv.Find(control, tagFCP)
	if errors.Is(err, tlv.ErrNotFound) {
		template, err = tlv.Find(control, tagFCI)
	}
	if err != nil {
		return 0, fmt.Errorf("file control parameters: %w", err)
	}
	value, err := tlv.Find(template, tagFileSize)
	if errors.Is(err, tlv.ErrNotFound) {
		value, err = tlv.Find(template, tagFileLength)
	}
	if err != nil {
		return 0, fmt.Errorf("file control parameters: %w", err)
	}
	size := 0
	for _, b := range value {
		if size = size<<8 | int(b); size > MaxFile {
			return 0, fmt.Errorf("%w: file longer than %d bytes", ErrContent, MaxFile)
		}
	}
	if size == 0 {
		return 0, fmt.Errorf("%w: empty file", ErrContent)
	}
	return size, nil
}

// Blocks says how a file is read.
type Blocks struct {
	// Size is how much one READ BINARY asks for, in bytes; 256 is Le 00.
	Size int
	// Full asks for Size also where less is left, for cards that expect it.
	Full bool
	// Public marks content that a trace may show.
	Public bool
}

// ReadFile reads size bytes of the selected file. It advances by what was
// received; a block without data ends it.
func (b Blocks) ReadFile(ctx context.Context, t apdu.Transmitter, size int) ([]byte, error) {
	return b.Read(ctx, t, 0, size)
}

// Read reads size bytes from an offset of the selected file. The error is
// ErrContent when the card has fewer, or gives more.
func (b Blocks) Read(ctx context.Context, t apdu.Transmitter, offset, size int) ([]byte, error) {
	if offset < 0 || size < 0 || offset+size > MaxFile {
		return nil, fmt.Errorf("%w: %d bytes at %d", ErrContent, size, offset)
	}
	content := make([]byte, 0, min(size, 4*b.Size))
	for len(content) < size {
		at := offset + len(content)
		want := b.Size
		if !b.Full {
			want = min(b.Size, size-len(content))
		}
		part, err := apdu.Do(ctx, t, apdu.Command{
			INS: ReadBinaryInstruction, P1: byte(at >> 8), P2: byte(at), Ne: want, Public: b.Public,
		})
		if err != nil {
			return nil, err
		}
		if len(part) == 0 {
			return nil, fmt.Errorf("%w: file ends after %d of %d bytes", ErrContent, at, offset+size)
		}
		content = append(content, part...)
	}
	if len(content) > size {
		return nil, fmt.Errorf("%w: more bytes than asked", ErrContent)
	}
	return content, nil
}

// ReadToEnd reads a file whose length is not known, up to limit bytes: until a
// block comes back short or empty, or the card says that the offset is outside
// (6B00) or the end was reached (6282).
func (b Blocks) ReadToEnd(ctx context.Context, t apdu.Transmitter, limit int) ([]byte, error) {
	var content []byte
	for {
		at := len(content)
		r, err := apdu.Exchange(ctx, t, apdu.Command{
			INS: ReadBinaryInstruction, P1: byte(at >> 8), P2: byte(at), Ne: b.Size, Public: b.Public,
		})
		if err != nil {
			return nil, err
		}
		ended := r.SW == endOfFile || r.SW == apdu.SWOutsideFile && at > 0
		if !r.SW.OK() && !ended {
			return nil, &apdu.StatusError{INS: ReadBinaryInstruction, P1: byte(at >> 8), P2: byte(at), SW: r.SW}
		}
		if content = append(content, r.Data...); len(content) > limit {
			return nil, fmt.Errorf("%w: file longer than %d bytes", ErrContent, limit)
		}
		if ended || len(r.Data) < b.Size {
			return content, nil
		}
	}
}

// endOfFile is the warning that fewer bytes than Le were there.
const endOfFile apdu.StatusWord = 0x6282
