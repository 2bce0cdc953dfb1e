package pades

import (
	"context"
	"encoding/hex"
	"fmt"
	"io"

	"github.com/eidbridge/eidbridge/signing/pdf"
	"github.com/eidbridge/eidbridge/signing/revocation"
)

// newRevision begins a revision that adds no signature of a person: validation
// data or a time-stamp, which every permission allows (ISO 32000-2 12.8.2.2).
func newRevision(ctx context.Context, src io.ReaderAt, size int64, s *Services) (*layout, error) {
	doc, err := pdf.OpenProtected(ctx, src, size, pdf.Limits{}, s.Password)
	if err != nil {
		return nil, err
	}
	l := &layout{doc: doc, at: s.Now()}
	if err := l.inspectFile(); err != nil {
		return nil, err
	}
	l.update, err = doc.NewUpdate()
	return l, err
}

// storeRevision returns the bytes of a revision with validation data; nil when
// all of it is there already.
func storeRevision(ctx context.Context, src io.ReaderAt, size int64, s *Services, m revocation.Material) ([]byte, error) {
	l, err := newRevision(ctx, src, size, s)
	if err != nil {
		return nil, err
	}
	isNew, err := l.putStore(m)
	if err != nil || !isNew {
		return nil, err
	}
	if err := l.putExtension(); err != nil {
		return nil, err
	}
	return l.bytes()
}

// stampRevision returns the bytes of a revision with a document time-stamp over
// everything before and itself (EN 319 142-1 5.4.3), and the name of its field.
// What is known of the beginning of the document is not read again.
func stampRevision(ctx context.Context, src io.ReaderAt, size int64, s *Services, beginning *copied) (tail []byte, field string, err error) {
	l, err := newRevision(ctx, src, size, s)
	if err != nil {
		return nil, "", err
	}
	if err := l.chooseStampField(); err != nil {
		return nil, "", err
	}
	for _, step := range []func() error{l.putField, l.putForm, l.putExtension, l.putStamp, l.render} {
		if err := step(); err != nil {
			return nil, "", err
		}
	}
	h, from := beginning.digest(stampDigest, size)
	if err := copyRange(ctx, h, src, from, size); err != nil {
		return nil, "", fmt.Errorf("reading the document: %w", err)
	}
	h.Write(l.tail[:l.holeStart])
	h.Write(l.tail[l.holeStart+l.holeLength:])
	token, err := s.TimeStamps.Stamp(ctx, stampDigest, h.Sum(nil))
	if err != nil {
		return nil, "", fmt.Errorf("%w: %w", errUnreached, err)
	}
	if room := (l.holeLength - len("<>")) / 2; len(token.Raw) > room {
		return nil, "", fmt.Errorf("%w: a time-stamp of %d bytes does not fit its hole of %d", errUnreached, len(token.Raw), room)
	}
	hex.Encode(l.tail[l.holeStart+1:], token.Raw)
	return l.tail, l.field, nil
}

// chooseStampField makes a name that no field has. Empty fields are left to
// people.
func (l *layout) chooseStampField() error {
	names := make(map[string]bool)
	for _, f := range l.form.Fields {
		names[f.Name] = true
	}
	l.newField = true
	for n := 1; l.field == "" || names[l.field]; n++ {
		l.field = fmt.Sprintf("Timestamp%d", n)
	}
	return nil
}

// putStamp writes the dictionary of a document time-stamp.
func (l *layout) putStamp() error {
	body := []byte("<<\n/Type /DocTimeStamp\n/Filter /Adobe.PPKLite\n/SubFilter /ETSI.RFC3161\n/ByteRange ")
	l.putHole(body, tokenRoom, []byte("\n>>"))
	return nil
}

// putHole writes a signature dictionary with room for ByteRange and Contents,
// whose places are remembered. The head ends where ByteRange stands; size is
// that of Contents in bytes.
func (l *layout) putHole(head []byte, size int, rest []byte) {
	l.byteRange = len(head)
	width := l.byteRangeWidth()
	const contents = "\n/Contents "
	l.hole, l.holeLength = len(head)+width+len(contents), 2*size+len("<>")
	body := make([]byte, 0, l.hole+l.holeLength+len(rest))
	body = append(append(body, head...), '[')
	for range width - len("[]") {
		body = append(body, ' ')
	}
	body = append(append(body, ']'), contents...)
	body = append(body, '<')
	for range 2 * size {
		body = append(body, '0')
	}
	body = append(body, '>')
	l.update.Put(l.signature, append(body, rest...))
}
