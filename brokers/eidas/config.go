package eidas

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/eidbridge/eidbridge/brokers/saml"
	"github.com/eidbridge/eidbridge/levels"
)

const (
	fetchTimeout = 10 * time.Second
	// minSigningBits follows the eIDAS cryptographic requirements 1.4, which
	// recommend 3072; shorter keys are not forbidden yet.
	minSigningBits = 2048
	maxRequesterID = 1024
)

// Config is a connection to an eIDAS node. Fields without a default are required.
type Config struct {
	// ID names the upstream in configuration and in callback paths;
	// default "eidas".
	ID string
	// EntityID is our name, the URL of our metadata.
	EntityID string
	// ACSURL is where the node posts answers.
	ACSURL string
	// ProviderName is shown to the citizen; optional.
	ProviderName string
	// Country is ours, ISO 3166-1 alpha-2 in capitals: identifiers have to be
	// meant for it.
	Country string

	// SigningKey signs requests and metadata: RSA of 2048 bits or more, or ECDSA
	// on P-256, P-384 or P-521. Its public half is in Certificate.
	SigningKey  crypto.Signer
	Certificate *x509.Certificate
	// Hash is of signatures; default SHA-256, or what fits the curve.
	Hash crypto.Hash
	// PKCS1 signs with RSA PKCS #1 v1.5 instead of RSA-PSS, for nodes of before 1.4.
	PKCS1 bool
	// DecryptionKeys open assertions, the one in force first.
	DecryptionKeys []saml.DecryptionKey

	// NodeID is the entity that answers. Empty takes the one of the metadata.
	NodeID string
	// Metadata is the node's metadata, trusted as it is; or MetadataURL is
	// fetched, and one of MetadataCertificates must have signed it.
	Metadata             []byte
	MetadataURL          string
	MetadataCertificates []*x509.Certificate
	// MetadataDelay is how long other signing keys wait before they count.
	MetadataDelay time.Duration
	// MetadataClient default is a client that takes 10 s and follows no redirects.
	MetadataClient *http.Client

	// Private is for service providers that are no public body: SPType "private".
	// RequesterID names such a one to nodes that ask for it, at most 1024 bytes.
	Private     bool
	RequesterID string
	// TypeInMetadata puts SPType into our metadata instead of into requests.
	TypeInMetadata bool
	// NameIDFormat is what to ask for; default persistent.
	NameIDFormat NameIDFormat
	// Optional are further attributes of a natural person to ask for, by their
	// short names, such as "PlaceOfBirth".
	Optional []string
	// Legal asks for the data set of a legal person beside that of its natural
	// person. Such answers have a Subject.Represents: set it only if every client
	// honours that.
	Legal bool
	// Representatives accepts answers in which a representative acts for another.
	// As with Legal, every client has to honour Subject.Represents.
	Representatives bool
	// NonNotified lists the levels of schemes that are not notified, as URIs that
	// Mapping knows. They are asked for beside the notified levels, and alone if
	// OnlyNonNotified is set.
	NonNotified     []string
	OnlyNonNotified bool

	// CountryField is the form field that tells the connector the citizen's
	// country; default "country".
	CountryField string
	// Countries are offered as a method each, ISO 3166-1 alpha-2 in capitals.
	// Without them there is one method, and the connector asks.
	Countries []string

	// Mapping translates class references; default levels.Default().
	Mapping *levels.Mapping
	// MaxLevel is the operator's ceiling; the zero value is no ceiling.
	MaxLevel levels.Level

	// Replay remembers assertions. Required.
	Replay saml.ReplayStore
	// Skew is how far the node's clock may be off; default 60 s, at most 180 s.
	Skew time.Duration
	// Clock and Rand default to time.Now and crypto/rand.
	Clock func() time.Time
	Rand  io.Reader
}

// NameIDFormat is a kind of identifier to ask for.
type NameIDFormat string

// The formats of the message format, section 2.3.
const (
	Persistent  NameIDFormat = "urn:oasis:names:tc:SAML:2.0:nameid-format:persistent"
	Transient   NameIDFormat = "urn:oasis:names:tc:SAML:2.0:nameid-format:transient"
	Unspecified NameIDFormat = "urn:oasis:names:tc:SAML:1.1:nameid-format:unspecified"
)

func (c *Config) setDefaults() {
	if c.ID == "" {
		c.ID = "eidas"
	}
	if c.NameIDFormat == "" {
		c.NameIDFormat = Persistent
	}
	if c.CountryField == "" {
		c.CountryField = "country"
	}
	if c.Mapping == nil {
		c.Mapping = levels.Default()
	}
	if c.Skew == 0 {
		c.Skew = saml.DefaultSkew
	}
	if c.Clock == nil {
		c.Clock = time.Now
	}
	if c.Rand == nil {
		c.Rand = rand.Reader
	}
	if c.MetadataClient == nil {
		c.MetadataClient = &http.Client{Timeout: fetchTimeout, CheckRedirect: noRedirect}
	}
}

// noRedirect hands redirects back as answers, which are then refused.
func noRedirect(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }

func (c *Config) check() error {
	switch {
	case c.EntityID == "":
		return errors.New("entity ID is missing")
	case !usable(c.ACSURL):
		return errors.New("assertion consumer service is not an https URL (http on this machine)")
	case !isCountry(c.Country):
		return errors.New("country is not two capital letters")
	case c.SigningKey == nil || c.Certificate == nil:
		return errors.New("signing key or certificate is missing")
	case len(c.DecryptionKeys) == 0:
		return errors.New("decryption key is missing: nodes encrypt assertions")
	case len(c.Metadata) == 0 && c.MetadataURL == "":
		return errors.New("metadata is missing: give the document or its URL")
	case len(c.Metadata) == 0 && len(c.MetadataCertificates) == 0:
		return errors.New("metadata from a URL needs a pinned certificate")
	case c.NameIDFormat != Persistent && c.NameIDFormat != Transient && c.NameIDFormat != Unspecified:
		return errors.New("NameID format is not one of the profile")
	case len(c.RequesterID) > maxRequesterID || c.RequesterID != "" && !c.Private:
		return errors.New("requester ID is for private service providers and has at most 1024 bytes")
	case c.OnlyNonNotified && len(c.NonNotified) == 0:
		return errors.New("there is no non-notified level to ask for")
	case c.Replay == nil:
		return errors.New("replay store is missing")
	case c.Skew < 0 || c.Skew > saml.MaxSkew:
		return fmt.Errorf("clock skew is not between 0 and %s", saml.MaxSkew)
	}
	for _, country := range c.Countries {
		if !isCountry(country) {
			return errors.New("country to offer is not two capital letters")
		}
	}
	for _, name := range c.Optional {
		if !isOptional(name) {
			return fmt.Errorf("there is no optional attribute %q", name)
		}
	}
	for _, uri := range c.NonNotified {
		if reserved(uri) {
			// The reference node refuses them, in any case of letters.
			return errors.New("non-notified level begins like a notified one")
		}
		if _, err := c.Mapping.Assess(scheme, uri); err != nil {
			return errors.New("non-notified level is not in the mapping")
		}
	}
	if key, ok := c.SigningKey.Public().(*rsa.PublicKey); ok && key.N.BitLen() < minSigningBits {
		return errors.New("signing key is too short")
	}
	return c.credential().Check()
}

func (c *Config) credential() saml.Credential {
	_, isRSA := c.SigningKey.Public().(*rsa.PublicKey)
	return saml.Credential{
		Signer: c.SigningKey, Certificate: c.Certificate, Hash: c.Hash,
		PSS: isRSA && !c.PKCS1, CertificateOnly: true,
	}
}

func usable(location string) bool {
	u, err := url.Parse(location)
	return err == nil && u.Host != "" && u.Fragment == "" && u.User == nil &&
		(u.Scheme == "https" || u.Scheme == "http" && saml.IsLoopbackURL(location))
}

// reserved says whether a URI begins like those of notified levels, compared as
// the reference node does.
func reserved(uri string) bool {
	return len(uri) >= len(notifiedPrefix) && strings.EqualFold(uri[:len(notifiedPrefix)], notifiedPrefix)
}

func isCountry(s string) bool {
	return len(s) == 2 && s[0] >= 'A' && s[0] <= 'Z' && s[1] >= 'A' && s[1] <= 'Z'
}
