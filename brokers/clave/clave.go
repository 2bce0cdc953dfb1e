package clave

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/beevik/etree"

	"github.com/eidbridge/eidbridge/brokers"
	"github.com/eidbridge/eidbridge/brokers/saml"
	"github.com/eidbridge/eidbridge/levels"
)

// Namespaces and names of the request's extensions and of attributes.
const (
	extensionsNS    = "http://eidas.europa.eu/saml-extensions"
	naturalPersonNS = "http://eidas.europa.eu/attributes/naturalperson"
	claveNames      = "http://es.minhafp.clave/"
	formatURI       = "urn:oasis:names:tc:SAML:2.0:attrname-format:uri"
	formatEntity    = "urn:oasis:names:tc:SAML:2.0:nameid-format:entity"

	nameIDUnspecified  = "urn:oasis:names:tc:SAML:1.1:nameid-format:unspecified"
	nameIDPersistent   = "urn:oasis:names:tc:SAML:2.0:nameid-format:persistent"
	consentUnspecified = "urn:oasis:names:tc:SAML:2.0:consent:unspecified"
)

// Upstream is one connection to the gateway. It is safe for concurrent use.
type Upstream struct {
	config     Config
	methods    []method
	disabled   []IdP
	selections map[string]IdP
	credential saml.Credential
}

// New checks a configuration.
func New(c Config) (*Upstream, error) {
	c.setDefaults()
	if err := c.check(); err != nil {
		return nil, fmt.Errorf("clave: %w", err)
	}
	methods, err := methodsOf(&c)
	if err != nil {
		return nil, fmt.Errorf("clave: %w", err)
	}
	selections := publishedSelections()
	for value, idp := range c.SelectedIdPs {
		selections[value] = idp
	}
	return &Upstream{
		config: c, methods: methods, disabled: c.DisabledIdPs,
		selections: selections, credential: c.credential(),
	}, nil
}

// ID implements brokers.Upstream.
func (u *Upstream) ID() string { return u.config.ID }

// Methods implements brokers.Upstream, weakest first.
func (u *Upstream) Methods() []brokers.Method {
	offered := make([]brokers.Method, len(u.methods))
	for i, m := range u.methods {
		offered[i] = m.Method
	}
	return offered
}

// Destinations implements brokers.Destined.
func (u *Upstream) Destinations() []string {
	gateway, err := url.Parse(u.config.GatewayURL)
	if err != nil {
		return nil
	}
	return []string{gateway.Scheme + "://" + gateway.Host}
}

// Alerts speaks of certificates, the gateway's and ours, that end soon.
func (u *Upstream) Alerts() []saml.Alert {
	own := []*x509.Certificate{u.config.Certificate}
	for _, key := range u.config.DecryptionKeys {
		own = append(own, key.Certificate)
	}
	now := u.config.Clock()
	return saml.CertificateAlerts(now, append(own, u.trusted(now)...)...)
}

// trusted are the gateway's certificates that count at a time.
func (u *Upstream) trusted(now time.Time) []*x509.Certificate {
	var counting []*x509.Certificate
	for _, t := range u.config.GatewayCertificates {
		if !now.Before(t.From) && (t.Until.IsZero() || now.Before(t.Until)) {
			counting = append(counting, t.Certificate)
		}
	}
	return counting
}

// Start implements brokers.Upstream. The level asked for is the least that will
// do and that the chosen method gives.
func (u *Upstream) Start(_ context.Context, r brokers.AuthenticationRequest) (*brokers.Departure, error) {
	chosen, err := u.method(r)
	if err != nil {
		return nil, err
	}
	if r.RelayState == "" {
		return nil, errors.New("clave: login without a relay state")
	}
	class, _, err := u.config.Mapping.Class(scheme, max(chosen.least, r.Level))
	if err != nil {
		return nil, fmt.Errorf("clave: %w", err)
	}
	id, err := saml.NewID(u.config.Rand)
	if err != nil {
		return nil, err
	}
	now := u.config.Clock()
	request := saml.AuthnRequest{
		ID: id, IssueInstant: now, Destination: u.config.GatewayURL, Issuer: u.config.Issuer,
		ACSURL: u.config.ACSURL, ForceAuthn: r.ForceAuthn, NotPassive: true, Consent: consentUnspecified,
		ProviderName: u.config.ProviderName, NameIDFormat: nameIDUnspecified, AllowCreate: true,
		Comparison: string(levels.Minimum), ContextClasses: []string{class},
		Extensions: u.extensions(chosen, r.RelayState),
	}
	if u.config.PersistentNameID {
		request.NameIDFormat = nameIDPersistent
	}
	departure := &brokers.Departure{Location: u.config.GatewayURL, RequestID: id, RequestedAt: now, Request: r}
	departure.Form, err = request.PostForm(u.credential, r.RelayState, u.config.Rand)
	return departure, err
}

// extensions say what kind of service provider we are, which value has to come
// back, and which identity providers may not be used.
func (u *Upstream) extensions(chosen method, relayState string) []*etree.Element {
	var list []*etree.Element
	if !u.config.WithoutSPType {
		kind := etree.NewElement("eidas:SPType")
		kind.CreateAttr("xmlns:eidas", extensionsNS)
		if kind.SetText("public"); u.config.Private {
			kind.SetText("private")
		}
		list = append(list, kind)
	}
	attributes := etree.NewElement("eidas:RequestedAttributes")
	attributes.CreateAttr("xmlns:eidas", extensionsNS)
	value := requested(attributes, "RelayState").CreateElement("eidas:AttributeValue")
	value.CreateAttr("xmlns:eidas-natural", naturalPersonNS)
	value.CreateAttr("xmlns:xsi", "http://www.w3.org/2001/XMLSchema-instance")
	value.CreateAttr("xsi:type", "eidas-natural:PersonIdentifierType")
	value.SetText(relayState)
	for _, idp := range u.switchedOff(chosen) {
		requested(attributes, string(idp))
	}
	return append(list, attributes)
}

func requested(parent *etree.Element, name string) *etree.Element {
	a := parent.CreateElement("eidas:RequestedAttribute")
	a.CreateAttr("FriendlyName", name)
	a.CreateAttr("Name", claveNames+name)
	a.CreateAttr("NameFormat", formatURI)
	a.CreateAttr("isRequired", "false")
	return a
}

// switchedOff are the identity providers that a request disables.
func (u *Upstream) switchedOff(chosen method) []IdP {
	if chosen.idp == "" {
		return u.disabled
	}
	return slices.DeleteFunc(idps(), func(i IdP) bool { return i == chosen.idp })
}

// method finds the chosen method and sees to it that it can reach the level.
func (u *Upstream) method(r brokers.AuthenticationRequest) (method, error) {
	for _, m := range u.methods {
		if m.ID != r.Method {
			continue
		}
		if m.Level < r.Level {
			return method{}, fmt.Errorf("clave: method %s does not reach level %s", m.ID, r.Level)
		}
		return m, nil
	}
	return method{}, errors.New("clave: method is not offered")
}

// Correlate implements brokers.Upstream.
func (u *Upstream) Correlate(r *http.Request) (string, error) {
	return saml.ReadPostedRelayState(r)
}

// organisation is the half of ProviderName before the semicolon.
func (u *Upstream) organisation() string {
	organisation, _, _ := strings.Cut(u.config.ProviderName, ";")
	return organisation
}
