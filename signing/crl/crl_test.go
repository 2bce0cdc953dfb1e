package crl_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"math/big"
	"testing"
	"time"

	"github.com/eidbridge/eidbridge/fixtures/pki"
	"github.com/eidbridge/eidbridge/fixtures/signers"
	"github.com/eidbridge/eidbridge/signing/crl"
)

func TestGetFromTheLab(t *testing.T) {
	country := signers.NewCountry(t)
	client := &crl.Client{Fetch: country.Client}
	issuer, root := country.Issuers()[0], country.Roots()[0]
	for _, revoked := range []bool{false, true} {
		if revoked {
			if err := country.Revoke(issuer, time.Now().Add(-time.Hour), pki.CessationOfOperation); err != nil {
				t.Fatal(err)
			}
		}
		l, err := client.Get(t.Context(), issuer, root)
		if err != nil {
			t.Fatal(err)
		}
		if l.Number == nil || l.NextUpdate.IsZero() {
			t.Errorf("list %+v", l)
		}
		entry, err := l.Lookup(issuer.SerialNumber)
		if err != nil || (entry != nil) != revoked || revoked && entry.Reason != 5 {
			t.Errorf("revoked %v: %+v, %v", revoked, entry, err)
		}
		if other, err := l.Lookup(big.NewInt(1)); other != nil || err != nil {
			t.Errorf("another number: %+v, %v", other, err)
		}
	}
	client.Clock = func() time.Time { return time.Now().Add(48 * time.Hour) }
	if _, err := client.Get(t.Context(), issuer, root); !errors.Is(err, crl.ErrList) {
		t.Errorf("out of date: %v", err)
	}
}

// specimens makes an issuer, a leaf and lists with given extensions.
type specimens struct {
	key          *ecdsa.PrivateKey
	issuer, leaf *x509.Certificate
}

func newSpecimens(t testing.TB) specimens {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	s := specimens{key: key}
	make := func(template, parent *x509.Certificate) *x509.Certificate {
		template.NotBefore, template.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
		raw, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), key)
		if err != nil {
			t.Fatal(err)
		}
		c, err := x509.ParseCertificate(raw)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	ca := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "CA"}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCRLSign | x509.KeyUsageCertSign,
	}
	s.issuer = make(ca, ca)
	s.leaf = make(&x509.Certificate{SerialNumber: big.NewInt(200), Subject: pkix.Name{CommonName: "leaf"}, CRLDistributionPoints: []string{"http://a.invalid/c"}}, s.issuer)
	return s
}

func (s specimens) list(t testing.TB, extensions ...pkix.Extension) []byte {
	t.Helper()
	raw, err := x509.CreateRevocationList(rand.Reader, &x509.RevocationList{
		Number: big.NewInt(3), ThisUpdate: time.Now(), NextUpdate: time.Now().Add(time.Hour), ExtraExtensions: extensions,
		RevokedCertificateEntries: []x509.RevocationListEntry{{SerialNumber: big.NewInt(200), RevocationTime: time.Now(), ReasonCode: 6}},
	}, s.issuer, s.key)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// TestListsOutOfScopeAreNotUsed (P-24): delta, indirect, for other kinds, of
// another issuer, changed.
func TestListsOutOfScopeAreNotUsed(t *testing.T) {
	s, other := newSpecimens(t), newSpecimens(t)
	point := func(value ...byte) pkix.Extension {
		return pkix.Extension{Id: []int{2, 5, 29, 28}, Critical: true, Value: append([]byte{0x30, byte(len(value))}, value...)}
	}
	name := func(uri string) []byte {
		b := append([]byte{0x86, byte(len(uri))}, uri...)
		for _, tag := range []byte{0xA0, 0xA0} {
			b = append([]byte{tag, byte(len(b))}, b...)
		}
		return b
	}
	for _, c := range []struct {
		label string
		raw   []byte
		ok    bool
	}{
		{"plain", s.list(t), true},
		{"for users", s.list(t, point(0x81, 1, 0xFF)), true},
		{"for this distribution point", s.list(t, point(name("http://a.invalid/c")...)), true},
		{"for another distribution point", s.list(t, point(name("http://b.invalid/c")...)), false},
		{"for authorities", s.list(t, point(0x82, 1, 0xFF)), false},
		{"for some reasons", s.list(t, point(0x83, 2, 1, 6)), false},
		{"indirect", s.list(t, point(0x84, 1, 0xFF)), false},
		{"for attribute certificates", s.list(t, point(0x85, 1, 0xFF)), false},
		{"delta", s.list(t, pkix.Extension{Id: []int{2, 5, 29, 27}, Critical: true, Value: []byte{2, 1, 1}}), false},
		{"unknown critical extension", s.list(t, pkix.Extension{Id: []int{1, 2, 3}, Critical: true, Value: []byte{5, 0}}), false},
		{"of a namesake", other.list(t), false},
	} {
		l, err := crl.Parse(c.raw)
		if err == nil {
			err = l.Verify(s.leaf, s.issuer)
		}
		if (err == nil) != c.ok || err != nil && !errors.Is(err, crl.ErrList) {
			t.Errorf("%s: %v", c.label, err)
		}
		if c.ok {
			if entry, err := l.Lookup(s.leaf.SerialNumber); err != nil || entry == nil || entry.Reason != 6 {
				t.Errorf("%s: entry %+v, %v", c.label, entry, err)
			}
		}
	}
}

func FuzzCRL(f *testing.F) {
	s := newSpecimens(f)
	f.Add(s.list(f))
	f.Fuzz(func(t *testing.T, raw []byte) {
		l, err := crl.Parse(raw)
		if err != nil {
			if !errors.Is(err, crl.ErrList) {
				t.Errorf("untyped error %v", err)
			}
			return
		}
		if _, err := l.Lookup(big.NewInt(200)); err != nil && !errors.Is(err, crl.ErrList) {
			t.Errorf("untyped error %v", err)
		}
		if l.Verify(s.leaf, s.issuer) == nil {
			if e, err := l.Lookup(big.NewInt(200)); e == nil || err != nil {
				t.Error("a list that was never made")
			}
		}
	})
}
