package provider

import (
	"errors"
	"fmt"
	"slices"

	"github.com/go-jose/go-jose/v4"

	"github.com/eidbridge/eidbridge/brokers"
)

// Profile is a set of rules that a client keeps, and that we hold it to.
type Profile string

const (
	// FAPI2 is the FAPI 2.0 security profile.
	FAPI2 Profile = "fapi2"
	// NLGov is the Dutch government's profile of OpenID Connect.
	NLGov Profile = "nl-gov"
)

// completeSecurity checks how the client proves itself and what its tokens are
// bound to, and switches on what its profile asks for.
func (c *Client) completeSecurity() error {
	if c.Auth == "" {
		c.Auth = AuthBasic
	}
	if !slices.Contains(authMethods(), c.Auth) {
		return fmt.Errorf("unknown authentication method %q", c.Auth)
	}
	secret := c.Auth == AuthBasic || c.Auth == AuthPost
	if secret == (c.SecretHash == brokers.Hash{}) {
		return errors.New("a client has a secret if its authentication method is one with a secret, and only then")
	}
	if c.EitherSecret && !secret {
		return errors.New("only a client with a secret can bring it in two ways")
	}
	if c.WithoutPKCE && (c.Auth == AuthNone || c.Profile != "") {
		return errors.New("a public client and one of a profile use PKCE")
	}
	if c.SigningAlgorithm == "" {
		c.SigningAlgorithm = jose.ES256
	}
	if !slices.Contains(signatureAlgorithms(), c.SigningAlgorithm) {
		return fmt.Errorf("unknown signing algorithm %q", c.SigningAlgorithm)
	}
	if err := c.applyProfile(); err != nil {
		return err
	}
	for _, key := range c.Keys {
		if !key.IsPublic() || !strongEnough(&key) {
			return errors.New("a registered key is private, symmetric or too small")
		}
	}
	for _, e := range []Encryption{c.IDTokenEncryption, c.UserInfoEncryption} {
		if err := e.check(c); err != nil {
			return err
		}
	}
	if c.JWKSURI != "" {
		if len(c.Keys) > 0 {
			return errors.New("a client has its keys here or at its own address, not both")
		}
		if _, err := checkRedirectURI(c.JWKSURI); err != nil {
			return fmt.Errorf("jwks_uri: %w", err)
		}
	}
	signs := c.JWKSURI != "" || slices.ContainsFunc(c.Keys, func(k jose.JSONWebKey) bool { return k.Use != "enc" })
	switch {
	case len(c.Keys) > maxKeys:
		return fmt.Errorf("a client has at most %d keys", maxKeys)
	case (c.Auth == AuthPrivateKeyJWT || c.Auth == AuthSelfSignedTLS || c.RequireSigned) && !signs:
		return errors.New("authentication or request objects need a registered key")
	case (c.Auth == AuthTLS) != (c.TLSSubject != "" || c.TLSName != "") || c.TLSSubject != "" && c.TLSName != "":
		return errors.New("tls_client_auth needs one name of the certificate, and nothing else does")
	}
	return nil
}

// applyProfile switches on what a profile demands (FAPI 2.0 security profile
// 5.3.2, OpenID NLGov) and refuses what it forbids.
func (c *Client) applyProfile() error {
	switch c.Profile {
	case "":
	case FAPI2:
		c.RequirePushed, c.SenderConstrained = true, true
		if c.SigningAlgorithm == jose.RS256 || c.LegacyAudience {
			return errors.New("FAPI 2.0 forbids RS256 and the token endpoint as audience")
		}
		if !slices.Contains([]AuthMethod{AuthPrivateKeyJWT, AuthTLS, AuthSelfSignedTLS}, c.Auth) {
			return errors.New("FAPI 2.0 wants private_key_jwt or a client certificate")
		}
	case NLGov:
		c.HideAMR = true
		if c.Auth == AuthBasic || c.Auth == AuthPost {
			return errors.New("the NL GOV profile wants private_key_jwt or a client certificate")
		}
		if c.RefreshTokens && c.Auth == AuthNone {
			return errors.New("the NL GOV profile gives public clients no refresh tokens")
		}
	default:
		return fmt.Errorf("unknown profile %q", c.Profile)
	}
	return nil
}

// algorithms are those by which the client may sign.
func (c *Client) algorithms() []jose.SignatureAlgorithm {
	if c.Profile == FAPI2 {
		return modernAlgorithms()
	}
	return signatureAlgorithms()
}
