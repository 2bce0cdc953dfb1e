package oidcup

import (
	"context"
	"crypto/tls"
	json "encoding/json/v2"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"
)

// Bounds on what comes from the upstream, in bytes.
const (
	maxDiscovery = 64 << 10
	maxKeySet    = 256 << 10
	maxTokens    = 64 << 10
	maxUserInfo  = 64 << 10
	maxIDToken   = 16 << 10
)

// Times of refreshing: what is known is asked for anew after fresh, used up to
// stale when there is nothing better, and a failure or an unknown key is not asked
// about more often than once in again.
const (
	fresh   = time.Hour
	stale   = 24 * time.Hour
	again   = time.Minute
	timeout = 10 * time.Second
)

// metadata is the part of a discovery document that is used (OpenID Connect
// Discovery 3).
type metadata struct {
	Issuer        string `json:"issuer"`
	Authorization string `json:"authorization_endpoint"`
	Token         string `json:"token_endpoint"`
	Keys          string `json:"jwks_uri"`
	UserInfo      string `json:"userinfo_endpoint"`
	Push          string `json:"pushed_authorization_request_endpoint"`
	// NamesIssuer says that callbacks carry iss (RFC 9207).
	NamesIssuer bool `json:"authorization_response_iss_parameter_supported"`
}

// source fetches metadata and keys, seldom, and keeps the last good ones.
type source struct {
	issuer string
	hosts  []string
	client *http.Client
	clock  func() time.Time

	mu       sync.Mutex
	current  *metadata
	read     time.Time
	tried    time.Time
	keys     *keySet
	fetching chan struct{}
}

func newSource(c *Config) *source {
	issuer, err := url.Parse(c.Issuer)
	host := ""
	if err == nil {
		host = issuer.Host
	}
	s := &source{
		issuer: c.Issuer, hosts: append([]string{host}, c.Hosts...), clock: c.Clock,
		client: &http.Client{
			Timeout:       timeout,
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
			Transport: &bounded{&http.Transport{
				DialContext:         (&net.Dialer{Timeout: 3 * time.Second}).DialContext,
				TLSClientConfig:     &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: c.Roots},
				TLSHandshakeTimeout: 3 * time.Second, IdleConnTimeout: 30 * time.Second, MaxConnsPerHost: 64, ForceAttemptHTTP2: true,
			}},
		},
		fetching: make(chan struct{}, 1),
	}
	s.keys = &keySet{client: s.client, clock: c.Clock}
	return s
}

// bounded cuts every answer, whoever reads it.
type bounded struct{ http.RoundTripper }

func (b *bounded) RoundTrip(r *http.Request) (*http.Response, error) {
	response, err := b.RoundTripper.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	response.Body = struct {
		io.Reader
		io.Closer
	}{io.LimitReader(response.Body, maxKeySet+1), response.Body}
	return response, nil
}

// errUnavailable is an upstream that cannot be asked now.
var errUnavailable = errors.New("upstream cannot be reached")

// metadata returns what is known, fetched or kept.
func (s *source) metadata(ctx context.Context) (*metadata, error) {
	s.mu.Lock()
	known, read, tried := s.current, s.read, s.tried
	s.mu.Unlock()
	now := s.clock()
	if known != nil && now.Sub(read) < fresh {
		return known, nil
	}
	if usable := known != nil && now.Sub(read) < stale; now.Sub(tried) < again && !tried.IsZero() {
		if usable {
			return known, nil
		}
		return nil, errUnavailable
	}
	select {
	case s.fetching <- struct{}{}:
		defer func() { <-s.fetching }()
	case <-ctx.Done():
		return nil, errUnavailable
	}
	s.mu.Lock()
	if s.tried.After(tried) { // somebody else was there first
		known = s.current
		s.mu.Unlock()
		if known != nil {
			return known, nil
		}
		return nil, errUnavailable
	}
	s.tried = now
	s.mu.Unlock()
	m, err := s.fetch(ctx)
	s.mu.Lock()
	defer s.mu.Unlock()
	if err == nil {
		s.current, s.read = m, now
		s.keys.use(m.Keys)
		return m, nil
	}
	if s.current != nil && now.Sub(s.read) < stale {
		return s.current, nil
	}
	return nil, fmt.Errorf("%w: %w", errUnavailable, err)
}

func (s *source) fetch(ctx context.Context) (*metadata, error) {
	text, err := get(ctx, s.client, strings.TrimSuffix(s.issuer, "/")+"/.well-known/openid-configuration", maxDiscovery)
	if err != nil {
		return nil, fmt.Errorf("discovery: %w", err)
	}
	var m metadata
	if err := json.Unmarshal(text, &m); err != nil {
		return nil, errors.New("discovery document cannot be read")
	}
	return &m, s.check(&m)
}

// check refuses a document of somebody else (O-34): another issuer, endpoints
// without https or on other hosts.
func (s *source) check(m *metadata) error {
	if m.Issuer != s.issuer {
		return errors.New("discovery document is of another issuer")
	}
	for name, endpoint := range map[string]string{
		"authorization_endpoint": m.Authorization, "token_endpoint": m.Token, "jwks_uri": m.Keys,
		"userinfo_endpoint": m.UserInfo, "pushed_authorization_request_endpoint": m.Push,
	} {
		required := name != "userinfo_endpoint" && name != "pushed_authorization_request_endpoint"
		if endpoint == "" && !required {
			continue
		}
		u, err := url.Parse(endpoint)
		if err != nil || !secureURL(endpoint) || !slices.Contains(s.hosts, u.Host) {
			return fmt.Errorf("%s is missing, without https or on another host", name)
		}
	}
	return nil
}

// get reads an answer of status 200.
func get(ctx context.Context, client *http.Client, address string, most int) ([]byte, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, err
	}
	request.Header.Set("Accept", "application/json")
	return read(client, request, most)
}

func read(client *http.Client, request *http.Request, most int) ([]byte, error) {
	response, err := client.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(io.LimitReader(response.Body, int64(most)+1))
	switch {
	case err != nil:
		return nil, err
	case response.StatusCode != http.StatusOK:
		return nil, fmt.Errorf("status %d", response.StatusCode)
	case len(text) > most:
		return nil, fmt.Errorf("answer is larger than %d bytes", most)
	}
	return text, nil
}

// readAll reads a body of user information.
func readAll(response *http.Response) ([]byte, error) {
	text, err := io.ReadAll(io.LimitReader(response.Body, maxUserInfo+1))
	if err == nil && len(text) > maxUserInfo {
		err = errors.New("answer is too large")
	}
	return text, err
}
