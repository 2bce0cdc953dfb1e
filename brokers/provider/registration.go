package provider

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"mime"
	"net/http"
	"slices"
	"strings"

	"github.com/go-jose/go-jose/v4"

	"github.com/eidbridge/eidbridge/brokers"
	"github.com/eidbridge/eidbridge/brokers/abuse"
	"github.com/eidbridge/eidbridge/levels"
)

// RegistrationPolicy lets clients register themselves (RFC 7591), within what the
// operator allows. The zero value lets nobody.
type RegistrationPolicy struct {
	// Tokens are the hashes of the initial access tokens; without one nobody
	// registers.
	Tokens []brokers.Hash
	// Template holds what a registration cannot say or raise: level, methods,
	// scopes, vocabulary, single sign-on and the like. Its Scopes, RefreshTokens and
	// DeviceFlow bound what may be registered.
	Template Client
}

// clientMetadata is what a client says of itself (RFC 7591 2, OpenID Connect
// Dynamic Client Registration 1.0, RFC 8705, RFC 9126, RFC 9449, and the logout
// documents). Members that we do not know are ignored.
type clientMetadata struct {
	RedirectURIs    []string            `json:"redirect_uris,omitempty"`
	Name            string              `json:"client_name,omitempty"`
	ClientURI       string              `json:"client_uri,omitempty"`
	LogoURI         string              `json:"logo_uri,omitempty"`
	PolicyURI       string              `json:"policy_uri,omitempty"`
	TermsURI        string              `json:"tos_uri,omitempty"`
	Contacts        []string            `json:"contacts,omitempty"`
	ApplicationType string              `json:"application_type,omitempty"`
	Auth            AuthMethod          `json:"token_endpoint_auth_method,omitempty"`
	GrantTypes      []string            `json:"grant_types,omitempty"`
	ResponseTypes   []string            `json:"response_types,omitempty"`
	Scope           string              `json:"scope,omitempty"`
	JWKS            *jose.JSONWebKeySet `json:"jwks,omitempty"`
	JWKSURI         string              `json:"jwks_uri,omitempty"`
	SubjectType     string              `json:"subject_type,omitempty"`
	SectorURI       string              `json:"sector_identifier_uri,omitempty"`

	IDTokenAlgorithm      jose.SignatureAlgorithm `json:"id_token_signed_response_alg,omitempty"`
	IDTokenKey            jose.KeyAlgorithm       `json:"id_token_encrypted_response_alg,omitempty"`
	IDTokenContent        jose.ContentEncryption  `json:"id_token_encrypted_response_enc,omitempty"`
	UserInfoAlgorithm     jose.SignatureAlgorithm `json:"userinfo_signed_response_alg,omitempty"`
	UserInfoKey           jose.KeyAlgorithm       `json:"userinfo_encrypted_response_alg,omitempty"`
	UserInfoContent       jose.ContentEncryption  `json:"userinfo_encrypted_response_enc,omitempty"`
	AuthorizationSigning  jose.SignatureAlgorithm `json:"authorization_signed_response_alg,omitempty"`
	TLSSubject            string                  `json:"tls_client_auth_subject_dn,omitempty"`
	TLSName               string                  `json:"tls_client_auth_san_dns,omitempty"`
	CertificateBound      bool                    `json:"tls_client_certificate_bound_access_tokens,omitempty"`
	ProofBound            bool                    `json:"dpop_bound_access_tokens,omitempty"`
	RequirePushed         bool                    `json:"require_pushed_authorization_requests,omitempty"`
	RequireSigned         bool                    `json:"require_signed_request_object,omitempty"`
	PostLogoutURIs        []string                `json:"post_logout_redirect_uris,omitempty"`
	BackChannelLogoutURI  string                  `json:"backchannel_logout_uri,omitempty"`
	BackChannelSession    bool                    `json:"backchannel_logout_session_required,omitempty"`
	FrontChannelLogoutURI string                  `json:"frontchannel_logout_uri,omitempty"`
	FrontChannelSession   bool                    `json:"frontchannel_logout_session_required,omitempty"`
	DefaultMaxAge         *int                    `json:"default_max_age,omitempty"`
	RequireAuthTime       bool                    `json:"require_auth_time,omitempty"`
	DefaultACR            []string                `json:"default_acr_values,omitempty"`
}

// clientInformation is the answer of RFC 7591 3.2.1.
type clientInformation struct {
	clientMetadata
	ID               string `json:"client_id"`
	Secret           string `json:"client_secret,omitempty"`
	SecretExpiresAt  *int64 `json:"client_secret_expires_at,omitempty"`
	IssuedAt         int64  `json:"client_id_issued_at"`
	RegistrationURI  string `json:"registration_client_uri"`
	RegistrationAuth string `json:"registration_access_token,omitempty"`
}

func invalidMetadata(description string) *oauthError {
	return &oauthError{code: "invalid_client_metadata", description: description, reason: "client_metadata"}
}

// registered is the client that a registration makes, within the template.
func (p *Provider) registered(r *brokers.Registration) (*Client, error) {
	var m clientMetadata
	if err := json.Unmarshal(r.Metadata, &m); err != nil {
		return nil, fmt.Errorf("registration of %s: %w", r.ID, err)
	}
	c := p.cfg.Registration.Template
	c.ID, c.Name, c.Auth, c.SecretHash = r.ID, m.Name, m.Auth, r.SecretHash
	c.RedirectURIs, c.PostLogoutURIs = m.RedirectURIs, m.PostLogoutURIs
	c.BackChannelLogoutURI, c.FrontChannelLogoutURI = m.BackChannelLogoutURI, m.FrontChannelLogoutURI
	c.SigningAlgorithm, c.UserInfoSigned = m.IDTokenAlgorithm, m.UserInfoAlgorithm != ""
	c.IDTokenEncryption, c.UserInfoEncryption = Encryption{m.IDTokenKey, m.IDTokenContent}, Encryption{m.UserInfoKey, m.UserInfoContent}
	c.TLSSubject, c.TLSName = m.TLSSubject, m.TLSName
	c.CertificateBound = c.CertificateBound || m.CertificateBound
	c.SenderConstrained = c.SenderConstrained || m.CertificateBound || m.ProofBound
	c.RequirePushed, c.RequireSigned = c.RequirePushed || m.RequirePushed, c.RequireSigned || m.RequireSigned
	c.RefreshTokens = c.RefreshTokens && slices.Contains(m.GrantTypes, "refresh_token")
	c.DeviceFlow = c.DeviceFlow && slices.Contains(m.GrantTypes, deviceGrant)
	c.Scopes = slices.DeleteFunc(strings.Fields(m.Scope), func(s string) bool { return s == "openid" || s == offlineAccess })
	c.EitherSecret, c.PairwiseVersion = false, r.PairwiseVersion
	c.WithoutPKCE = c.WithoutPKCE && c.Auth != AuthNone
	c.DefaultMaxAge, c.DefaultACR = m.DefaultMaxAge, m.DefaultACR
	if m.JWKS != nil {
		c.Keys = m.JWKS.Keys
	}
	c.JWKSURI = m.JWKSURI
	if c.Sector == "" && len(m.RedirectURIs) > 0 {
		host, err := checkRedirectURI(cmp.Or(m.SectorURI, m.RedirectURIs[0]))
		if err != nil {
			return nil, err
		}
		c.Sector = host
	}
	return &c, c.complete(p.cfg.Mapping)
}

// fill replaces what is missing by what holds then, and refuses what cannot be
// had, so that the answer says what really was registered.
func (p *Provider) fill(ctx context.Context, m *clientMetadata) *oauthError {
	t := &p.cfg.Registration.Template
	if m.Auth == "" {
		m.Auth = AuthBasic
	}
	if len(m.GrantTypes) == 0 {
		m.GrantTypes = []string{"authorization_code"}
	}
	for _, g := range m.GrantTypes {
		if _, known := p.grantTypes()[g]; !known {
			return invalidMetadata("a grant type is not supported")
		}
	}
	m.GrantTypes = slices.DeleteFunc(m.GrantTypes, func(g string) bool {
		return g == "refresh_token" && !t.RefreshTokens || g == deviceGrant && !t.DeviceFlow
	})
	if len(m.ResponseTypes) == 0 {
		m.ResponseTypes = []string{"code"}
	}
	if !slices.Equal(m.ResponseTypes, []string{"code"}) {
		return invalidMetadata("the only response type is code")
	}
	if m.JWKSURI != "" && m.JWKS != nil { // RFC 7591 2
		return invalidMetadata("jwks and jwks_uri exclude each other")
	}
	m.SubjectType = "pairwise"
	ours := p.cfg.Keys.Algorithms(p.cfg.Now())
	if m.IDTokenAlgorithm == "" && slices.Contains(ours, jose.RS256) && t.Profile == "" {
		m.IDTokenAlgorithm = jose.RS256 // the default of the document
	} else if m.IDTokenAlgorithm == "" {
		m.IDTokenAlgorithm = jose.ES256
	}
	for _, a := range []jose.SignatureAlgorithm{m.IDTokenAlgorithm, m.UserInfoAlgorithm, m.AuthorizationSigning} {
		if a != "" && (!slices.Contains(ours, a) || a != m.IDTokenAlgorithm) {
			return invalidMetadata("an algorithm is not supported; one algorithm signs everything for a client")
		}
	}
	allowed := slices.Concat([]string{"openid", offlineAccess}, t.Scopes)
	if m.Scope == "" {
		m.Scope = strings.Join(allowed, " ")
	}
	m.Scope = strings.Join(slices.DeleteFunc(strings.Fields(m.Scope), func(s string) bool { return !slices.Contains(allowed, s) }), " ")
	for _, uri := range []string{m.ClientURI, m.LogoURI, m.PolicyURI, m.TermsURI} {
		if uri != "" && !strings.HasPrefix(uri, "https://") { // O-78
			return invalidMetadata("addresses for people begin with https://")
		}
	}
	if m.DefaultMaxAge != nil && (*m.DefaultMaxAge < 0 || *m.DefaultMaxAge > maxSeconds) {
		return invalidMetadata("default_max_age is not a number of seconds")
	}
	return p.checkHosts(ctx, m)
}

// checkHosts makes one sector of all redirect URIs (OpenID Connect Core 8.1): their
// host, or that of a document which names them all.
func (p *Provider) checkHosts(ctx context.Context, m *clientMetadata) *oauthError {
	shared := ""
	for _, uri := range m.RedirectURIs {
		host, err := checkRedirectURI(uri)
		if err != nil || shared != "" && host != shared && m.SectorURI == "" {
			return &oauthError{code: "invalid_redirect_uri", description: "redirect URIs are https and share one host, or have a sector_identifier_uri", reason: "redirect_uri"}
		}
		shared = host
	}
	if shared == "" {
		return &oauthError{code: "invalid_redirect_uri", description: "a client has at least one redirect URI", reason: "redirect_uri"}
	}
	if m.SectorURI != "" {
		return p.checkSector(ctx, m)
	}
	return nil
}

// register takes a new client in (RFC 7591 3).
func (p *Provider) register(w http.ResponseWriter, r *http.Request) {
	if problem := p.mayTry(r, abuse.Registration, ""); problem != nil {
		p.refuseRegistration(w, r, problem)
		return
	}
	token := bearer(r)
	if !slices.ContainsFunc(p.cfg.Registration.Tokens, func(h brokers.Hash) bool { return h.Matches(token) }) {
		p.cfg.Guard.Failed(r.Context(), abuse.Registration, p.cfg.ClientAddress(r), "")
		p.refuseRegistration(w, r, &oauthError{code: "invalid_token", reason: "initial_access_token"})
		return
	}
	id, err := p.random(16)
	if err != nil {
		p.refuseRegistration(w, r, serverError("randomness"))
		return
	}
	registration := &brokers.Registration{ID: id, PairwiseVersion: 1 + len(p.cfg.LaterPairwiseSecrets), CreatedAt: p.cfg.Now()}
	p.keepRegistration(w, r, registration, p.cfg.Store.SaveRegistration, http.StatusCreated)
}

// keepRegistration reads the metadata, makes secrets, keeps all and answers.
func (p *Provider) keepRegistration(w http.ResponseWriter, r *http.Request, registration *brokers.Registration, save func(context.Context, *brokers.Registration) error, status int) {
	m, problem := readMetadata(w, r, registration.ID)
	if problem == nil {
		problem = p.fill(r.Context(), m)
	}
	if problem != nil {
		p.refuseRegistration(w, r, problem)
		return
	}
	info := clientInformation{clientMetadata: *m, ID: registration.ID, IssuedAt: numericDate(registration.CreatedAt), RegistrationURI: p.url("register", registration.ID)}
	var err, errToken error
	if m.Auth == AuthBasic || m.Auth == AuthPost {
		info.Secret, err = p.random(32)
		info.SecretExpiresAt = new(int64) // never
		registration.SecretHash = brokers.HashOf(info.Secret)
	} else {
		registration.SecretHash = brokers.Hash{}
	}
	info.RegistrationAuth, errToken = p.random(32)
	registration.Token = brokers.HashOf(info.RegistrationAuth)
	if err := errors.Join(err, errToken); err != nil {
		p.refuseRegistration(w, r, serverError("randomness"))
		return
	}
	if registration.Metadata, err = json.Marshal(m); err != nil {
		p.refuseRegistration(w, r, serverError("encoding"))
		return
	}
	if _, err := p.registered(registration); err != nil {
		p.refuseRegistration(w, r, invalidMetadata(err.Error()))
		return
	}
	if err := save(r.Context(), registration); err != nil {
		p.refuseRegistration(w, r, p.storeProblem(r.Context(), "keeping registration", err))
		return
	}
	p.record(r.Context(), "client.registered", "ok", slog.String("client", registration.ID))
	p.json(w, status, info)
}

// readMetadata reads the body of a registration.
func readMetadata(w http.ResponseWriter, r *http.Request, id string) (*clientMetadata, *oauthError) {
	kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || kind != "application/json" {
		return nil, invalidMetadata("the body is not JSON")
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxRegistration))
	if err != nil {
		return nil, invalidMetadata("the body is too large")
	}
	if checkJSON(body, maxJWTDepth) != nil {
		return nil, invalidMetadata("the body is malformed JSON")
	}
	var named struct {
		ID *string `json:"client_id"`
	}
	m := new(clientMetadata)
	if json.Unmarshal(body, &named) != nil || json.Unmarshal(body, m) != nil {
		return nil, invalidMetadata("a member has the wrong type")
	}
	if named.ID != nil && *named.ID != id && r.Method == http.MethodPut { // RFC 7592 2.2
		return nil, invalidMetadata("client_id is another client's")
	}
	for _, list := range [][]string{m.RedirectURIs, m.PostLogoutURIs, m.Contacts, m.GrantTypes, m.ResponseTypes, m.DefaultACR} {
		if len(list) > maxListed {
			return nil, invalidMetadata("a list is too long")
		}
	}
	if len(m.Name) > maxName || !isText(m.Name) {
		return nil, invalidMetadata("client_name is too long or has control characters")
	}
	return m, nil
}

// manageRegistration lets a client read, replace or remove its registration
// (RFC 7592 2).
func (p *Provider) manageRegistration(w http.ResponseWriter, r *http.Request) {
	registration, err := p.cfg.Store.Registration(r.Context(), r.PathValue("id"))
	if err != nil && !errors.Is(err, brokers.ErrNotFound) {
		p.refuseRegistration(w, r, p.storeProblem(r.Context(), "loading registration", err))
		return
	}
	if problem := p.mayTry(r, abuse.Registration, ""); problem != nil {
		p.refuseRegistration(w, r, problem)
		return
	}
	if err != nil || registration.Operator || registration.Disabled || registration.Token == (brokers.Hash{}) || !registration.Token.Matches(bearer(r)) {
		p.cfg.Guard.Failed(r.Context(), abuse.Registration, p.cfg.ClientAddress(r), "")
		p.refuseRegistration(w, r, &oauthError{code: "invalid_token", reason: "registration_access_token"})
		return
	}
	switch r.Method {
	case http.MethodGet:
		info := clientInformation{ID: registration.ID, IssuedAt: numericDate(registration.CreatedAt), RegistrationURI: p.url("register", registration.ID)}
		if err := json.Unmarshal(registration.Metadata, &info.clientMetadata); err != nil {
			p.refuseRegistration(w, r, serverError("decoding"))
			return
		}
		if registration.SecretHash != (brokers.Hash{}) {
			info.SecretExpiresAt = new(int64)
		}
		p.json(w, http.StatusOK, info)
	case http.MethodPut:
		p.keepRegistration(w, r, registration, p.cfg.Store.ReplaceRegistration, http.StatusOK)
	default:
		if err := p.cfg.Store.DeleteRegistration(r.Context(), registration.ID); err != nil {
			p.refuseRegistration(w, r, p.storeProblem(r.Context(), "removing registration", err))
			return
		}
		p.record(r.Context(), "client.removed", "ok", slog.String("client", registration.ID))
		w.WriteHeader(http.StatusNoContent)
	}
}

func (p *Provider) refuseRegistration(w http.ResponseWriter, r *http.Request, problem *oauthError) {
	p.record(r.Context(), "registration.refused", problem.reason)
	status := problem.status()
	if problem.retry > 0 {
		w.Header().Set("Retry-After", seconds(problem.retry))
	}
	if problem.code == "invalid_token" {
		status = http.StatusUnauthorized
		w.Header().Set("WWW-Authenticate", `Bearer error="invalid_token"`)
	}
	p.json(w, status, errorResponse{Error: problem.code, Description: problem.description})
}

// bearer is the bearer token of a request, or empty.
func bearer(r *http.Request) string {
	headers := r.Header.Values("Authorization")
	if len(headers) != 1 {
		return ""
	}
	scheme, token, _ := strings.Cut(headers[0], " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return ""
	}
	return token
}

// errPairwise is a client that keeps a version of the pairwise secret which is not
// configured.
var errPairwise = errors.New("this version of the pairwise secret is not there")

// client finds a client: configured ones first, then registered ones.
func (p *Provider) client(ctx context.Context, id string) (*Client, error) {
	c, err := p.cfg.Clients.Client(ctx, id)
	if err == nil && c.PairwiseVersion > 1+len(p.cfg.LaterPairwiseSecrets) {
		return nil, fmt.Errorf("client %s, version %d: %w", id, c.PairwiseVersion, errPairwise)
	}
	if !errors.Is(err, brokers.ErrNotFound) || len(id) > maxID {
		return c, err
	}
	registration, err := p.cfg.Store.Registration(ctx, id)
	if err != nil {
		return nil, err
	}
	switch {
	case registration.Disabled:
		return nil, brokers.ErrNotFound
	case registration.Operator:
		return p.kept(registration)
	case len(p.cfg.Registration.Tokens) == 0:
		return nil, brokers.ErrNotFound
	}
	return p.registered(registration)
}

// kept is a client that an operator keeps in the store.
func (p *Provider) kept(r *brokers.Registration) (*Client, error) {
	var s ClientSettings
	if err := json.Unmarshal(r.Metadata, &s); err != nil {
		return nil, fmt.Errorf("client %s: %w", r.ID, err)
	}
	c, err := s.Client()
	if err != nil {
		return nil, err
	}
	if err := c.complete(p.cfg.Mapping); err != nil {
		return nil, &ClientError{c.ID, err}
	}
	if c.PairwiseVersion > 1+len(p.cfg.LaterPairwiseSecrets) {
		return nil, fmt.Errorf("client %s, version %d: %w", r.ID, c.PairwiseVersion, errPairwise)
	}
	return &c, nil
}

// checkTemplate refuses a policy that could register nothing.
func (r *RegistrationPolicy) check() error {
	if len(r.Tokens) == 0 {
		return nil
	}
	if r.Template.MinLevel == levels.None {
		return errors.New("provider: the template for registrations states the least level")
	}
	for _, scope := range r.Template.Scopes {
		if !isScope(scope) {
			return fmt.Errorf("provider: the template for registrations has the unknown scope %q", scope)
		}
	}
	return nil
}
