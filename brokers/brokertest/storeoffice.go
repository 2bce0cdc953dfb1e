package brokertest

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/eidbridge/eidbridge/brokers"
)

func outageLives(t *testing.T, s Store) {
	ctx := context.Background()
	open := brokers.Outage{ID: "a", Upstream: "digid", Limit: brokers.Limit{Method: "midden"}}
	soon := brokers.Outage{ID: "b", Upstream: "clave", Automatic: true, Limit: brokers.Limit{From: noon(), Until: noon().Add(time.Minute)}}
	must(t, s.SaveOutage(ctx, soon))
	must(t, s.SaveOutage(ctx, brokers.Outage{ID: "a", Upstream: "other"}))
	must(t, s.SaveOutage(ctx, open))
	must(t, s.SaveBan(ctx, brokers.Ban{ID: "a", Until: noon().Add(time.Hour)})) // of another kind
	list, err := s.Outages(ctx, noon())
	must(t, err)
	if len(list) != 2 || list[0] != open || list[1].ID != "b" || !list[1].Automatic || !list[1].Until.Equal(soon.Until) || !list[1].From.Equal(soon.From) {
		t.Errorf("outages: %+v", list)
	}
	list, err = s.Outages(ctx, noon().Add(time.Minute))
	must(t, err)
	if len(list) != 1 {
		t.Errorf("after one ended: %+v", list)
	}
	_, err = s.Purge(ctx, noon().Add(100*365*24*time.Hour), 100)
	must(t, err)
	must(t, s.DeleteOutage(ctx, "a"))
	wantErr(t, s.DeleteOutage(ctx, "a"), brokers.ErrNotFound)
	wantErr(t, s.DeleteOutage(ctx, "b"), brokers.ErrNotFound) // purged
}

func banLives(t *testing.T, s Store) {
	ctx := context.Background()
	ban := brokers.Ban{ID: "x", Address: "192.0.2.1", Kind: "secret", At: noon().UTC(), Until: noon().Add(time.Minute).UTC()}
	must(t, s.SaveBan(ctx, ban))
	list, err := s.Bans(ctx, noon())
	must(t, err)
	if len(list) != 1 || list[0] != ban {
		t.Errorf("bans: %+v", list)
	}
	if list, err = s.Bans(ctx, ban.Until); err != nil || len(list) != 0 {
		t.Errorf("after its end: %+v %v", list, err)
	}
	must(t, s.DeleteBan(ctx, "x"))
	wantErr(t, s.DeleteBan(ctx, "x"), brokers.ErrNotFound)

	key := brokers.HashOf("address")
	_, err = s.Strike(ctx, key, noon(), noon().Add(time.Hour))
	must(t, err)
	at := noon().Add(time.Minute)
	must(t, s.Quash(ctx, key, at))
	must(t, s.Quash(ctx, brokers.HashOf("unknown"), at))
	quashed, err := s.Struck(ctx, at, 0, 10)
	must(t, err)
	if c, ok := quashed[key]; len(quashed) != 1 || !ok || !c.Until.Equal(at) {
		t.Errorf("a counter that was ended is not told to replicas: %+v", quashed)
	}
	c, err := s.Strike(ctx, key, at, at.Add(time.Hour))
	must(t, err)
	if c.Number != 1 {
		t.Errorf("after its end a counter goes on at %d", c.Number)
	}
}

// S-08: what is kept of a person is found by opening records, one after the other:
// there is no column to look a person up by.
func personIsFound(t *testing.T, s Store) {
	ctx := context.Background()
	for i, person := range []string{"es-dni:1", "nl-bsn:2", "es-dni:1"} {
		session := &brokers.Session{
			ID: string(rune('a' + i)), CookieHash: brokers.HashOf(string(rune('a' + i))), ExpiresAt: noon().Add(time.Hour),
			Events: []brokers.AuthenticationEvent{{Subject: brokers.Subject{Key: person}}},
		}
		must(t, openSession(ctx, s, session))
	}
	var found []string
	must(t, s.LiveSessions(ctx, noon(), func(session *brokers.Session) error {
		if session.Events[0].Subject.Key == "es-dni:1" {
			found = append(found, session.ID)
		}
		return nil
	}))
	slices.Sort(found)
	if strings.Join(found, "") != "ac" {
		t.Errorf("sessions of the person: %v", found)
	}
	must(t, s.LiveSessions(ctx, noon().Add(time.Hour), func(*brokers.Session) error { return errors.New("it has ended") }))

	one, two := issue(t, s, "one"), issue(t, s, "two")
	_, err := s.RedeemCode(ctx, one, brokers.HashOf("token one"), until(noon().Add(time.Hour)), noon())
	must(t, err)
	must(t, s.RevokeGrant(ctx, one, noon()))
	must(t, s.RevokeGrant(ctx, brokers.HashOf("unknown"), noon()))
	_, _, err = s.AccessToken(ctx, brokers.HashOf("token one"), noon())
	wantErr(t, err, brokers.ErrNotFound)
	seen := map[brokers.Hash]string{}
	must(t, s.LiveGrants(ctx, noon(), func(code brokers.Hash, g *brokers.Grant) error {
		seen[code] = g.ID
		return nil
	}))
	if _, there := seen[one]; there || seen[two] != "two" {
		t.Errorf("live grants: %v", seen)
	}
	stop := errors.New("enough")
	wantErr(t, s.LiveGrants(ctx, noon(), func(brokers.Hash, *brokers.Grant) error { return stop }), stop)
}
