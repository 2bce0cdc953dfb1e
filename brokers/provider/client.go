package provider

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"slices"
	"strings"

	"github.com/go-jose/go-jose/v4"

	"github.com/eidbridge/eidbridge/brokers"
	"github.com/eidbridge/eidbridge/levels"
)

// AuthMethod is how a client proves itself at the token endpoint. It is part of
// the registration; a request never chooses (RFC 9700).
type AuthMethod string

// The methods, with their names from OpenID Connect Core 9.
const (
	AuthNone  AuthMethod = "none"
	AuthBasic AuthMethod = "client_secret_basic"
	AuthPost  AuthMethod = "client_secret_post"
	// AuthPrivateKeyJWT is a JWT that the client signs with a registered key.
	AuthPrivateKeyJWT AuthMethod = "private_key_jwt"
	// AuthTLS is a certificate of our roots with a registered name, and
	// AuthSelfSignedTLS any certificate with a registered key (RFC 8705).
	AuthTLS           AuthMethod = "tls_client_auth"
	AuthSelfSignedTLS AuthMethod = "self_signed_tls_client_auth"
)

func authMethods() []AuthMethod {
	return []AuthMethod{AuthPrivateKeyJWT, AuthTLS, AuthSelfSignedTLS, AuthBasic, AuthPost, AuthNone}
}

// Semantics is how acr_values are taken.
type Semantics string

const (
	// Floor takes the lowest known value as the least level that will do.
	Floor Semantics = "floor"
	// Preference takes the values as wishes (OpenID Connect Core 3.1.2.1) and
	// answers with what was reached.
	Preference Semantics = "preference"
)

// Client is a registered relying party.
type Client struct {
	ID string
	// Name is shown to the citizen.
	Name string
	// Auth is the client's way to prove itself, SecretHash the SHA-256 of its
	// secret unless Auth is AuthNone.
	Auth       AuthMethod
	SecretHash brokers.Hash
	// EitherSecret takes the secret by client_secret_basic and by
	// client_secret_post, one of them in a request.
	EitherSecret bool
	// WithoutPKCE takes authorization requests without a code challenge from a
	// confidential client that knows no PKCE (RFC 9700 2.1.1).
	WithoutPKCE bool
	// RedirectURIs are compared byte by byte.
	RedirectURIs []string
	// Sector groups clients that see the same subjects. Empty is the host that
	// all redirect URIs share.
	Sector string
	// PairwiseVersion is the version of the pairwise secret that derives this client's
	// subjects, default 1. It never changes in the life of a client.
	PairwiseVersion int
	// Representation lets people log in who act for another party, and tells the
	// client of it (represents). Without it such a login is refused.
	Representation bool
	// MinLevel is enforced whatever a request asks for. The zero value is
	// levels.None and refused: a client states what it needs.
	MinLevel levels.Level
	// Methods, if not empty, are the only methods offered.
	Methods []string
	// Scopes are what the client may ask for beside openid.
	Scopes []string
	// DefaultMaxAge and DefaultACR stand for max_age and acr_values where a request
	// has none (OpenID Connect Dynamic Client Registration 1.0, 2).
	DefaultMaxAge *int
	DefaultACR    []string
	// Vocabulary is that of acr in both directions, default "broker".
	Vocabulary string
	// Semantics is default Floor.
	Semantics Semantics
	// HideAMR leaves amr out of ID tokens (the Dutch profile forbids it).
	HideAMR bool
	// SingleSignOn lets an earlier login of the same browser count.
	SingleSignOn bool
	// RefreshTokens lets the client have refresh tokens, if it asks with the scope
	// offline_access.
	RefreshTokens bool
	// DeviceFlow lets devices without a browser ask for a login elsewhere (RFC 8628).
	DeviceFlow bool
	// Keys are the client's public keys: for assertions, request objects,
	// self-signed certificates (use "sig" or none) and encryption ("enc").
	Keys []jose.JSONWebKey
	// JWKSURI is where the client keeps its keys itself (https), in place of Keys.
	JWKSURI string
	// TLSSubject is the subject of the client's certificate, in RFC 2253 form as
	// Go writes it, or TLSName one of its DNS names; for AuthTLS.
	TLSSubject, TLSName string
	// LegacyAudience takes assertions that name the token endpoint as audience,
	// for clients that know no better.
	LegacyAudience bool
	// RequirePushed refuses authorization requests that were not pushed, and
	// RequireSigned those that are not signed request objects.
	RequirePushed, RequireSigned bool
	// SenderConstrained refuses tokens that are not bound to a key of the client,
	// CertificateBound binds them to its certificate; otherwise a DPoP proof binds
	// them. ProofNonce wants our nonce in every proof.
	SenderConstrained, CertificateBound, ProofNonce bool
	// LevelReceipts keeps a signed explanation of the level of each login and names
	// it in the ID token (event_id).
	LevelReceipts bool
	// PostLogoutURIs are where citizens may be sent after logging out, compared byte
	// by byte.
	PostLogoutURIs []string
	// BackChannelLogoutURI is told by us, FrontChannelLogoutURI by the browser,
	// when a session ends in which the client took part.
	BackChannelLogoutURI, FrontChannelLogoutURI string
	// IDTokenEncryption and UserInfoEncryption encrypt for the client's key, if not
	// zero. UserInfoSigned signs userinfo.
	IDTokenEncryption, UserInfoEncryption Encryption
	UserInfoSigned                        bool
	// AccessTokenJWT gives JWTs (RFC 9068) in place of opaque access tokens, so that
	// the portal's own services can read them, for AccessTokenAudience, default our
	// issuer. One that was revoked is known as such only where we are asked.
	AccessTokenJWT      bool
	AccessTokenAudience []string
	// Resources are the services for which a request may ask access tokens beside
	// those of AccessTokenAudience (RFC 8707), as absolute URIs.
	Resources []string
	// SigningAlgorithm is for ID tokens, answers and userinfo, default ES256.
	SigningAlgorithm jose.SignatureAlgorithm
	// Profile switches a whole profile on, if not empty.
	Profile Profile
	// audiences are the resources of a service, which is no client (ResourceServer).
	audiences []string
}

// Clients is the registry.
type Clients interface {
	// Client returns a client or brokers.ErrNotFound.
	Client(ctx context.Context, id string) (*Client, error)
}

// StaticClients is a registry from configuration.
type StaticClients struct {
	clients map[string]*Client
}

// NewStaticClients checks the clients and completes their defaults.
func NewStaticClients(mapping *levels.Mapping, clients []Client) (*StaticClients, error) {
	s := &StaticClients{clients: map[string]*Client{}}
	versions := map[string]int{}
	for _, c := range clients {
		if err := c.complete(mapping); err != nil {
			return nil, &ClientError{c.ID, err}
		}
		if s.clients[c.ID] != nil {
			return nil, &ClientError{c.ID, errRegisteredTwice}
		}
		if other, seen := versions[c.Sector]; seen && other != c.PairwiseVersion {
			return nil, &ClientError{c.ID, fmt.Errorf("clients of the sector %q see the same subjects and keep the same version of the pairwise secret", c.Sector)}
		}
		versions[c.Sector] = c.PairwiseVersion
		s.clients[c.ID] = &c
	}
	return s, nil
}

// Client returns a client or brokers.ErrNotFound.
func (s *StaticClients) Client(_ context.Context, id string) (*Client, error) {
	if c := s.clients[id]; c != nil {
		return c, nil
	}
	return nil, brokers.ErrNotFound
}

func (c *Client) checkID() error {
	if c.ID == "" || len(c.ID) > 128 || strings.ContainsFunc(c.ID, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return errors.New("an id has 1 to 128 visible ASCII characters")
	}
	return nil
}

func (c *Client) complete(mapping *levels.Mapping) error {
	if err := c.checkID(); err != nil {
		return err
	}
	if err := c.completeSecurity(); err != nil {
		return err
	}
	if c.Name == "" {
		c.Name = c.ID
	}
	if c.Vocabulary == "" {
		c.Vocabulary = defaultVocabulary
	}
	if c.Semantics == "" {
		c.Semantics = Floor
	}
	if c.PairwiseVersion == 0 {
		c.PairwiseVersion = 1
	}
	if c.PairwiseVersion < 0 || c.PairwiseVersion > maxPairwise {
		return errors.New("a version of the pairwise secret is a small number")
	}
	if c.Semantics != Floor && c.Semantics != Preference {
		return fmt.Errorf("unknown acr semantics %q", c.Semantics)
	}
	if !slices.Contains(levels.Scale(), c.MinLevel) || c.MinLevel == levels.None {
		return errors.New("a client states the least level it accepts: basic, low, substantial or high")
	}
	if _, err := mapping.Translate(c.MinLevel, c.Vocabulary); err != nil {
		return fmt.Errorf("the least level cannot be said to this client: %w", err)
	}
	for _, scope := range c.Scopes {
		if !isScope(scope) {
			return fmt.Errorf("unknown scope %q", scope)
		}
	}
	for _, uri := range slices.Concat(c.PostLogoutURIs, []string{c.BackChannelLogoutURI, c.FrontChannelLogoutURI}) {
		if uri == "" {
			continue
		}
		if _, err := checkRedirectURI(uri); err != nil {
			return fmt.Errorf("logout: %w", err)
		}
	}
	if err := checkResources(c.AccessTokenAudience); err != nil {
		return err
	}
	if err := checkResources(c.Resources); err != nil {
		return err
	}
	return c.completeSector()
}

func (c *Client) completeSector() error {
	if len(c.RedirectURIs) == 0 {
		return errors.New("a client has at least one redirect URI")
	}
	shared := ""
	for _, text := range c.RedirectURIs {
		host, err := checkRedirectURI(text)
		switch {
		case err != nil:
			return err
		case c.Sector == "" && shared != "" && shared != host:
			return errors.New("redirect URIs on several hosts need a sector")
		}
		shared = host
	}
	if c.Sector == "" {
		c.Sector = shared
	}
	return nil
}

// SectorOf is the sector of the client, or what is wrong with its redirect URIs.
func (c *Client) SectorOf() (string, error) {
	complete := *c
	err := complete.completeSector()
	return complete.Sector, err
}

// checkRedirectURI accepts https anywhere and http on this machine only, and
// nothing that two parsers could read in two ways.
func checkRedirectURI(text string) (host string, err error) {
	u, err := url.Parse(text)
	switch {
	case err != nil:
		return "", fmt.Errorf("redirect URI: %w", err)
	case len(text) > maxRedirectURI:
		return "", fmt.Errorf("redirect URI is longer than %d bytes", maxRedirectURI)
	case u.String() != text || strings.ContainsAny(text, "*\\#") || u.User != nil || u.Opaque != "":
		return "", fmt.Errorf("redirect URI %q has a wildcard, fragment, user or is not in normal form", text)
	case u.Hostname() == "":
		return "", fmt.Errorf("redirect URI %q has no host", text)
	case u.Scheme == "https", u.Scheme == "http" && IsLoopback(u.Hostname()):
		return u.Hostname(), nil
	}
	return "", fmt.Errorf("redirect URI %q is not https; http is for this machine only", text)
}

// IsLoopback reports whether a host names this very machine, where plain http is
// acceptable.
func IsLoopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// mayUse reports whether the client is offered a method.
func (c *Client) mayUse(method string) bool {
	return len(c.Methods) == 0 || slices.Contains(c.Methods, method)
}
