package saml_test

import (
	"context"
	"crypto/x509"
	"net/http/httptest"
	"slices"
	"testing"
	"time"

	"github.com/eidbridge/eidbridge/brokers"
	"github.com/eidbridge/eidbridge/brokers/saml"
	"github.com/eidbridge/eidbridge/fixtures/idps/badidp"
)

// onceStore is the simplest replay store.
type onceStore map[string]bool

func (s onceStore) UseAssertionID(_ context.Context, issuer, id string, _ time.Time) error {
	if s[issuer+" "+id] {
		return brokers.ErrReplayed
	}
	s[issuer+" "+id] = true
	return nil
}

// TestLogoutBattery lets the bad identity provider send every wrong logout message
// in both bindings.
func TestLogoutBattery(t *testing.T) {
	keys, err := badidp.NewKeys(batteryNow)
	if err != nil {
		t.Fatal(err)
	}
	x := badidp.LogoutExchange{
		IdP: "https://bad.example/metadata", SP: "https://broker.example/metadata", SLO: "https://broker.example/slo",
		RequestID: "_request1", RelayState: "handle", Person: badidp.Person{NameID: "alice"}, SessionIndex: "_s1", Now: batteryNow,
	}
	names := map[string]bool{}
	for _, f := range badidp.LogoutBattery() {
		if names[f.Name] || f.What == "" || f.Valid == (len(f.Checks()) > 0) {
			t.Errorf("%s: used twice, or without a sentence or checks", f.Name)
		}
		names[f.Name] = true
		t.Run(f.Name, func(t *testing.T) {
			delivery, err := f.Deliver(x, keys)
			if err != nil {
				t.Fatal(err)
			}
			store := onceStore{}
			judge := func() error {
				r, err := delivery.Request(t.Context(), x.SLO)
				if err != nil {
					t.Fatal(err)
				}
				received := httptest.NewRequest(r.Method, r.URL.String(), r.Body)
				received.Header = r.Header
				field := "SAMLRequest"
				if f.Response {
					field = "SAMLResponse"
				}
				detached := r.Method == "GET"
				var message []byte
				if detached {
					message, _, err = saml.ReadRedirect(received.URL.RawQuery, field, keys.Certificates(), batteryNow)
				} else {
					message, _, err = saml.ReadForm(received, field)
				}
				if err != nil {
					return err
				}
				e := saml.LogoutExpectation{
					Issuer: x.IdP, Certificates: keys.Certificates(), Detached: detached, Destination: x.SLO, RequestID: x.RequestID,
					RequestedAt: batteryNow.Add(-saml.DefaultSkew), Now: batteryNow, Skew: saml.DefaultSkew,
				}
				if f.Response {
					return saml.ValidateLogoutResponse(message, e)
				}
				request, err := saml.ValidateLogoutRequest(message, e)
				if err != nil {
					return err
				}
				return request.Use(t.Context(), store)
			}
			err = judge()
			if delivery.Again && err == nil {
				err = judge()
			}
			judgeFault(t, f.Fault, err == nil, err)
		})
	}
	if len(names) < 100 {
		t.Errorf("only %d faults", len(names))
	}
}

// TestMetadataBattery lets the bad identity provider publish every wrong metadata
// document.
func TestMetadataBattery(t *testing.T) {
	keys, err := badidp.NewKeys(batteryNow)
	if err != nil {
		t.Fatal(err)
	}
	const entity = "https://bad.example/metadata"
	at := badidp.Endpoints{SignOn: "https://bad.example/sso", Logout: "https://bad.example/slo"}
	for _, f := range badidp.MetadataBattery() {
		t.Run(f.Name, func(t *testing.T) {
			document, err := f.Document(entity, at, batteryNow, keys)
			if err != nil {
				t.Fatal(err)
			}
			entities, err := saml.ParseMetadata(document, saml.MetadataTrust{Certificates: []*x509.Certificate{keys.MetadataCertificate()}, Now: batteryNow})
			if f.Valid {
				if err != nil || entities[entity] == nil || !slices.Contains(names(entities[entity].SingleSignOn), at.SignOn) {
					t.Errorf("control is refused: %v", err)
				}
				return
			}
			judgeFault(t, f.Fault, err == nil, err)
		})
	}
}

func names(list []saml.Endpoint) []string {
	var all []string
	for _, e := range list {
		all = append(all, e.Location)
	}
	return all
}
