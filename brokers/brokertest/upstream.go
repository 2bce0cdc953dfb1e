package brokertest

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"sync"
	"time"

	"github.com/eidbridge/eidbridge/brokers"
	"github.com/eidbridge/eidbridge/levels"
)

// Upstream is a scheme for tests. Its login page is nobody's: a test reads the
// departure's location, and calls back with whatever answer it likes. Answers
// are levels in words ("substantial"), mapped as TARA's are.
type Upstream struct {
	// Name is the ID, default "fake".
	Name string
	// Offered are the methods, default one that reaches high.
	Offered []brokers.Method
	// Page is the address of the login page, default https://idp.example/login.
	Page string
	// Posts makes departures forms instead of redirections.
	Posts bool
	// Now is the clock for AuthTime, default time.Now.
	Now func() time.Time
	// once reads the mapping of levels.
	once   sync.Once
	levels *levels.Mapping
	// Change, if set, may change an event before it is returned.
	Change func(*brokers.AuthenticationEvent)
}

func (u *Upstream) mapping() *levels.Mapping {
	u.once.Do(func() { u.levels = levels.Default() })
	return u.levels
}

// ID is the upstream's name.
func (u *Upstream) ID() string {
	if u.Name == "" {
		return "fake"
	}
	return u.Name
}

// Methods are the methods on offer.
func (u *Upstream) Methods() []brokers.Method {
	if u.Offered != nil {
		return u.Offered
	}
	return []brokers.Method{{ID: u.ID() + "-card", Level: levels.High, Name: map[string]string{"en": "Card"}}}
}

// Destinations is the origin of the login page.
func (u *Upstream) Destinations() []string {
	page, err := url.Parse(u.page())
	if err != nil {
		return nil
	}
	return []string{page.Scheme + "://" + page.Host}
}

func (u *Upstream) page() string {
	if u.Page == "" {
		return "https://idp.example/login"
	}
	return u.Page
}

// Start sends the browser to Page with the relay state and the level asked for.
func (u *Upstream) Start(_ context.Context, r brokers.AuthenticationRequest) (*brokers.Departure, error) {
	fields := map[string]string{"relay": r.RelayState, "level": r.Level.String(), "force": fmt.Sprint(r.ForceAuthn)}
	d := &brokers.Departure{Location: u.page(), RequestID: "_" + r.RelayState, Request: r}
	if u.Posts {
		d.Form = fields
		return d, nil
	}
	query := url.Values{}
	for name, value := range fields {
		query.Set(name, value)
	}
	d.Location += "?" + query.Encode()
	return d, nil
}

// Correlate reads the parameter relay.
func (u *Upstream) Correlate(r *http.Request) (string, error) {
	if err := r.ParseForm(); err != nil {
		return "", err
	}
	if r.Form.Get("relay") == "" {
		return "", errors.New("no relay state")
	}
	return r.Form.Get("relay"), nil
}

// Finish believes the callback's parameters: person (a subject key), level (a
// word), assertion (an ID), and result, which may be "cancel", "reject" or
// "down".
func (u *Upstream) Finish(_ context.Context, r *http.Request, d *brokers.Departure) (*brokers.AuthenticationEvent, error) {
	switch r.Form.Get("result") {
	case "cancel":
		return nil, brokers.ErrCancelled
	case "reject":
		return nil, &brokers.RejectedError{Reason: "signature_invalid", Err: errors.New("test")}
	case "down":
		return nil, errors.New("back channel is down")
	}
	if r.Form.Get("relay") != d.Request.RelayState {
		return nil, &brokers.RejectedError{Reason: "in_response_to"}
	}
	assessment, err := u.mapping().Assess("tara", r.Form.Get("level"))
	if err != nil {
		return nil, &brokers.RejectedError{Reason: "level_unknown", Err: err}
	}
	now := time.Now
	if u.Now != nil {
		now = u.Now
	}
	assertion := r.Form.Get("assertion")
	if assertion == "" {
		assertion = d.RequestID
	}
	person := r.Form.Get("person")
	if person == "" {
		person = "ee-ik:60001019906"
	}
	event := &brokers.AuthenticationEvent{
		ID: "event-" + assertion, Upstream: u.ID(), Method: d.Request.Method, Issuer: u.page(), AssertionID: assertion,
		Assessment: assessment, AuthTime: now(), AMR: []string{"sc", "pin", "mfa"},
		Subject: brokers.Subject{Key: person, GivenName: "MARI-LIIS", FamilyName: "TESTMAA", Birthdate: "2000-01-01", Country: "EE"},
	}
	if u.Change != nil {
		u.Change(event)
	}
	return event, nil
}
