package clave

import (
	"errors"
	"testing"

	"github.com/eidbridge/eidbridge/brokers"
	"github.com/eidbridge/eidbridge/brokers/saml"
	emulator "github.com/eidbridge/eidbridge/fixtures/idps/clave"
	"github.com/eidbridge/eidbridge/fixtures/idps/labcontrol"
	"github.com/eidbridge/eidbridge/levels"
)

// TestSessionAtTheEmulator: a gateway that remembers people spares the browser a second
// login where the request allows it and the first was good enough, with the time of the
// first, until it logs out.
func TestSessionAtTheEmulator(t *testing.T) {
	l := newLabWith(t, "http://localhost:8181/upstream/clave/", func(o *emulator.Options) { o.SingleSignOn = true })
	l.begin(t, "clave-permanente", levels.Low)
	l.step(t, "method", "method", "permanente")
	l.step(t, "permanente", "number", "99999018D", "password", emulator.Password)
	first, err := l.finish(t)
	if err != nil {
		t.Fatal(err)
	}
	again := func(r brokers.AuthenticationRequest) bool {
		t.Helper()
		l.d = start(t, l.u, r)
		l.reopen(t, l.d)
		_, err := l.page.FormWith("SAMLResponse")
		return err == nil
	}
	forced := request("clave-permanente", levels.Low)
	forced.ForceAuthn = true
	for name, r := range map[string]brokers.AuthenticationRequest{
		"force":               forced,
		"a higher level":      request("clave-permanente-sms", levels.Substantial),
		"another that is off": request("clave-movil", levels.Low),
	} {
		if again(r) {
			t.Errorf("%s: nobody was asked", name)
		}
	}
	if !again(request("clave-permanente", levels.Low)) {
		t.Fatalf("a second login is asked for: %s", l.page.Text())
	}
	second, err := l.finish(t)
	if err != nil {
		t.Fatal(err)
	}
	if second.Subject.Key != first.Subject.Key || !second.AuthTime.Equal(first.AuthTime) {
		t.Errorf("first %s at %s, then %s at %s", first.Subject.Key, first.AuthTime, second.Subject.Key, second.AuthTime)
	}
	if err := l.gateway.Control().Next(labcontrol.Script{Scenario: "logout_partial"}); err != nil {
		t.Fatal(err)
	}
	leave := func() error {
		t.Helper()
		d, err := l.u.StartLogout(t.Context(), second, "relay")
		if err != nil {
			t.Fatal(err)
		}
		l.reopen(t, d)
		return l.u.FinishLogout(t.Context(), l.back(t, fieldLogoutResponse, l.u.config.LogoutURL), d)
	}
	var status *saml.StatusError
	if err := leave(); !errors.As(err, &status) || status.Second != saml.StatusPartialLogout {
		t.Errorf("a logout that did not reach everybody: %v", err)
	}
	if again(request("clave-permanente", levels.Low)) {
		t.Error("nobody was asked after logging out")
	}
	if err := leave(); err != nil {
		t.Errorf("a logout without a session: %v", err)
	}
}
