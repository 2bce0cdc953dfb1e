package forwardauth

import (
	"bytes"
	"context"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/crypto/chacha20poly1305"
	"golang.org/x/oauth2"
)

// Prefix is the path below which a site belongs to this package.
const Prefix = "/_eidbridge/"

const (
	sessionCookie = "eidbridge_visitor"
	loginCookie   = "eidbridge_login"
	loginLife     = 15 * time.Minute
	// maxCookie is what browsers keep; maxTarget bounds the path to return to.
	maxCookie = 3800
	maxTarget = 1500
	// skew is how far the clocks of replicas may be apart.
	skew = time.Minute
)

// Site is a protected host.
type Site struct {
	// Origin is the site as browsers see it: scheme and host. https, or http on this
	// machine.
	Origin string
	// ClientID and ClientSecret are the site's at the provider, whose redirect URI is
	// Origin + "/_eidbridge/callback".
	ClientID, ClientSecret string
	// Scopes are asked for beside openid; ACR is asked for, empty for the least that
	// the client accepts.
	Scopes []string
	ACR    string
	// Remember is the life of the cookie, default 10 minutes.
	Remember time.Duration
}

// Config is what the package is made of.
type Config struct {
	// Issuer is the provider, which Provider serves: it is called in the process.
	Issuer   string
	Provider http.Handler
	Sites    []Site
	// Secret seals cookies: at least 32 bytes, the same on all replicas.
	Secret []byte
	Log    *slog.Logger
	// Now is default time.Now.
	Now func() time.Time
}

// Handler serves the paths of all sites.
type Handler struct {
	sites map[string]*site
}

// New checks the configuration.
func New(c Config) (*Handler, error) {
	if len(c.Secret) < 32 {
		return nil, errors.New("forward authentication: the secret has at least 32 bytes")
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Log == nil {
		c.Log = slog.Default()
	}
	issuer, err := url.Parse(c.Issuer)
	if err != nil {
		return nil, fmt.Errorf("forward authentication: issuer: %w", err)
	}
	h := &Handler{sites: map[string]*site{}}
	for _, s := range c.Sites {
		made, err := newSite(c, issuer, s)
		if err != nil {
			return nil, fmt.Errorf("forward authentication of %s: %w", s.Origin, err)
		}
		if h.sites[made.origin.Host] != nil {
			return nil, fmt.Errorf("forward authentication: %s is listed twice", made.origin.Host)
		}
		h.sites[made.origin.Host] = made
	}
	return h, nil
}

// Serves reports whether a request belongs to a site.
func (h *Handler) Serves(r *http.Request) bool {
	return strings.HasPrefix(r.URL.Path, Prefix) && h.sites[strings.ToLower(r.Host)] != nil
}

// ServeHTTP serves a request that Serves reported.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s := h.sites[strings.ToLower(r.Host)]
	if s == nil {
		http.NotFound(w, r)
		return
	}
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
	w.Header().Set("Referrer-Policy", "no-referrer")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	switch path := strings.TrimPrefix(r.URL.Path, Prefix); {
	case path == "auth":
		s.auth(w, r, false)
	case path == "verify":
		s.auth(w, r, true)
	case path == "start" && r.Method == http.MethodGet:
		s.start(w, r)
	case path == "callback" && r.Method == http.MethodGet:
		s.callback(w, r)
	case path == "logout" && r.Method == http.MethodPost:
		s.logout(w, r)
	default:
		http.NotFound(w, r)
	}
}

// site is a relying party.
type site struct {
	Site
	origin *url.URL
	issuer string
	secure bool
	oauth  oauth2.Config
	client *http.Client
	aead   cipher.AEAD
	log    *slog.Logger
	now    func() time.Time
}

func newSite(c Config, issuer *url.URL, s Site) (*site, error) {
	origin, err := url.Parse(s.Origin)
	if err != nil || origin.Host == "" || origin.Path != "" || origin.RawQuery != "" || origin.User != nil || strings.ToLower(s.Origin) != s.Origin {
		return nil, errors.New("the origin is scheme and host in small letters, such as https://archive.example")
	}
	loopback := origin.Hostname() == "localhost" || origin.Hostname() == "127.0.0.1" || origin.Hostname() == "::1"
	if origin.Scheme != "https" && (origin.Scheme != "http" || !loopback) {
		return nil, errors.New("the origin is not https; plain http is for this machine only")
	}
	if s.ClientID == "" || s.ClientSecret == "" {
		return nil, errors.New("client and secret are required")
	}
	if s.Remember <= 0 {
		s.Remember = 10 * time.Minute
	}
	key, err := hkdf.Key(sha256.New, c.Secret, nil, "eidbridge forward authentication "+s.Origin, chacha20poly1305.KeySize)
	if err != nil {
		return nil, err
	}
	aead, err := chacha20poly1305.NewX(key)
	if err != nil {
		return nil, err
	}
	return &site{
		Site: s, origin: origin, issuer: c.Issuer, secure: origin.Scheme == "https", aead: aead, log: c.Log, now: c.Now,
		client: &http.Client{Transport: inProcess{c.Provider, issuer.Host}, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }},
		oauth: oauth2.Config{
			ClientID: s.ClientID, ClientSecret: s.ClientSecret, RedirectURL: s.Origin + Prefix + "callback",
			Scopes: append([]string{oidc.ScopeOpenID}, s.Scopes...),
			Endpoint: oauth2.Endpoint{
				AuthURL: c.Issuer + "/authorize", TokenURL: c.Issuer + "/token", AuthStyle: oauth2.AuthStyleInHeader,
			},
		},
	}, nil
}

// inProcess calls the provider without a network.
type inProcess struct {
	handler http.Handler
	host    string
}

// RoundTrip serves the request.
func (t inProcess) RoundTrip(r *http.Request) (*http.Response, error) {
	call := r.Clone(r.Context())
	call.Host, call.RequestURI, call.RemoteAddr = t.host, r.URL.RequestURI(), "127.0.0.1:1"
	if call.Body == nil {
		call.Body = http.NoBody
	}
	w := &answer{header: http.Header{}, status: http.StatusOK}
	t.handler.ServeHTTP(w, call)
	return &http.Response{
		StatusCode: w.status, Status: http.StatusText(w.status), Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: w.header, Body: io.NopCloser(&w.body), ContentLength: int64(w.body.Len()), Request: r,
	}, nil
}

// answer keeps what a handler writes.
type answer struct {
	header http.Header
	body   bytes.Buffer
	status int
}

func (a *answer) Header() http.Header            { return a.header }
func (a *answer) WriteHeader(status int)         { a.status = status }
func (a *answer) Write(text []byte) (int, error) { return a.body.Write(text) }

// visitor is what the cookie says.
type visitor struct {
	Subject  string `json:"s"`
	Level    string `json:"l"`
	ACR      string `json:"a"`
	Name     string `json:"n,omitempty"`
	AuthTime int64  `json:"t"`
	Until    int64  `json:"u"`
}

// login is what is remembered while somebody logs in.
type login struct {
	State    string `json:"s"`
	Nonce    string `json:"n"`
	Verifier string `json:"v"`
	Target   string `json:"t"`
	Until    int64  `json:"u"`
}

// auth answers the proxy.
func (s *site) auth(w http.ResponseWriter, r *http.Request, redirects bool) {
	var v visitor
	if s.open(r, sessionCookie, &v) && s.now().Unix() < v.Until {
		h := w.Header()
		h.Set("Remote-User", v.Subject)
		h.Set("Remote-Level", v.Level)
		h.Set("Remote-Acr", v.ACR)
		h.Set("Remote-Auth-Time", time.Unix(v.AuthTime, 0).UTC().Format(time.RFC3339))
		if v.Name != "" {
			h.Set("Remote-Name", headerText(v.Name))
		}
		w.WriteHeader(http.StatusOK)
		return
	}
	method := r.Header.Get("X-Forwarded-Method")
	if redirects && (method == "" || method == http.MethodGet || method == http.MethodHead) {
		target := r.Header.Get("X-Forwarded-Uri")
		w.Header().Set("Location", s.Origin+Prefix+"start?to="+url.QueryEscape(local(target)))
		w.WriteHeader(http.StatusFound)
		return
	}
	w.WriteHeader(http.StatusUnauthorized)
}

// headerText is a text as a header can carry it: UTF-8, percent-encoded (RFC 8187
// 3.2.1 without the charset), since proxies mangle other than ASCII.
func headerText(text string) string { return url.PathEscape(text) }

// local is a path of the site to return to; whatever leads elsewhere is the
// beginning of the site.
func local(target string) string {
	u, err := url.Parse(target)
	if err != nil || len(target) > maxTarget || !strings.HasPrefix(target, "/") || strings.HasPrefix(target, "//") ||
		strings.ContainsAny(target, "\\\r\n\t") || u.Scheme != "" || u.Host != "" || strings.HasPrefix(u.Path, Prefix) {
		return "/"
	}
	return target
}

// target is where the visitor of the start page wanted to go. nginx writes that behind
// "to=" as it came, so that all the rest is it, "&" and escapes included; others escape it.
func target(start *url.URL) string {
	if asked, ok := strings.CutPrefix(start.RawQuery, "to="); ok && strings.HasPrefix(asked, "/") {
		return local(asked)
	}
	return local(start.Query().Get("to"))
}

// start sends the visitor to the provider.
func (s *site) start(w http.ResponseWriter, r *http.Request) {
	l := login{
		State: rand.Text(), Nonce: rand.Text(), Verifier: oauth2.GenerateVerifier(),
		Target: target(r.URL), Until: s.now().Add(loginLife).Unix(),
	}
	if err := s.seal(w, loginCookie, l, loginLife); err != nil {
		s.fail(w, r, http.StatusInternalServerError, "begin", err)
		return
	}
	options := []oauth2.AuthCodeOption{oidc.Nonce(l.Nonce), oauth2.S256ChallengeOption(l.Verifier)}
	if s.ACR != "" {
		options = append(options, oauth2.SetAuthURLParam("acr_values", s.ACR))
	}
	http.Redirect(w, r, s.oauth.AuthCodeURL(l.State, options...), http.StatusSeeOther)
}

// callback redeems the code.
func (s *site) callback(w http.ResponseWriter, r *http.Request) {
	var l login
	if !s.open(r, loginCookie, &l) || s.now().Unix() >= l.Until {
		s.fail(w, r, http.StatusBadRequest, "callback", errors.New("no login was begun in this browser, or too long ago"))
		return
	}
	s.drop(w, loginCookie)
	q := r.URL.Query()
	if q.Get("state") != l.State || q.Get("iss") != s.issuer {
		s.fail(w, r, http.StatusBadRequest, "callback", errors.New("the answer is to another login"))
		return
	}
	if q.Get("error") != "" {
		s.fail(w, r, http.StatusForbidden, "callback", errors.New("the login was not completed"))
		return
	}
	v, err := s.redeem(r.Context(), q.Get("code"), l)
	if err == nil {
		err = s.seal(w, sessionCookie, v, s.Remember)
	}
	if err != nil {
		s.fail(w, r, http.StatusBadGateway, "redeem", err)
		return
	}
	http.Redirect(w, r, s.Origin+l.Target, http.StatusSeeOther)
}

func (s *site) redeem(ctx context.Context, code string, l login) (*visitor, error) {
	ctx = oidc.ClientContext(ctx, s.client)
	token, err := s.oauth.Exchange(ctx, code, oauth2.VerifierOption(l.Verifier))
	if err != nil {
		return nil, errors.New("the code was not taken") // the error may hold the answer
	}
	raw, _ := token.Extra("id_token").(string)
	verifier := oidc.NewVerifier(s.issuer, oidc.NewRemoteKeySet(ctx, s.issuer+"/jwks"), &oidc.Config{
		ClientID: s.ClientID, Now: s.now, SupportedSigningAlgs: []string{oidc.ES256, oidc.ES384, oidc.PS256, oidc.EdDSA, oidc.RS256},
	})
	id, err := verifier.Verify(ctx, raw)
	if err != nil {
		return nil, errors.New("the ID token is not valid")
	}
	var claims struct {
		ACR      string `json:"acr"`
		AuthTime int64  `json:"auth_time"`
		Name     string `json:"name"`
	}
	if err := id.Claims(&claims); err != nil || id.Nonce != l.Nonce || claims.ACR == "" {
		return nil, errors.New("the ID token is of another login")
	}
	if claims.Name == "" && len(s.Scopes) > 0 {
		claims.Name = s.name(ctx, token)
	}
	return &visitor{
		Subject: id.Subject, Level: level(claims.ACR), ACR: claims.ACR, Name: claims.Name,
		AuthTime: claims.AuthTime, Until: s.now().Add(s.Remember).Unix(),
	}, nil
}

// name asks userinfo, which is where names are. Without one the visitor has none.
func (s *site) name(ctx context.Context, token *oauth2.Token) string {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, s.issuer+"/userinfo", nil)
	if err != nil {
		return ""
	}
	token.SetAuthHeader(r)
	response, err := s.client.Do(r)
	if err != nil {
		return ""
	}
	defer response.Body.Close()
	var claims struct {
		Name string `json:"name"`
	}
	if response.StatusCode != http.StatusOK || json.NewDecoder(response.Body).Decode(&claims) != nil {
		return ""
	}
	return claims.Name
}

// level is the last word of an eIDAS URI, or what the client's vocabulary says.
func level(acr string) string {
	return acr[strings.LastIndexAny(acr, "/:")+1:]
}

// logout forgets the visitor and goes on to the provider's logout. It is a POST
// that comes from the site itself, so that no other page can do it.
func (s *site) logout(w http.ResponseWriter, r *http.Request) {
	if site := r.Header.Get("Sec-Fetch-Site"); site != "" && site != "same-origin" || r.Header.Get("Origin") != s.Origin {
		s.fail(w, r, http.StatusForbidden, "logout", errors.New("the request comes from another site"))
		return
	}
	s.drop(w, sessionCookie)
	http.Redirect(w, r, s.issuer+"/logout?client_id="+url.QueryEscape(s.ClientID), http.StatusSeeOther)
}

func (s *site) fail(w http.ResponseWriter, r *http.Request, status int, doing string, err error) {
	s.log.WarnContext(r.Context(), "forward authentication failed", "site", s.origin.Host, "doing", doing, "error", err)
	http.Error(w, "The login failed: "+err.Error()+". Please go back to "+s.Origin+" and try again.", status)
}

func (s *site) cookieName(name string) string {
	if s.secure {
		return "__Host-" + name
	}
	return name
}

// seal puts a value into a cookie that only this site's key opens.
func (s *site) seal(w http.ResponseWriter, name string, value any, life time.Duration) error {
	text, err := json.Marshal(value)
	if err != nil {
		return err
	}
	nonce := make([]byte, s.aead.NonceSize(), s.aead.NonceSize()+len(text)+s.aead.Overhead())
	if _, err := rand.Read(nonce); err != nil {
		return err
	}
	sealed := base64.RawURLEncoding.EncodeToString(s.aead.Seal(nonce, nonce, text, []byte(name)))
	if len(sealed) > maxCookie {
		return errors.New("there is too much to remember")
	}
	s.set(w, name, sealed, int((life+skew)/time.Second))
	return nil
}

func (s *site) drop(w http.ResponseWriter, name string) { s.set(w, name, "", -1) }

func (s *site) set(w http.ResponseWriter, name, value string, seconds int) {
	http.SetCookie(w, &http.Cookie{ //nolint:gosec // G124: Secure is off on plain http, which is for this machine only
		Name: s.cookieName(name), Value: value, Path: "/", MaxAge: seconds,
		Secure: s.secure, HttpOnly: true, SameSite: http.SameSiteLaxMode,
	})
}

// open reads a cookie that is there once.
func (s *site) open(r *http.Request, name string, into any) bool {
	found := r.CookiesNamed(s.cookieName(name))
	if len(found) != 1 || len(found[0].Value) > maxCookie {
		return false
	}
	sealed, err := base64.RawURLEncoding.DecodeString(found[0].Value)
	if err != nil || len(sealed) < s.aead.NonceSize() {
		return false
	}
	n := s.aead.NonceSize()
	text, err := s.aead.Open(nil, sealed[:n], sealed[n:], []byte(name))
	return err == nil && json.Unmarshal(text, into) == nil
}
