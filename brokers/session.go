package brokers

import (
	"time"

	"github.com/eidbridge/eidbridge/levels"
)

// Session is a browser's single sign-on session: what was proven, and until when
// it may be used again. A login always opens a new session with a new cookie.
type Session struct {
	// ID is random and never leaves the broker; relying parties see a sid that
	// is derived from it for each of them.
	ID string `json:"id"`
	// CookieHash is the SHA-256 of the browser's cookie.
	CookieHash Hash `json:"cookieHash"`
	// Events are the proofs, all of the same person.
	Events    []AuthenticationEvent `json:"events"`
	CreatedAt time.Time             `json:"createdAt"`
	ExpiresAt time.Time             `json:"expiresAt"`
}

// SamePerson reports whether an event is of the session's person: equal scheme
// and identifier, nothing else.
func (s *Session) SamePerson(e *AuthenticationEvent) bool {
	return len(s.Events) > 0 && s.Events[0].Subject.Key == e.Subject.Key
}

// Freshness says how long a proof of each level may be used again; zero is
// never. It only shortens with the level: what a session may be used for decays
// from high to substantial to low.
type Freshness struct {
	Low, Substantial, High time.Duration
}

// Usable returns the highest level at which an event still counts at a time. An
// event at high whose window for high has passed counts as substantial, then
// as low, then not at all. It is never above the event's own level.
func (f Freshness) Usable(e *AuthenticationEvent, now time.Time) levels.Level {
	age := now.Sub(e.AuthTime)
	if age < 0 {
		age = 0
	}
	windows := []struct {
		level  levels.Level
		window time.Duration
	}{{levels.High, f.High}, {levels.Substantial, f.Substantial}, {levels.Low, f.Low}, {levels.BelowLow, f.Low}}
	for _, w := range windows {
		if e.Assessment.Level >= w.level && age < w.window {
			return w.level
		}
	}
	return levels.None
}

// Grant is what an authorization code stands for, and after its redemption what
// the access token stands for.
type Grant struct {
	// ID names the grant in the audit log.
	ID      string               `json:"id"`
	Request AuthorizationRequest `json:"request"`
	Event   AuthenticationEvent  `json:"event"`
	// Level is the level that is reported: the event's, or less.
	Level levels.Level `json:"level"`
	// Subject is the pairwise identifier for this client.
	Subject string `json:"subject"`
	// Session is the ID of the session the login belongs to, or empty. The grant
	// ends with it.
	Session string `json:"session,omitempty"`
	// SessionID is the sid for this client.
	SessionID string    `json:"sid,omitempty"`
	IssuedAt  time.Time `json:"issuedAt"`
	// CodeExpiresAt is the end of the code's life.
	CodeExpiresAt time.Time `json:"codeExpiresAt"`
}
