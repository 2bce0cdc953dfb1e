// Package rpapi speaks JSON over HTTPS with the services behind telephones and
// apps (the relying-party APIs of Mobile-ID and Smart-ID): one server, pinned
// roots, bounded answers, no redirections.
//
// It knows no message of either; errors tell what the caller decides on and never
// quote what was sent or received.
package rpapi

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/eidbridge/eidbridge/brokers"
)

const (
	// maxAnswer bounds an answer in bytes: a certificate and a signature.
	maxAnswer = 64 << 10
	// connectTimeout bounds a connection, answerTimeout an answer beyond the time
	// that the server was asked to wait.
	connectTimeout = 3 * time.Second
	answerTimeout  = 10 * time.Second
)

// StatusError is an answer with a status other than 200.
type StatusError struct {
	// Status is the HTTP status.
	Status int
}

func (e *StatusError) Error() string { return fmt.Sprintf("service answered with status %d", e.Status) }

// ErrMalformed is an answer that cannot be read.
var ErrMalformed = errors.New("answer of the service cannot be read")

// Client talks to one service. It may be used from several goroutines.
type Client struct {
	base string
	http *http.Client
}

// New makes a client for the service at a base URL without trailing slash: https,
// or http on this machine only. Roots judge its certificate; nil are the
// system's.
func New(base string, roots *x509.CertPool) (*Client, error) {
	u, err := url.Parse(base)
	if err != nil || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" || strings.HasSuffix(base, "/") {
		return nil, fmt.Errorf("%q is no base URL without a trailing slash", base)
	}
	if u.Scheme != "https" && (u.Scheme != "http" || !loopback(u.Hostname())) {
		return nil, fmt.Errorf("%q is not https; plain http is for this machine only", base)
	}
	return &Client{base: base, http: &http.Client{
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: &http.Transport{
			DialContext:         (&net.Dialer{Timeout: connectTimeout}).DialContext,
			TLSClientConfig:     &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: roots},
			TLSHandshakeTimeout: connectTimeout, IdleConnTimeout: 30 * time.Second,
			MaxConnsPerHost: 256, ForceAttemptHTTP2: true,
		},
	}}, nil
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// Post sends a message and reads the answer. Members that are not known are passed
// over: services add to their answers.
func (c *Client) Post(ctx context.Context, path string, in, out any) error {
	body, err := json.Marshal(in)
	if err != nil {
		return fmt.Errorf("writing message: %w", err)
	}
	return c.do(ctx, http.MethodPost, path, body, answerTimeout, out)
}

// Get reads an answer for which the server may wait so long.
func (c *Client) Get(ctx context.Context, path string, wait time.Duration, out any) error {
	return c.do(ctx, http.MethodGet, path, nil, wait+answerTimeout, out)
}

func (c *Client) do(ctx context.Context, method, path string, body []byte, timeout time.Duration, out any) error {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, method, c.base+path, bytes.NewReader(body))
	if err != nil {
		return errors.New("address of the service cannot be made")
	}
	request.Header.Set("Accept", "application/json")
	if body != nil {
		request.Header.Set("Content-Type", "application/json")
	}
	response, err := c.http.Do(request)
	if err != nil {
		var failed *url.Error
		if errors.As(err, &failed) {
			err = failed.Err // without the address, which may name a person
		}
		return fmt.Errorf("asking the service: %w", err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return &StatusError{response.StatusCode}
	}
	text, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer+1))
	if err != nil {
		return fmt.Errorf("reading the answer: %w", err)
	}
	if len(text) > maxAnswer || json.Unmarshal(text, out) != nil {
		return ErrMalformed
	}
	return nil
}

// Outcome sorts what went wrong on the way for the citizen: notFound is what 404
// means for the question that was asked.
func Outcome(err error, notFound brokers.Category) error {
	var status *StatusError
	reject := func(reason string, category brokers.Category) error {
		return &brokers.RejectedError{Reason: reason, Category: category, Err: err}
	}
	switch {
	case err == nil:
		return nil
	case errors.Is(err, ErrMalformed):
		return reject("answer_malformed", brokers.CategoryProtocol)
	case !errors.As(err, &status), status.Status >= http.StatusInternalServerError:
		return reject("unavailable", brokers.CategoryUnavailable)
	case status.Status == http.StatusNotFound:
		return reject("not_found", notFound)
	}
	return reject(fmt.Sprintf("status_%d", status.Status), brokers.CategoryConfiguration)
}
