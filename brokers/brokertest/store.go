package brokertest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/eidbridge/eidbridge/brokers"
	"github.com/eidbridge/eidbridge/brokers/outages"
	"github.com/eidbridge/eidbridge/brokers/provider"
)

// Store is what a store offers to the provider, to upstreams and to operators.
type Store interface {
	provider.Store
	outages.Store
}

// TestStore proves that a store keeps its contract. The function makes an empty
// store for each case.
func TestStore(t *testing.T, empty func(*testing.T) Store) {
	for _, c := range []struct {
		name string
		run  func(*testing.T, Store)
	}{
		{"a transaction is found until it expires", transactionLives},
		{"of many who advance one does", advanceOnce},
		{"an old revision cannot advance", advanceOldRevision},
		{"of many who bring an answer one takes it up, where all fits", takeUpOnce},
		{"what was taken up goes on from there", takenUpGoesOn},
		{"a code is issued with the step or not at all", issueCode},
		{"a login that was never kept gets one code, or nothing", issueUnkept},
		{"of many who redeem a code one does (O-14)", redeemOnce},
		{"a replay revokes the token (O-13)", replayRevokes},
		{"an expired code and an unknown one are not found (O-17)", redeemExpired},
		{"a token is found until it expires", tokenLives},
		{"an assertion is used once (X-79)", assertionOnce},
		{"a card's key has one holder (C-37)", keyHasOneHolder},
		{"strikes are counted, together and until their time is over (W-04)", strikesCount},
		{"a session lives until it ends or expires", sessionLives},
		{"a session is renewed under its ID", sessionRenewed},
		{"the end of a session ends its grants and queues notices (O-44)", sessionEnds},
		{"sessions end by the names that upstreams have for them", linkedEnd},
		{"no code is issued in a session that ended", codeOfEndedSession},
		{"a notice is handed out once until its lease ends", noticeLease},
		{"a refresh token is used once (O-42, O-43)", refreshOnce},
		{"a retry in time gets the same answer (O-43, O-46)", refreshRetry},
		{"a refresh token that stays is used again", refreshStays},
		{"a revoked grant has no tokens", revokeByToken},
		{"a pushed request lives until it is used or expires (O-08)", pushedLives},
		{"a receipt is kept as it was first", receiptLives},
		{"a device's request is taken up once (O-73)", deviceOnce},
		{"a registration is replaced as a whole", registrationLives},
		{"an outage is kept until it ends or is lifted", outageLives},
		{"a ban is kept until it ends or is lifted", banLives},
		{"a person's sessions and grants are found (S-08)", personIsFound},
		{"purging removes what has expired and nothing else", purge},
		{"purging a grant removes its tokens", purgeTokens},
	} {
		t.Run(c.name, func(t *testing.T) { c.run(t, empty(t)) })
	}
}

// noon is the time at which all records of the suite are made.
func noon() time.Time { return time.Date(2026, 11, 2, 12, 0, 0, 0, time.UTC) }

func departed(id, relayState string) *brokers.Transaction {
	return &brokers.Transaction{
		ID: id, State: brokers.Departed, Upstream: "fake", CreatedAt: noon(), ExpiresAt: noon().Add(time.Minute),
		Request:   brokers.AuthorizationRequest{ClientID: "portal", State: "s<>&\u2028"},
		Departure: &brokers.Departure{Request: brokers.AuthenticationRequest{RelayState: relayState}},
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func wantErr(t *testing.T, got, want error) {
	t.Helper()
	if !errors.Is(got, want) {
		t.Fatalf("got error %v, want %v", got, want)
	}
}

func transactionLives(t *testing.T, s Store) {
	ctx := context.Background()
	tx := departed("a", "relay-a")
	must(t, s.SaveTransaction(ctx, tx))
	wantErr(t, s.SaveTransaction(ctx, departed("a", "other")), brokers.ErrConflict)
	got, err := s.Transaction(ctx, "a", noon())
	must(t, err)
	if got.Request.State != tx.Request.State || got.State != brokers.Departed {
		t.Errorf("got %+v", got)
	}
	_, err = s.Transaction(ctx, "a", tx.ExpiresAt)
	wantErr(t, err, brokers.ErrNotFound)
	_, err = s.Transaction(ctx, "b", noon())
	wantErr(t, err, brokers.ErrNotFound)
}

// race runs f in so many goroutines at once and returns the errors.
func race(n int, f func(int) error) []error {
	errs := make([]error, n)
	start := make(chan struct{})
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			<-start
			errs[i] = f(i)
		})
	}
	close(start)
	wg.Wait()
	return errs
}

// oneWinner checks that one succeeded and all others got the error.
func oneWinner(t *testing.T, errs []error, others error) {
	t.Helper()
	won := 0
	for _, err := range errs {
		if err == nil {
			won++
		} else {
			wantErr(t, err, others)
		}
	}
	if won != 1 {
		t.Errorf("%d of %d won, want 1", won, len(errs))
	}
}

func advanceOnce(t *testing.T, s Store) {
	ctx := context.Background()
	must(t, s.SaveTransaction(ctx, departed("a", "relay")))
	oneWinner(t, race(8, func(int) error {
		tx := departed("a", "relay")
		tx.State = brokers.Returning
		return s.Advance(ctx, tx, brokers.Departed)
	}), brokers.ErrConflict)
}

func advanceOldRevision(t *testing.T, s Store) {
	ctx := context.Background()
	must(t, s.SaveTransaction(ctx, departed("a", "first")))
	wantErr(t, s.Advance(ctx, departed("b", "x"), brokers.Departed), brokers.ErrConflict)
	again := departed("a", "second")
	must(t, s.Advance(ctx, again, brokers.Departed))
	// Same state, but somebody departed anew in between.
	wantErr(t, s.Advance(ctx, departed("a", "third"), brokers.Departed), brokers.ErrConflict)
	must(t, s.Advance(ctx, again, brokers.Departed))
}

// answerTo is the answer that departed awaits.
func answerTo(id string) brokers.Answer {
	return brokers.Answer{RelayState: id + ".secret", Upstream: "fake", Now: noon().Add(time.Second)}
}

func takeUpOnce(t *testing.T, s Store) {
	ctx := context.Background()
	for _, id := range []string{"a", "b"} {
		tx := departed(id, id+".secret")
		tx.BrowserHash = brokers.HashOf("browser of " + id)
		must(t, s.SaveTransaction(ctx, tx))
	}
	for name, change := range map[string]func(*brokers.Answer){
		"another relay state": func(a *brokers.Answer) { a.RelayState = "a.guess" },
		"another login's":     func(a *brokers.Answer) { a.RelayState = "b.secre" },
		"no login's":          func(a *brokers.Answer) { a.RelayState = "c.secret" },
		"another upstream's":  func(a *brokers.Answer) { a.Upstream = "other" },
		"another browser's":   func(a *brokers.Answer) { a.Browser = brokers.HashOf("browser of b") },
		"too late":            func(a *brokers.Answer) { a.Now = noon().Add(time.Minute) },
	} {
		a := answerTo("a")
		change(&a)
		if _, err := s.TakeUp(ctx, a); !errors.Is(err, brokers.ErrNotFound) {
			t.Errorf("%s: %v", name, err)
		}
	}
	untouched, err := s.Transaction(ctx, "a", noon())
	must(t, err)
	if untouched.State != brokers.Departed {
		t.Errorf("touched: %+v", untouched)
	}
	for id, browser := range map[string]brokers.Hash{"a": {}, "b": brokers.HashOf("browser of b")} {
		oneWinner(t, race(8, func(int) error {
			a := answerTo(id)
			a.Browser = browser
			got, err := s.TakeUp(ctx, a)
			if err == nil && (got.ID != id || got.State != brokers.Returning || !got.UpdatedAt.Equal(a.Now) || got.Departure == nil) {
				err = fmt.Errorf("took up %+v", got)
			}
			return err
		}), brokers.ErrNotFound)
	}
}

func takenUpGoesOn(t *testing.T, s Store) {
	ctx := context.Background()
	stale := departed("a", "a.secret")
	must(t, s.SaveTransaction(ctx, stale))
	taken, err := s.TakeUp(ctx, answerTo("a"))
	must(t, err)
	found, err := s.Transaction(ctx, "a", noon())
	must(t, err)
	if found.State != brokers.Returning || !found.UpdatedAt.Equal(noon().Add(time.Second)) || found.Revision != taken.Revision {
		t.Errorf("found %+v, took up %+v", found, taken)
	}
	wantErr(t, s.Advance(ctx, stale, brokers.Departed), brokers.ErrConflict)
	// Another departure awaits another answer.
	taken.State = brokers.Choosing
	must(t, s.Advance(ctx, taken, brokers.Returning))
	wantErr(t, s.Advance(ctx, found, brokers.Returning), brokers.ErrConflict)
	taken.State, taken.Departure = brokers.Departed, &brokers.Departure{Request: brokers.AuthenticationRequest{RelayState: "a.again"}}
	must(t, s.Advance(ctx, taken, brokers.Choosing))
	_, err = s.TakeUp(ctx, answerTo("a"))
	wantErr(t, err, brokers.ErrNotFound)
	again, err := s.TakeUp(ctx, brokers.Answer{RelayState: "a.again", Upstream: "fake", Now: noon().Add(2 * time.Second)})
	must(t, err)
	again.State = brokers.Completed
	must(t, s.IssueCode(ctx, &brokers.Issuing{Login: again, From: brokers.Returning, Code: brokers.HashOf("code"), Grant: grant("a")}))
	_, err = s.TakeUp(ctx, brokers.Answer{RelayState: "a.again", Upstream: "fake", Now: noon()})
	wantErr(t, err, brokers.ErrNotFound)
}

func authenticated(id string) *brokers.Transaction {
	tx := departed(id, "")
	tx.State = brokers.Authenticated
	return tx
}

// issue stores a transaction and a code for it.
func issue(t *testing.T, s Store, name string) brokers.Hash {
	t.Helper()
	ctx := context.Background()
	tx := authenticated(name)
	must(t, s.SaveTransaction(ctx, tx))
	tx.State = brokers.Completed
	code := brokers.HashOf(name)
	must(t, s.IssueCode(ctx, &brokers.Issuing{Login: tx, From: brokers.Authenticated, Code: code, Grant: grant(name)}))
	return code
}

// until is a token that lives until a time.
func until(end time.Time) brokers.Token { return brokers.Token{IssuedAt: noon(), ExpiresAt: end} }

func grant(id string) *brokers.Grant {
	return &brokers.Grant{ID: id, Subject: "s-" + id, CodeExpiresAt: noon().Add(30 * time.Second)}
}

func issueCode(t *testing.T, s Store) {
	ctx := context.Background()
	must(t, s.SaveTransaction(ctx, authenticated("a")))
	oneWinner(t, race(8, func(i int) error {
		tx := authenticated("a")
		tx.State = brokers.Completed
		return s.IssueCode(ctx, &brokers.Issuing{Login: tx, From: brokers.Authenticated, Code: brokers.HashOf(fmt.Sprint(i)), Grant: grant("a")})
	}), brokers.ErrConflict)
	redeemable := 0
	for i := range 8 {
		if _, err := s.RedeemCode(ctx, brokers.HashOf(fmt.Sprint(i)), brokers.HashOf(fmt.Sprint("t", i)), until(noon().Add(time.Minute)), noon()); err == nil {
			redeemable++
		}
	}
	if redeemable != 1 {
		t.Errorf("%d codes were left behind, want 1", redeemable)
	}
	code := issue(t, s, "b")
	must(t, s.SaveTransaction(ctx, authenticated("c")))
	tx := authenticated("c")
	tx.State = brokers.Completed
	wantErr(t, s.IssueCode(ctx, &brokers.Issuing{Login: tx, From: brokers.Authenticated, Code: code, Grant: grant("c")}), brokers.ErrConflict)
	got, err := s.Transaction(ctx, "c", noon())
	must(t, err)
	if got.State != brokers.Authenticated || tx.Revision != 0 {
		t.Errorf("the step was taken without the code: %s, revision %d", got.State, tx.Revision)
	}
}

func redeemOnce(t *testing.T, s Store) {
	for trial := range 40 {
		code := issue(t, s, fmt.Sprint("code", trial))
		oneWinner(t, race(8, func(i int) error {
			_, err := s.RedeemCode(context.Background(), code, brokers.HashOf(fmt.Sprint(trial, i)), until(noon().Add(time.Minute)), noon())
			return err
		}), brokers.ErrReplayed)
	}
}

func replayRevokes(t *testing.T, s Store) {
	ctx := context.Background()
	code, token := issue(t, s, "a"), brokers.HashOf("token")
	_, err := s.RedeemCode(ctx, code, token, until(noon().Add(5*time.Minute)), noon())
	must(t, err)
	_, _, err = s.AccessToken(ctx, token, noon())
	must(t, err)
	// Also after the code's own life is over.
	g, err := s.RedeemCode(ctx, code, brokers.HashOf("other"), until(noon().Add(9*time.Minute)), noon().Add(time.Minute))
	wantErr(t, err, brokers.ErrReplayed)
	if g == nil || g.ID != "a" {
		t.Errorf("the replay names grant %+v, want a", g)
	}
	for _, name := range []string{"token", "other"} {
		_, _, err = s.AccessToken(ctx, brokers.HashOf(name), noon())
		wantErr(t, err, brokers.ErrNotFound)
	}
}

func redeemExpired(t *testing.T, s Store) {
	ctx := context.Background()
	code := issue(t, s, "a")
	for _, c := range []brokers.Hash{code, brokers.HashOf("unknown")} {
		_, err := s.RedeemCode(ctx, c, brokers.HashOf("token"), until(noon().Add(time.Hour)), noon().Add(30*time.Second))
		wantErr(t, err, brokers.ErrNotFound)
	}
}

func tokenLives(t *testing.T, s Store) {
	ctx := context.Background()
	code, token, end := issue(t, s, "a"), brokers.HashOf("token"), noon().Add(time.Minute)
	redeemed, err := s.RedeemCode(ctx, code, token, until(end), noon())
	must(t, err)
	got, kept, err := s.AccessToken(ctx, token, end.Add(-time.Millisecond))
	must(t, err)
	if got.Subject != "s-a" || redeemed.Subject != "s-a" || !kept.ExpiresAt.Equal(end) {
		t.Errorf("got subjects %q and %q, token %+v", redeemed.Subject, got.Subject, kept)
	}
	_, _, err = s.AccessToken(ctx, token, end)
	wantErr(t, err, brokers.ErrNotFound)
	_, _, err = s.AccessToken(ctx, brokers.HashOf("unknown"), noon())
	wantErr(t, err, brokers.ErrNotFound)
}

func assertionOnce(t *testing.T, s Store) {
	ctx := context.Background()
	oneWinner(t, race(8, func(int) error {
		return s.UseAssertionID(ctx, "https://idp.example", "_1", noon().Add(time.Hour))
	}), brokers.ErrReplayed)
	must(t, s.UseAssertionID(ctx, "https://other.example", "_1", noon().Add(time.Hour)))
	must(t, s.UseAssertionID(ctx, "https://idp.example", "_2", noon().Add(time.Hour)))
}

func keyHasOneHolder(t *testing.T, s Store) {
	ctx, end := context.Background(), noon().Add(time.Hour)
	key, one, other := brokers.HashOf("key"), brokers.HashOf("one"), brokers.HashOf("other")
	must(t, s.BindKey(ctx, key, one, end))
	must(t, s.BindKey(ctx, key, one, end.Add(time.Hour)))
	must(t, s.BindKey(ctx, key, one, end)) // shortens nothing
	wantErr(t, s.BindKey(ctx, key, other, end.Add(24*time.Hour)), brokers.ErrConflict)
	must(t, s.BindKey(ctx, brokers.HashOf("another key"), other, end))
	_, err := s.Purge(ctx, end.Add(time.Minute), 10)
	must(t, err)
	wantErr(t, s.BindKey(ctx, key, other, end), brokers.ErrConflict)
	must(t, s.ForgetKey(ctx, key))
	must(t, s.BindKey(ctx, key, other, end))
	wantErr(t, s.BindKey(ctx, key, one, end), brokers.ErrConflict)
	_, err = s.Purge(ctx, end.Add(time.Minute), 10)
	must(t, err)
	must(t, s.BindKey(ctx, key, one, end))
	// Of many cards with one key and different holders one is first.
	oneWinner(t, race(8, func(i int) error {
		return s.BindKey(ctx, brokers.HashOf("raced"), brokers.HashOf(fmt.Sprint("holder", i)), end)
	}), brokers.ErrConflict)
}

func sessionLives(t *testing.T, s Store) {
	ctx := context.Background()
	cookie := brokers.HashOf("cookie")
	session := &brokers.Session{ID: "a", CookieHash: cookie, ExpiresAt: noon().Add(time.Hour)}
	must(t, openSession(ctx, s, session))
	wantErr(t, openSession(ctx, s, session), brokers.ErrConflict)
	got, err := s.Session(ctx, cookie, noon())
	must(t, err)
	if got.ID != "a" || got.CookieHash != cookie {
		t.Errorf("got %+v", got)
	}
	_, err = s.Session(ctx, cookie, session.ExpiresAt)
	wantErr(t, err, brokers.ErrNotFound)
	for range 2 {
		_, err = s.EndSession(ctx, cookie, noon(), noon())
		must(t, err)
	}
	_, err = s.Session(ctx, cookie, noon())
	wantErr(t, err, brokers.ErrNotFound)
}

func purge(t *testing.T, s Store) {
	ctx := context.Background()
	for i := range 5 {
		must(t, s.SaveTransaction(ctx, departed(fmt.Sprint(i), fmt.Sprint("r", i))))
		must(t, s.UseAssertionID(ctx, "idp", fmt.Sprint(i), noon().Add(time.Minute)))
	}
	redeemed, _ := issue(t, s, "redeemed"), issue(t, s, "unredeemed")
	_, err := s.RedeemCode(ctx, redeemed, brokers.HashOf("token"), until(noon().Add(time.Hour)), noon())
	must(t, err)
	must(t, openSession(ctx, s, &brokers.Session{CookieHash: brokers.HashOf("c"), ExpiresAt: noon().Add(time.Hour)}))

	n, err := s.Purge(ctx, noon(), 100)
	must(t, err)
	if n != 0 {
		t.Errorf("%d records were removed before their time", n)
	}
	total := 0
	for i := range 20 {
		n, err := s.Purge(ctx, noon().Add(time.Minute), 2)
		must(t, err)
		if i == 0 && n > 8 {
			t.Errorf("a batch removed %d, want at most 2 of each kind", n)
		}
		total += n
	}
	if total != 15 { // 5, 2 and 1 transactions, 5 assertions, 2 grants
		t.Errorf("%d records were removed, want 15", total)
	}
	_, _, err = s.AccessToken(ctx, brokers.HashOf("token"), noon().Add(time.Minute))
	must(t, err)
	_, err = s.Session(ctx, brokers.HashOf("c"), noon().Add(time.Minute))
	must(t, err)
	must(t, s.SaveTransaction(ctx, departed("0", "r0")))
	must(t, s.UseAssertionID(ctx, "idp", "0", noon().Add(time.Minute)))
}

// unkept is a login that no store knows, at its end.
func unkept(name string) *brokers.Issuing {
	tx := authenticated(name)
	tx.State, tx.Unkept = brokers.Completed, true
	return &brokers.Issuing{Login: tx, From: brokers.Authenticated, Code: brokers.HashOf(name), Grant: grant(name)}
}

func issueUnkept(t *testing.T, s Store) {
	ctx := context.Background()
	for _, c := range []struct {
		name          string
		session, part bool
	}{{"plain", false, false}, {"session", true, false}, {"participant", true, true}} {
		i := unkept(c.name)
		if c.session {
			i.Session, i.Grant.Session, i.Participates = session(c.name, "cookie of "+c.name), c.name, c.part
		}
		must(t, s.IssueCode(ctx, i))
		_, err := s.Transaction(ctx, c.name, noon())
		wantErr(t, err, brokers.ErrNotFound)
		again := unkept(c.name)
		again.Session = session("of the loser", "cookie of the loser")
		again.Grant.Session = again.Session.ID
		wantErr(t, s.IssueCode(ctx, again), brokers.ErrConflict)
		_, err = s.Session(ctx, again.Session.CookieHash, noon())
		wantErr(t, err, brokers.ErrNotFound)
		g, err := s.RedeemCode(ctx, i.Code, brokers.HashOf("token of "+c.name), until(noon().Add(time.Minute)), noon())
		must(t, err)
		if g.ID != c.name {
			t.Errorf("%s: got the grant %q", c.name, g.ID)
		}
		if !c.session {
			continue
		}
		_, err = s.Session(ctx, i.Session.CookieHash, noon())
		must(t, err)
		list, err := s.EndSession(ctx, i.Session.CookieHash, noon(), noon().Add(time.Hour))
		must(t, err)
		if len(list) != map[bool]int{true: 1}[c.part] {
			t.Errorf("%s: took part: %v", c.name, list)
		}
		_, _, err = s.AccessToken(ctx, brokers.HashOf("token of "+c.name), noon())
		wantErr(t, err, brokers.ErrNotFound)
	}
	handle := brokers.HashOf("pushed")
	must(t, s.Push(ctx, handle, &brokers.PushedRequest{ClientID: "portal", ExpiresAt: noon().Add(time.Minute)}))
	oneWinner(t, race(8, func(n int) error {
		i := unkept(fmt.Sprint("pushed ", n))
		i.Login.Pushed = handle
		return s.IssueCode(ctx, i)
	}), brokers.ErrConflict)
	gone := unkept("in a session that ended")
	gone.Grant.Session = "session"
	wantErr(t, s.IssueCode(ctx, gone), brokers.ErrConflict)
}
