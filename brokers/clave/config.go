package clave

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/url"
	"strings"
	"time"

	"github.com/eidbridge/eidbridge/brokers/saml"
	"github.com/eidbridge/eidbridge/levels"
)

// Config is a connection to the Cl@ve gateway. Fields without a default are
// required.
type Config struct {
	// ID names the upstream in configuration and in callback paths;
	// default "clave".
	ID string
	// ProviderName is "<organisation code>;<application code>", as registered. The
	// gateway shows the citizen the organisation's name by it and finds our
	// certificate by it. Its first half names us in logouts.
	ProviderName string
	// ACSURL is where the gateway posts answers.
	ACSURL string
	// Issuer is our name in requests; default ACSURL, as in the kits.
	Issuer string
	// Audiences are the names under which answers are meant for us: which one the
	// gateway uses depends on the registration. Default Issuer.
	Audiences []string
	// LogoutURL is where the browser comes back to after a logout. Without it
	// there is none.
	LogoutURL string

	// SigningKey signs requests; its public half is in Certificate, which is
	// registered. RSA of 2048 bits or more.
	SigningKey  crypto.Signer
	Certificate *x509.Certificate
	// Hash is of signatures and digests; default SHA-512, as in the kits. SHA-256
	// is the other one that the gateway takes.
	Hash crypto.Hash

	// GatewayURL takes login and logout requests, such as
	// "https://pasarela.clave.gob.es/Proxy2/ServiceProvider".
	GatewayURL string
	// GatewayID is the Issuer of answers; default is the origin of GatewayURL.
	GatewayID string
	// GatewayAliases are further names of the gateway; "Cl@ve" and GatewayURL are
	// known to occur in logouts and need not be listed.
	GatewayAliases []string
	// GatewayCertificates hold the keys that the gateway signs with.
	GatewayCertificates []TrustedCertificate
	// DecryptionKeys open encrypted assertions, where the gateway sends such.
	DecryptionKeys []saml.DecryptionKey
	// SignedAssertions demands a signature of the assertion's own beside that of
	// the response, which is always demanded.
	SignedAssertions bool

	// Representatives accepts certificates with which a person acts for an
	// organisation. Set it only if every client honours Subject.Represents.
	Representatives bool

	// Private is for service providers that are no public body: SPType "private".
	Private bool
	// WithoutSPType leaves SPType out, as the kit of 2025 does.
	WithoutSPType bool
	// PersistentNameID asks for a persistent NameID instead of an unspecified one.
	// The kits differ; nothing depends on it.
	PersistentNameID bool

	// Methods are the methods offered, by ID; default all of them but
	// "clave-pin", which the gateway has retired.
	Methods []string
	// Selector offers one method, "clave", instead: the citizen chooses at the
	// gateway, among what is not in DisabledIdPs.
	Selector bool
	// DisabledIdPs are switched off in every request.
	DisabledIdPs []IdP
	// SelectedIdPs says which identity provider a SelectedIdP attribute means, in
	// addition to the values that are published.
	SelectedIdPs map[string]IdP

	// Mapping translates class references; default levels.Default().
	Mapping *levels.Mapping
	// MaxLevel is the operator's ceiling; the zero value is no ceiling.
	MaxLevel levels.Level

	// Replay remembers assertions. Required.
	Replay saml.ReplayStore
	// Skew is how far the gateway's clock may be off; default 60 s, at most 180 s.
	Skew time.Duration
	// Clock and Rand default to time.Now and crypto/rand.
	Clock func() time.Time
	Rand  io.Reader
}

// TrustedCertificate is a certificate of the gateway, which changes its keys
// without metadata. Zero times are no bound.
type TrustedCertificate struct {
	Certificate *x509.Certificate
	// From is when it begins to count, Until when it ceases to.
	From, Until time.Time
}

// gatewayAlias is the Issuer of logout answers that integrators meet.
const gatewayAlias = "Cl@ve"

func (c *Config) setDefaults() {
	if c.ID == "" {
		c.ID = "clave"
	}
	if c.Issuer == "" {
		c.Issuer = c.ACSURL
	}
	if len(c.Audiences) == 0 {
		c.Audiences = []string{c.Issuer}
	}
	if c.Hash == 0 {
		c.Hash = crypto.SHA512
	}
	if gateway, err := url.Parse(c.GatewayURL); err == nil && c.GatewayID == "" {
		c.GatewayID = gateway.Scheme + "://" + gateway.Host
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
}

func (c *Config) check() error {
	organisation, application, found := strings.Cut(c.ProviderName, ";")
	switch {
	case !found || organisation == "" || application == "" || strings.Contains(application, ";"):
		return errors.New(`provider name is not "<organisation code>;<application code>"`)
	case !usable(c.ACSURL):
		return errors.New("assertion consumer service is not an https URL (http on this machine)")
	case !usable(c.GatewayURL):
		return errors.New("gateway is not an https URL (http on this machine)")
	case saml.IsLoopbackURL(c.GatewayURL) && !saml.IsLoopbackURL(c.ACSURL):
		return errors.New("gateway is on this machine and we are not")
	case c.LogoutURL != "" && !usable(c.LogoutURL):
		return errors.New("logout return address is not an https URL (http on this machine)")
	case c.SigningKey == nil || c.Certificate == nil:
		return errors.New("signing key or certificate is missing")
	case len(c.GatewayCertificates) == 0:
		return errors.New("certificates of the gateway are missing")
	case c.Private && c.WithoutSPType:
		return errors.New("a private service provider has to say so")
	case c.Replay == nil:
		return errors.New("replay store is missing")
	case c.Skew < 0 || c.Skew > saml.MaxSkew:
		return fmt.Errorf("clock skew is not between 0 and %s", saml.MaxSkew)
	}
	for _, t := range c.GatewayCertificates {
		if t.Certificate == nil {
			return errors.New("certificate of the gateway is missing")
		}
	}
	for _, disabled := range c.DisabledIdPs {
		if !disabled.known() {
			return errors.New("identity provider to switch off is not known")
		}
	}
	for _, idp := range c.SelectedIdPs {
		if !idp.known() {
			return errors.New("selected identity provider is mapped to one that is not known")
		}
	}
	if _, ok := c.SigningKey.Public().(*rsa.PublicKey); !ok {
		return errors.New("signing key is not RSA")
	}
	return c.credential().Check()
}

func (c *Config) credential() saml.Credential {
	return saml.Credential{Signer: c.SigningKey, Certificate: c.Certificate, Hash: c.Hash, CertificateOnly: true}
}

func usable(location string) bool {
	u, err := url.Parse(location)
	return err == nil && u.Host != "" && u.Fragment == "" && u.User == nil &&
		(u.Scheme == "https" || u.Scheme == "http" && saml.IsLoopbackURL(location))
}
