package main

import (
	"crypto"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/eidbridge/eidbridge/brokers"
	"github.com/eidbridge/eidbridge/brokers/eidas"
	"github.com/eidbridge/eidbridge/brokers/saml"
	"github.com/eidbridge/eidbridge/levels"
)

// eidasConfig is the section of an eIDAS node; default.toml says what each key
// means.
type eidasConfig struct {
	EntityID             string             `toml:"entity_id"`
	ServiceName          string             `toml:"service_name"`
	Country              string             `toml:"country"`
	SigningKey           string             `toml:"signing_key"`
	Certificate          string             `toml:"certificate"`
	PKCS1                bool               `toml:"pkcs1"`
	DecryptionKey        string             `toml:"decryption_key"`
	DecryptionCert       string             `toml:"decryption_certificate"`
	PreviousKey          string             `toml:"previous_decryption_key"`
	PreviousCert         string             `toml:"previous_decryption_certificate"`
	MetadataFile         string             `toml:"metadata_file"`
	MetadataURL          string             `toml:"metadata_url"`
	MetadataCertificates string             `toml:"metadata_certificates"`
	MetadataDelay        duration           `toml:"metadata_delay"`
	NodeID               string             `toml:"node_id"`
	Private              bool               `toml:"private"`
	RequesterID          string             `toml:"requester_id"`
	TypeInMetadata       bool               `toml:"sp_type_in_metadata"`
	NameIDFormat         eidas.NameIDFormat `toml:"name_id_format"`
	Optional             []string           `toml:"optional_attributes"`
	CountryField         string             `toml:"country_field"`
	Countries            []string           `toml:"countries"`
	MaxLevel             levels.Level       `toml:"max_level"`
}

// connect makes the eIDAS upstream from its section.
func (c *eidasConfig) connect(issuer string, dir directory, replay saml.ReplayStore) (*eidas.Upstream, error) {
	const id = "eidas"
	base := issuer + "/upstream/" + id
	if c.EntityID == "" {
		c.EntityID = base + "/metadata"
	}
	if c.MetadataFile != "" && c.MetadataURL != "" {
		return nil, errors.New("eidas: give metadata_file or metadata_url, not both")
	}
	signing, err := keyPair(dir, c.Certificate, c.SigningKey)
	if err != nil {
		return nil, fmt.Errorf("eidas: signing key: %w", err)
	}
	signer, ok := signing.PrivateKey.(crypto.Signer)
	if !ok {
		return nil, errors.New("eidas: signing key cannot sign")
	}
	settings := eidas.Config{
		ID: id, EntityID: c.EntityID, ACSURL: base + "/callback", ProviderName: c.ServiceName, Country: c.Country,
		SigningKey: signer, Certificate: signing.Leaf, PKCS1: c.PKCS1, NodeID: c.NodeID,
		MetadataURL: c.MetadataURL, MetadataDelay: time.Duration(c.MetadataDelay),
		Private: c.Private, RequesterID: c.RequesterID, TypeInMetadata: c.TypeInMetadata, NameIDFormat: c.NameIDFormat,
		Optional: c.Optional, CountryField: c.CountryField, Countries: c.Countries, MaxLevel: c.MaxLevel, Replay: replay,
	}
	if settings.DecryptionKeys, err = decryptionKeys(dir, keyFiles{c.DecryptionCert, c.DecryptionKey}, keyFiles{c.PreviousCert, c.PreviousKey}); err != nil {
		return nil, fmt.Errorf("eidas: %w", err)
	}
	if c.MetadataFile != "" {
		if settings.Metadata, err = os.ReadFile(dir.file(c.MetadataFile)); err != nil {
			return nil, fmt.Errorf("eidas: %w", err)
		}
	}
	if c.MetadataCertificates != "" {
		if settings.MetadataCertificates, err = certificates(dir, c.MetadataCertificates); err != nil {
			return nil, fmt.Errorf("eidas: metadata_certificates: %w", err)
		}
	}
	return eidas.New(settings)
}

// upstreams connects the schemes that are configured, in the order in which
// their methods are shown.
func (c *config) upstreams(dir directory, replay saml.ReplayStore) ([]brokers.Upstream, error) {
	type section struct {
		name    string
		connect func() (brokers.Upstream, error)
	}
	var sections []section
	if c.DigiD != nil {
		sections = append(sections, section{"digid", func() (brokers.Upstream, error) { return c.DigiD.connect(c.Issuer, dir, replay) }})
	}
	if c.DigiD4 != nil {
		sections = append(sections, section{"digid4", func() (brokers.Upstream, error) { return c.DigiD4.connect(c.Issuer, dir, replay) }})
	}
	if c.Clave != nil {
		sections = append(sections, section{"clave", func() (brokers.Upstream, error) { return c.Clave.connect(c.Issuer, dir, replay) }})
	}
	if c.EIDAS != nil {
		sections = append(sections, section{"eidas", func() (brokers.Upstream, error) { return c.EIDAS.connect(c.Issuer, dir, replay) }})
	}
	for i := range c.OIDC {
		sections = append(sections, section{fmt.Sprintf("oidc[%d]", i), func() (brokers.Upstream, error) { return c.OIDC[i].connect(c.Issuer, dir, replay) }})
	}
	if c.Card != nil {
		sections = append(sections, section{"card", func() (brokers.Upstream, error) { return c.Card.connect(c.Issuer, dir, replay) }})
	}
	if c.MobileID != nil {
		sections = append(sections, section{"mobile_id", func() (brokers.Upstream, error) { return c.MobileID.connect(dir, replay) }})
	}
	if c.SmartID != nil {
		sections = append(sections, section{"smart_id", func() (brokers.Upstream, error) { return c.SmartID.connect(c.Issuer, dir, replay) }})
	}
	var list []brokers.Upstream
	var problems []error
	seen, names := map[string]bool{}, map[string]string{}
	for _, s := range sections {
		upstream, err := s.connect()
		if err == nil && seen[upstream.ID()] {
			err = fmt.Errorf("there are two upstreams %q", upstream.ID())
		}
		if err == nil {
			err = ownNames(upstream, names)
		}
		if err != nil {
			problems = append(problems, c.at(s.name, err))
			continue
		}
		seen[upstream.ID()] = true
		list = append(list, upstream)
	}
	return list, errors.Join(problems...)
}

// namer is an upstream whose subject keys are names that an issuer gives.
type namer interface {
	Names() (scheme, issuer string)
}

// ownNames refuses an upstream whose people would be taken for those of another
// issuer (threat X-97); taken has the issuers by scheme.
func ownNames(upstream brokers.Upstream, taken map[string]string) error {
	n, ok := upstream.(namer)
	if !ok {
		return nil
	}
	scheme, issuer := n.Names()
	if other, found := taken[scheme]; scheme != "" && found && other != issuer {
		return fmt.Errorf("subject_scheme %q names the people of another issuer already", scheme)
	}
	taken[scheme] = issuer
	return nil
}
