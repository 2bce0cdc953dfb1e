package brokers

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/eidbridge/eidbridge/levels"
)

// State is where a login is. The states form one machine:
//
//	                               ┌─ (brought by the browser itself) ─┐
//	                               │                                   ▼
//	choosing ──► departed ──► returning ──► authenticated ───────► completed
//	   ▲  ▲          │            │               │
//	   │  └──────────┘ (another   │               │
//	   │                 method)  │               │
//	   └──────────────────────────┘ (cancelled,   │
//	                    refused or too low)       │
//	   any but completed ─────────────────────────┴──► abandoned
//
// Every step is one compare-and-set in the store, so that of two browsers or
// two replicas only one can take it.
type State string

const (
	// Choosing is waiting for the citizen to pick a method.
	Choosing State = "choosing"
	// Departed is away at the upstream.
	Departed State = "departed"
	// Returning is an answer that is being checked; it is taken up only once.
	Returning State = "returning"
	// Authenticated is a checked answer for which no code was issued yet.
	Authenticated State = "authenticated"
	// Leaving is no login: somebody logs out, and is away at the upstream to end the
	// session there. Left is the end of it. No step of a login leads here or from here.
	Leaving State = "leaving"
	Left    State = "left"
	// Completed is final: the code was issued.
	Completed State = "completed"
	// Abandoned is final: the relying party was told of an error.
	Abandoned State = "abandoned"
)

// steps lists where each state may go.
func steps(from State) []State {
	switch from {
	case Choosing:
		return []State{Departed, Abandoned}
	case Departed:
		return []State{Departed, Returning, Abandoned}
	case Returning:
		return []State{Authenticated, Completed, Choosing, Abandoned}
	case Authenticated:
		return []State{Completed, Choosing, Abandoned}
	case Leaving:
		return []State{Leaving, Left}
	case Completed, Abandoned, Left:
		return nil
	}
	return nil
}

// Final reports whether nothing can follow.
func (s State) Final() bool { return s == Completed || s == Abandoned || s == Left }

// CanBecome reports whether the machine has a step from s to next.
func (s State) CanBecome(next State) bool { return slices.Contains(steps(s), next) }

// Outcome is why a login is back at Choosing or was abandoned.
type Outcome string

// The outcomes, which are also reason codes in the audit log.
const (
	OutcomeNone      Outcome = ""
	OutcomeCancelled Outcome = "cancelled"
	OutcomeRefused   Outcome = "refused"
	OutcomeTooLow    Outcome = "level_too_low"
	OutcomeStale     Outcome = "stale"
	OutcomeTimeout   Outcome = "timeout"
	// OutcomeOtherPerson is a step-up by somebody else than the first login's
	// person.
	OutcomeOtherPerson Outcome = "other_person"
	// OutcomeUnavailable is an upstream that could not be reached.
	OutcomeUnavailable Outcome = "unavailable"
	// OutcomeBlocked, OutcomeNotRegistered, OutcomeDevice and OutcomeCard are the
	// categories of the same names.
	OutcomeBlocked       Outcome = "blocked"
	OutcomeNotRegistered Outcome = "not_registered"
	OutcomeDevice        Outcome = "device"
	OutcomeCard          Outcome = "card"
)

// AuthorizationRequest is a relying party's request after every check: client
// and redirect URI are known good.
type AuthorizationRequest struct {
	ClientID    string `json:"clientId"`
	RedirectURI string `json:"redirectUri"`
	State       string `json:"state,omitempty"`
	Nonce       string `json:"nonce,omitempty"`
	// CodeChallenge is the S256 challenge (RFC 7636).
	CodeChallenge string `json:"codeChallenge"`
	// ResponseMode is how the answer travels; empty is in the query.
	ResponseMode string `json:"responseMode,omitempty"`
	// ProofKey is the thumbprint of the DPoP key that alone may redeem the code.
	ProofKey string   `json:"proofKey,omitempty"`
	Scopes   []string `json:"scopes"`
	// Resources are the services that access tokens are meant for (RFC 8707); none is
	// what the client is registered with.
	Resources []string `json:"resources,omitempty"`
	// Claims asks for single claims (OpenID Connect Core 5.5).
	Claims ClaimsRequest `json:"claims,omitzero"`
	// Requirement is the level that the login has to reach.
	Requirement levels.Requirement `json:"requirement"`
	// Preferred is a level that the relying party would like without insisting.
	Preferred levels.Level `json:"preferred,omitempty"`
	// MaxAge bounds the age of the authentication in seconds; nil is no bound.
	MaxAge *int `json:"maxAge,omitempty"`
	// Person, if not empty, is the subject that alone will do (id_token_hint).
	Person string `json:"person,omitempty"`
	// Switch lets the citizen log in as somebody else than the session's person
	// (prompt=login or select_account).
	Switch bool `json:"switch,omitempty"`
	// Hint names a method that the relying party proposes (login_hint).
	Hint string `json:"hint,omitempty"`
	// Fresh asks for a new login, whatever sessions there are (prompt=login).
	Fresh bool `json:"fresh,omitempty"`
	// Silent forbids to show any page (prompt=none).
	Silent    bool     `json:"silent,omitempty"`
	UILocales []string `json:"uiLocales,omitempty"`
	// Offers, if not empty, are the only methods that the operator's rules leave, as
	// "<upstream>/<method>".
	Offers []string `json:"offers,omitempty"`
	// Device is a request by a device (RFC 8628), which has no redirect URI.
	Device bool `json:"device,omitempty"`
}

// ClaimsRequest lists single claims by where they are wanted. The value says
// which values are acceptable; an empty list accepts any.
type ClaimsRequest struct {
	IDToken  map[string][]string `json:"idToken,omitempty"`
	UserInfo map[string][]string `json:"userInfo,omitempty"`
	// VerifiedIDToken and VerifiedUserInfo are requests for verified_claims, as
	// JSON: an array of objects (OpenID Connect for Identity Assurance 1.0).
	VerifiedIDToken  json.RawMessage `json:"verifiedIdToken,omitempty"`
	VerifiedUserInfo json.RawMessage `json:"verifiedUserInfo,omitempty"`
}

// ForceAuthn reports whether the upstream must not answer from a session of its
// own. A maximum age counts from the upstream's time of authentication, so the
// upstream has to authenticate anew to be sure to meet it.
func (r *AuthorizationRequest) ForceAuthn() bool { return r.Fresh || r.MaxAge != nil }

// Transaction is one authorization request on its way. It is bound to the
// browser that brought it and is of use once.
type Transaction struct {
	Later

	// ID is a random handle. It appears in URLs and gives nothing without the
	// browser's cookie.
	ID    string `json:"id"`
	State State  `json:"state"`
	// Unkept is set while no store knows the login: one that needs only a single
	// request of the browser may end without ever being kept.
	Unkept bool `json:"-"`
	// Revision counts the steps; the store compares it when it advances.
	Revision int                  `json:"revision"`
	Request  AuthorizationRequest `json:"request"`
	// BrowserHash is the SHA-256 of the browser's cookie.
	BrowserHash Hash `json:"browserHash"`
	// Pushed names the pushed request that the login began with, which is used up
	// when the code is issued; zero is none.
	Pushed Hash `json:"pushed,omitzero"`
	// Device is the hash of the device code for which the citizen logs in; zero is
	// none.
	Device Hash `json:"device,omitzero"`
	// Upstream and Method are the citizen's choice, once there is one.
	Upstream string `json:"upstream,omitempty"`
	Method   string `json:"method,omitempty"`
	// Departure is what has to be remembered while the citizen is away.
	Departure *Departure `json:"departure,omitempty"`
	// StepUp is set while the login has to be by the person of the browser's
	// session.
	StepUp bool `json:"stepUp,omitempty"`
	// Event is the proof, once there is one.
	Event *AuthenticationEvent `json:"event,omitempty"`
	// Pending are the proofs whose sessions are still to be ended at upstreams, after
	// the one of Upstream, and Open says that one did not end (state Leaving).
	Pending []AuthenticationEvent `json:"pending,omitempty"`
	Open    bool                  `json:"open,omitempty"`
	// Outcome and Reference tell of the last attempt that failed.
	Outcome   Outcome `json:"outcome,omitempty"`
	Reference string  `json:"reference,omitempty"`
	// Steps are what happened so far, for the help desk.
	Steps []Step `json:"steps,omitempty"`
	// Attempts counts departures.
	Attempts  int       `json:"attempts"`
	CreatedAt time.Time `json:"createdAt"`
	UpdatedAt time.Time `json:"updatedAt"`
	ExpiresAt time.Time `json:"expiresAt"`
}

// Step is one thing that happened in a login, told in codes: never a name, a number
// or text that came from outside.
type Step struct {
	At     time.Time         `json:"at"`
	Event  string            `json:"event"`
	Reason string            `json:"reason"`
	Codes  map[string]string `json:"codes,omitempty"`
}

// Flight is what is kept behind the reference that an error page shows.
type Flight struct {
	Reference string `json:"reference"`
	// Client is the portal, if it is known.
	Client string `json:"client,omitempty"`
	Steps  []Step `json:"steps"`
}

// RelayState is the handle under which an upstream's answer is awaited, or
// empty if none is.
func (t *Transaction) RelayState() string {
	if t.State != Departed || t.Departure == nil {
		return ""
	}
	return t.Departure.Request.RelayState
}

// Awaits says which answer the login waits for: a hash of the relay state and the
// upstream; the zero hash is none.
func (t *Transaction) Awaits() Hash {
	relayState := t.RelayState()
	if relayState == "" {
		return Hash{}
	}
	return awaited(t.Upstream, relayState)
}

// awaited hashes what an answer names. The separator is in no ID of an upstream.
func awaited(upstream, relayState string) Hash { return HashOf(upstream + "\x00" + relayState) }

// Answer is what an upstream sent a browser back with, before anything of it is checked.
type Answer struct {
	// RelayState is not empty; Upstream is the ID.
	RelayState, Upstream string
	// Browser is the hash of the browser's cookie; the zero hash if it is not known yet.
	Browser Hash
	Now     time.Time
}

// Awaited is what the login must wait for that this answers.
func (a *Answer) Awaited() Hash { return awaited(a.Upstream, a.RelayState) }

// Fits reports whether a login awaits the answer, in this browser if that is known.
func (a *Answer) Fits(t *Transaction) bool {
	return t.Awaits() == a.Awaited() && (a.Browser == Hash{} || a.Browser == t.BrowserHash)
}

// TakenUp is the login whose answer was taken up at a time: from Departed on to
// Returning.
func (t *Transaction) TakenUp(at time.Time) { t.State, t.UpdatedAt = Returning, at }

// NewRelayState makes the handle of a departure: it finds its login, and the
// random part makes it another one for every departure.
func (t *Transaction) NewRelayState(random string) string { return t.ID + "." + random }

// RelayedID is the ID of the login that a relay state names. The login itself
// knows whether it awaits exactly this answer.
func RelayedID(relayState string) string {
	id, _, _ := strings.Cut(relayState, ".")
	return id
}

// Ended is what is kept of a login after its code was issued: that it is over,
// and in which browser.
func (t *Transaction) Ended() *Transaction {
	return &Transaction{
		ID: t.ID, State: t.State, Unkept: t.Unkept, Revision: t.Revision, BrowserHash: t.BrowserHash, Pushed: t.Pushed, Upstream: t.Upstream, Method: t.Method,
		Request:  AuthorizationRequest{ClientID: t.Request.ClientID, UILocales: t.Request.UILocales},
		Attempts: t.Attempts, CreatedAt: t.CreatedAt, UpdatedAt: t.UpdatedAt, ExpiresAt: t.ExpiresAt,
	}
}

// Step moves the transaction in memory and returns the state it left, which the
// store compares. A step that the machine does not have is a programming error.
func (t *Transaction) Step(next State, now time.Time) (from State, err error) {
	if !t.State.CanBecome(next) {
		return "", fmt.Errorf("a login cannot go from %s to %s", t.State, next)
	}
	from = t.State
	t.State, t.UpdatedAt = next, now
	return from, nil
}
