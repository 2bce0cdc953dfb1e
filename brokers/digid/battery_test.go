package digid

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/eidbridge/eidbridge/brokers"
	"github.com/eidbridge/eidbridge/brokers/brokertest"
	"github.com/eidbridge/eidbridge/brokers/saml"
	"github.com/eidbridge/eidbridge/fixtures/idps/badidp"
	"github.com/eidbridge/eidbridge/levels"
)

// TestBatteryOverArtifacts lets the bad identity provider answer logins of DigiD 3.x
// with every fault that an answer over a back channel can have: what
// the browser carries, the SOAP envelope, the ArtifactResponse, the response, the
// assertion, the channel. The upstream demands both signatures.
func TestBatteryOverArtifacts(t *testing.T) {
	keys, err := badidp.NewKeys(time.Now())
	if err != nil {
		t.Fatal(err)
	}
	channel := &badidp.BackChannel{Keys: keys}
	server := httptest.NewUnstartedServer(channel.Handler())
	server.TLS = channel.TLS()
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.StartTLS()
	t.Cleanup(server.Close)
	faults := 0
	for _, f := range badidp.Battery() {
		x := badidp.Exchange{
			IdP: "http://127.0.0.1:8190/metadata", SP: local + "metadata", ACS: local + "callback", RequestID: "_q", RelayState: "handle", Now: time.Now(), Artifact: true, Both: true,
			Person: badidp.Person{NameID: "s00000000:900029365"}, Class: class + "Smartcard", Lower: class + "MobileTwoFactorContract",
		}
		// DigiD 3.x has no encryption and takes no attributes; a NameID that is read
		// without a format may have one.
		if !f.Fits(x) || f.Area == "encryption" || strings.HasSuffix(f.Name, "-format") && f.Area == "subject" {
			continue
		}
		faults++
		t.Run(f.Name, func(t *testing.T) {
			u := batteryUpstream(t, keys, x, strings.Replace(server.URL, "127.0.0.1", "localhost", 1))
			d, err := u.Start(t.Context(), brokers.AuthenticationRequest{Method: "digid-substantieel", Level: levels.Substantial, RelayState: x.RelayState, ForceAuthn: true})
			if err != nil {
				t.Fatal(err)
			}
			x.RequestID, x.Now = d.RequestID, time.Now()
			delivery, pending, err := f.Artifact(x, keys)
			if err != nil {
				t.Fatal(err)
			}
			channel.Put(pending)
			ctx := t.Context()
			if f.Name == "channel-slow" {
				short, cancel := context.WithTimeout(ctx, 300*time.Millisecond)
				defer cancel()
				ctx = short
			}
			finish := func() (*brokers.AuthenticationEvent, error) {
				r, err := delivery.Request(ctx, x.ACS)
				if err != nil {
					t.Fatal(err)
				}
				// As a server receives it.
				received := httptest.NewRequest(r.Method, r.URL.String(), r.Body)
				received.Header = r.Header
				return u.Finish(ctx, received, d)
			}
			event, err := finish()
			if delivery.Again && err == nil {
				event, err = finish()
			}
			switch {
			case f.Valid && (err != nil || event.Subject.Key != "nl-bsn:900029365"):
				t.Errorf("control is refused: %v", err)
			case f.Valid:
			case delivery.Stranger: // the provider's cookie, not the upstream's affair
			case err == nil:
				t.Errorf("accepted: %s: %+v", f.What, event)
			case !slices.Contains(f.Checks(), refusal(err)):
				t.Errorf("refused for %q (%v), want one of %v", refusal(err), err, f.Checks())
			}
		})
	}
	if faults < 200 {
		t.Errorf("only %d faults were tried", faults)
	}
	if with, without := channel.Clients(); with == 0 || without > 0 {
		t.Errorf("%d resolutions with a client certificate, %d without", with, without)
	}
}

// refusal is the reason in the words of the battery.
func refusal(err error) string {
	var status *saml.StatusError
	if errors.As(err, &status) {
		return "status"
	}
	var rejected *brokers.RejectedError
	switch {
	case !errors.As(err, &rejected):
		return ""
	case rejected.Reason == reasonLevel:
		return "level"
	}
	return rejected.Reason
}

func batteryUpstream(t *testing.T, keys *badidp.Keys, x badidp.Exchange, resolve string) *Upstream {
	t.Helper()
	roots := x509.NewCertPool()
	roots.AddCert(keys.Certificates()[0])
	u, err := New(Config{
		EntityID: x.SP, ACSURL: x.ACS, SigningKey: pairs().sp.key, Certificate: pairs().sp.cert,
		Metadata:    keys.Metadata(x.IdP, badidp.Endpoints{SignOn: "http://127.0.0.1:8190/sso", Resolve: resolve}),
		BackChannel: &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: roots, Certificates: []tls.Certificate{pairs().sp.tls()}},
		Replay:      &brokertest.Replay{}, Clock: time.Now,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if c, ok := u.resolver.Client.Transport.(*http.Transport); ok {
			c.CloseIdleConnections()
		}
	})
	return u
}
