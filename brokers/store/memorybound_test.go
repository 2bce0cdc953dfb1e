package store_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/eidbridge/eidbridge/brokers"
	"github.com/eidbridge/eidbridge/brokers/store"
)

// bounded is a memory store under test, whose logins are named.
type bounded struct {
	*store.Memory
	t   *testing.T
	now time.Time
}

func newBounded(t *testing.T, bytes int, options ...store.MemoryOption) *bounded {
	t.Helper()
	return &bounded{store.NewMemory(append(options, store.WithBound(bytes))...), t, time.Date(2026, 11, 2, 12, 0, 0, 0, time.UTC)}
}

// login issues a code in a new session, for an event of a size that is usual, and
// redeems it.
func (b *bounded) login(name string) {
	b.t.Helper()
	if err := b.tryLogin(name); err != nil {
		b.t.Fatal(err)
	}
}

func (b *bounded) tryLogin(name string) error {
	event := brokers.AuthenticationEvent{ID: "event of " + name, Issuer: strings.Repeat("i", 900)}
	i := &brokers.Issuing{
		Login: &brokers.Transaction{ID: name, Unkept: true, State: brokers.Completed, UpdatedAt: b.now},
		Code:  brokers.HashOf("code of " + name), KeepUntil: b.now.Add(10 * time.Minute), Participates: true,
		Grant: &brokers.Grant{
			ID: "grant of " + name, Event: event, Session: name, SessionID: "sid of " + name, CodeExpiresAt: b.now.Add(30 * time.Second),
			Request: brokers.AuthorizationRequest{ClientID: "portal", State: strings.Repeat("s", 300)},
		},
		Session: &brokers.Session{ID: name, CookieHash: brokers.HashOf("cookie of " + name), Events: []brokers.AuthenticationEvent{event}, ExpiresAt: b.now.Add(time.Hour)},
	}
	if err := b.IssueCode(context.Background(), i); err != nil {
		return err
	}
	g, err := b.redeem(name)
	if err == nil && (g.Event.ID != event.ID || g.ID != i.Grant.ID) {
		err = fmt.Errorf("redeemed %+v", g)
	}
	return err
}

func (b *bounded) redeem(name string) (*brokers.Grant, error) {
	token := brokers.Token{IssuedAt: b.now, ExpiresAt: b.now.Add(5 * time.Minute)}
	return b.RedeemCode(context.Background(), brokers.HashOf("code of "+name), brokers.HashOf("token of "+name), token, b.now)
}

// lives reports whether a login's session and token are there, which use neither.
func (b *bounded) lives(name string) (session, token bool) {
	b.t.Helper()
	s, err := b.Session(context.Background(), brokers.HashOf("cookie of "+name), b.now)
	if err == nil && (len(s.Events) != 1 || s.Events[0].ID != "event of "+name) {
		b.t.Errorf("the session of %s has the events %+v", name, s.Events)
	}
	_, _, tokenErr := b.AccessToken(context.Background(), brokers.HashOf("token of "+name), b.now)
	return err == nil, tokenErr == nil
}

// However many log in, the heap stays near the bound, and the count of bytes near the
// heap.
func TestMemoryStaysWithinItsBound(t *testing.T) {
	const bound = 4 << 20
	heap := func() int {
		var stats runtime.MemStats
		runtime.GC()
		runtime.GC() // what finalizers of the first let go
		runtime.ReadMemStats(&stats)
		return int(stats.HeapAlloc)
	}
	before := heap()
	b := newBounded(t, bound)
	for i := range 10_000 {
		b.now = b.now.Add(2 * time.Millisecond)
		b.login(fmt.Sprint(i))
		if f := b.Figures(); f.Bytes > bound {
			t.Fatalf("%+v after %d logins", f, i)
		}
	}
	used, f := heap()-before, b.Figures()
	t.Logf("%d bytes of heap, %+v", used, f)
	if used > bound*5/4 || used < bound/2 {
		t.Errorf("%d bytes of heap for a bound of %d", used, bound)
	}
	if f.Ended < 8000 || f.Refused != 0 {
		t.Errorf("%+v after 10000 logins", f)
	}
	runtime.KeepAlive(b)
}

// The session that was unused the longest ends, as at a logout; one that is used stays.
func TestFullMemoryEndsIdleSessions(t *testing.T) {
	var log bytes.Buffer
	b := newBounded(t, 256<<10, store.WithLog(slog.New(slog.NewTextHandler(&log, nil))))
	ctx := context.Background()
	b.login("idle")
	b.login("busy")
	for i := range 200 {
		b.now = b.now.Add(10 * time.Millisecond)
		b.login(fmt.Sprint(i))
		if session, token := b.lives("busy"); !session || !token {
			t.Fatalf("after %d logins the busy session has ended (%t, %t)", i, session, token)
		}
	}
	if session, token := b.lives("idle"); session || token {
		t.Errorf("idle: session %t, token %t", session, token)
	}
	if session, token := b.lives("199"); !session || !token {
		t.Errorf("the last: session %t, token %t", session, token)
	}
	notices, err := b.DueNotices(ctx, b.now, b.now.Add(time.Minute), 1000)
	if err != nil || len(notices) != b.Figures().Ended || len(notices) == 0 {
		t.Errorf("%d notices, %v, for %+v", len(notices), err, b.Figures())
	}
	for range 2 {
		if _, err := b.Purge(ctx, b.now, 100); err != nil {
			t.Fatal(err)
		}
	}
	if got := strings.Count(log.String(), "memory storage is full"); got != 1 {
		t.Errorf("logged %d times: %s", got, log.String())
	}
}

// What has expired goes before anything that lives.
func TestFullMemoryDropsTheExpiredFirst(t *testing.T) {
	b := newBounded(t, 256<<10)
	ctx := context.Background()
	b.login("alive")
	for i := range 50 {
		i := &brokers.PushedRequest{ClientID: fmt.Sprint(i), Parameters: map[string]string{"state": strings.Repeat("s", 3000)}, ExpiresAt: b.now.Add(time.Second)}
		if err := b.Push(ctx, brokers.HashOf(i.ClientID), i); err != nil {
			t.Fatal(err)
		}
	}
	b.now = b.now.Add(time.Second)
	for i := range 80 {
		b.login(fmt.Sprint(i))
	}
	if session, token := b.lives("alive"); !session || !token || b.Figures().Ended != 0 {
		t.Errorf("session %t, token %t, %+v", session, token, b.Figures())
	}
}

// O-13, O-14: a code that was used is known as such until it expires, though its login
// had to go.
func TestFullMemoryKnowsUsedCodes(t *testing.T) {
	b := newBounded(t, 256<<10)
	for i := range 500 {
		b.login(fmt.Sprint(i))
	}
	for i := range 500 {
		if _, err := b.redeem(fmt.Sprint(i)); !errors.Is(err, brokers.ErrReplayed) {
			t.Fatalf("the code of login %d again: %v", i, err)
		}
	}
	b.now = b.now.Add(31 * time.Second)
	if _, err := b.redeem("0"); !errors.Is(err, brokers.ErrNotFound) {
		t.Errorf("after its time: %v", err)
	}
}

// what may be used once is never forgotten for want of room; who comes new is told
// to come again.
func TestFullMemoryForgetsNoGuard(t *testing.T) {
	b := newBounded(t, 64<<10)
	ctx, until := context.Background(), b.now.Add(time.Minute)
	b.login("before")
	used := 0
	var err error
	for ; used < 10_000 && err == nil; used++ {
		err = b.UseAssertionID(ctx, "idp", fmt.Sprint(used), until)
	}
	if !errors.Is(err, brokers.ErrFull) || used < 500 {
		t.Fatalf("after %d assertions: %v", used, err)
	}
	if session, token := b.lives("before"); session || token {
		t.Errorf("the session stayed: %t, %t", session, token)
	}
	for i := range used - 1 {
		if err := b.UseAssertionID(ctx, "idp", fmt.Sprint(i), until); !errors.Is(err, brokers.ErrReplayed) {
			t.Fatalf("assertion %d again: %v", i, err)
		}
	}
	for what, err := range map[string]error{
		"a login that begins": b.SaveTransaction(ctx, &brokers.Transaction{ID: "a", UpdatedAt: b.now, ExpiresAt: until}),
		"a login at once":     b.tryLogin("new"),
		"a pushed request":    b.Push(ctx, brokers.HashOf("p"), &brokers.PushedRequest{ExpiresAt: until}),
		"a receipt":           b.SaveReceipt(ctx, "r", []byte("{}"), until),
		"a device":            b.SaveDevice(ctx, &brokers.DeviceRequest{ExpiresAt: until}),
	} {
		if !errors.Is(err, brokers.ErrFull) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if _, err := b.Strike(ctx, brokers.HashOf("s"), b.now, until); !errors.Is(err, brokers.ErrFull) {
		t.Errorf("a strike: %v", err)
	}
	if got := b.Figures().Refused; got < 7 {
		t.Errorf("%d were refused", got)
	}
	b.now = until // and the time of the guards is over
	b.login("after")
}

// A login under way is nobody's to end.
func TestFullMemoryKeepsLoginsUnderWay(t *testing.T) {
	b := newBounded(t, 256<<10)
	ctx := context.Background()
	var err error
	begun := 0
	for ; begun < 10_000 && err == nil; begun++ {
		err = b.SaveTransaction(ctx, &brokers.Transaction{ID: fmt.Sprint(begun), State: brokers.Departed, UpdatedAt: b.now, ExpiresAt: b.now.Add(time.Minute)})
	}
	if !errors.Is(err, brokers.ErrFull) || begun < 50 {
		t.Fatalf("after %d: %v", begun, err)
	}
	for i := range begun - 1 {
		t1, err := b.Transaction(ctx, fmt.Sprint(i), b.now)
		if err != nil {
			t.Fatalf("login %d: %v", i, err)
		}
		t1.State = brokers.Abandoned
		if err := b.Advance(ctx, t1, brokers.Departed); err != nil {
			t.Fatal(err)
		}
	}
	b.now = b.now.Add(2 * time.Second)
	for i := 0; i < 1000 && b.Figures().Dropped == 0; i++ {
		b.login(fmt.Sprint("after ", i))
	}
	if f := b.Figures(); f.Dropped == 0 || f.Ended != 0 { // those that are over went first
		t.Errorf("%+v", f)
	}
}

// Sessions share the bytes of their proof with what is granted in them, and give it
// back as it was; so does one that is renewed.
func TestMemoryKeepsEventsApart(t *testing.T) {
	b := newBounded(t, 1<<20)
	ctx := context.Background()
	b.login("a")
	s, err := b.Session(ctx, brokers.HashOf("cookie of a"), b.now)
	if err != nil {
		t.Fatal(err)
	}
	second := s.Events[0]
	second.ID, second.AMR = "second", []string{"user"}
	s.Events, s.CookieHash = []brokers.AuthenticationEvent{second, s.Events[0]}, brokers.HashOf("new cookie")
	lowered := second
	lowered.AMR = []string{"pin"}
	for i, event := range []brokers.AuthenticationEvent{second, lowered} {
		issuing := &brokers.Issuing{
			Login: &brokers.Transaction{ID: fmt.Sprint(i), Unkept: true, UpdatedAt: b.now}, Code: brokers.HashOf(fmt.Sprint("code of ", i)),
			Grant: &brokers.Grant{Session: "a", Event: event, CodeExpiresAt: b.now.Add(time.Minute)}, Participates: true,
		}
		if i == 0 {
			issuing.Session, issuing.Renews = s, brokers.HashOf("cookie of a")
		}
		if err := b.IssueCode(ctx, issuing); err != nil {
			t.Fatal(err)
		}
		g, err := b.redeem(fmt.Sprint(i))
		if err != nil || g.Event.ID != "second" || g.Event.AMR[0] != event.AMR[0] {
			t.Errorf("got %+v, %v, want %+v", g, err, event)
		}
	}
	renewed, err := b.Session(ctx, brokers.HashOf("new cookie"), b.now)
	if err != nil || len(renewed.Events) != 2 || renewed.Events[0].ID != "second" || renewed.Events[1].ID != "event of a" {
		t.Errorf("renewed: %+v, %v", renewed, err)
	}
	if _, token := b.lives("a"); !token {
		t.Error("the first token is gone")
	}
}
