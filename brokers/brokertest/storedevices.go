package brokertest

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/eidbridge/eidbridge/brokers"
)

func deviceOnce(t *testing.T, s Store) {
	ctx := context.Background()
	request := &brokers.DeviceRequest{
		Code: brokers.HashOf("device"), UserCode: brokers.HashOf("user"), Place: "192.0.2.1", CreatedAt: noon(), ExpiresAt: noon().Add(time.Minute),
		Request: brokers.AuthorizationRequest{ClientID: "portal", Device: true},
	}
	must(t, s.SaveDevice(ctx, request))
	for _, taken := range []brokers.DeviceRequest{{Code: request.Code, UserCode: brokers.HashOf("x")}, {Code: brokers.HashOf("x"), UserCode: request.UserCode}} {
		wantErr(t, s.SaveDevice(ctx, &taken), brokers.ErrConflict)
	}
	got, err := s.Device(ctx, request.UserCode, noon())
	must(t, err)
	if got.Place != request.Place || got.Request.ClientID != "portal" || got.Code != request.Code {
		t.Errorf("got %+v", got)
	}
	_, err = s.Device(ctx, request.UserCode, request.ExpiresAt)
	wantErr(t, err, brokers.ErrNotFound)
	_, err = s.TakeDevice(ctx, request.UserCode, request.ExpiresAt)
	wantErr(t, err, brokers.ErrNotFound)
	_, err = s.Device(ctx, request.Code, noon()) // the other kind of code
	wantErr(t, err, brokers.ErrNotFound)

	poll := func(at time.Time) brokers.Poll {
		p, err := s.PollDevice(ctx, request.Code, at, 5*time.Second)
		must(t, err)
		return *p
	}
	for i, want := range []brokers.Poll{{}, {TooFast: true}, {TooFast: true}, {}} {
		want.ClientID = "portal"
		at := noon().Add([]time.Duration{0, 1, 4, 9}[i] * time.Second)
		if got := poll(at); got != want {
			t.Errorf("poll %d: %+v, want %+v", i, got, want)
		}
	}
	_, err = s.PollDevice(ctx, brokers.HashOf("nobody's"), noon(), time.Second)
	wantErr(t, err, brokers.ErrNotFound)

	oneWinner(t, race(4, func(int) error {
		_, err := s.TakeDevice(ctx, request.UserCode, noon())
		return err
	}), brokers.ErrNotFound)
	_, err = s.Device(ctx, request.UserCode, noon())
	wantErr(t, err, brokers.ErrNotFound)
	must(t, s.DenyDevice(ctx, request.Code))
	if got := poll(noon().Add(2 * time.Minute)); !got.Denied || !got.Expired {
		t.Errorf("got %+v", got)
	}
	for range 4 {
		_, err := s.Purge(ctx, noon().Add(time.Hour), 100)
		must(t, err)
	}
	must(t, s.SaveDevice(ctx, request)) // nothing of it was left
}

func registrationLives(t *testing.T, s Store) {
	ctx := context.Background()
	r := &brokers.Registration{ID: "a", Token: brokers.HashOf("token"), Metadata: []byte(`{"client_name":"A"}`), SecretHash: brokers.HashOf("secret"), CreatedAt: noon()}
	wantErr(t, s.ReplaceRegistration(ctx, r), brokers.ErrNotFound)
	must(t, s.SaveRegistration(ctx, r))
	wantErr(t, s.SaveRegistration(ctx, r), brokers.ErrConflict)
	r.Metadata = []byte(`{"client_name":"B"}`)
	must(t, s.ReplaceRegistration(ctx, r))
	got, err := s.Registration(ctx, "a")
	must(t, err)
	if string(got.Metadata) != `{"client_name":"B"}` || got.Token != r.Token || got.SecretHash != r.SecretHash || !got.CreatedAt.Equal(noon()) {
		t.Errorf("got %+v", got)
	}
	must(t, s.SaveRegistration(ctx, &brokers.Registration{ID: "c", Metadata: []byte(`{}`)}))
	must(t, s.SaveRegistration(ctx, &brokers.Registration{ID: "b", Metadata: []byte(`{}`), Disabled: true, Operator: true}))
	for _, page := range []struct {
		after string
		most  int
		want  string
	}{{"", 10, "a b c"}, {"", 2, "a b"}, {"b", 2, "c"}, {"c", 2, ""}} {
		list, err := s.Registrations(ctx, page.after, page.most)
		must(t, err)
		var ids []string
		for _, r := range list {
			ids = append(ids, r.ID)
			if (r.ID == "b") != (r.Disabled && r.Operator) {
				t.Errorf("registration %+v", r)
			}
		}
		if got := strings.Join(ids, " "); got != page.want {
			t.Errorf("after %q: %s, want %s", page.after, got, page.want)
		}
	}
	must(t, s.DeleteRegistration(ctx, "b"))
	must(t, s.DeleteRegistration(ctx, "c"))
	must(t, s.DeleteRegistration(ctx, "a"))
	must(t, s.DeleteRegistration(ctx, "a"))
	_, err = s.Registration(ctx, "a")
	wantErr(t, err, brokers.ErrNotFound)
}
