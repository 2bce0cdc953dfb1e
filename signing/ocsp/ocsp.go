// Package ocsp asks responders about certificates and judges their answers,
// after RFC 6960 with the nonce of RFC 9654.
//
// An answer counts only if it is about the certificate asked for, signed by its
// issuer or by a responder that the same issuer certified for this one purpose.
// Whether it is fresh enough depends on the time one wants to know about, so
// that is left to the caller, with the times of the answer.
//
// golang.org/x/crypto/ocsp reads the same structures and is an oracle in the
// tests; it neither demands the extended key usage of a delegated responder nor
// compares the responder's name. Left out: signed requests, several certificates
// in one request, and responders that a third party designated.
package ocsp

import (
	"bytes"
	"context"
	"crypto"
	"crypto/rand"
	"crypto/sha1" //nolint:gosec // RFC 6960: SHA-1 is the CertID hash that every responder takes
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"time"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"

	"github.com/eidbridge/eidbridge/signing/cms"
	"github.com/eidbridge/eidbridge/signing/fetch"
)

// ErrResponse means that the answer cannot be used. All errors about answers match it.
var ErrResponse = errors.New("OCSP response not acceptable")

func wrong(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrResponse, fmt.Sprintf(format, args...))
}

// Status is the answer about a certificate.
type Status int

// The three answers (RFC 6960 2.2). Only Good is good.
const (
	Unknown Status = iota
	Good
	Revoked
)

// Response is a verified answer about one certificate.
type Response struct {
	// Raw is the OCSPResponse as received.
	Raw        []byte
	Status     Status
	ProducedAt time.Time
	ThisUpdate time.Time
	NextUpdate time.Time // zero when newer information is always available
	// RevokedAt and Reason (RFC 5280 5.3.1) are set with Revoked.
	RevokedAt time.Time
	Reason    int
	// Kept is the archive cutoff (RFC 6960 4.4.4): certificates that expired since
	// are answered about as if they had not. Zero without one.
	Kept time.Time
	// Positive tells that the answer states a digest of the certificate
	// (Common PKI certHash), so that the responder is sure to know it.
	Positive bool
	// Nonce is the value of the extension, nil without one.
	Nonce []byte
	// Responder signed the answer: the issuer, or a certificate of the issuer's.
	Responder *x509.Certificate
	// Delegated tells that Responder is not the issuer; NoCheck that its
	// certificate carries ocsp-nocheck, so that it need not be checked itself.
	Delegated bool
	NoCheck   bool
}

const (
	maxResponses    = 64
	maxCertificates = 8
	nonceBytes      = 32 // RFC 9654 2.1
	skew            = 5 * time.Minute
	oidBasic        = cms.OID("1.3.6.1.5.5.7.48.1.1")
	oidNonce        = cms.OID("1.3.6.1.5.5.7.48.1.2")
	oidNoCheck      = "1.3.6.1.5.5.7.48.1.5"
	oidCutoff       = cms.OID("1.3.6.1.5.5.7.48.1.6")
	oidCertHash     = cms.OID("1.3.36.8.3.13")
)

// Client asks responders.
type Client struct {
	Fetch *fetch.Client
	// Clock is the time to compare answers with; nil is time.Now.
	Clock func() time.Time
	// Rand makes nonces; nil is crypto/rand.Reader.
	Rand io.Reader
}

// Ask asks the responders that a certificate names. Only a fresh and verified
// answer is returned, whatever it says.
func (c *Client) Ask(ctx context.Context, certificate, issuer *x509.Certificate) (*Response, error) {
	if len(certificate.OCSPServer) == 0 {
		return nil, wrong("the certificate names no responder")
	}
	var failures []error
	for _, address := range certificate.OCSPServer[:min(2, len(certificate.OCSPServer))] {
		r, err := c.ask(ctx, address, certificate, issuer)
		if err == nil {
			return r, nil
		}
		failures = append(failures, err)
	}
	return nil, errors.Join(failures...)
}

func (c *Client) ask(ctx context.Context, address string, certificate, issuer *x509.Certificate) (*Response, error) {
	random, now := c.Rand, time.Now()
	if random == nil {
		random = rand.Reader
	}
	if c.Clock != nil {
		now = c.Clock()
	}
	nonce := make([]byte, nonceBytes)
	if _, err := io.ReadFull(random, nonce); err != nil {
		return nil, fmt.Errorf("making a nonce: %w", err)
	}
	query, err := Request(certificate, issuer, nonce)
	if err != nil {
		return nil, err
	}
	raw, err := c.Fetch.Post(ctx, address, "application/ocsp-request", "application/ocsp-response", query, fetch.MaxOCSP)
	if err != nil {
		return nil, fmt.Errorf("OCSP: %w", err)
	}
	r, err := Parse(raw, certificate, issuer)
	if err != nil {
		return nil, err
	}
	switch {
	// Many responders answer from a store and leave the nonce out; one that is
	// there must be ours.
	case r.Nonce != nil && !bytes.Equal(r.Nonce, nonce):
		return nil, wrong("nonce is not that of the request")
	case r.ThisUpdate.After(now.Add(skew)):
		return nil, wrong("it is from the future")
	case !r.NextUpdate.IsZero() && r.NextUpdate.Before(now.Add(-skew)):
		return nil, wrong("it is out of date since %s", r.NextUpdate.Format(time.RFC3339))
	}
	return r, nil
}

// hashes returns the digests of the issuer's name and key.
func hashes(issuer *x509.Certificate, hash crypto.Hash) (name, key []byte, err error) {
	bits, err := keyBits(issuer)
	if err != nil || !hash.Available() {
		return nil, nil, wrong("key of the issuer")
	}
	h := hash.New()
	h.Write(issuer.RawSubject)
	name = h.Sum(nil)
	h.Reset()
	h.Write(bits)
	return name, h.Sum(nil), nil
}

// keyBits is the content of subjectPublicKey without the unused-bits octet.
func keyBits(c *x509.Certificate) ([]byte, error) {
	in := cryptobyte.String(c.RawSubjectPublicKeyInfo)
	var spki cryptobyte.String
	var bits []byte
	if !in.ReadASN1(&spki, asn1.SEQUENCE) || !spki.SkipASN1(asn1.SEQUENCE) || !spki.ReadASN1BitStringAsBytes(&bits) {
		return nil, wrong("public key")
	}
	return bits, nil
}

// Request returns the DER of an OCSPRequest about one certificate; nonce may be
// nil.
func Request(certificate, issuer *x509.Certificate, nonce []byte) ([]byte, error) {
	name, key, err := hashes(issuer, crypto.SHA1)
	if err != nil {
		return nil, err
	}
	var b cryptobyte.Builder
	sequence := func(b *cryptobyte.Builder, f func(*cryptobyte.Builder)) { b.AddASN1(asn1.SEQUENCE, f) }
	sequence(&b, func(b *cryptobyte.Builder) {
		sequence(b, func(b *cryptobyte.Builder) {
			sequence(b, func(b *cryptobyte.Builder) {
				sequence(b, func(b *cryptobyte.Builder) {
					sequence(b, func(b *cryptobyte.Builder) {
						cms.AddAlgorithm(b, cms.AlgorithmIdentifier{Algorithm: cms.DigestOID(crypto.SHA1), Parameters: []byte{5, 0}})
						b.AddASN1OctetString(name)
						b.AddASN1OctetString(key)
						b.AddASN1BigInt(certificate.SerialNumber)
					})
				})
			})
			if nonce == nil {
				return
			}
			b.AddASN1(explicit(2), func(b *cryptobyte.Builder) {
				sequence(b, func(b *cryptobyte.Builder) {
					sequence(b, func(b *cryptobyte.Builder) {
						cms.AddOID(b, oidNonce)
						b.AddASN1(asn1.OCTET_STRING, func(b *cryptobyte.Builder) { b.AddASN1OctetString(nonce) })
					})
				})
			})
		})
	})
	return b.Bytes()
}

func explicit(n uint8) asn1.Tag { return asn1.Tag(n).Constructed().ContextSpecific() }

// sha1Sum names a responder by its key (RFC 6960 4.2.2.3).
func sha1Sum(b []byte) []byte {
	s := sha1.Sum(b) //nolint:gosec // an identifier, no security rests on it
	return s[:]
}
