package main

import (
	"cmp"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/eidbridge/eidbridge/brokers"
	"github.com/eidbridge/eidbridge/brokers/audit"
	"github.com/eidbridge/eidbridge/brokers/envelope"
	"github.com/eidbridge/eidbridge/brokers/metrics"
	"github.com/eidbridge/eidbridge/brokers/nationalid"
	"github.com/eidbridge/eidbridge/brokers/provider"
	"github.com/eidbridge/eidbridge/brokers/store"
	"github.com/eidbridge/eidbridge/levels"
)

// The budget of the HTTP server.
const (
	readHeaderTimeout = 5 * time.Second
	readTimeout       = 30 * time.Second
	writeTimeout      = 60 * time.Second
	idleTimeout       = 60 * time.Second
	maxHeaderBytes    = 16 << 10
	maxConnections    = 1000
	maxMonitors       = 20
	// shutdownTimeout is how long requests under way may take at the end.
	shutdownTimeout = 15 * time.Second
	purgeInterval   = 30 * time.Second
	noticeInterval  = 5 * time.Second
	keysInterval    = 10 * time.Minute
)

type serveCommand struct {
	Config string `help:"Configuration file; made if it is missing." default:"eidbroker.toml" type:"path"`
	Data   string `help:"Directory of database and keys; by default that of the configuration." type:"path"`
}

// Run serves until ctx ends.
func (c *serveCommand) Run(ctx context.Context, s streams) error {
	if _, err := os.Stat(c.Config); errors.Is(err, fs.ErrNotExist) {
		if err := os.MkdirAll(filepath.Dir(c.Config), 0o750); err != nil {
			return err
		}
		if err := writeNew(c.Config, defaultConfig, 0o640); err != nil {
			return fmt.Errorf("writing the default configuration: %w", err)
		}
		fmt.Fprintf(s.err, "eidbroker: wrote the default configuration to %s\n", c.Config)
	}
	settings, err := readConfig(c.Config)
	if err != nil {
		return err
	}
	data := c.Data
	if data == "" {
		data = filepath.Dir(c.Config)
	}
	if err := os.MkdirAll(data, 0o750); err != nil {
		return err
	}
	log, err := newLog(settings.LogFormat, s.err)
	if err != nil {
		return err
	}
	return serve(ctx, settings, c.Config, directory(data), log, s.err)
}

func newLog(format string, w io.Writer) (*slog.Logger, error) {
	switch format {
	case "json":
		return slog.New(slog.NewJSONHandler(w, nil)), nil
	case "text":
		return slog.New(slog.NewTextHandler(w, nil)), nil
	}
	return nil, fmt.Errorf("log_format %q is neither text nor json", format)
}

// serve wires the parts and runs the server.
func serve(ctx context.Context, c config, path string, dir directory, log *slog.Logger, ready io.Writer) error {
	if _, err := provider.CheckIssuer(c.Issuer); err != nil {
		return err
	}
	secrets, err := loadSecrets(c, dir)
	if err != nil {
		return err
	}
	database, err := openStore(ctx, c, dir, secrets.masters)
	if err != nil {
		return err
	}
	defer func() {
		if err := database.Close(); err != nil {
			log.Error("database was not closed", "error", err)
		}
	}()
	s := &server{dir: dir, database: database, secrets: secrets, log: log, metrics: metrics.New()}
	closeAudit, err := s.openAudit(ctx, c)
	if err != nil {
		return err
	}
	defer closeAudit()
	if err := s.use(ctx, c); err != nil {
		return err
	}
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", c.Listen)
	if err != nil {
		return err
	}
	var monitor net.Listener
	if c.MonitorListen != "" {
		if monitor, err = (&net.ListenConfig{}).Listen(ctx, "tcp", c.MonitorListen); err != nil {
			return errors.Join(fmt.Errorf("monitor_listen: %w", err), listener.Close())
		}
	}
	beside, stop := context.WithCancel(ctx)
	defer stop()
	go keepKeys(beside, database, c.longestLife(), log)
	go s.follow(beside, path)
	fmt.Fprintf(ready, "eidbroker: listening on %s as %s\n", listener.Addr(), c.Issuer)
	return s.listen(ctx, listener, monitor, time.Duration(c.Drain))
}

// openAudit opens the audit log, if there is to be one: where events go, and what
// says that they can no longer be told.
func (s *server) openAudit(ctx context.Context, c config) (end func(), err error) {
	if c.AuditLog == "" {
		s.events = slog.New(s.metrics.Count(s.log.Handler()))
		return func() {}, nil
	}
	l, err := audit.Open(audit.Options{
		Path: s.dir.file(c.AuditLog), Key: s.secrets.audit,
		Outside: func(compact string) { s.log.InfoContext(ctx, "audit checkpoint", "checkpoint", compact) },
	})
	if err != nil {
		return nil, err
	}
	keeping, stop := context.WithCancel(ctx)
	go l.Keep(keeping)
	s.events, s.halted = slog.New(s.metrics.Count(l.Handler())), l.Err
	return func() {
		stop()
		if err := l.Close(); err != nil {
			s.log.Error("audit log was not closed", "error", err)
		}
	}, nil
}

// closingStore is either store.
type closingStore interface {
	provider.Store
	io.Closer
	// Keyring is what protects the records; KeepKeys looks after it.
	Keyring() *envelope.Keyring
	KeepKeys(ctx context.Context, longestLife time.Duration) error
}

func openStore(ctx context.Context, c config, dir directory, masters []envelope.Master) (closingStore, error) {
	sealed := store.WithMasters(time.Now, masters...)
	if c.remoteDatabase() {
		return store.OpenPostgres(ctx, c.Database, c.DatabaseConnections, sealed)
	}
	return store.OpenSQLite(ctx, dir.file(c.Database), sealed)
}

// keepKeys has data keys made and destroyed in time, until ctx ends.
func keepKeys(ctx context.Context, database closingStore, longestLife time.Duration, log *slog.Logger) {
	ticker := time.NewTicker(keysInterval)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		if err := database.KeepKeys(ctx, longestLife); err != nil {
			log.WarnContext(ctx, "data keys were not looked after", "error", err)
		}
	}
}

// assemble makes the provider.
func assemble(c config, dir directory, s *secrets, database closingStore, log *slog.Logger, more ...func(*provider.Config)) (*provider.Provider, error) {
	mapping := levels.Default()
	registrations, err := c.clients()
	if err != nil {
		return nil, err
	}
	sites, err := c.siteClients(s.pairwise)
	if err != nil {
		return nil, err
	}
	registrations = append(registrations, sites...)
	clients, err := provider.NewStaticClients(mapping, registrations)
	if err != nil {
		return nil, err
	}
	upstreams, err := c.upstreams(dir, database)
	if err != nil {
		return nil, err
	}
	outages, err := c.outageSwitch(dir, upstreams, log)
	if err != nil {
		return nil, err
	}
	var rules []nationalid.Equivalence
	for _, rule := range c.Equivalences {
		rules = append(rules, nationalid.Equivalence{Foreign: rule.Foreign, Scheme: rule.Scheme})
	}
	if len(registrations) == 0 || len(upstreams) == 0 {
		log.Warn("nobody can log in yet: the configuration has no client or no upstream")
	}
	for _, r := range registrations {
		if r.PairwiseVersion > 1+len(s.later) {
			return nil, fmt.Errorf("client %q: there is no version %d of the pairwise secret", r.ID, r.PairwiseVersion)
		}
		algorithm := cmp.Or(r.SigningAlgorithm, jose.ES256)
		if !slices.Contains(s.keys.Algorithms(time.Now()), algorithm) {
			return nil, fmt.Errorf("client %q: there is no key that signs by %s", r.ID, algorithm)
		}
	}
	registration, err := c.Registration.policy()
	if err != nil {
		return nil, err
	}
	certificate, roots := provider.PeerCertificate, (*x509.CertPool)(nil)
	if c.ClientCertificateHeader != "" {
		certificate = provider.ForwardedCertificate(c.ClientCertificateHeader, c.TrustedProxies)
	}
	if c.ClientRoots != "" {
		list, err := certificates(dir, c.ClientRoots)
		if err != nil {
			return nil, fmt.Errorf("client_roots: %w", err)
		}
		roots = x509.NewCertPool()
		for _, root := range list {
			roots.AddCert(root)
		}
	}
	settings := provider.Config{
		ClientCertificate: certificate, ClientRoots: roots,
		Issuer: c.Issuer, Clients: clients, Upstreams: upstreams, Store: database, Outages: outages, Equivalences: rules,
		Keys: s.keys, PairwiseSecret: s.pairwise, LaterPairwiseSecrets: s.later, Registration: registration, Mapping: mapping, Log: log,
		StartsPerMinute: c.StartsPerMinute, ClientAddress: provider.ForwardedAddress(c.TrustedProxies),
		Freshness: brokers.Freshness{
			Low: time.Duration(c.SingleSignOn.Low), Substantial: time.Duration(c.SingleSignOn.Substantial),
			High: time.Duration(c.SingleSignOn.High),
		},
		Lifetimes: provider.Lifetimes{
			Login: time.Duration(c.Lifetimes.Login), Code: time.Duration(c.Lifetimes.Code),
			IDToken: time.Duration(c.Lifetimes.IDToken), AccessToken: time.Duration(c.Lifetimes.AccessToken),
			Pushed: time.Duration(c.Lifetimes.Pushed), Receipt: time.Duration(c.Lifetimes.Receipt),
			RefreshToken: time.Duration(c.Lifetimes.Refresh), RefreshIdle: time.Duration(c.Lifetimes.RefreshIdle),
			Session: time.Duration(c.Lifetimes.Session), Device: time.Duration(c.Lifetimes.Device),
		},
	}
	for _, set := range more {
		set(&settings)
	}
	return provider.New(settings)
}
