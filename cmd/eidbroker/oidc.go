package main

import (
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/eidbridge/eidbridge/brokers/oidcup"
	"github.com/eidbridge/eidbridge/brokers/saml"
	"github.com/eidbridge/eidbridge/levels"
)

// oidcConfig is the section of an OpenID Provider upstream; default.toml says what
// each key means.
type oidcConfig struct {
	ID             string                    `toml:"id"`
	Kind           oidcup.Kind               `toml:"kind"`
	Issuer         string                    `toml:"issuer"`
	ClientID       string                    `toml:"client_id"`
	Auth           oidcup.Auth               `toml:"auth"`
	SecretFile     string                    `toml:"secret_file"`
	KeyFile        string                    `toml:"key_file"`
	KeyID          string                    `toml:"key_id"`
	Scopes         []string                  `toml:"scopes"`
	Hosts          []string                  `toml:"hosts"`
	Roots          string                    `toml:"server_roots"`
	Algorithms     []jose.SignatureAlgorithm `toml:"signing_algorithms"`
	DecryptionKey  string                    `toml:"decryption_key"`
	DecryptionID   string                    `toml:"decryption_key_id"`
	Push           bool                      `toml:"pushed_requests"`
	WithoutPKCE    bool                      `toml:"without_pkce"`
	UserInfo       bool                      `toml:"userinfo"`
	SignedUserInfo bool                      `toml:"userinfo_signed"`
	Scheme         string                    `toml:"scheme"`
	SubjectScheme  string                    `toml:"subject_scheme"`
	Country        string                    `toml:"country"`
	Levels         map[string]levels.Level   `toml:"levels"`
	Names          map[string]string         `toml:"names"`
	Methods        []string                  `toml:"methods"`
	Skew           duration                  `toml:"skew"`
	MaxLevel       levels.Level              `toml:"max_level"`
}

// connect makes the upstream from its section.
func (c *oidcConfig) connect(issuer string, dir directory, replay saml.ReplayStore) (*oidcup.Upstream, error) {
	id := c.ID
	if id == "" {
		id = string(c.Kind)
	}
	fail := func(err error) (*oidcup.Upstream, error) { return nil, fmt.Errorf("oidc %s: %w", id, err) }
	settings := oidcup.Config{
		ID: id, Kind: c.Kind, Issuer: c.Issuer, ClientID: c.ClientID, Auth: c.Auth, KeyID: c.KeyID, RedirectURL: issuer + "/upstream/" + id + "/callback",
		Scopes: c.Scopes, Hosts: c.Hosts, Algorithms: c.Algorithms, Push: c.Push, WithoutPKCE: c.WithoutPKCE, UserInfo: c.UserInfo,
		SignedUserInfo: c.SignedUserInfo, Scheme: c.Scheme, SubjectScheme: c.SubjectScheme, Country: c.Country, MaxLevel: c.MaxLevel,
		Skew: time.Duration(c.Skew), Replay: replay,
	}
	var err error
	if c.SecretFile != "" {
		text, err := readSecret(dir.file(c.SecretFile), false, nil)
		if err != nil {
			return fail(fmt.Errorf("secret_file: %w", err))
		}
		settings.Secret = strings.TrimRight(string(text), "\r\n")
	}
	if c.KeyFile != "" {
		text, err := readSecret(dir.file(c.KeyFile), false, nil)
		if err != nil {
			return fail(fmt.Errorf("key_file: %w", err))
		}
		if settings.Key, err = parseSigningKey(text); err != nil {
			return fail(fmt.Errorf("key_file: %w", err))
		}
	}
	if c.DecryptionKey != "" {
		key, err := privateKey(dir.file(c.DecryptionKey))
		if err != nil {
			return fail(fmt.Errorf("decryption_key: %w", err))
		}
		settings.DecryptionKeys = []jose.JSONWebKey{{Key: key, KeyID: c.DecryptionID, Use: "enc"}}
	}
	if settings.Roots, err = pool(dir, c.Roots); err != nil {
		return fail(fmt.Errorf("server_roots: %w", err))
	}
	if len(c.Levels) > 0 {
		settings.Mapping, settings.Scheme, err = c.classes(id)
		if err != nil {
			return fail(err)
		}
	}
	if len(c.Names) > 0 {
		if c.Kind == oidcup.TARA {
			return fail(errors.New("names are for upstreams with one method"))
		}
		settings.Methods = []oidcup.Method{{ID: id, Name: c.Names}}
	}
	upstream, err := oidcup.New(settings)
	if err != nil || len(c.Methods) == 0 {
		return upstream, err
	}
	return upstream, upstream.Offer(c.Methods)
}

// classes makes a mapping with the classes of the section.
func (c *oidcConfig) classes(id string) (*levels.Mapping, string, error) {
	if c.Scheme != "" {
		return nil, "", errors.New("give levels or scheme, not both")
	}
	var rows []levels.Row
	for class, level := range c.Levels {
		rows = append(rows, levels.Row{Rule: "oidc." + id + "." + class, Value: class, Level: level, Source: "operator's configuration"})
	}
	mapping, err := levels.Default().With("oidc-"+id, rows)
	return mapping, "oidc-" + id, err
}

// privateKey reads a key of any kind (PKCS #8, PEM).
func privateKey(path string) (any, error) {
	info, err := os.Lstat(path)
	if err != nil {
		return nil, err
	}
	if info.Mode().Perm()&0o077 != 0 {
		return nil, fmt.Errorf("%s can be read by others (mode %04o); chmod 600 it", path, info.Mode().Perm())
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(text)
	if block == nil || block.Type != "PRIVATE KEY" {
		return nil, errors.New("no PEM block PRIVATE KEY")
	}
	return x509.ParsePKCS8PrivateKey(block.Bytes)
}
