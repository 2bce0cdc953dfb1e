package clave

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"

	"github.com/eidbridge/eidbridge/brokers"
	"github.com/eidbridge/eidbridge/brokers/saml"
	"github.com/eidbridge/eidbridge/levels"
)

// Reasons of refusal beside those of package saml.
const (
	reasonLevel    = "loa_too_low"
	reasonClass    = "context_class"
	reasonSubject  = "subject"
	reasonPerson   = "attributes"
	reasonRelay    = "relay_state"
	reasonSelected = "selected_idp"
	reasonActing   = "representation"
	reasonTrust    = "gateway_certificate"
	reasonLogin    = "login_failed"
	reasonMethod   = "method"
)

func rejected(reason string, category brokers.Category, err error) error {
	return &brokers.RejectedError{Reason: reason, Category: category, Err: err}
}

// Finish implements brokers.Upstream: it judges the posted answer, once.
func (u *Upstream) Finish(ctx context.Context, r *http.Request, d *brokers.Departure) (*brokers.AuthenticationEvent, error) {
	asked, err := u.method(d.Request)
	if err != nil {
		// The offer changed while the citizen was away.
		return nil, rejected(reasonMethod, brokers.CategoryConfiguration, err)
	}
	message, relayState, err := saml.ReadPOST(r)
	if err != nil {
		return nil, err
	}
	if !saml.SameRelayState(relayState, d.Request.RelayState) {
		return nil, rejected(reasonRelay, brokers.CategoryProtocol, errors.New("answer of another login"))
	}
	if len(u.trusted(u.config.Clock())) == 0 {
		return nil, rejected(reasonTrust, brokers.CategoryConfiguration, errors.New("no certificate of the gateway counts now"))
	}
	assertion, err := saml.ValidateResponse(message, u.expectation(d))
	if err != nil {
		return nil, outcome(err)
	}
	if err := assertion.Use(ctx, u.config.Replay); err != nil {
		return nil, err
	}
	return u.event(assertion, asked, d)
}

func (u *Upstream) expectation(d *brokers.Departure) saml.Expectation {
	now := u.config.Clock()
	return saml.Expectation{
		Issuer: u.config.GatewayID, OtherIssuers: u.config.GatewayAliases, Certificates: u.trusted(now),
		Signed:   saml.Coverage{Response: true, Assertion: u.config.SignedAssertions},
		Audience: u.config.Audiences[0], OtherAudiences: u.config.Audiences[1:], Recipient: u.config.ACSURL,
		RequestID: d.RequestID, RequestedAt: d.RequestedAt, ForceAuthn: d.Request.ForceAuthn,
		Vocabularies: []string{naturalPersonNS},
		Decryption:   saml.Decryption{Keys: u.config.DecryptionKeys, Recipient: u.config.Issuer},
		Now:          now, Skew: u.config.Skew,
	}
}

// outcome turns the gateway's status codes into what the citizen may learn. The
// codes do not tell a cancelled login from a failed one.
func outcome(err error) error {
	var status *saml.StatusError
	if !errors.As(err, &status) {
		return err
	}
	switch {
	case status.Second == saml.StatusAuthnFailed,
		status.Second == saml.StatusRequestDenied:
		return fmt.Errorf("%w: %w", brokers.ErrCancelled, status)
	case status.Second == saml.StatusNoAuthnContext:
		return rejected(reasonLevel, brokers.CategoryLevel, status)
	case status.Second == saml.StatusNoAvailableIDP:
		return rejected(reasonLogin, brokers.CategoryUnavailable, status)
	case status.Top == saml.StatusRequester, status.Top == saml.StatusVersionMismatch:
		// InvalidAttrNameOrValue, InvalidNameIDPolicy and the like.
		return rejected(reasonLogin, brokers.CategoryConfiguration, status)
	}
	return rejected(reasonLogin, brokers.CategoryDenied, status)
}

// event judges level and attributes of a valid assertion.
func (u *Upstream) event(a *saml.Assertion, asked method, d *brokers.Departure) (*brokers.AuthenticationEvent, error) {
	assessment, err := u.config.Mapping.Assess(scheme, a.ContextClass, brokers.Ceilings(u.config.ID, u.config.MaxLevel)...)
	if err != nil {
		// Unknown classes are refused, never guessed.
		return nil, rejected(reasonClass, brokers.CategoryProtocol, errors.New("context class is not one of Cl@ve's"))
	}
	// The answer has to reach what was asked for, and what the portal needs after
	// ceilings (threats ).
	if assessment.Asserted < max(asked.least, d.Request.Level) || assessment.Level < d.Request.Level {
		return nil, rejected(reasonLevel, brokers.CategoryLevel, fmt.Errorf("proven %s, asked for %s", assessment.Level, max(asked.least, d.Request.Level)))
	}
	s := statements(a.Attributes)
	if echo, err := s.one("RelayState"); err != nil || !saml.SameRelayState(echo, d.Request.RelayState) {
		return nil, rejected(reasonRelay, brokers.CategoryProtocol, errors.New("relay state in the assertion is of another login"))
	}
	selected, err := s.optional("SelectedIdP")
	if err != nil {
		return nil, rejected(reasonPerson, brokers.CategoryProtocol, err)
	}
	used, ok := u.used(asked, selected, assessment.Asserted)
	if !ok {
		return nil, rejected(reasonSelected, brokers.CategoryProtocol, errors.New("logged in with an identity provider that was switched off"))
	}
	subject, err := s.subject()
	if err != nil {
		return nil, err
	}
	if subject.Represents != nil && !u.config.Representatives {
		return nil, rejected(reasonActing, brokers.CategoryDenied, errors.New("certificate of a representative"))
	}
	id, err := brokers.NewEventID(u.config.Rand)
	if err != nil {
		return nil, err
	}
	assessment = assessment.Lower(levels.Ceiling{Source: "method:" + used.ID, Max: used.Level})
	return &brokers.AuthenticationEvent{
		ID: id, Upstream: u.config.ID, Method: used.ID, Issuer: a.Issuer, AssertionID: a.ID,
		Assessment: assessment, AuthTime: a.AuthnInstant, AMR: slices.Clone(used.amr), Subject: *subject,
	}, nil
}
