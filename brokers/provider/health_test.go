package provider_test

import (
	"context"
	"encoding/json"
	"errors"
	"html"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/eidbridge/eidbridge/brokers"
	"github.com/eidbridge/eidbridge/brokers/brokertest"
	"github.com/eidbridge/eidbridge/brokers/outages"
	"github.com/eidbridge/eidbridge/brokers/provider"
	"github.com/eidbridge/eidbridge/brokers/store"
	"github.com/eidbridge/eidbridge/levels"
)

// moody is an upstream whose beginnings and ends can be made slow and wrong.
type moody struct {
	*brokertest.Upstream
	mu            sync.Mutex
	start, finish func(context.Context) error
	began         int
}

func (m *moody) set(start, finish func(context.Context) error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.start, m.finish = start, finish
}

func (m *moody) Start(ctx context.Context, r brokers.AuthenticationRequest) (*brokers.Departure, error) {
	m.mu.Lock()
	f := m.start
	m.began++
	m.mu.Unlock()
	if f != nil {
		if err := f(ctx); err != nil {
			return nil, err
		}
	}
	return m.Upstream.Start(ctx, r)
}

func (m *moody) Finish(ctx context.Context, r *http.Request, d *brokers.Departure) (*brokers.AuthenticationEvent, error) {
	m.mu.Lock()
	f := m.finish
	m.mu.Unlock()
	if f != nil {
		if err := f(ctx); err != nil {
			return nil, err
		}
	}
	return m.Upstream.Finish(ctx, r, d)
}

// moodyRig has a moody upstream beside two that work, and a circuit breaker.
func moodyRig(t *testing.T, config func(*provider.Config)) (*rig, *moody, *outages.Board) {
	t.Helper()
	bad := &moody{Upstream: &brokertest.Upstream{Name: "moody", Offered: []brokers.Method{{ID: "moody", Level: levels.Substantial, Name: map[string]string{"en": "Moody"}}}}}
	good := &brokertest.Upstream{Name: "calm", Offered: []brokers.Method{
		{ID: "calm", Level: levels.High, Name: map[string]string{"en": "Calm"}},
		{ID: "weak", Level: levels.Low, Name: map[string]string{"en": "Weak"}},
	}}
	var board *outages.Board
	r := newRig(t, options{
		upstream: good, upstreams: []brokers.Upstream{bad},
		config: func(c *provider.Config) {
			var err error
			if board, err = outages.New(outages.Settings{Failures: 3}, outages.Options{Store: store.NewMemory(), Audit: slog.New(slog.DiscardHandler), Now: c.Now}); err != nil {
				t.Fatal(err)
			}
			c.Outages, c.Health = board.At, board
			if config != nil {
				config(c)
			}
		},
	})
	bad.Now = r.clock.Now
	return r, bad, board
}

func (r *rig) choose(t *testing.T, b *browser, method string) (choice string, a answer) {
	t.Helper()
	choice = r.authorize(b).location(t).String()
	page := b.get(choice)
	return choice, b.post(choice, url.Values{"token": {page.formToken(t)}, "method": {method}})
}

// S-32: an upstream that cannot begin a login is told of on the page with what there
// is instead; after some failures it is not asked any more, the pre-flight of pushed
// requests knows, and it comes back by itself.
func TestFailingUpstreamIsLeftAlone(t *testing.T) {
	r, bad, _ := moodyRig(t, nil)
	bad.set(func(context.Context) error { return errors.New("metadata is gone") }, nil)
	b := newBrowser(t)
	choice, a := r.choose(t, b, "moody/moody")
	if to := a.location(t).String(); to != choice {
		t.Fatalf("led to %s", to)
	}
	page := b.get(choice)
	if !strings.Contains(page.body, "cannot be reached") || !strings.Contains(page.body, "at least the same level as Moody") || !strings.Contains(page.body, "<li>Calm</li>") || strings.Contains(page.body, "<li>Weak</li>") {
		t.Errorf("page after a failed beginning: %s", page.body)
	}
	// The same login goes on by another method.
	if a := b.post(choice, url.Values{"token": {page.formToken(t)}, "method": {"calm/calm"}}); a.StatusCode >= 400 {
		t.Errorf("another method after the failure: %d", a.StatusCode)
	}
	for range 2 {
		r.choose(t, newBrowser(t), "moody/moody")
	}
	began := bad.began
	b = newBrowser(t)
	choice = r.authorize(b).location(t).String()
	page = b.get(choice)
	if !strings.Contains(page.body, `value="moody/moody" disabled`) || !strings.Contains(page.body, "Disruption: Moody") || !strings.Contains(page.body, "<li>Calm</li>") {
		t.Errorf("page with an open circuit: %s", page.body)
	}
	if forced := b.post(choice, url.Values{"token": {page.formToken(t)}, "method": {"moody/moody"}}); forced.StatusCode != http.StatusBadRequest || bad.began != began {
		t.Errorf("the upstream was asked all the same: %d", forced.StatusCode)
	}
	if methods := pushedMethods(t, r); strings.Join(methods, " ") != "calm weak" {
		t.Errorf("the pre-flight offers %v", methods)
	}
	r.clock.Add(time.Minute)
	bad.set(nil, nil)
	if _, a := r.choose(t, newBrowser(t), "moody/moody"); a.StatusCode >= 400 || bad.began == began {
		t.Errorf("after the pause: %d", a.StatusCode)
	}
	if methods := pushedMethods(t, r); strings.Join(methods, " ") != "calm weak moody" {
		t.Errorf("after the pause the pre-flight offers %v", methods)
	}
}

// relayOf reads the relay state out of the way to an upstream: a redirection, or a
// page with a link.
func relayOf(t *testing.T, a answer) string {
	t.Helper()
	text := a.Header.Get("Location") + html.UnescapeString(a.body)
	_, after, found := strings.Cut(text, "relay=")
	if !found {
		t.Fatalf("%d leads nowhere: %s", a.StatusCode, text)
	}
	relay, err := url.QueryUnescape(strings.FieldsFunc(after, func(r rune) bool { return strings.ContainsRune("&\"' <", r) })[0])
	if err != nil {
		t.Fatal(err)
	}
	return relay
}

// pushedMethods are the login_methods of a pushed request.
func pushedMethods(t *testing.T, r *rig) []string {
	t.Helper()
	var pushed struct {
		Methods []string `json:"login_methods"`
	}
	if err := json.Unmarshal([]byte(r.push(r.request()).body), &pushed); err != nil {
		t.Fatal(err)
	}
	return pushed.Methods
}

// S-32: as many as may wait for a slow upstream; whoever comes beyond is told at
// once, and logins by others go on meanwhile.
func TestSlowUpstreamHoldsNobodyElse(t *testing.T) {
	r, bad, _ := moodyRig(t, func(c *provider.Config) { c.InFlight, c.UpstreamInFlight = 8, 2 })
	waiting, leave := make(chan struct{}, 8), make(chan struct{})
	bad.set(nil, func(ctx context.Context) error {
		waiting <- struct{}{}
		select {
		case <-leave:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	})
	var done sync.WaitGroup
	callback := func() (*browser, string) {
		b := newBrowser(t)
		_, a := r.choose(t, b, "moody/moody")
		return b, r.server.URL + "/upstream/moody/callback?" + url.Values{"relay": {relayOf(t, a)}, "level": {"substantial"}}.Encode()
	}
	b, address := callback()
	var others [2]func() answer
	for i := range others {
		other, at := callback()
		others[i] = func() answer { return other.get(at) }
	}
	for _, get := range others {
		done.Go(func() {
			if a := get(); a.StatusCode != http.StatusSeeOther {
				t.Errorf("a slow answer ended with %d", a.StatusCode)
			}
		})
		<-waiting
	}
	a := b.get(address)
	if a.StatusCode != http.StatusServiceUnavailable || a.Header.Get("Retry-After") != "2" {
		t.Errorf("the third at a slow upstream: %d, Retry-After %q", a.StatusCode, a.Header.Get("Retry-After"))
	}
	if choice, a := r.choose(t, newBrowser(t), "moody/moody"); a.location(t).String() != choice {
		t.Errorf("a beginning at a slow upstream: %d", a.StatusCode)
	}
	calm := newBrowser(t)
	_, onward := r.choose(t, calm, "calm/calm")
	if other := calm.get(r.server.URL + "/upstream/calm/callback?" + url.Values{"relay": {relayOf(t, onward)}, "level": {"high"}}.Encode()); other.StatusCode != http.StatusSeeOther || other.location(t).Query().Get("code") == "" {
		t.Errorf("another upstream, meanwhile: %d", other.StatusCode)
	}
	close(leave)
	done.Wait()
	// Nothing was lost: the same answer is taken now.
	if a := b.get(address); a.StatusCode != http.StatusSeeOther || a.location(t).Query().Get("code") == "" {
		t.Errorf("the third, again: %d", a.StatusCode)
	}
}

// S-32: a beginning that hangs ends in bounded time, and who goes away meanwhile
// opens no circuit.
func TestHangingBeginningsAreBounded(t *testing.T) {
	r, bad, board := moodyRig(t, nil)
	deadlines := make(chan time.Duration, 8)
	bad.set(func(ctx context.Context) error {
		end, ok := ctx.Deadline()
		if !ok {
			t.Error("the beginning has no deadline")
		}
		deadlines <- time.Until(end)
		return errors.New("slow")
	}, nil)
	b := newBrowser(t)
	r.choose(t, b, "moody/moody")
	if d := <-deadlines; d > 10*time.Second {
		t.Errorf("a beginning may last %s", d)
	}
	hang := make(chan struct{}, 8)
	bad.set(func(ctx context.Context) error {
		hang <- struct{}{}
		<-ctx.Done()
		return ctx.Err()
	}, nil)
	for range 5 {
		b := newBrowser(t)
		choice := r.authorize(b).location(t).String()
		page := b.get(choice)
		ctx, cancel := context.WithCancel(t.Context())
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, choice, strings.NewReader(url.Values{"token": {page.formToken(t)}, "method": {"moody/moody"}}.Encode()))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		gone := make(chan struct{})
		go func() {
			defer close(gone)
			if resp, err := b.client.Do(req); err == nil {
				resp.Body.Close()
			}
		}()
		<-hang
		cancel()
		<-gone
	}
	if list := board.At(r.clock.Now()); len(list) != 0 {
		t.Errorf("visitors who went away opened the circuit: %+v", list)
	}
}

// The one method that is left is not taken by itself while others are out of order:
// people are told why.
func TestSingleMethodLeftIsExplained(t *testing.T) {
	r, _, board := moodyRig(t, nil)
	for _, o := range []brokers.Outage{{Upstream: "calm", Limit: brokers.Limit{Method: "weak"}}, {Upstream: "moody"}} {
		if _, err := board.Add(t.Context(), "test", o); err != nil {
			t.Fatal(err)
		}
	}
	b := newBrowser(t)
	to := r.authorize(b).location(t)
	if !strings.HasPrefix(to.String(), r.server.URL+"/login/") {
		t.Fatalf("led to %s", to)
	}
	if page := b.get(to.String()); strings.Count(page.body, "Disruption:") != 2 {
		t.Errorf("page: %s", page.body)
	}
}
