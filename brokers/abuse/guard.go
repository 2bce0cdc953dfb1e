package abuse

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"io"
	"log/slog"
	"maps"
	"sync"
	"sync/atomic"
	"time"

	"github.com/eidbridge/eidbridge/brokers"
)

// Strikes are the counters that all replicas share. Every verb is atomic.
type Strikes interface {
	// Strike adds to a counter, which begins anew when its time is over, and says
	// what it is then. Before is when it was added to the time before.
	Strike(ctx context.Context, key brokers.Hash, now, until time.Time) (brokers.Strikes, error)
	// Pardon takes one off, if there is one. A counter that is not there is no error.
	Pardon(ctx context.Context, key brokers.Hash) error
	// Struck lists counters of at least so many that were added to since a time, the
	// latest first.
	Struck(ctx context.Context, since time.Time, least, most int) (map[brokers.Hash]brokers.Strikes, error)
	// Quash ends a counter now, for all replicas. One that is not there is no error.
	Quash(ctx context.Context, key brokers.Hash, now time.Time) error
	// Bans lists those that have not ended; SaveBan keeps one, DeleteBan removes one
	// or is brokers.ErrNotFound. They are for operators: what bans is a counter.
	Bans(ctx context.Context, now time.Time) ([]brokers.Ban, error)
	SaveBan(ctx context.Context, b brokers.Ban) error
	DeleteBan(ctx context.Context, id string) error
	// UseAssertionID records what may be used once; brokers.ErrReplayed if it was.
	UseAssertionID(ctx context.Context, issuer, id string, until time.Time) error
}

// Kind is what is tried.
type Kind string

// The kinds of tries.
const (
	// Secret is the authentication of a client, whose account is the client.
	Secret Kind = "secret"
	// UserCode is the code that a device shows.
	UserCode Kind = "user_code"
	// Registration is the token for registering clients and for managing one.
	Registration Kind = "registration"
	// ban is no try but what follows many.
	ban Kind = "ban"
	// every are all tries of an address.
	every Kind = "every"
)

const (
	// maxRemembered bounds the counters that a process remembers.
	maxRemembered = 50_000
	// maxLearned bounds what is learned from other replicas at a time.
	maxLearned = 5_000
	// sampling is how often one line tells of the floods of one kind.
	sampling = 10 * time.Second
)

// Options are what a guard is made of.
type Options struct {
	// Strikes are required.
	Strikes Strikes
	// Key, at least 32 bytes and the same on every replica, hides names in counters
	// and signs challenges.
	Key []byte
	// Audit takes the events, default slog.Default().
	Audit *slog.Logger
	// Now and Rand are default time.Now and crypto/rand.
	Now  func() time.Time
	Rand io.Reader
}

// Guard judges who asks. It may be used by several goroutines, and is told of new
// settings while it works.
type Guard struct {
	options Options
	current atomic.Pointer[ruling]

	mu sync.Mutex
	// seen are counters and bans as this replica last saw them.
	seen map[brokers.Hash]brokers.Strikes
	told map[string]time.Time
	// asked counts challenges in the minute that began at askedSince.
	asked      int
	askedSince time.Time

	figures figures
}

// ruling is what settings mean, with the buckets that go with them.
type ruling struct {
	Settings
	requests, clients, starts, free *buckets
}

type figures struct {
	floods, delays, bans, banned, challenged, worked, waited, wrong atomic.Int64
}

// New makes a guard.
func New(s Settings, o Options) (*Guard, error) {
	if o.Strikes == nil || len(o.Key) < 32 {
		return nil, errors.New("abuse: strikes and a key of 32 bytes are required")
	}
	if o.Audit == nil {
		o.Audit = slog.Default()
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Rand == nil {
		o.Rand = rand.Reader
	}
	g := &Guard{options: o, seen: map[brokers.Hash]brokers.Strikes{}, told: map[string]time.Time{}}
	return g, g.Use(s)
}

// Use puts other settings to work. Counters and bans stay, buckets begin full.
func (g *Guard) Use(s Settings) error {
	if err := s.complete(); err != nil {
		return err
	}
	g.current.Store(&ruling{
		Settings: s,
		requests: newBuckets(float64(s.RequestsPerSecond), 5*s.RequestsPerSecond),
		clients:  newBuckets(float64(s.ClientRequestsPerSecond), 2*s.ClientRequestsPerSecond),
		starts:   newBuckets(float64(s.StartsPerMinute)/60, s.StartsPerMinute),
		free:     newBuckets(float64(s.ChallengeAbove)/60, s.ChallengeAbove),
	})
	return nil
}

// keyed is the name under which something is counted.
func (g *Guard) keyed(parts ...string) brokers.Hash {
	mac := hmac.New(sha256.New, g.options.Key)
	_, _ = mac.Write([]byte("abuse")) // never fails
	for _, p := range parts {
		_, _ = mac.Write([]byte{0})
		_, _ = mac.Write([]byte(p))
	}
	return brokers.Hash(mac.Sum(nil))
}

// Request reports whether an address may ask at all. If not, it is to ask again
// after the time.
func (g *Guard) Request(ctx context.Context, address string) (retry time.Duration, ok bool) {
	r := g.current.Load()
	if r.RequestsPerSecond == 0 || r.trusts(address) || r.requests.allow(address, g.options.Now()) {
		return 0, true
	}
	g.flood(ctx, "requests")
	return time.Second, false
}

// Client is Request for a client that proved who it is.
func (g *Guard) Client(ctx context.Context, id string) (retry time.Duration, ok bool) {
	r := g.current.Load()
	if r.clients.allow(id, g.options.Now()) {
		return 0, true
	}
	g.flood(ctx, "client")
	return time.Second, false
}

// flood tells of a flood, now and then: it must not become one of the log
// (threats S-17). The figures have all.
func (g *Guard) flood(ctx context.Context, reason string) {
	g.figures.floods.Add(1)
	now := g.options.Now()
	g.mu.Lock()
	tell := now.Sub(g.told[reason]) >= sampling
	if tell {
		g.told[reason] = now
	}
	g.mu.Unlock()
	if tell {
		g.tell(ctx, "abuse.flood", reason)
	}
}

func (g *Guard) tell(ctx context.Context, event, reason string, attributes ...slog.Attr) {
	all := append([]slog.Attr{slog.String("event", event), slog.String("reason", reason)}, attributes...)
	g.options.Audit.LogAttrs(ctx, slog.LevelInfo, "audit", all...)
}

// Wait is how long an address has to wait before its next try at an account,
// which may be empty. It asks nobody: what other replicas counted is learned by
// Follow.
func (g *Guard) Wait(ctx context.Context, kind Kind, address, account string) time.Duration {
	r, now := g.current.Load(), g.options.Now()
	if r.trusts(address) || g.nobody() {
		return 0
	}
	if wait := g.banned(address, now); wait > 0 {
		return wait
	}
	wait := max(
		r.delay(g.remembered(g.keyed(string(kind), address, account)), r.FreeTries, now),
		r.delay(g.remembered(g.keyed(string(every), address)), r.AddressTries, now),
	)
	if wait > 0 {
		g.figures.delays.Add(1)
		g.tell(ctx, "abuse.delayed", string(kind))
	}
	return wait
}

// banned is for how long an address still is.
func (g *Guard) banned(address string, now time.Time) time.Duration {
	wait := g.remembered(g.keyed(string(ban), address)).Until.Sub(now)
	if wait <= 0 {
		return 0
	}
	g.figures.banned.Add(1)
	return wait
}

// nobody reports whether nobody was ever wrong, as far as is remembered.
func (g *Guard) nobody() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return len(g.seen) == 0
}

func (g *Guard) remembered(key brokers.Hash) brokers.Strikes {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.seen[key]
}

// delay is what is left of the delay after so many wrong tries.
func (r *ruling) delay(c brokers.Strikes, free int, now time.Time) time.Duration {
	if c.Number <= free || !now.Before(c.Until) {
		return 0
	}
	pause := r.LongestDelay
	if n := c.Number - free - 1; n < 20 {
		pause = min(pause, r.FirstDelay<<n)
	}
	return max(0, c.Last.Add(pause).Sub(now))
}

// Failed counts a wrong try. A store that fails is only told of: the try was
// refused anyway.
func (g *Guard) Failed(ctx context.Context, kind Kind, address, account string) {
	if g.current.Load().trusts(address) {
		return
	}
	g.figures.wrong.Add(1)
	if _, err := g.strike(ctx, g.keyed(string(kind), address, account)); err != nil {
		g.tell(ctx, "abuse.uncounted", string(kind))
	}
	g.failedAddress(ctx, kind, address)
}

func (g *Guard) failedAddress(ctx context.Context, kind Kind, address string) {
	r, now := g.current.Load(), g.options.Now()
	total, err := g.strike(ctx, g.keyed(string(every), address))
	if err != nil {
		g.tell(ctx, "abuse.uncounted", string(kind))
		return
	}
	if total.Number < r.BanAfter || g.banned(address, now) > 0 {
		return
	}
	key := g.keyed(string(ban), address)
	until := now.Add(r.BanFor)
	banned, err := g.options.Strikes.Strike(ctx, key, now, until)
	if err != nil {
		g.tell(ctx, "abuse.uncounted", string(ban))
		return
	}
	g.remember(key, banned)
	g.figures.bans.Add(1)
	id := banID(key)
	g.tell(ctx, "abuse.banned", string(kind), slog.String("ban", id), slog.Time("until", until.UTC()))
	if err := g.options.Strikes.SaveBan(ctx, brokers.Ban{ID: id, Address: address, Kind: string(kind), At: now, Until: until}); err != nil {
		g.tell(ctx, "abuse.uncounted", string(ban)) // it holds all the same
	}
}

// Try counts a try before it is judged, so that many at once cannot slip through.
// A wait means that it must not be judged. A right one is Pardoned, a wrong one
// Missed.
func (g *Guard) Try(ctx context.Context, kind Kind, address, account string) (time.Duration, error) {
	r, now := g.current.Load(), g.options.Now()
	if r.trusts(address) {
		return 0, nil
	}
	if wait := g.Wait(ctx, kind, address, account); wait > 0 {
		return wait, nil
	}
	c, err := g.strike(ctx, g.keyed(string(kind), address, account))
	if err != nil {
		return 0, err
	}
	// The delay that this try should have kept is that of the one before.
	before := c
	before.Number, before.Last = c.Number-1, c.Before
	wait := r.delay(before, r.FreeTries, now)
	if wait > 0 {
		g.figures.delays.Add(1)
		g.tell(ctx, "abuse.delayed", string(kind))
	}
	return wait, nil
}

// Pardon undoes the Try of what was right.
func (g *Guard) Pardon(ctx context.Context, kind Kind, address, account string) error {
	if g.current.Load().trusts(address) {
		return nil
	}
	key := g.keyed(string(kind), address, account)
	g.mu.Lock()
	if c, ok := g.seen[key]; ok && c.Number > 0 {
		c.Number--
		g.seen[key] = c
	}
	g.mu.Unlock()
	return g.options.Strikes.Pardon(ctx, key)
}

// Missed notes that a Try was wrong.
func (g *Guard) Missed(ctx context.Context, kind Kind, address string) {
	if g.current.Load().trusts(address) {
		return
	}
	g.figures.wrong.Add(1)
	g.failedAddress(ctx, kind, address)
}

func (g *Guard) strike(ctx context.Context, key brokers.Hash) (brokers.Strikes, error) {
	now := g.options.Now()
	c, err := g.options.Strikes.Strike(ctx, key, now, now.Add(g.current.Load().Window))
	if err == nil {
		g.remember(key, c)
	}
	return c, err
}

// remember keeps the newest. Where there is no room what has ended goes, or else
// anything: a crowd must not keep everybody out.
func (g *Guard) remember(key brokers.Hash, c brokers.Strikes) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if _, known := g.seen[key]; !known && len(g.seen) >= maxRemembered {
		now := g.options.Now()
		maps.DeleteFunc(g.seen, func(_ brokers.Hash, c brokers.Strikes) bool { return !now.Before(c.Until) })
		for k := range g.seen { // much at once, so that this is rare
			if len(g.seen) < maxRemembered*3/4 {
				break
			}
			delete(g.seen, k)
		}
	}
	if old := g.seen[key]; c.Number >= old.Number || !c.Until.Equal(old.Until) {
		g.seen[key] = c
	}
}

// Learn takes over what other replicas counted since a time.
func (g *Guard) Learn(ctx context.Context, since time.Time) error {
	list, err := g.options.Strikes.Struck(ctx, since, 1, maxLearned)
	if err != nil {
		return err
	}
	for key, c := range list {
		g.remember(key, c)
	}
	return nil
}

// Follow learns from other replicas until ctx ends.
func (g *Guard) Follow(ctx context.Context, every time.Duration) {
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	since := g.options.Now().Add(-g.current.Load().Window)
	for {
		begun := g.options.Now()
		if err := g.Learn(ctx, since); err == nil {
			since = begun.Add(-every) // clocks of replicas differ a little
		}
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

// Figure is something to watch.
type Figure struct {
	Name, Help string
	Value      func() float64
}

// Figures are what an operator watches.
func (g *Guard) Figures() []Figure {
	count := func(n *atomic.Int64) func() float64 { return func() float64 { return float64(n.Load()) } }
	return []Figure{
		{"eidbroker_abuse_floods", "Requests and logins refused because there were too many from one address or client.", count(&g.figures.floods)},
		{"eidbroker_abuse_wrong_tries", "Wrong secrets, codes and tokens.", count(&g.figures.wrong)},
		{"eidbroker_abuse_delays", "Tries refused because they came before their delay was over.", count(&g.figures.delays)},
		{"eidbroker_abuse_bans", "Bans begun by this replica.", count(&g.figures.bans)},
		{"eidbroker_abuse_ban_refusals", "Requests refused because of a ban.", count(&g.figures.banned)},
		{"eidbroker_abuse_challenges", "Proofs of work asked for.", count(&g.figures.challenged)},
		{"eidbroker_abuse_proofs", "Proofs of work that were right.", count(&g.figures.worked)},
		{"eidbroker_abuse_waits", "Waits without scripts that were kept.", count(&g.figures.waited)},
		{"eidbroker_abuse_remembered", "Addresses, clients and counters that are remembered.", func() float64 {
			r := g.current.Load()
			g.mu.Lock()
			n := len(g.seen)
			g.mu.Unlock()
			return float64(n + r.requests.size() + r.clients.size() + r.starts.size() + r.free.size())
		}},
	}
}
