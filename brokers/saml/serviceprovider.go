package saml

import (
	"crypto/ecdsa"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"io"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/beevik/etree"
)

// ServiceProvider is what our own metadata says.
type ServiceProvider struct {
	EntityID string
	// Consumers are the assertion consumer services; Index is their index, the
	// first is the default.
	Consumers []Endpoint
	// Credential signs the metadata, and its certificate is the signing key.
	Credential Credential
	// NextSigning are certificates that we will sign with later: publish one long
	// enough before it becomes Credential's, and the change goes unnoticed.
	NextSigning []*x509.Certificate
	// Encryption are the certificates of our decryption keys, the one in force
	// first.
	Encryption []*x509.Certificate
	// Logout are the single logout services.
	Logout []Endpoint
	// Services are what can be asked for by index (AttributeConsumingService).
	Services []RequestedService
	// NameIDFormats are the kinds of identifiers that we understand; optional.
	NameIDFormats []string
	// Extensions are elements of other vocabularies about the entity, each
	// declaring its namespaces.
	Extensions []*etree.Element
	// ValidUntil is required: metadata without an end stays in use for ever.
	ValidUntil time.Time
}

// RequestedService is an AttributeConsumingService with one attribute, which has to
// be of a value (SAML Metadata 2.4.4.1).
type RequestedService struct {
	Index int
	// Name is for people, by language tag.
	Name             map[string]string
	Attribute, Value string
}

func (s RequestedService) describe(role *etree.Element) {
	service := role.CreateElement("md:AttributeConsumingService")
	service.CreateAttr("index", strconv.Itoa(s.Index))
	for _, language := range slices.Sorted(maps.Keys(s.Name)) {
		name := service.CreateElement("md:ServiceName")
		name.CreateAttr("xml:lang", language)
		name.SetText(s.Name[language])
	}
	attribute := service.CreateElement("md:RequestedAttribute")
	attribute.CreateAttr("Name", s.Attribute)
	attribute.CreateAttr("isRequired", "true")
	value := attribute.CreateElement("saml:AttributeValue")
	value.CreateAttr("xmlns:saml", assertionNS)
	value.SetText(s.Value)
}

// Metadata makes the signed EntityDescriptor (SAML Metadata 2.3.2, 2.4.4).
func (p ServiceProvider) Metadata(random io.Reader) ([]byte, error) {
	if p.EntityID == "" || len(p.Consumers) == 0 || p.ValidUntil.IsZero() {
		return nil, errors.New("metadata without entity ID, consumer service or end")
	}
	id, err := NewID(random)
	if err != nil {
		return nil, err
	}
	entity := etree.NewElement("md:EntityDescriptor")
	entity.CreateAttr("xmlns:md", metadataNS)
	entity.CreateAttr("ID", id)
	entity.CreateAttr("entityID", p.EntityID)
	entity.CreateAttr("validUntil", formatInstant(p.ValidUntil))
	if len(p.Extensions) > 0 {
		extensions := entity.CreateElement("md:Extensions")
		for _, x := range p.Extensions {
			extensions.AddChild(x.Copy())
		}
	}
	role := entity.CreateElement("md:SPSSODescriptor")
	role.CreateAttr("AuthnRequestsSigned", "true")
	role.CreateAttr("WantAssertionsSigned", "true")
	role.CreateAttr("protocolSupportEnumeration", protocolNS)
	for _, c := range append([]*x509.Certificate{p.Credential.Certificate}, p.NextSigning...) {
		keyDescriptor(role, "signing", c)
	}
	for _, c := range p.Encryption {
		key := keyDescriptor(role, "encryption", c)
		for _, method := range encryptionMethods(c) {
			key.CreateElement("md:EncryptionMethod").CreateAttr("Algorithm", method)
		}
	}
	for _, service := range p.Logout {
		logout := role.CreateElement("md:SingleLogoutService")
		logout.CreateAttr("Binding", service.Binding)
		logout.CreateAttr("Location", service.Location)
	}
	for _, format := range p.NameIDFormats {
		role.CreateElement("md:NameIDFormat").SetText(format)
	}
	for i, c := range p.Consumers {
		consumer := role.CreateElement("md:AssertionConsumerService")
		consumer.CreateAttr("Binding", c.Binding)
		consumer.CreateAttr("Location", c.Location)
		consumer.CreateAttr("index", strconv.Itoa(c.Index))
		if i == 0 {
			consumer.CreateAttr("isDefault", "true")
		}
	}
	for _, s := range p.Services {
		s.describe(role)
	}
	if err := p.Credential.envelop(random, entity, 0); err != nil {
		return nil, err
	}
	return serialize(entity)
}

func keyDescriptor(role *etree.Element, use string, c *x509.Certificate) *etree.Element {
	key := role.CreateElement("md:KeyDescriptor")
	key.CreateAttr("use", use)
	info := key.CreateElement("ds:KeyInfo")
	info.CreateAttr("xmlns:ds", signatureNS)
	info.CreateElement("ds:KeyName").SetText(keyName(c))
	info.CreateElement("ds:X509Data").CreateElement("ds:X509Certificate").
		SetText(base64.StdEncoding.EncodeToString(c.Raw))
	return key
}

// encryptionMethods are what we would like for a key, best first (SAML Metadata
// 2.4.1.1).
func encryptionMethods(c *x509.Certificate) []string {
	content := []string{encryption11NS + "aes256-gcm", encryption11NS + "aes128-gcm"}
	if _, elliptic := c.PublicKey.(*ecdsa.PublicKey); elliptic {
		return append(content, ecdhES, encryptionNS+"kw-aes256", encryptionNS+"kw-aes128")
	}
	return append(content, oaep11, oaepMGF1SHA1)
}
