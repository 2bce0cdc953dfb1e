package main

import (
	"crypto"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"os"

	"github.com/eidbridge/eidbridge/brokers/digid"
	"github.com/eidbridge/eidbridge/brokers/saml"
)

// connect makes the DigiD upstream from its section.
func (c *digidConfig) connect(issuer string, dir directory, replay saml.ReplayStore) (*digid.Upstream, error) {
	const id = "digid"
	base := issuer + "/upstream/" + id
	if c.EntityID == "" {
		c.EntityID = base + "/metadata"
	}
	if c.BackChannelCertificate == "" && c.BackChannelKey == "" {
		c.BackChannelCertificate, c.BackChannelKey = c.Certificate, c.SigningKey
	}
	if c.MetadataFile != "" && c.MetadataURL != "" {
		return nil, errors.New("digid: give metadata_file or metadata_url, not both")
	}
	signing, err := keyPair(dir, c.Certificate, c.SigningKey)
	if err != nil {
		return nil, fmt.Errorf("digid: signing key: %w", err)
	}
	client, err := keyPair(dir, c.BackChannelCertificate, c.BackChannelKey)
	if err != nil {
		return nil, fmt.Errorf("digid: back channel key: %w", err)
	}
	roots, err := certificates(dir, c.BackChannelRoots)
	if err != nil {
		return nil, fmt.Errorf("digid: back_channel_roots: %w", err)
	}
	pool := x509.NewCertPool()
	for _, root := range roots {
		pool.AddCert(root)
	}
	signer, ok := signing.PrivateKey.(crypto.Signer)
	if !ok {
		return nil, errors.New("digid: signing key cannot sign")
	}
	settings := digid.Config{
		ID: id, EntityID: c.EntityID, ACSURL: base + "/callback", ServiceName: c.ServiceName,
		SigningKey: signer, Certificate: signing.Leaf,
		IdPEntityID: c.IdPEntityID, MetadataURL: c.MetadataURL,
		BackChannel: &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: pool, Certificates: []tls.Certificate{client}},
		MaxLevel:    c.MaxLevel, Replay: replay,
	}
	if c.MetadataFile != "" {
		if settings.Metadata, err = os.ReadFile(dir.file(c.MetadataFile)); err != nil {
			return nil, fmt.Errorf("digid: %w", err)
		}
	}
	if c.MetadataCertificates != "" {
		if settings.MetadataCertificates, err = certificates(dir, c.MetadataCertificates); err != nil {
			return nil, fmt.Errorf("digid: metadata_certificates: %w", err)
		}
	}
	return digid.New(settings)
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
		certificate, err := x509.ParseCertificate(block.Bytes)
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
