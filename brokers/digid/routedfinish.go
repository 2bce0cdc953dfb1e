package digid

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"

	"github.com/eidbridge/eidbridge/brokers"
	"github.com/eidbridge/eidbridge/brokers/nationalid"
	"github.com/eidbridge/eidbridge/brokers/saml"
	"github.com/eidbridge/eidbridge/levels"
)

// Reasons of refusal of the routed generation.
const (
	reasonService        = "service_uuid"
	reasonAttributes     = "attributes"
	reasonRepresentation = "representation"
)

// messageCancelled is how the routing service tells a cancelled login from a
// failed one (eID SAML 4.4, status codes).
const messageCancelled = "Authentication cancelled"

// Finish implements brokers.Upstream: it resolves the artifact, once, and judges
// the answer.
func (u *Routed) Finish(ctx context.Context, r *http.Request, d *brokers.Departure) (*brokers.AuthenticationEvent, error) {
	asked, err := u.service(d.Request)
	if err != nil {
		// The offer changed while the citizen was away.
		return nil, &brokers.RejectedError{Reason: reasonNoSuchMethod, Category: brokers.CategoryConfiguration, Err: err}
	}
	assertion, err := u.fetch(ctx, r, d, func(e *saml.Expectation) {
		e.NameIDFormats = []string{formatTransient}
		e.Decryption = u.decryption
		// The assertions of the authentication and representation services are kept
		// as evidence. Nothing is read from them.
		e.Lenient.Advice = true
	})
	if err != nil {
		return nil, routedOutcome(err)
	}
	return u.event(assertion, asked, d)
}

// routedOutcome turns status codes into what the citizen may learn.
func routedOutcome(err error) error {
	var status *saml.StatusError
	if !errors.As(err, &status) {
		return err
	}
	rejected := func(reason string, category brokers.Category) error {
		return &brokers.RejectedError{Reason: reason, Category: category, Err: status}
	}
	switch {
	case status.Second == saml.StatusAuthnFailed && status.Message == messageCancelled:
		return fmt.Errorf("%w: %w", brokers.ErrCancelled, status)
	case status.Second == saml.StatusNoAuthnContext:
		return rejected(reasonLevel, brokers.CategoryLevel)
	case status.Envelope || status.Second == saml.StatusRequestDenied && status.Top == saml.StatusRequester:
		// Resolved too late.
		return rejected(reasonArtifact, brokers.CategoryTimeout)
	case status.Second == saml.StatusRequestUnsupported && status.Top == saml.StatusResponder:
		return rejected(reasonLogin, brokers.CategoryUnavailable)
	case status.Top == saml.StatusRequester:
		return rejected(reasonLogin, brokers.CategoryConfiguration)
	}
	return rejected(reasonLogin, brokers.CategoryDenied)
}

// event judges level, service and identifiers of a valid assertion.
func (u *Routed) event(a *saml.Assertion, asked Service, d *brokers.Departure) (*brokers.AuthenticationEvent, error) {
	reject := func(reason string, category brokers.Category, format string, args ...any) error {
		return &brokers.RejectedError{Reason: reason, Category: category, Err: fmt.Errorf(format, args...)}
	}
	assessment, err := u.mapping.Assess(routedScheme, a.ContextClass, brokers.Ceilings(u.id, u.ceiling)...)
	if err != nil {
		return nil, reject(reasonClass, brokers.CategoryProtocol, "context class is not one of DigiD's")
	}
	if assessment.Asserted < asked.Level || assessment.Level < d.Request.Level {
		return nil, reject(reasonLevel, brokers.CategoryLevel, "proven %s, asked for %s", assessment.Level, asked.Level)
	}
	if uuid := values(a, attributeService); len(uuid) != 1 || uuid[0] != asked.UUID {
		return nil, reject(reasonService, brokers.CategoryProtocol, "answer is for another service")
	}
	acting, err := identifier(a, attributeActing)
	if err != nil {
		return nil, reject(reasonSubject, brokers.CategoryProtocol, "%w", err)
	}
	legal, err := identifier(a, attributeLegal)
	if err != nil {
		return nil, reject(reasonSubject, brokers.CategoryProtocol, "%w", err)
	}
	subject := brokers.Subject{Key: acting, Country: "NL"}
	kinds := values(a, attributeKind)
	switch {
	case len(kinds) > 1:
		return nil, reject(reasonAttributes, brokers.CategoryProtocol, "several kinds of representation")
	case acting == legal && len(kinds) == 0:
	case acting == legal:
		return nil, reject(reasonAttributes, brokers.CategoryProtocol, "representation of oneself")
	case !u.representation:
		return nil, reject(reasonRepresentation, brokers.CategoryDenied, "somebody acts for another")
	default:
		// The one who logged in is the subject, never the one who is represented.
		subject.Represents = &brokers.Represented{Key: legal}
		if len(kinds) == 1 {
			subject.Represents.Kind = kinds[0]
		}
	}
	id, err := brokers.NewEventID(u.rand)
	if err != nil {
		return nil, err
	}
	departure, err := json.Marshal(session{NameID: a.NameID, SessionIndex: a.SessionIndex})
	if err != nil {
		return nil, err
	}
	used := u.used(asked, assessment.Asserted)
	return &brokers.AuthenticationEvent{
		ID: id, Upstream: u.id, Method: used.Method, Issuer: a.Issuer, AssertionID: a.ID,
		Assessment: assessment, AuthTime: a.AuthnInstant, AMR: assessment.AMR, Subject: subject, Departure: departure,
	}, nil
}

// used is the strongest service that the answer would have been enough for: a
// level above the one of the catalogue has to be accepted.
func (u *Routed) used(asked Service, reached levels.Level) Service {
	best := asked
	for _, s := range u.services {
		if s.Level <= reached && s.Level > best.Level {
			best = s
		}
	}
	return best
}

func values(a *saml.Assertion, name string) []string {
	for _, attribute := range a.Attributes {
		if attribute.Name == name {
			return attribute.Values
		}
	}
	return nil
}

var errIdentifierKind = errors.New("no encrypted identifier of a kind that is understood")

// identifier reads the encrypted identifiers of a subject attribute: the BSN if it
// is there, else a pseudonym. Polymorphic identifiers need keys of another kind.
func identifier(a *saml.Assertion, name string) (string, error) {
	i := slices.IndexFunc(a.Attributes, func(have saml.Attribute) bool { return have.Name == name })
	if i < 0 || len(a.Attributes[i].NameIDs) != len(a.Attributes[i].Values) {
		// A value in the clear is nobody's identifier.
		return "", errIdentifierKind
	}
	found := map[string]string{}
	for _, id := range a.Attributes[i].NameIDs {
		if _, twice := found[id.NameQualifier]; twice {
			return "", errors.New("two identifiers of one kind")
		}
		found[id.NameQualifier] = id.Value
	}
	if bsn, ok := found[qualifierBSN]; ok {
		if !nationalid.IsBSN(bsn) {
			return "", errBSN
		}
		return "nl-bsn:" + bsn, nil
	}
	if pseudonym := found[qualifierPseudonym]; pseudonym != "" && len(pseudonym) <= 256 {
		return "nl-pseudo:" + pseudonym, nil
	}
	return "", errIdentifierKind
}
