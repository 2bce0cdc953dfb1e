package validation_test

import (
	"crypto/rand"
	"crypto/x509"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/eidbridge/eidbridge/signing"
)

// TestAnchorsAreReliedOnForATime: what a trusted list says of an authority counts for
// when it issued the signer's certificate and for when the signature was made, of a
// time-stamping unit for when it stamped, of a responder for when it was needed
// (TS 119 615 4.4, 4.5). What is said of other times does not count.
func TestAnchorsAreReliedOnForATime(t *testing.T) {
	l := newLab(t)
	r := l.newRealm(t, situation{name: "relied", level: signing.BaselineLT, signedAgo: 4 * week, signer: validity(-year, year)})
	signed := r.now.Add(-r.signedAgo)
	r.set(signed)
	issued := r.signer.certificate.NotBefore
	isUnit := func(c *x509.Certificate) bool { return c.Equal(r.unit.certificate) }
	isIssuer := func(c *x509.Certificate) bool { return c.Equal(r.issuer.certificate) }
	within := func(at, around time.Time) bool { return at.Sub(around).Abs() < day }
	for _, form := range []string{".xml", ".p7m", ".asice", ".pdf"} {
		r.set(signed)
		document := l.signed(t, r, form)
		for _, row := range []struct {
			name   string
			relied func(c *x509.Certificate, at time.Time) bool
			want   string
		}{
			{"always", func(*x509.Certificate, time.Time) bool { return true }, "TOTAL_PASSED"},
			{"not now", func(_ *x509.Certificate, at time.Time) bool { return at.Before(r.now.Add(-week)) }, "TOTAL_PASSED"},
			{"never", func(*x509.Certificate, time.Time) bool { return false }, "INDETERMINATE/NO_CERTIFICATE_CHAIN_FOUND"},
			{"issuer not when it issued", func(c *x509.Certificate, at time.Time) bool { return !isIssuer(c) || !within(at, issued) }, "INDETERMINATE/NO_CERTIFICATE_CHAIN_FOUND"},
			{"issuer not when signed", func(c *x509.Certificate, at time.Time) bool { return !isIssuer(c) || !within(at, signed) }, "INDETERMINATE/NO_CERTIFICATE_CHAIN_FOUND"},
			{"unit not when it stamped", func(c *x509.Certificate, at time.Time) bool { return !isUnit(c) || !within(at, signed) }, "INDETERMINATE/TRY_LATER"},
		} {
			o := signing.VerifyOptions{
				Time: time.Now(), Relied: row.relied,
				Roots: []*x509.Certificate{r.issuer.certificate, r.unit.certificate},
			}
			if got, _, _ := strings.Cut(words(verify(form, document, nil, o)), " "); got != row.want {
				t.Errorf("%s%s: %s, want %s", row.name, form, got, row.want)
			}
		}
	}
}

// TestAuthoritiesWithSeveralCertificates: a list may have several certificates of one
// authority, each with a history of its own; one that can be relied on is enough.
func TestAuthoritiesWithSeveralCertificates(t *testing.T) {
	l := newLab(t)
	r := l.newRealm(t, situation{name: "twins", level: signing.BaselineLT, signer: validity(-year, year)})
	r.set(r.now)
	document := l.signed(t, r, ".xml")
	issued := r.signer.certificate.NotBefore
	template := authority()
	template.Subject, template.SerialNumber = r.issuer.certificate.Subject, big.NewInt(7)
	template.NotBefore, template.NotAfter = r.issuer.certificate.NotBefore, r.issuer.certificate.NotAfter
	raw, err := x509.CreateCertificate(rand.Reader, &template, &template, r.issuer.key.Public(), r.issuer.key)
	if err != nil {
		t.Fatal(err)
	}
	twin, err := x509.ParseCertificate(raw)
	if err != nil {
		t.Fatal(err)
	}
	roots := []*x509.Certificate{twin, r.issuer.certificate, r.unit.certificate}
	for _, row := range []struct {
		name   string
		relied func(c *x509.Certificate, at time.Time) bool
		want   string
	}{
		{"never one", func(c *x509.Certificate, _ time.Time) bool { return !c.Equal(twin) }, "TOTAL_PASSED"},
		{"never the other", func(c *x509.Certificate, _ time.Time) bool { return !c.Equal(r.issuer.certificate) }, "TOTAL_PASSED"},
		{"one not when it issued", func(c *x509.Certificate, at time.Time) bool { return !c.Equal(twin) || !at.Equal(issued) }, "TOTAL_PASSED"},
		{"the other not when it issued", func(c *x509.Certificate, at time.Time) bool {
			return !c.Equal(r.issuer.certificate) || !at.Equal(issued)
		}, "TOTAL_PASSED"},
		{"neither when it issued", func(_ *x509.Certificate, at time.Time) bool { return !at.Equal(issued) }, "INDETERMINATE/NO_CERTIFICATE_CHAIN_FOUND"},
	} {
		o := signing.VerifyOptions{Time: time.Now(), Relied: row.relied, Roots: roots}
		if got, _, _ := strings.Cut(words(verify(".xml", document, nil, o)), " "); got != row.want {
			t.Errorf("%s: %s, want %s", row.name, got, row.want)
		}
	}
}
