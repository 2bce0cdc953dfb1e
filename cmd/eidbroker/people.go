package main

import (
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"time"

	"github.com/eidbridge/eidbridge/brokers/authcert"
	"github.com/eidbridge/eidbridge/brokers/mobileid"
	"github.com/eidbridge/eidbridge/brokers/saml"
	"github.com/eidbridge/eidbridge/brokers/smartid"
	"github.com/eidbridge/eidbridge/brokers/webeid"
	"github.com/eidbridge/eidbridge/levels"
	"github.com/eidbridge/eidbridge/signing/fetch"
)

// authoritiesConfig says which authorities issue for people, and how they are asked
// about revocation; default.toml says what each key means.
type authoritiesConfig struct {
	Roots         string   `toml:"roots"`
	Intermediates string   `toml:"intermediates"`
	Responders    []string `toml:"internal_responders"`
}

// judge makes what certificates are judged by.
func (c *authoritiesConfig) judge(dir directory) (*authcert.Judge, error) {
	roots, err := certificates(dir, c.Roots)
	if err != nil {
		return nil, fmt.Errorf("roots: %w", err)
	}
	judge := authcert.Judge{Anchors: roots}
	if c.Intermediates != "" {
		if judge.Intermediates, err = certificates(dir, c.Intermediates); err != nil {
			return nil, fmt.Errorf("intermediates: %w", err)
		}
	}
	for _, responder := range c.Responders {
		if _, _, err := net.SplitHostPort(responder); err != nil {
			return nil, fmt.Errorf("internal_responders: %q is not host and port", responder)
		}
	}
	judge.Fetch = fetch.New(fetch.Options{Allow: c.Responders, Timeout: 5 * time.Second})
	return authcert.New(judge)
}

type mobileIDConfig struct {
	authoritiesConfig
	URL         string       `toml:"url"`
	ServerRoots string       `toml:"server_roots"`
	PartyUUID   string       `toml:"relying_party_uuid"`
	PartyName   string       `toml:"relying_party_name"`
	DisplayText string       `toml:"display_text"`
	MaxLevel    levels.Level `toml:"max_level"`
}

func (c *mobileIDConfig) connect(dir directory, replay saml.ReplayStore) (*mobileid.Upstream, error) {
	judge, err := c.judge(dir)
	if err != nil {
		return nil, fmt.Errorf("mobile_id: %w", err)
	}
	roots, err := pool(dir, c.ServerRoots)
	if err != nil {
		return nil, fmt.Errorf("mobile_id: server_roots: %w", err)
	}
	return mobileid.New(mobileid.Config{
		URL: c.URL, Roots: roots, PartyUUID: c.PartyUUID, PartyName: c.PartyName, DisplayText: c.DisplayText,
		Judge: judge, MaxLevel: c.MaxLevel, Replay: replay,
	})
}

type smartIDConfig struct {
	authoritiesConfig
	URL          string       `toml:"url"`
	ServerRoots  string       `toml:"server_roots"`
	SchemeName   string       `toml:"scheme_name"`
	PartyUUID    string       `toml:"relying_party_uuid"`
	PartyName    string       `toml:"relying_party_name"`
	DisplayText  string       `toml:"display_text"`
	Advanced     bool         `toml:"advanced"`
	Notification bool         `toml:"notification"`
	NoSameDevice bool         `toml:"without_same_device"`
	Countries    []string     `toml:"countries"`
	MaxLevel     levels.Level `toml:"max_level"`
}

func (c *smartIDConfig) connect(issuer string, dir directory, replay saml.ReplayStore) (*smartid.Upstream, error) {
	judge, err := c.judge(dir)
	if err != nil {
		return nil, fmt.Errorf("smart_id: %w", err)
	}
	roots, err := pool(dir, c.ServerRoots)
	if err != nil {
		return nil, fmt.Errorf("smart_id: server_roots: %w", err)
	}
	callback := issuer + "/upstream/smart-id/callback"
	if c.NoSameDevice {
		callback = ""
	}
	return smartid.New(smartid.Config{
		URL: c.URL, Roots: roots, SchemeName: c.SchemeName, PartyUUID: c.PartyUUID, PartyName: c.PartyName, DisplayText: c.DisplayText,
		CallbackURL: callback, Advanced: c.Advanced, Notification: c.Notification, Countries: c.Countries,
		Judge: judge, MaxLevel: c.MaxLevel, Replay: replay,
	})
}

type cardConfig struct {
	authoritiesConfig
	AgentPorts []int `toml:"agent_ports"`
	NoAgent    bool  `toml:"without_agent"`
	Others     bool  `toml:"other_cards"`
	Kinds      []struct {
		Policies []string `toml:"policies"`
		Country  string   `toml:"country"`
		Scheme   string   `toml:"scheme"`
		Class    string   `toml:"class"`
	} `toml:"kinds"`
	MaxLevel levels.Level `toml:"max_level"`
}

// agentPorts are where an eidagent listens (see its guide).
func agentPorts() []int { return []int{27184, 27284, 27384, 27484, 27584} }

func (c *cardConfig) connect(issuer string, dir directory, replay saml.ReplayStore) (*webeid.Upstream, error) {
	judge, err := c.judge(dir)
	if err != nil {
		return nil, fmt.Errorf("card: %w", err)
	}
	u, err := url.Parse(issuer)
	if err != nil {
		return nil, fmt.Errorf("card: %w", err)
	}
	settings := webeid.Config{Origin: u.Scheme + "://" + u.Host, Judge: judge, Others: c.Others, MaxLevel: c.MaxLevel, Replay: replay}
	ports := c.AgentPorts
	if ports == nil {
		ports = agentPorts()
	}
	for _, port := range ports {
		if port < 1 || port > 65535 {
			return nil, errors.New("card: agent_ports are numbers of ports")
		}
		if !c.NoAgent {
			settings.Agents = append(settings.Agents, "http://"+netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), uint16(port)).String())
		}
	}
	if len(c.Kinds) > 0 {
		settings.Cards = webeid.Cards()
	}
	for _, k := range c.Kinds {
		settings.Cards = append(settings.Cards, webeid.Card{Policies: k.Policies, Country: k.Country, Scheme: k.Scheme, Class: k.Class})
	}
	return webeid.New(settings)
}

// pool reads roots; no file are the system's.
func pool(dir directory, file string) (*x509.CertPool, error) {
	if file == "" {
		return nil, nil
	}
	list, err := certificates(dir, file)
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	for _, root := range list {
		roots.AddCert(root)
	}
	return roots, nil
}
