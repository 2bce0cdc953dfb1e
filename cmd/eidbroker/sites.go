package main

import (
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"time"

	"github.com/eidbridge/eidbridge/brokers/forwardauth"
	"github.com/eidbridge/eidbridge/brokers/provider"
	"github.com/eidbridge/eidbridge/levels"
)

// siteConfig is a site behind a proxy that asks us who visits.
type siteConfig struct {
	Origin   string       `toml:"origin"`
	Name     string       `toml:"name"`
	MinLevel levels.Level `toml:"min_level"`
	Methods  []string     `toml:"methods"`
	Scopes   []string     `toml:"scopes"`
	Remember duration     `toml:"remember"`
}

// siteClients registers each site as a client of its own.
func (c config) siteClients(pairwise []byte) ([]provider.Client, error) {
	var list []provider.Client
	for _, s := range c.Sites {
		id, secret, err := s.credentials(pairwise)
		if err != nil {
			return nil, err
		}
		list = append(list, provider.Client{
			ID: id, Name: s.Name, Auth: provider.AuthBasic, SecretHash: sha256.Sum256([]byte(secret)),
			RedirectURIs: []string{s.Origin + forwardauth.Prefix + "callback"}, MinLevel: s.MinLevel, Methods: s.Methods,
			Scopes: s.Scopes, SingleSignOn: true,
		})
	}
	return list, nil
}

// credentials of a site come from the pairwise secret, so that they are the same
// on all replicas and nobody has to keep them.
func (s siteConfig) credentials(pairwise []byte) (id, secret string, err error) {
	origin, err := url.Parse(s.Origin)
	if err != nil || origin.Host == "" {
		return "", "", fmt.Errorf("site %q: origin is not scheme and host, such as https://archive.example", s.Origin)
	}
	key, err := hkdf.Key(sha256.New, pairwise, nil, "eidbroker site secret "+s.Origin, 32)
	if err != nil {
		return "", "", err
	}
	return "site-" + origin.Host, base64.RawURLEncoding.EncodeToString(key), nil
}

// forward makes the handler of all sites, or nil if there is none.
func (c config) forward(p http.Handler, pairwise []byte, log *slog.Logger) (*forwardauth.Handler, error) {
	if len(c.Sites) == 0 {
		return nil, nil
	}
	settings := forwardauth.Config{Issuer: c.Issuer, Provider: p, Log: log}
	var err error
	if settings.Secret, err = hkdf.Key(sha256.New, pairwise, nil, "eidbroker site cookies", 32); err != nil {
		return nil, err
	}
	for _, s := range c.Sites {
		id, secret, err := s.credentials(pairwise)
		if err != nil {
			return nil, err
		}
		settings.Sites = append(settings.Sites, forwardauth.Site{
			Origin: s.Origin, ClientID: id, ClientSecret: secret, Scopes: s.Scopes, Remember: time.Duration(s.Remember),
		})
	}
	return forwardauth.New(settings)
}
