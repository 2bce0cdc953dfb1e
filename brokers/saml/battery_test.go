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
// providers that demand one signature, the other, or both. What depends on a
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
