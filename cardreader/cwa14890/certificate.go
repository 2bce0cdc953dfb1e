package cwa14890

import (
	"bytes"
	"crypto/rsa"
	"fmt"
	"slices"

	"github.com/eidbridge/eidbridge/cardreader/tlv"
)

// Data objects of a card-verifiable certificate (CWA 14890-1; values
// as found in the certificates of the DNIe).
const (
	tagCertificate tlv.Tag = 0x7F21
	tagSignature   tlv.Tag = 0x5F37 // 128 bytes, holds the first 106 of the body
	tagRemainder   tlv.Tag = 0x5F38 // the rest of the body
	tagAuthority   tlv.Tag = 0x42   // reference of the issuer's key
)

// Role is what a terminal's certificate lets it do, the last byte of the holder
// authorisation.
type Role byte

// The roles of the DNIe's certificates.
const (
	// RoleUser opens the channel in which the card signs; in a DNIe 2.0 the
	// only one.
	RoleUser Role = 0x02
	// RolePIN opens the channel in which a DNIe 3.0 takes the PIN.
	RolePIN Role = 0x08
	// RoleAuthority issues terminal certificates.
	RoleAuthority Role = 0x22
)

// Reference names a key: the last eight bytes of its holder reference.
type Reference [8]byte

// Certificate is a card-verifiable certificate that nobody has checked. What it
// says comes out of Verify.
type Certificate struct {
	raw       []byte
	signature []byte
	remainder []byte
	authority Reference
}

// Subject is the content of a verified certificate.
type Subject struct {
	// Authority is the issuer's key.
	Authority Reference
	// Holder is the certificate holder reference, 12 bytes, of which the first
	// four are zero in the DNIe's certificates.
	Holder [12]byte
	Role   Role
	Key    *rsa.PublicKey

	key *modulus
}

// Reference is the holder as others name it.
func (s *Subject) Reference() Reference { return Reference(s.Holder[4:]) }

// ParseCertificate reads the outer structure: signature, remainder and issuer, in
// this order, in shortest form, nothing else. raw is copied. The error is
// ErrCertificate.
func ParseCertificate(raw []byte) (*Certificate, error) {
	outer, err := tlv.Parse(raw)
	if err != nil || len(outer) != 1 || outer[0].Tag != tagCertificate {
		return nil, fmt.Errorf("%w: no certificate object", ErrCertificate)
	}
	parts, err := outer[0].Children()
	if err != nil || len(parts) != 3 || parts[0].Tag != tagSignature ||
		parts[1].Tag != tagRemainder || parts[2].Tag != tagAuthority {
		return nil, fmt.Errorf("%w: unexpected data objects", ErrCertificate)
	}
	signature, remainder, authority := parts[0].Value, parts[1].Value, parts[2].Value
	if len(signature) != keySize || len(authority) != len(Reference{}) ||
		(len(remainder) != authorityLayout().remainder() && len(remainder) != terminalLayout().remainder()) {
		return nil, fmt.Errorf("%w: data objects of %d, %d and %d bytes",
			ErrCertificate, len(signature), len(remainder), len(authority))
	}
	c := &Certificate{
		signature: bytes.Clone(signature),
		remainder: bytes.Clone(remainder),
		authority: Reference(authority),
	}
	c.raw = c.encode()
	if !bytes.Equal(c.raw, raw) {
		return nil, fmt.Errorf("%w: not in its shortest form", ErrCertificate)
	}
	return c, nil
}

func (c *Certificate) encode() []byte {
	content := tlv.Append(nil, tagSignature, c.signature)
	content = tlv.Append(content, tagRemainder, c.remainder)
	content = tlv.Append(content, tagAuthority, c.authority[:])
	return tlv.Append(nil, tagCertificate, content)
}

// Bytes is the certificate as it was parsed.
func (c *Certificate) Bytes() []byte { return bytes.Clone(c.raw) }

// Authority is the key that is said to have signed. It is not verified.
func (c *Certificate) Authority() Reference { return c.authority }

// layout is the body of a certificate, all fields of fixed length: profile,
// issuer, holder, holder authorisation, key OID, modulus, exponent.
type layout struct {
	profile byte
	oid     []byte
}

// authorityLayout: profile 03, key for sigS-ISO9796-2 with SHA-1
// (1.3.36.3.4.2.2.1).
func authorityLayout() layout {
	return layout{profile: 0x03, oid: []byte{0x2B, 0x24, 0x03, 0x04, 0x02, 0x02, 0x01}}
}

// terminalLayout: profile 04, key for device authentication
// (1.3.36.7.2.1.1).
func terminalLayout() layout {
	return layout{profile: 0x04, oid: []byte{0x2B, 0x24, 0x07, 0x02, 0x01, 0x01}}
}

const (
	referenceSize     = 8
	holderSize        = 12
	authorisationSize = 7
	exponentSize      = 4
)

func (l layout) size() int {
	return 1 + referenceSize + holderSize + authorisationSize + len(l.oid) + keySize + exponentSize
}

func (l layout) remainder() int { return l.size() - recoveredSize }

// authorisationPrefix precedes the role in the holder authorisation.
func authorisationPrefix() []byte { return []byte{0xA0, 0x00, 0x00, 0x01, 0x67, 0x45} }

// Verify checks the certificate with the issuer's key, RSA-1024, and gives what
// the signature covers. The error is ErrCertificate.
func (c *Certificate) Verify(issuer *rsa.PublicKey) (*Subject, error) {
	key, err := modulusOf(issuer)
	if err != nil {
		return nil, fmt.Errorf("%w: issuer: %w", ErrCertificate, err)
	}
	recovered, hash, err := key.recover(c.signature)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrCertificate, err)
	}
	if !matches(hash, recovered, c.remainder) {
		return nil, fmt.Errorf("%w: hash does not match", ErrCertificate)
	}
	return parseBody(slices.Concat(recovered, c.remainder), c.authority)
}

// parseBody reads a verified body and compares it with what stood outside.
func parseBody(body []byte, authority Reference) (*Subject, error) {
	l := terminalLayout()
	if body[0] == authorityLayout().profile {
		l = authorityLayout()
	}
	if body[0] != l.profile || len(body) != l.size() {
		return nil, fmt.Errorf("%w: profile %02X in %d bytes", ErrCertificate, body[0], len(body))
	}
	rest := body[1:]
	next := func(n int) []byte {
		field := rest[:n]
		rest = rest[n:]
		return field
	}
	s := &Subject{Authority: Reference(next(referenceSize)), Holder: [holderSize]byte(next(holderSize))}
	if s.Authority != authority {
		return nil, fmt.Errorf("%w: issuer differs inside and outside of the signature", ErrCertificate)
	}
	authorisation := next(authorisationSize)
	if !bytes.HasPrefix(authorisation, authorisationPrefix()) {
		return nil, fmt.Errorf("%w: unknown holder authorisation", ErrCertificate)
	}
	s.Role = Role(authorisation[authorisationSize-1])
	if !bytes.Equal(next(len(l.oid)), l.oid) {
		return nil, fmt.Errorf("%w: unknown key algorithm", ErrCertificate)
	}
	key, err := newModulus(next(keySize))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrCertificate, err)
	}
	if !bytes.Equal(rest, []byte{0x00, 0x01, 0x00, 0x01}) { // 65537
		return nil, fmt.Errorf("%w: unexpected exponent", ErrCertificate)
	}
	if (s.Role == RoleAuthority) != (l.profile == authorityLayout().profile) {
		return nil, fmt.Errorf("%w: role %02X in profile %02X", ErrCertificate, byte(s.Role), l.profile)
	}
	s.key, s.Key = key, key.publicKey()
	return s, nil
}
