package clave

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/eidbridge/eidbridge/brokers"
	"github.com/eidbridge/eidbridge/brokers/saml"
)

// Fields of the forms, with those of older gateways.
const (
	fieldLogoutRequest     = "logoutRequest"
	fieldLogoutRequestOld  = "samlRequestLogout"
	fieldLogoutResponse    = "logoutResponse"
	fieldLogoutResponseOld = "samlResponseLogout"
)

// logoutLifetime is how long the gateway may take up a logout request.
const logoutLifetime = 5 * time.Minute

// ErrNoLogout is a connection without a return address for logouts.
var ErrNoLogout = fmt.Errorf("clave: %w", brokers.ErrNoLogout)

// StartLogout implements brokers.Leaver: the form that ends the browser's session at the gateway. It
// does not name the citizen: the gateway goes by its own cookie. After a login
// with a certificate the citizen has to close the browser, too, since the browser
// remembers the choice of the certificate.
func (u *Upstream) StartLogout(_ context.Context, _ *brokers.AuthenticationEvent, relayState string) (*brokers.Departure, error) {
	if u.config.LogoutURL == "" {
		return nil, ErrNoLogout
	}
	id, err := saml.NewID(u.config.Rand)
	if err != nil {
		return nil, err
	}
	now := u.config.Clock()
	request := saml.LogoutRequest{
		ID: id, IssueInstant: now, Destination: u.config.GatewayURL,
		// The gateway sends the browser back to what stands in Issuer.
		Issuer: u.config.LogoutURL, NotOnOrAfter: now.Add(logoutLifetime),
		Reason: saml.LogoutByUser, Consent: consentUnspecified,
		NameID: saml.NameID{Format: nameIDUnspecified, SPNameQualifier: u.config.LogoutURL, Value: u.organisation()},
	}
	form, err := request.PostForm(u.credential, relayState, u.config.Rand)
	if err != nil {
		return nil, err
	}
	form[fieldLogoutRequest] = form["SAMLRequest"]
	form[fieldLogoutRequestOld] = form["SAMLRequest"]
	form["country"] = "ES"
	delete(form, "SAMLRequest")
	return &brokers.Departure{
		Location: u.config.GatewayURL, Form: form, RequestID: id, RequestedAt: now,
		Request: brokers.AuthenticationRequest{RelayState: relayState},
	}, nil
}

// FinishLogout implements brokers.Leaver. A session that did not end
// everywhere is a *saml.StatusError with Second saml.StatusPartialLogout.
func (u *Upstream) FinishLogout(_ context.Context, r *http.Request, d *brokers.Departure) error {
	message, relayState, err := saml.ReadForm(r, fieldLogoutResponse)
	if err != nil && r.PostForm != nil && !r.PostForm.Has(fieldLogoutResponse) {
		message, relayState, err = saml.ReadForm(r, fieldLogoutResponseOld)
	}
	if err != nil {
		return err
	}
	if d.Request.RelayState != "" && !saml.SameRelayState(relayState, d.Request.RelayState) {
		return rejected(reasonRelay, brokers.CategoryProtocol, errors.New("answer of another logout"))
	}
	now := u.config.Clock()
	aliases := append([]string{gatewayAlias, u.config.GatewayURL}, u.config.GatewayAliases...)
	return saml.ValidateLogoutResponse(message, saml.LogoutExpectation{
		Issuer: u.config.GatewayID, OtherIssuers: aliases, Certificates: u.trusted(now),
		Destination: u.config.LogoutURL, RequestID: d.RequestID, RequestedAt: d.RequestedAt,
		Now: now, Skew: u.config.Skew,
	})
}
