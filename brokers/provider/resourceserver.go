package provider

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/go-jose/go-jose/v4"

	"github.com/eidbridge/eidbridge/brokers"
)

// ResourceServer is a service that takes access tokens of portals and asks us what they
// are (RFC 7662, RFC 9701). It is no client: it asks for no login and gets no token.
type ResourceServer struct {
	ID string
	// Audiences are the resources that the service is. It learns of tokens that are
	// meant for one of them, and of no others. Each belongs to one service.
	Audiences []string
	// Auth is how it proves itself, SecretHash the SHA-256 of its secret if by one,
	// default by AuthBasic. It always does: there is no public one.
	Auth       AuthMethod
	SecretHash brokers.Hash
	// Keys, JWKSURI, TLSSubject and TLSName mean what they mean for a client.
	Keys                []jose.JSONWebKey
	JWKSURI             string
	TLSSubject, TLSName string
	// SigningAlgorithm is for signed answers (RFC 9701), default ES256.
	SigningAlgorithm jose.SignatureAlgorithm
}

// ResourceServers is the registry of services.
type ResourceServers struct {
	parties map[string]*Client
}

var errRegisteredTwice = errors.New("it is registered twice")

func wrongServer(id string, err error) error { return fmt.Errorf("resource server %q: %w", id, err) }

// NewResourceServers checks services. The error names the one that is wrong.
func NewResourceServers(servers []ResourceServer) (*ResourceServers, error) {
	registry := &ResourceServers{parties: map[string]*Client{}}
	owners := map[string]string{}
	for _, s := range servers {
		party, err := s.party()
		if err != nil {
			return nil, wrongServer(s.ID, err)
		}
		if registry.parties[s.ID] != nil {
			return nil, wrongServer(s.ID, errRegisteredTwice)
		}
		for _, audience := range s.Audiences {
			if owner, taken := owners[audience]; taken {
				return nil, wrongServer(s.ID, fmt.Errorf("the resource %s is that of %q", audience, owner))
			}
			owners[audience] = s.ID
		}
		registry.parties[s.ID] = party
	}
	return registry, nil
}

// party is the service as one that proves itself the way clients do.
func (s *ResourceServer) party() (*Client, error) {
	c := &Client{
		ID: s.ID, Auth: s.Auth, SecretHash: s.SecretHash, Keys: s.Keys, JWKSURI: s.JWKSURI, TLSSubject: s.TLSSubject, TLSName: s.TLSName,
		SigningAlgorithm: s.SigningAlgorithm, audiences: s.Audiences,
	}
	if err := c.checkID(); err != nil {
		return nil, err
	}
	if err := c.completeSecurity(); err != nil {
		return nil, err
	}
	switch {
	case c.Auth == AuthNone:
		return nil, errors.New("a resource server proves who it is")
	case len(s.Audiences) == 0:
		return nil, errors.New("a resource server has at least one resource")
	}
	return c, checkResources(s.Audiences)
}

// Check refuses what only the rest of a configuration shows to be wrong: a service with
// the ID of one of the clients, and one that would be us.
func (r *ResourceServers) Check(issuer string, clients []Client) error {
	if r == nil {
		return nil
	}
	for _, c := range clients {
		if r.parties[c.ID] != nil {
			return wrongServer(c.ID, errRegisteredTwice)
		}
	}
	for id, party := range r.parties {
		if slices.Contains(party.audiences, issuer) {
			return wrongServer(id, errors.New("the issuer is a resource of ours alone: tokens without a resource are meant for it"))
		}
	}
	return nil
}

// introspector finds who may ask what a token is: a service, or else a client. A client
// of the database that has the ID of a service is not found here.
func (p *Provider) introspector(ctx context.Context, id string) (*Client, error) {
	if p.cfg.ResourceServers != nil {
		if party := p.cfg.ResourceServers.parties[id]; party != nil {
			return party, nil
		}
	}
	return p.client(ctx, id)
}

// findFor loads an access token that is meant for a service, and its client. Refresh
// tokens are nobody's business but the client's.
func (p *Provider) findFor(ctx context.Context, service *Client, text string) (*brokers.Grant, *brokers.Token, *Client, error) {
	g, token, err := p.cfg.Store.AccessToken(ctx, p.broughtHash(text), p.cfg.Now())
	if err != nil {
		return nil, nil, nil, err
	}
	client, err := p.client(ctx, g.Request.ClientID) // it may have been removed
	if err != nil {
		return nil, nil, nil, err
	}
	for _, audience := range p.audienceOf(client, g, token) {
		if slices.Contains(service.audiences, audience) {
			return g, token, client, nil
		}
	}
	return nil, nil, nil, brokers.ErrNotFound
}

// ResourceServerSettings is a service as operators write it. ResourceServer says what
// each setting means.
type ResourceServerSettings struct {
	ID           string   `toml:"id"`
	Resources    []string `toml:"resources"`
	Auth         string   `toml:"auth"`
	SecretSHA256 string   `toml:"secret_sha256"`
	JWKS         string   `toml:"jwks"`
	JWKSURI      string   `toml:"jwks_uri"`
	TLSSubject   string   `toml:"tls_subject"`
	TLSName      string   `toml:"tls_name"`
	Algorithm    string   `toml:"signing_algorithm"`
}

// ResourceServer makes a registration. Its rules are checked by whoever takes it in.
func (s *ResourceServerSettings) ResourceServer() (ResourceServer, error) {
	server := ResourceServer{
		ID: s.ID, Audiences: s.Resources, Auth: AuthMethod(s.Auth), JWKSURI: s.JWKSURI, TLSSubject: s.TLSSubject, TLSName: s.TLSName,
		SigningAlgorithm: jose.SignatureAlgorithm(s.Algorithm),
	}
	var err error
	if server.Keys, err = keySetting(s.JWKS); err == nil {
		server.SecretHash, err = hashSetting(s.SecretSHA256)
	}
	if err != nil {
		return server, wrongServer(s.ID, err)
	}
	return server, nil
}

// keySetting reads public keys, or none.
func keySetting(text string) ([]jose.JSONWebKey, error) {
	if text == "" {
		return nil, nil
	}
	var set jose.JSONWebKeySet
	if err := json.Unmarshal([]byte(text), &set); err != nil {
		return nil, fmt.Errorf("jwks is not a JSON Web Key Set: %w", err)
	}
	return set.Keys, nil
}

// hashSetting reads the hash of a secret, or none.
func hashSetting(text string) (brokers.Hash, error) {
	if text == "" {
		return brokers.Hash{}, nil
	}
	hash, err := hex.DecodeString(text)
	if err != nil || len(hash) != len(brokers.Hash{}) {
		return brokers.Hash{}, errors.New("secret_sha256 is not a SHA-256 in hexadecimal")
	}
	return brokers.Hash(hash), nil
}
