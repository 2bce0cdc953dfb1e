package brokertest

import (
	"context"
	"testing"
	"time"

	"github.com/eidbridge/eidbridge/brokers"
)

// family issues and redeems a code and begins a family of refresh tokens with
// the token "r0".
func family(t *testing.T, s Store, name string) {
	t.Helper()
	ctx, code := context.Background(), issue(t, s, name)
	_, err := s.RedeemCode(ctx, code, brokers.HashOf(name+" a0"), until(noon().Add(5*time.Minute)), noon())
	must(t, err)
	must(t, s.SaveRefreshToken(ctx, code, brokers.HashOf(name+" r0"), until(noon().Add(time.Hour))))
}

// refreshing rotates one token into another.
func refreshing(old, next, access string, now time.Time) brokers.Refreshing {
	return brokers.Refreshing{
		Old: brokers.HashOf(old), Next: brokers.HashOf(next), Access: brokers.HashOf(access), Caller: brokers.HashOf("caller"),
		AccessToken: until(now.Add(5 * time.Minute)), NextToken: until(now.Add(time.Hour)), Grace: 10 * time.Second, Now: now,
	}
}

func live(s Store, access string, now time.Time) bool {
	_, _, err := s.AccessToken(context.Background(), brokers.HashOf(access), now)
	return err == nil
}

func refreshOnce(t *testing.T, s Store) {
	ctx := context.Background()
	family(t, s, "f")
	must(t, s.Refresh(ctx, refreshing("f r0", "f r1", "f a1", noon())))
	g, token, err := s.RefreshToken(ctx, brokers.HashOf("f r1"), noon())
	must(t, err)
	if g.ID != "f" || token.Used || !token.ExpiresAt.Equal(noon().Add(time.Hour)) {
		t.Errorf("got %+v, %+v", g, token)
	}
	if _, token, err = s.RefreshToken(ctx, brokers.HashOf("f r0"), noon()); err != nil || !token.Used {
		t.Errorf("got %+v, %v, want a used token", token, err)
	}
	if !live(s, "f a0", noon()) || !live(s, "f a1", noon()) {
		t.Error("an access token does not live")
	}
	wantErr(t, s.Refresh(ctx, refreshing("nothing", "f r2", "f a2", noon())), brokers.ErrNotFound)
	wantErr(t, s.Refresh(ctx, refreshing("f r1", "f r2", "f a2", noon().Add(time.Hour))), brokers.ErrNotFound)
	// The second use, after the grace, takes the whole family along.
	wantErr(t, s.Refresh(ctx, refreshing("f r0", "f r1", "f a1", noon().Add(10*time.Second))), brokers.ErrReplayed)
	for _, access := range []string{"f a0", "f a1"} {
		if live(s, access, noon()) {
			t.Errorf("%s outlived its family", access)
		}
	}
	wantErr(t, s.Refresh(ctx, refreshing("f r1", "f r2", "f a2", noon())), brokers.ErrNotFound)
	_, _, err = s.RefreshToken(ctx, brokers.HashOf("f r1"), noon())
	wantErr(t, err, brokers.ErrNotFound)
}

func refreshRetry(t *testing.T, s Store) {
	ctx := context.Background()
	for _, c := range []struct {
		name   string
		change func(*brokers.Refreshing)
		want   error
	}{
		{"the same again", func(*brokers.Refreshing) {}, nil},
		{"another caller", func(r *brokers.Refreshing) { r.Caller = brokers.HashOf("thief") }, brokers.ErrReplayed},
		{"another successor", func(r *brokers.Refreshing) { r.Next = brokers.HashOf("other") }, brokers.ErrReplayed},
		{"too late", func(r *brokers.Refreshing) { r.Now = r.Now.Add(r.Grace) }, brokers.ErrReplayed},
		{"by a clock that is behind", func(r *brokers.Refreshing) { r.Now = r.Now.Add(-time.Second) }, nil},
		{"long before the first use", func(r *brokers.Refreshing) { r.Now = r.Now.Add(-time.Minute) }, brokers.ErrReplayed},
	} {
		family(t, s, c.name)
		r := refreshing(c.name+" r0", c.name+" r1", c.name+" a1", noon())
		must(t, s.Refresh(ctx, r))
		c.change(&r)
		wantErr(t, s.Refresh(ctx, r), c.want)
		if alive := live(s, c.name+" a1", noon()); alive != (c.want == nil) {
			t.Errorf("%s: the access token lives: %t", c.name, alive)
		}
	}
	family(t, s, "g")
	must(t, s.Refresh(ctx, refreshing("g r0", "g r1", "g a1", noon())))
	must(t, s.Refresh(ctx, refreshing("g r1", "g r2", "g a2", noon())))
	// Once the successor was used the answer had arrived.
	wantErr(t, s.Refresh(ctx, refreshing("g r0", "g r1", "g a1", noon())), brokers.ErrReplayed)
	// At once: all get the one answer, and there is one family.
	family(t, s, "h")
	for _, err := range race(8, func(int) error { return s.Refresh(ctx, refreshing("h r0", "h r1", "h a1", noon())) }) {
		must(t, err)
	}
	must(t, s.Refresh(ctx, refreshing("h r1", "h r2", "h a2", noon())))
}

func refreshStays(t *testing.T, s Store) {
	ctx := context.Background()
	family(t, s, "f")
	for i := range 3 {
		now := noon().Add(time.Duration(i) * 50 * time.Minute)
		r := refreshing("f r0", "", "f a"+string(rune('1'+i)), now)
		r.Next = brokers.Hash{}
		must(t, s.Refresh(ctx, r))
		if !live(s, "f a"+string(rune('1'+i)), now) {
			t.Errorf("the access token of use %d does not live", i)
		}
	}
	_, _, err := s.RefreshToken(ctx, brokers.HashOf("f r0"), noon().Add(160*time.Minute))
	wantErr(t, err, brokers.ErrNotFound)
}

func revokeByToken(t *testing.T, s Store) {
	ctx := context.Background()
	for _, by := range []string{"a0", "a1", "r0", "r1"} {
		name := "by " + by
		family(t, s, name)
		must(t, s.Refresh(ctx, refreshing(name+" r0", name+" r1", name+" a1", noon())))
		must(t, s.RevokeByToken(ctx, brokers.HashOf("nothing"), noon()))
		if !live(s, name+" a0", noon()) {
			t.Fatal("an unknown token revoked another")
		}
		must(t, s.RevokeByToken(ctx, brokers.HashOf(name+" "+by), noon()))
		if live(s, name+" a0", noon()) || live(s, name+" a1", noon()) {
			t.Errorf("%s: an access token lives", name)
		}
		wantErr(t, s.Refresh(ctx, refreshing(name+" r1", name+" r2", name+" a2", noon())), brokers.ErrNotFound)
		wantErr(t, s.SaveRefreshToken(ctx, brokers.HashOf(name), brokers.HashOf(name+" r9"), until(noon().Add(time.Hour))), brokers.ErrNotFound)
	}
}

func purgeTokens(t *testing.T, s Store) {
	ctx := context.Background()
	family(t, s, "f")
	must(t, s.Refresh(ctx, refreshing("f r0", "f r1", "f a1", noon())))
	for range 4 {
		_, err := s.Purge(ctx, noon().Add(59*time.Minute), 100)
		must(t, err)
	}
	must(t, s.Refresh(ctx, refreshing("f r1", "f r2", "f a2", noon().Add(59*time.Minute))))
	for range 4 {
		_, err := s.Purge(ctx, noon().Add(2*time.Hour), 100)
		must(t, err)
	}
	// The same hashes may come again: nothing of the family is left.
	family(t, s, "f")
	must(t, s.Refresh(ctx, refreshing("f r0", "f r1", "f a1", noon())))
}
