package digid

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/eidbridge/eidbridge/brokers"
	"github.com/eidbridge/eidbridge/brokers/saml"
)

// formatUnspecified is what a NameID without Format means (SAML Core 8.3.1).
const formatUnspecified = "urn:oasis:names:tc:SAML:1.1:nameid-format:unspecified"

// Reasons of refusal beside those of package saml.
const (
	reasonLevel        = "loa_too_low"
	reasonClass        = "context_class"
	reasonSubject      = "subject"
	reasonLogin        = "login_failed"
	reasonArtifact     = "artifact_refused"
	reasonDenied       = "request_denied"
	reasonNoSuchMethod = "method"
)

// Finish implements brokers.Upstream: it resolves the artifact, once, and judges
// the answer.
func (u *Upstream) Finish(ctx context.Context, r *http.Request, d *brokers.Departure) (*brokers.AuthenticationEvent, error) {
	asked, err := u.method(d.Request)
	if err != nil {
		// The offer changed while the citizen was away.
		return nil, &brokers.RejectedError{Reason: reasonNoSuchMethod, Category: brokers.CategoryConfiguration, Err: err}
	}
	assertion, err := u.fetch(ctx, r, d, nil)
	if err != nil {
		return nil, outcome(err)
	}
	return u.event(assertion, asked, d)
}

// fetch reads the artifact of this login, resolves it, validates the answer and uses
// it up.
func (u *Upstream) fetch(ctx context.Context, r *http.Request, d *brokers.Departure, adapt func(*saml.Expectation)) (*saml.Assertion, error) {
	artifact, relayState, err := saml.ReadArtifact(r)
	if err != nil {
		return nil, err
	}
	if !saml.SameRelayState(relayState, d.Request.RelayState) {
		return nil, &brokers.RejectedError{Reason: string(saml.ReasonRelayState), Err: errors.New("answer of another login")}
	}
	assertion, err := u.resolve(ctx, artifact, d, adapt)
	if err != nil {
		return nil, err
	}
	return assertion, assertion.Use(ctx, u.replay)
}

// resolve fetches and validates the answer behind an artifact. adapt, if not nil,
// changes what is expected.
func (u *Upstream) resolve(ctx context.Context, artifact saml.Artifact, d *brokers.Departure, adapt func(*saml.Expectation)) (*saml.Assertion, error) {
	entity, err := u.source.Entity(ctx)
	if err != nil {
		return nil, err
	}
	if !artifact.IssuedBy(entity.ID) {
		return nil, &brokers.RejectedError{Reason: string(saml.ReasonArtifact), Err: errors.New("artifact of another issuer")}
	}
	location, ok := entity.Resolution(artifact.EndpointIndex)
	if !ok {
		return nil, &brokers.RejectedError{Reason: string(saml.ReasonArtifact), Err: errors.New("artifact names an unknown endpoint")}
	}
	reply, resolveID, err := u.resolver.Resolve(ctx, location, artifact)
	if err != nil {
		return nil, err
	}
	expectation := saml.Expectation{
		Issuer: entity.ID, Certificates: entity.Signing,
		// Our metadata says WantAssertionsSigned; the envelope is always signed.
		Signed:   saml.Coverage{Envelope: true, Assertion: true},
		Audience: u.provider.EntityID, Recipient: u.provider.Consumers[0].Location,
		DestinationOptional: true,
		RequestID:           d.RequestID, RequestedAt: d.RequestedAt, ResolveID: resolveID,
		ForceAuthn:    d.Request.ForceAuthn,
		NameIDFormats: []string{"", formatUnspecified},
		Now:           u.clock(), Skew: u.skew,
	}
	if adapt != nil {
		adapt(&expectation)
	}
	return saml.ValidateArtifactResponse(reply, expectation)
}

// outcome turns DigiD's status codes into what the citizen may learn (DigiD 3.x:
// AuthnFailed is both a cancelled and a failed login).
func outcome(err error) error {
	var status *saml.StatusError
	if !errors.As(err, &status) {
		return err
	}
	rejected := func(reason string, category brokers.Category) error {
		return &brokers.RejectedError{Reason: reason, Category: category, Err: status}
	}
	switch {
	case status.Envelope:
		return rejected(reasonArtifact, brokers.CategoryTimeout)
	case status.Second == saml.StatusAuthnFailed:
		return fmt.Errorf("%w: %w", brokers.ErrCancelled, status)
	case status.Second == saml.StatusNoAuthnContext:
		return rejected(reasonLevel, brokers.CategoryLevel)
	case status.Second == saml.StatusRequestDenied && status.Top == saml.StatusRequester:
		return rejected(reasonDenied, brokers.CategoryConfiguration)
	case status.Second == saml.StatusRequestDenied:
		return rejected(reasonDenied, brokers.CategoryDenied)
	case status.Second == saml.StatusNoAvailableIDP:
		return rejected(reasonLogin, brokers.CategoryUnavailable)
	case status.Top == saml.StatusRequester:
		return rejected(reasonLogin, brokers.CategoryConfiguration)
	}
	return rejected(reasonLogin, brokers.CategoryDenied)
}

// event judges level and identifier of a valid assertion.
func (u *Upstream) event(a *saml.Assertion, asked method, d *brokers.Departure) (*brokers.AuthenticationEvent, error) {
	assessment, err := u.mapping.Assess(scheme, a.ContextClass, brokers.Ceilings(u.id, u.ceiling)...)
	if err != nil {
		// Unknown classes are refused, never guessed.
		return nil, &brokers.RejectedError{Reason: reasonClass, Err: errors.New("context class is not one of DigiD's")}
	}
	// The answer has to reach what DigiD was asked for, and what the portal needs
	// after ceilings (threats ).
	if assessment.Asserted < asked.Level || assessment.Level < d.Request.Level {
		return nil, &brokers.RejectedError{
			Reason: reasonLevel, Category: brokers.CategoryLevel,
			Err: fmt.Errorf("proven %s, asked for %s", assessment.Level, asked.Level),
		}
	}
	bsn, err := parseNameID(a.NameID.Value)
	if err != nil {
		return nil, &brokers.RejectedError{Reason: reasonSubject, Err: err}
	}
	id, err := brokers.NewEventID(u.rand)
	if err != nil {
		return nil, err
	}
	departure, err := json.Marshal(session{SessionIndex: a.SessionIndex})
	if err != nil {
		return nil, err
	}
	return &brokers.AuthenticationEvent{
		Departure: departure,
		ID:        id, Upstream: u.id,
		// The method that was used, which may be stronger than the one asked for.
		Method: strings.ReplaceAll(assessment.Rule, ".", "-"),
		Issuer: a.Issuer, AssertionID: a.ID, Assessment: assessment,
		AuthTime: a.AuthnInstant, AMR: assessment.AMR,
		Subject: brokers.Subject{Key: "nl-bsn:" + bsn, Country: "NL"},
	}, nil
}
