package tsp

import (
	"context"
	"crypto"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"math/big"
	"time"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"

	"github.com/eidbridge/eidbridge/signing/cms"
	"github.com/eidbridge/eidbridge/signing/fetch"
)

// Server is a time-stamping authority.
type Server struct {
	URL string
	// Policy is the policy to demand; empty leaves it to the server.
	Policy cms.OID
	// Fetch asks this server, where it wants an account; nil is that of the Client.
	Fetch *fetch.Client
}

// Client asks servers in order until one gives an acceptable token.
type Client struct {
	Fetch   *fetch.Client
	Servers []Server
	// Clock is the time to compare tokens with; nil is time.Now.
	Clock func() time.Time
	// Rand makes nonces; nil is crypto/rand.Reader.
	Rand io.Reader
}

// Stamp returns a token over a digest. When no server gives one, the error joins
// what each of them did.
func (c *Client) Stamp(ctx context.Context, hash crypto.Hash, digest []byte) (*Token, error) {
	if len(c.Servers) == 0 || c.Fetch == nil {
		return nil, fmt.Errorf("%w: no time-stamping authority is configured", ErrResponse)
	}
	var failures []error
	for _, s := range c.Servers[:min(len(c.Servers), maxServers)] {
		if err := ctx.Err(); err != nil {
			return nil, errors.Join(append(failures, err)...)
		}
		token, err := c.ask(ctx, s, hash, digest)
		if err == nil {
			return token, nil
		}
		failures = append(failures, err)
	}
	return nil, errors.Join(failures...)
}

func (c *Client) ask(ctx context.Context, s Server, hash crypto.Hash, digest []byte) (*Token, error) {
	random := c.Rand
	if random == nil {
		random = rand.Reader
	}
	raw := make([]byte, nonceBytes)
	if _, err := io.ReadFull(random, raw); err != nil {
		return nil, fmt.Errorf("making a nonce: %w", err)
	}
	raw[0] |= 0x40 // neither negative nor short
	nonce := new(big.Int).SetBytes(raw)
	query, err := Request(hash, digest, s.Policy, nonce)
	if err != nil {
		return nil, err
	}
	ask := c.Fetch
	if s.Fetch != nil {
		ask = s.Fetch
	}
	answer, err := ask.Post(ctx, s.URL, "application/timestamp-query", "application/timestamp-reply", query, fetch.MaxTimeStamp)
	if err != nil {
		return nil, fmt.Errorf("time-stamp: %w", err)
	}
	token, err := ParseResponse(answer)
	if err != nil {
		return nil, err
	}
	return token, c.check(token, s, hash, digest, nonce)
}

// check compares a token with the request (RFC 3161 2.4.2).
func (c *Client) check(t *Token, s Server, hash crypto.Hash, digest []byte, nonce *big.Int) error {
	now := time.Now()
	if c.Clock != nil {
		now = c.Clock()
	}
	switch {
	case t.Hash != hash || t.Verify(digest) != nil:
		return fmt.Errorf("%w: %w", ErrResponse, ErrImprint)
	case weak(t.Digest):
		return fmt.Errorf("%w: it is signed over %s, which is no longer reliable", ErrResponse, t.Digest)
	case t.Nonce == nil || t.Nonce.Cmp(nonce) != 0:
		return fmt.Errorf("%w: nonce is not that of the request", ErrResponse)
	case s.Policy != "" && t.Policy != s.Policy:
		return fmt.Errorf("%w: policy is not the one asked for", ErrResponse)
	case t.Time.Before(now.Add(-skew)) || t.Time.After(now.Add(skew)):
		return fmt.Errorf("%w: its time is %s away from ours", ErrResponse, t.Time.Sub(now).Round(time.Second))
	case len(t.Certificates) == 0:
		return fmt.Errorf("%w: no certificate in the token", ErrResponse)
	}
	return nil
}

// Request returns the DER of a TimeStampReq (RFC 3161 2.4.1) that asks for the
// certificate. Policy may be empty, nonce nil.
func Request(hash crypto.Hash, digest []byte, policy cms.OID, nonce *big.Int) ([]byte, error) {
	oid := cms.DigestOID(hash)
	if oid == "" || len(digest) != hash.Size() || weak(hash) {
		return nil, fmt.Errorf("time-stamp over a digest by %s: %w", hash, cms.ErrAlgorithm)
	}
	var b cryptobyte.Builder
	b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1Int64(1)
		b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
			cms.AddAlgorithm(b, cms.AlgorithmIdentifier{Algorithm: oid, Parameters: []byte{5, 0}})
			b.AddASN1OctetString(digest)
		})
		if policy != "" {
			cms.AddOID(b, policy)
		}
		if nonce != nil {
			b.AddASN1BigInt(nonce)
		}
		b.AddASN1Boolean(true)
	})
	return b.Bytes()
}

// ParseResponse reads a TimeStampResp (RFC 3161 2.4.2) that grants a token.
func ParseResponse(der []byte) (*Token, error) {
	in := cryptobyte.String(der)
	var response, status cryptobyte.String
	var code int64
	if !in.ReadASN1(&response, asn1.SEQUENCE) || !in.Empty() || !response.ReadASN1(&status, asn1.SEQUENCE) ||
		!status.ReadASN1Integer(&code) {
		return nil, fmt.Errorf("%w: malformed", ErrResponse)
	}
	if code != 0 && code != 1 {
		return nil, fmt.Errorf("%w: the server refused with status %d", ErrResponse, code)
	}
	var token cryptobyte.String
	if !response.ReadASN1Element(&token, asn1.SEQUENCE) || !response.Empty() {
		return nil, fmt.Errorf("%w: granted without a token", ErrResponse)
	}
	return Parse(token)
}
