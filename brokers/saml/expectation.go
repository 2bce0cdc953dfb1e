package saml

import (
	"crypto/x509"
	"fmt"
	"time"
)

// Coverage says which parts of an answer carry a signature.
type Coverage struct {
	Envelope  bool `json:"envelope"` // the ArtifactResponse
	Response  bool `json:"response"`
	Assertion bool `json:"assertion"`
}

// Expectation is what a right answer looks like. It is built from the request
// that was sent and from the metadata of the identity provider that was asked,
// never from the answer.
type Expectation struct {
	// Issuer is the entity that was asked. Format, if given, must be entity.
	Issuer string
	// Certificates hold the keys that the issuer signs with. Any one will do.
	Certificates []*x509.Certificate
	// Signed are the parts that must carry a signature. Signatures on other
	// parts are verified, too.
	Signed Coverage
	// Audience is our entity identifier.
	Audience string
	// Recipient is our assertion consumer service: the Recipient of the
	// confirmation and the Destination of the response.
	Recipient string
	// DestinationOptional lets a response without Destination pass, as answers by
	// artifact have none; a present one is compared all the same.
	DestinationOptional bool
	// RequestID and RequestedAt are of the request that is being answered.
	RequestID   string
	RequestedAt time.Time
	// ResolveID is the ArtifactResolve's ID; for ValidateArtifactResponse only.
	ResolveID string
	// Vocabularies are the namespaces of XML attributes that may stand beside
	// xsi:type, such as those of the eIDAS attribute profile.
	Vocabularies []string
	// OtherIssuers are further names of the issuer, for schemes that use several.
	OtherIssuers []string
	// OtherAudiences are further names of ours.
	OtherAudiences []string
	// Decryption opens encrypted assertions and identifiers.
	Decryption Decryption
	// ForceAuthn asks that the citizen authenticated after RequestedAt.
	ForceAuthn bool
	// NameIDFormats are the formats that will do; "" is a NameID without one.
	// Empty takes any.
	NameIDFormats []string
	// Now is the time of judgement. Skew is how far clocks may differ, 0 to
	// MaxSkew.
	Now  time.Time
	Skew time.Duration
	// Limits are the budgets of the parser; the zero value is MessageLimits.
	Limits Limits
	// Lenient is the zero value for a login.
	Lenient Leniency
}

// DefaultSkew and MaxSkew bound how far the clock of an identity provider may
// be off.
const (
	DefaultSkew = 60 * time.Second
	MaxSkew     = 180 * time.Second
)

// check refuses to judge by half an expectation.
func (e *Expectation) check() error {
	missing := func(what string) error { return fmt.Errorf("%w: %s", ErrExpectation, what) }
	l := e.Lenient
	switch {
	case len(e.Certificates) == 0 || len(e.Certificates) > maxCertificates:
		return missing("trusted certificates")
	case e.Issuer == "" && !l.AnyIssuer:
		return missing("issuer")
	case e.Signed == (Coverage{}) && !l.EitherSigned:
		return missing("signed parts")
	case e.Audience == "" && !l.AnyAudience:
		return missing("audience")
	case e.Recipient == "" && !l.AnyRecipient:
		return missing("recipient")
	case (e.RequestID == "" || e.RequestedAt.IsZero()) && !l.AnyRequest:
		return missing("request")
	case e.Now.IsZero() && !l.AnyTime:
		return missing("time")
	case len(e.Decryption.Keys) > maxDecryptionKeys:
		return missing("decryption keys: too many")
	case e.Decryption.Required && len(e.Decryption.Keys) == 0:
		return missing("decryption keys")
	case e.Skew < 0 || e.Skew > MaxSkew:
		return missing("skew")
	}
	if e.Limits == (Limits{}) {
		e.Limits = MessageLimits()
	}
	return nil
}
