package certpath_test

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/eidbridge/eidbridge/signing/certpath"
)

// TestFindWithCrowdedCertificates (P-77): many names, many constraints on names and many
// mappings of policies, which no path asks for, cost little, and a constraint counts.
func TestFindWithCrowdedCertificates(t *testing.T) {
	m := newMint(t)
	issue := func(subject string, parent *x509.Certificate, change func(*x509.Certificate)) *x509.Certificate {
		return m.issue(pkix.Name{CommonName: subject}, parent, change)
	}
	root := issue("root", nil, nil)
	type mapping struct{ Issuer, Subject asn1.ObjectIdentifier }
	var mappings []mapping
	for i := range 10_000 {
		mappings = append(mappings, mapping{asn1.ObjectIdentifier{2, 999, i}, asn1.ObjectIdentifier{2, 999, i + 1}})
	}
	mapped, err := asn1.Marshal(mappings)
	if err != nil {
		t.Fatal(err)
	}
	many := func(c *x509.Certificate) {
		c.IsCA, c.BasicConstraintsValid = false, false
		for i := range 100_000 {
			c.DNSNames = append(c.DNSNames, fmt.Sprintf("a%d.example", i))
		}
	}
	for _, row := range []struct {
		name         string
		intermediate func(*x509.Certificate)
		leaf         func(*x509.Certificate)
		want         error
	}{
		{"100,000 names", nil, many, nil},
		{"100,000 names, 1,000 constraints", func(c *x509.Certificate) {
			c.PermittedDNSDomainsCritical = true
			for i := range 1000 {
				c.ExcludedDNSDomains = append(c.ExcludedDNSDomains, fmt.Sprintf("b%d.example", i))
			}
		}, many, nil},
		{"100,000 names, one of them excluded", func(c *x509.Certificate) {
			c.PermittedDNSDomainsCritical = true
			c.ExcludedDNSDomains = []string{"a99999.example"}
		}, many, certpath.ErrRule},
		{"10,000 mappings of policies", func(c *x509.Certificate) {
			c.ExtraExtensions = []pkix.Extension{{Id: asn1.ObjectIdentifier{2, 5, 29, 33}, Value: mapped}}
		}, nil, nil},
	} {
		t.Run(row.name, func(t *testing.T) {
			between := issue("between", root, row.intermediate)
			leaf := issue("leaf", between, row.leaf)
			begin := time.Now()
			path, err := certpath.Find(t.Context(), leaf, certpath.Options{Anchors: []*x509.Certificate{root}, Candidates: []*x509.Certificate{between}})
			if !errors.Is(err, row.want) || err == nil && len(path) != 3 {
				t.Errorf("%d certificates, %v", len(path), err)
			}
			if took := time.Since(begin); took > 30*time.Second {
				t.Errorf("took %s", took)
			}
		})
	}
}
