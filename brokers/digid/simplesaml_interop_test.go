//go:build interop

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
	"net/http/httputil"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/eidbridge/eidbridge/brokers"
	"github.com/eidbridge/eidbridge/brokers/saml"
	"github.com/eidbridge/eidbridge/fixtures/demo"
	"github.com/eidbridge/eidbridge/fixtures/simplesaml"
	"github.com/eidbridge/eidbridge/levels"
)

// independent is Debian's SimpleSAMLphp in the place of DigiD: request by signed
// redirect, answer by artifact. A proxy in front of its back channel asks for our
// client certificate, which PHP's own server cannot.
type independent struct {
	*simplesaml.Server
	u *Upstream
}

func newIndependent(t *testing.T) *independent {
	t.Helper()
	const local = "http://localhost:8181/upstream/digid/"
	citizen := func(id string) map[string]string { return map[string]string{"nameid": id} }
	i := &independent{Server: simplesaml.Run(t, pairs().idp.cert, pairs().idp.key, []simplesaml.Person{
		{Name: "sanne", Attributes: citizen("s00000000:900029365")},
		{Name: "stronger", Class: class + "SmartcardPKI", Attributes: citizen("s00000000:900029365")},
		{Name: "basis", Class: class + "PasswordProtectedTransport", Attributes: citizen("s00000000:900029365")},
		{Name: "unknown", Class: class + "Kerberos", Attributes: citizen("s00000000:900029365")},
		{Name: "eleven", Attributes: citizen("s00000000:123456789")},
		{Name: "sector", Attributes: citizen("s00000002:900029365")},
		{Name: "NoAuthnContext", Status: [2]string{"Responder", "NoAuthnContext"}},
		{Name: "AuthnFailed", Status: [2]string{"Responder", "AuthnFailed"}},
		{Name: "RequestDenied", Status: [2]string{"Requester", "RequestDenied"}},
		{Name: "NoPassive", Status: [2]string{"Responder", "NoPassive"}},
	}, simplesaml.Provider{
		EntityID: local + "metadata", Consumers: [][2]string{{"HTTP-Artifact", local + "callback"}}, Signing: pairs().sp.cert,
		Settings: "'NameIDFormat' => 'urn:oasis:names:tc:SAML:1.1:nameid-format:unspecified', 'simplesaml.attributes' => false,",
	})}
	base, err := url.Parse(i.BaseURL)
	if err != nil {
		t.Fatal(err)
	}
	channel := httptest.NewUnstartedServer(httputil.NewSingleHostReverseProxy(base))
	clients := x509.NewCertPool()
	clients.AddCert(pairs().sp.cert)
	channel.TLS = &tls.Config{Certificates: []tls.Certificate{pairs().channel.tls()}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: clients, MinVersion: tls.VersionTLS12}
	channel.Config.ErrorLog = log.New(io.Discard, "", 0)
	channel.StartTLS()
	t.Cleanup(channel.Close)

	document, err := i.Metadata(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	const service = "saml2/idp/ArtifactResolutionService.php"
	behind := strings.Replace(channel.URL, "127.0.0.1", "localhost", 1) + "/" + service
	changed := strings.Replace(string(document), i.BaseURL+service, behind, 1)
	if changed == string(document) {
		t.Fatalf("metadata names no resolution service:\n%.1500s", document)
	}
	c := testConfig(newTestIdP(t))
	c.EntityID, c.ACSURL, c.Clock, c.Metadata = local+"metadata", local+"callback", time.Now, []byte(changed)
	if i.u, err = New(c); err != nil {
		t.Fatal(err)
	}
	return i
}

// answered walks a login as a person and hands what comes back to the upstream, as
// often as is said.
func (i *independent) answered(t *testing.T, person string, times int) (event *brokers.AuthenticationEvent, err error) {
	t.Helper()
	d, err := i.u.Start(context.Background(), midden())
	if err != nil {
		t.Fatal(err)
	}
	browser, err := demo.NewBrowser()
	if err != nil {
		t.Fatal(err)
	}
	page, err := browser.Open(t.Context(), d.Location)
	if err != nil {
		t.Fatal(err)
	}
	_, left, err := i.Enter(t.Context(), browser, page, person)
	if err != nil || left == nil {
		t.Fatalf("browser stayed: %v", err)
	}
	for range times {
		event, err = i.u.Finish(context.Background(), httptest.NewRequest(http.MethodGet, left.String(), http.NoBody), d)
	}
	return event, err
}

// TestInteropSimpleSAMLphpAsDigiD: levels, identifiers and failures of an
// independent program, over artifacts that are resolved once and with our client
// certificate.
func TestInteropSimpleSAMLphpAsDigiD(t *testing.T) {
	i := newIndependent(t)
	for person, want := range map[string]levels.Level{"sanne": levels.Low, "stronger": levels.High} {
		event, err := i.answered(t, person, 1)
		if err != nil {
			t.Fatalf("%s: %v", person, err)
		}
		if event.Subject.Key != "nl-bsn:900029365" || event.Assessment.Level != want {
			t.Errorf("%s: event = %+v", person, event)
		}
	}
	event, err := i.answered(t, "sanne", 2)
	wantRejected(t, event, err, string(saml.ReasonNoResponse), brokers.CategoryTimeout)
	for person, want := range map[string]struct {
		reason   string
		category brokers.Category
	}{
		"basis":          {reasonLevel, brokers.CategoryLevel},
		"unknown":        {reasonClass, brokers.CategoryProtocol},
		"eleven":         {reasonSubject, brokers.CategoryProtocol},
		"sector":         {reasonSubject, brokers.CategoryProtocol},
		"NoAuthnContext": {reasonLevel, brokers.CategoryLevel},
		"RequestDenied":  {reasonDenied, brokers.CategoryConfiguration},
		"NoPassive":      {reasonLogin, brokers.CategoryDenied},
	} {
		t.Run(person, func(t *testing.T) {
			event, err := i.answered(t, person, 1)
			wantRejected(t, event, err, want.reason, want.category)
		})
	}
	if event, err := i.answered(t, "AuthnFailed", 1); event != nil || !errors.Is(err, brokers.ErrCancelled) {
		t.Errorf("cancelled: %+v, %v", event, err)
	}
}
