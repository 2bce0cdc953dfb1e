package brokertest

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"sync"
	"time"

	"github.com/eidbridge/eidbridge/brokers"
	"github.com/eidbridge/eidbridge/levels"
)

// Telephone is a scheme for tests with which the citizen deals on the broker's
// pages: it asks for a number, shows a code, and waits until a test calls
// Answer.
type Telephone struct {
	// Now is the clock, default time.Now.
	Now func() time.Time
	// Out lists what is out of order.
	Out []brokers.Limit
	// Taking, if set, is called while a step waits for the device.
	Taking func()
	// Waiting, if set, is told how long a step may wait.
	Waiting func(time.Duration)

	mu     sync.Mutex
	answer error
	done   bool
	steps  int
}

// Answer ends the waiting: nil is a success.
func (u *Telephone) Answer(err error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.answer, u.done = err, true
}

// Steps counts the steps that waited for the device.
func (u *Telephone) Steps() int {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.steps
}

// ID is "telephone".
func (*Telephone) ID() string { return "telephone" }

// Methods is one that reaches high.
func (*Telephone) Methods() []brokers.Method {
	return []brokers.Method{{ID: "telephone", Level: levels.High, Name: map[string]string{"en": "Telephone"}}}
}

// Limits lists Out.
func (u *Telephone) Limits(time.Time) []brokers.Limit { return u.Out }

type telephoneMemo struct {
	Number string `json:"number"`
	Wrong  bool   `json:"wrong"`
}

// Start asks for a number.
func (u *Telephone) Start(_ context.Context, r brokers.AuthenticationRequest) (*brokers.Departure, error) {
	return &brokers.Departure{RequestID: "_" + r.RelayState, Request: r, Memo: json.RawMessage(`{}`)}, nil
}

// View shows the form, or the code 1234 and the link of a code to be scanned.
func (u *Telephone) View(d *brokers.Departure) (brokers.View, error) {
	var memo telephoneMemo
	if err := json.Unmarshal(d.Memo, &memo); err != nil {
		return nil, err
	}
	if memo.Number == "" {
		return &brokers.Questions{Topic: "mobile_id_ask", Fields: []brokers.Field{{Name: "phone_number", Telephone: true, Wrong: memo.Wrong, MaxLength: 16}}}, nil
	}
	return &brokers.Device{Topic: "mobile_id", Code: "1234", QR: "https://app.example/" + memo.Number, Until: time.Unix(2e9, 0)}, nil
}

// Proceed takes a number that begins with a plus sign.
func (u *Telephone) Proceed(ctx context.Context, d *brokers.Departure, input map[string]string) (*brokers.AuthenticationEvent, error) {
	var memo telephoneMemo
	if err := json.Unmarshal(d.Memo, &memo); err != nil {
		return nil, err
	}
	if number := input["phone_number"]; input != nil && memo.Number == "" {
		memo.Wrong = number == "" || number[0] != '+'
		if !memo.Wrong {
			memo.Number = number
		}
		var err error
		d.Memo, err = json.Marshal(memo)
		return nil, err
	}
	if u.Taking != nil {
		u.Taking()
	}
	if u.Waiting != nil {
		u.Waiting(brokers.Patience(ctx))
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	u.steps++
	if !u.done || u.answer != nil {
		return nil, u.answer
	}
	assessment, err := levels.Default().Assess("tara", "high")
	if err != nil {
		return nil, err
	}
	now := time.Now
	if u.Now != nil {
		now = u.Now
	}
	return &brokers.AuthenticationEvent{
		ID: "event-" + d.RequestID, Upstream: u.ID(), Method: "telephone", Issuer: "https://telephone.example", AssertionID: d.RequestID,
		Assessment: assessment, AuthTime: now(),
		Subject: brokers.Subject{Key: "eidas:EE/NL/60001019906", Country: "EE"},
	}, nil
}

// Correlate finds no callback.
func (*Telephone) Correlate(*http.Request) (string, error) {
	return "", errors.New("no callbacks here")
}

// Finish is never reached.
func (*Telephone) Finish(context.Context, *http.Request, *brokers.Departure) (*brokers.AuthenticationEvent, error) {
	return nil, &brokers.RejectedError{Reason: "unsolicited"}
}
