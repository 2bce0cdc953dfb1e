package provider

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"time"

	"github.com/eidbridge/eidbridge/brokers"
	"github.com/eidbridge/eidbridge/brokers/abuse"
	"github.com/eidbridge/eidbridge/brokers/nationalid"
	rules "github.com/eidbridge/eidbridge/brokers/policy"
	"github.com/eidbridge/eidbridge/levels"
)

// Config is what a provider is made of.
type Config struct {
	// Issuer is the broker's URL: https, or http on this machine only.
	Issuer  string
	Clients Clients
	// ResourceServers may ask about the tokens that are meant for them; default none.
	ResourceServers *ResourceServers
	// Registration lets clients register themselves.
	Registration RegistrationPolicy
	Upstreams    []brokers.Upstream
	Store        Store
	Keys         *Keys
	// DecryptionKeys open what clients encrypt for us, RSA or EC; without one nothing
	// encrypted is understood.
	DecryptionKeys []crypto.PrivateKey
	// PairwiseSecret derives subject identifiers, at least 32 bytes. Whoever
	// loses it loses all subjects; whoever learns it can undo them.
	PairwiseSecret []byte
	// LaterPairwiseSecrets are the versions 2, 3, … of the secret. Every client keeps
	// the version with which it began (Client.PairwiseVersion), so that a new secret
	// changes nobody's subject.
	LaterPairwiseSecrets [][]byte
	// Mapping is default levels.Default().
	Mapping *levels.Mapping
	// Equivalences are rules by which identifiers of one scheme are those of
	// another; default none.
	Equivalences []nationalid.Equivalence
	// Policy are rules of the operator; default none.
	Policy *rules.Policy
	// Outages lists what an operator has put out of order, or what failed too often;
	// default nothing. Health is told how upstreams do; default nobody.
	Outages func(now time.Time) []brokers.Outage
	Health  Health
	// Freshness is how long a login counts for single sign-on; zero is never.
	Freshness brokers.Freshness
	Lifetimes Lifetimes
	// Guard slows down who guesses and floods; the default delays guessing alone.
	// ClientAddress finds the address of a visitor, default the peer's.
	Guard         *abuse.Guard
	ClientAddress func(*http.Request) string
	// ClientCertificate finds the certificate of a client that calls, default
	// PeerCertificate. ClientRoots judge those of clients with AuthTLS.
	ClientCertificate func(*http.Request) *x509.Certificate
	ClientRoots       *x509.CertPool
	// Outgoing posts logout notices and fetches what clients name (jwks_uri,
	// sector_identifier_uri). The default follows no redirections and reaches
	// public addresses only, unless the issuer is this machine.
	Outgoing *http.Client
	// InFlight bounds the requests served at once, default 512. UpstreamInFlight
	// bounds those of them that wait for one upstream, default a quarter: a slow one
	// must not hold the others up.
	InFlight, UpstreamInFlight int
	// Shed is told of each request that was turned away because InFlight were being
	// served; nil is nobody.
	Shed func()
	// Log is for the operator, default slog.Default(). Audit takes the audit events,
	// default Log.
	Log, Audit *slog.Logger
	// Trace begins a step of a request that somebody may want to see the time of, with
	// pairs of names and values, and gives what ends it. The default does nothing.
	Trace func(ctx context.Context, name string, attributes ...string) (context.Context, func(error))
	// Halted is asked before each request that is not for public documents: while it
	// says an error nothing is served, since what happens could not be told. The
	// default says none.
	Halted func() error
	// Since is when the store was last put back from a backup, default never. What
	// clients signed before counts no more: whether it was used is not known.
	Since time.Time
	// Now and Rand are default time.Now and crypto/rand.
	Now  func() time.Time
	Rand io.Reader
}

// check refuses what no default could mend.
func (c *Config) check() error {
	if c.Clients == nil || c.Store == nil || c.Keys == nil {
		return errors.New("provider: clients, store and keys are required")
	}
	for _, secret := range c.pairwiseSecrets() {
		if len(secret) < 32 {
			return errors.New("provider: a pairwise secret has at least 32 bytes")
		}
	}
	if err := c.Registration.check(); err != nil {
		return err
	}
	if err := c.ResourceServers.Check(c.Issuer, nil); err != nil {
		return err
	}
	if c.Lifetimes.Code > time.Minute {
		return errors.New("provider: a code lives 60 seconds at most")
	}
	if c.Lifetimes.Pushed > 10*time.Minute {
		return errors.New("provider: a pushed request lives ten minutes at most")
	}
	for _, rule := range c.Equivalences {
		if err := rule.Check(); err != nil {
			return fmt.Errorf("provider: %w", err)
		}
	}
	return nil
}

// complete puts in what the zero values of a checked configuration stand for.
func (c *Config) complete(issuer *url.URL) (err error) {
	c.Lifetimes.complete()
	if c.Mapping == nil {
		c.Mapping = levels.Default()
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Rand == nil {
		c.Rand = rand.Reader
	}
	if c.InFlight == 0 {
		c.InFlight = 512
	}
	if c.Shed == nil {
		c.Shed = func() {}
	}
	if c.UpstreamInFlight == 0 {
		c.UpstreamInFlight = max(1, c.InFlight/4)
	}
	if c.Outgoing == nil {
		c.Outgoing = guardedClient(IsLoopback(issuer.Hostname()))
	}
	if c.ClientCertificate == nil {
		c.ClientCertificate = PeerCertificate
	}
	if c.ClientAddress == nil {
		c.ClientAddress = PeerAddress
	}
	c.completeWatching()
	if c.Guard == nil {
		c.Guard, err = abuse.New(abuse.Settings{}, abuse.Options{
			Strikes: c.Store, Key: GuardKey(c.PairwiseSecret), Audit: c.Audit, Now: c.Now,
		})
	}
	return err
}

// completeWatching is for the part of the configuration that is told what happens.
func (c *Config) completeWatching() {
	if c.Log == nil {
		c.Log = slog.Default()
	}
	if c.Audit == nil {
		c.Audit = c.Log
	}
	if c.Trace == nil {
		c.Trace = func(ctx context.Context, _ string, _ ...string) (context.Context, func(error)) {
			return ctx, func(error) {}
		}
	}
	if c.Halted == nil {
		c.Halted = func() error { return nil }
	}
	if c.Health == nil {
		c.Health = unwatched{}
	}
}

// pairwiseSecrets are all versions, the first first.
func (c *Config) pairwiseSecrets() [][]byte {
	return append([][]byte{c.PairwiseSecret}, c.LaterPairwiseSecrets...)
}
