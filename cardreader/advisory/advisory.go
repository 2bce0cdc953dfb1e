// Package advisory keeps keys from being used whose chips or certificates are known
// to be weak, such as by the timing of Minerva (CVE-2019-15809) or the leak of
// EUCLEAK (CVE-2024-45678). Which certificates came with such chips is told by a
// policy file of the administrator: no card says it of itself.
//
//	{"rules": [{
//	  "id": "CVE-2024-45678", "reason": "the chip leaks its key to who holds the card",
//	  "family": "EstEID 2018", "issuer": "ESTEID2018", "key": "ECDSA",
//	  "issuedFrom": "2018-12-01T00:00:00Z", "issuedBefore": "2021-09-01T00:00:00Z",
//	  "forbid": false
//	}]}
//
// Left out: keys that are weak by themselves, which cardreader refuses without any
// policy (CVE-2017-15361).
package advisory

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/x509"
	json "encoding/json/v2"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/eidbridge/eidbridge/cardreader"
)

const (
	// maxFile bounds a policy in bytes.
	maxFile = 1 << 20
	// maxRules bounds its rules.
	maxRules = 1000
)

// ErrMalformed is a policy that cannot be read.
var ErrMalformed = errors.New("malformed key policy")

// Rule is one advisory with the certificates that it is about. Empty fields fit
// all; at least one of the five says something.
type Rule struct {
	// ID is the advisory's number, Reason a sentence part for people.
	ID     string `json:"id"`
	Reason string `json:"reason"`
	// Family is that of cardreader.Info, Issuer the common name of the issuer.
	Family string `json:"family,omitzero"`
	Issuer string `json:"issuer,omitzero"`
	// Key is the algorithm: RSA or ECDSA.
	Key string `json:"key,omitzero"`
	// The certificate's validity begins in this time.
	IssuedFrom   time.Time `json:"issuedFrom,omitzero"`
	IssuedBefore time.Time `json:"issuedBefore,omitzero"`
	// Forbid keeps the key from being used; otherwise it is only warned of.
	Forbid bool `json:"forbid,omitzero"`
}

func (r Rule) check() error {
	switch {
	case r.ID == "" || r.Reason == "":
		return fmt.Errorf("%w: a rule without id or reason", ErrMalformed)
	case r.Key != "" && r.Key != "RSA" && r.Key != "ECDSA":
		return fmt.Errorf("%w: key %q is neither RSA nor ECDSA", ErrMalformed, r.Key)
	case r.Family == "" && r.Issuer == "" && r.Key == "" && r.IssuedFrom.IsZero() && r.IssuedBefore.IsZero():
		return fmt.Errorf("%w: rule %s is about every key", ErrMalformed, r.ID)
	}
	return nil
}

func (r Rule) fits(family string, c *x509.Certificate) bool {
	key := ""
	switch c.PublicKey.(type) {
	case *rsa.PublicKey:
		key = "RSA"
	case *ecdsa.PublicKey:
		key = "ECDSA"
	}
	return (r.Family == "" || r.Family == family) &&
		(r.Issuer == "" || r.Issuer == c.Issuer.CommonName) &&
		(r.Key == "" || r.Key == key) &&
		(r.IssuedFrom.IsZero() || !c.NotBefore.Before(r.IssuedFrom)) &&
		(r.IssuedBefore.IsZero() || c.NotBefore.Before(r.IssuedBefore))
}

// Policy is the advisories that are minded. The zero value minds none.
type Policy struct {
	Rules []Rule `json:"rules"`
}

// Parse reads a policy file. Anything that it does not know is an error: a rule
// that is misspelt would protect nobody.
func Parse(r io.Reader) (Policy, error) {
	var p Policy
	content, err := io.ReadAll(io.LimitReader(r, maxFile+1))
	if err != nil {
		return Policy{}, err
	}
	if len(content) > maxFile {
		return Policy{}, fmt.Errorf("%w: more than %d bytes", ErrMalformed, maxFile)
	}
	if err := json.Unmarshal(content, &p, json.RejectUnknownMembers(true)); err != nil {
		return Policy{}, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	if len(p.Rules) > maxRules {
		return Policy{}, fmt.Errorf("%w: %d rules", ErrMalformed, len(p.Rules))
	}
	for _, rule := range p.Rules {
		if err := rule.check(); err != nil {
			return Policy{}, err
		}
	}
	return p, nil
}

// About are the advisories about one certificate of a card.
func (p Policy) About(family string, c *x509.Certificate) []Rule {
	var rules []Rule
	for _, rule := range p.Rules {
		if rule.fits(family, c) {
			rules = append(rules, rule)
		}
	}
	return rules
}

// ForbiddenError is a key that the policy keeps from being used. The card saw no
// PIN.
type ForbiddenError struct {
	Rule Rule
}

func (e *ForbiddenError) Error() string {
	return fmt.Sprintf("key is not used because of %s: %s", e.Rule.ID, e.Rule.Reason)
}

// Source is s with the forbidden keys refusing to sign. They are listed and found
// all the same, so that their holder learns why.
func (p Policy) Source(s cardreader.Source) cardreader.Source {
	if len(p.Rules) == 0 {
		return s
	}
	guarded := guarded{Source: s, policy: p}
	if named, ok := s.(namer); ok {
		return namedGuarded{guarded, named}
	}
	return guarded
}

type guarded struct {
	cardreader.Source
	policy Policy
}

// namer is a source that knows its readers' names without opening a card.
type namer interface {
	Readers(ctx context.Context) ([]cardreader.Reader, error)
}

type namedGuarded struct {
	guarded
	namer
}

// Signer implements cardreader.Source.
func (g guarded) Signer(ctx context.Context, f *cardreader.Found, src cardreader.PINSource) crypto.Signer {
	signer := g.Source.Signer(ctx, f, src)
	for _, rule := range g.policy.About(f.Inserted.Info.Family, f.Credential.Certificate) {
		if rule.Forbid {
			return forbidden{signer, rule}
		}
	}
	return signer
}

// forbidden has the key's public half alone.
type forbidden struct {
	crypto.Signer
	rule Rule
}

func (f forbidden) Sign(io.Reader, []byte, crypto.SignerOpts) ([]byte, error) {
	return nil, &ForbiddenError{f.rule}
}
