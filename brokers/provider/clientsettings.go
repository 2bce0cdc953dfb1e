package provider

import (
	"fmt"

	"github.com/go-jose/go-jose/v4"

	"github.com/eidbridge/eidbridge/levels"
)

// ClientSettings is a client as operators write it, in a configuration file or in
// the database. Client says what each setting means.
type ClientSettings struct {
	ID           string       `toml:"id" json:"id"`
	Name         string       `toml:"name" json:"name,omitempty"`
	Auth         string       `toml:"auth" json:"auth,omitempty"`
	SecretSHA256 string       `toml:"secret_sha256" json:"secret_sha256,omitempty"`
	RedirectURIs []string     `toml:"redirect_uris" json:"redirect_uris,omitempty"`
	Sector       string       `toml:"sector" json:"sector,omitempty"`
	MinLevel     levels.Level `toml:"min_level" json:"min_level,omitempty"`
	Methods      []string     `toml:"methods" json:"methods,omitempty"`
	Scopes       []string     `toml:"scopes" json:"scopes,omitempty"`
	Vocabulary   string       `toml:"acr_vocabulary" json:"acr_vocabulary,omitempty"`
	Semantics    string       `toml:"acr_semantics" json:"acr_semantics,omitempty"`
	HideAMR      bool         `toml:"hide_amr" json:"hide_amr,omitempty"`
	SingleSignOn bool         `toml:"single_sign_on" json:"single_sign_on,omitempty"`
	Refresh      bool         `toml:"refresh_tokens" json:"refresh_tokens,omitempty"`
	JWKS         string       `toml:"jwks" json:"jwks,omitempty"`
	TLSSubject   string       `toml:"tls_subject" json:"tls_subject,omitempty"`
	TLSName      string       `toml:"tls_name" json:"tls_name,omitempty"`
	Legacy       bool         `toml:"legacy_audience" json:"legacy_audience,omitempty"`
	Pushed       bool         `toml:"require_pushed" json:"require_pushed,omitempty"`
	Signed       bool         `toml:"require_signed" json:"require_signed,omitempty"`
	Constrained  bool         `toml:"sender_constrained" json:"sender_constrained,omitempty"`
	Bound        bool         `toml:"certificate_bound" json:"certificate_bound,omitempty"`
	Nonce        bool         `toml:"dpop_nonce" json:"dpop_nonce,omitempty"`
	Algorithm    string       `toml:"signing_algorithm" json:"signing_algorithm,omitempty"`
	Profile      string       `toml:"profile" json:"profile,omitempty"`
	Receipts     bool         `toml:"level_receipts" json:"level_receipts,omitempty"`
	PostLogout   []string     `toml:"post_logout_uris" json:"post_logout_uris,omitempty"`
	BackChannel  string       `toml:"back_channel_logout_uri" json:"back_channel_logout_uri,omitempty"`
	FrontChannel string       `toml:"front_channel_logout_uri" json:"front_channel_logout_uri,omitempty"`
	IDTokenAlg   string       `toml:"id_token_encryption" json:"id_token_encryption,omitempty"`
	UserInfoAlg  string       `toml:"userinfo_encryption" json:"userinfo_encryption,omitempty"`
	ContentAlg   string       `toml:"content_encryption" json:"content_encryption,omitempty"`
	UserInfoSign bool         `toml:"userinfo_signed" json:"userinfo_signed,omitempty"`
	EitherSecret bool         `toml:"either_secret" json:"either_secret,omitempty"`
	WithoutPKCE  bool         `toml:"without_pkce" json:"without_pkce,omitempty"`
	Device       bool         `toml:"device_flow" json:"device_flow,omitempty"`
	Represents   bool         `toml:"representation" json:"representation,omitempty"`
	AccessToken  string       `toml:"access_token" json:"access_token,omitempty"`
	Audience     []string     `toml:"access_token_audience" json:"access_token_audience,omitempty"`
	Resources    []string     `toml:"resources" json:"resources,omitempty"`
	JWKSURI      string       `toml:"jwks_uri" json:"jwks_uri,omitempty"`
	Pairwise     int          `toml:"pairwise_version" json:"pairwise_version,omitempty"`
}

// Client makes a registration. Its rules are checked by whoever takes it in.
func (s *ClientSettings) Client() (Client, error) {
	client := Client{
		ID: s.ID, Name: s.Name, Auth: AuthMethod(s.Auth), RedirectURIs: s.RedirectURIs, Sector: s.Sector,
		MinLevel: s.MinLevel, Methods: s.Methods, Scopes: s.Scopes, Vocabulary: s.Vocabulary,
		Semantics: Semantics(s.Semantics), HideAMR: s.HideAMR, SingleSignOn: s.SingleSignOn, RefreshTokens: s.Refresh,
		TLSSubject: s.TLSSubject, TLSName: s.TLSName, LegacyAudience: s.Legacy,
		RequirePushed: s.Pushed, RequireSigned: s.Signed, SenderConstrained: s.Constrained, CertificateBound: s.Bound,
		ProofNonce: s.Nonce, SigningAlgorithm: jose.SignatureAlgorithm(s.Algorithm), Profile: Profile(s.Profile),
		LevelReceipts: s.Receipts, PostLogoutURIs: s.PostLogout, BackChannelLogoutURI: s.BackChannel, FrontChannelLogoutURI: s.FrontChannel,
		IDTokenEncryption: s.encryption(s.IDTokenAlg), UserInfoEncryption: s.encryption(s.UserInfoAlg), UserInfoSigned: s.UserInfoSign,
		EitherSecret: s.EitherSecret, WithoutPKCE: s.WithoutPKCE, DeviceFlow: s.Device, Representation: s.Represents, PairwiseVersion: s.Pairwise,
	}
	client.JWKSURI, client.AccessTokenAudience, client.Resources = s.JWKSURI, s.Audience, s.Resources
	switch s.AccessToken {
	case "", "opaque":
	case "jwt":
		client.AccessTokenJWT = true
	default:
		return client, &ClientError{s.ID, fmt.Errorf("access_token %q is neither opaque nor jwt", s.AccessToken)}
	}
	var err error
	if client.Keys, err = keySetting(s.JWKS); err == nil {
		client.SecretHash, err = hashSetting(s.SecretSHA256)
	}
	if err != nil {
		return client, &ClientError{s.ID, err}
	}
	return client, nil
}

// encryption is none without an algorithm for the key.
func (s *ClientSettings) encryption(algorithm string) Encryption {
	if algorithm == "" {
		return Encryption{}
	}
	return Encryption{Key: jose.KeyAlgorithm(algorithm), Content: jose.ContentEncryption(s.ContentAlg)}
}

// ClientError is a client that cannot be registered.
type ClientError struct {
	ID  string
	Err error
}

func (e *ClientError) Error() string { return fmt.Sprintf("client %q: %v", e.ID, e.Err) }

func (e *ClientError) Unwrap() error { return e.Err }
