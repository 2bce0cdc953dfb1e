package digid

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"time"

	"github.com/beevik/etree"

	"github.com/eidbridge/eidbridge/brokers"
	"github.com/eidbridge/eidbridge/brokers/saml"
	"github.com/eidbridge/eidbridge/levels"
)

// routedScheme is the name of DigiD 4.x in the mapping.
const routedScheme = "digid4"

// Names of the eID SAML profile 4.4.
const (
	eidPrefix          = "urn:nl-eid-gdi:1.0:"
	attributeAudience  = eidPrefix + "IntendedAudience"
	attributeService   = eidPrefix + "ServiceUUID"
	attributeActing    = eidPrefix + "ActingSubjectID"
	attributeLegal     = eidPrefix + "LegalSubjectID"
	attributeKind      = "urn:nl-eid-gdi:1.1:RepresentationType"
	qualifierBSN       = eidPrefix + "id:legacy-BSN"
	qualifierPseudonym = eidPrefix + "id:Pseudonym"
	consentUnspecified = "urn:oasis:names:tc:SAML:2.0:consent:unspecified"
	formatTransient    = "urn:oasis:names:tc:SAML:2.0:nameid-format:transient"
)

// Service is an entry of the service catalogue: with it the level is agreed, so
// a request names a service instead of a level.
type Service struct {
	// Method is the ID of the method that asks for this service, such as
	// "digid4-substantieel".
	Method string
	// UUID names the service; answers have to be for it.
	UUID string
	// Index, if not nil, names it in requests by AttributeConsumingServiceIndex of
	// our metadata instead of by UUID.
	Index *int
	// Level is what the catalogue demands.
	Level levels.Level
	// Name is shown on the button, by language tag.
	Name map[string]string
}

// RoutedConfig is a connection to DigiD by way of a routing service, as eID SAML
// 4.4 and 4.5 and ST-SAML 1.0 describe it. Fields without a default are required.
type RoutedConfig struct {
	// ID names the upstream; default "digid4".
	ID string
	// EntityID is "urn:nl-eid-gdi:1.0:DV:<OIN>:entities:<nnnn>".
	EntityID string
	// ACSURL is the assertion consumer service, index 0 of our metadata.
	ACSURL string
	// LogoutURL receives the browser after a logout; empty is none.
	LogoutURL string
	// SigningKey is RSA of 2048 bits or more; its public half is in Certificate.
	SigningKey  crypto.Signer
	Certificate *x509.Certificate
	// DecryptionKeys open identifiers, the one in force first.
	DecryptionKeys []saml.DecryptionKey
	// Services are what can be asked for; each is a method.
	Services []Service
	// Preselect names an authentication service, by entity ID; optional.
	Preselect string
	// Representation accepts logins in which somebody acts for another. Set it
	// only if every client honours Subject.Represents.
	Representation bool

	// The rest is as in Config.
	IdPEntityID          string
	Metadata             []byte
	MetadataURL          string
	MetadataCertificates []*x509.Certificate
	MetadataClient       *http.Client
	BackChannel          *tls.Config
	Mapping              *levels.Mapping
	MaxLevel             levels.Level
	Replay               saml.ReplayStore
	Skew                 time.Duration
	Clock                func() time.Time
	Rand                 io.Reader
}

// Routed is a connection to the routing service. It is safe for concurrent use.
type Routed struct {
	// Upstream has what both generations share: metadata, back channel, clock.
	*Upstream
	services       []Service
	preselect      string
	decryption     saml.Decryption
	representation bool
}

// NewRouted checks a configuration. It fetches nothing yet.
func NewRouted(c RoutedConfig) (*Routed, error) {
	if c.ID == "" {
		c.ID = routedScheme
	}
	if c.Mapping == nil {
		c.Mapping = levels.Default()
	}
	if c.Rand == nil {
		c.Rand = rand.Reader
	}
	shared, err := New(Config{
		ID: c.ID, EntityID: c.EntityID, ACSURL: c.ACSURL, LogoutURL: c.LogoutURL, SigningKey: c.SigningKey, Certificate: c.Certificate,
		IdPEntityID: c.IdPEntityID, Metadata: c.Metadata, MetadataURL: c.MetadataURL,
		MetadataCertificates: c.MetadataCertificates, MetadataClient: c.MetadataClient, BackChannel: c.BackChannel,
		Mapping: c.Mapping, MaxLevel: c.MaxLevel, Replay: c.Replay, Skew: c.Skew, Clock: c.Clock, Rand: c.Rand,
	})
	if err != nil {
		return nil, err
	}
	if len(c.DecryptionKeys) == 0 {
		return nil, errors.New("digid4: decryption key is missing: identifiers come encrypted")
	}
	if len(c.Services) == 0 {
		return nil, errors.New("digid4: no service to ask for")
	}
	u := &Routed{
		Upstream: shared, preselect: c.Preselect, representation: c.Representation,
		// AES-CBC is what the profile prescribes; identifiers are inside of signed
		// assertions.
		decryption: saml.Decryption{Keys: c.DecryptionKeys, Recipient: c.EntityID, CBC: true},
	}
	for i, s := range c.Services {
		if s.Method == "" || s.UUID == "" || s.Level <= levels.None || s.Name["en"] == "" ||
			slices.ContainsFunc(c.Services[:i], func(other Service) bool { return other.Method == s.Method }) {
			return nil, errors.New("digid4: service without method, UUID, level or English name, or listed twice")
		}
		if c.MaxLevel == levels.None || s.Level <= c.MaxLevel {
			u.services = append(u.services, s)
		}
	}
	if len(u.services) == 0 {
		return nil, fmt.Errorf("digid4: no service is within level %s", c.MaxLevel)
	}
	for _, s := range u.services {
		if s.Index != nil {
			u.provider.Services = append(u.provider.Services, saml.RequestedService{Index: *s.Index, Name: s.Name, Attribute: attributeService, Value: s.UUID})
		}
	}
	// Logouts of this generation go by form alone.
	for i := range u.provider.Logout {
		u.provider.Logout[i].Binding = saml.BindingPOST
	}
	slices.SortStableFunc(u.services, func(a, b Service) int { return int(a.Level - b.Level) })
	u.provider.Credential.KeyNameOnly = true
	u.resolver.Credential.KeyNameOnly = true
	for _, key := range c.DecryptionKeys {
		u.provider.Encryption = append(u.provider.Encryption, key.Certificate)
	}
	return u, nil
}

// Methods implements brokers.Upstream: a method for each service, weakest first.
func (u *Routed) Methods() []brokers.Method {
	var offered []brokers.Method
	for _, s := range u.services {
		offered = append(offered, brokers.Method{ID: s.Method, Level: s.Level, Name: s.Name})
	}
	return offered
}

// Start implements brokers.Upstream.
func (u *Routed) Start(ctx context.Context, r brokers.AuthenticationRequest) (*brokers.Departure, error) {
	service, err := u.service(r)
	if err != nil {
		return nil, err
	}
	entity, err := u.source.Entity(ctx)
	if err != nil {
		return nil, err
	}
	location, ok := entity.SignOn(saml.BindingPOST)
	if !ok {
		return nil, errors.New("digid4: metadata has no sign-on service for post")
	}
	id, err := saml.NewID(u.rand)
	if err != nil {
		return nil, err
	}
	now := u.clock()
	request := saml.AuthnRequest{
		ID: id, IssueInstant: now, Destination: location, Issuer: u.provider.EntityID, ACSIndex: 0,
		ForceAuthn: r.ForceAuthn, Consent: consentUnspecified, ServiceIndex: service.Index,
	}
	if service.Index == nil {
		request.Extensions = []*etree.Element{
			extension(attributeAudience, u.provider.EntityID), extension(attributeService, service.UUID),
		}
	}
	if u.preselect != "" {
		request.IDPs = []string{u.preselect}
	}
	departure := &brokers.Departure{Location: location, RequestID: id, RequestedAt: now, Request: r}
	departure.Form, err = request.PostForm(u.provider.Credential, r.RelayState, u.rand)
	return departure, err
}

func extension(name, value string) *etree.Element {
	a := etree.NewElement("saml:Attribute")
	a.CreateAttr("Name", name)
	a.CreateElement("saml:AttributeValue").SetText(value)
	return a
}

// service finds the service of the chosen method and sees to it that it reaches
// the level.
func (u *Routed) service(r brokers.AuthenticationRequest) (Service, error) {
	for _, s := range u.services {
		if s.Method != r.Method {
			continue
		}
		if s.Level < r.Level {
			return Service{}, fmt.Errorf("digid4: method %s does not reach level %s", s.Method, r.Level)
		}
		return s, nil
	}
	return Service{}, errors.New("digid4: method is not offered")
}
