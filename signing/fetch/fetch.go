package fetch

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"syscall"
	"time"
)

// Errors that a caller decides on. Anything else is an error of the network.
var (
	// ErrForbidden: the address is one that certificates must not send us to.
	ErrForbidden = errors.New("address not allowed")
	// ErrTooLarge: the answer goes over its ceiling.
	ErrTooLarge = errors.New("answer too large")
	// ErrStatus: the server answered with another status than 200, or with
	// another kind of content.
	ErrStatus = errors.New("server refused")
)

// Options are the rules of a Client. The zero value reaches public addresses.
type Options struct {
	// Allow lists "host:port" destinations that may lie inside this machine or
	// network, as a time-stamp server of an organisation does.
	Allow []string
	// Timeout bounds one exchange; zero means ten seconds.
	Timeout time.Duration
	// Account is how the one server is to know us that this client is for. Its answers
	// may not lead elsewhere; nil is nobody in particular.
	Account *Account
	// Dialer makes the connections, with a resolver of its own for example; nil is a
	// plain one. Its Control is asked after an address was found to be allowed.
	Dialer *net.Dialer
	// Transport replaces the guarded one.
	Transport http.RoundTripper
}

// Account is what a server asks for, such as a time-stamping authority that is paid
// by its customers: name and password (RFC 7617), a client certificate, or both.
type Account struct {
	User, Password string
	Certificate    *tls.Certificate
	// Roots are where the TLS certificate of the server may end; nil is what the system
	// trusts.
	Roots *x509.CertPool
}

// Client fetches. It may be used from several goroutines.
type Client struct {
	http    *http.Client
	account *Account
}

// New returns a Client under the given rules.
func New(o Options) *Client {
	timeout := o.Timeout
	if timeout <= 0 {
		timeout = totalTimeout
	}
	transport := o.Transport
	if transport == nil {
		guard := guarded(o.Allow, o.Dialer)
		if o.Account != nil {
			guard.TLSClientConfig = o.Account.tls()
		}
		transport = guard
	}
	return &Client{account: o.Account, http: &http.Client{
		Transport: transport,
		Timeout:   timeout,
		CheckRedirect: func(r *http.Request, via []*http.Request) error {
			if o.Account != nil {
				return fmt.Errorf("%w: redirect of a server with an account", ErrForbidden)
			}
			if len(via) > maxRedirects {
				return fmt.Errorf("%w: too many redirects", ErrForbidden)
			}
			return checkURL(r.URL)
		},
	}}
}

// guarded returns a transport whose connections go to allowed addresses only.
func guarded(allow []string, dialer *net.Dialer) *http.Transport {
	var plain net.Dialer
	if dialer != nil {
		plain = *dialer
	}
	plain.Timeout = connectTimeout
	public, next := plain, plain.Control
	public.Control = func(network, address string, c syscall.RawConn) error {
		to, err := netip.ParseAddrPort(address)
		if err != nil || !Public(to.Addr()) {
			return fmt.Errorf("%w: %s", ErrForbidden, address)
		}
		if next != nil {
			return next(network, address, c)
		}
		return nil
	}
	public.ControlContext = nil // it would take the place of Control
	return &http.Transport{
		DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			if slices.Contains(allow, address) {
				return plain.DialContext(ctx, network, address)
			}
			return public.DialContext(ctx, network, address)
		},
		TLSHandshakeTimeout:    connectTimeout,
		MaxResponseHeaderBytes: maxHeader,
		MaxIdleConnsPerHost:    2,
		IdleConnTimeout:        30 * time.Second,
		ForceAttemptHTTP2:      true,
	}
}

func (a *Account) tls() *tls.Config {
	c := &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: a.Roots}
	if a.Certificate != nil {
		c.Certificates = []tls.Certificate{*a.Certificate}
	}
	return c
}

// Public tells whether an address belongs to the public internet.
func Public(a netip.Addr) bool {
	a = a.Unmap()
	if !a.IsGlobalUnicast() || a.IsPrivate() || a.IsLoopback() || a.IsLinkLocalUnicast() {
		return false
	}
	for _, reserved := range []string{
		"0.0.0.0/8", "100.64.0.0/10", "192.0.0.0/24", "192.0.2.0/24", "198.18.0.0/15", "198.51.100.0/24",
		"203.0.113.0/24", "240.0.0.0/4", "64:ff9b::/96", "64:ff9b:1::/48", "100::/64", "2001:db8::/32", "2002::/16",
	} { // RFC 6890 and successors; the translated forms can lead back inside
		if netip.MustParsePrefix(reserved).Contains(a) {
			return false
		}
	}
	return true
}

func checkURL(u *url.URL) error {
	switch {
	case u.Scheme != "http" && u.Scheme != "https":
		return fmt.Errorf("%w: scheme %q", ErrForbidden, u.Scheme)
	case u.Host == "" || u.User != nil:
		return fmt.Errorf("%w: URL without a plain host", ErrForbidden)
	}
	return nil
}

// Get fetches what a URL names; max is the ceiling in bytes.
func (c *Client) Get(ctx context.Context, address string, max int64) ([]byte, error) {
	return c.do(ctx, http.MethodGet, address, "", "", nil, max)
}

// Post sends a body and demands an answer of the given media type.
func (c *Client) Post(ctx context.Context, address, contentType, accept string, body []byte, max int64) ([]byte, error) {
	return c.do(ctx, http.MethodPost, address, contentType, accept, body, max)
}

func (c *Client) do(ctx context.Context, method, address, contentType, accept string, body []byte, max int64) ([]byte, error) {
	if len(address) > maxURL {
		return nil, fmt.Errorf("%w: URL of %d bytes", ErrForbidden, len(address))
	}
	u, err := url.Parse(address)
	if err != nil {
		return nil, fmt.Errorf("%w: not a URL", ErrForbidden)
	}
	if err := checkURL(u); err != nil {
		return nil, err
	}
	r, err := http.NewRequestWithContext(ctx, method, address, bytes.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrForbidden, err)
	}
	if c.account != nil && c.account.User != "" {
		if u.Scheme != "https" {
			return nil, fmt.Errorf("%w: a password to %s without encryption", ErrForbidden, u.Host)
		}
		r.SetBasicAuth(c.account.User, c.account.Password)
	}
	if contentType != "" {
		r.Header.Set("Content-Type", contentType)
		r.Header.Set("Accept", accept)
		// A question may be put twice: where the server ends a connection just when it is
		// used again, another one is made. The header itself is not sent.
		r.Header["Idempotency-Key"] = nil
	}
	answer, err := c.http.Do(r)
	if err != nil {
		return nil, fmt.Errorf("fetching from %s: %w", u.Host, cause(err))
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%w: %s answers %d", ErrStatus, u.Host, answer.StatusCode)
	}
	if kind, _, _ := mime.ParseMediaType(answer.Header.Get("Content-Type")); accept != "" && !strings.EqualFold(kind, accept) {
		return nil, fmt.Errorf("%w: %s answers with %q", ErrStatus, u.Host, kind)
	}
	content, err := io.ReadAll(io.LimitReader(answer.Body, max+1))
	if err != nil {
		return nil, fmt.Errorf("fetching from %s: %w", u.Host, cause(err))
	}
	if int64(len(content)) > max {
		return nil, fmt.Errorf("%w: more than %d bytes from %s", ErrTooLarge, max, u.Host)
	}
	return content, nil
}

// cause takes off the wrapping that repeats the whole URL, which may carry a
// certificate's serial number.
func cause(err error) error {
	if outer, ok := errors.AsType[*url.Error](err); ok {
		return outer.Err
	}
	return err
}
