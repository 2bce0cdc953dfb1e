package loadtarget

import (
	"crypto/x509"
	"encoding/pem"
	"io"
	"log/slog"
	"net/http"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/eidbridge/eidbridge/brokers"
	"github.com/eidbridge/eidbridge/brokers/abuse"
	"github.com/eidbridge/eidbridge/brokers/provider"
	"github.com/eidbridge/eidbridge/levels"
)

// The clients.
const (
	mainClient       = "load"
	secondClient     = "load-2"
	keyClient        = "load-key"
	fapiClient       = "load-fapi"
	secondFAPIClient = "load-fapi-2"
	tlsClient        = "load-tls"
	secondTLSClient  = "load-tls-2"
)

// patience is how many wrong tries cost a tool nothing.
const patience = 1_000_000

// callbackPath is a page of the target's own, so that a tool which follows every
// redirection gets somewhere.
const callbackPath = "/load-target/callback"

// Options are what a target can be told.
type Options struct {
	// Issuer is the address at which it will be served, without a path.
	Issuer  string
	Store   provider.Store
	Secrets *Secrets
	// Persons is how many numbered persons take turns, default one. A login_hint
	// that is a number chooses the person.
	Persons int
	// RedirectURIs of the clients, default a page of the target's own;
	// PostLogoutURIs likewise.
	RedirectURIs, PostLogoutURIs []string
	// BackChannelLogoutURI and FrontChannelLogoutURI of the clients, default none.
	BackChannelLogoutURI, FrontChannelLogoutURI string
	// SigningAlgorithm of ID tokens, default ES256.
	SigningAlgorithm jose.SignatureAlgorithm
	// Ask offers two methods, so that a page asks which, with a button to cancel.
	Ask bool
	// Redirect sends browsers through the upstream's login page, which sends them back
	// at once, as national schemes do; otherwise the upstream is brokers.Immediate.
	Redirect bool
	// PKCE insists on PKCE, which the first clients may otherwise leave out.
	PKCE bool
	// Lifetimes of codes and tokens; zero values stand for the provider's defaults.
	Lifetimes provider.Lifetimes
	// Outgoing posts logout tokens, default the provider's own client.
	Outgoing *http.Client
	// InFlight bounds the requests served at once, default that of the provider. All may
	// be for the upstream, which waits for nobody.
	InFlight int
	// Log is the audit log, default nowhere.
	Log *slog.Logger
	// Now is default time.Now.
	Now func() time.Time
}

// Target is a broker that is ready to be driven.
type Target struct {
	*provider.Provider
	description Description
	figures     http.Handler
}

// Client is what a tool has to know of a client.
type Client struct {
	ID          string `json:"client_id"`
	Secret      string `json:"client_secret,omitempty"`
	RedirectURI string `json:"redirect_uri"`
	// Key is the client's private key, for private_key_jwt.
	Key *jose.JSONWebKey `json:"jwk,omitempty"`
	// Certificate and PrivateKey are PEM, for a client that shows a certificate.
	Certificate string `json:"certificate,omitempty"`
	PrivateKey  string `json:"private_key,omitempty"`
}

// Description is what a tool has to know. The first client takes its secret by
// either method, and knows every scope.
type Description struct {
	Issuer string `json:"issuer"`
	Client
	PostLogoutRedirectURI string `json:"post_logout_redirect_uri"`
	// Scope is all that the clients may ask for.
	Scope string `json:"scope"`
	// Second is another client like the first; PrivateKeyJWT one that signs; FAPI
	// and SecondFAPI two of the FAPI 2.0 profile.
	Second        Client `json:"second_client"`
	PrivateKeyJWT Client `json:"private_key_jwt_client"`
	FAPI          Client `json:"fapi_client"`
	SecondFAPI    Client `json:"second_fapi_client"`
	// TLS and SecondTLS are two of the FAPI 2.0 profile that show a certificate, to
	// which their tokens are bound.
	TLS       Client `json:"tls_client"`
	SecondTLS Client `json:"second_tls_client"`
	// InitialAccessToken lets further clients register themselves.
	InitialAccessToken string `json:"initial_access_token"`
}

// New makes a target.
func New(o Options) (*Target, error) {
	if o.Persons < 1 {
		o.Persons = 1
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	own := []string{o.Issuer + callbackPath}
	if len(o.RedirectURIs) == 0 {
		o.RedirectURIs = own
	}
	if len(o.PostLogoutURIs) == 0 {
		o.PostLogoutURIs = own
	}
	keys, err := o.Secrets.keys()
	if err != nil {
		return nil, err
	}
	mapping := levels.Default()
	clients, err := provider.NewStaticClients(mapping, o.clients())
	if err != nil {
		return nil, err
	}
	approver := &approver{
		callback: o.Issuer + "/upstream/" + upstreamID + "/callback", mapping: mapping, persons: uint64(o.Persons), methods: methods(o.Ask), now: o.Now,
	}
	var upstream brokers.Upstream = immediate{approver}
	if o.Redirect {
		upstream = approver
	}
	// A conformance tool is wrong on purpose, again and again.
	guard, err := abuse.New(abuse.Settings{FreeTries: patience, AddressTries: patience, BanAfter: patience}, abuse.Options{
		Strikes: o.Store, Key: provider.GuardKey(o.Secrets.Pairwise), Audit: o.Log, Now: o.Now,
	})
	if err != nil {
		return nil, err
	}
	p, err := provider.New(provider.Config{
		Guard: guard, Issuer: o.Issuer, Clients: clients, Store: o.Store, Keys: keys, PairwiseSecret: o.Secrets.Pairwise, Mapping: mapping,
		Upstreams:    []brokers.Upstream{upstream},
		Registration: provider.RegistrationPolicy{Tokens: []brokers.Hash{brokers.HashOf(o.Secrets.RegistrationToken)}, Template: o.template()},
		Freshness:    brokers.Freshness{Low: 8 * time.Hour, Substantial: 30 * time.Minute, High: 5 * time.Minute},
		Lifetimes:    o.Lifetimes, Outgoing: o.Outgoing, InFlight: o.InFlight, UpstreamInFlight: o.InFlight, Log: o.Log, Now: o.Now,
	})
	if err != nil {
		return nil, err
	}
	figures, err := figures(o.Store)
	if err != nil {
		return nil, err
	}
	return &Target{Provider: p, description: o.describe(), figures: figures}, nil
}

// scopes are all that clients may ask for, beside openid and offline_access.
func scopes() []string {
	return []string{"profile", "email", "phone", "address", "name", "birthdate", "age", "age_over_16", "age_over_18", "national_id"}
}

// template is what all clients have in common.
func (o *Options) template() provider.Client {
	return provider.Client{
		MinLevel: levels.Low, Scopes: scopes(), SingleSignOn: true, RefreshTokens: true, DeviceFlow: true, WithoutPKCE: !o.PKCE,
	}
}

// clients are the registrations.
func (o *Options) clients() []provider.Client {
	common := o.template()
	common.RedirectURIs, common.PostLogoutURIs, common.Sector, common.WithoutPKCE = o.RedirectURIs, o.PostLogoutURIs, "load-target", false
	common.BackChannelLogoutURI, common.FrontChannelLogoutURI = o.BackChannelLogoutURI, o.FrontChannelLogoutURI
	var list []provider.Client
	for _, id := range []string{mainClient, secondClient} {
		c := common
		c.ID, c.Name, c.Auth, c.SecretHash = id, "Load tool", provider.AuthBasic, brokers.HashOf(o.Secrets.ClientSecrets[id])
		c.EitherSecret, c.WithoutPKCE, c.SigningAlgorithm = true, !o.PKCE, o.SigningAlgorithm
		list = append(list, c)
	}
	for _, id := range []string{keyClient, fapiClient, secondFAPIClient, tlsClient, secondTLSClient} {
		c, key := common, o.Secrets.ClientKeys[id]
		c.ID, c.Name, c.Auth, c.Keys = id, "Load tool with a key", provider.AuthPrivateKeyJWT, []jose.JSONWebKey{key.Public()}
		if id == tlsClient || id == secondTLSClient {
			c.Auth, c.CertificateBound = provider.AuthSelfSignedTLS, true
		}
		if id != keyClient {
			c.Profile, c.SigningAlgorithm = provider.FAPI2, jose.PS256
		}
		list = append(list, c)
	}
	return list
}

func (o *Options) describe() Description {
	client := func(id string) Client {
		c := Client{ID: id, Secret: o.Secrets.ClientSecrets[id], RedirectURI: o.RedirectURIs[0]}
		if key, ok := o.Secrets.ClientKeys[id]; ok {
			c.Key = &key
		}
		return c
	}
	withCertificate := func(id string) Client {
		c := client(id)
		c.Certificate = string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: o.Secrets.Certificates[id]}))
		if der, err := x509.MarshalPKCS8PrivateKey(c.Key.Key); err == nil {
			c.PrivateKey = string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
		}
		return c
	}
	d := Description{
		Issuer: o.Issuer, Client: client(mainClient), PostLogoutRedirectURI: o.PostLogoutURIs[0], Scope: "openid offline_access",
		Second: client(secondClient), PrivateKeyJWT: client(keyClient), FAPI: client(fapiClient), SecondFAPI: client(secondFAPIClient),
		TLS: withCertificate(tlsClient), SecondTLS: withCertificate(secondTLSClient), InitialAccessToken: o.Secrets.RegistrationToken,
	}
	for _, scope := range scopes() {
		d.Scope += " " + scope
	}
	return d
}

// Describe says what a tool has to know.
func (t *Target) Describe() Description { return t.description }

// ServeHTTP is the provider, with the page to which browsers come back, and figures.
func (t *Target) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch r.URL.Path {
	case callbackPath:
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		_, _ = io.WriteString(w, "back at the load tool\n") // the tool may be gone
	case figuresPath:
		t.figures.ServeHTTP(w, r)
	default:
		t.Provider.ServeHTTP(w, r)
	}
}
