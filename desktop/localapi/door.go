package localapi

import (
	"context"
	"encoding/base64"
	json "encoding/json/v2"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"path"
	"strconv"
	"sync"
	"time"

	"golang.org/x/net/netutil"

	"github.com/eidbridge/eidbridge/desktop"
	"github.com/eidbridge/eidbridge/desktop/origins"
)

// Ports are where pages look for the agent: a first choice and four fallbacks,
// unassigned by IANA and below the ephemeral range.
func Ports() []int { return []int{27184, 27284, 27384, 27484, 27584} }

// The resources.
const (
	pathInfo     = "/v1/info"
	pathPairings = "/v1/pairings"
	pathRequests = "/v1/requests"
)

// Config is what a Door is made of. All fields but Log are required; the zero
// Rules take https origins only.
type Config struct {
	Service *desktop.Service
	Store   *origins.Store
	Rules   origins.Rules
	// Version is the agent's, such as "0.1.0".
	Version string
	Now     func() time.Time
	Random  io.Reader
	// Log receives refusals by code, without origins, tokens or names.
	Log *slog.Logger
}

// Door serves the API on listeners that it is given.
type Door struct {
	Config
	hosts    map[string]bool
	instance string
	routes   *http.ServeMux
	// base outlives messages; requests and pairings hang on it.
	base context.Context
	stop context.CancelFunc

	keys     keys
	pairings pairings
	absent   absences
}

// New makes a door for a port. Close ends it.
func New(c Config, port int) (*Door, error) {
	if c.Service == nil || c.Store == nil || c.Now == nil || c.Random == nil {
		return nil, errors.New("loopback door needs service, store, clock and randomness")
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	instance := make([]byte, 16)
	if _, err := io.ReadFull(c.Random, instance); err != nil {
		return nil, fmt.Errorf("make instance name: %w", err)
	}
	p := strconv.Itoa(port)
	d := &Door{
		Config: c, routes: http.NewServeMux(),
		instance: base64.RawURLEncoding.EncodeToString(instance),
		hosts:    map[string]bool{"127.0.0.1:" + p: true, "localhost:" + p: true, "[::1]:" + p: true},
		keys:     keys{used: make(map[string]use)},
		pairings: pairings{byID: make(map[string]*pairing)},
		absent:   absences{away: make(map[string]*absence)},
	}
	d.base, d.stop = context.WithCancel(context.Background())
	for _, route := range []struct {
		method, path string
		scope        origins.Scope
		open         bool
		handle       handler
	}{
		{http.MethodGet, pathInfo, "", true, d.info},
		{http.MethodPost, pathPairings, "", true, d.createPairing},
		{http.MethodGet, pathPairings + "/{id}", "", true, d.showPairing},
		{http.MethodDelete, pathPairings + "/{id}", "", true, d.deletePairing},
		{http.MethodPost, pathRequests, scopeOfKind, false, d.createRequest},
		{http.MethodGet, pathRequests + "/{id}", scopeOfKind, false, d.showRequest},
		{http.MethodDelete, pathRequests + "/{id}", scopeOfKind, false, d.cancelRequest},
		{http.MethodGet, pathRequests + "/{id}/documents/{n}/signed", origins.ScopeSign, false, d.signedDocument},
	} {
		d.routes.Handle(route.method+" "+route.path, d.authorised(route.open, route.scope, route.handle))
	}
	return d, nil
}

// Listen binds the loopback addresses at the first free port of ports, IPv4 and,
// where the system has it, IPv6. Port 0 takes any. It never binds another
// address (threats L-08).
func Listen(ctx context.Context, ports []int) ([]net.Listener, int, error) {
	var config net.ListenConfig
	var errs []error
	for _, port := range ports {
		v4, err := config.Listen(ctx, "tcp4", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
		if err != nil {
			errs = append(errs, err)
			continue
		}
		_, text, err := net.SplitHostPort(v4.Addr().String())
		if err != nil {
			return nil, 0, errors.Join(err, v4.Close())
		}
		bound, err := strconv.Atoi(text)
		if err != nil {
			return nil, 0, errors.Join(err, v4.Close())
		}
		listeners := []net.Listener{v4}
		if v6, err := config.Listen(ctx, "tcp6", net.JoinHostPort("::1", text)); err == nil {
			listeners = append(listeners, v6)
		}
		return listeners, bound, nil
	}
	return nil, 0, fmt.Errorf("no port of %v is free: %w", ports, errors.Join(errs...))
}

// Serve answers on the listeners until ctx ends, and closes them. When it returns,
// tokens that no page fetched are void.
func (d *Door) Serve(ctx context.Context, listeners []net.Listener) error {
	server := &http.Server{
		Handler: d, ReadHeaderTimeout: readHeaderTimeout, ReadTimeout: readTimeout, WriteTimeout: writeTimeout,
		IdleTimeout: idleTimeout, MaxHeaderBytes: maxHeader,
		// What net/http has to say of broken messages may quote them.
		ErrorLog:    slog.NewLogLogger(slog.DiscardHandler, slog.LevelError),
		BaseContext: func(net.Listener) context.Context { return d.base },
	}
	left := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(left)
		d.Close()
		// Long polls end with base; what is left gets a moment.
		leave, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		if server.Shutdown(leave) != nil {
			_ = server.Close()
		}
	})
	var wait sync.WaitGroup
	results := make(chan error, len(listeners))
	for _, l := range listeners {
		wait.Go(func() { results <- server.Serve(netutil.LimitListener(l, maxConns)) })
	}
	wait.Wait()
	if !stop() {
		<-left
	}
	d.Close()
	d.pairings.end()
	close(results)
	for err := range results {
		if !errors.Is(err, http.ErrServerClosed) {
			return err
		}
	}
	return nil
}

// Close ends long polls, open requests and pending pairings.
func (d *Door) Close() { d.stop() }

// handler answers a message that passed the guard.
type handler func(w http.ResponseWriter, r *http.Request, from caller) error

// caller is who sent a message.
type caller struct {
	origin origins.Origin
	// token is what the message carried, valid or not; empty for none.
	token string
}

// callerKey carries the caller from the guard to the routes.
type callerKey struct{}

// ServeHTTP implements http.Handler.
func (d *Door) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	origin, refused := d.guard(w, r)
	if refused != nil {
		d.Log.Warn("refused", "code", refused.Code)
		refused.write(w)
		return
	}
	switch r.Method {
	case http.MethodOptions:
		if origin.IsZero() {
			newProblem(codeOriginNotAllowed, "").write(w)
			return
		}
		preflight(w, r)
		return
	case http.MethodGet, http.MethodPost, http.MethodDelete:
	default:
		// HEAD too: some answers are given once.
		newProblem(codeMethodNotAllowed, "").write(w)
		return
	}
	if p := d.routable(r); p != nil {
		p.write(w)
		return
	}
	from := caller{origin: origin, token: bearer(r.Header)}
	d.routes.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), callerKey{}, from)))
}

// routable looks for the resource, so that the router's own answers (redirects to
// a cleaned path, plain-text errors) are never given.
func (d *Door) routable(r *http.Request) *problem {
	if path.Clean(r.URL.Path) != r.URL.Path || r.URL.RawPath != "" {
		return newProblem(codeNotFound, "")
	}
	if r.Method != http.MethodPost && r.ContentLength > 0 {
		return invalid("A body belongs to POST alone.")
	}
	if _, pattern := d.routes.Handler(r); pattern != "" {
		return nil
	}
	for _, method := range []string{http.MethodGet, http.MethodPost, http.MethodDelete} {
		other := r.Clone(r.Context())
		other.Method = method
		if _, pattern := d.routes.Handler(other); pattern != "" {
			return newProblem(codeMethodNotAllowed, "")
		}
	}
	return newProblem(codeNotFound, "")
}

// authorised wraps a handler: the token must be this origin's and have the scope,
// unless the resource is open.
func (d *Door) authorised(open bool, scope origins.Scope, handle handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		from, _ := r.Context().Value(callerKey{}).(caller)
		if !open {
			switch err := d.check(from, scope); {
			case errors.Is(err, origins.ErrScope):
				newProblem(codeScopeMissing, "").write(w)
				return
			case err != nil:
				newProblem(codeTokenInvalid, "").write(w)
				return
			}
		}
		if err := handle(w, r, from); err != nil {
			p := problemOf(err)
			d.Log.Warn("refused", "code", p.Code)
			p.write(w)
		}
	})
}

// scopeOfKind stands for the scope of the kind of request: signing or login.
const scopeOfKind origins.Scope = "of-kind"

// check tells whether the caller's token has a scope.
func (d *Door) check(from caller, scope origins.Scope) error {
	if scope != scopeOfKind {
		_, err := d.Store.Check(from.token, from.origin, scope)
		return err
	}
	err := d.check(from, origins.ScopeSign)
	if errors.Is(err, origins.ErrScope) {
		err = d.check(from, origins.ScopeAuthenticate)
	}
	return err
}

// info says that the agent is here, to its user's tools and to approved origins.
func (d *Door) info(w http.ResponseWriter, r *http.Request, _ caller) error {
	if r.URL.RawQuery != "" {
		return invalid("No parameters are known here.")
	}
	writeJSON(w, "application/json", http.StatusOK, struct {
		API      string `json:"api"`
		Product  string `json:"product"`
		Instance string `json:"instance"`
	}{"1", "eidagent/" + d.Version, d.instance})
	return nil
}

// readJSON reads a body strictly: declared as JSON, bounded, no unknown and no
// repeated members, names in their exact case.
func readJSON(w http.ResponseWriter, r *http.Request, v any) ([]byte, error) {
	if !isJSON(r.Header) {
		return nil, newProblem(codeMediaType, "")
	}
	if r.ContentLength > maxBody {
		// A connection closed on a page that still sends loses the answer, so as
		// much is read as a page in good faith may have.
		_, _ = io.CopyN(io.Discard, r.Body, maxDrain)
		return nil, newProblem(desktop.CodeDocumentTooLarge, "")
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil {
		return nil, invalid("The body could not be read.")
	}
	if err := json.Unmarshal(body, v, json.RejectUnknownMembers(true)); err != nil {
		return nil, invalid("The body is not the JSON that is expected here.")
	}
	return body, nil
}

// waiting reads wait (seconds) and seq of a long poll. No wait is a zero
// duration; wait without seq waits for any change after the present state.
func waiting(r *http.Request) (wait time.Duration, seq int, err error) {
	seq = -1
	for name, values := range r.URL.Query() {
		if len(values) != 1 {
			return 0, 0, invalid("A parameter is repeated.")
		}
		n, err := strconv.Atoi(values[0])
		if err != nil || n < 0 {
			return 0, 0, invalid("A parameter is no number.")
		}
		switch name {
		case "wait":
			wait = min(time.Duration(min(n, 3600))*time.Second, maxWait)
		case "seq":
			seq = n
		default:
			return 0, 0, invalid("A parameter is not known.")
		}
	}
	return wait, seq, nil
}
