// Package authcert judges the certificates by which people log in without an
// identity provider in between: that of a telephone (Mobile-ID), of an app
// (Smart-ID) or of a card. It finds the path to a configured anchor, demands the
// purpose and a known policy, asks about revocation, and reads who the holder is.
// It also verifies what their keys sign.
//
// It follows RFC 5280, RFC 6960 and ETSI EN 319 412-1 and -2. Revocation is asked
// about the holder's certificate only: the authorities above it are pinned by
// configuration. Without a positive answer nobody is let in.
package authcert

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/eidbridge/eidbridge/brokers"
	"github.com/eidbridge/eidbridge/brokers/nationalid"
	"github.com/eidbridge/eidbridge/signing/certpath"
	"github.com/eidbridge/eidbridge/signing/fetch"
	"github.com/eidbridge/eidbridge/signing/revocation"
	"github.com/eidbridge/eidbridge/signing/weakkey"
)

const (
	// maxCertificate bounds a certificate in bytes of DER.
	maxCertificate = 64 << 10
	// maxIntermediates bounds what may come along with one.
	maxIntermediates = 8
	// minRSA is the least length of a modulus in bits, maxRSA the greatest:
	// Smart-ID has 6144.
	minRSA, maxRSA = 2048, 8192
)

// Reasons of refusal.
const (
	ReasonMalformed  = "certificate_malformed"
	ReasonKey        = "certificate_key"
	ReasonValidity   = "certificate_validity"
	ReasonPath       = "certificate_path"
	ReasonPurpose    = "certificate_purpose"
	ReasonPolicy     = "certificate_policy"
	ReasonRevoked    = "certificate_revoked"
	ReasonRevocation = "revocation_unknown"
	ReasonSubject    = "certificate_subject"
	ReasonSignature  = "signature_invalid"
	ReasonAlgorithm  = "signature_algorithm"
)

// Judge holds what certificates are judged by. It may be used from several
// goroutines.
type Judge struct {
	// Anchors are trusted: national roots, or the authorities that issue.
	Anchors []*x509.Certificate
	// Intermediates may be part of a path.
	Intermediates []*x509.Certificate
	// Fetch asks about revocation; default reaches public addresses.
	Fetch *fetch.Client
	// Clock is default time.Now.
	Clock func() time.Time
}

// New refuses to judge without anchors.
func New(j Judge) (*Judge, error) {
	if len(j.Anchors) == 0 {
		return nil, errors.New("certificates cannot be judged without trust anchors")
	}
	if j.Clock == nil {
		j.Clock = time.Now
	}
	if j.Fetch == nil {
		j.Fetch = fetch.New(fetch.Options{Timeout: 5 * time.Second})
	}
	return &j, nil
}

// Purpose is what a certificate must be for.
type Purpose struct {
	// Usages lists the extended key usages of which one has to be there. If
	// Optional is set, none at all will do as well.
	Usages   []string
	Optional bool
	// Refused lists policies that must not be there.
	Refused []string
}

// UsageClientAuth is id-kp-clientAuth (RFC 5280 4.2.1.12).
const UsageClientAuth = "1.3.6.1.5.5.7.3.2"

// Holder is a judged certificate.
type Holder struct {
	Certificate *x509.Certificate
	// Path goes from the certificate to the anchor.
	Path []*x509.Certificate
	// Policies are the certificate's.
	Policies []string
	// Identity is read from the subject's serialNumber.
	Identity              nationalid.Identity
	GivenName, FamilyName string
	// Qualified and Secure are the statements of a qualified certificate and of a
	// key in a QSCD (ETSI EN 319 412-5 4.2.1 and 4.2.2).
	Qualified, Secure bool
}

// Has reports whether a policy is among the holder's.
func (h *Holder) Has(policy string) bool { return slices.Contains(h.Policies, policy) }

func refuse(reason string, category brokers.Category, err error) error {
	return &brokers.RejectedError{Reason: reason, Category: category, Err: err}
}

// Parse reads a certificate and refuses keys that are too weak.
func Parse(der []byte) (*x509.Certificate, error) {
	if len(der) > maxCertificate {
		return nil, refuse(ReasonMalformed, brokers.CategoryProtocol, errors.New("certificate is too large"))
	}
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, refuse(ReasonMalformed, brokers.CategoryProtocol, errors.New("certificate cannot be read"))
	}
	switch key := certificate.PublicKey.(type) {
	case *rsa.PublicKey:
		if n := key.N.BitLen(); n >= minRSA && n <= maxRSA && key.E >= 65537 && key.E%2 == 1 && !weakkey.Guessable(key) {
			return certificate, nil
		}
	case *ecdsa.PublicKey:
		switch key.Curve {
		case elliptic.P256(), elliptic.P384(), elliptic.P521():
			return certificate, nil
		}
	}
	return nil, refuse(ReasonKey, brokers.CategoryCard, errors.New("key of the certificate is too weak or of another kind"))
}

// Check judges a certificate; intermediates may have come along with it. It does
// everything but asking about revocation.
func (j *Judge) Check(ctx context.Context, certificate *x509.Certificate, intermediates []*x509.Certificate, p Purpose) (*Holder, error) {
	now := j.Clock()
	if now.Before(certificate.NotBefore) || now.After(certificate.NotAfter) {
		return nil, refuse(ReasonValidity, brokers.CategoryCard, errors.New("certificate is outside its validity"))
	}
	if len(intermediates) > maxIntermediates {
		return nil, refuse(ReasonPath, brokers.CategoryProtocol, errors.New("too many certificates came along"))
	}
	path, err := certpath.Find(ctx, certificate, certpath.Options{
		Anchors: j.Anchors, Candidates: append(slices.Clone(j.Intermediates), intermediates...), Time: now,
	})
	switch {
	case errors.Is(err, certpath.ErrValidity):
		return nil, refuse(ReasonValidity, brokers.CategoryCard, errors.New("an authority is outside its validity"))
	case err != nil:
		return nil, refuse(ReasonPath, brokers.CategoryCard, errors.New("certificate leads to no trusted authority"))
	}
	h := &Holder{Certificate: certificate, Path: path}
	for _, id := range certificate.Policies {
		h.Policies = append(h.Policies, id.String())
	}
	if err := h.fits(p); err != nil {
		return nil, err
	}
	return h, h.read()
}

// fits checks key usage, extended key usage and policies.
func (h *Holder) fits(p Purpose) error {
	c := h.Certificate
	if c.IsCA || c.KeyUsage&x509.KeyUsageDigitalSignature == 0 {
		return refuse(ReasonPurpose, brokers.CategoryCard, errors.New("key is not for digital signatures"))
	}
	var usages []string
	for _, extension := range c.Extensions {
		if extension.Id.String() == "2.5.29.37" {
			var err error
			if usages, err = readUsages(extension.Value); err != nil {
				return refuse(ReasonMalformed, brokers.CategoryProtocol, err)
			}
		}
	}
	suits := len(usages) == 0 && (p.Optional || len(p.Usages) == 0)
	for _, usage := range usages {
		suits = suits || slices.Contains(p.Usages, usage)
	}
	if !suits {
		return refuse(ReasonPurpose, brokers.CategoryCard, errors.New("certificate is not for logging in"))
	}
	for _, policy := range h.Policies {
		if slices.Contains(p.Refused, policy) {
			return refuse(ReasonPolicy, brokers.CategoryCard, fmt.Errorf("policy %s is not accepted here", policy))
		}
	}
	return nil
}

// Revocation asks whether the certificate is still good, and refuses unless the
// answer is yes.
func (j *Judge) Revocation(ctx context.Context, h *Holder) error {
	if len(h.Path) < 2 {
		return refuse(ReasonPath, brokers.CategoryCard, errors.New("certificate is its own authority"))
	}
	if revocation.Exempt(h.Certificate) {
		return nil
	}
	collector := revocation.Collector{Fetch: j.Fetch, Clock: j.Clock}
	material, err := collector.Collect(ctx, h.Path[:2])
	if err != nil && ctx.Err() != nil {
		return refuse(ReasonRevocation, brokers.CategoryUnavailable, errors.New("nobody answered in time about revocation"))
	}
	switch finding := material.Look(h.Certificate, h.Path[1], j.Clock()); finding.State {
	case revocation.Good:
		return nil
	case revocation.Revoked, revocation.OnHold:
		return refuse(ReasonRevoked, brokers.CategoryCard, errors.New("certificate was revoked or suspended"))
	case revocation.Unknown:
	}
	return refuse(ReasonRevocation, brokers.CategoryUnavailable, errors.New("nobody answered about revocation"))
}
