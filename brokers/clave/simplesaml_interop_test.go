//go:build interop

package clave

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/eidbridge/eidbridge/brokers"
	"github.com/eidbridge/eidbridge/fixtures/demo"
	"github.com/eidbridge/eidbridge/fixtures/simplesaml"
	"github.com/eidbridge/eidbridge/levels"
)

// independent is Debian's SimpleSAMLphp in the place of the gateway, of which it
// speaks the dialect as far as it goes: it reads the extensions of the request and
// gives back the relay state that stands there.
type independent struct {
	*simplesaml.Server
	u *Upstream
}

func newIndependent(t *testing.T) *independent {
	t.Helper()
	const local = "http://localhost:8181/upstream/clave/"
	citizen := func(number string) map[string]string {
		return map[string]string{
			natural + "PersonIdentifier": number, natural + "CurrentGivenName": "ANA MARÍA", natural + "CurrentFamilyName": "DE LA PRUEBA EJEMPLO",
			claveNames + "FirstSurname": "DE LA PRUEBA", claveNames + "SelectedIdP": "SEGSOC", claveNames + "RelayState": "$RelayState",
		}
	}
	i := &independent{Server: simplesaml.Run(t, pairs().gateway.cert, pairs().gateway.key, []simplesaml.Person{
		{Name: "ana", Attributes: citizen("ES/ES/12345678Z")},
		{Name: "letter", Attributes: citizen("ES/ES/12345678A")},
		{Name: "low", Class: eidas + "low", Attributes: citizen("ES/ES/12345678Z")},
		{Name: "high", Class: eidas + "high", Attributes: citizen("ES/ES/12345678Z")},
		{Name: "unknown", Class: eidas + "splendid", Attributes: citizen("ES/ES/12345678Z")},
		{Name: "password", Class: "urn:oasis:names:tc:SAML:2.0:ac:classes:Password", Attributes: citizen("ES/ES/12345678Z")},
		{Name: "NoAuthnContext", Status: [2]string{"Responder", "NoAuthnContext"}},
		{Name: "AuthnFailed", Status: [2]string{"Responder", "AuthnFailed"}},
		{Name: "RequestDenied", Status: [2]string{"Requester", "RequestDenied"}},
		{Name: "NoPassive", Status: [2]string{"Responder", "NoPassive"}},
		{Name: "NoAvailableIDP", Status: [2]string{"Responder", "NoAvailableIDP"}},
		{Name: "InvalidNameIDPolicy", Status: [2]string{"Requester", "InvalidNameIDPolicy"}},
	}, simplesaml.Provider{
		EntityID: local + "callback", Consumers: [][2]string{{"HTTP-POST", local + "callback"}}, Signing: pairs().sp.cert,
		Settings: "'signature.algorithm' => 'http://www.w3.org/2001/04/xmldsig-more#rsa-sha512',",
	})}
	c := testConfig()
	c.ACSURL, c.LogoutURL, c.GatewayURL, c.GatewayID, c.SignedAssertions, c.Clock = local+"callback", "", i.SignOn(), i.EntityID(), true, time.Now
	var err error
	if i.u, err = New(c); err != nil {
		t.Fatal(err)
	}
	return i
}

// answered walks a login as a person and hands what comes back to the upstream.
func (i *independent) answered(t *testing.T, person string) (*brokers.AuthenticationEvent, error) {
	t.Helper()
	d := start(t, i.u, request("clave-permanente-sms", levels.Substantial))
	form := url.Values{}
	for name, value := range d.Form {
		form.Set(name, value)
	}
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, d.Location, strings.NewReader(form.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	browser, err := demo.NewBrowser()
	if err != nil {
		t.Fatal(err)
	}
	page, err := browser.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	return i.finish(t, browser, page, person, d)
}

func (i *independent) finish(t *testing.T, browser *demo.Browser, page *demo.Page, person string, d *brokers.Departure) (*brokers.AuthenticationEvent, error) {
	t.Helper()
	back, err := i.Answer(t.Context(), browser, page, person)
	if err != nil {
		t.Fatal(err)
	}
	return i.u.Finish(context.Background(), back, d)
}

// TestInteropSimpleSAMLphpAsGateway: the request with its extensions is read by an
// independent program; its answers are judged by level, status and content.
func TestInteropSimpleSAMLphpAsGateway(t *testing.T) {
	i := newIndependent(t)
	for person, want := range map[string]levels.Level{"ana": levels.Substantial, "high": levels.Substantial} {
		event, err := i.answered(t, person)
		if err != nil {
			t.Fatalf("%s: %v", person, err)
		}
		// A stronger class than the method can give counts for no more than the method.
		if event.Subject.Key != "es-nif:12345678Z" || event.Assessment.Level != want || event.Issuer != i.EntityID() {
			t.Errorf("%s: event = %+v", person, event)
		}
	}
	for person, want := range map[string]struct {
		reason   string
		category brokers.Category
	}{
		"low":                 {reasonLevel, brokers.CategoryLevel},
		"unknown":             {reasonClass, brokers.CategoryProtocol},
		"password":            {reasonClass, brokers.CategoryProtocol},
		"letter":              {reasonSubject, brokers.CategoryProtocol},
		"NoAuthnContext":      {reasonLevel, brokers.CategoryLevel},
		"NoPassive":           {reasonLogin, brokers.CategoryDenied},
		"NoAvailableIDP":      {reasonLogin, brokers.CategoryUnavailable},
		"InvalidNameIDPolicy": {reasonLogin, brokers.CategoryConfiguration},
	} {
		t.Run(person, func(t *testing.T) {
			event, err := i.answered(t, person)
			wantRejected(t, event, err, want.reason, want.category)
		})
	}
	for _, person := range []string{"AuthnFailed", "RequestDenied"} {
		if event, err := i.answered(t, person); event != nil || !errors.Is(err, brokers.ErrCancelled) {
			t.Errorf("%s: %+v, %v", person, event, err)
		}
	}
}

// TestInteropSimpleSAMLphpAsGatewayUnasked: a login that began at the identity
// provider ends here, whatever login of ours is under way (threat X-78).
func TestInteropSimpleSAMLphpAsGatewayUnasked(t *testing.T) {
	i := newIndependent(t)
	d := start(t, i.u, request("clave-permanente-sms", levels.Substantial))
	browser, err := demo.NewBrowser()
	if err != nil {
		t.Fatal(err)
	}
	page, err := browser.Open(t.Context(), i.Unsolicited(i.u.config.Issuer)+"&RelayState="+state)
	if err != nil {
		t.Fatal(err)
	}
	event, err := i.finish(t, browser, page, "ana", d)
	wantRejected(t, event, err, "unsolicited", brokers.CategoryProtocol)
}
