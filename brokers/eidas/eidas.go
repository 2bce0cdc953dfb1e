package eidas

import (
	"cmp"
	"context"
	"crypto/x509"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/beevik/etree"

	"github.com/eidbridge/eidbridge/brokers"
	"github.com/eidbridge/eidbridge/brokers/saml"
	"github.com/eidbridge/eidbridge/levels"
)

// metadataLifetime is how long our metadata says it is valid.
const metadataLifetime = 30 * 24 * time.Hour

//go:embed methods.json
var methodNames []byte

//go:embed countries.json
var countryNames []byte // of the European Economic Area

// Upstream is one connection to a node. It is safe for concurrent use.
type Upstream struct {
	config     Config
	methods    []brokers.Method
	credential saml.Credential
	source     *saml.MetadataSource
}

// New checks a configuration. It fetches nothing yet.
func New(c Config) (*Upstream, error) {
	c.setDefaults()
	if err := c.check(); err != nil {
		return nil, fmt.Errorf("eidas: %w", err)
	}
	methods, err := methodsOf(&c)
	if err != nil {
		return nil, fmt.Errorf("eidas: %w", err)
	}
	return &Upstream{
		config: c, methods: methods, credential: c.credential(),
		source: &saml.MetadataSource{
			Document: c.Metadata, URL: c.MetadataURL, Client: c.MetadataClient,
			Trust: saml.MetadataTrust{
				Certificates: c.MetadataCertificates,
				AsGiven:      len(c.MetadataCertificates) == 0,
				Loopback:     saml.IsLoopbackURL(c.ACSURL),
			},
			EntityID: c.NodeID, Delay: c.MetadataDelay, Clock: c.Clock,
		},
	}, nil
}

// methodsOf makes one method, or one for each country: "eidas-ee".
func methodsOf(c *Config) ([]brokers.Method, error) {
	var names map[string]string
	if err := json.Unmarshal(methodNames, &names); err != nil {
		return nil, fmt.Errorf("names of methods: %w", err)
	}
	most := levels.High
	if c.MaxLevel != levels.None {
		most = min(most, c.MaxLevel)
	}
	if len(c.Countries) == 0 {
		return []brokers.Method{{ID: c.ID, Level: most, Name: names}}, nil
	}
	var countries map[string]map[string]string
	if err := json.Unmarshal(countryNames, &countries); err != nil {
		return nil, fmt.Errorf("names of countries: %w", err)
	}
	var offered []brokers.Method
	for _, country := range c.Countries {
		named := make(map[string]string, len(names))
		for tag, name := range names {
			// One that is not of the European Economic Area is called by its code.
			named[tag] = name + " – " + cmp.Or(countries[country][tag], country)
		}
		offered = append(offered, brokers.Method{ID: c.ID + "-" + strings.ToLower(country), Level: most, Name: named})
	}
	return offered, nil
}

// ID implements brokers.Upstream.
func (u *Upstream) ID() string { return u.config.ID }

// Methods implements brokers.Upstream.
func (u *Upstream) Methods() []brokers.Method { return slices.Clone(u.methods) }

// Status tells the state of the node's metadata, with what ends soon.
func (u *Upstream) Status() saml.MetadataStatus {
	status := u.source.Status()
	own := []*x509.Certificate{u.config.Certificate}
	for _, key := range u.config.DecryptionKeys {
		own = append(own, key.Certificate)
	}
	status.Alerts = append(status.Alerts, saml.CertificateAlerts(u.config.Clock(), own...)...)
	return status
}

// Metadata implements brokers.Describer.
func (u *Upstream) Metadata() ([]byte, error) {
	p := saml.ServiceProvider{
		EntityID:      u.config.EntityID,
		Consumers:     []saml.Endpoint{{Binding: saml.BindingPOST, Location: u.config.ACSURL, Index: 0}},
		Credential:    u.credential,
		NameIDFormats: []string{string(Persistent), string(Transient), string(Unspecified)},
		ValidUntil:    u.config.Clock().Add(metadataLifetime),
	}
	for _, key := range u.config.DecryptionKeys {
		p.Encryption = append(p.Encryption, key.Certificate)
	}
	if u.config.TypeInMetadata {
		p.Extensions = []*etree.Element{serviceType(u.config.Private)}
	}
	if end := u.config.Certificate.NotAfter; end.Before(p.ValidUntil) {
		p.ValidUntil = end
	}
	return p.Metadata(u.config.Rand)
}

// Destinations implements brokers.Destined, once metadata was read.
func (u *Upstream) Destinations() []string { return u.source.Current().Origins() }

// Start implements brokers.Upstream. The profile demands a new authentication,
// whatever the request says.
func (u *Upstream) Start(ctx context.Context, r brokers.AuthenticationRequest) (*brokers.Departure, error) {
	country, err := u.method(r)
	if err != nil {
		return nil, err
	}
	comparison, classes, err := u.classes(r.Level)
	if err != nil {
		return nil, err
	}
	entity, err := u.source.Entity(ctx)
	if err != nil {
		return nil, err
	}
	id, err := saml.NewID(u.config.Rand)
	if err != nil {
		return nil, err
	}
	now := u.config.Clock()
	request := saml.AuthnRequest{
		ID: id, IssueInstant: now, Issuer: u.config.EntityID, IssuerFormat: formatEntity,
		ACSURL: u.config.ACSURL, ForceAuthn: true, NotPassive: true, Consent: consent,
		ProviderName: u.config.ProviderName, NameIDFormat: string(u.config.NameIDFormat), AllowCreate: true,
		Comparison: string(comparison), ContextClasses: classes,
		Extensions: u.extensions(),
	}
	if u.config.RequesterID != "" {
		request.RequesterIDs = []string{u.config.RequesterID}
	}
	departure := &brokers.Departure{RequestID: id, RequestedAt: now, Request: r}
	if location, ok := entity.SignOn(saml.BindingPOST); ok {
		request.Destination, departure.Location = location, location
		if departure.Form, err = request.PostForm(u.credential, r.RelayState, u.config.Rand); err != nil {
			return nil, err
		}
		if country != "" {
			departure.Form[u.config.CountryField] = country
		}
		return departure, nil
	}
	location, ok := entity.SignOn(saml.BindingRedirect)
	if !ok || country != "" {
		return nil, errors.New("eidas: metadata has no sign-on service that fits")
	}
	request.Destination = location
	departure.Location, err = request.RedirectURL(u.credential, r.RelayState, u.config.Rand)
	return departure, err
}

func (u *Upstream) extensions() []*etree.Element {
	var list []*etree.Element
	if !u.config.TypeInMetadata {
		list = append(list, serviceType(u.config.Private))
	}
	return append(list, u.requestedAttributes())
}

// classes are what a request asks for (message format 1.2, section 2.6.3): a
// notified level as a minimum; schemes that are not notified by name, beside the
// notified levels from the one needed upwards.
func (u *Upstream) classes(least levels.Level) (levels.Comparison, []string, error) {
	class, _, err := u.config.Mapping.Class(scheme, max(least, levels.Low))
	if err != nil {
		return "", nil, fmt.Errorf("eidas: %w", err)
	}
	if len(u.config.NonNotified) == 0 {
		return levels.Minimum, []string{class}, nil
	}
	var listed []string
	for _, uri := range u.config.NonNotified {
		// New has seen to it that the mapping knows it.
		if a, err := u.config.Mapping.Assess(scheme, uri); err == nil && a.Level >= max(least, levels.Low) {
			listed = append(listed, uri)
		}
	}
	if !u.config.OnlyNonNotified {
		for _, l := range []levels.Level{levels.Low, levels.Substantial, levels.High} {
			if l >= least {
				listed = append(listed, l.URI())
			}
		}
	}
	if len(listed) == 0 {
		return "", nil, fmt.Errorf("eidas: %w", levels.ErrNoClass)
	}
	return levels.Exact, listed, nil
}

// method finds the chosen method and its country, "" if the connector asks.
func (u *Upstream) method(r brokers.AuthenticationRequest) (country string, err error) {
	for i, m := range u.methods {
		if m.ID != r.Method {
			continue
		}
		if m.Level < r.Level {
			return "", fmt.Errorf("eidas: method %s does not reach level %s", m.ID, r.Level)
		}
		if len(u.config.Countries) == 0 {
			return "", nil
		}
		return u.config.Countries[i], nil
	}
	return "", errors.New("eidas: method is not offered")
}

// Correlate implements brokers.Upstream.
func (u *Upstream) Correlate(r *http.Request) (string, error) {
	return saml.ReadPostedRelayState(r)
}
