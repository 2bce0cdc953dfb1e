package certpath_test

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/eidbridge/eidbridge/fixtures/signers"
	"github.com/eidbridge/eidbridge/signing/certpath"
)

func TestFindFetchesMissingIssuers(t *testing.T) {
	country := signers.NewCountry(t)
	leaf, root, client := country.Citizen.Certificate, country.Roots()[0], country.Client
	for _, c := range []struct {
		name string
		o    certpath.Options
		want error
	}{
		{"all given", certpath.Options{Anchors: country.Roots(), Candidates: country.Issuers()}, nil},
		{"fetched", certpath.Options{Anchors: country.Roots(), Fetch: client}, nil},
		{"fetched up to a self-signed one", certpath.Options{Fetch: client}, nil},
		{"no issuer", certpath.Options{Anchors: country.Roots()}, certpath.ErrNoPath},
		{"another anchor", certpath.Options{Anchors: []*x509.Certificate{country.ServicesCA()}, Fetch: client}, certpath.ErrNoPath},
		{"a root beside it is no anchor (P-22)", certpath.Options{Anchors: []*x509.Certificate{country.ServicesCA()}, Candidates: append(country.Issuers(), root)}, certpath.ErrNoPath},
		{"too late", certpath.Options{Anchors: country.Roots(), Candidates: country.Issuers(), Time: time.Now().AddDate(9, 0, 0)}, certpath.ErrValidity},
	} {
		path, err := certpath.Find(t.Context(), leaf, c.o)
		if !errors.Is(err, c.want) || err == nil && (len(path) != 3 || !path[2].Equal(root)) {
			t.Errorf("%s: %d certificates, %v", c.name, len(path), err)
		}
	}
}

// TestFindIsBounded (P-77) offers ten thousand intermediates of the right name
// and a ring of cross-certificates.
func TestFindIsBounded(t *testing.T) {
	m := newMint(t)
	issue := func(subject, issuer string) *x509.Certificate {
		return m.issue(pkix.Name{CommonName: subject}, &x509.Certificate{Subject: pkix.Name{CommonName: issuer}}, nil)
	}
	anchor := issue("elsewhere", "elsewhere")
	var crowd []*x509.Certificate
	for i := range 7 {
		crowd = append(crowd, issue("A", fmt.Sprint("B", i)))
	}
	for i := range 10_000 { // the same again, told apart by a byte behind
		c := *crowd[i%7]
		c.Raw = fmt.Appendf(slices.Clone(c.Raw), "%d", i)
		crowd = append(crowd, &c)
	}
	for i := range 7 {
		crowd = append(crowd, issue(fmt.Sprint("B", i), "A"), issue(fmt.Sprint("B", i), fmt.Sprint("B", (i+1)%7)))
	}
	begin := time.Now()
	_, err := certpath.Find(t.Context(), issue("leaf", "A"), certpath.Options{Anchors: []*x509.Certificate{anchor}, Candidates: crowd})
	if !errors.Is(err, certpath.ErrNoPath) || time.Since(begin) > 30*time.Second {
		t.Errorf("%v after %s", err, time.Since(begin))
	}
}
