package main

import (
	"crypto"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/eidbridge/eidbridge/brokers/digid"
	"github.com/eidbridge/eidbridge/brokers/saml"
	"github.com/eidbridge/eidbridge/levels"
	"github.com/eidbridge/eidbridge/signing/brainpool"
)

// connect makes the DigiD upstream from its section.
func (c *digidConfig) connect(issuer string, dir directory, replay saml.ReplayStore) (*digid.Upstream, error) {
	settings, err := c.settings("digid", issuer, dir, replay)
	if err != nil {
		return nil, err
	}
	if !c.WithoutLogout {
		settings.LogoutNoticeURL = c.LogoutNoticeURL
		if settings.LogoutNoticeURL == "" && strings.HasPrefix(issuer, "https://") { // DigiD tells over TLS alone
			settings.LogoutNoticeURL = issuer + "/upstream/digid/notice"
		}
	} else if c.LogoutNoticeURL != "" {
		return nil, errors.New("digid: logout_notice_url without logout")
	}
	return digid.New(*settings)
}

// digid4Config is the section of DigiD by way of a routing service; default.toml
// says what each key means.
type digid4Config struct {
	digidConfig
	DecryptionKey  string          `toml:"decryption_key"`
	DecryptionCert string          `toml:"decryption_certificate"`
	PreviousKey    string          `toml:"previous_decryption_key"`
	PreviousCert   string          `toml:"previous_decryption_certificate"`
	Preselect      string          `toml:"preselect"`
	Represents     bool            `toml:"representation"`
	Services       []digid4Service `toml:"services"`
}

// digid4Service is an entry of the service catalogue.
type digid4Service struct {
	Method string            `toml:"method"`
	UUID   string            `toml:"uuid"`
	Index  *int              `toml:"index"`
	Level  levels.Level      `toml:"level"`
	Name   map[string]string `toml:"name"`
}

// connect makes the routed DigiD upstream from its section.
func (c *digid4Config) connect(issuer string, dir directory, replay saml.ReplayStore) (*digid.Routed, error) {
	if c.EntityID == "" {
		return nil, errors.New("digid4: entity_id is missing: urn:nl-eid-gdi:1.0:DV:<OIN>:entities:<nnnn>")
	}
	if c.LogoutNoticeURL != "" {
		return nil, errors.New("digid4: nobody tells of logouts: logout_notice_url is for [digid]")
	}
	shared, err := c.settings("digid4", issuer, dir, replay)
	if err != nil {
		return nil, err
	}
	keys, err := decryptionKeys(dir, keyFiles{c.DecryptionCert, c.DecryptionKey}, keyFiles{c.PreviousCert, c.PreviousKey})
	if err != nil {
		return nil, fmt.Errorf("digid4: %w", err)
	}
	settings := digid.RoutedConfig{
		ID: shared.ID, EntityID: shared.EntityID, ACSURL: shared.ACSURL, LogoutURL: shared.LogoutURL, SigningKey: shared.SigningKey, Certificate: shared.Certificate,
		DecryptionKeys: keys, Preselect: c.Preselect, Representation: c.Represents,
		IdPEntityID: shared.IdPEntityID, Metadata: shared.Metadata, MetadataURL: shared.MetadataURL, MetadataCertificates: shared.MetadataCertificates,
		BackChannel: shared.BackChannel, MaxLevel: shared.MaxLevel, Replay: shared.Replay,
	}
	for _, s := range c.Services {
		settings.Services = append(settings.Services, digid.Service(s))
	}
	return digid.NewRouted(settings)
}

// settings are what the sections of both generations have in common.
func (c *digidConfig) settings(id, issuer string, dir directory, replay saml.ReplayStore) (*digid.Config, error) {
	base := issuer + "/upstream/" + id
	if c.EntityID == "" {
		c.EntityID = base + "/metadata"
	}
	if c.BackChannelCertificate == "" && c.BackChannelKey == "" {
		c.BackChannelCertificate, c.BackChannelKey = c.Certificate, c.SigningKey
	}
	if c.MetadataFile != "" && c.MetadataURL != "" {
		return nil, errors.New(id + ": give metadata_file or metadata_url, not both")
	}
	signing, err := keyPair(dir, c.Certificate, c.SigningKey)
	if err != nil {
		return nil, fmt.Errorf("%s: signing key: %w", id, err)
	}
	client, err := keyPair(dir, c.BackChannelCertificate, c.BackChannelKey)
	if err != nil {
		return nil, fmt.Errorf("%s: back channel key: %w", id, err)
	}
	roots, err := certificates(dir, c.BackChannelRoots)
	if err != nil {
		return nil, fmt.Errorf("%s: back_channel_roots: %w", id, err)
	}
	pool := x509.NewCertPool()
	for _, root := range roots {
		pool.AddCert(root)
	}
	signer, ok := signing.PrivateKey.(crypto.Signer)
	if !ok {
		return nil, errors.New(id + ": signing key cannot sign")
	}
	settings := &digid.Config{
		ID: id, EntityID: c.EntityID, ACSURL: base + "/callback", ServiceName: c.ServiceName,
		SigningKey: signer, Certificate: signing.Leaf,
		IdPEntityID: c.IdPEntityID, MetadataURL: c.MetadataURL,
		BackChannel: &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: pool, Certificates: []tls.Certificate{client}},
		MaxLevel:    c.MaxLevel, Replay: replay,
	}
	if !c.WithoutLogout {
		settings.LogoutURL = base + "/logout"
	}
	if c.MetadataFile != "" {
		if settings.Metadata, err = os.ReadFile(dir.file(c.MetadataFile)); err != nil {
			return nil, fmt.Errorf("%s: %w", id, err)
		}
	}
	if c.MetadataCertificates != "" {
		if settings.MetadataCertificates, err = certificates(dir, c.MetadataCertificates); err != nil {
			return nil, fmt.Errorf("%s: metadata_certificates: %w", id, err)
		}
	}
	return settings, nil
}

func keyPair(dir directory, certificate, key string) (tls.Certificate, error) {
	if certificate == "" || key == "" {
		return tls.Certificate{}, errors.New("certificate or key is not configured")
	}
	return tls.LoadX509KeyPair(dir.file(certificate), dir.file(key))
}

// certificates reads all certificates of a PEM file.
func certificates(dir directory, name string) ([]*x509.Certificate, error) {
	if name == "" {
		return nil, errors.New("not configured")
	}
	rest, err := os.ReadFile(dir.file(name))
	if err != nil {
		return nil, err
	}
	var list []*x509.Certificate
	for {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		if block.Type != "CERTIFICATE" {
			continue
		}
		certificate, err := brainpool.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, err
		}
		list = append(list, certificate)
	}
	if len(list) == 0 {
		return nil, fmt.Errorf("%s has no certificate", name)
	}
	return list, nil
}
