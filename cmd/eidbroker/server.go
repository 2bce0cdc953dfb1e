package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"sync/atomic"
	"time"

	"golang.org/x/net/netutil"

	"github.com/eidbridge/eidbridge/brokers"
	"github.com/eidbridge/eidbridge/brokers/abuse"
	"github.com/eidbridge/eidbridge/brokers/capacity"
	"github.com/eidbridge/eidbridge/brokers/forwardauth"
	"github.com/eidbridge/eidbridge/brokers/framing"
	"github.com/eidbridge/eidbridge/brokers/hsm"
	"github.com/eidbridge/eidbridge/brokers/metrics"
	"github.com/eidbridge/eidbridge/brokers/outages"
	"github.com/eidbridge/eidbridge/brokers/provider"
	"github.com/eidbridge/eidbridge/brokers/servertls"
	"github.com/eidbridge/eidbridge/brokers/tracing"
)

// server serves one provider after another: the configuration may be read anew
// while logins are under way, since all their state is in the store.
type server struct {
	dir      directory
	database closingStore
	secrets  *secrets
	log      *slog.Logger
	metrics  *metrics.Metrics
	tracer   *tracing.Tracer // may be nil
	events   *slog.Logger
	halted   func() error
	guard    *abuse.Guard
	board    *outages.Board
	watch    *watch
	// tls is nil where a proxy speaks https for us; handshakes counts those that failed.
	tls        *servertls.Server
	handshakes atomic.Int64

	patience patience
	settings config
	current  atomic.Pointer[served]
	// stop ends what the current provider does beside requests.
	stop context.CancelFunc
	// ending says that no new work should be sent here.
	ending atomic.Bool
}

// served is what one configuration serves.
type served struct {
	provider *provider.Provider
	sites    *forwardauth.Handler // may be nil
	office   http.Handler         // may be nil
	tokens   []*hsm.Token
	trusted  func(*http.Request) bool
	// familiar says who may have any number of connections.
	familiar func(netip.Addr) bool
}

// use puts a configuration to work.
func (s *server) use(ctx context.Context, c config) error {
	keeper, err := s.takeKeys(ctx, c)
	if err != nil {
		return err
	}
	var fixed func(time.Time) []brokers.Outage
	var upstreams []brokers.Upstream
	p, err := assemble(c, s.dir, s.secrets, s.tracer.Store(s.database), s.log, func(into *provider.Config) {
		into.Trace, into.Shed = s.tracer.Step, s.metrics.Shed
		into.Audit, into.Halted, into.Guard = s.events, s.stopped, s.guard
		into.Now, into.Since = s.watch.clock.Now, s.watch.epoch.BegunAt
		fixed, upstreams = into.Outages, into.Upstreams
		into.Outages, into.Health = s.board.At, s.board
	})
	if err != nil {
		return err
	}
	sites, err := c.forward(p, s.secrets.pairwise, s.log)
	if err != nil {
		return err
	}
	office, err := s.office(c, p, upstreams)
	if err != nil {
		return err
	}
	if err := errors.Join(s.secure(c, s.watch.clock.Now), s.guard.Use(c.abuseSettings()), s.board.Use(c.breakerSettings(), fixed)); err != nil {
		return err
	}
	if s.stop != nil {
		s.stop()
	}
	beside, stop := context.WithCancel(ctx)
	if keeper != nil {
		go keeper.Follow(beside, rotationInterval, s.secrets.keys, s.secrets.further)
	}
	go p.Purge(beside, purgeInterval)
	go p.DeliverNotices(beside, noticeInterval)
	s.settings, s.stop = c, stop
	s.current.Store(&served{p, sites, office, s.secrets.tokens, provider.FromTrusted(c.TrustedProxies), c.familiar()})
	return nil
}

// reload reads the configuration anew. One that is wrong changes nothing.
func (s *server) reload(ctx context.Context, path string) {
	c, err := readConfig(path)
	if err == nil {
		err = s.settings.replaceable(c)
	}
	if err == nil {
		var fresh *secrets
		if fresh, err = readSecrets(ctx, c, s.dir, false, s.log); err == nil {
			s.secrets, fresh = fresh, s.secrets
			if err = s.use(ctx, c); err != nil {
				s.secrets, fresh = fresh, s.secrets
			}
			// Requests under way may still sign with what is let go.
			time.AfterFunc(shutdownTimeout, fresh.close)
		}
	}
	if err != nil {
		s.log.ErrorContext(ctx, "configuration was not reloaded; the earlier one goes on", "error", err)
		return
	}
	s.log.InfoContext(ctx, "configuration reloaded")
}

// replaceable reports what can only change with a restart.
func (c config) replaceable(other config) error {
	for name, changed := range map[string]bool{
		"issuer": c.Issuer != other.Issuer, "listen": c.Listen != other.Listen, "database": c.Database != other.Database,
		"tls": (c.TLS == nil) != (other.TLS == nil), "audit_log": c.AuditLog != other.AuditLog, "admin_listen": c.AdminListen != other.AdminListen, "monitor_listen": c.MonitorListen != other.MonitorListen,
		"signing_keys": c.SigningKeys != other.SigningKeys, "telemetry": c.Telemetry != other.Telemetry, "log_format": c.LogFormat != other.LogFormat, "pairwise_secret": c.PairwiseSecret != other.PairwiseSecret,
	} {
		if changed {
			return fmt.Errorf("%s can only change with a restart", name)
		}
	}
	return nil
}

// follow reloads at each signal until ctx ends.
func (s *server) follow(ctx context.Context, path string, hangups <-chan os.Signal) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-hangups:
			s.reload(ctx, path)
		}
	}
}

// ServeHTTP answers /healthz for whoever watches the process, under any host
// name, and everything else by the provider.
func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == "/healthz" && r.Method == http.MethodGet {
		say(w, http.StatusOK, "ok")
		return
	}
	current := s.current.Load()
	if current.sites != nil && current.sites.Serves(r) {
		current.sites.ServeHTTP(w, r)
		return
	}
	current.provider.ServeHTTP(w, r)
}

// serveOffice answers operators by the current configuration.
func (s *server) serveOffice(w http.ResponseWriter, r *http.Request) {
	if office := s.current.Load().office; office != nil {
		office.ServeHTTP(w, r)
		return
	}
	http.NotFound(w, r)
}

// monitor is for the operator's network: figures, and whether to send work here.
func (s *server) monitor() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", s.metrics.Handler())
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { say(w, http.StatusOK, "ok") })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, r *http.Request) {
		if problem := s.ready(r.Context()); problem != "" {
			say(w, http.StatusServiceUnavailable, problem)
			return
		}
		say(w, http.StatusOK, "ready")
	})
	return mux
}

// stopped says why nothing may be served, or nothing.
func (s *server) stopped() error {
	if s.halted != nil {
		if err := s.halted(); err != nil {
			return err
		}
	}
	return s.watch.err()
}

// ready says why no work should be sent here, or nothing.
func (s *server) ready(ctx context.Context) string {
	const patience = 2 * time.Second
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if s.ending.Load() {
		return "ending"
	}
	if s.halted != nil && s.halted() != nil {
		return "the audit log cannot be written"
	}
	if err := s.watch.err(); err != nil {
		return err.Error()
	}
	if _, err := s.database.Receipt(ctx, "readiness", time.Now()); !errors.Is(err, brokers.ErrNotFound) {
		return "the database does not answer"
	}
	for _, token := range s.current.Load().tokens {
		if token.Err() != nil {
			return "the token of signing keys does not answer"
		}
	}
	return ""
}

func say(w http.ResponseWriter, status int, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(status)
	_, _ = io.WriteString(w, text+"\n") // the watcher may be gone
}

// listen serves until ctx ends. Then it says for a while that it is not ready, so
// that a proxy in front sends its visitors elsewhere, and lets the requests under
// way finish.
func (s *server) listen(ctx context.Context, l, monitor, office net.Listener, plan capacity.Plan, drain time.Duration) error {
	web := newHTTPServer(s.visited(), s.patience, s.log)
	visitors := capacity.Limit(l, plan.Connections, web)
	if err := errors.Join(
		s.metrics.Register("eidbroker_connections", "Connections of visitors that are open.", func() float64 { return float64(visitors.Open()) }),
		s.metrics.Register("eidbroker_connections_refused", "Connections of visitors who had their share of them open.", func() float64 { return float64(visitors.Refused()) }),
	); err != nil {
		return err
	}
	l = visitors
	if s.tls != nil {
		visitors.Share(share(plan), func(peer netip.Addr) bool { return s.current.Load().familiar(peer) })
		l, web.ErrorLog = tls.NewListener(l, s.tls.Config()), errorLog(s.log, &s.handshakes)
		web.ConnContext = servertls.ConnContext
	}
	ended := make(chan error, 3)
	go func() { ended <- web.Serve(framing.Listener(l)) }()
	for _, door := range []struct {
		listener net.Listener
		handler  http.Handler
	}{{monitor, s.monitor()}, {office, http.HandlerFunc(s.serveOffice)}} {
		if door.listener == nil {
			continue
		}
		beside := newHTTPServer(door.handler, s.patience, s.log)
		defer func() { _ = beside.Close() }() // the process ends
		go func() {
			if err := beside.Serve(framing.Listener(netutil.LimitListener(door.listener, plan.Monitors))); !errors.Is(err, http.ErrServerClosed) {
				ended <- err
			}
		}()
	}
	select {
	case err := <-ended:
		return err
	case <-ctx.Done():
	}
	s.ending.Store(true)
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), drain+shutdownTimeout)
	defer cancel()
	if drain > 0 {
		s.log.InfoContext(last, "ending", "after", drain.String())
		select {
		case <-time.After(drain):
		case err := <-ended:
			return err
		}
	}
	if err := web.Shutdown(last); err != nil {
		return fmt.Errorf("ending: %w", err)
	}
	s.log.InfoContext(last, "ended")
	return nil
}

func newHTTPServer(handler http.Handler, wait patience, log *slog.Logger) *http.Server {
	return &http.Server{
		Handler: handler, ReadHeaderTimeout: wait.head, ReadTimeout: wait.request,
		WriteTimeout: wait.answer, IdleTimeout: wait.idle, MaxHeaderBytes: maxHeaderBytes,
		ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelWarn),
	}
}
