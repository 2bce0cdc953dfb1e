//go:build interop && linux

package loadtarget_test

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/eidbridge/eidbridge/brokers/loadtarget"
	"github.com/eidbridge/eidbridge/brokers/store"
	"github.com/eidbridge/eidbridge/fixtures/load"
	"github.com/eidbridge/eidbridge/fixtures/powerloss"
)

// story is one login of the recording, and when each step was acknowledged to the
// client; zero is never.
type story struct {
	code, verifier      string
	first, second       *granted // before and after a refresh
	coded, redeemed     int
	refreshed, revoked  int
	wantSecond, wantEnd bool
}

// tell logs in and goes on with the tokens as far as the story wants.
func (s *story) tell(ctx context.Context, p *relyingParty) (err error) {
	if s.code, s.verifier, err = p.code(ctx); err != nil {
		return err
	}
	if s.first == nil {
		return nil
	}
	if s.first, err = p.redeem(ctx, s.code, s.verifier); err != nil {
		return err
	}
	if s.wantSecond {
		if s.second, err = p.refresh(ctx, s.first.Refresh); err != nil {
			return err
		}
	}
	if s.wantEnd {
		return p.revoke(ctx, s.first.Access)
	}
	return nil
}

// revoke ends a token.
func (p *relyingParty) revoke(ctx context.Context, token string) error {
	form := url.Values{"token": {token}, "client_id": {p.target.ClientID}, "client_secret": {p.target.ClientSecret}}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, p.target.Issuer+"/revoke", strings.NewReader(form.Encode()))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	resp, err := p.transport.RoundTrip(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("status %d", resp.StatusCode)
	}
	return nil
}

// recordLogins has a broker with SQLite log people in under a recorder.
func recordLogins(t *testing.T, program, folder string) (*powerloss.Trace, []*story, load.Target) {
	t.Helper()
	if _, err := loadtarget.OpenSecrets(folder); err != nil { // they are there before
		t.Fatal(err)
	}
	c := exec.Command(program, "load-target", "--listen", "127.0.0.1:0", "--storage", "sqlite", "--data", folder)
	recording, err := powerloss.Record(folder, filepath.Join(t.TempDir(), "log"), c)
	if err != nil {
		t.Fatal(err)
	}
	r := &replica{command: c}
	if _, err := r.run(); err != nil {
		t.Fatal(err)
	}
	p := &relyingParty{target: r.target, transport: &http.Transport{MaxIdleConnsPerHost: 4}}
	stories := make([]*story, 60)
	var next atomic.Int64
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			for i := next.Add(1) - 1; i < int64(len(stories)); i = next.Add(1) - 1 {
				s := &story{wantSecond: i%4 > 1, wantEnd: i%8 == 7}
				if i%4 > 0 {
					s.first = &granted{}
				}
				if err := s.tell(t.Context(), p); err != nil {
					t.Errorf("login %d: %v", i, err)
				}
				stories[i] = s
			}
		})
	}
	all.Wait()
	if t.Failed() {
		t.FailNow()
	}
	if err := recording.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = c.Wait() // it was killed
	trace, err := recording.Parse()
	if err != nil {
		t.Fatal(err)
	}
	for i, s := range stories {
		s.coded = leftAt(trace, s.code)
		if s.first != nil {
			s.redeemed = leftAt(trace, s.first.Access)
		}
		if s.second != nil {
			s.refreshed = leftAt(trace, s.second.Access)
		}
		if s.wantEnd {
			s.revoked = trace.End() - 1
		}
		if s.coded == 0 || s.first != nil && s.redeemed == 0 || s.second != nil && s.refreshed == 0 {
			t.Fatalf("login %d: an answer is not in the trace", i)
		}
	}
	return trace, stories, r.target
}

// leftAt is when a text began to leave the broker.
func leftAt(trace *powerloss.Trace, text string) int {
	for _, m := range trace.Messages() {
		if bytes.Contains(m.Text, []byte(text)) {
			return m.At
		}
	}
	return 0
}

// handled answers requests by a handler, without a network.
type handled struct{ http.Handler }

func (h handled) RoundTrip(r *http.Request) (*http.Response, error) {
	w := httptest.NewRecorder()
	r.RequestURI, r.RemoteAddr = r.URL.RequestURI(), "127.0.0.1:1"
	if r.Host == "" {
		r.Host = r.URL.Host
	}
	if r.Body == nil {
		r.Body = http.NoBody
	}
	h.ServeHTTP(w, r)
	response := w.Result()
	response.Request = r
	return response, nil
}

// reopened is what the check of a state needs.
type reopened struct {
	target  load.Target
	secrets *loadtarget.Secrets
	at      time.Time
}

// check starts a broker with a state and asks for all that was acknowledged before.
func (o *reopened) check(ctx context.Context, folder string, moment int, stories []*story) (err error) {
	path := filepath.Join(folder, "broker.db")
	if err := integrity(ctx, path); err != nil {
		return err
	}
	master, err := o.secrets.Master()
	if err != nil {
		return err
	}
	db, err := store.OpenSQLite(ctx, path, store.WithMasters(func() time.Time { return o.at }, master))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	target, err := loadtarget.New(loadtarget.Options{
		Issuer: o.target.Issuer, Store: db, Secrets: o.secrets, Now: func() time.Time { return o.at },
	})
	if err != nil {
		return err
	}
	transport := &http.Transport{}
	transport.RegisterProtocol("http", handled{target})
	p := &relyingParty{target: o.target, transport: transport}
	for i, s := range stories {
		if err := p.holds(ctx, s, moment); err != nil {
			return fmt.Errorf("login %d: %w", i, err)
		}
	}
	return nil
}

func integrity(ctx context.Context, path string) (err error) {
	db, err := sql.Open("sqlite", path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	var verdict string
	if err := db.QueryRowContext(ctx, "PRAGMA integrity_check").Scan(&verdict); err != nil {
		return err
	}
	if verdict != "ok" {
		return errors.New(verdict)
	}
	return nil
}

// holds asks whether a broker still knows of a login what it had acknowledged before a
// moment. What was used once is asked for last: it ends the login.
func (p *relyingParty) holds(ctx context.Context, s *story, moment int) error {
	switch {
	case s.coded == 0 || s.coded >= moment:
		return nil
	case s.first == nil: // a code may be gone with the login that it ends, but is good once
		if _, err := p.redeem(ctx, s.code, s.verifier); err != nil && !errors.Is(err, errRefused) {
			return fmt.Errorf("an acknowledged code: %w", err)
		}
		return p.refused(ctx, "a code, redeemed a second time", s.code, s.verifier)
	case s.redeemed >= moment:
		return nil
	}
	ended := s.revoked != 0 && s.revoked < moment
	pending := s.wantEnd && !ended // it may have been under way
	if err := p.userinfo(ctx, s.first.Access); !pending && (err == nil) == ended {
		return fmt.Errorf("an access token, revoked: %v: %w", ended, err)
	}
	if s.second != nil && s.refreshed < moment && !pending && !ended {
		if err := p.userinfo(ctx, s.second.Access); err != nil {
			return fmt.Errorf("a second access token: %w", err)
		}
		if _, err := p.refresh(ctx, s.second.Refresh); err != nil {
			return fmt.Errorf("a second refresh token: %w", err)
		}
		switch _, err := p.refresh(ctx, s.first.Refresh); {
		case err == nil:
			return errors.New("a refresh token that was used before was taken")
		case !errors.Is(err, errRefused):
			return fmt.Errorf("a refresh token that was used before: %w", err)
		}
	}
	return p.refused(ctx, "a redeemed code", s.code, s.verifier)
}

// refused wants a code to be refused.
func (p *relyingParty) refused(ctx context.Context, what, code, verifier string) error {
	switch _, err := p.redeem(ctx, code, verifier); {
	case err == nil:
		return fmt.Errorf("%s was taken", what)
	case !errors.Is(err, errRefused):
		return fmt.Errorf("%s: %w", what, err)
	}
	return nil
}

// S-21: the power goes at any moment of 60 logins with SQLite. The database opens and
// is whole, and every redeemed code, token, rotation and revocation is there of which a
// client had been told.
func TestInteropPowerLossDuringLogins(t *testing.T) {
	folder := t.TempDir()
	trace, stories, target := recordLogins(t, eidlab(t), folder)
	secrets, err := loadtarget.OpenSecrets(folder)
	if err != nil {
		t.Fatal(err)
	}
	o := &reopened{secrets: secrets, at: time.Now(), target: target}
	for _, model := range []powerloss.Model{powerloss.Bare, powerloss.Journal} {
		seed := rand.Uint64()
		t.Logf("%v, seed %d", model, seed)
		if wrong := o.states(t, trace, stories, model, seed, 90); wrong > 0 {
			t.Errorf("S-21 %v: %d of 90 states are wrong", model, wrong)
		}
		if wrong := o.states(t, trace.Unsynced(), stories, model, seed, 15); wrong == 0 {
			t.Errorf("%v: nothing is noticed when nobody waits for the disk", model)
		}
	}
}

// states counts those that are wrong.
func (o *reopened) states(t *testing.T, trace *powerloss.Trace, stories []*story, model powerloss.Model, seed uint64, number int) int {
	t.Helper()
	moments := trace.Moments()
	var wrong atomic.Int64
	var all sync.WaitGroup
	workers := runtime.GOMAXPROCS(0)
	for w := range workers {
		folder, err := os.MkdirTemp(shared(), "powerloss-")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = os.RemoveAll(folder) })
		all.Go(func() {
			for i := w; i < number; i += workers {
				moment := moments[i*len(moments)/number]
				state := trace.Cut(moment, model, rand.New(rand.NewPCG(seed, uint64(i))))
				err := state.Write(folder)
				if err == nil {
					err = o.check(t.Context(), folder, moment, stories)
				}
				if err != nil && wrong.Add(1) == 1 {
					t.Logf("%v, state %d, moment %d: %v", model, i, moment, err)
				}
			}
		})
	}
	all.Wait()
	return int(wrong.Load())
}

// shared is memory that looks like a disk, or the temporary folder without it.
func shared() string {
	if info, err := os.Stat("/dev/shm"); err == nil && info.IsDir() {
		return "/dev/shm"
	}
	return os.TempDir()
}
