package digid

import (
	"encoding/base64"
	"errors"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/eidbridge/eidbridge/brokers"
	"github.com/eidbridge/eidbridge/fixtures/idps/badidp"
)

const notices = "https://localhost:8181/upstream/digid/notice"

// TestReceiveLogoutRefuses: every wrong LogoutRequest of the battery, in an envelope,
// and envelopes that are wrong themselves. A notice ends sessions only if DigiD
// signed it for us, now, and once (X-96, O-54).
func TestReceiveLogoutRefuses(t *testing.T) {
	keys, err := badidp.NewKeys(time.Now())
	if err != nil {
		t.Fatal(err)
	}
	x := badidp.LogoutExchange{IdP: idpID, SP: spID, SLO: notices, Person: badidp.Person{NameID: "s00000000:900029365"}, SessionIndex: "_s1", Now: time.Now()}
	upstream := func() *Upstream {
		c := testConfig(newTestIdP(t))
		c.Metadata, c.Clock, c.LogoutNoticeURL = keys.Metadata(idpID, badidp.Endpoints{SignOn: "https://idp.example/sso"}), time.Now, notices
		u, err := New(c)
		if err != nil {
			t.Fatal(err)
		}
		return u
	}
	receive := func(u *Upstream, body string) (*brokers.LogoutNotice, error) {
		return u.ReceiveLogout(t.Context(), httptest.NewRequest(http.MethodPost, notices, strings.NewReader(body)))
	}
	var right string
	tried := 0
	for _, f := range badidp.LogoutBattery() {
		delivery, err := f.Deliver(withRequest(x), keys)
		if err != nil {
			t.Fatal(err)
		}
		if f.Response || delivery.Method != http.MethodPost {
			continue
		}
		tried++
		message, err := base64.StdEncoding.DecodeString(delivery.Fields[0].Value)
		if err != nil {
			t.Fatal(err)
		}
		u := upstream()
		notice, err := receive(u, envelopeOf(string(message)))
		if delivery.Again && err == nil {
			notice, err = receive(u, envelopeOf(string(message)))
		}
		if f.Valid {
			if err != nil || !slices.Equal(notice.Names, []string{"session  nl-bsn:900029365", "session _s1 nl-bsn:900029365"}) {
				t.Errorf("%s: %+v, %v", f.Name, notice, err)
			}
			right = string(message)
			continue
		}
		// In an envelope a document type is out of place, too.
		if err == nil || !slices.Contains(append(f.Checks(), "soap"), refusal(err)) {
			t.Errorf("%s: %+v, refused for %q (%v), want one of %v", f.Name, notice, refusal(err), err, f.Checks())
		}
	}
	if tried < 20 {
		t.Errorf("only %d messages", tried)
	}
	x.Person.NameID = "s00000000:123456789"
	wrongNumber := postedRight(t, x, keys)
	for name, row := range map[string]struct{ body, reason string }{
		"no envelope":           {right, "soap"},
		"two messages":          {envelopeOf(right + right), "duplicate_id"},
		"an answer beside":      {envelopeOf(right + `<samlp:ArtifactResponse xmlns:samlp="urn:oasis:names:tc:SAML:2.0:protocol"/>`), "schema"},
		"empty body":            {envelopeOf(""), "soap"},
		"nothing":               {"", "xml"},
		"too long":              {envelopeOf(right) + strings.Repeat(" ", maxNotice), "too_large"},
		"BSN failing the test":  {envelopeOf(wrongNumber), reasonSubject},
		"a response in request": {envelopeOf(strings.ReplaceAll(right, "LogoutRequest", "LogoutResponse")), "schema"},
	} {
		if notice, err := receive(upstream(), row.body); err == nil || refusal(err) != row.reason {
			t.Errorf("%s: %+v, refused for %q, want %q", name, notice, refusal(err), row.reason)
		}
	}
	u := upstream()
	u.provider.Logout = nil
	if _, err := receive(u, envelopeOf(right)); !errors.Is(err, ErrNoLogout) {
		t.Errorf("without an address: %v", err)
	}
	if _, err := u.StartLogout(t.Context(), &brokers.AuthenticationEvent{Subject: brokers.Subject{Key: "nl-bsn:900029365"}}, "state"); !errors.Is(err, ErrNoLogout) {
		t.Errorf("logout without an address: %v", err)
	}
}

func withRequest(x badidp.LogoutExchange) badidp.LogoutExchange {
	x.RequestID = "_q"
	return x
}

func envelopeOf(message string) string {
	return `<soap:Envelope xmlns:soap="http://schemas.xmlsoap.org/soap/envelope/"><soap:Body>` + message + `</soap:Body></soap:Envelope>`
}

func postedRight(t *testing.T, x badidp.LogoutExchange, keys *badidp.Keys) string {
	t.Helper()
	for _, f := range badidp.LogoutBattery() {
		if f.Name == "logout-request-posted-right" {
			delivery, err := f.Deliver(x, keys)
			if err != nil {
				t.Fatal(err)
			}
			message, err := base64.StdEncoding.DecodeString(delivery.Fields[0].Value)
			if err != nil {
				t.Fatal(err)
			}
			return string(message)
		}
	}
	t.Fatal("no such message")
	return ""
}
