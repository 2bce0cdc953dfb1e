package dnie

import (
	"context"
	"crypto/rsa"
	"crypto/x509"
	"fmt"

	"github.com/eidbridge/eidbridge/cardreader"
	"github.com/eidbridge/eidbridge/cardreader/iso7816"
)

// entry is a key of the PrKDF with its certificate of the CDF.
type entry struct {
	key         keyEntry
	certificate certificateEntry
}

// credential is a certificate with what MSE SET calls its key. Its ID is its
// usage: the card has one key for each.
type credential struct {
	cardreader.Credential
	reference [2]byte
}

// listed reads the directories and links keys with certificates, once a
// connection.
func (c *card) listed(ctx context.Context) ([]entry, error) {
	if c.entries != nil {
		return c.entries, nil
	}
	file, err := c.readDirectory(ctx, pathPrivateKeys(), func(keys, _ path) path { return keys })
	if err != nil {
		return nil, fmt.Errorf("directory of keys: %w", err)
	}
	keys, err := parsePrivateKeys(file)
	if err != nil {
		return nil, err
	}
	file, err = c.readDirectory(ctx, pathCertificates(), func(_, certificates path) path { return certificates })
	if err != nil {
		return nil, fmt.Errorf("directory of certificates: %w", err)
	}
	certificates, err := parseCertificates(file)
	if err != nil {
		return nil, err
	}
	c.entries = link(keys, certificates)
	return c.entries, nil
}

// link joins what has the same iD. A second key of a usage is left out: it could
// not be told from the first.
func link(keys []keyEntry, certificates []certificateEntry) []entry {
	linked := []entry{}
	taken := make(map[cardreader.Usage]bool)
	for _, key := range keys {
		for _, certificate := range certificates {
			if key.usage == "" || taken[key.usage] || key.id != certificate.id {
				continue
			}
			taken[key.usage] = true
			linked = append(linked, entry{key, certificate})
		}
	}
	return linked
}

func (c *card) credential(ctx context.Context, id string) (credential, error) {
	if found, ok := c.credentials[id]; ok {
		return found, nil
	}
	entries, err := c.listed(ctx)
	if err != nil {
		return credential{}, err
	}
	for _, e := range entries {
		if string(e.key.usage) == id {
			return c.credentialOf(ctx, e)
		}
	}
	return credential{}, fmt.Errorf("%w: no key %q", cardreader.ErrNoCredential, id)
}

// credentialOf reads a certificate, once a connection.
func (c *card) credentialOf(ctx context.Context, e entry) (credential, error) {
	id := string(e.key.usage)
	if found, ok := c.credentials[id]; ok {
		return found, nil
	}
	file, err := c.read(ctx, e.certificate.file, maxCertificate, nil)
	if err != nil {
		return credential{}, fmt.Errorf("%s certificate: %w", id, err)
	}
	certificate, err := parseCertificate(file, e.key.usage)
	if err != nil {
		return credential{}, fmt.Errorf("%s certificate: %w", id, err)
	}
	found := credential{
		Credential: cardreader.Credential{ID: id, Usage: e.key.usage, PIN: pinID, Certificate: certificate},
		reference:  e.key.reference,
	}
	if c.credentials == nil {
		c.credentials = make(map[string]credential)
	}
	c.credentials[id] = found
	c.adopt()
	return found, nil
}

// parseCertificate unpacks a certificate and checks that it fits its key: RSA,
// with the usage that the directory of keys gives it.
func parseCertificate(file []byte, usage cardreader.Usage) (*x509.Certificate, error) {
	der, err := unpack(file)
	if err != nil {
		return nil, err
	}
	certificate, err := iso7816.ParseCertificate(der)
	if err != nil {
		return nil, err
	}
	public, ok := certificate.PublicKey.(*rsa.PublicKey)
	if !ok || public.N.BitLen() < minKeyBits || public.N.BitLen() > maxKeyBits {
		return nil, fmt.Errorf("%w: no RSA key of %d to %d bits", iso7816.ErrContent, minKeyBits, maxKeyBits)
	}
	// RFC 5280 4.2.1.3; no extension means no restriction.
	signs := certificate.KeyUsage&x509.KeyUsageContentCommitment != 0
	if certificate.KeyUsage != 0 && signs != (usage == cardreader.UsageSignature) {
		return nil, fmt.Errorf("%w: certificate and key differ in their usage", iso7816.ErrContent)
	}
	return certificate, nil
}
