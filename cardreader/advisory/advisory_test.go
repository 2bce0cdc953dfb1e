package advisory_test

import (
	"crypto"
	"crypto/sha256"
	"errors"
	"strings"
	"testing"

	"github.com/eidbridge/eidbridge/cardreader"
	"github.com/eidbridge/eidbridge/cardreader/advisory"
	"github.com/eidbridge/eidbridge/cardreader/cardtest"
	"github.com/eidbridge/eidbridge/cardreader/esteid"
	"github.com/eidbridge/eidbridge/fixtures/cards"
	"github.com/eidbridge/eidbridge/fixtures/holders"
)

func parse(t *testing.T, text string) advisory.Policy {
	t.Helper()
	p, err := advisory.Parse(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func inserted(t *testing.T) (*cardtest.Reader, *cardreader.Cards) {
	t.Helper()
	card, err := holders.Card(t, cards.KindEstEID).New()
	if err != nil {
		t.Fatal(err)
	}
	reader := cardtest.New(card)
	return reader, &cardreader.Cards{Service: reader, Drivers: []cardreader.Driver{esteid.Driver{}}}
}

// Threat C-38: Minerva (CVE-2019-15809), EUCLEAK (CVE-2024-45678). A policy names
// the certificates; they are warned of, or not used at all.
func TestPolicyWarnsOfWeakChipsOrForbidsThem(t *testing.T) {
	reader, c := inserted(t)
	find := func(source cardreader.Source) *cardreader.Found {
		found, err := source.Find(t.Context(), cardreader.Selection{Usage: cardreader.UsageSignature})
		if err != nil {
			t.Fatal(err)
		}
		return found
	}
	certificate := find(c.Source()).Credential.Certificate
	day := func(offset int) string {
		return certificate.NotBefore.AddDate(0, 0, offset).UTC().Format("2006-01-02T15:04:05Z")
	}
	for _, test := range []struct {
		name, rule  string
		about, uses bool
	}{
		{"no rule", ``, false, true},
		{"its family, warned of", `{"id":"X-1","reason":"r","family":"EstEID 2018"}`, true, true},
		{"its family, forbidden", `{"id":"X-1","reason":"r","family":"EstEID 2018","forbid":true}`, true, false},
		{"another family", `{"id":"X-1","reason":"r","family":"DNIe","forbid":true}`, false, true},
		{"its issuer", `{"id":"X-1","reason":"r","issuer":"` + certificate.Issuer.CommonName + `","forbid":true}`, true, false},
		{"its key", `{"id":"X-1","reason":"r","key":"ECDSA","forbid":true}`, true, false},
		{"another key", `{"id":"X-1","reason":"r","key":"RSA","forbid":true}`, false, true},
		{"its time", `{"id":"X-1","reason":"r","issuedFrom":"` + day(-1) + `","issuedBefore":"` + day(1) + `","forbid":true}`, true, false},
		{"before its time", `{"id":"X-1","reason":"r","issuedBefore":"` + day(0) + `","forbid":true}`, false, true},
		{"after its time", `{"id":"X-1","reason":"r","issuedFrom":"` + day(1) + `","forbid":true}`, false, true},
		{"one of two", `{"id":"X-1","reason":"r","key":"ECDSA"},{"id":"X-2","reason":"r","key":"ECDSA","forbid":true}`, true, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			policy := parse(t, `{"rules":[`+test.rule+`]}`)
			if got := policy.About("EstEID 2018", certificate); (len(got) > 0) != test.about {
				t.Errorf("advisories %+v", got)
			}
			source := policy.Source(c.Source())
			found := find(source)
			reader.Sent()
			digest := sha256.Sum256([]byte("a document"))
			_, err := source.Signer(t.Context(), found, cardtest.Typed("12345")).Sign(nil, digest[:], crypto.SHA256)
			if test.uses {
				if err != nil {
					t.Error(err)
				}
				return
			}
			refused, ok := errors.AsType[*advisory.ForbiddenError](err)
			if !ok || refused.Rule.ID == "" || reader.Count(0x20) != 0 || len(reader.Sent()) != 0 {
				t.Errorf("%v, %d VERIFY", err, reader.Count(0x20))
			}
		})
	}
}

func TestMalformedPolicyIsRefused(t *testing.T) {
	for name, text := range map[string]string{
		"empty":              ``,
		"no object":          `[]`,
		"misspelt field":     `{"rules":[{"id":"X","reason":"r","familly":"DNIe"}]}`,
		"field twice":        `{"rules":[],"rules":[]}`,
		"rule for every key": `{"rules":[{"id":"X","reason":"r","forbid":true}]}`,
		"rule without id":    `{"rules":[{"reason":"r","key":"RSA"}]}`,
		"unknown algorithm":  `{"rules":[{"id":"X","reason":"r","key":"DSA"}]}`,
		"no time":            `{"rules":[{"id":"X","reason":"r","issuedFrom":"2018"}]}`,
		"too long":           `{"rules":[]}` + strings.Repeat(" ", 1<<20),
		"too many rules":     `{"rules":[` + strings.TrimSuffix(strings.Repeat(`{"id":"X","reason":"r","key":"RSA"},`, 1001), ",") + `]}`,
	} {
		if _, err := advisory.Parse(strings.NewReader(text)); !errors.Is(err, advisory.ErrMalformed) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add(`{"rules":[{"id":"X","reason":"r","key":"RSA"}]}`)
	f.Fuzz(func(t *testing.T, text string) {
		p, err := advisory.Parse(strings.NewReader(text))
		if err != nil {
			return
		}
		for _, rule := range p.Rules {
			if rule.ID == "" || rule.Reason == "" {
				t.Errorf("%+v", rule)
			}
		}
	})
}
