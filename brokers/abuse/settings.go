package abuse

import (
	"errors"
	"net/netip"
	"time"
)

// Settings are what a deployment may choose. A zero rate is no bound; for the
// rest, zero values stand for the default.
type Settings struct {
	// RequestsPerSecond bounds the requests of one address, with a burst of five
	// times as many. What clients ask by themselves is not among them.
	RequestsPerSecond int
	// ClientRequestsPerSecond bounds what one client asks by itself, after it proved
	// who it is, with a burst of twice as many.
	ClientRequestsPerSecond int
	// StartsPerMinute bounds the logins begun from one address.
	StartsPerMinute int
	// ChallengeAbove is how many logins a minute one address begins before further
	// ones cost a proof of work.
	ChallengeAbove int
	// Difficulty is the number of leading zero bits of that proof, default 17: on
	// average 131,072 hashes. It rises by up to four when very many are asked for.
	Difficulty int
	// Wait is what a browser without scripts waits instead, default 8 s.
	Wait time.Duration
	// FreeTries are how many wrong tries at one account from one address, or at user
	// codes, cost nothing, default 5. AddressTries is the same for an address as a
	// whole, default 20.
	FreeTries, AddressTries int
	// FirstDelay is the delay after the first try that is not free, default 2 s; each
	// further one doubles it, up to LongestDelay, default 1 min.
	FirstDelay, LongestDelay time.Duration
	// Window is how long wrong tries count, default 15 min.
	Window time.Duration
	// BanAfter is how many wrong tries from one address within the window end in a
	// ban, default 100. BanFor is how long it lasts, default 15 min.
	BanAfter int
	BanFor   time.Duration
	// Trusted networks are never slowed down.
	Trusted []netip.Prefix
}

// Check reports what New would refuse.
func (s Settings) Check() error { return s.complete() }

func (s *Settings) complete() error {
	for _, d := range []struct {
		value    *int
		standard int
	}{{&s.Difficulty, 17}, {&s.FreeTries, 5}, {&s.AddressTries, 20}, {&s.BanAfter, 100}} {
		if *d.value == 0 {
			*d.value = d.standard
		}
	}
	for _, d := range []struct {
		value    *time.Duration
		standard time.Duration
	}{{&s.Wait, 8 * time.Second}, {&s.FirstDelay, 2 * time.Second}, {&s.LongestDelay, time.Minute}, {&s.Window, 15 * time.Minute}, {&s.BanFor, 15 * time.Minute}} {
		if *d.value == 0 {
			*d.value = d.standard
		}
	}
	switch {
	case min(s.RequestsPerSecond, s.ClientRequestsPerSecond, s.StartsPerMinute, s.ChallengeAbove, s.FreeTries, s.AddressTries, s.BanAfter) < 0:
		return errors.New("abuse: a bound is negative")
	case s.Difficulty < 8 || s.Difficulty > 24:
		return errors.New("abuse: the difficulty is 8 to 24 bits: less is no work, more keeps old telephones out")
	case s.Wait < time.Second || s.Wait > time.Minute:
		return errors.New("abuse: the wait without scripts is 1 s to 1 min")
	case s.LongestDelay < s.FirstDelay || s.FirstDelay < 0 || s.Window < s.LongestDelay:
		return errors.New("abuse: the first delay is not longer than the longest, nor that than the window")
	case s.BanAfter < s.FreeTries || s.BanFor < 0 || s.BanFor > 24*time.Hour:
		return errors.New("abuse: a ban comes after the free tries and lasts a day at most")
	}
	return nil
}

func (s *Settings) trusts(address string) bool {
	if len(s.Trusted) == 0 {
		return false
	}
	ip, err := netip.ParseAddr(address)
	if prefix, errPrefix := netip.ParsePrefix(address); err != nil && errPrefix == nil {
		ip, err = prefix.Addr(), nil // an address that was shortened to its household
	}
	if err != nil {
		return false
	}
	for _, t := range s.Trusted {
		if t.Contains(ip.Unmap()) {
			return true
		}
	}
	return false
}
