package brokers

import "errors"

// ErrCancelled is a login that the citizen gave up at the upstream.
var ErrCancelled = errors.New("login was cancelled by the citizen")

// RejectedError is an upstream answer that was refused. The browser is told a
// reference number only; Reason is for the operator's audit log and names the
// check, never the attacker's text or personal data.
type RejectedError struct {
	// Reason is a stable code such as "signature_invalid" or "audience".
	Reason string
	// Category is what the citizen and the relying party may learn. The zero value
	// is CategoryProtocol.
	Category Category
	// Evidence is a value of ours that the operator needs to act, such as the
	// fingerprint of a key; empty if there is none. It goes to the audit log.
	Evidence string
	// Err has the detail, free of personal data.
	Err error
}

func (e *RejectedError) Error() string {
	if e.Err == nil {
		return "upstream answer refused: " + e.Reason
	}
	return "upstream answer refused: " + e.Reason + ": " + e.Err.Error()
}

func (e *RejectedError) Unwrap() error { return e.Err }

// Category sorts refusals by what to tell the citizen. It names no check.
type Category string

// The categories of refusals. A login that was given up is ErrCancelled.
const (
	// CategoryProtocol is an answer that must not be believed.
	CategoryProtocol Category = ""
	// CategoryDenied is a login that did not succeed at the upstream.
	CategoryDenied Category = "wrong_credentials"
	// CategoryLevel is a citizen or an account that cannot reach the level.
	CategoryLevel Category = "level_too_low"
	// CategoryTimeout is an answer that came too late.
	CategoryTimeout Category = "timeout"
	// CategoryUnavailable is an upstream that is down.
	CategoryUnavailable Category = "upstream_down"
	// CategoryConfiguration is an upstream that does not accept us.
	CategoryConfiguration Category = "configuration"
	// CategoryBlocked is an account or document that its issuer has blocked.
	CategoryBlocked Category = "blocked"
	// CategoryNotRegistered is a person who does not have this means.
	CategoryNotRegistered Category = "not_registered"
	// CategoryDevice is a telephone that could not do its part.
	CategoryDevice Category = "device"
	// CategoryCard is a card or certificate that cannot be used.
	CategoryCard Category = "card"
)

// MethodError is a callback by an HTTP method that the upstream's binding does not know.
type MethodError struct {
	// Allow is the method that it knows, for the header of that name.
	Allow string
}

func (e *MethodError) Error() string { return "method is not " + e.Allow }

// ErrContentType is a callback whose body is of another kind than a form's.
var ErrContentType = errors.New("content type is not a form")

// ErrNoLogout is an upstream at which nobody can log out: the scheme has no such thing,
// or the configuration leaves it out.
var ErrNoLogout = errors.New("upstream has no logout")

// What a store answers when a verb finds nothing to act on.
var (
	// ErrNotFound is a record that never was or has expired.
	ErrNotFound = errors.New("not found")
	// ErrConflict is a step that another request took first.
	ErrConflict = errors.New("changed by another request")
	// ErrReplayed is a second use of what may be used once.
	ErrReplayed = errors.New("used before")
	// ErrFull is a record for which there is no room now.
	ErrFull = errors.New("the store is full")
)
