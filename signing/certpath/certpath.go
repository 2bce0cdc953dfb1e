// Package certpath finds the path from a certificate to a trust anchor (RFC 5280
// 6, EN 319 102-1 5.2.6 without revocation).
//
// Candidates come from whoever made the signature, so they are strangers: at
// most 32 are considered, only those whose names lead upwards from the
// certificate, and crypto/x509 bounds the signature checks. Where issuers are
// missing they may be fetched from the address the certificate names.
package certpath

import (
	"bytes"
	"context"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/eidbridge/eidbridge/signing/cms"
	"github.com/eidbridge/eidbridge/signing/fetch"
)

// Errors that a caller decides on.
var (
	// ErrNoPath: no path leads to an anchor.
	ErrNoPath = errors.New("no certificate path to a trust anchor")
	// ErrValidity: a path exists, but one of its certificates is not valid at the
	// time.
	ErrValidity = errors.New("certificate outside its validity")
	// ErrRule: a path exists, but it breaks a rule of RFC 5280.
	ErrRule = errors.New("certificate path breaks a rule")
)

const (
	maxCandidates = 32
	maxLength     = 8
	maxFetches    = 4
)

// Options say where to look and whom to trust.
type Options struct {
	// Anchors are trusted. Without any, a path may end at a self-signed candidate;
	// it is then a path, but nothing to rely on.
	Anchors []*x509.Certificate
	// Candidates may be part of the path.
	Candidates []*x509.Certificate
	// Time is the moment at which the path must be valid; zero means now.
	Time time.Time
	// Fetch gets missing issuers; nil fetches nothing.
	Fetch *fetch.Client
	// Weak takes certificates that were signed over SHA-1 when that was no longer
	// believed, for callers that look at the algorithms of the path themselves.
	Weak bool
}

// Find returns the path, the certificate first and the anchor last.
func Find(ctx context.Context, certificate *x509.Certificate, o Options) ([]*x509.Certificate, error) {
	if o.Time.IsZero() {
		o.Time = time.Now()
	}
	candidates := upwards(certificate, o.Candidates)
	for fetched := 0; ; fetched++ {
		path, err := find(certificate, candidates, o)
		if !errors.Is(err, ErrNoPath) || o.Fetch == nil || fetched == maxFetches {
			return path, err
		}
		more := fetchIssuer(ctx, top(certificate, candidates), o.Fetch)
		if more == nil {
			return nil, err
		}
		candidates = upwards(certificate, append(candidates, more...))
	}
}

// upwards keeps the candidates whose names lead up from the certificate.
func upwards(certificate *x509.Certificate, all []*x509.Certificate) []*x509.Certificate {
	var kept []*x509.Certificate
	seen := map[string]bool{string(certificate.Raw): true}
	level := []*x509.Certificate{certificate}
	for range maxLength {
		var next []*x509.Certificate
		for _, child := range level {
			for _, c := range all {
				if len(kept) == maxCandidates {
					return kept
				}
				if !seen[string(c.Raw)] && bytes.Equal(child.RawIssuer, c.RawSubject) {
					seen[string(c.Raw)] = true
					kept, next = append(kept, c), append(next, c)
				}
			}
		}
		level = next
	}
	return kept
}

func selfIssued(c *x509.Certificate) bool { return bytes.Equal(c.RawSubject, c.RawIssuer) }

func find(certificate *x509.Certificate, candidates []*x509.Certificate, o Options) ([]*x509.Certificate, error) {
	roots, between := x509.NewCertPool(), x509.NewCertPool()
	for _, c := range o.Anchors {
		roots.AddCert(lasting(c))
	}
	for _, c := range candidates {
		if len(o.Anchors) == 0 && selfIssued(c) {
			roots.AddCert(c)
			continue
		}
		between.AddCert(understood(c))
	}
	if len(o.Anchors) == 0 && selfIssued(certificate) {
		roots.AddCert(certificate)
	}
	paths, err := certificate.Verify(x509.VerifyOptions{
		Roots: roots, Intermediates: between, CurrentTime: o.Time,
		KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny},
	})
	invalid, isInvalid := errors.AsType[x509.CertificateInvalidError](err)
	unhandled, isUnhandled := errors.AsType[x509.UnhandledCriticalExtension](err)
	switch {
	case err == nil:
		return shortest(paths, o.Anchors)
	case isInvalid && invalid.Reason == x509.Expired:
		return nil, fmt.Errorf("%w: %s", ErrValidity, invalid.Detail)
	case isInvalid:
		return nil, fmt.Errorf("%w: %w", ErrRule, invalid)
	case isUnhandled:
		return nil, fmt.Errorf("%w: %w", ErrRule, unhandled)
	default:
		return findOld(certificate, candidates, o)
	}
}

// shortest is the shortest of the paths in which every name is where it may be.
func shortest(paths [][]*x509.Certificate, anchors []*x509.Certificate) ([]*x509.Certificate, error) {
	var best []*x509.Certificate
	var failure error
	for _, p := range paths {
		if best != nil && len(p) >= len(best) {
			continue
		}
		if err := withinDirectories(p); err != nil {
			failure = err
			continue
		}
		best = p
	}
	if best == nil {
		return nil, failure
	}
	return named(best, anchors), nil
}

// lasting is an anchor whose validity does not count: what a caller trusts is a
// name with a key, and the rest of its certificate is no part of the path (RFC 5280
// 6.1.1 d). When to end trust is the caller's decision.
func lasting(anchor *x509.Certificate) *x509.Certificate {
	c := *understood(anchor)
	c.NotBefore, c.NotAfter = time.Time{}, time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC)
	return &c
}

// named puts the anchor that the caller gave at the end of a path.
func named(path, anchors []*x509.Certificate) []*x509.Certificate {
	last := len(path) - 1
	if i := slices.IndexFunc(anchors, path[last].Equal); i >= 0 {
		path = slices.Clone(path)
		path[last] = anchors[i]
	}
	return path
}

// findOld finds paths with certificates that were signed over SHA-1 when that was
// believed, which crypto/x509 no longer looks at. Rules that such certificates
// seldom carry are not applied: one with name constraints is left out. It also
// tells a path that breaks a rule from none.
func findOld(certificate *x509.Certificate, candidates []*x509.Certificate, o Options) ([]*x509.Certificate, error) {
	failure := ErrNoPath
	var up func(path []*x509.Certificate) []*x509.Certificate
	checks := 0
	up = func(path []*x509.Certificate) []*x509.Certificate {
		last := path[len(path)-1]
		if o.Time.Before(last.NotBefore) || o.Time.After(last.NotAfter) {
			failure = fmt.Errorf("%w: %s", ErrValidity, "an old certificate")
			return nil
		}
		for _, anchor := range o.Anchors {
			if !signed(last, anchor, o.Weak) {
				continue
			}
			if certifies(anchor) {
				return append(path, anchor)
			}
			failure = fmt.Errorf("%w: the anchor may not certify", ErrRule)
		}
		if len(path) == maxLength {
			return nil
		}
		for _, c := range candidates {
			if checks++; checks > maxChecks {
				return nil
			}
			if slices.ContainsFunc(path, c.Equal) || !signed(last, c, o.Weak) {
				continue
			}
			found := up(append(slices.Clone(path), c))
			if found != nil && intermediate(c, len(path)-1) {
				return found
			}
			if found != nil {
				failure = fmt.Errorf("%w: %q may not certify this", ErrRule, c.Subject.CommonName)
			}
		}
		return nil
	}
	path := up([]*x509.Certificate{certificate})
	switch {
	case path == nil:
		return nil, failure
	case len(certificate.UnhandledCriticalExtensions) > 0:
		return nil, fmt.Errorf("%w: %w", ErrRule, x509.UnhandledCriticalExtension{})
	}
	return path, nil
}

// maxChecks bounds the certificates that findOld looks at.
const maxChecks = 256

// signed tells whether a certificate is by the key and name of another, whatever
// that one is for.
func signed(c, issuer *x509.Certificate, weak bool) bool {
	if !bytes.Equal(c.RawIssuer, issuer.RawSubject) {
		return false
	}
	if weak {
		return cms.CheckOldCertificate(c, issuer) == nil
	}
	return cms.CheckCertificate(c, issuer) == nil
}

// certifies tells whether the key usage of an issuer lets it certify.
func certifies(issuer *x509.Certificate) bool {
	return issuer.KeyUsage == 0 || issuer.KeyUsage&x509.KeyUsageCertSign != 0
}

// intermediate tells whether a certificate may stand in a path above so many
// others that are no end entity's (RFC 5280 6.1.4).
func intermediate(c *x509.Certificate, below int) bool {
	return c.BasicConstraintsValid && c.IsCA && certifies(c) && !constrained(c) &&
		len(c.UnhandledCriticalExtensions) == 0 && (c.MaxPathLen < 0 || below <= c.MaxPathLen)
}

// constrained tells whether a certificate has name constraints of any form.
func constrained(c *x509.Certificate) bool {
	return slices.ContainsFunc(c.Extensions, func(e pkix.Extension) bool { return e.Id.Equal(oidNameConstraints()) })
}

// top returns the certificate whose issuer is missing.
func top(certificate *x509.Certificate, candidates []*x509.Certificate) *x509.Certificate {
	last := certificate
	for range maxLength {
		found := false
		for _, c := range candidates {
			if !selfIssued(last) && bytes.Equal(last.RawIssuer, c.RawSubject) {
				last, found = c, true
				break
			}
		}
		if !found {
			break
		}
	}
	return last
}

// fetchIssuer follows caIssuers (RFC 5280 4.2.2.1).
func fetchIssuer(ctx context.Context, c *x509.Certificate, client *fetch.Client) []*x509.Certificate {
	if selfIssued(c) {
		return nil
	}
	for _, address := range c.IssuingCertificateURL[:min(2, len(c.IssuingCertificateURL))] {
		raw, err := client.Get(ctx, address, fetch.MaxCertificate)
		if err != nil {
			continue
		}
		if found := parseIssuers(raw); found != nil {
			return found
		}
	}
	return nil
}

// parseIssuers reads what caIssuers leads to: DER, PEM, or certs-only CMS.
func parseIssuers(raw []byte) []*x509.Certificate {
	if block, _ := pem.Decode(raw); block != nil && block.Type == "CERTIFICATE" {
		raw = block.Bytes
	}
	if c, err := cms.ParseCertificate(raw); err == nil {
		return []*x509.Certificate{c}
	}
	message, err := cms.Parse(raw)
	if err != nil {
		return nil
	}
	var all []*x509.Certificate
	for _, der := range message.Certificates {
		if c, err := cms.ParseCertificate(der); err == nil {
			all = append(all, c)
		}
	}
	return all
}
