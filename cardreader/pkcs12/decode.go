package pkcs12

import (
	"crypto"
	"crypto/hmac"
	"crypto/x509"
	"encoding/asn1"
	"errors"
	"fmt"
	"unicode/utf16"
	"unicode/utf8"

	"golang.org/x/crypto/cryptobyte"
	cryptobyte_asn1 "golang.org/x/crypto/cryptobyte/asn1"
)

// What is wrong with a file. A wrong password is a *cardreader.PINError.
var (
	// ErrMalformed: the file breaks its format, or a bound of this package.
	ErrMalformed = errors.New("key file is malformed")
	// ErrUnsupported: the file uses an algorithm that this package leaves out.
	ErrUnsupported = errors.New("key file is of an unsupported kind")

	errPassword = errors.New("wrong password")
)

// pair is a certificate with its private key.
type pair struct {
	certificate *x509.Certificate
	key         crypto.Signer
}

// content is all that a file holds.
type content struct {
	certificates []*x509.Certificate
	keys         []crypto.Signer
}

// pairs matches keys and certificates by public key, as the names in a file may
// be anything.
func (c *content) pairs() []pair {
	var pairs []pair
	for _, certificate := range c.certificates {
		own, ok := certificate.PublicKey.(interface{ Equal(crypto.PublicKey) bool })
		if !ok {
			continue
		}
		for _, key := range c.keys {
			if own.Equal(key.Public()) {
				pairs = append(pairs, pair{certificate, key})
				break
			}
		}
	}
	return pairs
}

func malformed(what string) error { return fmt.Errorf("%w: %s", ErrMalformed, what) }

// newPassword copies the entry into the forms that the schemes want.
func newPassword(secret []byte) (*password, error) {
	if !utf8.Valid(secret) {
		return nil, errPassword
	}
	p := &password{utf8: append([]byte(nil), secret...), work: maxWork}
	var units [2]uint16
	for rest := secret; len(rest) > 0; {
		r, size := utf8.DecodeRune(rest)
		rest = rest[size:]
		for _, u := range utf16.AppendRune(units[:0], r) {
			p.bmp = append(p.bmp, byte(u>>8), byte(u))
		}
	}
	p.bmp = append(p.bmp, 0, 0)
	return p, nil
}

// decode opens a PFX (RFC 7292 4): integrity first, then the safes.
func decode(data []byte, p *password) (*content, error) {
	der, _, err := definite(data, 0)
	if err != nil {
		return nil, err
	}
	input := cryptobyte.String(der)
	var pfx cryptobyte.String
	var version int
	if !input.ReadASN1(&pfx, cryptobyte_asn1.SEQUENCE) || !pfx.ReadASN1Integer(&version) || version != 3 {
		return nil, malformed("no PFX of version 3")
	}
	safes, err := readData(&pfx)
	if err != nil {
		return nil, err
	}
	if err := p.checkMAC(&pfx, safes); err != nil {
		return nil, err
	}
	safes, _, err = definite(safes, 0)
	if err != nil {
		return nil, err
	}
	input = safes
	var all cryptobyte.String
	if !input.ReadASN1(&all, cryptobyte_asn1.SEQUENCE) {
		return nil, malformed("authenticated safe")
	}
	var c content
	for n := 0; !all.Empty(); n++ {
		if n == maxSafes {
			return nil, malformed("too many safes")
		}
		if err := p.readSafe(&all, &c); err != nil {
			return nil, err
		}
	}
	return &c, nil
}

const (
	oidData          = "1.2.840.113549.1.7.1"
	oidEncryptedData = "1.2.840.113549.1.7.6"
)

// readContentInfo reads type and [0] content.
func readContentInfo(s *cryptobyte.String) (oid string, content cryptobyte.String, err error) {
	var info cryptobyte.String
	var id asn1.ObjectIdentifier
	explicit := cryptobyte_asn1.Tag(0).Constructed().ContextSpecific()
	if !s.ReadASN1(&info, cryptobyte_asn1.SEQUENCE) || !info.ReadASN1ObjectIdentifier(&id) || !info.ReadASN1(&content, explicit) {
		return "", nil, malformed("content")
	}
	return id.String(), content, nil
}

// readData reads a ContentInfo of type data.
func readData(s *cryptobyte.String) ([]byte, error) {
	oid, content, err := readContentInfo(s)
	if err != nil {
		return nil, err
	}
	if oid != oidData {
		return nil, fmt.Errorf("%w: signed by a public key", ErrUnsupported)
	}
	var data cryptobyte.String
	if !content.ReadASN1(&data, cryptobyte_asn1.OCTET_STRING) {
		return nil, malformed("data")
	}
	return data, nil
}

// checkMAC verifies MacData (RFC 7292 4, appendix A) over the safes. A file
// without one is refused: nobody could tell a wrong password from a broken file.
func (p *password) checkMAC(pfx *cryptobyte.String, safes []byte) error {
	if pfx.Empty() {
		return fmt.Errorf("%w: without integrity protection", ErrUnsupported)
	}
	var mac, info, digest, salt cryptobyte.String
	if !pfx.ReadASN1(&mac, cryptobyte_asn1.SEQUENCE) || !mac.ReadASN1(&info, cryptobyte_asn1.SEQUENCE) {
		return malformed("MAC")
	}
	oid, _, ok := readAlgorithm(&info)
	if !ok || !info.ReadASN1(&digest, cryptobyte_asn1.OCTET_STRING) ||
		!mac.ReadASN1(&salt, cryptobyte_asn1.OCTET_STRING) || len(salt) > maxSalt {
		return malformed("MAC")
	}
	iterations := 1
	if !mac.Empty() && !mac.ReadASN1Integer(&iterations) {
		return malformed("MAC")
	}
	newHash, ok := hashes()[oid]
	if !ok {
		return fmt.Errorf("%w: MAC %s", ErrUnsupported, oid)
	}
	if err := p.spend(iterations); err != nil {
		return err
	}
	key := derive(newHash, p.bmp, salt, iterations, purposeMAC, newHash().Size())
	defer clear(key)
	h := hmac.New(newHash, key)
	h.Write(safes)
	if !hmac.Equal(h.Sum(nil), digest) {
		return errPassword
	}
	return nil
}

// readSafe reads one ContentInfo of the authenticated safe, plain or encrypted.
func (p *password) readSafe(all *cryptobyte.String, c *content) error {
	oid, inner, err := readContentInfo(all)
	if err != nil {
		return err
	}
	switch oid {
	case oidData:
		var data cryptobyte.String
		if !inner.ReadASN1(&data, cryptobyte_asn1.OCTET_STRING) {
			return malformed("safe")
		}
		return p.readBags(data, c)
	case oidEncryptedData:
		data, err := p.readEncrypted(inner)
		if err != nil {
			return err
		}
		defer clear(data)
		return p.readBags(data, c)
	default:
		return fmt.Errorf("%w: safe %s", ErrUnsupported, oid)
	}
}

// readEncrypted opens an EncryptedData (RFC 5652 8).
func (p *password) readEncrypted(s cryptobyte.String) ([]byte, error) {
	var sequence, info cryptobyte.String
	var version int
	var id asn1.ObjectIdentifier
	if !s.ReadASN1(&sequence, cryptobyte_asn1.SEQUENCE) || !sequence.ReadASN1Integer(&version) ||
		!sequence.ReadASN1(&info, cryptobyte_asn1.SEQUENCE) || !info.ReadASN1ObjectIdentifier(&id) {
		return nil, malformed("encrypted safe")
	}
	oid, parameters, ok := readAlgorithm(&info)
	if !ok {
		return nil, malformed("encrypted safe")
	}
	implicit := cryptobyte_asn1.Tag(0).ContextSpecific()
	var data cryptobyte.String
	if info.PeekASN1Tag(implicit.Constructed()) {
		// In pieces, as BER allows.
		var pieces cryptobyte.String
		if !info.ReadASN1(&pieces, implicit.Constructed()) {
			return nil, malformed("encrypted safe")
		}
		for !pieces.Empty() {
			var piece cryptobyte.String
			if !pieces.ReadASN1(&piece, cryptobyte_asn1.OCTET_STRING) {
				return nil, malformed("encrypted safe")
			}
			data = append(data, piece...)
		}
	} else if !info.ReadASN1(&data, implicit) {
		return nil, malformed("encrypted safe")
	}
	return p.decrypt(oid, parameters, data)
}

// readBags reads SafeContents (RFC 7292 4.2).
func (p *password) readBags(data []byte, c *content) error {
	der, _, err := definite(data, 0)
	if err != nil {
		return err
	}
	defer clear(der)
	input := cryptobyte.String(der)
	var bags cryptobyte.String
	if !input.ReadASN1(&bags, cryptobyte_asn1.SEQUENCE) {
		return malformed("safe")
	}
	for !bags.Empty() {
		if len(c.certificates)+len(c.keys) == maxBags {
			return malformed("too many keys and certificates")
		}
		var bag, value cryptobyte.String
		var id asn1.ObjectIdentifier
		if !bags.ReadASN1(&bag, cryptobyte_asn1.SEQUENCE) || !bag.ReadASN1ObjectIdentifier(&id) ||
			!bag.ReadASN1(&value, cryptobyte_asn1.Tag(0).Constructed().ContextSpecific()) {
			return malformed("bag")
		}
		switch id.String() {
		case "1.2.840.113549.1.12.10.1.1":
			err = c.addKey(value)
		case "1.2.840.113549.1.12.10.1.2":
			err = p.addShrouded(value, c)
		case "1.2.840.113549.1.12.10.1.3":
			err = c.addCertificate(value)
		default:
			// CRLs, secrets and nested safes are of no use here.
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// addShrouded opens an EncryptedPrivateKeyInfo (RFC 5958 3).
func (p *password) addShrouded(value cryptobyte.String, c *content) error {
	var info, data cryptobyte.String
	if !value.ReadASN1(&info, cryptobyte_asn1.SEQUENCE) {
		return malformed("key")
	}
	oid, parameters, ok := readAlgorithm(&info)
	if !ok || !info.ReadASN1(&data, cryptobyte_asn1.OCTET_STRING) {
		return malformed("key")
	}
	plain, err := p.decrypt(oid, parameters, data)
	if err != nil {
		return err
	}
	defer clear(plain)
	return c.addKey(plain)
}

func (c *content) addKey(der []byte) error {
	parsed, err := x509.ParsePKCS8PrivateKey(der)
	if err != nil {
		// The reason may hold parts of the key.
		return fmt.Errorf("%w: private key", ErrUnsupported)
	}
	key, ok := parsed.(crypto.Signer)
	if !ok {
		return fmt.Errorf("%w: key that cannot sign", ErrUnsupported)
	}
	c.keys = append(c.keys, key)
	return nil
}

// addCertificate reads a CertBag. Others than X.509 ones, and such as cannot be
// parsed, are left out: the rest of the file may still serve.
func (c *content) addCertificate(value cryptobyte.String) error {
	var bag, explicit, der cryptobyte.String
	var id asn1.ObjectIdentifier
	if !value.ReadASN1(&bag, cryptobyte_asn1.SEQUENCE) || !bag.ReadASN1ObjectIdentifier(&id) ||
		!bag.ReadASN1(&explicit, cryptobyte_asn1.Tag(0).Constructed().ContextSpecific()) {
		return malformed("certificate")
	}
	if id.String() != "1.2.840.113549.1.9.22.1" {
		return nil
	}
	if !explicit.ReadASN1(&der, cryptobyte_asn1.OCTET_STRING) {
		return malformed("certificate")
	}
	// The bytes are cleared when the safe was read.
	if certificate, err := x509.ParseCertificate(append([]byte(nil), der...)); err == nil {
		c.certificates = append(c.certificates, certificate)
	}
	return nil
}
