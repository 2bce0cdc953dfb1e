package main

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"html"
	"io"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"

	"github.com/eidbridge/eidbridge/brokers/loadtarget"
	"github.com/eidbridge/eidbridge/brokers/store"
	"github.com/eidbridge/eidbridge/fixtures/freeport"
)

// country is another provider, which approves everybody at once: the upstream of
// brokers that are run by these tests.
type country struct {
	issuer, id, secret string
	// seen are the headers of the requests that it got.
	seen chan http.Header
}

func newCountry(t *testing.T, broker string) *country {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	secrets, err := loadtarget.NewSecrets()
	if err != nil {
		t.Fatal(err)
	}
	c := &country{issuer: "http://" + listener.Addr().String(), seen: make(chan http.Header, 100)}
	target, err := loadtarget.New(loadtarget.Options{
		Issuer: c.issuer, Store: store.NewMemory(), Secrets: secrets, RedirectURIs: []string{"http://" + broker + "/upstream/land/callback"},
	})
	if err != nil {
		t.Fatal(err)
	}
	d := target.Describe()
	c.id, c.secret = d.ID, d.Secret
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		select {
		case c.seen <- r.Header.Clone():
		default:
		}
		target.ServeHTTP(w, r)
	})}
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(func() { _ = server.Close() })
	return c
}

// portal is what a portal needs to log somebody in at a broker of these tests.
type portal struct {
	issuer, algorithm string
}

const (
	portalSecret = "a secret of the portal, which has more than enough letters"
	portalReturn = "http://127.0.0.1:1/callback"
)

// section configures the upstream and the portal, which takes ID tokens by an
// algorithm.
func (c *country) section(t *testing.T, dir, algorithm string) string {
	t.Helper()
	write(t, filepath.Join(dir, "land-secret"), c.secret)
	return fmt.Sprintf(`
[[oidc]]
id = "land"
kind = "generic"
issuer = %q
client_id = %q
secret_file = "land-secret"
signing_algorithms = ["ES256"]
subject_scheme = "xx-land"
country = "XX"
levels = { "http://eidas.europa.eu/LoA/low" = "low", "http://eidas.europa.eu/LoA/substantial" = "substantial" }
names = { en = "Land" }

[[clients]]
id = "portal"
secret_sha256 = "%x"
redirect_uris = [%q]
min_level = "low"
signing_algorithm = %q
`, c.issuer, c.id, sha256.Sum256([]byte(portalSecret)), portalReturn, algorithm)
}

// logIn goes the way of a citizen from the portal through the broker and its
// upstream, and gives what the portal gets, verified against the key set.
func (p portal) logIn(t *testing.T) (*oidc.IDToken, error) {
	t.Helper()
	return p.logInAnd(t, func(string) {})
}

// logInAnd is logIn, which hands over every secret of the login.
func (p portal) logInAnd(t *testing.T, hand func(secret string)) (*oidc.IDToken, error) {
	t.Helper()
	ctx := context.Background()
	op, err := oidc.NewProvider(ctx, p.issuer)
	if err != nil {
		return nil, err
	}
	portal := oauth2.Config{ClientID: "portal", ClientSecret: portalSecret, Endpoint: op.Endpoint(), RedirectURL: portalReturn, Scopes: []string{"openid"}}
	verifier, state, nonce := oauth2.GenerateVerifier(), rand.Text(), rand.Text()
	back, err := browse(portal.AuthCodeURL(state, oauth2.S256ChallengeOption(verifier), oidc.Nonce(nonce)))
	if err != nil {
		return nil, err
	}
	if back.Get("state") != state || back.Get("code") == "" {
		return nil, fmt.Errorf("the portal got %v", back)
	}
	token, err := portal.Exchange(ctx, back.Get("code"), oauth2.VerifierOption(verifier))
	if err != nil {
		return nil, err
	}
	raw, _ := token.Extra("id_token").(string)
	for _, secret := range []string{verifier, state, nonce, back.Get("code"), token.AccessToken, raw} {
		hand(secret)
	}
	id, err := op.Verifier(&oidc.Config{ClientID: "portal", SupportedSigningAlgs: []string{p.algorithm}}).Verify(ctx, raw)
	if err != nil {
		return nil, err
	}
	if id.Nonce != nonce {
		return nil, fmt.Errorf("nonce %q", id.Nonce)
	}
	return id, nil
}

// browse follows redirections and presses the first button of each page until it
// comes to the portal, and gives the query that the portal gets.
func browse(address string) (url.Values, error) {
	jar, err := cookiejar.New(nil)
	if err != nil {
		return nil, err
	}
	form := regexp.MustCompile(`(?s)<form[^>]*action="([^"]*)"[^>]*>(.*?)</form>`)
	field := regexp.MustCompile(`<(?:input|button)[^>]*name="([^"]*)"[^>]*value="([^"]*)"`)
	browser := &http.Client{Jar: jar, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	method, body := http.MethodGet, url.Values(nil)
	for range 20 {
		if strings.HasPrefix(address, portalReturn) {
			u, err := url.Parse(address)
			if err != nil {
				return nil, err
			}
			return u.Query(), nil
		}
		request, err := http.NewRequest(method, address, strings.NewReader(body.Encode()))
		if err != nil {
			return nil, err
		}
		if method == http.MethodPost {
			request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		}
		resp, err := browser.Do(request)
		if err != nil {
			return nil, err
		}
		text, err := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if err != nil {
			return nil, err
		}
		if location, err := resp.Location(); err == nil {
			method, body, address = http.MethodGet, nil, location.String()
			continue
		}
		found := form.FindSubmatch(text)
		if resp.StatusCode != http.StatusOK || found == nil {
			return nil, fmt.Errorf("%s: %d %s", address, resp.StatusCode, text)
		}
		next, err := request.URL.Parse(html.UnescapeString(string(found[1])))
		if err != nil {
			return nil, err
		}
		method, body, address = http.MethodPost, url.Values{}, next.String()
		for _, f := range field.FindAllSubmatch(found[2], -1) {
			body.Set(string(f[1]), html.UnescapeString(string(f[2])))
		}
	}
	return nil, fmt.Errorf("the way is too long")
}

// The default deployment knows portals that know RS256 alone.
func TestDefaultKeysLogIn(t *testing.T) {
	for _, algorithm := range []string{"ES256", "RS256"} {
		dir, address := t.TempDir(), freeport.Address(t)
		write(t, dir+"/c.toml", fmt.Sprintf("issuer = \"http://%s\"\nlisten = %q\n", address, address)+newCountry(t, address).section(t, dir, algorithm))
		b := start(t, "--config", dir+"/c.toml")
		if id, err := (portal{"http://" + address, algorithm}).logIn(t); err != nil || id.Subject == "" {
			t.Errorf("%s: %v", algorithm, err)
		}
		b.stop()
	}
}
