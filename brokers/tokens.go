package brokers

import (
	"encoding/json"
	"time"
)

// Token is what is kept of an access or refresh token beside its hash.
type Token struct {
	// Binding names the key whose holder alone may use the token, as
	// "jkt:<thumbprint>" (RFC 9449) or "x5t#S256:<thumbprint>" (RFC 8705); empty
	// is a bearer token.
	Binding string `json:"binding,omitempty"`
	// Scopes are what the token is good for, at most those of its grant.
	Scopes []string `json:"scopes,omitempty"`
	// Resources are the services that an access token is meant for, if it was asked for
	// fewer than its grant (RFC 8707).
	Resources []string `json:"resources,omitempty"`
	// Credential is a fingerprint of the secret by which the client proved itself:
	// a refresh token dies when the secret changes.
	Credential string    `json:"credential,omitempty"`
	IssuedAt   time.Time `json:"issuedAt"`
	ExpiresAt  time.Time `json:"expiresAt"`
	// Used is set when a refresh token is loaded that another took the place of.
	Used bool `json:"-"`
}

// Refreshing is one use of a refresh token: an access token for it and, if it
// rotates, the refresh token that takes its place.
type Refreshing struct {
	// Old is the refresh token that was brought.
	Old Hash
	// Access and AccessToken are the new access token.
	Access      Hash
	AccessToken Token
	// Next and NextToken are the successor; a zero Next keeps the old one, whose
	// life then ends when NextToken says.
	Next      Hash
	NextToken Token
	// Caller names who brought it. Within Grace after its first use the same
	// caller may bring it again, as long as the successor was not used, and gets
	// the same answer: answers get lost on the way.
	Caller Hash
	Grace  time.Duration
	Now    time.Time
}

// Retries reports whether the token's first use was so lately that this one may
// be a retry. The clocks of two replicas differ, so a retry may seem to come a
// little before the first use.
func (r *Refreshing) Retries(firstUse time.Time) bool { return r.Now.Sub(firstUse).Abs() < r.Grace }

// Issuing is the last step of a login: its code, and all that goes with it.
type Issuing struct {
	// Login is at its final state; From is the state that the store must find. One
	// that is Unkept is not in the store, and is not put there.
	Login *Transaction
	From  State
	Code  Hash
	Grant *Grant
	// KeepUntil is until when the grant is kept at least, the end of a token that the
	// code may become; the zero time is the end of the code. Redeeming it then changes
	// no term.
	KeepUntil time.Time
	// Session, if not nil, is opened with the code, or takes the place of the session
	// of the same ID whose cookie Renews names.
	Session *Session
	Renews  Hash
	// Participates notes the client in the session, so that it is told of the end.
	Participates bool
}

// Until is until when the grant is kept at first.
func (i *Issuing) Until() time.Time {
	if i.KeepUntil.After(i.Grant.CodeExpiresAt) {
		return i.KeepUntil
	}
	return i.Grant.CodeExpiresAt
}

// Participant is a client that took part in a session, as logout notices name
// it.
type Participant struct {
	ClientID string `json:"clientId"`
	// SessionID and Subject are the sid and sub that this client knows.
	SessionID string `json:"sid"`
	Subject   string `json:"sub"`
}

// Notice is a logout notice in the outbox.
type Notice struct {
	ID int64
	Participant
	// Attempts counts the deliveries that were begun, this one included.
	Attempts int
}

// PushedRequest is an authorization request that a client deposited (RFC 9126),
// after every check.
type PushedRequest struct {
	ClientID   string            `json:"clientId"`
	Parameters map[string]string `json:"parameters"`
	ExpiresAt  time.Time         `json:"expiresAt"`
}

// DeviceRequest is an authorization that a device without a browser asked for
// (RFC 8628). Approval puts a grant behind its device code.
type DeviceRequest struct {
	// Code is the hash of the device code, UserCode that of the code that the citizen
	// types.
	Code     Hash                 `json:"code"`
	UserCode Hash                 `json:"userCode"`
	Request  AuthorizationRequest `json:"request"`
	// Place is the network address that asked, for the citizen to judge.
	Place     string    `json:"place,omitempty"`
	CreatedAt time.Time `json:"createdAt"`
	ExpiresAt time.Time `json:"expiresAt"`
}

// Poll is what a device that asks for its tokens finds while there are none.
type Poll struct {
	ClientID string
	// Denied is set when the citizen refused.
	Denied bool
	// TooFast is set when the device asked sooner than it was told to.
	TooFast bool
	// Expired is set when the time is over.
	Expired bool
}

// Registration is a client that registered itself (RFC 7591), or that an operator
// keeps in the store.
type Registration struct {
	Later

	ID string `json:"id"`
	// Token is the hash of the registration access token (RFC 7592); zero for none.
	Token Hash `json:"token,omitzero"`
	// Metadata is what was registered, and SecretHash the hash of the secret.
	Metadata   json.RawMessage `json:"metadata"`
	SecretHash Hash            `json:"secretHash,omitzero"`
	// PairwiseVersion is the version of the pairwise secret at the time.
	PairwiseVersion int `json:"pairwiseVersion"`
	// Operator says that an operator keeps it: its metadata are the operator's
	// settings, and it did not register itself.
	Operator bool `json:"operator,omitempty"`
	// Disabled keeps the client from everything.
	Disabled  bool      `json:"disabled,omitempty"`
	CreatedAt time.Time `json:"createdAt"`
	ChangedAt time.Time `json:"changedAt,omitzero"`
}
