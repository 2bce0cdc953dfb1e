// Package crl fetches certificate revocation lists and looks certificates up in
// them, after RFC 5280 5 and 6.3.
//
// A list is read where it lies: entries are walked when one is looked for and
// never collected, because national lists have millions of them. A list counts
// only if the issuer of the certificate signed it, if its scope takes the
// certificate in, and if every critical extension is understood.
//
// Left out, and refused: delta lists, indirect lists, and lists for some reasons
// only.
package crl

import (
	"bytes"
	"context"
	"crypto"
	"crypto/x509"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"time"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"

	"github.com/eidbridge/eidbridge/signing/cms"
	"github.com/eidbridge/eidbridge/signing/fetch"
)

// ErrList means that the list cannot be used. All errors about lists match it.
var ErrList = errors.New("CRL not acceptable")

func wrong(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrList, fmt.Sprintf(format, args...))
}

// List is a parsed CRL. Nothing it says counts before Verify.
type List struct {
	// Raw is the CertificateList as received.
	Raw        []byte
	Issuer     []byte // raw Name
	ThisUpdate time.Time
	NextUpdate time.Time // zero when absent
	Number     *big.Int  // nil when absent
	// Kept is expiredCertsOnCRL (ITU-T X.509 9.5.2.8): certificates that expired
	// since are on the list if they were revoked. Zero when absent.
	Kept      time.Time
	scope     scope
	tbs       []byte
	algorithm []byte
	value     []byte
	entries   cryptobyte.String
}

// scope is the issuing distribution point (RFC 5280 5.2.5).
type scope struct {
	present     bool
	points      []string // URIs of its full name
	named       bool     // it has a distribution point name
	users, cas  bool     // only those
	unsupported string
}

// Entry is what a list says about a revoked certificate.
type Entry struct {
	RevokedAt time.Time
	Reason    int // RFC 5280 5.3.1
}

// Client fetches lists.
type Client struct {
	Fetch *fetch.Client
	// Clock is the time to compare lists with; nil is time.Now.
	Clock func() time.Time
}

const (
	maxPoints = 4
	skew      = 5 * time.Minute
)

// Get fetches a list that is in force and covers the certificate.
func (c *Client) Get(ctx context.Context, certificate, issuer *x509.Certificate) (*List, error) {
	now := time.Now()
	if c.Clock != nil {
		now = c.Clock()
	}
	failures := []error{}
	for _, address := range certificate.CRLDistributionPoints[:min(maxPoints, len(certificate.CRLDistributionPoints))] {
		raw, err := c.Fetch.Get(ctx, address, fetch.MaxCRL)
		if err != nil {
			failures = append(failures, fmt.Errorf("CRL: %w", err))
			continue
		}
		l, err := Parse(raw)
		if err == nil {
			err = l.Verify(certificate, issuer)
		}
		if err == nil && (l.ThisUpdate.After(now.Add(skew)) || !l.NextUpdate.IsZero() && l.NextUpdate.Before(now.Add(-skew))) {
			err = wrong("not in force now")
		}
		if err == nil {
			return l, nil
		}
		failures = append(failures, err)
	}
	if len(failures) == 0 {
		return nil, wrong("the certificate names no list")
	}
	return nil, errors.Join(failures...)
}

// Parse reads a CertificateList (RFC 5280 5.1).
func Parse(raw []byte) (*List, error) {
	if len(raw) > fetch.MaxCRL {
		return nil, wrong("%d bytes", len(raw))
	}
	l := &List{Raw: raw}
	in := cryptobyte.String(raw)
	var outer, tbs, body, algorithm, inner, issuer cryptobyte.String
	var version int
	if !in.ReadASN1(&outer, asn1.SEQUENCE) || !in.Empty() || !outer.ReadASN1Element(&tbs, asn1.SEQUENCE) ||
		!outer.ReadASN1Element(&algorithm, asn1.SEQUENCE) || !outer.ReadASN1BitStringAsBytes(&l.value) || !outer.Empty() {
		return nil, wrong("malformed")
	}
	l.tbs, l.algorithm = tbs, algorithm
	if !tbs.ReadASN1(&body, asn1.SEQUENCE) || !body.PeekASN1Tag(asn1.INTEGER) || !body.ReadASN1Integer(&version) || version != 1 ||
		!body.ReadASN1Element(&inner, asn1.SEQUENCE) || !bytes.Equal(inner, algorithm) || !body.ReadASN1Element(&issuer, asn1.SEQUENCE) ||
		!readTime(&body, &l.ThisUpdate) {
		return nil, wrong("malformed")
	}
	l.Issuer = issuer
	if (body.PeekASN1Tag(asn1.UTCTime) || body.PeekASN1Tag(asn1.GeneralizedTime)) && !readTime(&body, &l.NextUpdate) {
		return nil, wrong("nextUpdate")
	}
	if body.PeekASN1Tag(asn1.SEQUENCE) && !body.ReadASN1(&l.entries, asn1.SEQUENCE) {
		return nil, wrong("revokedCertificates")
	}
	return l, l.readExtensions(body)
}

func readTime(s *cryptobyte.String, out *time.Time) bool {
	if s.PeekASN1Tag(asn1.UTCTime) {
		return s.ReadASN1UTCTime(out)
	}
	return s.ReadASN1GeneralizedTime(out)
}

func explicit(n uint8) asn1.Tag { return asn1.Tag(n).Constructed().ContextSpecific() }

func readExtension(list *cryptobyte.String) (oid cms.OID, critical bool, value cryptobyte.String, ok bool) {
	var extension cryptobyte.String
	ok = list.ReadASN1(&extension, asn1.SEQUENCE) && cms.ReadOID(&extension, &oid) &&
		(!extension.PeekASN1Tag(asn1.BOOLEAN) || extension.ReadASN1Boolean(&critical)) &&
		extension.ReadASN1(&value, asn1.OCTET_STRING) && extension.Empty()
	return oid, critical, value, ok
}

func (l *List) readExtensions(body cryptobyte.String) error {
	var wrapped, list cryptobyte.String
	var has bool
	if !body.ReadOptionalASN1(&wrapped, &has, explicit(0)) || !body.Empty() || has && !wrapped.ReadASN1(&list, asn1.SEQUENCE) {
		return wrong("extensions")
	}
	for !list.Empty() {
		oid, critical, value, ok := readExtension(&list)
		if !ok {
			return wrong("extensions")
		}
		switch oid {
		case "2.5.29.20":
			l.Number = new(big.Int)
			if !value.ReadASN1Integer(l.Number) || !value.Empty() {
				return wrong("cRLNumber")
			}
		case "2.5.29.28":
			if err := l.scope.read(value); err != nil {
				return err
			}
		case "2.5.29.60":
			if !value.ReadASN1GeneralizedTime(&l.Kept) || !value.Empty() {
				return wrong("expiredCertsOnCRL")
			}
		case "2.5.29.27":
			return wrong("it lists changes only")
		default:
			if critical {
				return wrong("unknown critical extension %s", oid)
			}
		}
	}
	return nil
}

// read reads issuingDistributionPoint (RFC 5280 5.2.5).
func (s *scope) read(value cryptobyte.String) error {
	var body, name, full cryptobyte.String
	var attributes, some, indirect bool
	s.present = true
	flag := func(tag uint8, out *bool) bool {
		var content cryptobyte.String
		var has bool
		ok := body.ReadOptionalASN1(&content, &has, asn1.Tag(tag).ContextSpecific())
		*out = has && len(content) == 1 && content[0] != 0
		return ok
	}
	var reasons cryptobyte.String
	if !value.ReadASN1(&body, asn1.SEQUENCE) || !value.Empty() || !body.ReadOptionalASN1(&name, &s.named, explicit(0)) ||
		!flag(1, &s.users) || !flag(2, &s.cas) || !body.ReadOptionalASN1(&reasons, &some, asn1.Tag(3).ContextSpecific()) ||
		!flag(4, &indirect) || !flag(5, &attributes) || !body.Empty() {
		return wrong("issuingDistributionPoint")
	}
	switch {
	case some:
		s.unsupported = "it is for some reasons only"
	case indirect:
		s.unsupported = "it speaks for other issuers"
	case attributes:
		s.unsupported = "it is for attribute certificates"
	}
	if s.named && name.ReadASN1(&full, explicit(0)) {
		for !full.Empty() {
			var general cryptobyte.String
			var tag asn1.Tag
			if !full.ReadAnyASN1(&general, &tag) {
				return wrong("issuingDistributionPoint")
			}
			if tag == asn1.Tag(6).ContextSpecific() {
				s.points = append(s.points, string(general))
			}
		}
	}
	return nil
}

// covers tells whether the scope takes a certificate in (RFC 5280 6.3.3 b).
func (s *scope) covers(c *x509.Certificate) error {
	switch {
	case !s.present:
	case s.unsupported != "":
		return wrong("%s", s.unsupported)
	case s.users && c.IsCA, s.cas && !c.IsCA:
		return wrong("it is for another kind of certificate")
	case s.named && !slices.ContainsFunc(s.points, func(p string) bool { return slices.Contains(c.CRLDistributionPoints, p) }):
		return wrong("it belongs to another distribution point")
	}
	return nil
}

// Verify checks that the issuer of the certificate signed the list and that the
// list is about certificates like it.
func (l *List) Verify(certificate, issuer *x509.Certificate) error {
	switch {
	case !bytes.Equal(l.Issuer, issuer.RawSubject) || !bytes.Equal(certificate.RawIssuer, issuer.RawSubject):
		return wrong("it comes from another issuer")
	case issuer.KeyUsage != 0 && issuer.KeyUsage&x509.KeyUsageCRLSign == 0:
		return wrong("its issuer may not sign lists")
	}
	if err := l.scope.covers(certificate); err != nil {
		return err
	}
	if err := l.verify()(issuer.PublicKey, l.algorithm, l.tbs, l.value); err != nil {
		return wrong("%v", err)
	}
	return nil
}

// verify is the check of the signature, which is milder with old lists.
func (l *List) verify() func(key crypto.PublicKey, algorithm, message, value []byte) error {
	if l.ThisUpdate.Before(cms.SHA1Trusted()) {
		return cms.VerifyOldValue
	}
	return cms.VerifyValue
}

// Lookup returns the entry of a serial number, nil when it is not listed.
func (l *List) Lookup(serial *big.Int) (*Entry, error) {
	wanted := derInteger(serial)
	entries := l.entries
	for !entries.Empty() {
		var entry, number, list cryptobyte.String
		if !entries.ReadASN1(&entry, asn1.SEQUENCE) || !entry.ReadASN1Element(&number, asn1.INTEGER) {
			return nil, wrong("revokedCertificates")
		}
		if !bytes.Equal(number, wanted) {
			continue
		}
		e := new(Entry)
		if !readTime(&entry, &e.RevokedAt) || !entry.Empty() && !entry.ReadASN1(&list, asn1.SEQUENCE) {
			return nil, wrong("revokedCertificates")
		}
		for !list.Empty() {
			oid, critical, value, ok := readExtension(&list)
			switch {
			case !ok:
				return nil, wrong("entry extensions")
			case oid == "2.5.29.21":
				if !value.ReadASN1Enum(&e.Reason) {
					return nil, wrong("reasonCode")
				}
			case critical:
				return nil, wrong("unknown critical extension %s", oid)
			}
		}
		return e, nil
	}
	return nil, nil
}

func derInteger(n *big.Int) []byte {
	var b cryptobyte.Builder
	b.AddASN1BigInt(n)
	return b.BytesOrPanic()
}
