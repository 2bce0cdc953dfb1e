package main

import (
	"net/netip"
	"time"

	"github.com/eidbridge/eidbridge/brokers/abuse"
	"github.com/eidbridge/eidbridge/brokers/provider"
)

// abuseConfig slows down who guesses and floods.
type abuseConfig struct {
	RequestsPerSecond       int            `toml:"requests_per_second"`
	ClientRequestsPerSecond int            `toml:"client_requests_per_second"`
	ChallengeAbove          int            `toml:"challenge_above"`
	Difficulty              int            `toml:"challenge_difficulty"`
	Wait                    duration       `toml:"challenge_wait"`
	FreeTries               int            `toml:"free_tries"`
	AddressTries            int            `toml:"free_tries_per_address"`
	FirstDelay              duration       `toml:"first_delay"`
	LongestDelay            duration       `toml:"longest_delay"`
	Window                  duration       `toml:"window"`
	BanAfter                int            `toml:"ban_after"`
	BanFor                  duration       `toml:"ban_for"`
	Trusted                 []netip.Prefix `toml:"trusted_networks"`
}

// standardAbuse are the defaults.
func standardAbuse() abuseConfig {
	return abuseConfig{
		RequestsPerSecond: 100, ClientRequestsPerSecond: 2000, ChallengeAbove: 120, Difficulty: 17, Wait: duration(8 * time.Second),
		FreeTries: 5, AddressTries: 20, FirstDelay: duration(2 * time.Second), LongestDelay: duration(time.Minute),
		Window: duration(15 * time.Minute), BanAfter: 100, BanFor: duration(15 * time.Minute),
	}
}

func (c config) abuseSettings() abuse.Settings {
	a := c.Abuse
	return abuse.Settings{
		RequestsPerSecond: a.RequestsPerSecond, ClientRequestsPerSecond: a.ClientRequestsPerSecond,
		StartsPerMinute: c.StartsPerMinute, ChallengeAbove: a.ChallengeAbove,
		Difficulty: a.Difficulty, Wait: time.Duration(a.Wait), FreeTries: a.FreeTries, AddressTries: a.AddressTries,
		FirstDelay: time.Duration(a.FirstDelay), LongestDelay: time.Duration(a.LongestDelay), Window: time.Duration(a.Window),
		BanAfter: a.BanAfter, BanFor: time.Duration(a.BanFor), Trusted: a.Trusted,
	}
}

// openGuard makes the guard, which outlives configurations, and its figures.
func (s *server) openGuard(c config) (err error) {
	s.guard, err = abuse.New(c.abuseSettings(), abuse.Options{
		Strikes: s.database, Key: provider.GuardKey(s.secrets.pairwise), Audit: s.events,
	})
	if err != nil {
		return err
	}
	for _, f := range s.guard.Figures() {
		if err := s.metrics.Register(f.Name, f.Help, f.Value); err != nil {
			return err
		}
	}
	return nil
}
