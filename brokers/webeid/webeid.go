package webeid

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/eidbridge/eidbridge/brokers"
	"github.com/eidbridge/eidbridge/brokers/authcert"
	"github.com/eidbridge/eidbridge/levels"
)

const (
	// nonceLength is in bytes; the page and the token have it in base64.
	nonceLength = 32
	// nonceLife is how long a challenge may be answered.
	nonceLife = 2 * time.Minute
)

// Config is the card login. Fields without a default are required.
type Config struct {
	// ID is default "card".
	ID string
	// Origin is ours as browsers write it: scheme, host and, unless it is the usual
	// one, port. https, or http on this machine for development.
	Origin string
	// Agents are the addresses at which a page looks for an eidagent on the citizen's
	// computer; empty looks for the Web eID extension alone.
	Agents []string
	// Judge holds the authorities that issue for cards.
	Judge *authcert.Judge
	// Cards are the kinds that are known by name; default Cards().
	Cards []Card
	// Others also accepts certificates of trusted authorities that no kind matches.
	Others bool
	// Mapping is default levels.Default(); MaxLevel, if not None, is a ceiling.
	Mapping  *levels.Mapping
	MaxLevel levels.Level
	// Replay remembers nonces.
	Replay Replay
	// Holders remember whose card has which key; default Replay, if it can.
	Holders Holders
	// Clock and Rand are default time.Now and crypto/rand.
	Clock func() time.Time
	Rand  io.Reader
}

// Replay remembers what may be used once; ErrReplayed for a second time.
type Replay interface {
	UseAssertionID(ctx context.Context, issuer, id string, until time.Time) error
}

// Holders remember whose card has which key, until a time; ErrConflict for a key
// that is somebody else's. Cards have been issued with copies of keys, and two
// people with one key can each be the other.
type Holders interface {
	BindKey(ctx context.Context, key, holder brokers.Hash, until time.Time) error
}

// Card is a kind of card or certificate.
type Card struct {
	// Policies are those of which the authentication certificate has one; one that
	// ends in a dot is the beginning of several.
	Policies []string
	// Country is that of the issuer.
	Country string
	// Scheme and Class name it in the mapping.
	Scheme, Class string
}

// Cards are the kinds of the reference (broker.md 6.6 and 7).
func Cards() []Card {
	return []Card{
		{ // Estonian cards of 2018 and of 2025, and diplomatic ones
			Policies: []string{"1.3.6.1.4.1.51361.1.", "1.3.6.1.4.1.51361.2.", "1.3.6.1.4.1.51455.1."}, Country: "EE",
			Scheme: "ee-card", Class: "idcard",
		},
		{ // DNIe, whose policy may be followed by a version
			Policies: []string{"2.16.724.1.2.2.2.4", "2.16.724.1.2.2.2.4."}, Country: "ES", Scheme: "es-card", Class: "dnie",
		},
		{ // FNMT, natural persons, older and newer
			Policies: []string{"1.3.6.1.4.1.5734.3.10.1", "1.3.6.1.4.1.5734.3.10.1.", "1.3.6.1.4.1.5734.3.20.1.", "1.3.6.1.4.1.5734.3.20.1"}, Country: "ES",
			Scheme: "es-card", Class: "fnmt",
		},
	}
}

// purpose is what a certificate must be for. Older DNIe say nothing about extended
// usages. Telephones and apps are no cards.
func purpose() authcert.Purpose {
	return authcert.Purpose{
		Usages: []string{authcert.UsageClientAuth}, Optional: true,
		Refused: []string{
			"1.3.6.1.4.1.10015.1.3", "1.3.6.1.4.1.10015.1.3.1", "1.3.6.1.4.1.10015.1.3.2", "1.3.6.1.4.1.10015.1.3.3",
			"1.3.6.1.4.1.10015.18.1", "1.3.6.1.4.1.10015.17.1", "1.3.6.1.4.1.10015.17.2",
		},
	}
}

// Upstream is the card login. It is safe for concurrent use.
type Upstream struct {
	c     Config
	level levels.Level
}

// New checks a configuration.
func New(c Config) (*Upstream, error) {
	if c.ID == "" {
		c.ID = "card"
	}
	if c.Cards == nil {
		c.Cards = Cards()
	}
	if c.Mapping == nil {
		c.Mapping = levels.Default()
	}
	if c.Clock == nil {
		c.Clock = time.Now
	}
	if c.Rand == nil {
		c.Rand = rand.Reader
	}
	origin, err := url.Parse(c.Origin)
	switch {
	case err != nil || origin.Host == "" || origin.Path != "" || origin.RawQuery != "" || origin.Fragment != "" || origin.User != nil ||
		strings.ToLower(c.Origin) != c.Origin:
		return nil, fmt.Errorf("card login: %q is no origin as browsers write it", c.Origin)
	case origin.Scheme != "https" && (origin.Scheme != "http" || !loopback(origin.Hostname())):
		return nil, errors.New("card login: origin is not https; plain http is for this machine only")
	case origin.Port() == map[string]string{"https": "443", "http": "80"}[origin.Scheme]:
		return nil, errors.New("card login: origin has its usual port, which browsers leave out")
	case c.Judge == nil:
		return nil, errors.New("card login: trust anchors are missing")
	case c.Replay == nil:
		return nil, errors.New("card login: replay store is missing")
	}
	if c.Holders == nil {
		var ok bool
		if c.Holders, ok = c.Replay.(Holders); !ok {
			return nil, errors.New("card login: the store of key holders is missing")
		}
	}
	for _, agent := range c.Agents {
		if a, err := url.Parse(agent); err != nil || a.Scheme != "http" || !loopback(a.Hostname()) || a.Port() == "" || a.Path != "" {
			return nil, fmt.Errorf("card login: %q is no address of an agent on this machine", agent)
		}
	}
	u := &Upstream{c: c}
	kinds := c.Cards
	if c.Others {
		kinds = append(kinds[:len(kinds):len(kinds)], other())
	}
	for _, card := range kinds {
		best, err := c.Mapping.Assess(card.Scheme, card.Class, brokers.Ceilings(u.c.ID, u.c.MaxLevel)...)
		if err != nil {
			return nil, fmt.Errorf("card login: %w", err)
		}
		u.level = max(u.level, best.Level)
	}
	return u, nil
}

func loopback(host string) bool { return host == "localhost" || host == "127.0.0.1" || host == "::1" }

// other is what matches no kind.
func other() Card { return Card{Scheme: "card", Class: "other"} }

// ID implements brokers.Upstream.
func (u *Upstream) ID() string { return u.c.ID }

// Methods implements brokers.Upstream.
func (u *Upstream) Methods() []brokers.Method {
	return []brokers.Method{{ID: "card", Level: u.level, Name: map[string]string{
		"en": "ID card in a reader", "es": "Tarjeta de identidad (DNIe) en un lector", "et": "ID-kaart lugejas", "nl": "Identiteitskaart in een lezer",
	}}}
}

// memo is what is remembered of a login.
type memo struct {
	Nonce string    `json:"nonce"`
	Until time.Time `json:"until"`
}

// Start implements brokers.Upstream: it makes the challenge.
func (u *Upstream) Start(_ context.Context, r brokers.AuthenticationRequest) (*brokers.Departure, error) {
	if r.Method != "card" || r.Level > u.level {
		return nil, errors.New("card login: method is not offered or does not reach the level")
	}
	raw := make([]byte, nonceLength)
	if _, err := io.ReadFull(u.c.Rand, raw); err != nil {
		return nil, fmt.Errorf("card login: reading randomness: %w", err)
	}
	now := u.c.Clock()
	d := &brokers.Departure{RequestID: r.RelayState, RequestedAt: now, Request: r}
	var err error
	d.Memo, err = json.Marshal(memo{Nonce: base64.StdEncoding.EncodeToString(raw), Until: now.Add(nonceLife)})
	return d, err
}

func recall(d *brokers.Departure) (memo, error) {
	var m memo
	if err := json.Unmarshal(d.Memo, &m); err != nil || m.Nonce == "" {
		return memo{}, errors.New("card login: challenge was not remembered")
	}
	return m, nil
}

// View implements brokers.Conversing.
func (u *Upstream) View(d *brokers.Departure) (brokers.View, error) {
	m, err := recall(d)
	if err != nil {
		return nil, err
	}
	return &brokers.Card{Nonce: m.Nonce, Agents: u.c.Agents, Until: m.Until}, nil
}

// Correlate implements brokers.Upstream: there are no callbacks.
func (*Upstream) Correlate(*http.Request) (string, error) {
	return "", errors.New("card login: there are no callbacks")
}

// Finish implements brokers.Upstream and is never reached.
func (*Upstream) Finish(context.Context, *http.Request, *brokers.Departure) (*brokers.AuthenticationEvent, error) {
	return nil, &brokers.RejectedError{Reason: "unsolicited"}
}
