package brokertest

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"

	"github.com/eidbridge/eidbridge/brokers"
)

// NoticeSeal is the header without which Leaver takes no notice.
const NoticeSeal = "Test-Seal"

// Leaver is an Upstream at which people can log out, and that tells of logouts.
type Leaver struct {
	*Upstream
	// Refuses, if set, is what StartLogout says.
	Refuses error
	// Deaf takes no notices.
	Deaf bool
}

// StartLogout sends the browser to the path /logout beside Page, as a form if Posts.
func (u *Leaver) StartLogout(_ context.Context, e *brokers.AuthenticationEvent, relayState string) (*brokers.Departure, error) {
	if u.Refuses != nil {
		return nil, u.Refuses
	}
	fields := url.Values{"relay": {relayState}, "session": {e.AssertionID}}
	d := &brokers.Departure{Location: u.Destinations()[0] + "/logout", RequestID: "_" + relayState, Request: brokers.AuthenticationRequest{RelayState: relayState}}
	if u.Posts {
		d.Form = map[string]string{"relay": relayState, "session": e.AssertionID}
		return d, nil
	}
	d.Location += "?" + fields.Encode()
	return d, nil
}

// FinishLogout believes the parameter result: "done", "cancel", "partial"; anything
// else is refused.
func (u *Leaver) FinishLogout(_ context.Context, r *http.Request, d *brokers.Departure) error {
	switch result := r.Form.Get("result"); {
	case r.Form.Get("relay") != d.Request.RelayState:
		return &brokers.RejectedError{Reason: "relay_state"}
	case result == "done":
		return nil
	case result == "cancel":
		return brokers.ErrCancelled
	case result == "partial":
		return errors.New("some were not told")
	}
	return &brokers.RejectedError{Reason: "signature_invalid", Err: errors.New("test")}
}

// LogoutNames are the subject's key and the ID of the assertion.
func (u *Leaver) LogoutNames(e *brokers.AuthenticationEvent) []string {
	return []string{e.Subject.Key, e.AssertionID}
}

// ReceiveLogout takes names, one a line, if there is a NoticeSeal; the seal "down" is
// one that could not be checked.
func (u *Leaver) ReceiveLogout(_ context.Context, r *http.Request) (*brokers.LogoutNotice, error) {
	body, err := io.ReadAll(r.Body)
	switch {
	case u.Deaf:
		return nil, brokers.ErrNoLogout
	case err != nil:
		return nil, &brokers.RejectedError{Reason: "too_large", Err: err}
	case r.Header.Get(NoticeSeal) == "down":
		return nil, errors.New("metadata is out of reach")
	case r.Header.Get(NoticeSeal) == "":
		return nil, &brokers.RejectedError{Reason: "signature_missing"}
	}
	return &brokers.LogoutNotice{Names: strings.Fields(string(body)), Answer: func(done bool) ([]byte, string, error) {
		if done {
			return []byte("done"), "text/x-notice", nil
		}
		return []byte("not done"), "text/x-notice", nil
	}}, nil
}
