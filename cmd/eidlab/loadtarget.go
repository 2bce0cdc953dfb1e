package main

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/eidbridge/eidbridge/brokers/ballast"
	"github.com/eidbridge/eidbridge/brokers/capacity"
	"github.com/eidbridge/eidbridge/brokers/framing"
	"github.com/eidbridge/eidbridge/brokers/loadtarget"
	"github.com/eidbridge/eidbridge/brokers/provider"
	"github.com/eidbridge/eidbridge/brokers/store"
	"github.com/eidbridge/eidbridge/fixtures/pki"
	"github.com/eidbridge/eidbridge/fixtures/postgres"
)

type loadTargetCommand struct {
	Storage     string        `help:"Where the broker keeps its state: ${enum}." enum:"memory,sqlite,postgres" default:"memory"`
	Memory      int           `name:"memory-megabytes" help:"How much memory storage keeps; when it is full, the sessions that were unused the longest end." default:"6"`
	Listen      string        `help:"Address to serve at; port 0 is any free one." default:"127.0.0.1:0" placeholder:"HOST:PORT"`
	Issuer      string        `help:"The issuer, if tools reach the target by another address than it listens at." placeholder:"URL"`
	Data        string        `help:"Folder that keeps keys, secrets and database from one start to the next; without it everything is new at every start." placeholder:"DIR" type:"path"`
	Database    string        `help:"Connection string of a PostgreSQL database; by default a server of its own is started, and syncs every commit." placeholder:"URL"`
	Connections int           `help:"Most connections to PostgreSQL." default:"16"`
	RedirectURI []string      `name:"redirect-uri" help:"Where the clients' browsers come back to, in place of a page of the target's own. May be repeated." placeholder:"URL" sep:"none"`
	PostLogout  []string      `name:"post-logout-uri" help:"Where browsers may be sent after logging out. May be repeated." placeholder:"URL" sep:"none"`
	BackChannel string        `name:"back-channel-logout-uri" help:"Where the clients want logout tokens." placeholder:"URL"`
	FrontChan   string        `name:"front-channel-logout-uri" help:"The page of the clients that ends their logins." placeholder:"URL"`
	Algorithm   string        `name:"signing-algorithm" help:"What signs ID tokens of the first clients: ${enum}." enum:"ES256,ES384,PS256,EdDSA,RS256" default:"ES256"`
	Persons     int           `help:"How many numbered persons take turns; a login_hint that is a number chooses one." default:"1"`
	Ask         bool          `help:"Show a page on which the citizen approves or cancels, in place of approving at once."`
	Redirect    bool          `help:"Send browsers to the upstream's login page, which sends them back at once, in place of approving the request itself."`
	PKCE        bool          `name:"require-pkce" help:"Insist on PKCE, which clients with a secret may otherwise leave out."`
	TLS         bool          `name:"tls" help:"Serve https, with a certificate of the lab's, and ask clients for theirs."`
	Certificate string        `help:"Serve https with this certificate." placeholder:"FILE" type:"existingfile"`
	Key         string        `help:"The key of the certificate." placeholder:"FILE" type:"existingfile"`
	Code        time.Duration `name:"code-lifetime" help:"Life of an authorization code." default:"30s"`
	AccessToken time.Duration `name:"access-token-lifetime" help:"Life of an access token." default:"5m"`
	Session     time.Duration `name:"session-lifetime" help:"Life of a single sign-on session." default:"8h"`
	Requests    int           `help:"Most requests served at once; the rest is turned away." default:"512"`
	Audit       bool          `help:"Print the audit log to the standard error."`
}

// maxMemory is in megabytes.
const maxMemory = 64 << 10

// Run serves until interrupted.
func (c *loadTargetCommand) Run(ctx context.Context, s streams) (err error) {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", c.Listen)
	if err != nil {
		return err
	}
	defer listener.Close()
	if c.Requests < 1 {
		return fmt.Errorf("--requests takes 1 or more, not %d", c.Requests)
	}
	if c.Memory < 1 || c.Memory > maxMemory {
		return fmt.Errorf("--memory-megabytes takes 1 to %d, not %d", maxMemory, c.Memory)
	}
	if local := netip.MustParseAddrPort(listener.Addr().String()).Addr(); !local.IsLoopback() {
		return fmt.Errorf("a load target lets anybody log in as anybody, so it listens on loopback only, not at %s", local)
	}
	secure := c.TLS || c.Certificate != ""
	if c.Issuer == "" {
		c.Issuer = map[bool]string{false: "http://", true: "https://"}[secure] + listener.Addr().String()
	}
	dir, remove, err := c.folder()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, remove()) }()
	secrets, err := loadtarget.OpenSecrets(dir)
	if err != nil {
		return err
	}
	state, end, err := c.open(ctx, dir, secrets, s)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, end()) }()
	target, err := c.target(state, secrets, s)
	if err != nil {
		return err
	}
	var config *tls.Config
	if secure {
		if config, err = c.tls(); err != nil {
			return err
		}
	}
	return serveTarget(ctx, listener, config, target, c.plan(), s.out)
}

// plan is what fits into what this process may use.
func (c *loadTargetCommand) plan() capacity.Plan {
	const connections, databaseFiles = 1000, 16
	database := databaseFiles
	if c.Storage == "postgres" {
		database = c.Connections
	}
	return capacity.Plan{Connections: connections, Requests: c.Requests}.Within(capacity.Files(), database)
}

// folder is where the state is, with what to do at the end.
func (c *loadTargetCommand) folder() (dir string, remove func() error, err error) {
	if c.Data != "" {
		return c.Data, func() error { return nil }, os.MkdirAll(c.Data, 0o700)
	}
	if dir, err = os.MkdirTemp("", "load-target-"); err != nil {
		return "", nil, err
	}
	return dir, func() error { return os.RemoveAll(dir) }, nil
}

// open opens the store, encrypted as in a real deployment.
func (c *loadTargetCommand) open(ctx context.Context, dir string, secrets *loadtarget.Secrets, s streams) (provider.Store, func() error, error) {
	master, err := secrets.Master()
	if err != nil {
		return nil, nil, err
	}
	sealed := store.WithMasters(time.Now, master)
	switch c.Storage {
	case "sqlite":
		db, err := store.OpenSQLite(ctx, filepath.Join(dir, "broker.db"), sealed)
		if err != nil {
			return nil, nil, err
		}
		return db, db.Close, nil
	case "postgres":
		return c.openPostgres(ctx, sealed)
	}
	log := slog.New(slog.NewTextHandler(s.err, nil))
	return store.NewMemory(store.WithBound(c.Memory<<20), store.WithLog(log)), func() error { return nil }, nil
}

func (c *loadTargetCommand) openPostgres(ctx context.Context, sealed store.Option) (provider.Store, func() error, error) {
	connection, stop := c.Database, func() error { return nil }
	if connection == "" {
		cluster, err := postgres.Start(ctx, postgres.Options{Durable: true})
		if err != nil {
			return nil, nil, err
		}
		stop = cluster.Stop
		if connection, err = cluster.Schema(ctx, "broker"); err != nil {
			return nil, nil, errors.Join(err, stop())
		}
	}
	s, err := store.OpenPostgres(ctx, connection, c.Connections, sealed)
	if err != nil {
		return nil, nil, errors.Join(err, stop())
	}
	return s, func() error { return errors.Join(s.Close(), stop()) }, nil
}

// target makes the broker.
func (c *loadTargetCommand) target(state provider.Store, secrets *loadtarget.Secrets, s streams) (*loadtarget.Target, error) {
	o := loadtarget.Options{
		Issuer: c.Issuer, Store: state, Secrets: secrets, Persons: c.Persons,
		RedirectURIs: c.RedirectURI, PostLogoutURIs: c.PostLogout, BackChannelLogoutURI: c.BackChannel, FrontChannelLogoutURI: c.FrontChan,
		InFlight: c.plan().Requests, SigningAlgorithm: jose.SignatureAlgorithm(c.Algorithm), Ask: c.Ask, Redirect: c.Redirect, PKCE: c.PKCE,
		Outgoing:  forgivingClient(),
		Lifetimes: provider.Lifetimes{Code: c.Code, AccessToken: c.AccessToken, Session: c.Session},
	}
	if c.Audit {
		o.Log = slog.New(slog.NewJSONHandler(s.err, nil))
	}
	return loadtarget.New(o)
}

// forgivingClient reaches tools on this machine, whose certificates nobody knows.
// It follows no redirection.
func forgivingClient() *http.Client {
	return &http.Client{
		Timeout:       10 * time.Second,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport:     &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, IdleConnTimeout: 30 * time.Second}, //nolint:gosec // G402: logout tokens of a load target are worth nothing
	}
}

// tls is the server's side of TLS. Clients show their certificate if they have
// one; what it proves is for the broker to judge.
func (c *loadTargetCommand) tls() (*tls.Config, error) {
	// FAPI 2.0 5.2.1 leaves these of TLS 1.2 (RFC 9325 4.2).
	config := &tls.Config{MinVersion: tls.VersionTLS12, ClientAuth: tls.RequestClientCert, CipherSuites: []uint16{
		tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
		tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256, tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
	}}
	if c.Certificate != "" {
		pair, err := tls.LoadX509KeyPair(c.Certificate, c.Key)
		config.Certificates = []tls.Certificate{pair}
		return config, err
	}
	country, err := pki.New(pki.Options{})
	if err != nil {
		return nil, err
	}
	u, err := url.Parse(c.Issuer)
	if err != nil {
		return nil, err
	}
	pair, err := country.IssueService("load target", u.Hostname())
	config.Certificates = []tls.Certificate{pair}
	return config, err
}

// serveTarget prints what a tool has to know, as one line, and serves, with TLS if there is
// a configuration for it. Connections come through what eidbroker has them come through, in
// that order: what stands outside of TLS would hide the certificates of clients.
func serveTarget(ctx context.Context, listener net.Listener, secured *tls.Config, target *loadtarget.Target, plan capacity.Plan, out io.Writer) error {
	capacity.LimitMemory()
	defer ballast.Load()()
	background, stop := context.WithCancel(ctx)
	defer stop()
	go target.Purge(background, 10*time.Second)
	go target.DeliverNotices(background, time.Second)
	server := &http.Server{Handler: target, ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 30 * time.Second, IdleTimeout: 2 * time.Minute}
	if err := json.NewEncoder(out).Encode(target.Describe()); err != nil {
		return err
	}
	listener = capacity.Limit(listener, plan.Connections, server)
	if secured != nil {
		listener = tls.NewListener(listener, secured)
	}
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(framing.Listener(listener)) }()
	select {
	case err := <-ended:
		return err
	case <-ctx.Done():
	}
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), 30*time.Second)
	defer cancel()
	return server.Shutdown(last)
}
