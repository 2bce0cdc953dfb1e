package brokertest

import (
	"context"
	"crypto/rand"
	"slices"
	"testing"
	"time"

	"github.com/eidbridge/eidbridge/brokers"
)

// openSession opens a session with a login of its own.
func openSession(ctx context.Context, s Store, session *brokers.Session) error {
	return renewSession(ctx, s, brokers.Hash{}, session)
}

// renewSession puts a session in the place of the one with the old cookie.
func renewSession(ctx context.Context, s Store, old brokers.Hash, session *brokers.Session) error {
	tx := authenticated(rand.Text())
	if err := s.SaveTransaction(ctx, tx); err != nil {
		return err
	}
	tx.State = brokers.Completed
	return s.IssueCode(ctx, &brokers.Issuing{
		Login: tx, From: brokers.Authenticated, Code: brokers.HashOf(tx.ID), Grant: grant(tx.ID), Session: session, Renews: old,
	})
}

func session(id, cookie string) *brokers.Session {
	return &brokers.Session{ID: id, CookieHash: brokers.HashOf(cookie), CreatedAt: noon(), ExpiresAt: noon().Add(time.Hour)}
}

func sessionRenewed(t *testing.T, s Store) {
	ctx := context.Background()
	must(t, openSession(ctx, s, session("a", "first")))
	wantErr(t, openSession(ctx, s, session("a", "of the same ID")), brokers.ErrConflict)
	must(t, renewSession(ctx, s, brokers.HashOf("first"), session("a", "second")))
	_, err := s.Session(ctx, brokers.HashOf("first"), noon())
	wantErr(t, err, brokers.ErrNotFound)
	got, err := s.Session(ctx, brokers.HashOf("second"), noon())
	must(t, err)
	if got.ID != "a" {
		t.Errorf("got %+v", got)
	}
	oneWinner(t, race(8, func(i int) error {
		return renewSession(ctx, s, brokers.HashOf("second"), session("a", string(rune('a'+i))))
	}), brokers.ErrConflict)
}

// issueIn issues and redeems a code in a session.
func issueIn(t *testing.T, s Store, name, client, session string) error {
	t.Helper()
	ctx, tx := context.Background(), authenticated(name)
	must(t, s.SaveTransaction(ctx, tx))
	tx.State = brokers.Completed
	g := grant(name)
	g.Request.ClientID, g.Session, g.SessionID = client, session, "sid of "+client
	if err := s.IssueCode(ctx, &brokers.Issuing{Login: tx, From: brokers.Authenticated, Code: brokers.HashOf(name), Grant: g, Participates: client != "kiosk"}); err != nil {
		return err
	}
	_, err := s.RedeemCode(ctx, brokers.HashOf(name), brokers.HashOf(name+" a0"), until(noon().Add(time.Minute)), noon())
	return err
}

func sessionEnds(t *testing.T, s Store) {
	ctx := context.Background()
	must(t, openSession(ctx, s, session("a", "cookie")))
	must(t, openSession(ctx, s, session("b", "other cookie")))
	for _, c := range [][3]string{{"1", "portal", "a"}, {"2", "portal", "a"}, {"3", "museum", "a"}, {"6", "kiosk", "a"}, {"4", "portal", "b"}, {"5", "portal", ""}} {
		must(t, issueIn(t, s, c[0], c[1], c[2]))
	}
	list, err := s.EndSession(ctx, brokers.HashOf("cookie"), noon(), noon().Add(time.Hour))
	must(t, err)
	clients := []string{}
	for _, p := range list {
		clients = append(clients, p.ClientID+" "+p.SessionID)
	}
	slices.Sort(clients)
	if !slices.Equal(clients, []string{"museum sid of museum", "portal sid of portal"}) {
		t.Errorf("took part: %v", clients)
	}
	for name, want := range map[string]bool{"1": false, "2": false, "3": false, "6": false, "4": true, "5": true} {
		if got := live(s, name+" a0", noon()); got != want {
			t.Errorf("token %s lives: %t", name, got)
		}
	}
	notices, err := s.DueNotices(ctx, noon(), noon().Add(time.Minute), 10)
	must(t, err)
	if len(notices) != 2 || notices[0].Attempts != 1 {
		t.Errorf("queued: %+v", notices)
	}
	if list, err = s.EndSession(ctx, brokers.HashOf("cookie"), noon(), noon()); err != nil || len(list) > 0 {
		t.Errorf("ended twice: %v, %v", list, err)
	}
}

func linkedEnd(t *testing.T, s Store) {
	ctx := context.Background()
	person, index, other := brokers.HashOf("person"), brokers.HashOf("index"), brokers.HashOf("other")
	end := func(want int, links ...brokers.Hash) {
		t.Helper()
		if n, err := s.EndLinked(ctx, links, noon(), noon().Add(time.Hour)); err != nil || n != want {
			t.Errorf("ended %d, %v, want %d", n, err, want)
		}
	}
	must(t, s.LinkSession(ctx, []brokers.Hash{person, index}, "a", noon().Add(time.Hour)))
	must(t, s.LinkSession(ctx, []brokers.Hash{person, index}, "a", noon().Add(2*time.Hour))) // renewed
	must(t, s.LinkSession(ctx, []brokers.Hash{person}, "b", noon().Add(time.Hour)))
	must(t, s.LinkSession(ctx, []brokers.Hash{other}, "c", noon().Add(time.Hour)))
	end(0, person) // there are no sessions yet
	for _, id := range []string{"a", "b", "c"} {
		must(t, openSession(ctx, s, session(id, "cookie "+id)))
	}
	must(t, renewSession(ctx, s, brokers.HashOf("cookie b"), session("b", "new cookie b")))
	must(t, issueIn(t, s, "1", "portal", "a"))
	end(0, brokers.HashOf("nobody"))
	end(0)
	end(1, index, index)
	if live(s, "1 a0", noon()) {
		t.Error("a token outlives the session")
	}
	if notices, err := s.DueNotices(ctx, noon(), noon().Add(time.Minute), 10); err != nil || len(notices) != 1 {
		t.Errorf("queued: %+v, %v", notices, err)
	}
	end(1, person, index)
	end(0, person, index)
	if _, err := s.Session(ctx, brokers.HashOf("cookie c"), noon()); err != nil {
		t.Errorf("another session: %v", err)
	}
	_, err := s.EndSession(ctx, brokers.HashOf("cookie c"), noon(), noon())
	must(t, err)
	must(t, openSession(ctx, s, session("c", "again")))
	end(0, other) // the names went with the session
	must(t, s.LinkSession(ctx, []brokers.Hash{other}, "c", noon().Add(time.Hour)))
	_, err = s.Purge(ctx, noon().Add(time.Hour), 10)
	must(t, err)
	must(t, openSession(ctx, s, session("c", "third")))
	end(0, other)
	// A name that has had its time takes no other with it.
	long := session("d", "cookie d")
	long.ExpiresAt = noon().Add(3 * time.Hour)
	must(t, openSession(ctx, s, long))
	must(t, s.LinkSession(ctx, []brokers.Hash{person}, "d", noon().Add(time.Hour)))
	must(t, s.LinkSession(ctx, []brokers.Hash{index}, "d", noon().Add(3*time.Hour)))
	_, err = s.Purge(ctx, noon().Add(2*time.Hour), 10)
	must(t, err)
	end(0, person)
	end(1, index)
}

func codeOfEndedSession(t *testing.T, s Store) {
	ctx := context.Background()
	must(t, openSession(ctx, s, session("a", "cookie")))
	_, err := s.EndSession(ctx, brokers.HashOf("cookie"), noon(), noon())
	must(t, err)
	wantErr(t, issueIn(t, s, "1", "portal", "a"), brokers.ErrConflict)
}

func noticeLease(t *testing.T, s Store) {
	ctx := context.Background()
	must(t, openSession(ctx, s, session("a", "cookie")))
	must(t, issueIn(t, s, "1", "portal", "a"))
	_, err := s.EndSession(ctx, brokers.HashOf("cookie"), noon(), noon().Add(10*time.Minute))
	must(t, err)
	due := func(now time.Time) []brokers.Notice {
		list, err := s.DueNotices(ctx, now, now.Add(30*time.Second), 10)
		must(t, err)
		return list
	}
	first := due(noon())
	if len(first) != 1 || len(due(noon())) != 0 {
		t.Fatalf("handed out %+v, then again", first)
	}
	if again := due(noon().Add(30 * time.Second)); len(again) != 1 || again[0].Attempts != 2 || again[0].ClientID != "portal" {
		t.Fatalf("after the lease: %+v", again)
	}
	must(t, s.PostponeNotice(ctx, first[0].ID, noon().Add(5*time.Minute)))
	if early, late := due(noon().Add(4*time.Minute)), due(noon().Add(5*time.Minute)); len(early) != 0 || len(late) != 1 {
		t.Errorf("postponed: %d early, %d late", len(early), len(late))
	}
	must(t, s.SettleNotice(ctx, first[0].ID))
	if left := due(noon().Add(9 * time.Minute)); len(left) != 0 {
		t.Errorf("settled and handed out: %+v", left)
	}
}

func pushedLives(t *testing.T, s Store) {
	ctx := context.Background()
	handle := brokers.HashOf("handle")
	pushed := &brokers.PushedRequest{ClientID: "portal", Parameters: map[string]string{"state": "s"}, ExpiresAt: noon().Add(time.Minute)}
	must(t, s.Push(ctx, handle, pushed))
	wantErr(t, s.Push(ctx, handle, pushed), brokers.ErrConflict)
	got, err := s.Pushed(ctx, handle, noon())
	must(t, err)
	if got.ClientID != "portal" || got.Parameters["state"] != "s" {
		t.Errorf("got %+v", got)
	}
	_, err = s.Pushed(ctx, handle, noon().Add(time.Minute))
	wantErr(t, err, brokers.ErrNotFound)
	// Of several logins that began with it, one gets a code.
	oneWinner(t, race(4, func(i int) error {
		tx := authenticated(string(rune('a' + i)))
		must(t, s.SaveTransaction(ctx, tx))
		tx.State, tx.Pushed = brokers.Completed, handle
		return s.IssueCode(ctx, &brokers.Issuing{Login: tx, From: brokers.Authenticated, Code: brokers.HashOf(tx.ID), Grant: grant(tx.ID)})
	}), brokers.ErrConflict)
	_, err = s.Pushed(ctx, handle, noon())
	wantErr(t, err, brokers.ErrNotFound)
}

func receiptLives(t *testing.T, s Store) {
	ctx := context.Background()
	for _, text := range []string{"first", "second"} {
		must(t, s.SaveReceipt(ctx, "id", []byte(text), noon().Add(time.Minute)))
	}
	got, err := s.Receipt(ctx, "id", noon())
	must(t, err)
	if string(got) != "first" {
		t.Errorf("got %q", got)
	}
	_, err = s.Receipt(ctx, "id", noon().Add(time.Minute))
	wantErr(t, err, brokers.ErrNotFound)
	_, err = s.Receipt(ctx, "other", noon())
	wantErr(t, err, brokers.ErrNotFound)
}
