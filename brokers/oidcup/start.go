package oidcup

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
	"golang.org/x/oauth2"

	"github.com/eidbridge/eidbridge/brokers"
	"github.com/eidbridge/eidbridge/levels"
)

// Replay remembers what may be used once; ErrReplayed for a second time.
type Replay interface {
	UseAssertionID(ctx context.Context, issuer, id string, until time.Time) error
}

// memo is what is remembered of a login.
type memo struct {
	Nonce    string `json:"nonce"`
	Verifier string `json:"verifier,omitempty"`
	// Class is what was asked for in acr_values.
	Class string `json:"class"`
}

// Start implements brokers.Upstream: it asks for the smallest class of the upstream
// that is not below what is needed.
func (u *Upstream) Start(ctx context.Context, r brokers.AuthenticationRequest) (*brokers.Departure, error) {
	method, best, ok := u.method(r.Method)
	if !ok || r.Level > best {
		return nil, fmt.Errorf("upstream %s: method is not offered or does not reach the level", u.c.ID)
	}
	class, _, err := u.c.Mapping.Class(u.c.Scheme, max(r.Level, levels.BelowLow))
	if err != nil {
		return nil, fmt.Errorf("upstream %s: %w", u.c.ID, err)
	}
	known, err := u.source.metadata(ctx)
	if err != nil {
		return nil, fmt.Errorf("upstream %s: %w", u.c.ID, err)
	}
	nonce, err := u.random()
	if err != nil {
		return nil, err
	}
	m := memo{Nonce: nonce, Class: class}
	options := []oauth2.AuthCodeOption{
		oauth2.SetAuthURLParam("nonce", m.Nonce), oauth2.SetAuthURLParam("acr_values", m.Class),
	}
	if locale := u.locale(r.Locale); locale != "" {
		options = append(options, oauth2.SetAuthURLParam("ui_locales", locale))
	}
	if !u.c.WithoutPKCE {
		if m.Verifier, err = u.random(); err != nil {
			return nil, err
		}
		options = append(options, oauth2.S256ChallengeOption(m.Verifier))
	}
	if r.ForceAuthn && u.c.Kind != TARA { // TARA asks anew always
		options = append(options, oauth2.SetAuthURLParam("prompt", "login"), oauth2.SetAuthURLParam("max_age", "0"))
	}
	config := u.config(known, method)
	location := config.AuthCodeURL(r.RelayState, options...)
	if u.c.Push {
		if location, err = u.push(ctx, known, location); err != nil {
			return nil, fmt.Errorf("upstream %s: %w", u.c.ID, err)
		}
	}
	d := &brokers.Departure{Location: location, RequestID: r.RelayState, RequestedAt: u.c.Clock(), Request: r}
	d.Memo, err = json.Marshal(m)
	return d, err
}

// config is the relying party's side for golang.org/x/oauth2.
func (u *Upstream) config(known *metadata, method Method) *oauth2.Config {
	scopes := append([]string{"openid"}, u.c.Scopes...)
	for _, scope := range method.Scopes {
		if !slices.Contains(scopes, scope) {
			scopes = append(scopes, scope)
		}
	}
	c := &oauth2.Config{
		ClientID: u.c.ClientID, RedirectURL: u.c.RedirectURL, Scopes: scopes,
		Endpoint: oauth2.Endpoint{AuthURL: known.Authorization, TokenURL: known.Token, AuthStyle: oauth2.AuthStyleInParams},
	}
	switch u.c.Auth {
	case SecretBasic:
		c.ClientSecret, c.Endpoint.AuthStyle = u.c.Secret, oauth2.AuthStyleInHeader
	case SecretPost:
		c.ClientSecret = u.c.Secret
	case PrivateKeyJWT:
	}
	return c
}

// locale is a language of the upstream, or empty. TARA knows three and refuses
// others.
func (u *Upstream) locale(tag string) string {
	base, _, _ := strings.Cut(tag, "-")
	if u.c.Kind == TARA && !slices.Contains([]string{"et", "en", "ru"}, base) {
		return "en"
	}
	return base
}

func (u *Upstream) random() (string, error) {
	raw := make([]byte, 32)
	if _, err := io.ReadFull(u.c.Rand, raw); err != nil {
		return "", fmt.Errorf("upstream %s: reading randomness: %w", u.c.ID, err)
	}
	return base64.RawURLEncoding.EncodeToString(raw), nil
}

// push deposits the request (RFC 9126) and returns where the browser goes then.
func (u *Upstream) push(ctx context.Context, known *metadata, location string) (string, error) {
	if known.Push == "" {
		return "", errors.New("upstream takes no pushed requests")
	}
	full, err := url.Parse(location)
	if err != nil {
		return "", err
	}
	form := full.Query()
	if err := u.authenticate(form); err != nil {
		return "", err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, known.Push, strings.NewReader(form.Encode()))
	if err != nil {
		return "", err
	}
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if u.c.Auth == SecretBasic {
		request.SetBasicAuth(url.QueryEscape(u.c.ClientID), url.QueryEscape(u.c.Secret))
	}
	response, err := u.source.client.Do(request)
	if err != nil {
		return "", fmt.Errorf("%w: pushing the request", errUnavailable)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(io.LimitReader(response.Body, maxTokens))
	if err != nil || response.StatusCode != http.StatusCreated {
		return "", fmt.Errorf("pushed request was answered with status %d", response.StatusCode)
	}
	var answer struct {
		URI string `json:"request_uri"`
	}
	if json.Unmarshal(text, &answer) != nil || answer.URI == "" || len(answer.URI) > 512 {
		return "", errors.New("pushed request got no name")
	}
	full.RawQuery = url.Values{"client_id": {u.c.ClientID}, "request_uri": {answer.URI}}.Encode()
	return full.String(), nil
}

// authenticate adds what proves us to a form, where it goes into one.
func (u *Upstream) authenticate(form url.Values) error {
	switch u.c.Auth {
	case SecretPost:
		form.Set("client_secret", u.c.Secret)
	case PrivateKeyJWT:
		assertion, err := u.assertion()
		if err != nil {
			return err
		}
		form.Set("client_assertion_type", assertionType)
		form.Set("client_assertion", assertion)
	case SecretBasic:
	}
	return nil
}

const assertionType = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"

// assertion is a client assertion (RFC 7523 3) for the issuer alone: RFC 10070
// allows no other audience.
func (u *Upstream) assertion() (string, error) {
	id, err := u.random()
	if err != nil {
		return "", err
	}
	algorithm, err := algorithmOf(u.c.Key.Public())
	if err != nil {
		return "", err
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: algorithm, Key: jose.JSONWebKey{Key: opaque{u.c.Key, algorithm, u.c.KeyID}, KeyID: u.c.KeyID}},
		(&jose.SignerOptions{}).WithType("JWT"))
	if err != nil {
		return "", err
	}
	now := u.c.Clock()
	return jwt.Signed(signer).Claims(map[string]any{
		"iss": u.c.ClientID, "sub": u.c.ClientID, "aud": u.c.Issuer, "jti": id,
		"iat": now.Unix(), "nbf": now.Unix(), "exp": now.Add(time.Minute).Unix(),
	}).Serialize()
}
