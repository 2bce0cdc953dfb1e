//go:build interop

package eidas

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/eidbridge/eidbridge/brokers"
	"github.com/eidbridge/eidbridge/brokers/saml"
	"github.com/eidbridge/eidbridge/fixtures/demo"
	"github.com/eidbridge/eidbridge/fixtures/simplesaml"
	"github.com/eidbridge/eidbridge/levels"
)

// TestInteropSimpleSAMLphpAsNode: an independent program reads our requests. It cannot encrypt as the profile demands (AES-GCM), so
// that its successes are refused before a key is used; its failures are signed and
// count.
func TestInteropSimpleSAMLphpAsNode(t *testing.T) {
	for name, encrypted := range map[string]bool{"encrypted by CBC": true, "in the clear": false} {
		t.Run(name, func(t *testing.T) {
			idp, u := newIndependent(t, encrypted)
			event, err := independently(t, idp, u, "mary", false)
			wantRejected(t, event, err, string(saml.ReasonEncryption), brokers.CategoryProtocol)
			if inTheClear := strings.Contains(err.Error(), "in the clear"); inTheClear == encrypted {
				t.Errorf("refused for %v", err)
			}
			event, err = independently(t, idp, u, "mary", true)
			wantRejected(t, event, err, string(saml.ReasonUnsolicited), brokers.CategoryProtocol)
			for person, want := range map[string]struct {
				reason   string
				category brokers.Category
			}{
				"NoAuthnContext": {reasonLevel, brokers.CategoryLevel},
				"AuthnFailed":    {reasonLogin, brokers.CategoryDenied},
				"NoPassive":      {reasonLogin, brokers.CategoryDenied},
			} {
				event, err := independently(t, idp, u, person, false)
				wantRejected(t, event, err, want.reason, want.category)
			}
			if event, err := independently(t, idp, u, "RequestDenied", false); event != nil || !errors.Is(err, brokers.ErrCancelled) {
				t.Errorf("consent refused: %+v, %v", event, err)
			}
		})
	}
}

func newIndependent(t *testing.T, encrypted bool) (*simplesaml.Server, *Upstream) {
	t.Helper()
	const local = "http://localhost:8181/upstream/eidas/"
	provider := simplesaml.Provider{
		EntityID: local + "metadata", Consumers: [][2]string{{"HTTP-POST", local + "callback"}}, Signing: pairs().sp.cert, Encryption: pairs().decrypt.cert,
	}
	if encrypted {
		provider.Settings = "'assertion.encryption' => true,"
	}
	idp := simplesaml.Run(t, pairs().node.cert, pairs().node.key, []simplesaml.Person{
		{Name: "mary", Attributes: map[string]string{
			naturalNS + "/PersonIdentifier": "EE/ES/60001019906", naturalNS + "/CurrentFamilyName": "O’CONNEŽ-ŠUSLIK",
			naturalNS + "/CurrentGivenName": "MARY ÄNN", naturalNS + "/DateOfBirth": "2000-01-01",
		}},
		{Name: "NoAuthnContext", Status: [2]string{"Responder", "NoAuthnContext"}},
		{Name: "AuthnFailed", Status: [2]string{"Responder", "AuthnFailed"}},
		{Name: "NoPassive", Status: [2]string{"Responder", "NoPassive"}},
		{Name: "RequestDenied", Status: [2]string{"Responder", "RequestDenied"}},
	}, provider)
	u := newUpstream(t, func(c *Config) {
		c.EntityID, c.ACSURL, c.NodeID, c.PKCS1, c.Clock = local+"metadata", local+"callback", idp.EntityID(), true, time.Now
		c.Metadata = must(idp.Metadata(t.Context()))
	})
	return idp, u
}

// independently walks a login as a person, or has the identity provider answer
// without being asked while a login is under way.
func independently(t *testing.T, idp *simplesaml.Server, u *Upstream, person string, unasked bool) (*brokers.AuthenticationEvent, error) {
	t.Helper()
	d := start(t, u, "eidas", levels.Substantial)
	browser := must(demo.NewBrowser())
	location := d.Location // its metadata offers the redirect binding
	if unasked {
		location = idp.Unsolicited(u.config.EntityID) + "&RelayState=" + state
	}
	page := must(browser.Open(t.Context(), location))
	back, err := idp.Answer(t.Context(), browser, page, person)
	if err != nil {
		t.Fatal(err)
	}
	return u.Finish(context.Background(), back, d)
}
