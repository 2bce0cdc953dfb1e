package oidcup

import (
	"crypto"
	"crypto/rand"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/eidbridge/eidbridge/brokers"
	"github.com/eidbridge/eidbridge/levels"
)

// Kind is the manner of an upstream.
type Kind string

// The kinds.
const (
	// TARA is Estonia's authentication service.
	TARA Kind = "tara"
	// FranceConnect gives a pairwise identifier, and names by user information.
	FranceConnect Kind = "franceconnect"
	// Generic is any other.
	Generic Kind = "generic"
)

// Auth is how we prove ourselves at the token endpoint.
type Auth string

// The ways (OpenID Connect Core 9).
const (
	SecretBasic   Auth = "client_secret_basic"
	SecretPost    Auth = "client_secret_post"
	PrivateKeyJWT Auth = "private_key_jwt"
)

// Method is a way to log in at the upstream.
type Method struct {
	// ID is unique within the upstream.
	ID string
	// Name is the text on the button by language tag.
	Name map[string]string
	// Scopes are asked for beside those of the configuration: TARA's "mid".
	Scopes []string
	// AMR, if not empty, are the values of amr of which one has to come back: a
	// scope can be changed in the browser.
	AMR []string
	// MaxLevel, if not None, is what the method can reach at most.
	MaxLevel levels.Level
	// Event lists the amr values (RFC 8176) to report; default those of the mapping.
	Event []string
}

// Config is a connection. Fields without a default are required.
type Config struct {
	// ID is default the kind.
	ID   string
	Kind Kind
	// Issuer is https, or http on this machine only.
	Issuer   string
	ClientID string
	// Auth is default SecretBasic; Secret goes with the first two, Key and KeyID with
	// PrivateKeyJWT.
	Auth   Auth
	Secret string
	Key    crypto.Signer
	KeyID  string
	// RedirectURL is our callback.
	RedirectURL string
	// Scopes are asked for beside "openid".
	Scopes []string
	// Hosts are further hosts on which endpoints may be; default the issuer's only.
	Hosts []string
	// Roots judge the upstream's certificates; nil are the system's.
	Roots *x509.CertPool
	// Algorithms sign ID tokens; default RS256, ES256 and PS256, for TARA RS256.
	Algorithms []jose.SignatureAlgorithm
	// DecryptionKeys open ID tokens, which then have to be encrypted.
	DecryptionKeys []jose.JSONWebKey
	// Push sends authorization requests by the back channel (RFC 9126), WithoutPKCE
	// leaves RFC 7636 out (TARA does always).
	Push, WithoutPKCE bool
	// UserInfo also asks the user information endpoint; SignedUserInfo demands a JWT
	// there.
	UserInfo, SignedUserInfo bool
	// Scheme names the classes in the mapping; default the kind's.
	Scheme string
	// SubjectScheme is the scheme of subject keys of generic upstreams: "xx-example".
	SubjectScheme string
	// Country issues the identities, ISO 3166-1 alpha-2; default EE or FR by kind.
	Country string
	// Methods are what is offered; default those of the kind.
	Methods []Method
	// Mapping is default levels.Default(); MaxLevel, if not None, is a ceiling.
	Mapping  *levels.Mapping
	MaxLevel levels.Level
	// Replay remembers ID tokens.
	Replay Replay
	// Skew is how far the upstream's clock may be off; default 60 s, at most 180 s.
	Skew time.Duration
	// Clock and Rand are default time.Now and crypto/rand.
	Clock func() time.Time
	Rand  io.Reader
}

func (c *Config) complete() {
	tara := c.Kind == TARA
	if c.ID == "" {
		c.ID = string(c.Kind)
	}
	if c.Auth == "" {
		c.Auth = SecretBasic
	}
	if c.Algorithms == nil {
		c.Algorithms = []jose.SignatureAlgorithm{jose.RS256, jose.ES256, jose.PS256}
		if tara {
			c.Algorithms = []jose.SignatureAlgorithm{jose.RS256}
		}
	}
	if tara {
		c.WithoutPKCE = true // unknown parameters are not part of its protocol
	}
	if c.Kind == FranceConnect {
		c.UserInfo = true
		if c.Scopes == nil {
			c.Scopes = []string{"given_name", "family_name", "birthdate"}
		}
	}
	if c.Scheme == "" {
		c.Scheme = string(c.Kind)
	}
	if c.Country == "" {
		c.Country = map[Kind]string{TARA: "EE", FranceConnect: "FR"}[c.Kind]
	}
	if c.Methods == nil {
		c.Methods = methodsOf(c.Kind, c.ID)
	}
	if c.Mapping == nil {
		c.Mapping = levels.Default()
	}
	if c.Skew == 0 {
		c.Skew = time.Minute
	}
	if c.Clock == nil {
		c.Clock = time.Now
	}
	if c.Rand == nil {
		c.Rand = rand.Reader
	}
}

func (c *Config) check() error {
	switch c.Kind {
	case TARA, FranceConnect:
	case Generic:
		if c.SubjectScheme == "" || strings.Trim(c.SubjectScheme, "abcdefghijklmnopqrstuvwxyz0123456789-") != "" {
			return errors.New("scheme of subject keys is missing or has other than lower-case letters, digits and hyphens")
		}
		// Only who checks identifiers may say that they are of a register, and nobody
		// may speak for those whom another kind of upstream names (threat X-97).
		if reservedScheme(c.SubjectScheme) {
			return fmt.Errorf("subject keys of a generic upstream cannot be of scheme %s", c.SubjectScheme)
		}
	default:
		return fmt.Errorf("kind %q is not tara, franceconnect or generic", c.Kind)
	}
	if !secureURL(c.Issuer) || strings.ContainsAny(c.Issuer, "?#") {
		return fmt.Errorf("issuer %q is not https; plain http is for this machine only", c.Issuer)
	}
	if !secureURL(c.RedirectURL) {
		return errors.New("callback is not https; plain http is for this machine only")
	}
	switch {
	case c.ClientID == "":
		return errors.New("client ID is missing")
	case c.Auth == PrivateKeyJWT && c.Key == nil:
		return errors.New("key for private_key_jwt is missing")
	case c.Auth != PrivateKeyJWT && c.Secret == "":
		return errors.New("client secret is missing")
	case c.Auth != SecretBasic && c.Auth != SecretPost && c.Auth != PrivateKeyJWT:
		return fmt.Errorf("client authentication %q is not known", c.Auth)
	case c.Replay == nil:
		return errors.New("replay store is missing")
	case c.Skew < 0 || c.Skew > 3*time.Minute:
		return errors.New("clock skew is not between 0 and 3 minutes")
	case len(c.Country) != 2:
		return errors.New("country is missing")
	case len(c.Methods) == 0:
		return errors.New("there is no method")
	case c.SignedUserInfo && !c.UserInfo:
		return errors.New("signed user information is demanded but not asked for")
	}
	for _, algorithm := range c.Algorithms {
		if !slices.Contains([]jose.SignatureAlgorithm{jose.RS256, jose.RS384, jose.RS512, jose.PS256, jose.PS384, jose.PS512, jose.ES256, jose.ES384, jose.ES512, jose.EdDSA}, algorithm) {
			return fmt.Errorf("signature algorithm %q is not accepted", algorithm)
		}
	}
	return nil
}

func secureURL(text string) bool {
	u, err := url.Parse(text)
	return err == nil && u.Host != "" && u.User == nil && u.Fragment == "" && (u.Scheme == "https" || u.Scheme == "http" && loopback(u.Hostname()))
}

func loopback(host string) bool { return host == "localhost" || host == "127.0.0.1" || host == "::1" }

// Upstream is one connection. It is safe for concurrent use.
type Upstream struct {
	c       Config
	source  *source
	methods []brokers.Method
}

// New checks a configuration. It fetches nothing yet.
func New(c Config) (*Upstream, error) {
	c.complete()
	if err := c.check(); err != nil {
		return nil, fmt.Errorf("upstream %s: %w", c.ID, err)
	}
	u := &Upstream{c: c, source: newSource(&c)}
	rows := c.Mapping.Rows(c.Scheme)
	best := levels.None
	for _, row := range rows {
		best = max(best, row.Level)
	}
	if best == levels.None {
		return nil, fmt.Errorf("upstream %s: the mapping has no classes of scheme %q", c.ID, c.Scheme)
	}
	for _, m := range c.Methods {
		level := best
		for _, most := range []levels.Level{c.MaxLevel, m.MaxLevel} {
			if most != levels.None {
				level = min(level, most)
			}
		}
		u.methods = append(u.methods, brokers.Method{ID: m.ID, Level: level, Name: m.Name})
	}
	return u, nil
}

// methodsOf are the usual methods of a kind. TARA has one for each scope, because
// what a citizen picks here is what TARA shows.
func methodsOf(k Kind, id string) []Method {
	name := func(en, et, es, nl string) map[string]string {
		return map[string]string{"en": en, "et": et, "es": es, "nl": nl}
	}
	switch k {
	case TARA:
		return []Method{
			{ID: "tara-idcard", Name: name("ID card (TARA)", "ID-kaart (TARA)", "Tarjeta de identidad (TARA)", "Identiteitskaart (TARA)"), Scopes: []string{"idcard"}, AMR: []string{"idcard"}, Event: []string{"sc", "hwk", "pin", "mfa"}},
			{ID: "tara-mid", Name: name("Mobile-ID (TARA)", "Mobiil-ID (TARA)", "Mobile-ID (TARA)", "Mobile-ID (TARA)"), Scopes: []string{"mid"}, AMR: []string{"mID"}, Event: []string{"hwk", "pin", "mca", "mfa"}},
			{ID: "tara-smartid", Name: name("Smart-ID (TARA)", "Smart-ID (TARA)", "Smart-ID (TARA)", "Smart-ID (TARA)"), Scopes: []string{"smartid"}, AMR: []string{"smartid"}, Event: []string{"swk", "pin", "mfa"}},
			{ID: "tara-eidas", Name: name("EU eID (TARA)", "EL eID (TARA)", "eID de la UE (TARA)", "EU-eID (TARA)"), Scopes: []string{"eidasonly"}, AMR: []string{"eIDAS"}},
		}
	case FranceConnect:
		return []Method{{ID: id, Name: map[string]string{"en": "FranceConnect"}}}
	case Generic:
	}
	return []Method{{ID: id, Name: map[string]string{"en": id}}}
}

// ID implements brokers.Upstream.
func (u *Upstream) ID() string { return u.c.ID }

// Methods implements brokers.Upstream.
func (u *Upstream) Methods() []brokers.Method { return slices.Clone(u.methods) }

// Destinations implements brokers.Destined: the issuer's host and those that the
// operator listed.
func (u *Upstream) Destinations() []string {
	issuer, err := url.Parse(u.c.Issuer)
	if err != nil {
		return nil
	}
	list := []string{issuer.Scheme + "://" + issuer.Host}
	for _, host := range u.c.Hosts {
		list = append(list, issuer.Scheme+"://"+host)
	}
	return list
}

// method finds what was chosen.
func (u *Upstream) method(id string) (Method, levels.Level, bool) {
	for i, m := range u.c.Methods {
		if m.ID == id {
			return m, u.methods[i].Level, true
		}
	}
	return Method{}, levels.None, false
}

// Offer leaves only some methods, in the order of the configuration.
func (u *Upstream) Offer(ids []string) error {
	for _, id := range ids {
		if _, _, ok := u.method(id); !ok {
			return fmt.Errorf("upstream %s: method %q is not known", u.c.ID, id)
		}
	}
	left := func(id string) bool { return !slices.Contains(ids, id) }
	u.c.Methods = slices.DeleteFunc(u.c.Methods, func(m Method) bool { return left(m.ID) })
	u.methods = slices.DeleteFunc(u.methods, func(m brokers.Method) bool { return left(m.ID) })
	return nil
}

// franceConnectScheme is the scheme of FranceConnect's subject keys.
const franceConnectScheme = "fr-fc"

// reservedScheme tells whether subject keys of a scheme come from other kinds of
// upstreams: registers, eIDAS, FranceConnect, pseudonyms, and the numbers of
// certificates ("lv-pno").
func reservedScheme(scheme string) bool {
	_, kind, _ := strings.Cut(scheme, "-")
	return slices.Contains([]string{"ee-ik", "es-nif", "nl-bsn", "nl-pseudo", "eidas", "eidas-legal", franceConnectScheme}, scheme) ||
		slices.Contains([]string{"pno", "idc", "pas", "tin"}, kind)
}

// Names tells whose names its subject keys are: of a scheme, given by an issuer.
// Two issuers must not share a scheme, or one's people would be the other's. The
// scheme is empty where identifiers are those of a register, which are checked.
func (u *Upstream) Names() (scheme, issuer string) {
	switch u.c.Kind {
	case Generic:
		return u.c.SubjectScheme, u.c.Issuer
	case FranceConnect:
		return franceConnectScheme, u.c.Issuer
	}
	return "", u.c.Issuer
}
