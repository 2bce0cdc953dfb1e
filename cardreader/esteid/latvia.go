package esteid

import (
	"bytes"
	"context"
	"crypto"
	"crypto/rsa"
	"crypto/x509"
	"errors"
	"fmt"

	"github.com/eidbridge/eidbridge/cardreader"
	"github.com/eidbridge/eidbridge/cardreader/apdu"
	"github.com/eidbridge/eidbridge/cardreader/iso7816"
	"github.com/eidbridge/eidbridge/cardreader/pin"
	"github.com/eidbridge/eidbridge/cardreader/tlv"
)

// latvian is the Latvian card: the same application with RSA keys, whose
// certificate files and key numbers stand in PKCS #15 directory files of each
// application. It offers signatures, counters, change and unblocking; the
// description says nothing of its personal data and key agreement.
type latvian struct {
	card *card
	// directories holds the paths that EF 5031 of an application names.
	directories map[application]directory
}

// directory is two file identifiers below an application.
type directory struct{ certificates, keys []byte }

// Algorithms of the security environment: 02 is RSA PKCS #1 over a DigestInfo,
// 42 the same over a SHA-256 value. The values of other hashes for PSO are not
// known.
const (
	algorithmRSA       = 0x02
	algorithmRSASHA256 = 0x42
)

func newLatvian(c *card) *latvian {
	c.keys[0].algorithm, c.keys[1].algorithm = algorithmRSA, algorithmRSASHA256
	for i := range c.references {
		if c.references[i].id == "PIN2" {
			c.references[i].min = 6
		}
	}
	return &latvian{card: c, directories: make(map[application]directory)}
}

// Info gives no document number for a card without that file.
func (l *latvian) Info(ctx context.Context) (cardreader.Info, error) {
	info, err := l.card.Info(ctx)
	var status *apdu.StatusError
	if errors.As(err, &status) && status.SW == apdu.SWFileNotFound {
		return cardreader.Info{Family: l.card.family}, nil
	}
	return info, err
}

func (l *latvian) PINs(ctx context.Context) ([]cardreader.PINStatus, error) { return l.card.PINs(ctx) }

func (l *latvian) PIN(ctx context.Context, id string) (cardreader.PINStatus, error) {
	return l.card.PIN(ctx, id)
}

func (l *latvian) ChangePIN(ctx context.Context, id string, old, replacement *pin.PIN) error {
	return l.card.ChangePIN(ctx, id, old, replacement)
}

func (l *latvian) PUK(id string) (string, error) { return l.card.PUK(id) }

func (l *latvian) UnblockPIN(ctx context.Context, id string, puk, replacement *pin.PIN) error {
	return l.card.UnblockPIN(ctx, id, puk, replacement)
}

func (l *latvian) Credentials(ctx context.Context) ([]cardreader.Credential, error) {
	return l.CredentialsFor(ctx, "")
}

// CredentialsFor implements cardreader.UsageSelective.
func (l *latvian) CredentialsFor(ctx context.Context, u cardreader.Usage) ([]cardreader.Credential, error) {
	return cardreader.ReadCredentials(l.card.keys, func(k key) ([]cardreader.Credential, error) {
		if u != "" && u != k.usage {
			return nil, nil
		}
		credential, err := l.Credential(ctx, k.id)
		return []cardreader.Credential{credential}, err
	})
}

// Credential implements cardreader.Selective.
func (l *latvian) Credential(ctx context.Context, id string) (cardreader.Credential, error) {
	k, err := l.card.keyByID(id)
	if err != nil {
		return cardreader.Credential{}, err
	}
	certificate, err := l.certificate(ctx, k)
	if err != nil {
		return cardreader.Credential{}, l.card.explain(ctx, fmt.Errorf("%s certificate: %w", k.id, err))
	}
	return cardreader.Credential{ID: k.id, Usage: k.usage, PIN: k.pin, Certificate: certificate}, nil
}

func (l *latvian) certificate(ctx context.Context, k key) (*x509.Certificate, error) {
	size, err := l.selectCertificate(ctx, k)
	if err != nil {
		return nil, err
	}
	der, err := reading().ReadFile(ctx, l.card.transport, size)
	if err != nil {
		return nil, err
	}
	certificate, err := iso7816.ParseCertificate(der)
	if err != nil {
		return nil, err
	}
	if _, ok := certificate.PublicKey.(*rsa.PublicKey); !ok {
		return nil, fmt.Errorf("%w: not an RSA key", iso7816.ErrContent)
	}
	return certificate, nil
}

func (l *latvian) selectCertificate(ctx context.Context, k key) (int, error) {
	d, err := l.directory(ctx, k.application)
	if err != nil {
		return 0, err
	}
	content, err := l.read(ctx, d.certificates)
	if err != nil {
		return 0, fmt.Errorf("certificate directory: %w", err)
	}
	// SEQUENCE { [1] { SEQUENCE { SEQUENCE { path } } } }: the first certificate.
	path, err := tlv.Find(content, 0x30, 0xA1, 0x30, 0x30, 0x04)
	if err != nil {
		return 0, fmt.Errorf("certificate directory: %w", err)
	}
	return l.selectFile(ctx, path)
}

// Recognize implements cardreader.Recognizer.
func (l *latvian) Recognize(ctx context.Context, _ cardreader.Info, credential cardreader.Credential) error {
	k, err := l.card.keyByID(credential.ID)
	if err != nil {
		return err
	}
	same := false
	size, err := l.selectCertificate(ctx, k)
	if err == nil && size == len(credential.Certificate.Raw) {
		same, err = l.card.reads(ctx, credential.Certificate)
	}
	switch {
	case err != nil:
		return l.card.explain(ctx, fmt.Errorf("%s certificate: %w", k.id, err))
	case !same:
		return cardreader.ErrCardChanged
	default:
		return nil
	}
}

// directory reads EF 5031 of an application once a connection.
func (l *latvian) directory(ctx context.Context, a application) (directory, error) {
	if err := l.card.enter(ctx, a); err != nil {
		return directory{}, err
	}
	if d, known := l.directories[a]; known {
		return d, nil
	}
	content, err := l.read(ctx, []byte{0x50, 0x31})
	if err != nil {
		return directory{}, fmt.Errorf("object directory: %w", err)
	}
	var d directory
	if d.certificates, err = tlv.Find(content, 0xA4, 0x30, 0x04); err != nil {
		return directory{}, fmt.Errorf("object directory: %w", err)
	}
	if d.keys, err = tlv.Find(content, 0xA0, 0x30, 0x04); err != nil {
		return directory{}, fmt.Errorf("object directory: %w", err)
	}
	l.directories[a] = d
	return d, nil
}

// selectFile selects an EF of the current application by its identifier.
func (l *latvian) selectFile(ctx context.Context, identifier []byte) (int, error) {
	if len(identifier) != 2 {
		return 0, fmt.Errorf("%w: path of %d bytes", iso7816.ErrContent, len(identifier))
	}
	fcp, err := l.card.do(ctx, apdu.Command{
		INS: insSelect, P1: selectFile, P2: answerFCP, Data: bytes.Clone(identifier), Ne: apdu.MaxShortNe,
	})
	if err != nil {
		return 0, err
	}
	return iso7816.FileSize(fcp)
}

func (l *latvian) read(ctx context.Context, identifier []byte) ([]byte, error) {
	size, err := l.selectFile(ctx, identifier)
	if err != nil {
		return nil, err
	}
	if size > maxDirectory {
		return nil, fmt.Errorf("%w: directory of %d bytes", iso7816.ErrContent, size)
	}
	return iso7816.Blocks{Size: apdu.MaxShortNe, Full: true, Public: true}.ReadFile(ctx, l.card.transport, size)
}

// Sign implements cardreader.Card. The signature key signs SHA-256 alone.
func (l *latvian) Sign(ctx context.Context, credential cardreader.Credential, p *pin.PIN, hash crypto.Hash, digest []byte) ([]byte, error) {
	k, r, err := l.card.signing(credential)
	if err != nil {
		return nil, err
	}
	input, err := iso7816.DigestInfo(hash, digest)
	if err != nil {
		return nil, err
	}
	if k.algorithm == algorithmRSASHA256 {
		if hash != crypto.SHA256 {
			return nil, fmt.Errorf("%w: card signs SHA-256 with this key", cardreader.ErrDigest)
		}
		input = digest
	}
	if err := iso7816.CheckPIN(r.id, r.rule(), p); err != nil {
		return nil, err
	}
	if k.reference, err = l.keyReference(ctx, k.application); err != nil {
		return nil, l.card.explain(ctx, fmt.Errorf("key directory: %w", err))
	}
	value, err := l.card.compute(ctx, k, input, func() error { return l.card.verify(ctx, r, p) })
	if err != nil {
		return nil, l.card.explain(ctx, err)
	}
	return value, nil
}

// keyReference is the number in the first entry of the key directory.
func (l *latvian) keyReference(ctx context.Context, a application) (byte, error) {
	d, err := l.directory(ctx, a)
	if err != nil {
		return 0, err
	}
	content, err := l.read(ctx, d.keys)
	if err != nil {
		return 0, err
	}
	entry, err := tlv.Find(content, 0x30)
	if err != nil {
		return 0, err
	}
	// SEQUENCE { common attributes, class attributes { keyReference INTEGER } }.
	parts, err := tlv.Parse(entry)
	if err != nil {
		return 0, err
	}
	if len(parts) < 2 {
		return 0, fmt.Errorf("%w: key entry of %d parts", iso7816.ErrContent, len(parts))
	}
	number, err := tlv.Find(parts[1].Value, 0x02)
	if err != nil {
		return 0, err
	}
	if len(number) == 0 || len(number) > 2 || len(number) == 2 && number[0] != 0 {
		return 0, fmt.Errorf("%w: key reference of %d bytes", iso7816.ErrContent, len(number))
	}
	return number[len(number)-1], nil
}
