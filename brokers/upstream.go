package brokers

import (
	"context"
	"encoding/json"
	"net/http"
	"time"

	"github.com/eidbridge/eidbridge/levels"
)

// Upstream is a national scheme that can identify a person. Each scheme is one
// package that implements it and knows neither the provider, nor the store, nor
// another scheme. What only some schemes can do (logout, polling) is a further
// interface found by type assertion.
//
// A login by redirection goes: Start → browser at the scheme → callback →
// Correlate (which login is this?) → the provider loads the Departure it stored
// → Finish (strict checks, once) → AuthenticationEvent. One that is Immediate may
// need none of this.
type Upstream interface {
	// ID is the upstream's name in configuration and in callback paths:
	// lower-case letters, digits and hyphens.
	ID() string
	// Methods lists the ways to log in that are offered now, each with the
	// highest level it can reach.
	Methods() []Method
	// Start begins a login. It sends nothing itself.
	Start(ctx context.Context, r AuthenticationRequest) (*Departure, error)
	// Correlate reads from a callback the RelayState that Start chose, without
	// trusting anything else in it.
	Correlate(r *http.Request) (relayState string, err error)
	// Finish checks the callback against the departure of the same login and
	// returns what was proven. An assertion is accepted once over all
	// instances, which needs a store that the upstream is given. Whatever is wrong with the answer is a
	// *RejectedError; a citizen who gave up is ErrCancelled.
	Finish(ctx context.Context, r *http.Request, d *Departure) (*AuthenticationEvent, error)
}

// Method is one way to log in that a citizen can choose.
type Method struct {
	// ID is unique within the upstream: "digid-midden".
	ID string
	// Level is the highest level of assurance that the method can reach.
	Level levels.Level
	// Name is the text on the button by language tag; "en" is always there.
	Name map[string]string
}

// AuthenticationRequest is what the provider asks of an upstream.
type AuthenticationRequest struct {
	// Method is the ID of the chosen method.
	Method string
	// Level is the least level that will do; the upstream is asked for the
	// smallest class of its own that is not below it.
	Level levels.Level
	// ForceAuthn forbids the upstream to answer from its own session.
	ForceAuthn bool
	// Locale is the language chosen by the citizen, a BCP 47 tag.
	Locale string
	// LoginHint is what the relying party says of who will log in. It proves
	// nothing; an upstream may pass it on, or use it to fill in a form.
	LoginHint string
	// RelayState is the provider's handle for this login, at most 80 bytes
	// (SAML bindings 3.4.3).
	RelayState string
}

// Departure is where the browser goes next, and what has to be remembered until
// it comes back. It is stored as JSON with the transaction.
type Departure struct {
	// Location is the URL for a redirect. For a form it is the action. It is empty
	// in a conversation.
	Location string `json:"location,omitempty"`
	// Form, if not nil, holds the fields of a form that is posted to Location.
	Form map[string]string `json:"form,omitempty"`
	// RequestID is the upstream's name for the request (SAML ID, OIDC state).
	RequestID string `json:"requestId"`
	// RequestedAt is when the request was made: no answer may be older.
	RequestedAt time.Time `json:"requestedAt"`
	// Request echoes what was asked, so that Finish can check the answer
	// against it.
	Request AuthenticationRequest `json:"request"`
	// Memo is what the upstream itself has to remember.
	Memo json.RawMessage `json:"memo,omitempty"`
	// BusyUntil is set while a step of a conversation is being taken.
	BusyUntil time.Time `json:"busyUntil,omitzero"`
}

// Immediate is an optional power of an upstream: it may know who the citizen is from
// the very request that begins the login, by a certificate of the connection or by
// what a gateway in front of the broker vouches for. Nobody is sent anywhere then.
//
// It is asked once abuse control let the login begin, where its method is the only
// one on offer, and never for a device, whose citizen is at another machine than the
// request. What it says is judged like the answer of Finish: level, age, the
// operator's rules. A link on a foreign page can begin such a login, as it can begin
// one from a session; the answer goes to the registered redirect URI of the client
// and nowhere else.
type Immediate interface {
	// Recognize returns what the request proves; nil if that is nothing, and the login
	// goes on with Start. With ForceAuthn only a proof that was made for this very
	// request counts. The RelayState is empty; errors are those of Finish.
	Recognize(r *http.Request, q AuthenticationRequest) (*AuthenticationEvent, error)
}

// Describer is an optional power of an upstream: the service provider's own
// metadata document, which the provider serves.
type Describer interface {
	Metadata() ([]byte, error)
}

// Watched is an optional power of an upstream: whether it can be expected to
// work now. One that is down is not offered.
type Watched interface {
	Up() bool
}

// Limited is an optional power of an upstream: which of its methods are out of
// order, by plan or not. They stay on the page, so that people see why they
// cannot be chosen, and what there is of equal level.
type Limited interface {
	// Limits lists what is out of order, or soon will be, at a time.
	Limits(now time.Time) []Limit
}

// Limit is an outage or a planned maintenance.
type Limit struct {
	// Method is a method's ID; empty is the whole upstream.
	Method string `json:"method,omitempty"`
	// From and Until bound it; zero is open.
	From  time.Time `json:"from,omitzero"`
	Until time.Time `json:"until,omitzero"`
	// Planned says that it was announced.
	Planned bool `json:"planned,omitempty"`
}

// Outage is a limit that an operator set on an upstream, or that followed from its
// failures.
type Outage struct {
	// ID names one that is in the store; those of the configuration have none.
	ID       string `json:"id,omitempty"`
	Upstream string `json:"upstream"`
	Limit
	// Automatic says that failures were seen and nobody decided.
	Automatic bool `json:"automatic,omitempty"`
}

// Applies reports whether a method is out of order at a time.
func (l Limit) Applies(method string, now time.Time) bool {
	return (l.Method == "" || l.Method == method) && !now.Before(l.From) && (l.Until.IsZero() || now.Before(l.Until))
}

// Leaver is an optional power of an upstream: to end the session that it keeps
// itself (single logout). It goes as a login does: StartLogout → browser at the
// scheme → callback → FinishLogout. Correlate reads the RelayState of such answers,
// too.
type Leaver interface {
	// StartLogout begins the logout of an event's session. It sends nothing itself.
	// Where the scheme or the configuration has no logout it is an ErrNoLogout.
	StartLogout(ctx context.Context, e *AuthenticationEvent, relayState string) (*Departure, error)
	// FinishLogout judges the answer. A session that did not end everywhere is an
	// error; a citizen who kept it is ErrCancelled.
	FinishLogout(ctx context.Context, r *http.Request, d *Departure) error
}

// Notified is an optional power of an upstream: it is told, by a message from machine
// to machine, that a session ended at the scheme.
type Notified interface {
	// LogoutNames are the names by which a notice can mean the session of an event.
	// They are personal data; none means that no notice will come.
	LogoutNames(e *AuthenticationEvent) []string
	// ReceiveLogout checks a notice, once. Whatever is wrong with it is a
	// *RejectedError; an ErrNoLogout expects none.
	ReceiveLogout(ctx context.Context, r *http.Request) (*LogoutNotice, error)
}

// LogoutNotice is a checked notice of a logout.
type LogoutNotice struct {
	// Names are those of the sessions that have to end: each that has any of them.
	Names []string
	// Answer makes the answer and its media type: whether they ended.
	Answer func(done bool) (body []byte, mediaType string, err error)
}

// Destined is an optional power of an upstream: the origins
// ("https://digid.example") to which Start sends browsers. A browser follows a
// redirection after a form only to origins that the page named beforehand
// (CSP form-action); without this power the provider shows a page in between.
type Destined interface {
	Destinations() []string
}
