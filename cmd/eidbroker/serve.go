package main

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/eidbridge/eidbridge/brokers"
	"github.com/eidbridge/eidbridge/brokers/audit"
	"github.com/eidbridge/eidbridge/brokers/ballast"
	"github.com/eidbridge/eidbridge/brokers/capacity"
	"github.com/eidbridge/eidbridge/brokers/clock"
	"github.com/eidbridge/eidbridge/brokers/envelope"
	"github.com/eidbridge/eidbridge/brokers/metrics"
	"github.com/eidbridge/eidbridge/brokers/nationalid"
	"github.com/eidbridge/eidbridge/brokers/outages"
	"github.com/eidbridge/eidbridge/brokers/provider"
	"github.com/eidbridge/eidbridge/brokers/rotation"
	"github.com/eidbridge/eidbridge/brokers/store"
	"github.com/eidbridge/eidbridge/levels"
)

// patience is how long the HTTP server waits for a visitor: for the head of a request,
// all of a request, that the answer is taken, and the next request.
type patience struct{ head, request, answer, idle time.Duration }

// usualPatience is that of the program; tests have less.
func usualPatience() patience {
	return patience{head: 5 * time.Second, request: 30 * time.Second, answer: time.Minute, idle: time.Minute}
}

// The budget of the HTTP server.
const (
	maxHeaderBytes = 16 << 10
	maxConnections = 1000
	maxRequests    = 512
	maxMonitors    = 20
	// shares is by how many the most connections are divided for those of one address,
	// where the broker speaks https itself: otherwise they all come from a proxy.
	shares     = 4
	leastShare = 8
	// timelineFile remembers which server of PostgreSQL is the newest.
	timelineFile = "database-timeline"
	// sqliteFiles are what connections to an SQLite database have open.
	sqliteFiles = 16
	// shutdownTimeout is how long requests under way may take at the end.
	shutdownTimeout = 15 * time.Second
	purgeInterval   = 30 * time.Second
	noticeInterval  = 5 * time.Second
	keysInterval    = 10 * time.Minute
	strikesInterval = 5 * time.Second
	outagesInterval = 2 * time.Second
	// rotationInterval is in how long every replica learns of new signing keys, and
	// that others are withdrawn.
	rotationInterval = 30 * time.Second
)

type serveCommand struct {
	Config string `help:"Configuration file; made if it is missing." default:"eidbroker.toml" type:"path"`
	Data   string `help:"Directory of database and keys; by default that of the configuration." type:"path"`
	Accept bool   `name:"accept-clock" help:"Believe the clock of this host although the database was last worked on much later, or long ago."`
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
	if _, err := settings.check(ctx, directory(data)); err != nil {
		return err
	}
	if err := os.MkdirAll(data, 0o750); err != nil {
		return err
	}
	log, err := newLog(settings.LogFormat, s.err)
	if err != nil {
		return err
	}
	harden()
	for _, doubt := range look(directory(data)).doubts() {
		log.WarnContext(ctx, "this process could be safer", "why", doubt)
	}
	return serve(ctx, settings, c.Config, directory(data), log, s.err, c.Accept)
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
func serve(ctx context.Context, c config, path string, dir directory, log *slog.Logger, ready io.Writer, acceptClock bool) error {
	// Unheard, the signal would end the process, also while it starts.
	hangups := make(chan os.Signal, 1)
	signal.Notify(hangups, syscall.SIGHUP)
	defer signal.Stop(hangups)
	if heap := capacity.LimitMemory(); heap > 0 {
		log.InfoContext(ctx, "memory is limited", "heap", heap)
	}
	defer ballast.Load()()
	secrets, err := loadSecrets(ctx, c, dir, log)
	if err != nil {
		return err
	}
	clk := clock.New(clock.System(), log)
	database, err := openStore(ctx, c, dir, secrets.masters, store.Alone(), store.WithTimelines(dir.file(timelineFile), func(before, now int, forgotten error) {
		if before != 0 {
			log.WarnContext(ctx, "another database server has taken over", "before", before, "timeline", now)
		}
		if forgotten != nil {
			log.WarnContext(ctx, "which database server is the newest will be forgotten with this process", "error", forgotten)
		}
	}))
	if err != nil {
		return err
	}
	defer func() {
		if err := database.Close(); err != nil {
			log.Error("database was not closed", "error", err)
		}
	}()
	s := &server{dir: dir, database: database, secrets: secrets, log: log, metrics: metrics.New(), patience: c.patience}
	if err := s.showTimeline(); err != nil {
		return err
	}
	if s.tracer, err = c.tracer(dir, log); err != nil {
		return c.at("telemetry", err)
	}
	defer s.tracer.Close(ctx)
	closeAudit, err := s.openAudit(ctx, c)
	if err != nil {
		return err
	}
	defer closeAudit()
	if s.watch, err = newWatch(ctx, dir, database, clk, s.events, acceptClock); err != nil {
		return err
	}
	if err := s.openGuard(c); err != nil {
		return err
	}
	if s.board, err = outages.New(c.breakerSettings(), outages.Options{Store: database, Audit: s.events, Now: clk.Now}); err != nil {
		return err
	}
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
	var office net.Listener
	if c.AdminListen != "" {
		if office, err = (&net.ListenConfig{}).Listen(ctx, "tcp", c.AdminListen); err != nil {
			err = errors.Join(fmt.Errorf("admin_listen: %w", err), listener.Close())
			if monitor != nil {
				err = errors.Join(err, monitor.Close())
			}
			return err
		}
	}
	beside, stop := context.WithCancel(ctx)
	defer stop()
	go keepKeys(beside, database, c.longestLife(), log)
	go s.follow(beside, path, hangups)
	go s.guard.Follow(beside, strikesInterval)
	go s.board.Follow(beside, outagesInterval)
	go s.watch.follow(beside)
	fmt.Fprintf(ready, "eidbroker: listening on %s as %s\n", listener.Addr(), c.Issuer)
	return s.listen(ctx, listener, monitor, office, c.plan(), time.Duration(c.Drain))
}

// showTimeline has a figure of which server of the database is in charge.
func (s *server) showTimeline() error {
	remote, ok := s.database.(*store.Postgres)
	if !ok {
		return nil
	}
	return s.metrics.Register("eidbroker_database_timeline", "Newest timeline of the database's servers that was seen.", func() float64 { return float64(remote.Timeline()) })
}

// plan is what is taken on at once, within the files that may be open.
func (c config) plan() capacity.Plan {
	requests, database := maxRequests, sqliteFiles
	if c.Requests > 0 {
		requests = c.Requests
	}
	if c.remoteDatabase() {
		const byDefault = 16
		database = max(byDefault, c.DatabaseConnections)
	}
	return capacity.Plan{Connections: max(maxConnections, requests*4/3), Requests: requests, Monitors: maxMonitors}.Within(capacity.Files(), database)
}

// share is how many connections one address may have.
func share(p capacity.Plan) int { return max(leastShare, p.Connections/shares) }

// familiar reports who may have any number of connections: our proxies, and networks that
// many visitors come from.
func (c config) familiar() func(netip.Addr) bool {
	return func(peer netip.Addr) bool {
		contains := func(n netip.Prefix) bool { return n.Contains(peer) }
		return slices.ContainsFunc(c.TrustedProxies, contains) || slices.ContainsFunc(c.Abuse.Trusted, contains)
	}
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
	outages.Store
	io.Closer
	// Keyring is what protects the records; KeepKeys looks after it.
	Keyring() *envelope.Keyring
	KeepKeys(ctx context.Context, longestLife time.Duration) error
	rotation.Store
	epochs
	BeginEpoch(ctx context.Context, least int, now time.Time) (int, error)
}

func openStore(ctx context.Context, c config, dir directory, masters []envelope.Master, options ...store.Option) (closingStore, error) {
	options = append(options, store.WithMasters(time.Now, masters...))
	if c.remoteDatabase() {
		return store.OpenPostgres(ctx, c.Database, c.DatabaseConnections, options...)
	}
	return store.OpenSQLite(ctx, dir.file(c.Database), options...)
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

// assemble makes the provider. What is wrong in the configuration is told of all at
// once, with its lines.
func assemble(c config, dir directory, s *secrets, database provider.Store, log *slog.Logger, more ...func(*provider.Config)) (*provider.Provider, error) {
	mapping := levels.Default()
	var problems []error
	wrong := func(setting string, err error) bool {
		if err != nil {
			problems = append(problems, c.at(setting, err))
		}
		return err != nil
	}
	_, err := provider.CheckIssuer(c.Issuer)
	wrong("issuer", err)
	wrong("", c.checkPlain())
	wrong("", errors.Join(c.refuseLab(dir)...))
	wrong("", c.checkEmulators(dir))
	registrations, clients, err := c.registered(mapping, s)
	wrong("", err)
	services := (*provider.ResourceServers)(nil)
	if err == nil {
		services, err = c.services(s, registrations)
		wrong("", err)
	}
	var fixed func(time.Time) []brokers.Outage
	upstreams, err := c.upstreams(dir, database)
	if !wrong("", err) {
		wrong("", c.checkMethods(upstreams))
		fixed, err = c.outageSwitch(dir, upstreams, log)
		wrong("", err)
	}
	policy, err := c.rules()
	wrong("", err)
	var rules []nationalid.Equivalence
	for i, rule := range c.Equivalences {
		equivalence := nationalid.Equivalence{Foreign: rule.Foreign, Scheme: rule.Scheme}
		wrong(fmt.Sprintf("equivalences[%d]", i), equivalence.Check())
		rules = append(rules, equivalence)
	}
	registration, err := c.Registration.policy()
	wrong("registration", err)
	certificate, roots := provider.PeerCertificate, (*x509.CertPool)(nil)
	if c.ClientCertificateHeader != "" {
		certificate = provider.ForwardedCertificate(c.ClientCertificateHeader, c.TrustedProxies)
	}
	if c.ClientRoots != "" {
		list, err := certificates(dir, c.ClientRoots)
		if err != nil {
			wrong("client_roots", fmt.Errorf("client_roots: %w", err))
		}
		roots = x509.NewCertPool()
		for _, root := range list {
			roots.AddCert(root)
		}
	}
	decryption, err := c.decryptionKeys(dir)
	wrong("decryption_keys", err)
	wrong("", c.checkTLS(dir, time.Now()))
	if err := errors.Join(problems...); err != nil {
		return nil, err
	}
	if len(registrations) == 0 || len(upstreams) == 0 {
		log.Warn("nobody can log in yet: the configuration has no client or no upstream")
	}
	if !slices.Contains(s.keys.Algorithms(time.Now()), jose.RS256) {
		log.Warn("no key signs by RS256, which OpenID Connect wants every provider to know")
	}
	settings := provider.Config{
		ClientCertificate: certificate, ClientRoots: roots, DecryptionKeys: decryption,
		InFlight: c.plan().Requests, UpstreamInFlight: c.UpstreamRequests,
		Issuer: c.Issuer, Clients: clients, ResourceServers: services, Upstreams: upstreams, Store: database, Outages: fixed, Equivalences: rules, Policy: policy,
		Keys: s.keys, PairwiseSecret: s.pairwise, LaterPairwiseSecrets: s.later, Registration: registration, Mapping: mapping, Log: log,
		ClientAddress: provider.ForwardedAddress(c.TrustedProxies),
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
