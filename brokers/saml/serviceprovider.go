package saml

import (
	"encoding/base64"
	"errors"
	"io"
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
	// ValidUntil is required: metadata without an end stays in use for ever.
	ValidUntil time.Time
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
	role := entity.CreateElement("md:SPSSODescriptor")
	role.CreateAttr("AuthnRequestsSigned", "true")
	role.CreateAttr("WantAssertionsSigned", "true")
	role.CreateAttr("protocolSupportEnumeration", protocolNS)
	key := role.CreateElement("md:KeyDescriptor")
	key.CreateAttr("use", "signing")
	info := key.CreateElement("ds:KeyInfo")
	info.CreateAttr("xmlns:ds", signatureNS)
	info.CreateElement("ds:KeyName").SetText(keyName(p.Credential.Certificate))
	info.CreateElement("ds:X509Data").CreateElement("ds:X509Certificate").
		SetText(base64.StdEncoding.EncodeToString(p.Credential.Certificate.Raw))
	for i, c := range p.Consumers {
		consumer := role.CreateElement("md:AssertionConsumerService")
		consumer.CreateAttr("Binding", c.Binding)
		consumer.CreateAttr("Location", c.Location)
		consumer.CreateAttr("index", strconv.Itoa(c.Index))
		if i == 0 {
			consumer.CreateAttr("isDefault", "true")
		}
	}
	if err := p.Credential.envelop(random, entity, 0); err != nil {
		return nil, err
	}
	return serialize(entity)
}
