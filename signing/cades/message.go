package cades

import (
	"bytes"
	"context"
	"crypto"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/eidbridge/eidbridge/signing"
	"github.com/eidbridge/eidbridge/signing/cms"
)

// maxPEM bounds a message in PEM, in bytes.
const maxPEM = 64 << 20

// message is a CMS message with what is known of its content.
type message struct {
	*cms.SignedData
	digests map[crypto.Hash][]byte
}

// inside is the content of an attached message.
type inside struct{ *cms.SignedData }

func (i inside) Open() (io.ReadCloser, error) { return io.NopCloser(i.ContentReader()), nil }

// open reads a message in DER, BER or PEM. The content is the one inside, else
// the one given, else nil.
func open(src io.ReaderAt, size int64, given signing.Content) (*message, signing.Content, error) {
	data, err := cms.Open(src, size)
	if err != nil {
		decoded, isPEM, failure := decodePEM(src, size)
		if failure != nil {
			return nil, nil, failure
		}
		if !isPEM {
			return nil, nil, err
		}
		if data, err = cms.Open(bytes.NewReader(decoded), int64(len(decoded))); err != nil {
			return nil, nil, err
		}
	}
	m := &message{SignedData: data}
	if !data.Detached() {
		return m, inside{data}, nil
	}
	return m, given, nil
}

// decodePEM takes off PEM armour (RFC 7468), which some programs write.
func decodePEM(src io.ReaderAt, size int64) (der []byte, isPEM bool, err error) {
	head := make([]byte, min(size, 64))
	if _, err := src.ReadAt(head, 0); err != nil && !errors.Is(err, io.EOF) {
		return nil, false, err
	}
	if !bytes.HasPrefix(bytes.TrimSpace(head), []byte("-----BEGIN ")) {
		return nil, false, nil
	}
	if size > maxPEM {
		return nil, true, fmt.Errorf("%w: a message in PEM of %d bytes", cms.ErrLimit, size)
	}
	text := make([]byte, size)
	if _, err := src.ReadAt(text, 0); err != nil && !errors.Is(err, io.EOF) {
		return nil, true, err
	}
	block, _ := pem.Decode(text)
	if block == nil || !slices.Contains([]string{"PKCS7", "CMS", "PKCS #7 SIGNED DATA"}, block.Type) {
		return nil, true, fmt.Errorf("%w: PEM that holds no message", cms.ErrFormat)
	}
	return block.Bytes, true, nil
}

// bare returns the message without its content.
func (m *message) bare() ([]byte, error) {
	if m.Detached() {
		return m.Append(nil)
	}
	return m.WithoutContent()
}

// find returns the index of the signer with these fields.
func (m *message) find(fields []byte) int {
	return slices.IndexFunc(m.SignerInfos, func(si cms.SignerInfo) bool { return bytes.Equal(si.Fields(), fields) })
}

// extendable refuses messages with attributes whose imprints depend on the form
// of the whole.
func (m *message) extendable() error {
	for i := range m.SignerInfos {
		if len(m.SignerInfos[i].UnsignedAttribute(cms.OIDArchiveTimeStampV2)) > 0 {
			return signing.Refuse(signing.RefusedBroken, "put the file into a time-stamped container", "the message has an archive time-stamp of an older form, which further signatures would break")
		}
	}
	return nil
}

// write writes the message with size bytes of content inside, when it has some.
func (m *message) write(ctx context.Context, dst io.Writer, content signing.Content, size int64) (int64, error) {
	head, tail, err := m.Frame(max(0, size))
	if err != nil {
		return 0, err
	}
	if m.Detached() {
		n, err := dst.Write(head)
		return int64(n), err
	}
	if content == nil || size < 0 {
		return 0, fmt.Errorf("%w: the content is not at hand", signing.ErrSourceChanged)
	}
	r, err := content.Open()
	if err != nil {
		return 0, fmt.Errorf("reading the content: %w", err)
	}
	defer r.Close()
	if _, err := dst.Write(head); err != nil {
		return 0, err
	}
	var hash crypto.Hash
	for h := range m.digests {
		hash = h
	}
	to := dst
	sum := crypto.SHA256.New()
	if hash != 0 {
		sum = hash.New()
		to = io.MultiWriter(dst, sum)
	}
	copied, err := signing.Copy(ctx, to, r)
	if err != nil {
		return 0, fmt.Errorf("copying the content: %w", err)
	}
	if copied != size || hash != 0 && !bytes.Equal(sum.Sum(nil), m.digests[hash]) {
		return 0, signing.ErrSourceChanged
	}
	_, err = dst.Write(tail)
	return int64(len(head)) + size + int64(len(tail)), err
}
