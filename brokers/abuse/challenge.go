package abuse

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"math/bits"
	"strconv"
	"strings"
	"time"

	"github.com/eidbridge/eidbridge/brokers"
)

const (
	// challengeLife is how long a challenge may be answered.
	challengeLife = 2 * time.Minute
	// maxChallenge and maxSolution bound what comes back, in bytes.
	maxChallenge = 160
	maxSolution  = 16
	// manyChallenges a minute make them one bit harder, and each doubling another.
	manyChallenges = 1000
	maxHarder      = 4
)

// Challenge asks a browser for work, or for patience.
type Challenge struct {
	// Ticket is to be brought back.
	Ticket string
	// Seed and Bits are the puzzle: a decimal number such that the SHA-256 of Seed,
	// ":" and the number begins with so many zero bits.
	Seed string
	Bits int
	// Wait is after how long the ticket counts without a solution.
	Wait time.Duration
}

// Ruling is what becomes of a login that is to begin.
type Ruling struct {
	// OK says that it may. Otherwise there is a challenge, or a time after which to
	// ask again.
	OK        bool
	Challenge *Challenge
	Retry     time.Duration
	// Reason is for the audit event.
	Reason string
}

// Start judges whether an address may begin a login, with a ticket and a solution
// if the browser brought some.
func (g *Guard) Start(ctx context.Context, address, ticket, solution string) Ruling {
	r, now := g.current.Load(), g.options.Now()
	if r.trusts(address) {
		return Ruling{OK: true}
	}
	if wait := g.banned(address, now); wait > 0 {
		return Ruling{Retry: wait, Reason: "banned"}
	}
	if r.ChallengeAbove > 0 && !r.free.allow(address, now) {
		proof := g.check(address, ticket, solution, now)
		if proof == nil {
			return g.challenge(ctx, r, address, now)
		}
		if err := g.options.Strikes.UseAssertionID(ctx, "challenge", proof.seed, now.Add(challengeLife)); err != nil {
			if !errors.Is(err, brokers.ErrReplayed) {
				return Ruling{Retry: 2 * time.Second, Reason: "store"}
			}
			return g.challenge(ctx, r, address, now)
		}
		if proof.worked {
			g.figures.worked.Add(1)
		} else {
			g.figures.waited.Add(1)
		}
	}
	if !r.starts.allow(address, now) {
		g.flood(ctx, "starts")
		return Ruling{Retry: time.Minute, Reason: "rate"}
	}
	return Ruling{OK: true}
}

func (g *Guard) challenge(ctx context.Context, r *ruling, address string, now time.Time) Ruling {
	c, err := g.newChallenge(r, address, now)
	if err != nil {
		return Ruling{Retry: 2 * time.Second, Reason: "randomness"}
	}
	g.figures.challenged.Add(1)
	g.mu.Lock()
	tell := now.Sub(g.told["challenge"]) >= sampling
	if tell {
		g.told["challenge"] = now
	}
	g.mu.Unlock()
	if tell {
		g.tell(ctx, "abuse.challenged", "starts")
	}
	return Ruling{Challenge: c, Reason: "challenge"}
}

// newChallenge makes one that needs no memory: the ticket says what was asked, of
// whom and when, and is signed.
func (g *Guard) newChallenge(r *ruling, address string, now time.Time) (*Challenge, error) {
	seed := make([]byte, 12)
	if _, err := io.ReadFull(g.options.Rand, seed); err != nil {
		return nil, err
	}
	c := &Challenge{Seed: base64.RawURLEncoding.EncodeToString(seed), Bits: r.Difficulty + g.harder(now), Wait: r.Wait}
	said := fmt.Sprintf("%s.%d.%d.%d", c.Seed, now.Unix(), c.Bits, int(c.Wait.Seconds()))
	c.Ticket = said + "." + g.signature(said, address)
	return c, nil
}

// harder counts a challenge, and is by how many bits it is harder than usual.
func (g *Guard) harder(now time.Time) int {
	g.mu.Lock()
	defer g.mu.Unlock()
	if since := now.Sub(g.askedSince); since >= time.Minute || since < 0 {
		// What follows a hard minute begins half as hard.
		g.asked, g.askedSince = g.asked/2, now
		if since >= 2*time.Minute {
			g.asked = 0
		}
	}
	g.asked++
	return min(maxHarder, bits.Len(uint(g.asked/manyChallenges)))
}

func (g *Guard) signature(said, address string) string {
	return g.keyed("challenge", said, address).String()
}

// proof is a ticket that counts.
type proof struct {
	seed   string
	worked bool
}

// check judges what a browser brought back, or returns nil. It costs two hashes.
func (g *Guard) check(address, ticket, solution string, now time.Time) *proof {
	if ticket == "" || len(ticket) > maxChallenge || len(solution) > maxSolution {
		return nil
	}
	said, signature, _ := cutLast(ticket)
	if !hmac.Equal([]byte(signature), []byte(g.signature(said, address))) {
		return nil
	}
	fields := strings.Split(said, ".")
	if len(fields) != 4 {
		return nil
	}
	var numbers [3]int64
	for i := range numbers {
		n, err := strconv.ParseInt(fields[i+1], 10, 64)
		if err != nil {
			return nil
		}
		numbers[i] = n
	}
	made, zeros, wait := time.Unix(numbers[0], 0), int(numbers[1]), time.Duration(numbers[2])*time.Second
	switch {
	case now.Before(made.Add(-time.Second)) || !now.Before(made.Add(challengeLife)):
		return nil
	case solution != "" && solved(fields[0], solution, zeros):
		return &proof{fields[0], true}
	case solution == "" && !now.Before(made.Add(wait)):
		return &proof{fields[0], false}
	}
	return nil
}

func cutLast(ticket string) (said, signature string, found bool) {
	i := strings.LastIndexByte(ticket, '.')
	if i < 0 {
		return "", "", false
	}
	return ticket[:i], ticket[i+1:], true
}

// solved reports whether a number solves a puzzle.
func solved(seed, number string, zeros int) bool {
	if strings.Trim(number, "0123456789") != "" {
		return false
	}
	sum := sha256.Sum256([]byte(seed + ":" + number))
	n := 0
	for _, b := range sum {
		n += bits.LeadingZeros8(b)
		if b != 0 {
			break
		}
	}
	return n >= zeros
}

// Solve does the work, as the script of the page does.
func (c *Challenge) Solve() string {
	for n := 0; ; n++ {
		if number := strconv.Itoa(n); solved(c.Seed, number, c.Bits) {
			return number
		}
	}
}
