package provider

import (
	"context"
	"time"

	"github.com/eidbridge/eidbridge/brokers"
	"github.com/eidbridge/eidbridge/brokers/abuse"
)

// Transactions are the verbs on logins under way.
type Transactions interface {
	// SaveTransaction inserts a new transaction; ErrConflict if it is there.
	SaveTransaction(ctx context.Context, t *brokers.Transaction) error
	// Transaction loads one that has not expired at now, or ErrNotFound.
	Transaction(ctx context.Context, id string, now time.Time) (*brokers.Transaction, error)
	// Advance stores t, if what is stored is at state from and at t's revision;
	// otherwise ErrConflict. It increments t.Revision.
	Advance(ctx context.Context, t *brokers.Transaction, from brokers.State) error
	// TakeUp moves the login that awaits this answer, in this browser if that is known,
	// from Departed on to Returning and loads it: of many who bring the answer one. Where
	// anything does not fit it is ErrNotFound, and nothing is touched.
	TakeUp(ctx context.Context, a brokers.Answer) (*brokers.Transaction, error)
}

// Grants are the verbs on codes and tokens.
type Grants interface {
	// IssueCode advances the login, uses up its pushed request, opens or renews the
	// session, notes the client in it, and stores the grant: all or nothing.
	// ErrConflict if the pushed request or the session is gone.
	IssueCode(ctx context.Context, i *brokers.Issuing) error
	// RedeemCode turns a code into an access token, once. A second time it revokes
	// the grant and returns it with ErrReplayed. An unknown or expired code is
	// ErrNotFound.
	RedeemCode(ctx context.Context, code, access brokers.Hash, token brokers.Token, now time.Time) (*brokers.Grant, error)
	// AccessToken loads a live access token and its grant, or ErrNotFound.
	AccessToken(ctx context.Context, access brokers.Hash, now time.Time) (*brokers.Grant, *brokers.Token, error)
	// SaveRefreshToken adds the first refresh token of a redeemed code's grant;
	// ErrNotFound if that was revoked.
	SaveRefreshToken(ctx context.Context, code, refresh brokers.Hash, token brokers.Token) error
	// RefreshToken loads a refresh token, used or not, and its grant; ErrNotFound
	// if it expired or the grant was revoked.
	RefreshToken(ctx context.Context, refresh brokers.Hash, now time.Time) (*brokers.Grant, *brokers.Token, error)
	// Refresh uses a refresh token. A second use revokes the grant and is
	// ErrReplayed, except as brokers.Refreshing says.
	Refresh(ctx context.Context, r brokers.Refreshing) error
	// RevokeByToken revokes the whole grant of an access or refresh token. One
	// that is not there is no error.
	RevokeByToken(ctx context.Context, token brokers.Hash, now time.Time) error
}

// Sessions are the verbs on single sign-on sessions and on the notices of their
// end.
type Sessions interface {
	// Session loads one that has not expired at now, or ErrNotFound.
	Session(ctx context.Context, cookie brokers.Hash, now time.Time) (*brokers.Session, error)
	// EndSession removes one, revokes the grants made in it and queues a notice
	// for each participant, who are returned: all or nothing. One that is not
	// there is no error.
	EndSession(ctx context.Context, cookie brokers.Hash, now, noticesUntil time.Time) ([]brokers.Participant, error)
	// LinkSession notes names, hashed under a key, by which an upstream will tell of the
	// end of a session, until a time. The session may be opened after it; its end
	// removes the names.
	LinkSession(ctx context.Context, links []brokers.Hash, session string, until time.Time) error
	// EndLinked ends all sessions that have one of the names, each as EndSession does,
	// and says how many: all or nothing.
	EndLinked(ctx context.Context, links []brokers.Hash, now, noticesUntil time.Time) (int, error)
	// DueNotices takes at most so many notices that are due. Nobody else gets them
	// before the lease ends.
	DueNotices(ctx context.Context, now, lease time.Time, most int) ([]brokers.Notice, error)
	PostponeNotice(ctx context.Context, id int64, due time.Time) error
	SettleNotice(ctx context.Context, id int64) error
}

// Documents are the verbs on what is kept under a handle.
type Documents interface {
	// Push keeps an authorization request until it expires or is used up.
	Push(ctx context.Context, handle brokers.Hash, r *brokers.PushedRequest) error
	// Pushed loads one, or ErrNotFound.
	Pushed(ctx context.Context, handle brokers.Hash, now time.Time) (*brokers.PushedRequest, error)
	// SaveReceipt keeps a level receipt; the first of an ID stays.
	SaveReceipt(ctx context.Context, id string, receipt []byte, until time.Time) error
	// Receipt loads one, or ErrNotFound.
	Receipt(ctx context.Context, id string, now time.Time) ([]byte, error)
}

// Devices are the verbs on the requests of devices (RFC 8628).
type Devices interface {
	// SaveDevice keeps a new one; ErrConflict if a code of it is taken.
	SaveDevice(ctx context.Context, r *brokers.DeviceRequest) error
	// Device loads one that nobody has taken up, or ErrNotFound.
	Device(ctx context.Context, userCode brokers.Hash, now time.Time) (*brokers.DeviceRequest, error)
	// TakeDevice takes one up, once.
	TakeDevice(ctx context.Context, userCode brokers.Hash, now time.Time) (*brokers.DeviceRequest, error)
	// DenyDevice notes that the citizen refused.
	DenyDevice(ctx context.Context, code brokers.Hash) error
	// PollDevice notes that the device asked, and says what it finds, or ErrNotFound.
	PollDevice(ctx context.Context, code brokers.Hash, now time.Time, interval time.Duration) (*brokers.Poll, error)
}

// Registrations are the verbs on clients that are not in the configuration.
type Registrations interface {
	// SaveRegistration keeps a new one; ErrConflict if the ID is taken.
	SaveRegistration(ctx context.Context, r *brokers.Registration) error
	// Registration loads one, or ErrNotFound.
	Registration(ctx context.Context, id string) (*brokers.Registration, error)
	// ReplaceRegistration changes one as a whole, or ErrNotFound.
	ReplaceRegistration(ctx context.Context, r *brokers.Registration) error
	// Registrations lists those whose ID comes after one, at most so many, by ID.
	Registrations(ctx context.Context, after string, most int) ([]*brokers.Registration, error)
	// DeleteRegistration removes one. One that is not there is no error.
	DeleteRegistration(ctx context.Context, id string) error
}

// Persons are the verbs by which what is kept of a person is found: record by
// record, since no column names anybody.
type Persons interface {
	// LiveSessions tells all sessions that have not ended, in no order.
	LiveSessions(ctx context.Context, now time.Time, each func(*brokers.Session) error) error
	// LiveGrants tells all grants that have neither ended nor been revoked, with the
	// hash of their code.
	LiveGrants(ctx context.Context, now time.Time, each func(code brokers.Hash, g *brokers.Grant) error) error
	// RevokeGrant revokes one with all its tokens. One that is not there is no error.
	RevokeGrant(ctx context.Context, code brokers.Hash, now time.Time) error
}

// Store is all that the provider keeps between requests. Every verb is atomic
// and may be called from several goroutines and replicas.
type Store interface {
	Transactions
	Grants
	Sessions
	Documents
	Devices
	Registrations
	Persons
	abuse.Strikes
	// UseAssertionID records what may be used once, until a time; ErrReplayed if
	// it was recorded before.
	UseAssertionID(ctx context.Context, issuer, id string, until time.Time) error
	// BindKey notes who uses a card's key; ErrConflict if it was somebody else. The
	// note lives until the latest time it was made with. ForgetKey removes it: the
	// operator decided.
	BindKey(ctx context.Context, key, holder brokers.Hash, until time.Time) error
	ForgetKey(ctx context.Context, key brokers.Hash) error
	// Purge removes at most so many expired records of each kind.
	Purge(ctx context.Context, now time.Time, most int) (int, error)
}
