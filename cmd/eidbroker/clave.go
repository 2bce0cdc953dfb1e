package main

import (
	"crypto"
	"errors"
	"fmt"
	"time"

	"github.com/eidbridge/eidbridge/brokers/clave"
	"github.com/eidbridge/eidbridge/brokers/saml"
	"github.com/eidbridge/eidbridge/levels"
)

// claveConfig is the section of Cl@ve; default.toml says what each key means.
type claveConfig struct {
	ProviderName     string            `toml:"provider_name"`
	EntityID         string            `toml:"entity_id"`
	Audiences        []string          `toml:"audiences"`
	SigningKey       string            `toml:"signing_key"`
	Certificate      string            `toml:"certificate"`
	SHA256           bool              `toml:"sha256"`
	GatewayURL       string            `toml:"gateway_url"`
	GatewayID        string            `toml:"gateway_id"`
	GatewayAliases   []string          `toml:"gateway_aliases"`
	Certificates     []trustedConfig   `toml:"gateway_certificates"`
	DecryptionKey    string            `toml:"decryption_key"`
	DecryptionCert   string            `toml:"decryption_certificate"`
	SignedAssertions bool              `toml:"signed_assertions"`
	Private          bool              `toml:"private"`
	WithoutSPType    bool              `toml:"without_sp_type"`
	PersistentNameID bool              `toml:"persistent_name_id"`
	Methods          []string          `toml:"methods"`
	Selector         bool              `toml:"selector"`
	DisabledIdPs     []clave.IdP       `toml:"disabled_idps"`
	SelectedIdPs     map[string]string `toml:"selected_idps"`
	WithoutLogout    bool              `toml:"without_logout"`
	MaxLevel         levels.Level      `toml:"max_level"`
}

// trustedConfig is a certificate file with the days from and until which its
// certificates count.
type trustedConfig struct {
	File  string    `toml:"file"`
	From  time.Time `toml:"from"`
	Until time.Time `toml:"until"`
}

// connect makes the Cl@ve upstream from its section.
func (c *claveConfig) connect(issuer string, dir directory, replay saml.ReplayStore) (*clave.Upstream, error) {
	const id = "clave"
	signing, err := keyPair(dir, c.Certificate, c.SigningKey)
	if err != nil {
		return nil, fmt.Errorf("clave: signing key: %w", err)
	}
	signer, ok := signing.PrivateKey.(crypto.Signer)
	if !ok {
		return nil, errors.New("clave: signing key cannot sign")
	}
	settings := clave.Config{
		ID: id, ProviderName: c.ProviderName, ACSURL: issuer + "/upstream/" + id + "/callback",
		Issuer: c.EntityID, Audiences: c.Audiences, SigningKey: signer, Certificate: signing.Leaf,
		GatewayURL: c.GatewayURL, GatewayID: c.GatewayID, GatewayAliases: c.GatewayAliases,
		SignedAssertions: c.SignedAssertions, Private: c.Private, WithoutSPType: c.WithoutSPType,
		PersistentNameID: c.PersistentNameID, Methods: c.Methods, Selector: c.Selector,
		DisabledIdPs: c.DisabledIdPs, SelectedIdPs: map[string]clave.IdP{}, MaxLevel: c.MaxLevel, Replay: replay,
	}
	if !c.WithoutLogout {
		settings.LogoutURL = issuer + "/upstream/" + id + "/logout"
	}
	if c.SHA256 {
		settings.Hash = crypto.SHA256
	}
	for value, idp := range c.SelectedIdPs {
		settings.SelectedIdPs[value] = clave.IdP(idp)
	}
	for _, trusted := range c.Certificates {
		list, err := certificates(dir, trusted.File)
		if err != nil {
			return nil, fmt.Errorf("clave: certificate of the gateway: %w", err)
		}
		for _, certificate := range list {
			settings.GatewayCertificates = append(settings.GatewayCertificates,
				clave.TrustedCertificate{Certificate: certificate, From: trusted.From, Until: trusted.Until})
		}
	}
	if settings.DecryptionKeys, err = decryptionKeys(dir, keyFiles{c.DecryptionCert, c.DecryptionKey}); err != nil {
		return nil, fmt.Errorf("clave: %w", err)
	}
	return clave.New(settings)
}

// keyFiles name a certificate and its key.
type keyFiles struct{ certificate, key string }

// decryptionKeys reads the pairs that are configured.
func decryptionKeys(dir directory, files ...keyFiles) ([]saml.DecryptionKey, error) {
	var keys []saml.DecryptionKey
	for _, f := range files {
		if f == (keyFiles{}) {
			continue
		}
		pair, err := keyPair(dir, f.certificate, f.key)
		if err != nil {
			return nil, fmt.Errorf("decryption key: %w", err)
		}
		key, err := saml.NewDecryptionKey(pair.PrivateKey, pair.Leaf)
		if err != nil {
			return nil, err
		}
		keys = append(keys, key)
	}
	return keys, nil
}
