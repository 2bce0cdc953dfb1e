package digid

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/eidbridge/eidbridge/brokers"
	"github.com/eidbridge/eidbridge/brokers/saml"
	"github.com/eidbridge/eidbridge/levels"
)

const (
	// backChannelTimeout is for the whole resolution of an artifact.
	backChannelTimeout = 10 * time.Second
	// metadataLifetime is how long our metadata says it is valid.
	metadataLifetime = 90 * 24 * time.Hour
)

// Upstream is one connection to DigiD. It is safe for concurrent use.
type Upstream struct {
	id          string
	provider    saml.ServiceProvider
	serviceName string
	methods     []method
	mapping     *levels.Mapping
	ceiling     levels.Level
	source      *saml.MetadataSource
	resolver    *saml.Resolver
	replay      saml.ReplayStore
	skew        time.Duration
	clock       func() time.Time
	rand        io.Reader
}

// New checks a configuration. It fetches nothing yet.
func New(c Config) (*Upstream, error) {
	c.setDefaults()
	if err := c.check(); err != nil {
		return nil, fmt.Errorf("digid: %w", err)
	}
	methods, err := methodsOf(c.Mapping, c.MaxLevel)
	if err != nil {
		return nil, fmt.Errorf("digid: %w", err)
	}
	credential := saml.Credential{Signer: c.SigningKey, Certificate: c.Certificate}
	return &Upstream{
		id: c.ID,
		provider: saml.ServiceProvider{
			EntityID:   c.EntityID,
			Consumers:  []saml.Endpoint{{Binding: saml.BindingArtifact, Location: c.ACSURL, Index: 0}},
			Credential: credential,
			Logout:     logoutServices(c),
		},
		serviceName: c.ServiceName, methods: methods, mapping: c.Mapping, ceiling: c.MaxLevel,
		source: &saml.MetadataSource{
			Document: c.Metadata, URL: c.MetadataURL, Client: c.MetadataClient,
			Trust: saml.MetadataTrust{
				Certificates: c.MetadataCertificates,
				AsGiven:      len(c.MetadataCertificates) == 0,
				Loopback:     saml.IsLoopbackURL(c.ACSURL),
			},
			EntityID: c.IdPEntityID, Clock: c.Clock,
		},
		resolver: &saml.Resolver{
			Client: backChannel(c.BackChannel), Credential: credential,
			Issuer: c.EntityID, Clock: c.Clock, Rand: c.Rand,
		},
		replay: c.Replay, skew: c.Skew, clock: c.Clock, rand: c.Rand,
	}, nil
}

func (c *Config) setDefaults() {
	if c.ID == "" {
		c.ID = "digid"
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
		c.MetadataClient = &http.Client{Timeout: backChannelTimeout, CheckRedirect: noRedirect}
	}
}

func (c *Config) check() error {
	switch {
	case c.EntityID == "":
		return errors.New("entity ID is missing")
	case !usableACS(c.ACSURL):
		return errors.New("assertion consumer service is not an https URL (http on this machine)")
	case c.LogoutURL != "" && !usableACS(c.LogoutURL), c.LogoutNoticeURL != "" && !strings.HasPrefix(c.LogoutNoticeURL, "https://"):
		return errors.New("logout address is not an https URL (http on this machine)")
	case c.SigningKey == nil || c.Certificate == nil:
		return errors.New("signing key or certificate is missing")
	case len(c.Metadata) == 0 && c.MetadataURL == "":
		return errors.New("metadata is missing: give the document or its URL")
	case len(c.Metadata) == 0 && len(c.MetadataCertificates) == 0:
		return errors.New("metadata from a URL needs a pinned certificate")
	case c.BackChannel == nil || c.BackChannel.RootCAs == nil:
		return errors.New("back channel needs the roots that the DigiD server is judged by")
	case c.BackChannel.InsecureSkipVerify:
		return errors.New("back channel must verify the DigiD server")
	case len(c.BackChannel.Certificates) == 0 && c.BackChannel.GetClientCertificate == nil:
		return errors.New("back channel needs a client certificate")
	case c.Replay == nil:
		return errors.New("replay store is missing")
	case c.Skew < 0 || c.Skew > saml.MaxSkew:
		return fmt.Errorf("clock skew is not between 0 and %s", saml.MaxSkew)
	}
	if _, ok := c.SigningKey.Public().(*rsa.PublicKey); !ok {
		return errors.New("signing key is not RSA")
	}
	return saml.Credential{Signer: c.SigningKey, Certificate: c.Certificate}.Check()
}

func usableACS(location string) bool {
	u, err := url.Parse(location)
	return err == nil && u.Host != "" && u.Fragment == "" &&
		(u.Scheme == "https" || u.Scheme == "http" && saml.IsLoopbackURL(location))
}

func backChannel(c *tls.Config) *http.Client {
	c = c.Clone()
	c.MinVersion = max(c.MinVersion, tls.VersionTLS12)
	return &http.Client{
		Timeout:       backChannelTimeout,
		CheckRedirect: noRedirect,
		Transport: &http.Transport{
			TLSClientConfig:     c,
			TLSHandshakeTimeout: backChannelTimeout,
			IdleConnTimeout:     30 * time.Second,
			MaxConnsPerHost:     64,
			ForceAttemptHTTP2:   true,
		},
	}
}

// noRedirect hands redirects back as answers, which are then refused.
func noRedirect(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }

// ID implements brokers.Upstream.
func (u *Upstream) ID() string { return u.id }

// Methods implements brokers.Upstream: the DigiD levels up to the ceiling,
// weakest first.
func (u *Upstream) Methods() []brokers.Method {
	offered := make([]brokers.Method, len(u.methods))
	for i, m := range u.methods {
		offered[i] = m.Method
	}
	return offered
}

// Metadata is our signed metadata, for DigiD to be configured with.
func (u *Upstream) Metadata() ([]byte, error) {
	p := u.provider
	p.ValidUntil = u.clock().Add(metadataLifetime)
	if end := p.Credential.Certificate.NotAfter; end.Before(p.ValidUntil) {
		p.ValidUntil = end
	}
	return p.Metadata(u.rand)
}

// Destinations lists the origins that Start sends browsers to, once metadata
// was read.
func (u *Upstream) Destinations() []string { return u.source.Current().Origins() }

// Start implements brokers.Upstream. The class asked for is the chosen method's,
// with comparison minimum: DigiD may answer with a stronger one.
func (u *Upstream) Start(ctx context.Context, r brokers.AuthenticationRequest) (*brokers.Departure, error) {
	chosen, err := u.method(r)
	if err != nil {
		return nil, err
	}
	entity, err := u.source.Entity(ctx)
	if err != nil {
		return nil, err
	}
	id, err := saml.NewID(u.rand)
	if err != nil {
		return nil, err
	}
	now := u.clock()
	request := saml.AuthnRequest{
		ID: id, IssueInstant: now, Issuer: u.provider.EntityID, ACSIndex: 0,
		ForceAuthn: r.ForceAuthn, ProviderName: u.serviceName,
		Comparison: string(levels.Minimum), ContextClasses: []string{chosen.class},
	}
	departure := &brokers.Departure{RequestID: id, RequestedAt: now, Request: r}
	if location, ok := entity.SignOn(saml.BindingRedirect); ok {
		request.Destination = location
		departure.Location, err = request.RedirectURL(u.provider.Credential, r.RelayState, u.rand)
		return departure, err
	}
	location, ok := entity.SignOn(saml.BindingPOST)
	if !ok {
		return nil, errors.New("digid: metadata has no sign-on service for redirect or post")
	}
	request.Destination, departure.Location = location, location
	departure.Form, err = request.PostForm(u.provider.Credential, r.RelayState, u.rand)
	return departure, err
}

// method finds the chosen method and sees to it that it can reach the level.
func (u *Upstream) method(r brokers.AuthenticationRequest) (method, error) {
	for _, m := range u.methods {
		if m.ID != r.Method {
			continue
		}
		if m.Level < r.Level {
			return method{}, fmt.Errorf("digid: method %s does not reach level %s", m.ID, r.Level)
		}
		return m, nil
	}
	return method{}, errors.New("digid: method is not offered")
}

// Correlate implements brokers.Upstream.
func (u *Upstream) Correlate(r *http.Request) (string, error) {
	return saml.ReadRelayState(r)
}
