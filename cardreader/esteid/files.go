package esteid

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/x509"
	"errors"
	"fmt"

	"github.com/eidbridge/eidbridge/cardreader"
	"github.com/eidbridge/eidbridge/cardreader/apdu"
	"github.com/eidbridge/eidbridge/cardreader/iso7816"
	"github.com/eidbridge/eidbridge/cardreader/tlv"
)

// explain gives an error its sentinel at the package's border.
func (c *card) explain(ctx context.Context, err error) error {
	if errors.Is(err, iso7816.ErrContent) {
		err = fmt.Errorf("%w: %w", cardreader.ErrCardProtocol, err)
	}
	return cardreader.Classify(ctx, err)
}

func (c *card) credential(ctx context.Context, k key) (cardreader.Credential, error) {
	certificate, err := c.certificate(ctx, k)
	if err != nil {
		return cardreader.Credential{}, c.explain(ctx, fmt.Errorf("%s certificate: %w", k.id, err))
	}
	return cardreader.Credential{ID: k.id, Usage: k.usage, PIN: k.pin, Certificate: certificate}, nil
}

// certificate reads the file by its path, in the length that the card states.
func (c *card) certificate(ctx context.Context, k key) (*x509.Certificate, error) {
	size, err := c.selectCertificate(ctx, k)
	if err != nil {
		return nil, err
	}
	der, err := reading().ReadFile(ctx, c.transport, size)
	if err != nil {
		return nil, err
	}
	certificate, err := iso7816.ParseCertificate(der)
	if err != nil {
		return nil, err
	}
	// The card has no other curve, and the length of its answers depends on it.
	public, ok := certificate.PublicKey.(*ecdsa.PublicKey)
	if !ok || public.Curve != elliptic.P384() {
		return nil, fmt.Errorf("%w: not a P-384 key", iso7816.ErrContent)
	}
	return certificate, nil
}

// reading is personal content in blocks that every reader can carry.
func reading() iso7816.Blocks { return iso7816.Blocks{Size: block} }

// selectCertificate returns the length of the file. The path is taken from the
// main application when that is selected, as libelectronic-id does, and else
// begins with the MF, as DigiDoc4 does; both spare a selection.
func (c *card) selectCertificate(ctx context.Context, k key) (int, error) {
	path := k.certificate
	if c.at != mainApplication {
		path = pathMain + path
	}
	c.at = elsewhere
	fcp, err := c.do(ctx, apdu.Command{
		INS: insSelect, P1: selectPathHere, P2: answerFCP, Data: []byte(path), Ne: apdu.MaxShortNe,
	})
	if err != nil {
		return 0, err
	}
	return iso7816.FileSize(fcp)
}

// Recognize compares the length of the credential's certificate and the public
// key in it with what the card has, which is two commands instead of eight.
func (c *card) Recognize(ctx context.Context, _ cardreader.Info, credential cardreader.Credential) error {
	k, err := c.keyByID(credential.ID)
	if err != nil {
		return err
	}
	same, err := c.holds(ctx, k, credential.Certificate)
	switch {
	case err != nil:
		return c.explain(ctx, fmt.Errorf("%s certificate: %w", k.id, err))
	case !same:
		return cardreader.ErrCardChanged
	default:
		return nil
	}
}

func (c *card) holds(ctx context.Context, k key, certificate *x509.Certificate) (bool, error) {
	size, err := c.selectCertificate(ctx, k)
	if err != nil || size != len(certificate.Raw) {
		return false, err
	}
	return c.reads(ctx, certificate)
}

// reads compares the public key in the selected file.
func (c *card) reads(ctx context.Context, certificate *x509.Certificate) (bool, error) {
	want, at := iso7816.KeyPart(certificate)
	if want == nil {
		return false, nil
	}
	got, err := reading().Read(ctx, c.transport, at, len(want))
	return bytes.Equal(got, want), err
}

func (c *card) documentNumber(ctx context.Context) (string, error) {
	if err := c.enter(ctx, mainApplication); err != nil {
		return "", err
	}
	// Selecting an EF leaves the application selected (ISO/IEC 7816-4 11.2.2).
	_, err := c.do(ctx, apdu.Command{INS: insSelect, P1: selectFile, P2: noAnswer, Data: []byte(fileDocumentNumber)})
	if err != nil {
		return "", err
	}
	raw, err := apdu.Do(ctx, c.transport, apdu.Command{INS: iso7816.ReadBinaryInstruction, Ne: 2 + documentNumberLength})
	if err != nil {
		return "", err
	}
	return parseDocumentNumber(raw)
}

// documentNumberLength is two letters and seven digits.
const documentNumberLength = 9

func parseDocumentNumber(raw []byte) (string, error) {
	value, err := tlv.Find(raw, 0x04)
	if err != nil {
		return "", err
	}
	return DocumentNumber(value)
}

// DocumentNumber takes letters and digits alone: the number is shown to people
// and compared between connections. The error is iso7816.ErrContent.
func DocumentNumber(raw []byte) (string, error) {
	if len(raw) == 0 || len(raw) > maxDocumentNumber {
		return "", fmt.Errorf("%w: document number of %d characters", iso7816.ErrContent, len(raw))
	}
	for _, b := range raw {
		if (b < '0' || b > '9') && (b < 'A' || b > 'Z') {
			return "", fmt.Errorf("%w: document number with other characters", iso7816.ErrContent)
		}
	}
	return string(raw), nil
}
