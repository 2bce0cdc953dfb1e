package authcert

import (
	"io"
	"time"

	"github.com/eidbridge/eidbridge/brokers"
	"github.com/eidbridge/eidbridge/levels"
)

// Login is one by a holder whose proof was judged: certificate, signature, revocation.
type Login struct {
	// Upstream and Method say how, Issuer who asked for the proof, and Session is the
	// name that it was asked under.
	Upstream, Method, Issuer, Session string
	// Mapping gives a class of a scheme its level.
	Mapping       *levels.Mapping
	Scheme, Class string
	// Least is the level that was asked for, Most the operator's ceiling, or levels.None.
	Least, Most levels.Level
	Time        time.Time
	Rand        io.Reader
}

// Event is what the login proves. One that does not reach the level is a
// *brokers.RejectedError, as is a class without one.
func (h *Holder) Event(l Login) (*brokers.AuthenticationEvent, error) {
	assessment, err := l.Mapping.Assess(l.Scheme, l.Class, brokers.Ceilings(l.Upstream, l.Most)...)
	if err != nil {
		return nil, refuse("context_class", brokers.CategoryProtocol, err)
	}
	if assessment.Level < l.Least {
		return nil, refuse("loa_too_low", brokers.CategoryLevel, nil)
	}
	id, err := brokers.NewEventID(l.Rand)
	if err != nil {
		return nil, err
	}
	return &brokers.AuthenticationEvent{
		ID: id, Upstream: l.Upstream, Method: l.Method, Issuer: l.Issuer, AssertionID: l.Session,
		Assessment: assessment, AuthTime: l.Time, AMR: assessment.AMR,
		Subject: brokers.Subject{
			Key: h.Identity.Key, Country: h.Identity.Country, Birthdate: h.Identity.Birthdate,
			GivenName: h.GivenName, FamilyName: h.FamilyName,
		},
	}, nil
}
