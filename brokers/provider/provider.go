package provider

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/eidbridge/eidbridge/brokers"
	"github.com/eidbridge/eidbridge/brokers/abuse"
	"github.com/eidbridge/eidbridge/brokers/nationalid"
	"github.com/eidbridge/eidbridge/brokers/pages"
	rules "github.com/eidbridge/eidbridge/brokers/policy"
	"github.com/eidbridge/eidbridge/levels"
)

// Transactions are the verbs on logins under way.
type Transactions interface {
	// SaveTransaction inserts a new transaction; ErrConflict if it is there.
	SaveTransaction(ctx context.Context, t *brokers.Transaction) error
	// Transaction loads one that has not expired at now, or ErrNotFound.
	Transaction(ctx context.Context, id string, now time.Time) (*brokers.Transaction, error)
	// Advance stores t, if what is stored is at state from and at t's revision;
	// otherwise ErrConflict. It increments t.Revision.
	Advance(ctx context.Context, t *brokers.Transaction, from brokers.State) error
	// TakeUp moves the login that awaits this answer, in this browser if that is known,
	// from Departed on to Returning and loads it: of many who bring the answer one. Where
	// anything does not fit it is ErrNotFound, and nothing is touched.
	TakeUp(ctx context.Context, a brokers.Answer) (*brokers.Transaction, error)
}

// Grants are the verbs on codes and tokens.
type Grants interface {
	// IssueCode advances the login, uses up its pushed request, opens or renews the
	// session, notes the client in it, and stores the grant: all or nothing.
	// ErrConflict if the pushed request or the session is gone.
	IssueCode(ctx context.Context, i *brokers.Issuing) error
	// RedeemCode turns a code into an access token, once. A second time it revokes
	// the grant and returns it with ErrReplayed. An unknown or expired code is
	// ErrNotFound.
	RedeemCode(ctx context.Context, code, access brokers.Hash, token brokers.Token, now time.Time) (*brokers.Grant, error)
	// AccessToken loads a live access token and its grant, or ErrNotFound.
	AccessToken(ctx context.Context, access brokers.Hash, now time.Time) (*brokers.Grant, *brokers.Token, error)
	// SaveRefreshToken adds the first refresh token of a redeemed code's grant;
	// ErrNotFound if that was revoked.
	SaveRefreshToken(ctx context.Context, code, refresh brokers.Hash, token brokers.Token) error
	// RefreshToken loads a refresh token, used or not, and its grant; ErrNotFound
	// if it expired or the grant was revoked.
	RefreshToken(ctx context.Context, refresh brokers.Hash, now time.Time) (*brokers.Grant, *brokers.Token, error)
	// Refresh uses a refresh token. A second use revokes the grant and is
	// ErrReplayed, except as brokers.Refreshing says.
	Refresh(ctx context.Context, r brokers.Refreshing) error
	// RevokeByToken revokes the whole grant of an access or refresh token. One
	// that is not there is no error.
	RevokeByToken(ctx context.Context, token brokers.Hash, now time.Time) error
}

// Sessions are the verbs on single sign-on sessions and on the notices of their
// end.
type Sessions interface {
	// Session loads one that has not expired at now, or ErrNotFound.
	Session(ctx context.Context, cookie brokers.Hash, now time.Time) (*brokers.Session, error)
	// EndSession removes one, revokes the grants made in it and queues a notice
	// for each participant, who are returned: all or nothing. One that is not
	// there is no error.
	EndSession(ctx context.Context, cookie brokers.Hash, now, noticesUntil time.Time) ([]brokers.Participant, error)
	// LinkSession notes names, hashed under a key, by which an upstream will tell of the
	// end of a session, until a time. The session may be opened after it; its end
	// removes the names.
	LinkSession(ctx context.Context, links []brokers.Hash, session string, until time.Time) error
	// EndLinked ends all sessions that have one of the names, each as EndSession does,
	// and says how many: all or nothing.
	EndLinked(ctx context.Context, links []brokers.Hash, now, noticesUntil time.Time) (int, error)
	// DueNotices takes at most so many notices that are due. Nobody else gets them
	// before the lease ends.
	DueNotices(ctx context.Context, now, lease time.Time, most int) ([]brokers.Notice, error)
	PostponeNotice(ctx context.Context, id int64, due time.Time) error
	SettleNotice(ctx context.Context, id int64) error
}

// Documents are the verbs on what is kept under a handle.
type Documents interface {
	// Push keeps an authorization request until it expires or is used up.
	Push(ctx context.Context, handle brokers.Hash, r *brokers.PushedRequest) error
	// Pushed loads one, or ErrNotFound.
	Pushed(ctx context.Context, handle brokers.Hash, now time.Time) (*brokers.PushedRequest, error)
	// SaveReceipt keeps a level receipt; the first of an ID stays.
	SaveReceipt(ctx context.Context, id string, receipt []byte, until time.Time) error
	// Receipt loads one, or ErrNotFound.
	Receipt(ctx context.Context, id string, now time.Time) ([]byte, error)
}

// Devices are the verbs on the requests of devices (RFC 8628).
type Devices interface {
	// SaveDevice keeps a new one; ErrConflict if a code of it is taken.
	SaveDevice(ctx context.Context, r *brokers.DeviceRequest) error
	// Device loads one that nobody has taken up, or ErrNotFound.
	Device(ctx context.Context, userCode brokers.Hash, now time.Time) (*brokers.DeviceRequest, error)
	// TakeDevice takes one up, once.
	TakeDevice(ctx context.Context, userCode brokers.Hash, now time.Time) (*brokers.DeviceRequest, error)
	// DenyDevice notes that the citizen refused.
	DenyDevice(ctx context.Context, code brokers.Hash) error
	// PollDevice notes that the device asked, and says what it finds, or ErrNotFound.
	PollDevice(ctx context.Context, code brokers.Hash, now time.Time, interval time.Duration) (*brokers.Poll, error)
}

// Registrations are the verbs on clients that are not in the configuration.
type Registrations interface {
	// SaveRegistration keeps a new one; ErrConflict if the ID is taken.
	SaveRegistration(ctx context.Context, r *brokers.Registration) error
	// Registration loads one, or ErrNotFound.
	Registration(ctx context.Context, id string) (*brokers.Registration, error)
	// ReplaceRegistration changes one as a whole, or ErrNotFound.
	ReplaceRegistration(ctx context.Context, r *brokers.Registration) error
	// Registrations lists those whose ID comes after one, at most so many, by ID.
	Registrations(ctx context.Context, after string, most int) ([]*brokers.Registration, error)
	// DeleteRegistration removes one. One that is not there is no error.
	DeleteRegistration(ctx context.Context, id string) error
}

// Persons are the verbs by which what is kept of a person is found: record by
// record, since no column names anybody.
type Persons interface {
	// LiveSessions tells all sessions that have not ended, in no order.
	LiveSessions(ctx context.Context, now time.Time, each func(*brokers.Session) error) error
	// LiveGrants tells all grants that have neither ended nor been revoked, with the
	// hash of their code.
	LiveGrants(ctx context.Context, now time.Time, each func(code brokers.Hash, g *brokers.Grant) error) error
	// RevokeGrant revokes one with all its tokens. One that is not there is no error.
	RevokeGrant(ctx context.Context, code brokers.Hash, now time.Time) error
}

// Store is all that the provider keeps between requests. Every verb is atomic
// and may be called from several goroutines and replicas.
type Store interface {
	Transactions
	Grants
	Sessions
	Documents
	Devices
	Registrations
	Persons
	abuse.Strikes
	// UseAssertionID records what may be used once, until a time; ErrReplayed if
	// it was recorded before.
	UseAssertionID(ctx context.Context, issuer, id string, until time.Time) error
	// BindKey notes who uses a card's key; ErrConflict if it was somebody else. The
	// note lives until the latest time it was made with. ForgetKey removes it: the
	// operator decided.
	BindKey(ctx context.Context, key, holder brokers.Hash, until time.Time) error
	ForgetKey(ctx context.Context, key brokers.Hash) error
	// Purge removes at most so many expired records of each kind.
	Purge(ctx context.Context, now time.Time, most int) (int, error)
}

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

// Provider is an http.Handler for everything below the issuer.
type Provider struct {
	cfg      Config
	issuer   *url.URL
	secure   bool
	pages    *pages.Pages
	upstream map[string]brokers.Upstream
	// places are those of requests that wait for an upstream, by its ID.
	places  map[string]chan struct{}
	claims  []personClaim
	handler http.Handler
	// headers are those of every answer.
	headers http.Header
	// tokenKey derives the tokens that take the place of others.
	tokenKey []byte
	// linkKey hides the names that upstreams have for sessions.
	linkKey []byte
	// patient are the requests that may wait long for a device, at most half of those
	// that are served at once.
	patient chan struct{}
	// strangers bounds the references without a login that are kept.
	strangers strangers
	// decryption are the keys for what clients encrypt for us.
	decryption []decryptionKey
	// clientKeys remembers the keys that clients keep at their own addresses.
	clientKeys clientKeys
	// notices wakes the delivery of logout notices.
	notices chan struct{}
}

// New checks the configuration and refuses to guess what is missing.
func New(cfg Config) (*Provider, error) {
	issuer, err := CheckIssuer(cfg.Issuer)
	if err != nil {
		return nil, err
	}
	if err := cfg.check(); err != nil {
		return nil, err
	}
	if err := cfg.complete(issuer); err != nil {
		return nil, err
	}
	p := &Provider{
		cfg: cfg, issuer: issuer, secure: issuer.Scheme == "https",
		upstream: map[string]brokers.Upstream{}, places: map[string]chan struct{}{}, claims: personClaims(),
		headers:  secureHeaders(issuer.Scheme == "https"),
		notices:  make(chan struct{}, 1),
		patient:  make(chan struct{}, max(1, cfg.InFlight/2)),
		tokenKey: keyed(cfg.PairwiseSecret, "", "", "", "token key"),
		linkKey:  keyed(cfg.PairwiseSecret, "", "", "", "session links"),
	}
	if p.decryption, err = decryptionKeys(cfg.DecryptionKeys); err != nil {
		return nil, err
	}
	if p.pages, err = pages.New(issuer.Path); err != nil {
		return nil, err
	}
	for _, u := range cfg.Upstreams {
		if err := checkUpstream(u); err != nil {
			return nil, err
		}
		if p.upstream[u.ID()] != nil {
			return nil, fmt.Errorf("provider: upstream %q twice", u.ID())
		}
		p.upstream[u.ID()] = u
		p.places[u.ID()] = make(chan struct{}, cfg.UpstreamInFlight)
	}
	p.handler = p.protect(p.routes())
	return p, nil
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

func checkUpstream(u brokers.Upstream) error {
	id := u.ID()
	if id == "" || strings.Trim(id, "abcdefghijklmnopqrstuvwxyz0123456789-") != "" {
		return fmt.Errorf("provider: upstream id %q has other than lower-case letters, digits and hyphens", id)
	}
	seen := map[string]bool{}
	for _, m := range u.Methods() {
		if m.ID == "" || seen[m.ID] || m.Name["en"] == "" {
			return fmt.Errorf("provider: upstream %s: method %q is unnamed, listed twice or without English name", id, m.ID)
		}
		seen[m.ID] = true
	}
	return nil
}

// CheckIssuer accepts an https URL, or http for this machine only, without
// query, fragment and trailing slash (OpenID Connect Discovery 3).
func CheckIssuer(text string) (*url.URL, error) {
	u, err := url.Parse(text)
	switch {
	case err != nil:
		return nil, fmt.Errorf("issuer: %w", err)
	case u.String() != text || u.User != nil || u.RawQuery != "" || strings.ContainsAny(text, "?#"):
		return nil, fmt.Errorf("issuer %q has a query, fragment or user, or is not in normal form", text)
	case strings.HasSuffix(u.Path, "/"):
		return nil, fmt.Errorf("issuer %q ends in a slash", text)
	case u.Hostname() == "":
		return nil, fmt.Errorf("issuer %q has no host", text)
	case u.Scheme == "https", u.Scheme == "http" && IsLoopback(u.Hostname()):
		return u, nil
	}
	return nil, fmt.Errorf("issuer %q is not https; plain http is for this machine only", text)
}

// ServeHTTP serves the routes of the package comment.
func (p *Provider) ServeHTTP(w http.ResponseWriter, r *http.Request) { p.handler.ServeHTTP(w, r) }

func (p *Provider) routes() *http.ServeMux {
	mux := http.NewServeMux()
	base := p.issuer.Path
	for _, route := range []struct {
		methods, path string
		handle        http.HandlerFunc
	}{
		{"GET", base + "/.well-known/openid-configuration", p.discovery},
		{"GET", "/.well-known/oauth-authorization-server" + base, p.discovery},
		{"GET", base + "/jwks", p.jwks},
		{"GET POST", base + "/authorize", p.authorize},
		{"GET", base + "/login/{id}", p.showLogin},
		{"POST", base + "/login/{id}", p.depart},
		{"POST", base + "/login/{id}/cancel", p.cancel},
		{"GET", base + "/login/{id}/dialog", p.showDialog},
		{"POST", base + "/login/{id}/dialog", p.answerDialog},
		{"GET", base + "/login/{id}/qr", p.showQR},
		{"GET POST", base + "/upstream/{upstream}/callback", p.callback},
		{"GET", base + "/upstream/{upstream}/metadata", p.metadata},
		{"GET POST", base + "/upstream/{upstream}/logout", p.logoutAnswer},
		{"POST", base + "/upstream/{upstream}/notice", p.logoutNotice},
		{"GET", base + "/resume/{id}", p.resume},
		{"POST", base + "/token", p.forClients("token", p.token)},
		{"POST", base + "/par", p.forClients("push", p.push)},
		{"POST", base + "/device_authorization", p.forClients("device", p.beginDevice)},
		{"GET POST", base + "/device", p.showDevice},
		{"POST", base + "/device/confirm", p.confirmDevice},
		{"GET", base + "/receipts/{id}", p.showReceipt},
		{"GET POST", base + "/logout", p.logout},
		{"POST", base + "/logout/confirm", p.confirmLogout},
		{"GET", base + "/logout/{id}", p.showLeaving},
		{"POST", base + "/introspect", p.forParties("introspection", p.introspector, p.introspect)},
		{"POST", base + "/revoke", p.forClients("revocation", p.revoke)},
		{"GET POST", base + "/userinfo", p.userinfo},
	} {
		for method := range strings.FieldsSeq(route.methods) {
			mux.HandleFunc(method+" "+route.path, route.handle)
		}
	}
	if len(p.cfg.Registration.Tokens) > 0 {
		mux.HandleFunc("POST "+base+"/register", p.register)
		for _, method := range []string{"GET", "PUT", "DELETE"} {
			mux.HandleFunc(method+" "+base+"/register/{id}", p.manageRegistration)
		}
	}
	mux.Handle("GET "+base+"/assets/", p.pages.Assets())
	return mux
}

// url is an absolute URL below the issuer.
func (p *Provider) url(parts ...string) string { return p.cfg.Issuer + "/" + strings.Join(parts, "/") }

// random is n random bytes in base64url.
func (p *Provider) random(n int) (string, error) {
	b := make([]byte, n)
	if _, err := io.ReadFull(p.cfg.Rand, b); err != nil {
		return "", fmt.Errorf("reading randomness: %w", err)
	}
	return base64.RawURLEncoding.EncodeToString(b), nil
}

// name is a handle for a record. It begins with the time, in the order of its letters,
// so that an index grows at its end and logins at once share its pages; what nobody
// guesses are 120 random bits.
func (p *Provider) name(now time.Time) (string, error) {
	const letters = "-0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ_abcdefghijklmnopqrstuvwxyz" // as they sort
	b := binary.BigEndian.AppendUint64(nil, uint64(now.UnixMilli())<<16)[:6]
	b = append(b, make([]byte, 15)...)
	if _, err := io.ReadFull(p.cfg.Rand, b[6:]); err != nil {
		return "", fmt.Errorf("reading randomness: %w", err)
	}
	return base64.NewEncoding(letters).EncodeToString(b), nil // 28 letters, without padding
}

// Purge removes what has expired, in small batches, until ctx ends.
func (p *Provider) Purge(ctx context.Context, every time.Duration) {
	const batch = 200 // of each kind: a login waits for one of them at most
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		for removed := batch; removed >= batch && ctx.Err() == nil; {
			var err error
			if removed, err = p.cfg.Store.Purge(ctx, p.cfg.Now(), batch); err != nil {
				p.cfg.Log.WarnContext(ctx, "expired records were not removed", "error", err)
				break
			}
		}
	}
}
