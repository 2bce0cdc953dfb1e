package admin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"mime"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/eidbridge/eidbridge/brokers"
	"github.com/eidbridge/eidbridge/brokers/audit"
	"github.com/eidbridge/eidbridge/brokers/outages"
	"github.com/eidbridge/eidbridge/brokers/provider"
)

// Bounds on what comes in.
const (
	maxBody = 32 << 10 // bytes
	// maxWrong bounds the requests in a minute that bring no token of ours, and
	// maxRequests those of one token.
	maxWrong    = 20
	maxRequests = 600
)

// Config is what the handler is made of.
type Config struct {
	Registry *Registry
	Tokens   []Token
	// Flight finds the steps behind a reference, or brokers.ErrNotFound.
	Flight func(ctx context.Context, reference string, now time.Time) (*brokers.Flight, error)
	// Receipt loads a level receipt, or brokers.ErrNotFound.
	Receipt func(ctx context.Context, id string, now time.Time) ([]byte, error)
	// Outages switches login methods off and on; Upstreams are those that there are.
	Outages   *outages.Board
	Upstreams []brokers.Upstream
	// Bans lists and lifts bans.
	Bans Bans
	// EndPerson ends all sessions and grants of a person.
	EndPerson func(ctx context.Context, actor string, person provider.Person) (provider.Ended, error)
	// Changes tells what operators did lately, the newest first.
	Changes func(most int) ([]audit.Line, error)
	// Log is for what goes wrong.
	Log *slog.Logger
}

// Bans are those of an abuse.Guard.
type Bans interface {
	Bans(ctx context.Context) ([]brokers.Ban, error)
	// Lift ends one, or brokers.ErrNotFound.
	Lift(ctx context.Context, actor, id string) error
}

// api answers programs. A request needs the token of a role, names a host of this
// machine, and does not come from a page: browsers add Origin or Sec-Fetch-Site,
// which no program needs, so no site can make a visitor's browser do anything
// here, and no name that is made to point here is served.
type api struct {
	Config
	rates rates
}

// New makes the handler of the operator's listener:
//
//	GET    /v1/whoami
//	GET    /v1/references/{code}       what happened before an error page showed it
//	GET    /v1/clients                 all clients
//	POST   /v1/clients                 add one; the answer has its secret
//	GET    /v1/clients/{id}            one client
//	PUT    /v1/clients/{id}            replace its settings
//	DELETE /v1/clients/{id}            remove it
//	POST   /v1/clients/{id}/secret     another secret
//	POST   /v1/clients/{id}/disable    and /enable
//	GET    /v1/receipts/{id}           a level receipt by event ID
//	GET    /v1/outages                 what is out of order or will be
//	POST   /v1/outages                 put a method or an upstream out of order
//	DELETE /v1/outages/{id}            lift that
//	GET    /v1/bans                    addresses that are banned
//	DELETE /v1/bans/{id}               lift a ban
//	POST   /v1/persons/end             end all sessions and grants of a person
//	GET    /v1/changes                 what operators did lately
//
// and of the console, which console.go draws under / for people. Bodies and answers
// are JSON; the words of a client are those of the configuration.
func New(c Config) (http.Handler, error) {
	a := &api{Config: c, rates: rates{now: c.Registry.Now, counts: map[string]int{}}}
	mux := http.NewServeMux()
	for _, route := range []struct {
		pattern string
		needs   Role
		serve   func(w http.ResponseWriter, r *http.Request, actor string) (status int, body any, err error)
	}{
		{"GET /v1/whoami", Viewer, a.whoami},
		{"GET /v1/clients", Viewer, a.list},
		{"POST /v1/clients", Operates, a.add},
		{"GET /v1/clients/{id}", Viewer, a.show},
		{"PUT /v1/clients/{id}", Operates, a.change},
		{"DELETE /v1/clients/{id}", Operates, a.remove},
		{"POST /v1/clients/{id}/secret", Operates, a.rotate},
		{"POST /v1/clients/{id}/disable", Operates, a.disable},
		{"POST /v1/clients/{id}/enable", Operates, a.disable},
		{"GET /v1/receipts/{id}", Viewer, a.receipt},
		{"GET /v1/references/{code}", Viewer, a.flight},
		{"GET /v1/outages", Viewer, a.listOutages},
		{"POST /v1/outages", Operates, a.addOutage},
		{"DELETE /v1/outages/{id}", Operates, a.liftOutage},
		{"GET /v1/bans", Operates, a.listBans}, // addresses are personal data
		{"DELETE /v1/bans/{id}", Operates, a.liftBan},
		{"POST /v1/persons/end", Operates, a.endPerson},
		{"GET /v1/changes", Viewer, a.changes},
	} {
		mux.HandleFunc(route.pattern, func(w http.ResponseWriter, r *http.Request) {
			token, problem := a.admit(r, route.needs)
			if problem != nil {
				a.refuse(w, r, problem)
				return
			}
			r.Body = http.MaxBytesReader(w, r.Body, maxBody)
			status, body, err := route.serve(w, r, "admin:"+token.Name)
			if err != nil {
				a.refuse(w, r, err)
				return
			}
			answer(w, status, body)
		})
	}
	pages, err := newConsole(a)
	if err != nil {
		return nil, fmt.Errorf("console: %w", err)
	}
	pages.routes(mux)
	return local(mux), nil
}

// local refuses names that are not this machine's.
func local(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "no-store")
		w.Header().Set("X-Content-Type-Options", "nosniff")
		host := r.Host
		if name, _, err := net.SplitHostPort(host); err == nil {
			host = name
		}
		if !provider.IsLoopback(strings.Trim(host, "[]")) {
			answer(w, http.StatusMisdirectedRequest, problem{Error: "host", Description: "this is served to names of this machine only"})
			return
		}
		next.ServeHTTP(w, r)
	})
}

// problem is the answer to a request that is refused.
type problem struct {
	Error       string `json:"error"`
	Description string `json:"error_description"`
	status      int
}

type refusal struct{ problem }

func (e *refusal) Error() string { return e.problem.Error }

func refused(status int, code, description string) error {
	return &refusal{problem{code, description, status}}
}

// admit finds who asks, and whether their role is enough.
func (a *api) admit(r *http.Request, needs Role) (*Token, error) {
	if r.Header.Get("Origin") != "" || r.Header.Get("Sec-Fetch-Site") != "" {
		return nil, refused(http.StatusForbidden, "browser", "this is not for pages")
	}
	scheme, text, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	var found *Token
	for i := range a.Tokens {
		if strings.EqualFold(scheme, "Bearer") && a.Tokens[i].Hash.Matches(text) {
			found = &a.Tokens[i]
		}
	}
	if found == nil {
		if !a.rates.allow("", maxWrong) {
			return nil, refused(http.StatusTooManyRequests, "rate", "too many requests without a token; wait a minute")
		}
		return nil, refused(http.StatusUnauthorized, "invalid_token", "the token is missing or unknown")
	}
	if !a.rates.allow(found.Name, maxRequests) {
		return nil, refused(http.StatusTooManyRequests, "rate", "too many requests; wait a minute")
	}
	if needs == Operates && found.Role != Operates {
		return nil, refused(http.StatusForbidden, "role", "the token may look and not change")
	}
	return found, nil
}

// refuse answers with what is wrong.
func (a *api) refuse(w http.ResponseWriter, r *http.Request, err error) {
	var known *refusal
	var invalid *InvalidError
	var wrong *outages.InvalidError
	switch {
	case errors.As(err, &known):
	case errors.As(err, &wrong):
		known = &refusal{problem{"invalid_outage", wrong.Error(), http.StatusBadRequest}}
	case errors.Is(err, provider.ErrPerson):
		known = &refusal{problem{"invalid_person", err.Error(), http.StatusBadRequest}}
	case errors.As(err, &invalid):
		known = &refusal{problem{"invalid_client_metadata", invalid.Error(), http.StatusBadRequest}}
	case errors.Is(err, ErrConfigured):
		known = &refusal{problem{"configured", err.Error(), http.StatusConflict}}
	case errors.Is(err, brokers.ErrNotFound):
		known = &refusal{problem{"not_found", "there is no such thing", http.StatusNotFound}}
	default:
		a.Log.ErrorContext(r.Context(), "admin request failed", "error", err)
		known = &refusal{problem{"server_error", "something went wrong; the log has it", http.StatusInternalServerError}}
	}
	switch known.status {
	case http.StatusUnauthorized:
		w.Header().Set("WWW-Authenticate", "Bearer")
		a.Registry.Audit.LogAttrs(r.Context(), slog.LevelInfo, "audit", slog.String("event", "admin.refused"), slog.String("reason", known.problem.Error))
	case http.StatusTooManyRequests:
		w.Header().Set("Retry-After", "60")
	}
	answer(w, known.status, known.problem)
}

func answer(w http.ResponseWriter, status int, body any) {
	if body == nil {
		w.WriteHeader(status)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body) // whoever asked may be gone
}

// made is the answer that has a secret.
type made struct {
	ID     string `json:"client_id"`
	Secret string `json:"client_secret,omitempty"`
}

func (a *api) whoami(_ http.ResponseWriter, _ *http.Request, actor string) (int, any, error) {
	return http.StatusOK, map[string]string{"actor": actor}, nil
}

func (a *api) list(_ http.ResponseWriter, r *http.Request, _ string) (int, any, error) {
	list, err := a.Registry.List(r.Context())
	return http.StatusOK, map[string]any{"clients": list}, err
}

func (a *api) show(_ http.ResponseWriter, r *http.Request, _ string) (int, any, error) {
	e, err := a.Registry.Show(r.Context(), r.PathValue("id"))
	return http.StatusOK, e, err
}

func (a *api) add(_ http.ResponseWriter, r *http.Request, actor string) (int, any, error) {
	s, err := readSettings(r)
	if err != nil {
		return 0, nil, err
	}
	secret, err := a.Registry.Add(r.Context(), actor, s)
	return http.StatusCreated, made{s.ID, secret}, err
}

func (a *api) change(_ http.ResponseWriter, r *http.Request, actor string) (int, any, error) {
	s, err := readSettings(r)
	if err != nil {
		return 0, nil, err
	}
	if s.ID != r.PathValue("id") {
		return 0, nil, refused(http.StatusBadRequest, "invalid_client_metadata", "id is not that of the address")
	}
	return http.StatusNoContent, nil, a.Registry.Change(r.Context(), actor, s)
}

func (a *api) remove(_ http.ResponseWriter, r *http.Request, actor string) (int, any, error) {
	return http.StatusNoContent, nil, a.Registry.Remove(r.Context(), actor, r.PathValue("id"))
}

func (a *api) rotate(_ http.ResponseWriter, r *http.Request, actor string) (int, any, error) {
	secret, err := a.Registry.RotateSecret(r.Context(), actor, r.PathValue("id"))
	return http.StatusOK, made{r.PathValue("id"), secret}, err
}

func (a *api) disable(_ http.ResponseWriter, r *http.Request, actor string) (int, any, error) {
	disabled := strings.HasSuffix(r.URL.Path, "/disable")
	return http.StatusNoContent, nil, a.Registry.Disable(r.Context(), actor, r.PathValue("id"), disabled)
}

func (a *api) flight(_ http.ResponseWriter, r *http.Request, _ string) (int, any, error) {
	f, err := a.Flight(r.Context(), r.PathValue("code"), a.Registry.Now())
	return http.StatusOK, f, err
}

func (a *api) receipt(_ http.ResponseWriter, r *http.Request, _ string) (int, any, error) {
	if strings.Contains(r.PathValue("id"), "/") {
		return 0, nil, brokers.ErrNotFound // what else is kept beside receipts has its own address
	}
	signed, err := a.Receipt(r.Context(), r.PathValue("id"), a.Registry.Now())
	return http.StatusOK, map[string]string{"receipt": string(signed)}, err
}

// readSettings reads the body of a client.
func readSettings(r *http.Request) (s provider.ClientSettings, err error) {
	return s, readBody(r, &s, "a client")
}

// readBody reads JSON, strictly.
func readBody(r *http.Request, into any, what string) error {
	if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || kind != "application/json" {
		return refused(http.StatusUnsupportedMediaType, "content_type", "the body is not application/json")
	}
	decoder := json.NewDecoder(r.Body)
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(into); err != nil {
		if tooLarge := new(http.MaxBytesError); errors.As(err, &tooLarge) {
			return refused(http.StatusRequestEntityTooLarge, "too_large", "the body is too large")
		}
		return refused(http.StatusBadRequest, "invalid_json", "the body is not "+what+": a member is unknown or has the wrong type")
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return refused(http.StatusBadRequest, "invalid_json", "there is more than one value")
	}
	return nil
}

// rates counts requests by name within a minute.
type rates struct {
	now    func() time.Time
	mu     sync.Mutex
	minute int64
	counts map[string]int
}

func (r *rates) allow(name string, most int) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if minute := r.now().Unix() / 60; minute != r.minute {
		r.minute = minute
		clear(r.counts)
	}
	r.counts[name]++
	return r.counts[name] <= most
}
