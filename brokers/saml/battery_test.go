package saml_test

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/eidbridge/eidbridge/brokers/saml"
	"github.com/eidbridge/eidbridge/fixtures/idps/badidp"
)

var batteryNow = time.Date(2026, 3, 2, 9, 15, 30, 0, time.UTC)

func batteryExchange() badidp.Exchange {
	return badidp.Exchange{
		IdP: "https://bad.example/metadata", SP: "https://broker.example/metadata", ACS: "https://broker.example/acs",
		RequestID: "_request1", RelayState: "handle", Now: batteryNow,
		Person: badidp.Person{NameID: "alice", Attributes: []badidp.Attribute{{Name: "urn:example:name", Value: "Alice"}}},
		Class:  "http://eidas.europa.eu/LoA/substantial",
	}
}

func batteryExpectation(x badidp.Exchange, k *badidp.Keys) saml.Expectation {
	return saml.Expectation{
		Issuer: x.IdP, Certificates: k.Certificates(), Audience: x.SP, Recipient: x.ACS,
		RequestID: x.RequestID, RequestedAt: x.Now.Add(-time.Minute), Now: x.Now, Skew: saml.DefaultSkew,
	}
}

// TestBattery lets the bad identity provider answer with every fault, to service
// providers that demand one signature, the other, or both (X-95: one base message,
// one change each; X-18: the published attacks by what they do). What depends on a
// login (RelayState, browser, level, replay) is tested where there is one.
func TestBattery(t *testing.T) {
	keys, err := badidp.NewKeys(batteryNow)
	if err != nil {
		t.Fatal(err)
	}
	login := []string{"relay_state", "browser", "level", "replay"}
	faults := 0
	for name, demanded := range map[string]saml.Coverage{
		"response": {Response: true}, "assertion": {Assertion: true}, "both": {Response: true, Assertion: true},
	} {
		for _, f := range badidp.Battery() {
			x := batteryExchange()
			x.Both = demanded.Response && demanded.Assertion
			x.ClearAssertion = !demanded.Assertion
			if !f.Fits(x) || slices.ContainsFunc(f.Checks(), func(c string) bool { return slices.Contains(login, c) }) {
				continue
			}
			faults++
			t.Run(name+"/"+f.Name, func(t *testing.T) {
				d, err := f.Answer(x, keys)
				if err != nil {
					t.Fatal(err)
				}
				e := batteryExpectation(x, keys)
				e.Signed = demanded
				r, err := d.Request(t.Context(), x.ACS)
				if err != nil {
					t.Fatal(err)
				}
				message, _, err := saml.ReadPOST(r)
				var got *saml.Assertion
				if err == nil {
					got, err = saml.ValidateResponse(message, e)
				}
				judgeFault(t, f, got != nil, err)
			})
		}
	}
	if faults < 300 {
		t.Errorf("only %d faults were tried", faults)
	}
}

// TestPublishedAttacks names, for each published weakness of a SAML library, the
// faults that do what it let happen. TestBattery tries them.
func TestPublishedAttacks(t *testing.T) {
	for published, faults := range map[string][]string{
		"ruby-saml CVE-2016-5697":                        {"xsw5-signature-moved", "xsw4-signed-in-evil"},
		"pysaml2 CVE-2021-21238":                         {"xsw2-response-beside-signature", "signed-in-unknown"},
		"pysaml2 CVE-2021-21239":                         {"response-key-value", "assertion-key-value", "response-hmac-public-key"},
		"samlify CVE-2025-47949":                         {"xsw3-evil-before", "response-signature-copied"},
		"node-saml CVE-2025-54369, CVE-2025-54419":       {"evil-second-in-signed-response", "attributes-added", "changed-after-signing"},
		"crewjam/saml CVE-2022-41912":                    {"xsw3-evil-before", "evil-after"},
		"Lasso CVE-2021-28091":                           {"evil-after"},
		"xml-crypto CVE-2025-29774, CVE-2025-29775":      {"response-two-signedinfo", "response-comment-in-digest"},
		"Keycloak CVE-2024-8698":                         {"response-foreign-uri", "wrapped-in-envelope"},
		"authentik CVE-2026-47201, GitHub CVE-2024-9487": {"encrypted-by-anybody", "response-expired-key"},
	} {
		for _, name := range faults {
			if _, ok := badidp.Find(name); !ok {
				t.Errorf("%s: no fault is called %s", published, name)
			}
		}
	}
}

func judgeFault(t *testing.T, f badidp.Fault, accepted bool, err error) {
	t.Helper()
	switch {
	case f.Valid && err != nil:
		t.Errorf("control is refused: %v", err)
	case f.Valid:
	case accepted || err == nil:
		t.Errorf("accepted: %s", f.What)
	case !slices.Contains(f.Checks(), reasonOf(err)):
		t.Errorf("refused for %v, want one of %v", err, f.Checks())
	}
}

func reasonOf(err error) string {
	var status *saml.StatusError
	if errors.As(err, &status) {
		return "status"
	}
	return string(saml.ReasonOf(err))
}
