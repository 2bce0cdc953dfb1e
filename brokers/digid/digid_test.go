package digid

import (
	"bytes"
	"compress/flate"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/eidbridge/eidbridge/brokers"
	"github.com/eidbridge/eidbridge/brokers/brokertest"
	"github.com/eidbridge/eidbridge/brokers/saml"
	"github.com/eidbridge/eidbridge/brokers/store"
	"github.com/eidbridge/eidbridge/levels"
)

// The stores of this project remember assertions; the upstream is a full one.
var (
	_ saml.ReplayStore  = (*store.SQLite)(nil)
	_ saml.ReplayStore  = (*store.Memory)(nil)
	_ brokers.Upstream  = (*Upstream)(nil)
	_ brokers.Describer = (*Upstream)(nil)
	_ brokers.Destined  = (*Upstream)(nil)
)

func newUpstream(t *testing.T, i *testIdP, edit func(*Config)) *Upstream {
	t.Helper()
	c := testConfig(i)
	if edit != nil {
		edit(&c)
	}
	u, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

func TestLogin(t *testing.T) {
	i := newTestIdP(t)
	u := newUpstream(t, i, nil)
	r, d := login(t, i, u, midden())
	if state, err := u.Correlate(r); err != nil || state != "handle" {
		t.Fatalf("correlate = %q, %v", state, err)
	}
	event, err := u.Finish(context.Background(), r, stored(t, d))
	if err != nil {
		t.Fatal(err)
	}
	if event.Subject != (brokers.Subject{Key: "nl-bsn:900029365", Country: "NL"}) {
		t.Errorf("subject = %+v", event.Subject)
	}
	if event.Upstream != "digid" || event.Method != "digid-midden" || event.Issuer != idpID || event.AssertionID != "_assertion" {
		t.Errorf("event = %+v", event)
	}
	if event.Assessment.Level != levels.Low || event.Assessment.Rule != "digid.midden" {
		t.Errorf("assessment = %+v", event.Assessment)
	}
	if !event.AuthTime.Equal(testNow.Add(5 * time.Second)) {
		t.Errorf("auth time = %s", event.AuthTime)
	}
	// Whether it was a text message or the app is not told, so only mfa is certain.
	if !slices.Equal(event.AMR, []string{"mfa"}) {
		t.Errorf("amr = %v", event.AMR)
	}
	if i.resolves != 1 {
		t.Errorf("%d resolutions", i.resolves)
	}
}

// stored is a departure after its way through the store.
func stored(t *testing.T, d *brokers.Departure) *brokers.Departure {
	t.Helper()
	text, err := json.Marshal(d)
	if err != nil {
		t.Fatal(err)
	}
	var back brokers.Departure
	if err := json.Unmarshal(text, &back); err != nil {
		t.Fatal(err)
	}
	return &back
}

func TestStartAsksForTheClassOfTheMethod(t *testing.T) {
	u := newUpstream(t, newTestIdP(t), nil)
	for method, wanted := range map[string]string{
		"digid-basis": "PasswordProtectedTransport", "digid-midden": "MobileTwoFactorContract",
		"digid-substantieel": "Smartcard", "digid-hoog": "SmartcardPKI",
	} {
		d, err := u.Start(context.Background(), brokers.AuthenticationRequest{Method: method, ForceAuthn: method == "digid-hoog", RelayState: "h"})
		if err != nil {
			t.Fatal(err)
		}
		location, err := url.Parse(d.Location)
		if err != nil {
			t.Fatal(err)
		}
		deflated, _ := base64.StdEncoding.DecodeString(location.Query().Get("SAMLRequest"))
		message, err := io.ReadAll(flate.NewReader(bytes.NewReader(deflated)))
		if err != nil {
			t.Fatal(err)
		}
		for _, want := range []string{
			`Comparison="minimum"><saml:AuthnContextClassRef>` + class + wanted + `<`, `AssertionConsumerServiceIndex="0"`,
			`ProviderName="Gemeente Voorbeeld"`, `Destination="https://idp.example/request_authentication"`, `ID="` + d.RequestID + `"`,
			`<saml:Issuer>` + spID + `<`,
		} {
			if !strings.Contains(string(message), want) {
				t.Errorf("%s: request lacks %s:\n%s", method, want, message)
			}
		}
		if force := strings.Contains(string(message), `ForceAuthn="true"`); force != (method == "digid-hoog") {
			t.Errorf("%s: ForceAuthn = %v", method, force)
		}
		if strings.Contains(string(message), "IsPassive") || strings.Contains(string(message), "ProtocolBinding") {
			t.Errorf("%s: request has what DigiD refuses", method)
		}
		if location.Query().Get("RelayState") != "h" || !d.RequestedAt.Equal(testNow.Add(10*time.Second)) {
			t.Errorf("%s: departure = %+v", method, d)
		}
	}
	if got := u.Destinations(); !slices.Equal(got, []string{"https://idp.example"}) {
		t.Errorf("destinations = %v", got)
	}
}

func TestStartPostsWhereThereIsNoRedirect(t *testing.T) {
	i := newTestIdP(t)
	u := newUpstream(t, i, func(c *Config) {
		c.Metadata = bytes.Replace(c.Metadata, []byte("HTTP-Redirect"), []byte("HTTP-Other"), 1)
	})
	d, err := u.Start(context.Background(), midden())
	if err != nil {
		t.Fatal(err)
	}
	if d.Location != "https://idp.example/request_authentication" || d.Form["RelayState"] != "handle" || d.Form["SAMLRequest"] == "" {
		t.Errorf("departure = %+v", d)
	}
}

func TestStartRefuses(t *testing.T) {
	u := newUpstream(t, newTestIdP(t), nil)
	for name, r := range map[string]brokers.AuthenticationRequest{
		"unknown method":       {Method: "clave-pin"},
		"method below level":   {Method: "digid-midden", Level: levels.Substantial},
		"long relay state":     {Method: "digid-midden", RelayState: strings.Repeat("x", 81)},
		"method without level": {},
	} {
		if _, err := u.Start(context.Background(), r); err == nil {
			t.Errorf("%s: started", name)
		}
	}
}

func TestMethodsStayBelowTheCeiling(t *testing.T) {
	i := newTestIdP(t)
	for ceiling, want := range map[levels.Level][]string{
		levels.None:        {"digid-basis", "digid-midden", "digid-substantieel", "digid-hoog"},
		levels.Substantial: {"digid-basis", "digid-midden", "digid-substantieel"},
		levels.BelowLow:    {"digid-basis"},
	} {
		var got []string
		for _, m := range newUpstream(t, i, func(c *Config) { c.MaxLevel = ceiling }).Methods() {
			got = append(got, m.ID)
			for _, language := range []string{"en", "nl", "es", "et"} {
				if m.Name[language] == "" {
					t.Errorf("%s has no name in %s", m.ID, language)
				}
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("ceiling %s: methods = %v, want %v", ceiling, got, want)
		}
	}
}

func TestFinishRefuses(t *testing.T) {
	sub := func(old, changed string) func(string) string {
		return func(s string) string {
			if !strings.Contains(s, old) {
				panic("edit finds no " + old)
			}
			return strings.Replace(s, old, changed, 1)
		}
	}
	for _, row := range []struct {
		name     string
		answer   func(*answer)
		reason   string
		category brokers.Category
	}{
		{"X-86 class lower than asked", func(a *answer) { a.class = class + "PasswordProtectedTransport" }, "loa_too_low", brokers.CategoryLevel},
		{"X-86 class unknown", func(a *answer) { a.class = class + "X509" }, "context_class", brokers.CategoryProtocol},
		{"X-86 class of another vocabulary", func(a *answer) { a.class = "http://eidas.europa.eu/LoA/high" }, "context_class", brokers.CategoryProtocol},
		{"X-86 notified prefix with unknown suffix", func(a *answer) { a.class = class + "SmartcardPKI2" }, "context_class", brokers.CategoryProtocol},
		{"class in other case", func(a *answer) { a.class = strings.ToUpper(class) + "SmartcardPKI" }, "context_class", brokers.CategoryProtocol},
		{"wrong sector code", func(a *answer) { a.nameID = "s00000001:900029365" }, "subject", brokers.CategoryProtocol},
		{"BSN failing the test", func(a *answer) { a.nameID = "s00000000:123456789" }, "subject", brokers.CategoryProtocol},
		{"no sector code", func(a *answer) { a.nameID = "900029365" }, "subject", brokers.CategoryProtocol},
		{"NameID of another format", func(a *answer) {
			a.editAssertion = sub("<saml:NameID>", `<saml:NameID Format="urn:oasis:names:tc:SAML:2.0:nameid-format:transient">`)
		}, "subject", brokers.CategoryProtocol},
		{"signed by another key", func(a *answer) { a.signer = pairs().other }, "signature_key", brokers.CategoryProtocol},
		{"another audience", func(a *answer) { a.editAssertion = sub(">"+spID+"<", ">https://other.example<") }, "audience", brokers.CategoryProtocol},
		{"another request", func(a *answer) { a.editResponse = sub("$request", "_other") }, "in_response_to", brokers.CategoryProtocol},
		{"two assertions", func(a *answer) { a.editResponse = func(s string) string { return doubleAssertion(s) } }, "assertion_count", brokers.CategoryProtocol},
		{"account cannot reach the level", func(a *answer) { a.top, a.second = "Responder", "NoAuthnContext" }, "loa_too_low", brokers.CategoryLevel},
		{"service provider inactive", func(a *answer) { a.top, a.second = "Requester", "RequestDenied" }, "request_denied", brokers.CategoryConfiguration},
		{"denied at DigiD", func(a *answer) { a.top, a.second = "Responder", "RequestDenied" }, "request_denied", brokers.CategoryDenied},
		{"other failure", func(a *answer) { a.top, a.second = "Responder", "" }, "login_failed", brokers.CategoryDenied},
		{"no identity provider available", func(a *answer) { a.top, a.second = "Responder", "NoAvailableIDP" }, "login_failed", brokers.CategoryUnavailable},
		{"artifact unknown or resolved before", func(a *answer) { a.envelopeTop, a.second = "Requester", "RequestDenied" }, "artifact_refused", brokers.CategoryTimeout},
		{"artifact expired", func(a *answer) { a.empty = true }, "no_response", brokers.CategoryTimeout},
		{"SOAP fault", func(a *answer) { a.fault = true }, "soap", brokers.CategoryProtocol},
	} {
		t.Run(row.name, func(t *testing.T) {
			i := newTestIdP(t)
			row.answer(&i.answer)
			u := newUpstream(t, i, nil)
			r, d := login(t, i, u, midden())
			event, err := u.Finish(context.Background(), r, d)
			wantRejected(t, event, err, row.reason, row.category)
		})
	}
}

func doubleAssertion(s string) string {
	i, j := strings.Index(s, "<saml:Assertion"), strings.Index(s, "</samlp:Response>")
	return s[:j] + strings.Replace(s[i:j], `"_assertion"`, `"_assertion2"`, 1) + s[j:]
}

func wantRejected(t *testing.T, event *brokers.AuthenticationEvent, err error, reason string, category brokers.Category) {
	t.Helper()
	brokertest.WantRejected(t, event, err, reason, category, "900029365", "123456789")
}

func TestFinishCancelled(t *testing.T) {
	i := newTestIdP(t)
	i.answer.top, i.answer.second = "Responder", "AuthnFailed"
	u := newUpstream(t, i, nil)
	r, d := login(t, i, u, midden())
	if _, err := u.Finish(context.Background(), r, d); !errors.Is(err, brokers.ErrCancelled) {
		t.Fatalf("error = %v, want ErrCancelled", err)
	}
}

func TestFinishRefusesCallbacks(t *testing.T) {
	good := artifactOf(idpID, 0)
	for name, row := range map[string]struct {
		artifact, state, reason string
	}{
		"RelayState of another login": {good, "other", "relay_state"},
		"RelayState missing":          {good, "", "relay_state"},
		"another issuer's artifact":   {artifactOf("https://other.example", 0), "handle", "artifact"},
		"unknown endpoint index":      {artifactOf(idpID, 7), "handle", "artifact"},
		"not an artifact":             {"AAQ", "handle", "artifact"},
	} {
		t.Run(name, func(t *testing.T) {
			i := newTestIdP(t)
			u := newUpstream(t, i, nil)
			_, d := login(t, i, u, midden())
			event, err := u.Finish(context.Background(), callback(row.artifact, row.state), d)
			wantRejected(t, event, err, row.reason, brokers.CategoryProtocol)
			if i.resolves != 0 {
				t.Error("artifact was resolved all the same")
			}
		})
	}
}

func TestFinishRefusesTheSecondUse(t *testing.T) {
	i := newTestIdP(t)
	u := newUpstream(t, i, nil)
	r, d := login(t, i, u, midden())
	if _, err := u.Finish(context.Background(), r, d); err != nil {
		t.Fatal(err)
	}
	event, err := u.Finish(context.Background(), r, d)
	wantRejected(t, event, err, "replay", brokers.CategoryProtocol)
}

func TestFinishTakesAStrongerClass(t *testing.T) {
	i := newTestIdP(t)
	i.answer.class = class + "SmartcardPKI"
	u := newUpstream(t, i, nil)
	r, d := login(t, i, u, midden())
	event, err := u.Finish(context.Background(), r, d)
	if err != nil {
		t.Fatal(err)
	}
	if event.Method != "digid-hoog" || event.Assessment.Level != levels.High {
		t.Errorf("event = %+v", event)
	}
	// With a ceiling the level is lowered, and the receipt says so.
	i.answer.class = class + "SmartcardPKI"
	u = newUpstream(t, i, func(c *Config) { c.MaxLevel = levels.Substantial })
	r, d = login(t, i, u, midden())
	event, err = u.Finish(context.Background(), r, d)
	if err != nil {
		t.Fatal(err)
	}
	if a := event.Assessment; a.Level != levels.Substantial || a.Asserted != levels.High || len(a.Ceilings) != 1 {
		t.Errorf("assessment = %+v", a)
	}
}

func TestBackChannelChecksTheServer(t *testing.T) {
	i := newTestIdP(t)
	for name, edit := range map[string]func(*Config){
		"another root": func(c *Config) {
			c.BackChannel = c.BackChannel.Clone()
			c.BackChannel.RootCAs = x509.NewCertPool()
			c.BackChannel.RootCAs.AddCert(pairs().other.cert)
		},
		"another client certificate": func(c *Config) {
			c.BackChannel = c.BackChannel.Clone()
			c.BackChannel.Certificates = []tls.Certificate{pairs().other.tls()}
		},
	} {
		t.Run(name, func(t *testing.T) {
			u := newUpstream(t, i, edit)
			r, d := login(t, i, u, midden())
			event, err := u.Finish(context.Background(), r, d)
			wantRejected(t, event, err, "back_channel", brokers.CategoryUnavailable)
			if !errors.Is(err, saml.ErrUnavailable) {
				t.Errorf("error = %v, want ErrUnavailable", err)
			}
		})
	}
}

func TestBackChannelGivesUp(t *testing.T) {
	i := newTestIdP(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	i.answer.silent = cancel
	u := newUpstream(t, i, nil)
	r, d := login(t, i, u, midden())
	event, err := u.Finish(ctx, r, d)
	wantRejected(t, event, err, "back_channel", brokers.CategoryUnavailable)
	if i.resolves != 1 {
		t.Errorf("%d resolutions, want one and no second try", i.resolves)
	}
}

func TestMetadataNamesTheConsumerService(t *testing.T) {
	document, err := newUpstream(t, newTestIdP(t), nil).Metadata()
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		`entityID="` + spID + `"`, `AuthnRequestsSigned="true"`, `WantAssertionsSigned="true"`,
		`Binding="urn:oasis:names:tc:SAML:2.0:bindings:HTTP-Artifact" Location="` + acs + `" index="0" isDefault="true"`,
		`validUntil="2026-05-31T09:15:40Z"`, `<ds:KeyName>`,
	} {
		if !strings.Contains(string(document), want) {
			t.Errorf("metadata lacks %s:\n%s", want, document)
		}
	}
}

func TestNewRefusesUnsafeConfigurations(t *testing.T) {
	i := newTestIdP(t)
	for name, spoil := range map[string]func(*Config){
		"no entity ID":             func(c *Config) { c.EntityID = "" },
		"plain HTTP":               func(c *Config) { c.ACSURL = "http://broker.example/callback" },
		"no key":                   func(c *Config) { c.SigningKey = nil },
		"certificate of other key": func(c *Config) { c.Certificate = pairs().other.cert },
		"ECDSA key":                func(c *Config) { c.SigningKey, c.Certificate = pairs().channel.key, pairs().channel.cert },
		"no metadata":              func(c *Config) { c.Metadata = nil },
		"unpinned metadata URL":    func(c *Config) { c.Metadata, c.MetadataURL = nil, "https://idp.example/metadata" },
		"no back channel":          func(c *Config) { c.BackChannel = nil },
		"system roots":             func(c *Config) { c.BackChannel = &tls.Config{Certificates: c.BackChannel.Certificates} },
		"unverified server":        func(c *Config) { c.BackChannel = c.BackChannel.Clone(); c.BackChannel.InsecureSkipVerify = true },
		"no client certificate":    func(c *Config) { c.BackChannel = &tls.Config{RootCAs: c.BackChannel.RootCAs} },
		"no replay store":          func(c *Config) { c.Replay = nil },
		"too much skew":            func(c *Config) { c.Skew = time.Hour },
	} {
		c := testConfig(i)
		spoil(&c)
		if _, err := New(c); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	c := testConfig(i)
	c.ACSURL = "http://localhost:8181/upstream/digid/callback"
	if _, err := New(c); err != nil {
		t.Errorf("plain HTTP on this machine: %v", err)
	}
}

func TestNoRedirectIsFollowed(t *testing.T) {
	if err := noRedirect(nil, nil); !errors.Is(err, http.ErrUseLastResponse) {
		t.Error(err)
	}
}
