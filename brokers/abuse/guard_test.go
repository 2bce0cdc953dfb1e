package abuse_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/eidbridge/eidbridge/brokers"
	"github.com/eidbridge/eidbridge/brokers/abuse"
	"github.com/eidbridge/eidbridge/brokers/brokertest"
	"github.com/eidbridge/eidbridge/brokers/store"
)

// bench is guards, as of several replicas, on one store with one clock.
type bench struct {
	t     *testing.T
	now   atomic.Int64
	store *store.Memory
	log   brokertest.Buffer // of all guards
}

func newBench(t *testing.T) *bench {
	b := &bench{t: t, store: store.NewMemory()}
	b.now.Store(time.Date(2026, 11, 2, 12, 0, 0, 0, time.UTC).Unix())
	return b
}

func (b *bench) Now() time.Time       { return time.Unix(b.now.Load(), 0) }
func (b *bench) pass(d time.Duration) { b.now.Add(int64(d.Seconds())) }

func (b *bench) guard(s abuse.Settings, strikes ...abuse.Strikes) *abuse.Guard {
	b.t.Helper()
	o := abuse.Options{Strikes: b.store, Key: bytes.Repeat([]byte{1}, 32), Now: b.Now, Audit: slog.New(slog.NewJSONHandler(&b.log, nil))}
	if len(strikes) > 0 {
		o.Strikes = strikes[0]
	}
	g, err := abuse.New(s, o)
	if err != nil {
		b.t.Fatal(err)
	}
	return g
}

func (b *bench) figure(g *abuse.Guard, name string) float64 {
	for _, f := range g.Figures() {
		if f.Name == "eidbroker_abuse_"+name {
			return f.Value()
		}
	}
	b.t.Fatalf("no figure %s", name)
	return 0
}

const home = "192.0.2.1"

// W-01, W-04: delays double with each wrong try that is not free, up to a bound,
// and end by themselves.
func TestDelaysDouble(t *testing.T) {
	b, ctx := newBench(t), context.Background()
	g := b.guard(abuse.Settings{FreeTries: 2, LongestDelay: 10 * time.Second})
	for n, want := range []time.Duration{0, 0, 0, 2 * time.Second, 4 * time.Second, 8 * time.Second, 10 * time.Second, 10 * time.Second} {
		wait := g.Wait(ctx, abuse.Secret, home, "portal")
		if wait != want {
			t.Errorf("before try %d: %v, want %v", n+1, wait, want)
		}
		b.pass(wait)
		if g.Wait(ctx, abuse.Secret, home, "portal") != 0 {
			t.Errorf("try %d is still delayed after %v", n+1, wait)
		}
		g.Failed(ctx, abuse.Secret, home, "portal")
	}
	b.pass(15 * time.Minute)
	g.Failed(ctx, abuse.Secret, home, "portal")
	if wait := g.Wait(ctx, abuse.Secret, home, "portal"); wait != 0 {
		t.Errorf("after the window a single wrong try costs %v", wait)
	}
	if b.figure(g, "delays") == 0 || !strings.Contains(b.log.String(), `"event":"abuse.delayed"`) {
		t.Error("delays are neither counted nor told of")
	}
}

// W-03: whoever fails elsewhere, or at another account, delays nobody else.
func TestStrangersDelayNobody(t *testing.T) {
	b, ctx := newBench(t), context.Background()
	g := b.guard(abuse.Settings{})
	for range 15 {
		g.Failed(ctx, abuse.Secret, "198.51.100.7", "portal")
	}
	if g.Wait(ctx, abuse.Secret, "198.51.100.7", "portal") == 0 {
		t.Error("the attacker is not delayed")
	}
	for name, wait := range map[string]time.Duration{
		"the victim at home":            g.Wait(ctx, abuse.Secret, home, "portal"),
		"another account, same address": g.Wait(ctx, abuse.Secret, "198.51.100.7", "other"),
		"another kind, same address":    g.Wait(ctx, abuse.UserCode, "198.51.100.7", ""),
	} {
		if wait != 0 {
			t.Errorf("%s waits %v", name, wait)
		}
	}
}

// W-01: one try at each of many accounts is counted for the address.
func TestSprayingIsCountedByAddress(t *testing.T) {
	b, ctx := newBench(t), context.Background()
	g := b.guard(abuse.Settings{BanAfter: 25})
	judged := 0
	for n := range 10_000 {
		account := fmt.Sprint("portal ", n)
		if g.Wait(ctx, abuse.Secret, home, account) == 0 {
			judged++
			g.Failed(ctx, abuse.Secret, home, account)
		}
		if n%10 == 0 {
			b.pass(time.Second)
		}
	}
	// A thousand seconds of spraying: the free ones, then ever fewer.
	if judged > 50 {
		t.Errorf("%d of 10,000 tries were judged", judged)
	}
}

// W-04: a thousand tries at once count a thousand and few are judged, over two
// replicas.
func TestTriesAtOnceAreCounted(t *testing.T) {
	b, ctx := newBench(t), context.Background()
	replicas := []*abuse.Guard{b.guard(abuse.Settings{}), b.guard(abuse.Settings{})}
	var judged atomic.Int64
	var all sync.WaitGroup
	for n := range 1000 {
		all.Go(func() {
			wait, err := replicas[n%2].Try(ctx, abuse.UserCode, home, "")
			if err != nil {
				t.Error(err)
			}
			if wait == 0 {
				judged.Add(1)
			}
		})
	}
	all.Wait()
	// The free ones, and the first that costs something.
	if n := judged.Load(); n != 6 {
		t.Errorf("%d of 1,000 were judged, want 6", n)
	}
}

// What was right is taken off again, by one.
func TestRightTriesArePardoned(t *testing.T) {
	b, ctx := newBench(t), context.Background()
	g := b.guard(abuse.Settings{})
	for n := range 50 {
		wait, err := g.Try(ctx, abuse.UserCode, home, "")
		if err != nil || wait != 0 {
			t.Fatalf("right try %d: %v %v", n, wait, err)
		}
		if err := g.Pardon(ctx, abuse.UserCode, home, ""); err != nil {
			t.Fatal(err)
		}
	}
}

// Bans hold on every replica, keep from tries and from starts, and lapse (W-01,
// W-12).
func TestBansAreSharedAndLapse(t *testing.T) {
	b, ctx := newBench(t), context.Background()
	s := abuse.Settings{BanAfter: 10, BanFor: 5 * time.Minute, StartsPerMinute: 100}
	g, other := b.guard(s), b.guard(s)
	for range 10 {
		g.Failed(ctx, abuse.Registration, home, "")
	}
	if err := other.Learn(ctx, b.Now().Add(-time.Minute)); err != nil {
		t.Fatal(err)
	}
	for name, replica := range map[string]*abuse.Guard{"first": g, "other": other} {
		if wait := replica.Wait(ctx, abuse.Secret, home, "portal"); wait != 5*time.Minute {
			t.Errorf("%s replica: %v", name, wait)
		}
		if ruling := replica.Start(ctx, home, "", ""); ruling.OK || ruling.Reason != "banned" || ruling.Retry != 5*time.Minute {
			t.Errorf("%s replica: %+v", name, ruling)
		}
		if ruling := replica.Start(ctx, "192.0.2.2", "", ""); !ruling.OK {
			t.Errorf("%s replica refuses a neighbour: %+v", name, ruling)
		}
		if _, ok := replica.Request(ctx, home); !ok {
			t.Errorf("%s replica lets logins under way not go on", name)
		}
	}
	b.pass(5 * time.Minute)
	if ruling := other.Start(ctx, home, "", ""); !ruling.OK {
		t.Errorf("after its time: %+v", ruling)
	}
	if b.figure(g, "bans") != 1 || strings.Count(b.log.String(), "abuse.banned") != 1 {
		t.Error("the ban is not told of once")
	}
	if strings.Contains(b.log.String(), home) {
		t.Error("the log names the address")
	}
}

// number is what solves a challenge.
func number(t *testing.T, c *abuse.Challenge) int {
	t.Helper()
	n, err := strconv.Atoi(c.Solve())
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// W-12, W-13: many logins from one address cost work before they are refused; a
// solution or a wait counts once, for that address, in its time.
func TestStartsCostWork(t *testing.T) {
	b, ctx := newBench(t), context.Background()
	g := b.guard(abuse.Settings{ChallengeAbove: 2, StartsPerMinute: 5, Difficulty: 10})
	for range 2 {
		if r := g.Start(ctx, home, "", ""); !r.OK {
			t.Fatalf("below the threshold: %+v", r)
		}
	}
	ask := func() *abuse.Challenge {
		t.Helper()
		r := g.Start(ctx, home, "", "")
		if r.OK || r.Challenge == nil {
			t.Fatalf("above the threshold: %+v", r)
		}
		return r.Challenge
	}
	c, other := ask(), ask()
	for number(t, other) == number(t, c) {
		other = ask()
	}
	if number(t, other) < number(t, c) { // Solve finds the first, so this one is none of the other's
		c, other = other, c
	}
	solution := c.Solve()
	forged := strings.Replace(c.Ticket, ".10.", ".8.", 1)
	if forged == c.Ticket {
		t.Fatalf("the ticket has another form: %s", c.Ticket)
	}
	for name, try := range map[string][3]string{
		"no solution yet":      {home, c.Ticket, ""},
		"a wrong number":       {home, c.Ticket, "x" + solution},
		"somebody else":        {"192.0.2.2", c.Ticket, solution},
		"an easier ticket":     {home, forged, solution},
		"a number of another":  {home, other.Ticket, solution},
		"a long ticket":        {home, c.Ticket + strings.Repeat("0", 500), solution},
		"an empty ticket":      {home, ".", solution},
		"a ticket without end": {home, c.Seed, solution},
	} {
		guard := g
		if try[0] != home { // who has free starts of its own
			guard = b.guard(abuse.Settings{ChallengeAbove: 1, Difficulty: 10})
			guard.Start(ctx, try[0], "", "")
		}
		if r := guard.Start(ctx, try[0], try[1], try[2]); r.OK {
			t.Errorf("%s goes on", name)
		}
	}
	if r := g.Start(ctx, home, c.Ticket, solution); !r.OK {
		t.Fatalf("the solution: %+v", r)
	}
	if r := g.Start(ctx, home, c.Ticket, solution); r.OK {
		t.Error("a solution counts twice")
	}
	// On another replica as well.
	if r := b.guard(abuse.Settings{ChallengeAbove: 1}).Start(ctx, home, c.Ticket, solution); !r.OK {
		t.Errorf("the free start of another replica: %+v", r)
	}
	// Without scripts: wait.
	patient := ask()
	b.pass(patient.Wait)
	if r := g.Start(ctx, home, patient.Ticket, ""); !r.OK {
		t.Errorf("after waiting: %+v", r)
	}
	// Too late.
	late := ask()
	number := late.Solve()
	b.now.Add(120)
	g2 := b.guard(abuse.Settings{ChallengeAbove: 1})
	g2.Start(ctx, home, "", "")
	if r := g2.Start(ctx, home, late.Ticket, number); r.OK {
		t.Error("an old challenge counts")
	}
	if b.figure(g, "proofs") != 1 || b.figure(g, "waits") != 1 || b.figure(g, "challenges") < 5 {
		t.Error("work is not counted")
	}
}

// W-53: work does not buy more than the bound, and the bound is told of as
// Retry-After, not by a challenge.
func TestWorkDoesNotBuyEverything(t *testing.T) {
	b, ctx := newBench(t), context.Background()
	g := b.guard(abuse.Settings{ChallengeAbove: 1, StartsPerMinute: 3, Difficulty: 8})
	g.Start(ctx, home, "", "")
	begun := 1
	for range 5 {
		r := g.Start(ctx, home, "", "")
		r = g.Start(ctx, home, r.Challenge.Ticket, r.Challenge.Solve())
		if r.OK {
			begun++
		} else if r.Challenge != nil || r.Retry <= 0 {
			t.Errorf("refused by %+v", r)
		}
	}
	if begun != 3 {
		t.Errorf("%d logins were begun, want 3", begun)
	}
}

// W-13: the difficulty rises with the number of challenges, and falls again.
func TestDifficultyRises(t *testing.T) {
	b, ctx := newBench(t), context.Background()
	g := b.guard(abuse.Settings{ChallengeAbove: 1, Difficulty: 10})
	most := 0
	for n := range 20_000 {
		if c := g.Start(ctx, fmt.Sprint("192.0.2.", n%200), "", "").Challenge; c != nil {
			most = max(most, c.Bits)
		}
	}
	if most != 14 {
		t.Errorf("up to %d bits, want 14", most)
	}
	b.pass(3 * time.Minute)
	for {
		if c := g.Start(ctx, home, "", "").Challenge; c != nil {
			if c.Bits != 10 {
				t.Errorf("later %d bits", c.Bits)
			}
			break
		}
	}
}

// Floods meet a bound for each address and client, are told of now and then
// (S-17), and what is remembered is bounded.
func TestFloodsAreBounded(t *testing.T) {
	b, ctx := newBench(t), context.Background()
	g := b.guard(abuse.Settings{RequestsPerSecond: 10, ClientRequestsPerSecond: 10, Trusted: []netip.Prefix{netip.MustParsePrefix("2001:db8::/32"), netip.MustParsePrefix("10.0.0.0/8")}})
	allowed := func(ask func() (time.Duration, bool)) (n int) {
		for range 1000 {
			retry, ok := ask()
			if ok {
				n++
			} else if retry <= 0 {
				t.Error("refused without a time")
			}
		}
		return n
	}
	for name, c := range map[string]struct {
		ask  func() (time.Duration, bool)
		want int
	}{
		"an address":                 {func() (time.Duration, bool) { return g.Request(ctx, home) }, 50},
		"a client":                   {func() (time.Duration, bool) { return g.Client(ctx, "portal") }, 20},
		"a trusted address":          {func() (time.Duration, bool) { return g.Request(ctx, "10.1.2.3") }, 1000},
		"a household that is":        {func() (time.Duration, bool) { return g.Request(ctx, "2001:db8:1::/56") }, 1000},
		"a household that is not":    {func() (time.Duration, bool) { return g.Request(ctx, "2001:db9:1::/56") }, 50},
		"an address of another form": {func() (time.Duration, bool) { return g.Request(ctx, "@") }, 50},
	} {
		if got := allowed(c.ask); got != c.want {
			t.Errorf("%s: %d of 1,000 pass, want %d", name, got, c.want)
		}
	}
	if n := strings.Count(b.log.String(), "abuse.flood"); n != 2 {
		t.Errorf("%d lines tell of the floods, want one of each kind", n)
	}
	if n := b.figure(g, "floods"); n != 3*950+980 {
		t.Errorf("%v floods are counted", n)
	}
	for n := range 200_000 {
		g.Request(ctx, fmt.Sprint("flood ", n))
	}
	for n := range 60_000 {
		g.Failed(ctx, abuse.Secret, fmt.Sprint("flood ", n), "")
	}
	if n := b.figure(g, "remembered"); n > 101_000 {
		t.Errorf("%v names are remembered", n)
	}
	// Settings may change, counters stay.
	if err := g.Use(abuse.Settings{}); err != nil {
		t.Fatal(err)
	}
	if got := allowed(func() (time.Duration, bool) { return g.Request(ctx, home) }); got != 1000 {
		t.Errorf("without a bound %d of 1,000 pass", got)
	}
}

// Wrong settings are refused.
func TestSettingsAreChecked(t *testing.T) {
	for _, s := range []abuse.Settings{
		{RequestsPerSecond: -1},
		{Difficulty: 25},
		{Difficulty: 3},
		{Wait: time.Hour},
		{FirstDelay: time.Hour},
		{BanFor: 48 * time.Hour},
		{BanAfter: 2},
		{Window: time.Second},
	} {
		if _, err := abuse.New(s, abuse.Options{Strikes: store.NewMemory(), Key: make([]byte, 32)}); err == nil {
			t.Errorf("%+v is accepted", s)
		}
	}
	if _, err := abuse.New(abuse.Settings{}, abuse.Options{Strikes: store.NewMemory()}); err == nil {
		t.Error("no key is needed")
	}
}

type brokenStrikes struct{ *store.Memory }

func (brokenStrikes) Strike(context.Context, brokers.Hash, time.Time, time.Time) (brokers.Strikes, error) {
	return brokers.Strikes{}, errors.New("down")
}

// A store that fails lets no try through uncounted, and is told of.
func TestStoreFails(t *testing.T) {
	b, ctx := newBench(t), context.Background()
	g := b.guard(abuse.Settings{}, brokenStrikes{b.store})
	if _, err := g.Try(ctx, abuse.UserCode, home, ""); err == nil {
		t.Error("a try that cannot be counted may be judged")
	}
	g.Failed(ctx, abuse.Secret, home, "portal")
	if !strings.Contains(b.log.String(), "abuse.uncounted") {
		t.Error("nobody is told")
	}
}

// Verification is cheap (W-13: under 50 µs).

func BenchmarkCheckChallenge(b *testing.B) {
	g, err := abuse.New(abuse.Settings{ChallengeAbove: 1, Difficulty: 8}, abuse.Options{Strikes: store.NewMemory(), Key: make([]byte, 32)})
	if err != nil {
		b.Fatal(err)
	}
	ctx := context.Background()
	g.Start(ctx, home, "", "")
	c := g.Start(ctx, home, "", "").Challenge
	for b.Loop() {
		g.Start(ctx, home, c.Ticket, "1")
	}
}
