package esteid

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/x509"
	"errors"
	"fmt"

	"github.com/eidbridge/eidbridge/cardreader"
	"github.com/eidbridge/eidbridge/cardreader/apdu"
	"github.com/eidbridge/eidbridge/cardreader/tlv"
)

// Tags of file control parameters (ISO/IEC 7816-4 table 10). The length of the
// file stands under 80 on this card and under 81 on others of the maker.
const (
	tagFCP        tlv.Tag = 0x62
	tagFileSize   tlv.Tag = 0x80
	tagFileLength tlv.Tag = 0x81
)

// errContent is a file whose content cannot be used.
var errContent = errors.New("unusable file content")

func (c *card) credential(ctx context.Context, k key) (cardreader.Credential, error) {
	certificate, err := c.certificate(ctx, k)
	if err != nil {
		if errors.Is(err, errContent) {
			err = fmt.Errorf("%w: %w", cardreader.ErrCardProtocol, err)
		}
		return cardreader.Credential{}, cardreader.Classify(ctx, fmt.Errorf("%s certificate: %w", k.id, err))
	}
	return cardreader.Credential{ID: k.id, Usage: k.usage, PIN: k.pin, Certificate: certificate}, nil
}

// certificate reads the file by its path, in the length that the card states.
func (c *card) certificate(ctx context.Context, k key) (*x509.Certificate, error) {
	if err := c.selectMain(ctx); err != nil {
		return nil, err
	}
	c.atMain = false
	fcp, err := c.do(ctx, apdu.Command{
		INS: insSelect, P1: selectPathHere, P2: answerFCP,
		Data: []byte(k.certificate), Ne: apdu.MaxShortNe,
	})
	if err != nil {
		return nil, err
	}
	size, err := fileSize(fcp)
	if err != nil {
		return nil, err
	}
	der, err := c.readBinary(ctx, size)
	if err != nil {
		return nil, err
	}
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		// The parser's words may quote the holder's name.
		return nil, fmt.Errorf("%w: not a certificate", errContent)
	}
	// The card has no other curve, and the length of its answers depends on it.
	public, ok := certificate.PublicKey.(*ecdsa.PublicKey)
	if !ok || public.Curve != elliptic.P384() {
		return nil, fmt.Errorf("%w: not a P-384 key", errContent)
	}
	return certificate, nil
}

// fileSize reads the length of a file from its control parameters, in bytes.
func fileSize(fcp []byte) (int, error) {
	value, err := tlv.Find(fcp, tagFCP, tagFileSize)
	if errors.Is(err, tlv.ErrNotFound) {
		value, err = tlv.Find(fcp, tagFCP, tagFileLength)
	}
	if err != nil {
		return 0, fmt.Errorf("file control parameters: %w", err)
	}
	size := 0
	for _, b := range value {
		if size = size<<8 | int(b); size > maxFile {
			return 0, fmt.Errorf("%w: file longer than %d bytes", errContent, maxFile)
		}
	}
	if size == 0 {
		return 0, fmt.Errorf("%w: empty file", errContent)
	}
	return size, nil
}

// readBinary reads size bytes of the selected file. It advances by what was
// received; a block without data ends it. Its content is personal, so it is not
// marked Public.
func (c *card) readBinary(ctx context.Context, size int) ([]byte, error) {
	content := make([]byte, 0, min(size, 4*block))
	for len(content) < size {
		offset := len(content)
		part, err := apdu.Do(ctx, c.transport, apdu.Command{
			INS: insReadBinary, P1: byte(offset >> 8), P2: byte(offset),
			Ne: min(block, size-offset),
		})
		if err != nil {
			return nil, err
		}
		if len(part) == 0 {
			return nil, fmt.Errorf("%w: file ends after %d of %d bytes", errContent, offset, size)
		}
		content = append(content, part...)
	}
	if len(content) > size {
		return nil, fmt.Errorf("%w: more bytes than asked", errContent)
	}
	return content, nil
}

func (c *card) documentNumber(ctx context.Context) (string, error) {
	if err := c.selectMain(ctx); err != nil {
		return "", err
	}
	c.atMain = false
	_, err := c.do(ctx, apdu.Command{INS: insSelect, P1: selectFile, P2: noAnswer, Data: []byte(fileDocumentNumber)})
	if err != nil {
		return "", err
	}
	raw, err := apdu.Do(ctx, c.transport, apdu.Command{INS: insReadBinary, Ne: 2 + documentNumberLength})
	if err != nil {
		return "", err
	}
	return parseDocumentNumber(raw)
}

// documentNumberLength is two letters and seven digits.
const documentNumberLength = 9

// parseDocumentNumber takes letters and digits alone: the number is shown to
// people and compared between connections.
func parseDocumentNumber(raw []byte) (string, error) {
	value, err := tlv.Find(raw, 0x04)
	if err != nil {
		return "", err
	}
	if len(value) == 0 || len(value) > maxDocumentNumber {
		return "", fmt.Errorf("%w: document number of %d characters", apdu.ErrProtocol, len(value))
	}
	for _, b := range value {
		if (b < '0' || b > '9') && (b < 'A' || b > 'Z') {
			return "", fmt.Errorf("%w: document number with other characters", apdu.ErrProtocol)
		}
	}
	return string(value), nil
}
