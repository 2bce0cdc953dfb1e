package main

import (
	"bytes"
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/pelletier/go-toml/v2"

	"github.com/eidbridge/eidbridge/brokers"
	"github.com/eidbridge/eidbridge/brokers/provider"
	"github.com/eidbridge/eidbridge/levels"
)

//go:embed default.toml
var defaultConfig []byte

// maxConfig bounds the configuration file, in bytes.
const maxConfig = 1 << 20

// config is the configuration file; default.toml says what each key means.
type config struct {
	Issuer              string          `toml:"issuer"`
	Lab                 bool            `toml:"lab"`
	Listen              string          `toml:"listen"`
	TrustedProxies      []netip.Prefix  `toml:"trusted_proxies"`
	Database            string          `toml:"database"`
	DatabaseConnections int             `toml:"database_connections"`
	SigningKey          string          `toml:"signing_key"`
	RSASigningKey       string          `toml:"rsa_signing_key"`
	PublishedKeys       []string        `toml:"published_keys"`
	PairwiseSecret      string          `toml:"pairwise_secret"`
	LaterPairwise       []string        `toml:"later_pairwise_secrets"`
	MasterKeys          []string        `toml:"master_keys"`
	AuditLog            string          `toml:"audit_log"`
	MonitorListen       string          `toml:"monitor_listen"`
	AdminListen         string          `toml:"admin_listen"`
	AdminTokens         string          `toml:"admin_tokens"`
	Drain               duration        `toml:"drain"`
	AuditKey            string          `toml:"audit_key"`
	StartsPerMinute     int             `toml:"starts_per_minute"`
	LogFormat           string          `toml:"log_format"`
	KMSEndpoint         string          `toml:"kms_endpoint"`
	DecryptionKeys      []string        `toml:"decryption_keys"`
	Abuse               abuseConfig     `toml:"abuse"`
	SigningKeys         string          `toml:"signing_keys"`
	KeyRotation         rotationConfig  `toml:"key_rotation"`
	Telemetry           telemetryConfig `toml:"telemetry"`
	TLS                 *tlsConfig      `toml:"tls"`
	Lifetimes           struct {
		Login       duration `toml:"login"`
		Code        duration `toml:"code"`
		IDToken     duration `toml:"id_token"`
		AccessToken duration `toml:"access_token"`
		Refresh     duration `toml:"refresh_token"`
		RefreshIdle duration `toml:"refresh_idle"`
		Session     duration `toml:"session"`
		Pushed      duration `toml:"pushed_request"`
		Receipt     duration `toml:"level_receipt"`
		Device      duration `toml:"device_code"`
	} `toml:"lifetimes"`
	SingleSignOn struct {
		Low         duration `toml:"low"`
		Substantial duration `toml:"substantial"`
		High        duration `toml:"high"`
	} `toml:"single_sign_on"`
	Keys                    []keyConfig        `toml:"keys"`
	PKCS11Program           string             `toml:"pkcs11_program"`
	ClientCertificateHeader string             `toml:"client_certificate_header"`
	ClientRoots             string             `toml:"client_roots"`
	Clients                 []clientConfig     `toml:"clients"`
	ResourceServers         []serviceConfig    `toml:"resource_servers"`
	Registration            registrationConfig `toml:"registration"`
	Sites                   []siteConfig       `toml:"sites"`
	Policy                  []ruleConfig       `toml:"policy"`
	DigiD                   *digidConfig       `toml:"digid"`
	DigiD4                  *digid4Config      `toml:"digid4"`
	Clave                   *claveConfig       `toml:"clave"`
	EIDAS                   *eidasConfig       `toml:"eidas"`
	OIDC                    []oidcConfig       `toml:"oidc"`
	MobileID                *mobileIDConfig    `toml:"mobile_id"`
	SmartID                 *smartIDConfig     `toml:"smart_id"`
	Card                    *cardConfig        `toml:"card"`
	Outages                 []outageConfig     `toml:"outages"`
	OutagesFile             string             `toml:"outages_file"`
	Breaker                 breakerConfig      `toml:"circuit_breaker"`
	UpstreamRequests        int                `toml:"upstream_requests"`
	Requests                int                `toml:"max_requests"`
	Equivalences            []struct {
		Foreign string `toml:"foreign"`
		Scheme  string `toml:"scheme"`
	} `toml:"equivalences"`

	// places say where in the file settings are.
	places *places
	// patience is no setting.
	patience patience
}

// clientConfig is a portal's section; those in the database are kept in the same
// words.
type clientConfig = provider.ClientSettings

// serviceConfig is the section of a service that takes access tokens.
type serviceConfig = provider.ResourceServerSettings

// registrationConfig bounds clients that register themselves.
type registrationConfig struct {
	TokenSHA256  []string     `toml:"token_sha256"`
	MinLevel     levels.Level `toml:"min_level"`
	Methods      []string     `toml:"methods"`
	Scopes       []string     `toml:"scopes"`
	SingleSignOn bool         `toml:"single_sign_on"`
	Refresh      bool         `toml:"refresh_tokens"`
	Device       bool         `toml:"device_flow"`
	Represents   bool         `toml:"representation"`
	Resources    []string     `toml:"resources"`
	WithoutPKCE  bool         `toml:"without_pkce"`
	Profile      string       `toml:"profile"`
}

// policy is what the provider is told of it.
func (c registrationConfig) policy() (provider.RegistrationPolicy, error) {
	policy := provider.RegistrationPolicy{Template: provider.Client{
		MinLevel: c.MinLevel, Methods: c.Methods, Scopes: c.Scopes, SingleSignOn: c.SingleSignOn, RefreshTokens: c.Refresh,
		DeviceFlow: c.Device, Representation: c.Represents, WithoutPKCE: c.WithoutPKCE, Profile: provider.Profile(c.Profile), Resources: c.Resources,
	}}
	for _, text := range c.TokenSHA256 {
		hash, err := hex.DecodeString(text)
		if err != nil || len(hash) != sha256.Size {
			return policy, errors.New("registration: token_sha256 is not a SHA-256 in hexadecimal")
		}
		policy.Tokens = append(policy.Tokens, brokers.Hash(hash))
	}
	return policy, nil
}

type digidConfig struct {
	EntityID               string       `toml:"entity_id"`
	ServiceName            string       `toml:"service_name"`
	SigningKey             string       `toml:"signing_key"`
	Certificate            string       `toml:"certificate"`
	MetadataFile           string       `toml:"metadata_file"`
	MetadataURL            string       `toml:"metadata_url"`
	MetadataCertificates   string       `toml:"metadata_certificates"`
	IdPEntityID            string       `toml:"idp_entity_id"`
	BackChannelKey         string       `toml:"back_channel_key"`
	BackChannelCertificate string       `toml:"back_channel_certificate"`
	BackChannelRoots       string       `toml:"back_channel_roots"`
	WithoutLogout          bool         `toml:"without_logout"`
	LogoutNoticeURL        string       `toml:"logout_notice_url"`
	MaxLevel               levels.Level `toml:"max_level"`
}

// duration reads "15m".
type duration time.Duration

// UnmarshalText parses Go's duration syntax and refuses negative ones.
func (d *duration) UnmarshalText(text []byte) error {
	parsed, err := time.ParseDuration(string(text))
	if err != nil || parsed < 0 {
		return fmt.Errorf("%q is not a duration such as 90s, 15m or 8h", text)
	}
	*d = duration(parsed)
	return nil
}

// standard holds the defaults that default.toml documents.
func standard() config {
	c := config{
		Issuer: "http://localhost:8181", Listen: "127.0.0.1:8181",
		Database: "broker.db", SigningKey: "signing-key.pem", RSASigningKey: "rsa-signing-key.pem", PairwiseSecret: "pairwise-secret",
		MasterKeys: []string{"master-key"}, AuditLog: "audit.jsonl", AuditKey: "audit-key.pem", AdminTokens: "admin-tokens",
		StartsPerMinute: 600, LogFormat: "json",
	}
	c.patience = usualPatience()
	c.Abuse = standardAbuse()
	c.Telemetry.Sample, c.Telemetry.Service = 1, "eidbroker"
	c.SigningKeys = "file"
	c.KeyRotation.Every, c.KeyRotation.Ahead, c.KeyRotation.After = duration(30*24*time.Hour), duration(48*time.Hour), duration(7*24*time.Hour)
	c.Breaker = breakerConfig{Failures: 5, Window: duration(time.Minute), Pause: duration(30 * time.Second), LongestPause: duration(5 * time.Minute)}
	c.UpstreamRequests = 128
	c.SingleSignOn.Low = duration(8 * time.Hour)
	c.SingleSignOn.Substantial = duration(30 * time.Minute)
	c.SingleSignOn.High = duration(5 * time.Minute)
	return c
}

// readConfig reads a configuration file strictly. Errors name the line.
func readConfig(path string) (config, error) {
	file, err := os.Open(path)
	if err != nil {
		return config{}, err
	}
	defer file.Close()
	text, err := io.ReadAll(io.LimitReader(file, maxConfig+1))
	if err != nil {
		return config{}, err
	}
	if len(text) > maxConfig {
		return config{}, fmt.Errorf("%s is larger than %d bytes", path, maxConfig)
	}
	c := standard()
	if err := toml.NewDecoder(bytes.NewReader(text)).DisallowUnknownFields().Decode(&c); err != nil {
		return config{}, explain(path, err)
	}
	c.places = findPlaces(path, text)
	return c, nil
}

// explain puts file and line in front of a decoding error.
func explain(path string, err error) error {
	var unknown *toml.StrictMissingError
	if errors.As(err, &unknown) {
		var lines []string
		for _, e := range unknown.Errors {
			row, _ := e.Position()
			lines = append(lines, fmt.Sprintf("%s:%d: unknown setting %s", path, row, strings.Join(e.Key(), ".")))
		}
		return errors.New(strings.Join(lines, "\n"))
	}
	var wrong *toml.DecodeError
	if errors.As(err, &wrong) {
		row, _ := wrong.Position()
		return fmt.Errorf("%s:%d: %w", path, row, err)
	}
	return fmt.Errorf("%s: %w", path, err)
}

// clients turns the sections into registrations.
func (c config) clients() ([]provider.Client, error) {
	var list []provider.Client
	var problems []error
	for i, section := range c.Clients {
		client, err := section.Client()
		if err != nil {
			problems = append(problems, c.at(fmt.Sprintf("clients[%d]", i), err))
			continue
		}
		list = append(list, client)
	}
	return list, errors.Join(problems...)
}

// longestLife is how long any record with personal data may be kept: the longest
// lifetime, and at least that of all defaults.
func (c config) longestLife() time.Duration {
	longest := duration(30 * 24 * time.Hour)
	for _, d := range []duration{c.Lifetimes.Receipt, c.Lifetimes.Refresh, c.Lifetimes.RefreshIdle, c.Lifetimes.Session, c.Lifetimes.AccessToken} {
		longest = max(longest, d)
	}
	return time.Duration(longest)
}

// remoteDatabase reports whether the database is PostgreSQL and not a file.
func (c config) remoteDatabase() bool {
	return strings.HasPrefix(c.Database, "postgres://") || strings.HasPrefix(c.Database, "postgresql://")
}

// directory resolves the files of a configuration.
type directory string

func (d directory) file(name string) string {
	if filepath.IsAbs(name) {
		return name
	}
	return filepath.Join(string(d), name)
}
