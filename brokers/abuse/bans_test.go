package abuse_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/eidbridge/eidbridge/brokers"
	"github.com/eidbridge/eidbridge/brokers/abuse"
)

// An operator sees bans and lifts one, for all replicas; the next wrong try does not
// bring it back, and no log names the address.
func TestBansAreListedAndLifted(t *testing.T) {
	b, ctx := newBench(t), t.Context()
	settings := abuse.Settings{BanAfter: 10, FreeTries: 5, AddressTries: 100}
	g, replica := b.guard(settings), b.guard(settings)
	for i := range 10 {
		g.Failed(ctx, abuse.Secret, home, fmt.Sprint(i))
	}
	if err := replica.Learn(ctx, b.Now().Add(-time.Minute)); err != nil {
		t.Fatal(err)
	}
	list, err := replica.Bans(ctx)
	if err != nil || len(list) != 1 || list[0].Address != home || list[0].Kind != "secret" || strings.Contains(list[0].ID, home) {
		t.Fatalf("bans: %+v %v", list, err)
	}
	if replica.Wait(ctx, abuse.Secret, home, "x") == 0 {
		t.Fatal("the replica did not learn of the ban")
	}
	if err := replica.Lift(ctx, "console:alice", "nothing"); !errors.Is(err, brokers.ErrNotFound) {
		t.Errorf("lifting nothing: %v", err)
	}
	b.pass(time.Second)
	if err := replica.Lift(ctx, "console:alice", list[0].ID); err != nil {
		t.Fatal(err)
	}
	if err := g.Learn(ctx, b.Now().Add(-time.Minute)); err != nil {
		t.Fatal(err)
	}
	for name, one := range map[string]*abuse.Guard{"that banned": g, "that lifted": replica} {
		one.Failed(ctx, abuse.Secret, home, "again")
		if wait := one.Wait(ctx, abuse.Secret, home, "other"); wait > 0 {
			t.Errorf("the replica %s keeps the address waiting %s", name, wait)
		}
	}
	if list, err = g.Bans(ctx); err != nil || len(list) != 0 {
		t.Errorf("bans after lifting: %+v %v", list, err)
	}
	if text := b.log.String(); strings.Contains(text, home) || !strings.Contains(text, `"event":"abuse.ban_lifted"`) || !strings.Contains(text, "console:alice") {
		t.Errorf("log: %s", text)
	}
}
