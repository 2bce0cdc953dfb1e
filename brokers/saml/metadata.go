package saml

import (
	"crypto/x509"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/eidbridge/eidbridge/signing/brainpool"
)

// Entity is an identity provider as its metadata describes it.
type Entity struct {
	ID string
	// ValidUntil ends the trust in this copy; zero if not given.
	ValidUntil time.Time
	// CacheDuration is how long a copy may go unrefreshed; zero if not given.
	CacheDuration time.Duration
	// Signing are the certificates whose keys sign messages; keys without a use
	// count.
	Signing []*x509.Certificate
	// Encryption are the certificates whose keys encrypt.
	Encryption []*x509.Certificate

	SingleSignOn       []Endpoint
	ArtifactResolution []Endpoint
	SingleLogout       []Endpoint
	// PublishedAt is when the document was made (PublicationInfo of SAML Metadata
	// RPI 1.0); zero if not given.
	PublishedAt time.Time
	// Attributes are the entity attributes by name (SAML Metadata Attributes 1.0),
	// such as the protocol version of an eIDAS node.
	Attributes map[string][]string
	// WantAuthnRequestsSigned is the identity provider's wish; ours are always
	// signed.
	WantAuthnRequestsSigned bool
}

// Endpoint is an address of an entity.
type Endpoint struct {
	Binding, Location string
	// Index is of artifact resolution services; -1 for others.
	Index int
}

// SignOn returns the first sign-on service for a binding.
func (e *Entity) SignOn(binding string) (string, bool) {
	for _, endpoint := range e.SingleSignOn {
		if endpoint.Binding == binding {
			return endpoint.Location, true
		}
	}
	return "", false
}

// Origins are those of the sign-on services, in the order of the metadata; none where
// there is no entity yet. A content security policy names them.
func (e *Entity) Origins() []string {
	if e == nil {
		return nil
	}
	var origins []string
	for _, endpoint := range e.SingleSignOn {
		if location, err := url.Parse(endpoint.Location); err == nil {
			if origin := location.Scheme + "://" + location.Host; !slices.Contains(origins, origin) {
				origins = append(origins, origin)
			}
		}
	}
	return origins
}

// Resolution returns the artifact resolution service of an index.
func (e *Entity) Resolution(index int) (string, bool) {
	for _, endpoint := range e.ArtifactResolution {
		if endpoint.Index == index && endpoint.Binding == BindingSOAP {
			return endpoint.Location, true
		}
	}
	return "", false
}

// MetadataTrust is why metadata is believed. Exactly one of Certificates and
// AsGiven is set.
type MetadataTrust struct {
	// Certificates are pinned; one of them must have signed the root element.
	Certificates []*x509.Certificate
	// AsGiven takes the document without a signature: an operator put it there.
	AsGiven bool
	// Loopback lets endpoints be on this machine, over plain HTTP even. It is for
	// laboratories, where we are on loopback ourselves.
	Loopback bool
	// AnyEndpoint takes locations of every kind, and leaves entities without a
	// signing certificate out instead of refusing the document. It is for judging
	// recorded messages, where nothing is sent.
	AnyEndpoint bool
	Now         time.Time
}

// ParseMetadata reads the identity providers of a metadata document, which may
// be an aggregate, by entity identifier. An entity with an unusable endpoint or
// without a signing certificate makes the whole document refused.
func ParseMetadata(document []byte, trust MetadataTrust) (map[string]*Entity, error) {
	if trust.AsGiven == (len(trust.Certificates) > 0) || trust.Now.IsZero() {
		return nil, ErrExpectation
	}
	root, err := parseMetadataXML(document, MetadataLimits())
	if err != nil {
		return nil, err
	}
	if !root.is(metadataNS, "EntityDescriptor") && !root.is(metadataNS, "EntitiesDescriptor") {
		return nil, reject(ReasonMetadata, "root is no entity descriptor")
	}
	if !trust.AsGiven {
		v := verifier{
			certificates: trust.Certificates, now: trust.Now,
			parse: func(covered []byte) (*element, error) {
				return parseMetadataXML(covered, MetadataLimits().ofVerified())
			},
			// Who publishes metadata changes the certificate more often than the key.
			lenient: Leniency{ForeignKeyInfo: true},
		}
		if root, err = v.verify(root); err != nil {
			return nil, reject(ReasonMetadataSignature, "%w", err)
		}
		if root == nil {
			return nil, reject(ReasonMetadataSignature, "metadata is not signed")
		}
	}
	found := make(map[string]*Entity)
	return found, collect(root, validity{}, trust, found)
}

// validity is inherited from enclosing descriptors.
type validity struct {
	until     time.Time
	cache     time.Duration
	published time.Time
}

func (v validity) narrowed(e *element, trust MetadataTrust) (validity, error) {
	until, err := e.instant("validUntil", ReasonMetadata, Leniency{OffsetTimes: true})
	if err != nil {
		return v, err
	}
	if !until.IsZero() {
		if !until.After(trust.Now) {
			return v, reject(ReasonMetadataExpired, "metadata has expired")
		}
		if v.until.IsZero() || until.Before(v.until) {
			v.until = until
		}
	}
	if info := e.child(metadataNS, "Extensions").child(publicationNS, "PublicationInfo"); info != nil {
		if v.published, err = info.instant("creationInstant", ReasonMetadata, Leniency{OffsetTimes: true}); err != nil {
			return v, err
		}
	}
	if text, present := e.attribute("cacheDuration"); present {
		cache, ok := parseDuration(text)
		if !ok {
			return v, reject(ReasonMetadata, "cacheDuration is malformed")
		}
		if v.cache == 0 || cache < v.cache {
			v.cache = cache
		}
	}
	return v, nil
}

func collect(e *element, v validity, trust MetadataTrust, found map[string]*Entity) error {
	v, err := v.narrowed(e, trust)
	if err != nil {
		return err
	}
	if e.is(metadataNS, "EntitiesDescriptor") {
		for _, child := range e.elements() {
			if child.is(metadataNS, "EntityDescriptor") || child.is(metadataNS, "EntitiesDescriptor") {
				if err := collect(child, v, trust, found); err != nil {
					return err
				}
			}
		}
		return nil
	}
	id := e.value("entityID")
	if id == "" || len(id) > 1024 {
		return reject(ReasonMetadata, "entity without a proper identifier")
	}
	if _, twice := found[id]; twice {
		return reject(ReasonMetadata, "entity described twice")
	}
	for _, role := range e.all(metadataNS, "IDPSSODescriptor") {
		if !slices.Contains(strings.Fields(role.value("protocolSupportEnumeration")), protocolNS) {
			continue
		}
		if found[id] != nil {
			return reject(ReasonMetadata, "entity with two roles")
		}
		narrowed, err := v.narrowed(role, trust)
		if err != nil {
			return err
		}
		entity := &Entity{
			ID: id, ValidUntil: narrowed.until, CacheDuration: narrowed.cache, PublishedAt: narrowed.published,
			Attributes: entityAttributes(e),
		}
		if err := entity.read(role, trust); err != nil {
			return err
		}
		if len(entity.Signing) == 0 {
			continue
		}
		found[id] = entity
	}
	return nil
}

func entityAttributes(e *element) map[string][]string {
	found := make(map[string][]string)
	for _, a := range e.child(metadataNS, "Extensions").child(entityAttributesNS, "EntityAttributes").allOf(assertionNS, "Attribute") {
		for _, v := range a.all(assertionNS, "AttributeValue") {
			if value, plain := v.text(); plain {
				found[a.value("Name")] = append(found[a.value("Name")], strings.TrimSpace(value))
			}
		}
	}
	return found
}

func (e *Entity) read(role *element, trust MetadataTrust) error {
	for _, key := range role.all(metadataNS, "KeyDescriptor") {
		use := key.value("use")
		for _, c := range certificatesOf(key) {
			if use != "encryption" {
				e.Signing = append(e.Signing, c)
			}
			if use != "signing" {
				e.Encryption = append(e.Encryption, c)
			}
		}
	}
	if len(e.Signing) == 0 && !trust.AnyEndpoint || len(e.Signing) > maxCertificates {
		return reject(ReasonMetadata, "entity with %d signing certificates", len(e.Signing))
	}
	e.WantAuthnRequestsSigned = role.value("WantAuthnRequestsSigned") == "true" || role.value("WantAuthnRequestsSigned") == "1"
	for _, list := range []struct {
		local string
		to    *[]Endpoint
	}{
		{"SingleSignOnService", &e.SingleSignOn},
		{"ArtifactResolutionService", &e.ArtifactResolution},
		{"SingleLogoutService", &e.SingleLogout},
	} {
		for _, service := range role.all(metadataNS, list.local) {
			endpoint := Endpoint{Binding: service.value("Binding"), Location: service.value("Location"), Index: -1}
			if !trust.AnyEndpoint && !usableLocation(endpoint.Location, trust.Loopback) {
				return reject(ReasonMetadataEndpoint, "location of %s is not allowed", list.local)
			}
			if index, present := service.attribute("index"); present {
				n, err := strconv.ParseUint(index, 10, 16)
				if err != nil {
					return reject(ReasonMetadata, "index of %s", list.local)
				}
				endpoint.Index = int(n)
			}
			*list.to = append(*list.to, endpoint)
		}
	}
	return nil
}

// certificatesOf reads the certificates of a KeyDescriptor. One that this
// program cannot read is left out: its key could not be used either.
func certificatesOf(key *element) []*x509.Certificate {
	var found []*x509.Certificate
	for _, data := range key.child(signatureNS, "KeyInfo").allOf(signatureNS, "X509Data") {
		for _, text := range data.all(signatureNS, "X509Certificate") {
			der, err := base64Text(text)
			if err != nil {
				continue
			}
			if c, err := brainpool.ParseCertificate(der); err == nil {
				found = append(found, c)
			}
		}
	}
	return found
}

// usableLocation keeps addresses out that a browser would run, that send
// messages in the clear, or that point inside (threats ).
func usableLocation(location string, loopback bool) bool {
	u, err := url.Parse(location)
	if err != nil || u.Host == "" || u.User != nil || u.Fragment != "" || u.Opaque != "" {
		return false
	}
	local := isLoopback(u.Hostname())
	switch u.Scheme {
	case "https":
		return !local || loopback
	case "http":
		return local && loopback
	}
	return false
}

// IsLoopbackURL says whether a URL is on this machine.
func IsLoopbackURL(location string) bool {
	u, err := url.Parse(location)
	return err == nil && isLoopback(u.Hostname())
}

func isLoopback(host string) bool {
	if host == "localhost" {
		return true
	}
	address, err := netip.ParseAddr(host)
	return err == nil && address.Unmap().IsLoopback()
}
