package eidas

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
	reasonLevel   = "loa_too_low"
	reasonClass   = "context_class"
	reasonSubject = "subject"
	reasonPerson  = "attributes"
	reasonRelay   = "relay_state"
	reasonCountry = "country"
	reasonActing  = "representation"
	reasonLogin   = "login_failed"
	reasonMethod  = "method"
)

func rejected(reason string, category brokers.Category, err error) error {
	return &brokers.RejectedError{Reason: reason, Category: category, Err: err}
}

// Finish implements brokers.Upstream: it judges the posted answer, once.
func (u *Upstream) Finish(ctx context.Context, r *http.Request, d *brokers.Departure) (*brokers.AuthenticationEvent, error) {
	country, err := u.method(d.Request)
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
	entity, err := u.source.Entity(ctx)
	if err != nil {
		return nil, err
	}
	assertion, err := saml.ValidateResponse(message, u.expectation(entity, d))
	if err != nil {
		return nil, outcome(err)
	}
	if err := assertion.Use(ctx, u.config.Replay); err != nil {
		return nil, err
	}
	return u.event(assertion, country, d)
}

func (u *Upstream) expectation(entity *saml.Entity, d *brokers.Departure) saml.Expectation {
	return saml.Expectation{
		Issuer: entity.ID, Certificates: entity.Signing,
		// The signature of the assertion is optional in the profile; that of the
		// response covers the cipher text.
		Signed:   saml.Coverage{Response: true},
		Audience: u.config.EntityID, Recipient: u.config.ACSURL,
		RequestID: d.RequestID, RequestedAt: d.RequestedAt, ForceAuthn: true,
		Vocabularies: []string{naturalNS, legalNS, naturalNS + representativeNS, legalNS + representativeNS},
		Decryption:   saml.Decryption{Keys: u.config.DecryptionKeys, Recipient: u.config.EntityID, Required: true},
		Now:          u.config.Clock(), Skew: u.config.Skew,
	}
}

// outcome turns the node's status codes into what the citizen may learn.
func outcome(err error) error {
	var status *saml.StatusError
	if !errors.As(err, &status) {
		return err
	}
	switch {
	case status.Second == saml.StatusRequestDenied:
		// Consent was refused.
		return fmt.Errorf("%w: %w", brokers.ErrCancelled, status)
	case status.Second == saml.StatusNoAuthnContext:
		return rejected(reasonLevel, brokers.CategoryLevel, status)
	case status.Second == saml.StatusNoAvailableIDP:
		return rejected(reasonLogin, brokers.CategoryUnavailable, status)
	case status.Top == saml.StatusRequester && status.Second != saml.StatusAuthnFailed, status.Top == saml.StatusVersionMismatch:
		return rejected(reasonLogin, brokers.CategoryConfiguration, status)
	}
	return rejected(reasonLogin, brokers.CategoryDenied, status)
}

// event judges level and attributes of a valid assertion.
func (u *Upstream) event(a *saml.Assertion, country string, d *brokers.Departure) (*brokers.AuthenticationEvent, error) {
	_, asked, err := u.classes(d.Request.Level)
	if err != nil {
		return nil, rejected(reasonMethod, brokers.CategoryConfiguration, err)
	}
	assessment, err := u.config.Mapping.Assess(scheme, a.ContextClass, brokers.Ceilings(u.config.ID, u.config.MaxLevel)...)
	if err != nil {
		// Unknown classes are refused, never guessed.
		return nil, rejected(reasonClass, brokers.CategoryProtocol, errors.New("context class is not one of the profile's"))
	}
	if len(u.config.NonNotified) > 0 && !slices.Contains(asked, a.ContextClass) || len(u.config.NonNotified) == 0 && !reserved(a.ContextClass) {
		return nil, rejected(reasonClass, brokers.CategoryProtocol, errors.New("context class was not asked for"))
	}
	// Levels that are claimed and not notified are worth nothing and end here as
	// well (threats ).
	if least := max(d.Request.Level, levels.Low); assessment.Asserted < least || assessment.Level < d.Request.Level {
		return nil, rejected(reasonLevel, brokers.CategoryLevel, fmt.Errorf("proven %s, asked for %s", assessment.Level, least))
	}
	subject, err := u.subject(statements(a.Attributes))
	if err != nil {
		return nil, err
	}
	if country != "" && subject.Country != country {
		return nil, rejected(reasonCountry, brokers.CategoryProtocol, errors.New("citizen of another country than was chosen"))
	}
	id, err := brokers.NewEventID(u.config.Rand)
	if err != nil {
		return nil, err
	}
	return &brokers.AuthenticationEvent{
		ID: id, Upstream: u.config.ID, Method: d.Request.Method, Issuer: a.Issuer, AssertionID: a.ID,
		Assessment: assessment, AuthTime: a.AuthnInstant, AMR: assessment.AMR, Subject: *subject,
	}, nil
}
