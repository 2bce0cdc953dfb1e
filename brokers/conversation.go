package brokers

import (
	"context"
	"time"
)

// Conversing is an optional power of an upstream with which the citizen deals on
// our own pages: a telephone that shows a code, a card in the reader. Its Start
// sends nobody anywhere: the departure has no location, and what the upstream
// has to remember is in its Memo.
//
//	Start ─► View ─► Proceed ─► View ─► … ─► Proceed returns the event
//
// The provider sees to it that Proceed runs once at a time for a login, over all
// replicas, and stores what it changed in the departure. Where the device leads
// the browser back by itself, the callback goes through Correlate and Finish as
// at any upstream.
type Conversing interface {
	Upstream
	// View says what the citizen sees now. It does no I/O.
	View(d *Departure) (View, error)
	// Proceed takes the login one step further: with what the citizen entered, or
	// with nil as time goes by, in which case it may wait for the device as long as
	// Patience says. It changes nothing of d but the Memo. It returns the event when
	// the proof is complete, nil when there is more to do, and errors as Finish
	// does.
	Proceed(ctx context.Context, d *Departure, input map[string]string) (*AuthenticationEvent, error)
}

// View is what a conversation shows: one of *Questions, *Device and *Card.
type View interface{ view() }

// Questions is a form.
type Questions struct {
	// Topic names the texts of the page in the catalogues: "mobile_id".
	Topic  string
	Fields []Field
}

// Field is a question of a form. Label, hint and errors are texts of the
// catalogues.
type Field struct {
	// Name is the name in the input and of the texts: "personal_code".
	Name string
	// Value was entered before.
	Value string
	// Wrong says that it was not acceptable.
	Wrong bool
	// Telephone and Numeric choose the keys that a telephone shows.
	Telephone, Numeric bool
	// MaxLength bounds the entry, in characters.
	MaxLength int
}

// Device is what to do on another device, or with a program of this one.
type Device struct {
	// Topic names the texts of the page: "mobile_id".
	Topic string
	// Code is to be compared with the one on the device; may be empty.
	Code string
	// QR is the content of a code to be scanned, as of now; may be empty.
	QR string
	// Link opens the program on this device; may be empty.
	Link string
	// Here offers to go on with the program on this device: the input "here". Again
	// offers a new code in place of one that has grown old: the input "again".
	Here, Again bool
	// Until is when the upstream stops waiting.
	Until time.Time
}

// Card is a challenge for a card's authentication key.
type Card struct {
	// Nonce is the challenge as text, which is what is signed (Web eID 1.0).
	Nonce string
	// Agents are the addresses at which an eidagent may listen.
	Agents []string
	Until  time.Time
}

func (*Questions) view() {}
func (*Device) view()    {}
func (*Card) view()      {}

type patienceKey struct{}

// WithPatience tells an upstream how long a step may wait for the device.
func WithPatience(ctx context.Context, d time.Duration) context.Context {
	return context.WithValue(ctx, patienceKey{}, d)
}

// Patience is how long a step may wait for the device; zero if nobody said.
func Patience(ctx context.Context) time.Duration {
	d, _ := ctx.Value(patienceKey{}).(time.Duration)
	return d
}
