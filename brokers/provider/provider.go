package provider

import (
	"context"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/eidbridge/eidbridge/brokers"
	"github.com/eidbridge/eidbridge/brokers/pages"
)

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
