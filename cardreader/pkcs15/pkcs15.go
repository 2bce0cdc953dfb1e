package pkcs15

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/eidbridge/eidbridge/cardreader"
	"github.com/eidbridge/eidbridge/cardreader/apdu"
	"github.com/eidbridge/eidbridge/cardreader/iso7816"
	"github.com/eidbridge/eidbridge/signing/brainpool"
)

// Family is the name of the card family, if that is what it is.
const Family = "PKCS#15"

// Driver probes any card for the application. It belongs at the end of a list of
// drivers: those that know a card's answer to reset know the card better.
type Driver struct {
	// AskTries asks for the tries left with a VERIFY without data, which
	// ISO/IEC 7816-4 11.6.6 has for that. A card that breaks the standard may
	// count it as a wrong entry, so it has to be asked for; without it no counter
	// is known.
	AskTries bool
}

// Name is Family.
func (Driver) Name() string { return Family }

// Matches takes every card.
func (Driver) Matches(atr []byte) bool { return len(atr) > 0 }

// Open finds the application: by its usual identifier, as EF.DIR says, or in its
// usual directory.
func (d Driver) Open(ctx context.Context, t cardreader.Transport) (cardreader.Card, error) {
	f := &files{transport: t}
	if err := f.open(ctx); err != nil {
		var status *apdu.StatusError
		if errors.As(err, &status) || errors.Is(err, iso7816.ErrContent) {
			return nil, fmt.Errorf("%w: no PKCS #15 application: %w", cardreader.ErrCardUnsupported, err)
		}
		return nil, cardreader.Classify(ctx, err)
	}
	return &card{files: f, askTries: d.AskTries}, nil
}

// usualName is the identifier that PKCS #15 registered.
const usualName = registered + "PKCS-15"

func (f *files) open(ctx context.Context) error {
	f.identifier = []byte(usualName)
	err := f.selectName(ctx, f.identifier)
	var status *apdu.StatusError
	if err == nil || !errors.As(err, &status) {
		return err
	}
	f.identifier = nil
	raw, err := f.read(ctx, path{file: []byte(masterFile + "\x2F\x00"), length: -1}, maxDirectory)
	if err != nil && !errors.As(err, &status) {
		return err
	}
	identifiers, paths, err := applications(raw)
	if err != nil {
		return err
	}
	for _, identifier := range identifiers {
		if f.identifier = identifier; f.selectName(ctx, identifier) == nil {
			return nil
		}
	}
	f.identifier = nil
	for _, place := range append(paths, []byte(masterFile+"\x50\x15")) {
		if _, err = f.selectFile(ctx, place); err == nil {
			f.application = f.normal(place)
			return nil
		}
	}
	return err
}

// card is one opened card.
type card struct {
	files    *files
	askTries bool
	// known is read once a connection.
	known *directory
}

func (c *card) directory(ctx context.Context) (*directory, error) {
	if c.known != nil {
		return c.known, nil
	}
	d, err := c.files.readDirectory(ctx)
	if err != nil {
		return nil, explain(ctx, err)
	}
	c.known = d
	return d, nil
}

// explain gives an error its sentinel at the package's border.
func explain(ctx context.Context, err error) error {
	if errors.Is(err, iso7816.ErrContent) {
		err = fmt.Errorf("%w: %w", cardreader.ErrCardProtocol, err)
	}
	return cardreader.Classify(ctx, err)
}

// Info gives the token's serial number as document number.
func (c *card) Info(ctx context.Context) (cardreader.Info, error) {
	d, err := c.directory(ctx)
	if err != nil {
		return cardreader.Info{}, err
	}
	return cardreader.Info{Family: Family, DocumentNumber: d.token.serial}, nil
}

// handle is what a credential keeps for its next use.
type handle struct {
	directory *directory
	entry     certificateEntry
	key       privateKey
}

// Credentials reads the certificates that have a key for signatures on the card.
// One that cannot be used is told in the error and does not hide the others.
func (c *card) Credentials(ctx context.Context) ([]cardreader.Credential, error) {
	return c.credentials(ctx, func(privateKey) bool { return true })
}

// CredentialsFor implements cardreader.UsageSelective. It reads the certificates
// of keys that claim the usage, and all of them where none fits: what counts is
// the certificate.
func (c *card) CredentialsFor(ctx context.Context, u cardreader.Usage) ([]cardreader.Credential, error) {
	claimed, err := c.credentials(ctx, func(k privateKey) bool { return k.content == (u == cardreader.UsageSignature) })
	if fitting := withUsage(claimed, u); len(fitting) > 0 || err != nil && !errors.Is(err, cardreader.ErrCardProtocol) {
		return fitting, err
	}
	all, err := c.Credentials(ctx)
	return withUsage(all, u), err
}

func withUsage(credentials []cardreader.Credential, u cardreader.Usage) []cardreader.Credential {
	return slices.DeleteFunc(credentials, func(c cardreader.Credential) bool { return c.Usage != u })
}

func (c *card) credentials(ctx context.Context, wanted func(privateKey) bool) ([]cardreader.Credential, error) {
	d, err := c.directory(ctx)
	if err != nil {
		return nil, err
	}
	type pair struct {
		certificate certificateEntry
		key         privateKey
	}
	var pairs []pair
	for i, entry := range d.certificates {
		if key, ok := d.keyFor(i); ok && wanted(key) {
			pairs = append(pairs, pair{entry, key})
		}
	}
	return cardreader.ReadCredentials(pairs, func(p pair) ([]cardreader.Credential, error) {
		return c.credentialsOf(ctx, d, p.certificate, p.key)
	})
}

// keyFor is the key with the certificate's identifier, or that in the same place
// where nothing has identifiers.
func (d *directory) keyFor(n int) (privateKey, bool) {
	entry := d.certificates[n]
	if entry.authority {
		return privateKey{}, false
	}
	for i, k := range d.keys {
		if k.id == entry.id && (entry.id != "" || i == n) {
			return k, true
		}
	}
	return privateKey{}, false
}

func (c *card) credentialsOf(ctx context.Context, d *directory, entry certificateEntry, key privateKey) ([]cardreader.Credential, error) {
	der, err := c.files.readCertificate(ctx, entry)
	if err != nil {
		return nil, explain(ctx, fmt.Errorf("certificate %X: %w", entry.id, err))
	}
	certificate, err := parseCertificate(der)
	if err != nil {
		return nil, explain(ctx, fmt.Errorf("certificate %X: %w", entry.id, err))
	}
	var credentials []cardreader.Credential
	for _, usage := range usages(certificate, key) {
		credentials = append(credentials, cardreader.Credential{
			ID: hex.EncodeToString([]byte(entry.id)) + "-" + string(usage), Usage: usage, PIN: d.pinName(key.auth),
			Certificate: certificate, Handle: &handle{directory: d, entry: entry, key: key},
		})
	}
	return credentials, nil
}

// usages are those of the certificate, or of the key for a certificate that names
// none.
func usages(certificate *x509.Certificate, key privateKey) []cardreader.Usage {
	switch {
	case certificate.KeyUsage != 0 || certificate.IsCA:
		return cardreader.UsagesOf(certificate)
	case key.content:
		return []cardreader.Usage{cardreader.UsageSignature}
	default:
		return []cardreader.Usage{cardreader.UsageAuthentication}
	}
}

func parseCertificate(der []byte) (*x509.Certificate, error) {
	certificate, err := brainpool.ParseCertificate(bytes.Clone(der))
	if err != nil {
		// The parser's words may quote the holder's name.
		return nil, malformed("not a certificate with a key that is known")
	}
	return certificate, nil
}

// Credential reads one certificate.
func (c *card) Credential(ctx context.Context, id string) (cardreader.Credential, error) {
	d, err := c.directory(ctx)
	if err != nil {
		return cardreader.Credential{}, err
	}
	wanted, _, _ := strings.Cut(id, "-")
	for i, entry := range d.certificates {
		key, ok := d.keyFor(i)
		if !ok || hex.EncodeToString([]byte(entry.id)) != wanted {
			continue
		}
		found, err := c.credentialsOf(ctx, d, entry, key)
		if err != nil {
			return cardreader.Credential{}, err
		}
		for _, credential := range found {
			if credential.ID == id {
				return credential, nil
			}
		}
	}
	return cardreader.Credential{}, fmt.Errorf("%w: no key %q", cardreader.ErrNoCredential, id)
}

// Recognize compares the public key in the credential's certificate file, which
// is two commands instead of reading all directories again. What they said is
// taken from the credential then.
func (c *card) Recognize(ctx context.Context, info cardreader.Info, credential cardreader.Credential) error {
	h, ok := credential.Handle.(*handle)
	if !ok || h.entry.inline != nil {
		return c.compare(ctx, info, credential)
	}
	want, at := iso7816.KeyPart(credential.Certificate)
	if want == nil {
		return cardreader.ErrCardChanged
	}
	place := h.entry.path
	place.offset, place.length = place.offset+at, len(want)
	got, err := c.files.read(ctx, place, maxCertificate)
	switch {
	case isAbsent(err) || errors.Is(err, iso7816.ErrContent):
		return cardreader.ErrCardChanged
	case err != nil:
		return explain(ctx, fmt.Errorf("certificate %X: %w", h.entry.id, err))
	case !bytes.Equal(got, want):
		return cardreader.ErrCardChanged
	}
	c.known = h.directory
	return nil
}

// compare reads everything again.
func (c *card) compare(ctx context.Context, info cardreader.Info, credential cardreader.Credential) error {
	now, err := c.Info(ctx)
	if err != nil {
		return err
	}
	again, err := c.Credential(ctx, credential.ID)
	switch {
	case errors.Is(err, cardreader.ErrNoCredential):
		return cardreader.ErrCardChanged
	case err != nil:
		return err
	case now != info || !bytes.Equal(again.Certificate.Raw, credential.Certificate.Raw):
		return cardreader.ErrCardChanged
	default:
		return nil
	}
}
