package certpath_test

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"testing"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"

	"github.com/eidbridge/eidbridge/signing/certpath"
)

// subtree is one name in an extension of name constraints.
type subtree struct {
	excluded bool
	tag      uint8 // of GeneralName
	name     pkix.Name
}

func constraints(t *testing.T, all ...subtree) pkix.Extension {
	t.Helper()
	var b cryptobyte.Builder
	b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
		for i, excluded := range []bool{false, true} {
			var inner cryptobyte.Builder
			for _, s := range all {
				if s.excluded != excluded {
					continue
				}
				der, err := asn1.Marshal(s.name.ToRDNSequence())
				if err != nil {
					t.Fatal(err)
				}
				inner.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
					b.AddASN1(cbasn1.Tag(s.tag).Constructed().ContextSpecific(), func(b *cryptobyte.Builder) { b.AddBytes(der) })
				})
			}
			if content := inner.BytesOrPanic(); len(content) > 0 {
				b.AddASN1(cbasn1.Tag(i).Constructed().ContextSpecific(), func(b *cryptobyte.Builder) { b.AddBytes(content) })
			}
		}
	})
	return pkix.Extension{Id: asn1.ObjectIdentifier{2, 5, 29, 30}, Critical: true, Value: b.BytesOrPanic()}
}

// TestNameConstraintsOnDirectoryNames: RFC 5280 4.2.1.10, with the comparison of 7.1.
func TestNameConstraintsOnDirectoryNames(t *testing.T) {
	m := newMint(t)
	issue := func(subject pkix.Name, by *x509.Certificate, extensions ...pkix.Extension) *x509.Certificate {
		t.Helper()
		return m.issue(subject, by, func(c *x509.Certificate) {
			c.IsCA, c.ExtraExtensions = subject.CommonName != "leaf", extensions
		})
	}
	country := func(c string) pkix.Name { return pkix.Name{Country: []string{c}} }
	agency := pkix.Name{Country: []string{"EE"}, Organization: []string{"  some  AGENCY"}}
	const directory, otherName = 4, 0
	root := issue(pkix.Name{CommonName: "root"}, nil)
	for _, c := range []struct {
		name  string
		limit []subtree
		want  error
	}{
		{"permitted country", []subtree{{false, directory, country("EE")}}, nil},
		{"another case", []subtree{{false, directory, country("ee")}}, nil},
		{"permitted organisation", []subtree{{false, directory, agency}}, nil},
		{"one of two", []subtree{{false, directory, country("LV")}, {false, directory, country("EE")}}, nil},
		{"another country permitted", []subtree{{false, directory, country("LV")}}, certpath.ErrRule},
		{"excluded country", []subtree{{true, directory, country("EE")}}, certpath.ErrRule},
		{"another country excluded", []subtree{{true, directory, country("LV")}}, nil},
		{"permitted, but for an organisation", []subtree{{false, directory, country("EE")}, {true, directory, agency}}, certpath.ErrRule},
		{"a form that nobody judges", []subtree{{false, directory, country("EE")}, {true, otherName, country("LV")}}, certpath.ErrRule},
	} {
		issuer := issue(pkix.Name{CommonName: "issuer"}, root, constraints(t, c.limit...))
		leaf := issue(pkix.Name{Country: []string{"EE"}, Organization: []string{"Some Agency"}, CommonName: "leaf"}, issuer)
		path, err := certpath.Find(t.Context(), leaf, certpath.Options{Anchors: []*x509.Certificate{root}, Candidates: []*x509.Certificate{issuer}})
		if !errors.Is(err, c.want) || err == nil && len(path) != 3 {
			t.Errorf("%s: %d certificates, %v; want %v", c.name, len(path), err, c.want)
		}
	}
	// A limit at the top holds for all below.
	issuer := issue(pkix.Name{Country: []string{"EE"}, CommonName: "issuer"}, root, constraints(t, subtree{false, directory, country("EE")}))
	lower := issue(pkix.Name{Country: []string{"EE"}, CommonName: "lower"}, issuer)
	for _, of := range []struct {
		country string
		want    error
	}{{"EE", nil}, {"LV", certpath.ErrRule}} {
		leaf := issue(pkix.Name{Country: []string{of.country}, CommonName: "leaf"}, lower)
		_, err := certpath.Find(t.Context(), leaf, certpath.Options{Anchors: []*x509.Certificate{root}, Candidates: []*x509.Certificate{issuer, lower}})
		if !errors.Is(err, of.want) {
			t.Errorf("two authorities, %s: %v", of.country, err)
		}
	}
}
