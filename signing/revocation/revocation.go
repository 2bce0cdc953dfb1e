// Package revocation joins OCSP and CRL: it collects what proves that the
// certificates of a path were not revoked, and looks certificates up in such
// material, whoever collected it.
//
// Material comes from strangers. Each piece is verified against the issuer of
// the certificate it is used for, when it is used; a piece that does not verify
// is as good as absent (threats P-24).
package revocation

import (
	"bytes"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/eidbridge/eidbridge/signing/cms"
	"github.com/eidbridge/eidbridge/signing/crl"
	"github.com/eidbridge/eidbridge/signing/fetch"
	"github.com/eidbridge/eidbridge/signing/ocsp"
)

// ErrUnavailable means that nothing usable was found about a certificate.
var ErrUnavailable = errors.New("revocation information not available")

// maxPieces bounds the pieces of each kind that are looked at.
const maxPieces = 256

// Material is validation data in DER, as received.
type Material struct {
	Certificates [][]byte
	OCSPs        [][]byte
	CRLs         [][]byte
}

// Add appends the pieces of another collection that are not there yet.
func (m *Material) Add(o Material) {
	m.Certificates = union(m.Certificates, o.Certificates)
	m.OCSPs = union(m.OCSPs, o.OCSPs)
	m.CRLs = union(m.CRLs, o.CRLs)
}

func union(a, b [][]byte) [][]byte {
	for _, piece := range b {
		if len(a) < maxPieces && !slices.ContainsFunc(a, func(have []byte) bool { return bytes.Equal(have, piece) }) {
			a = append(a, piece)
		}
	}
	return a
}

// State is what is known about a certificate.
type State int

// The states.
const (
	Unknown State = iota
	Good
	Revoked
	OnHold // suspended (certificateHold)
)

// Finding is the answer about one certificate.
type Finding struct {
	State State
	// At and Reason (RFC 5280 5.3.1) are set when revoked or on hold.
	At     time.Time
	Reason int
	// ThisUpdate and NextUpdate are those of the piece that answered.
	ThisUpdate, NextUpdate time.Time
	// Source is "OCSP" or "CRL".
	Source string
	// known tells that whoever answered knows about the certificate, although it
	// had expired or was not issued yet by then.
	known bool
}

const certificateHold = 6

// skew is how far the clocks of those who made a time-stamp and an answer may be
// apart. Some ask for both at once.
const skew = 10 * time.Second

// Exempt tells whether a certificate says of itself that it is never revoked:
// noRevAvail (RFC 9608), validity-assured (EN 319 412-1 5.2), ocsp-nocheck.
func Exempt(c *x509.Certificate) bool {
	for _, e := range c.Extensions {
		switch e.Id.String() {
		case "2.5.29.56", "0.4.0.194121.2.1", "1.3.6.1.5.5.7.48.1.5":
			return true
		}
	}
	return false
}

// Look finds the newest piece that says something about a certificate at a time.
// A piece that says good speaks about the time when it was issued after it, or
// is still in force then. A revocation counts whatever the age of the piece.
func (m *Material) Look(certificate, issuer *x509.Certificate, at time.Time) Finding {
	return m.LookTrusting(certificate, issuer, at, nil)
}

// LookTrusting is Look that also takes OCSP answers of responders that the caller
// trusts for themselves, as those on a trusted list are.
func (m *Material) LookTrusting(certificate, issuer *x509.Certificate, at time.Time, responders []*x509.Certificate) Finding {
	var best Finding
	consider := func(f Finding) {
		// An expired certificate may have left lists and databases (RFC 5280 5.1.2.6,
		// RFC 6960 4.4.4): that nothing bad is said about it says nothing.
		if f.State == Good && !f.known {
			return
		}
		covers := !f.ThisUpdate.Before(at.Add(-skew)) || !f.NextUpdate.IsZero() && !f.NextUpdate.Before(at)
		if f.State == Unknown || f.State == Good && !covers {
			return
		}
		if best.State == Unknown || f.ThisUpdate.After(best.ThisUpdate) {
			best = f
		}
	}
	candidates := sync.OnceValue(m.parsed)
	for _, raw := range m.OCSPs[:min(maxPieces, len(m.OCSPs))] {
		if r, err := ocsp.ParseAmong(raw, certificate, issuer, responders, candidates); err == nil {
			consider(fromOCSP(r, certificate))
		}
	}
	for _, raw := range m.CRLs[:min(maxPieces, len(m.CRLs))] {
		l, err := crl.Parse(raw)
		if err != nil || l.Verify(certificate, issuer) != nil {
			continue
		}
		if e, err := l.Lookup(certificate.SerialNumber); err == nil {
			consider(fromCRL(l, e, certificate))
		}
	}
	return best
}

// parsed are the certificates that can be read.
func (m *Material) parsed() []*x509.Certificate {
	var all []*x509.Certificate
	for _, raw := range m.Certificates[:min(maxPieces, len(m.Certificates))] {
		if c, err := cms.ParseCertificate(raw); err == nil {
			all = append(all, c)
		}
	}
	return all
}

func fromOCSP(r *ocsp.Response, c *x509.Certificate) Finding {
	f := Finding{ThisUpdate: r.ThisUpdate, NextUpdate: r.NextUpdate, Source: "OCSP"}
	f.known = r.Positive || !r.ProducedAt.Add(skew).Before(c.NotBefore) && (!r.ThisUpdate.After(c.NotAfter) || kept(r.Kept, c))
	switch r.Status {
	case ocsp.Good:
		f.State = Good
	case ocsp.Revoked:
		f.State, f.At, f.Reason = Revoked, r.RevokedAt, r.Reason
	}
	if f.State == Revoked && f.Reason == certificateHold {
		f.State = OnHold
	}
	return f
}

// kept tells whether those who keep expired certificates since a time have kept this
// one.
func kept(since time.Time, c *x509.Certificate) bool {
	return !since.IsZero() && !since.After(c.NotAfter)
}

func fromCRL(l *crl.List, e *crl.Entry, c *x509.Certificate) Finding {
	f := Finding{State: Good, ThisUpdate: l.ThisUpdate, NextUpdate: l.NextUpdate, Source: "CRL"}
	f.known = !l.ThisUpdate.After(c.NotAfter) || kept(l.Kept, c)
	if e != nil {
		f.State, f.At, f.Reason = Revoked, e.RevokedAt, e.Reason
		if e.Reason == certificateHold {
			f.State = OnHold
		}
	}
	return f
}

// Collector asks the authorities.
type Collector struct {
	Fetch *fetch.Client
	// Clock is the time to compare answers with; nil is time.Now.
	Clock func() time.Time
}

// Collect gets material about every certificate of a path but its last, the
// anchor. OCSP is asked before CRL, because its answers are small. The error
// matches ErrUnavailable when something is missing; what was found is returned
// with it. That a certificate is revoked is no error here.
func (c *Collector) Collect(ctx context.Context, path []*x509.Certificate) (Material, error) {
	var m Material
	var failures []error
	for i, certificate := range path {
		m.Certificates = union(m.Certificates, [][]byte{certificate.Raw})
		if i == len(path)-1 || Exempt(certificate) {
			continue
		}
		found, err := c.one(ctx, certificate, path[i+1])
		m.Add(found)
		if err != nil {
			failures = append(failures, err)
		}
	}
	return m, errors.Join(failures...)
}

func (c *Collector) one(ctx context.Context, certificate, issuer *x509.Certificate) (Material, error) {
	if c.Fetch == nil {
		return Material{}, fmt.Errorf("%w: nobody may be asked", ErrUnavailable)
	}
	r, failure := (&ocsp.Client{Fetch: c.Fetch, Clock: c.Clock}).Ask(ctx, certificate, issuer)
	if failure == nil && r.Status != ocsp.Unknown {
		m := Material{OCSPs: [][]byte{r.Raw}, Certificates: [][]byte{r.Responder.Raw}}
		if r.Delegated && !r.NoCheck {
			// A responder that can be revoked itself is answered for by a list.
			if l, err := (&crl.Client{Fetch: c.Fetch, Clock: c.Clock}).Get(ctx, r.Responder, issuer); err == nil {
				m.CRLs = [][]byte{l.Raw}
			}
		}
		return m, nil
	}
	l, err := (&crl.Client{Fetch: c.Fetch, Clock: c.Clock}).Get(ctx, certificate, issuer)
	if err != nil {
		return Material{}, fmt.Errorf("%w: %w", ErrUnavailable, errors.Join(failure, err))
	}
	return Material{CRLs: [][]byte{l.Raw}}, nil
}
