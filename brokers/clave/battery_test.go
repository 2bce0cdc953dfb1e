package clave

import (
	"context"
	"net/http"
	"slices"
	"testing"

	"github.com/eidbridge/eidbridge/brokers/brokertest"
	"github.com/eidbridge/eidbridge/fixtures/idps/badidp"
	"github.com/eidbridge/eidbridge/levels"
)

// TestBattery lets a gateway that misbehaves on purpose answer real requests with
// every fault of fixtures/idps/badidp.
func TestBattery(t *testing.T) {
	now := testConfig().Clock()
	keys, err := badidp.NewKeys(now)
	if err != nil {
		t.Fatal(err)
	}
	for _, signed := range []bool{false, true} {
		u := newUpstream(t, func(c *Config) {
			c.SignedAssertions = signed
			c.GatewayCertificates = nil
			for _, certificate := range keys.Certificates() {
				c.GatewayCertificates = append(c.GatewayCertificates, TrustedCertificate{Certificate: certificate})
			}
		})
		for _, f := range badidp.Battery() {
			x := badidp.Exchange{
				IdP: gatewayID, SP: acs, ACS: acs, RequestID: "_", RelayState: state, Now: now,
				Class: eidas + "substantial", Lower: eidas + "low", ClearAssertion: !signed, Both: signed,
				Person: badidp.Person{NameID: "opaque", Format: "urn:oasis:names:tc:SAML:2.0:nameid-format:persistent"},
			}
			for _, a := range goodAnswer().attributes {
				x.Person.Attributes = append(x.Person.Attributes, badidp.Attribute{Name: a.name, FriendlyName: a.friendly, Value: a.value})
			}
			// Which browser asked is the provider's to know.
			if !f.Fits(x) || slices.Contains(f.Checks(), "browser") {
				continue
			}
			name := "response signed/"
			if signed {
				name = "both signed/"
			}
			t.Run(name+f.Name, func(t *testing.T) {
				d := start(t, u, request("clave-permanente-sms", levels.Substantial))
				x.RequestID = d.RequestID
				out, err := f.Answer(x, keys)
				if err != nil {
					t.Fatal(err)
				}
				event, err := u.Finish(context.Background(), delivered(t, out), d)
				if out.Again {
					if err != nil {
						t.Fatalf("first answer is refused: %v", err)
					}
					event, err = u.Finish(context.Background(), delivered(t, out), d)
				}
				brokertest.Fault{Valid: f.Valid, What: f.What, Checks: f.Checks()}.WantVerdict(t, event, err)
			})
		}
	}
}

// delivered is the request that a browser makes of a delivery.
func delivered(t *testing.T, d badidp.Delivery) *http.Request {
	t.Helper()
	r, err := d.Request(t.Context(), acs)
	if err != nil {
		t.Fatal(err)
	}
	return r
}
