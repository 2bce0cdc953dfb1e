package provider

import (
	"encoding/json"
	"maps"
	"net/http"
	"slices"

	"github.com/go-jose/go-jose/v4"
)

// discoveryDocument is the metadata of OpenID Connect Discovery 3 and RFC 8414,
// with what the further documents add. It advertises nothing that is not served.
type discoveryDocument struct {
	Issuer                    string   `json:"issuer"`
	AuthorizationEndpoint     string   `json:"authorization_endpoint"`
	TokenEndpoint             string   `json:"token_endpoint"`
	UserinfoEndpoint          string   `json:"userinfo_endpoint"`
	JWKSURI                   string   `json:"jwks_uri"`
	EndSessionEndpoint        string   `json:"end_session_endpoint"`
	PushEndpoint              string   `json:"pushed_authorization_request_endpoint"`
	IntrospectionEndpoint     string   `json:"introspection_endpoint"`
	RevocationEndpoint        string   `json:"revocation_endpoint"`
	DeviceEndpoint            string   `json:"device_authorization_endpoint"`
	RegistrationEndpoint      string   `json:"registration_endpoint,omitempty"`
	Scopes                    []string `json:"scopes_supported"`
	ResponseTypes             []string `json:"response_types_supported"`
	ResponseModes             []string `json:"response_modes_supported"`
	GrantTypes                []string `json:"grant_types_supported"`
	SubjectTypes              []string `json:"subject_types_supported"`
	ACRValues                 []string `json:"acr_values_supported"`
	Claims                    []string `json:"claims_supported"`
	ClaimTypes                []string `json:"claim_types_supported"`
	ClaimsParameter           bool     `json:"claims_parameter_supported"`
	RequestParameter          bool     `json:"request_parameter_supported"`
	RequestURIParameter       bool     `json:"request_uri_parameter_supported"`
	CodeChallengeMethods      []string `json:"code_challenge_methods_supported"`
	UILocales                 []string `json:"ui_locales_supported"`
	Prompts                   []string `json:"prompt_values_supported"`
	ResponseIss               bool     `json:"authorization_response_iss_parameter_supported"`
	CertificateBound          bool     `json:"tls_client_certificate_bound_access_tokens"`
	BackChannelLogout         bool     `json:"backchannel_logout_supported"`
	BackChannelLogoutSession  bool     `json:"backchannel_logout_session_supported"`
	FrontChannelLogout        bool     `json:"frontchannel_logout_supported"`
	FrontChannelLogoutSession bool     `json:"frontchannel_logout_session_supported"`

	VerifiedClaims   bool     `json:"verified_claims_supported"`
	TrustFrameworks  []string `json:"trust_frameworks_supported"`
	Evidence         []string `json:"evidence_supported"`
	ClaimsInVerified []string `json:"claims_in_verified_claims_supported"`

	TokenAuthMethods            []AuthMethod              `json:"token_endpoint_auth_methods_supported"`
	TokenAuthAlgorithms         []jose.SignatureAlgorithm `json:"token_endpoint_auth_signing_alg_values_supported"`
	RevocationAuthMethods       []AuthMethod              `json:"revocation_endpoint_auth_methods_supported"`
	RevocationAuthAlgorithms    []jose.SignatureAlgorithm `json:"revocation_endpoint_auth_signing_alg_values_supported"`
	IntrospectionAuthMethods    []AuthMethod              `json:"introspection_endpoint_auth_methods_supported"`
	IntrospectionAuthAlgorithms []jose.SignatureAlgorithm `json:"introspection_endpoint_auth_signing_alg_values_supported"`
	IDTokenAlgorithms           []jose.SignatureAlgorithm `json:"id_token_signing_alg_values_supported"`
	UserInfoAlgorithms          []jose.SignatureAlgorithm `json:"userinfo_signing_alg_values_supported"`
	IDTokenKeyAlgorithms        []jose.KeyAlgorithm       `json:"id_token_encryption_alg_values_supported"`
	IDTokenContentAlgorithms    []jose.ContentEncryption  `json:"id_token_encryption_enc_values_supported"`
	UserInfoKeyAlgorithms       []jose.KeyAlgorithm       `json:"userinfo_encryption_alg_values_supported"`
	UserInfoContentAlgorithms   []jose.ContentEncryption  `json:"userinfo_encryption_enc_values_supported"`
	IntrospectionAlgorithms     []jose.SignatureAlgorithm `json:"introspection_signing_alg_values_supported"`
	AuthorizationAlgorithms     []jose.SignatureAlgorithm `json:"authorization_signing_alg_values_supported"`
	RequestObjectAlgorithms     []jose.SignatureAlgorithm `json:"request_object_signing_alg_values_supported"`
	RequestKeyAlgorithms        []jose.KeyAlgorithm       `json:"request_object_encryption_alg_values_supported,omitempty"`
	RequestContentAlgorithms    []jose.ContentEncryption  `json:"request_object_encryption_enc_values_supported,omitempty"`
	ProofAlgorithms             []jose.SignatureAlgorithm `json:"dpop_signing_alg_values_supported"`
}

func (p *Provider) discovery(w http.ResponseWriter, _ *http.Request) {
	var acr []string
	for _, word := range p.cfg.Mapping.Words(defaultVocabulary) {
		acr = append(acr, word.Value)
	}
	ours := p.cfg.Keys.Algorithms(p.cfg.Now())
	confidential := slices.DeleteFunc(authMethods(), func(m AuthMethod) bool { return m == AuthNone })
	registration := ""
	if len(p.cfg.Registration.Tokens) > 0 {
		registration = p.url("register")
	}
	var content []jose.ContentEncryption
	if len(p.decryption) > 0 {
		content = contentAlgorithms()
	}
	public(w.Header())
	p.json(w, http.StatusOK, discoveryDocument{
		RegistrationEndpoint:  registration,
		Issuer:                p.cfg.Issuer,
		AuthorizationEndpoint: p.url("authorize"),
		TokenEndpoint:         p.url("token"),
		UserinfoEndpoint:      p.url("userinfo"),
		JWKSURI:               p.url("jwks"),
		EndSessionEndpoint:    p.url("logout"),
		PushEndpoint:          p.url("par"),
		IntrospectionEndpoint: p.url("introspect"),
		RevocationEndpoint:    p.url("revoke"),
		DeviceEndpoint:        p.url("device_authorization"),
		Scopes:                allScopes(),
		ResponseTypes:         []string{"code"},
		ResponseModes:         responseModes(),
		GrantTypes:            slices.Sorted(maps.Keys(p.grantTypes())),
		SubjectTypes:          []string{"pairwise"},
		ACRValues:             acr,
		Claims:                allClaims(),
		ClaimTypes:            []string{"normal"},
		ClaimsParameter:       true,
		RequestParameter:      true,
		CodeChallengeMethods:  []string{"S256"},
		UILocales:             p.pages.Languages(),
		Prompts:               []string{"none", "login", "consent", "select_account"},
		ResponseIss:           true,
		CertificateBound:      true,
		BackChannelLogout:     true, BackChannelLogoutSession: true, FrontChannelLogout: true, FrontChannelLogoutSession: true,

		VerifiedClaims: true, TrustFrameworks: []string{"eidas"}, Evidence: []string{"electronic_record"}, ClaimsInVerified: append(personClaimNames(), "represents"),
		TokenAuthMethods: authMethods(), TokenAuthAlgorithms: signatureAlgorithms(),
		RevocationAuthMethods: authMethods(), RevocationAuthAlgorithms: signatureAlgorithms(),
		IntrospectionAuthMethods: confidential, IntrospectionAuthAlgorithms: signatureAlgorithms(),
		IDTokenKeyAlgorithms: keyAlgorithms(), IDTokenContentAlgorithms: contentAlgorithms(), UserInfoAlgorithms: ours,
		UserInfoKeyAlgorithms: keyAlgorithms(), UserInfoContentAlgorithms: contentAlgorithms(),
		IDTokenAlgorithms: ours, IntrospectionAlgorithms: ours, AuthorizationAlgorithms: ours,
		RequestObjectAlgorithms: signatureAlgorithms(), RequestKeyAlgorithms: p.decryptionAlgorithms(), RequestContentAlgorithms: content,
		ProofAlgorithms: modernAlgorithms(),
	})
}

func (p *Provider) jwks(w http.ResponseWriter, _ *http.Request) {
	public(w.Header())
	set := p.cfg.Keys.published(p.cfg.Now())
	for _, key := range p.decryption {
		set.Keys = append(set.Keys, key.public)
	}
	p.json(w, http.StatusOK, set)
}

func (p *Provider) json(w http.ResponseWriter, status int, body any) {
	data, err := json.Marshal(body)
	if err != nil { // only our own types come here
		status, data = http.StatusInternalServerError, []byte(`{"error":"server_error"}`)
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(data) // the reader may be gone
}
