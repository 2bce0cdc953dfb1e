package esteid2025

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/x509"
	"fmt"

	"github.com/eidbridge/eidbridge/cardreader"
	"github.com/eidbridge/eidbridge/cardreader/apdu"
	"github.com/eidbridge/eidbridge/cardreader/iso7816"
)

// reading asks for all that the card gives at once: it answers in blocks of its
// own length, 181 bytes in the recordings.
func reading() iso7816.Blocks { return iso7816.Blocks{Size: apdu.MaxShortNe, Full: true} }

// selectPath returns the length of a file.
func (c *card) selectPath(ctx context.Context, path string) (int, error) {
	fcp, err := c.do(ctx, apdu.Command{
		INS: iso7816.Select, P1: selectFromRoot, P2: answerFCP, Data: []byte(path), Ne: apdu.MaxShortNe,
	})
	if err != nil {
		return 0, err
	}
	return iso7816.FileSize(fcp)
}

func (c *card) credential(ctx context.Context, k key) (cardreader.Credential, error) {
	certificate, err := c.certificate(ctx, k)
	if err != nil {
		return cardreader.Credential{}, explain(ctx, fmt.Errorf("%s certificate: %w", k.id, err))
	}
	return cardreader.Credential{ID: k.id, Usage: k.usage, PIN: k.pin, Certificate: certificate, PSS: k.scheme.pss()}, nil
}

func (c *card) certificate(ctx context.Context, k key) (*x509.Certificate, error) {
	size, err := c.selectPath(ctx, k.certificate)
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
	if !k.scheme.fits(certificate) {
		return nil, fmt.Errorf("%w: key of another kind", iso7816.ErrContent)
	}
	return certificate, nil
}

// fits: the length of the card's answers depends on the key.
func (s scheme) fits(certificate *x509.Certificate) bool {
	switch key := certificate.PublicKey.(type) {
	case *ecdsa.PublicKey:
		return s.size == (key.Curve.Params().BitSize+7)/8
	case *rsa.PublicKey:
		return s.pss()
	default:
		return false
	}
}

// Recognize compares the length of the credential's certificate and the public
// key in it with what the card has, which is two commands instead of eight.
func (c *card) Recognize(ctx context.Context, _ cardreader.Info, credential cardreader.Credential) error {
	k, err := c.keyByID(credential.ID)
	if err != nil {
		return err
	}
	size, err := c.selectPath(ctx, k.certificate)
	if err != nil {
		return explain(ctx, fmt.Errorf("%s certificate: %w", k.id, err))
	}
	want, at := iso7816.KeyPart(credential.Certificate)
	if size != len(credential.Certificate.Raw) || want == nil {
		return cardreader.ErrCardChanged
	}
	got, err := iso7816.Blocks{Size: exactBlock}.Read(ctx, c.transport, at, len(want))
	if err != nil {
		return explain(ctx, fmt.Errorf("%s certificate: %w", k.id, err))
	}
	if !bytes.Equal(got, want) {
		return cardreader.ErrCardChanged
	}
	return nil
}

// exactBlock is what the card answered with at most in the recordings.
const exactBlock = 0xB5
