package validation

import (
	"context"
	"crypto/x509"
	"fmt"
	"slices"

	"github.com/eidbridge/eidbridge/signing"
	"github.com/eidbridge/eidbridge/signing/certpath"
	"github.com/eidbridge/eidbridge/signing/revocation"
)

// Chain is a certificate whose path validation data is needed about, with
// certificates that may be part of the path.
type Chain struct {
	Certificate *x509.Certificate
	Candidates  []*x509.Certificate
}

// Collect gets paths and revocation information for all chains, as level B-LT
// demands. The error matches signing.ErrUnreached when something is missing.
func Collect(ctx context.Context, s *signing.Services, chains []Chain) (revocation.Material, error) {
	collector := &revocation.Collector{Fetch: s.Fetch, Clock: s.Clock}
	var all revocation.Material
	for _, c := range chains {
		path, err := certpath.Find(ctx, c.Certificate, certpath.Options{
			Anchors:    s.Anchors,
			Candidates: slices.Concat(c.Candidates, s.Candidates),
			Time:       s.Now(),
			Fetch:      s.Fetch,
		})
		if err != nil {
			return all, unreached(c.Certificate, err)
		}
		found, err := collector.Collect(ctx, path)
		if err != nil {
			return all, unreached(c.Certificate, err)
		}
		all.Add(found)
	}
	return all, nil
}

// unreached names a certificate without the personal number that its common name may
// repeat.
func unreached(c *x509.Certificate, err error) error {
	return fmt.Errorf("%w: validation data about %q: %w", signing.ErrUnreached, signing.NewSigner(c, false).CommonName, err)
}

// CheckRevoked asks about a certificate before its key is used, for levels that
// ask anyway (threats P-55). That nobody answers is no reason to refuse.
func CheckRevoked(ctx context.Context, s *signing.Services, cred signing.Credential) error {
	path, err := certpath.Find(ctx, cred.Certificate, certpath.Options{
		Anchors: s.Anchors, Candidates: slices.Concat(cred.Chain, s.Candidates), Time: s.Now(), Fetch: s.Fetch,
	})
	if err != nil || len(path) < 2 {
		return nil //nolint:nilerr // said later, as a level that was not reached
	}
	found, _ := (&revocation.Collector{Fetch: s.Fetch, Clock: s.Clock}).Collect(ctx, path[:2])
	switch f := found.Look(path[0], path[1], s.Now()); f.State {
	case revocation.Revoked:
		return signing.Refuse(signing.RefusedRevoked, "use another card", "the certificate was revoked on %s", f.At.Format("2006-01-02"))
	case revocation.OnHold:
		return signing.Refuse(signing.RefusedRevoked, "have the certificate activated again", "the certificate is suspended since %s", f.At.Format("2006-01-02"))
	}
	return nil
}
