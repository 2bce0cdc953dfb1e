package eidas

import (
	"context"
	"net/http"
	"slices"
	"testing"

	"github.com/eidbridge/eidbridge/brokers/brokertest"
	"github.com/eidbridge/eidbridge/fixtures/idps/badidp"
	"github.com/eidbridge/eidbridge/levels"
)

// TestBattery lets a node that misbehaves on purpose answer real requests with
// every fault of fixtures/idps/badidp. The upstream knows its keys by metadata, of
// which one has expired and one is for encryption only.
func TestBattery(t *testing.T) {
	now := testConfig().Clock()
	keys, err := badidp.NewKeys(now)
	if err != nil {
		t.Fatal(err)
	}
	u := newUpstream(t, func(c *Config) { c.Metadata = keys.Metadata(nodeID, badidp.Endpoints{SignOn: nodeURL}) })
	for _, f := range badidp.Battery() {
		x := badidp.Exchange{
			IdP: nodeID, SP: spID, ACS: acs, RequestID: "_", RelayState: state, Now: now,
			Class: notifiedPrefix + "substantial", Lower: notifiedPrefix + "low",
			Encryption: pairs().decrypt.cert, Encrypt: true, ClearAssertion: true,
			Person: badidp.Person{NameID: "opaque", Format: "urn:oasis:names:tc:SAML:2.0:nameid-format:persistent"},
		}
		for _, a := range goodAnswer().attributes {
			x.Person.Attributes = append(x.Person.Attributes, badidp.Attribute{Name: a.name, Value: a.values[0].text})
		}
		// Which browser asked is the provider's to know.
		if !f.Fits(x) || slices.Contains(f.Checks(), "browser") {
			continue
		}
		t.Run(f.Name, func(t *testing.T) {
			d := start(t, u, "eidas", levels.Substantial)
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

// delivered is the request that a browser makes of a delivery.
func delivered(t *testing.T, d badidp.Delivery) *http.Request {
	t.Helper()
	r, err := d.Request(t.Context(), acs)
	if err != nil {
		t.Fatal(err)
	}
	return r
}
