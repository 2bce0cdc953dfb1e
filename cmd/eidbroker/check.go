package main

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/jackc/pgx/v5"

	"github.com/eidbridge/eidbridge/brokers"
	"github.com/eidbridge/eidbridge/brokers/provider"
	"github.com/eidbridge/eidbridge/brokers/store"
	"github.com/eidbridge/eidbridge/levels"
)

type checkCommand struct {
	Config string `help:"Configuration file." default:"eidbroker.toml" type:"existingfile"`
	Data   string `help:"Directory of keys; by default that of the configuration." type:"path"`
}

// Run reads a configuration with all files that it names, makes of it what serve
// would, and says which methods it offers. It changes nothing and asks nobody. All
// that is wrong is told of at once.
func (c *checkCommand) Run(ctx context.Context, s streams) error {
	settings, err := readConfig(c.Config)
	if err != nil {
		return err
	}
	dir := directory(cmp.Or(c.Data, filepath.Dir(c.Config)))
	upstreams, err := settings.check(ctx, dir)
	if err != nil {
		return err
	}
	clients := len(settings.Clients) + len(settings.Sites)
	fmt.Fprintf(s.out, "%s: %d clients, %d upstreams, %d rules\n", c.Config, clients, len(upstreams), len(settings.Policy))
	for _, u := range upstreams {
		for _, m := range u.Methods() {
			fmt.Fprintf(s.out, "  %-10s %-24s up to %s\n", u.ID(), m.ID, m.Level)
		}
	}
	return nil
}

// check makes of a configuration all that serve would, and lets it go again.
func (c config) check(ctx context.Context, dir directory) ([]brokers.Upstream, error) {
	quiet := slog.New(slog.DiscardHandler)
	secrets, problem := checkSecrets(ctx, c, dir)
	if problem != nil {
		// The rest is looked at as if there were other keys.
		var err error
		if secrets, err = passingSecrets(ctx); err != nil {
			return nil, err
		}
	}
	defer secrets.close()
	var upstreams []brokers.Upstream
	p, err := assemble(c, dir, secrets, store.NewMemory(), quiet, func(into *provider.Config) { upstreams = into.Upstreams })
	if err == nil {
		_, err = c.forward(p, secrets.pairwise, quiet)
		err = c.at("sites[0]", err)
	}
	if _, wrong := c.tracer(dir, quiet); wrong != nil {
		err = errors.Join(err, c.at("telemetry", wrong))
	}
	if _, wrong := c.adminTokens(dir); wrong != nil {
		err = errors.Join(err, c.at("admin_tokens", wrong))
	}
	return upstreams, errors.Join(problem, err)
}

// checkSecrets reads the secrets. Before the first start those that serve would
// make are made, and forgotten.
func checkSecrets(ctx context.Context, c config, dir directory) (*secrets, error) {
	fresh := false
	if !c.remoteDatabase() {
		_, err := os.Lstat(dir.file(c.Database))
		fresh = errors.Is(err, fs.ErrNotExist)
	}
	return (&secretsReader{c: c, dir: dir, fresh: fresh, keep: forget, log: slog.New(slog.DiscardHandler)}).read(ctx)
}

// passingSecrets are secrets that nobody keeps.
func passingSecrets(ctx context.Context) (*secrets, error) {
	nowhere := directory(filepath.Join(os.TempDir(), rand.Text()))
	return (&secretsReader{c: standard(), dir: nowhere, fresh: true, keep: forget, log: slog.New(slog.DiscardHandler)}).read(ctx)
}

// forget keeps nothing of what was made.
func forget(string, []byte) error { return nil }

// checkPlain checks the settings that nothing else looks at before they are used.
func (c config) checkPlain() error {
	var problems []error
	wrong := func(setting, format string, args ...any) {
		problems = append(problems, c.at(setting, fmt.Errorf(format, args...)))
	}
	for name, address := range map[string]string{"listen": c.Listen, "monitor_listen": c.MonitorListen} {
		if address == "" && name != "listen" {
			continue
		}
		if _, port, err := net.SplitHostPort(address); err != nil || !isPort(port) {
			wrong(name, "%s: %q is not host and port, such as 127.0.0.1:8181", name, address)
		}
	}
	if err := c.checkAdmin(); err != nil {
		problems = append(problems, c.at("admin_listen", err))
	}
	if _, err := newLog(c.LogFormat, nil); err != nil {
		wrong("log_format", "%w", err)
	}
	if time.Duration(c.Lifetimes.Code) > time.Minute {
		wrong("lifetimes.code", "a code lives 60 seconds at most")
	}
	if time.Duration(c.Lifetimes.Pushed) > 10*time.Minute {
		wrong("lifetimes.pushed_request", "a pushed request lives ten minutes at most")
	}
	if c.SingleSignOn.High > c.SingleSignOn.Substantial || c.SingleSignOn.Substantial > c.SingleSignOn.Low {
		wrong("single_sign_on", "a login counts no longer at a higher level than at a lower one")
	}
	for name, n := range map[string]int{"starts_per_minute": c.StartsPerMinute, "database_connections": c.DatabaseConnections, "upstream_requests": c.UpstreamRequests, "max_requests": c.Requests} {
		if n < 0 {
			wrong(name, "%s is less than nothing", name)
		}
	}
	if err := c.breakerSettings().Check(); err != nil {
		wrong("circuit_breaker", "%w", err)
	}
	if c.SigningKeys != keysInFiles && !c.keysInDatabase() && c.SigningKeys != keysListed {
		wrong("signing_keys", "signing_keys %q is neither file, database nor listed", c.SigningKeys)
	}
	schedule := c.keySchedule()
	if err := schedule.Complete(); err != nil {
		wrong("key_rotation", "%w", err)
	}
	if err := c.abuseSettings().Check(); err != nil {
		wrong("abuse", "%w", err)
	}
	if c.remoteDatabase() {
		if _, err := pgx.ParseConfig(c.Database); err != nil {
			wrong("database", "database: this is no address of PostgreSQL") // the error may show a password
		}
	} else if c.Database == "" {
		wrong("database", "database: neither a file nor an address")
	}
	if c.ClientCertificateHeader != "" && len(c.TrustedProxies) == 0 {
		wrong("client_certificate_header", "client_certificate_header needs trusted_proxies: nobody else is believed")
	}
	return errors.Join(problems...)
}

func isPort(text string) bool {
	n, err := strconv.Atoi(text)
	return err == nil && n >= 0 && n < 1<<16
}

// registered makes the registry of clients from the sections of clients and sites.
func (c config) registered(mapping *levels.Mapping, s *secrets) ([]provider.Client, *provider.StaticClients, error) {
	var problems []error
	list, err := c.clients()
	if err != nil {
		return nil, nil, err
	}
	sites, err := c.siteClients(s.pairwise)
	if err != nil {
		return nil, nil, c.at("sites[0]", err)
	}
	list = append(list, sites...)
	section := func(i int) string {
		if i < len(c.Clients) {
			return fmt.Sprintf("clients[%d]", i)
		}
		return fmt.Sprintf("sites[%d]", i-len(c.Clients))
	}
	for i, r := range list {
		// Each alone first, so that all that are wrong are told of with their lines.
		_, err := provider.NewStaticClients(mapping, list[i:i+1])
		algorithm := cmp.Or(r.SigningAlgorithm, jose.ES256)
		switch {
		case err != nil:
		case r.PairwiseVersion > 1+len(s.later):
			err = &provider.ClientError{ID: r.ID, Err: fmt.Errorf("there is no version %d of the pairwise secret", r.PairwiseVersion)}
		case !slices.Contains(s.keys.Algorithms(time.Now()), algorithm):
			err = &provider.ClientError{ID: r.ID, Err: fmt.Errorf("there is no key that signs by %s", algorithm)}
		}
		if err != nil {
			problems = append(problems, c.at(section(i), err))
		}
	}
	if err := errors.Join(problems...); err != nil {
		return nil, nil, err
	}
	for i := range list {
		if clients, err := provider.NewStaticClients(mapping, list[:i+1]); err != nil {
			return nil, nil, c.at(section(i), err)
		} else if i == len(list)-1 {
			return list, clients, nil
		}
	}
	clients, err := provider.NewStaticClients(mapping, nil)
	return nil, clients, err
}

// services makes the registry of the services that take access tokens. Errors name the
// lines of all that are wrong.
func (c config) services(s *secrets, clients []provider.Client) (*provider.ResourceServers, error) {
	var list []provider.ResourceServer
	var problems []error
	for i, section := range c.ResourceServers {
		server, err := section.ResourceServer()
		var registry *provider.ResourceServers
		if err == nil {
			registry, err = provider.NewResourceServers(append(slices.Clip(list), server))
		}
		if err == nil {
			err = registry.Check(c.Issuer, clients)
		}
		if algorithm := cmp.Or(server.SigningAlgorithm, jose.ES256); err == nil && !slices.Contains(s.keys.Algorithms(time.Now()), algorithm) {
			err = fmt.Errorf("resource server %q: there is no key that signs by %s", server.ID, algorithm)
		}
		if err != nil {
			problems = append(problems, c.at(fmt.Sprintf("resource_servers[%d]", i), err))
			continue
		}
		list = append(list, server)
	}
	if err := errors.Join(problems...); err != nil {
		return nil, err
	}
	return provider.NewResourceServers(list)
}

// checkMethods refuses rules that name methods which no upstream offers: a slip of
// the pen would lock everybody out.
func (c config) checkMethods(upstreams []brokers.Upstream) error {
	known := map[string]bool{}
	for _, u := range upstreams {
		for _, m := range u.Methods() {
			known[m.ID] = true
		}
	}
	var problems []error
	for i, rule := range c.Policy {
		for _, method := range rule.Methods {
			if !known[method] {
				problems = append(problems, c.at(fmt.Sprintf("policy[%d].methods", i), fmt.Errorf("policy rule %q: no upstream offers the method %q", rule.Name, method)))
			}
		}
	}
	return errors.Join(problems...)
}
