package admin

import (
	"bytes"
	"context"
	"crypto/rand"
	"embed"
	"errors"
	"html/template"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/eidbridge/eidbridge/brokers"
	"github.com/eidbridge/eidbridge/brokers/provider"
	"github.com/eidbridge/eidbridge/levels"
)

//go:embed console/*.html console/style.css
var consoleFiles embed.FS

const (
	consoleCookie = "eidbroker-office"
	// consoleIdle ends a sign-in that nobody uses, and consoleLife any.
	consoleIdle = 30 * time.Minute
	consoleLife = 8 * time.Hour
	maxSignedIn = 100
)

// console draws the pages for people: plain HTML without scripts. Whoever signs in
// with a token gets a cookie that only requests of these pages carry (SameSite
// strict), forms from elsewhere are refused (http.CrossOriginProtection), and
// sign-ins live in the memory of one process.
type console struct {
	*api
	pages *template.Template

	mu       sync.Mutex
	signedIn map[brokers.Hash]*visit
}

type visit struct {
	token       Token
	began, last time.Time
}

func newConsole(a *api) (*console, error) {
	pages, err := template.ParseFS(consoleFiles, "console/*.html")
	if err != nil {
		return nil, err
	}
	return &console{api: a, pages: pages, signedIn: map[brokers.Hash]*visit{}}, nil
}

// screen is what a page shows.
type screen struct {
	Title    string
	Actor    string
	Operates bool
	Problem  string
	Done     string
	Clients  []Entry
	Client   *Entry
	Secret   string
	Levels   []levels.Level
	Flight   *brokers.Flight
	Code     string
}

func (c *console) routes(mux *http.ServeMux) {
	protection := http.NewCrossOriginProtection()
	page := func(pattern string, needs Role, serve func(w http.ResponseWriter, r *http.Request, s *screen)) {
		mux.Handle(pattern, protection.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			r.Body = http.MaxBytesReader(w, r.Body, maxBody)
			v := c.visitor(r)
			if v == nil {
				http.Redirect(w, r, "/", http.StatusSeeOther)
				return
			}
			s := &screen{Actor: v.token.Name, Operates: v.token.Role == Operates}
			if needs == Operates && !s.Operates {
				s.Title, s.Problem = "Not allowed", "Your token may look and not change. Ask an operator."
				c.draw(w, http.StatusForbidden, "message.html", s)
				return
			}
			serve(w, r, s)
		})))
	}
	mux.HandleFunc("GET /{$}", c.door)
	mux.Handle("POST /sign-in", protection.Handler(http.HandlerFunc(c.signIn)))
	mux.HandleFunc("GET /style.css", func(w http.ResponseWriter, r *http.Request) {
		http.ServeFileFS(w, r, consoleFiles, "console/style.css")
	})
	page("POST /sign-out", Viewer, c.signOut)
	page("GET /clients", Viewer, c.showClients)
	page("GET /clients/{id}", Viewer, c.showClient)
	page("POST /clients", Operates, c.addClient)
	page("POST /clients/{id}/{verb}", Operates, c.actOn)
	page("GET /references", Viewer, c.lookUp)
}

func (c *console) draw(w http.ResponseWriter, status int, name string, s *screen) {
	var body bytes.Buffer
	s.Levels = levels.Scale()[1:]
	if err := c.pages.ExecuteTemplate(&body, name, s); err != nil {
		c.Log.Error("console page was not drawn", "page", name, "error", err)
		http.Error(w, "something went wrong", http.StatusInternalServerError)
		return
	}
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", "default-src 'none'; style-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'")
	h.Set("Referrer-Policy", "same-origin") // forms need an origin to be told from others'
	h.Set("X-Frame-Options", "DENY")
	w.WriteHeader(status)
	_, _ = w.Write(body.Bytes()) // the reader may be gone
}

// visitor is who has the cookie, or nil.
func (c *console) visitor(r *http.Request) *visit {
	cookie, err := r.Cookie(consoleCookie)
	if err != nil {
		return nil
	}
	now := c.Registry.Now()
	c.mu.Lock()
	defer c.mu.Unlock()
	key := brokers.HashOf(cookie.Value)
	v := c.signedIn[key]
	if v == nil || now.Sub(v.last) > consoleIdle || now.Sub(v.began) > consoleLife {
		delete(c.signedIn, key)
		return nil
	}
	v.last = now
	return v
}

func (c *console) door(w http.ResponseWriter, r *http.Request) {
	if c.visitor(r) != nil {
		http.Redirect(w, r, "/clients", http.StatusSeeOther)
		return
	}
	c.draw(w, http.StatusOK, "signin.html", &screen{Title: "Sign in"})
}

func (c *console) signIn(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, maxBody)
	s := &screen{Title: "Sign in"}
	text := strings.TrimSpace(r.PostFormValue("token"))
	var found *Token
	for i := range c.Tokens {
		if c.Tokens[i].Hash.Matches(text) {
			found = &c.Tokens[i]
		}
	}
	if found == nil {
		status := http.StatusUnauthorized
		s.Problem = "This token is not known. Check that all of it was pasted."
		if !c.rates.allow("", maxWrong) {
			status, s.Problem = http.StatusTooManyRequests, "Too many tries. Wait a minute and try again."
		}
		c.record(r.Context(), "admin.refused", "")
		c.draw(w, status, "signin.html", s)
		return
	}
	secret, now := rand.Text(), c.Registry.Now()
	c.mu.Lock()
	if len(c.signedIn) >= maxSignedIn {
		clear(c.signedIn)
	}
	c.signedIn[brokers.HashOf(secret)] = &visit{*found, now, now}
	c.mu.Unlock()
	c.record(r.Context(), "admin.signed_in", found.Name)
	http.SetCookie(w, &http.Cookie{Name: consoleCookie, Value: secret, Path: "/", HttpOnly: true, SameSite: http.SameSiteStrictMode}) //nolint:gosec // G124: plain http on this machine alone
	http.Redirect(w, r, "/clients", http.StatusSeeOther)
}

func (c *console) record(ctx context.Context, event, name string) {
	c.Registry.record(ctx, event, "console:"+name, "")
}

func (c *console) signOut(w http.ResponseWriter, r *http.Request, _ *screen) {
	if cookie, err := r.Cookie(consoleCookie); err == nil {
		c.mu.Lock()
		delete(c.signedIn, brokers.HashOf(cookie.Value))
		c.mu.Unlock()
	}
	http.Redirect(w, r, "/", http.StatusSeeOther)
}

func (c *console) showClients(w http.ResponseWriter, r *http.Request, s *screen) {
	c.clientList(w, r, s, http.StatusOK)
}

func (c *console) clientList(w http.ResponseWriter, r *http.Request, s *screen, status int) {
	s.Title = "Clients"
	list, err := c.Registry.List(r.Context())
	if err != nil {
		c.failed(w, r, s, err)
		return
	}
	s.Clients = list
	c.draw(w, status, "clients.html", s)
}

func (c *console) showClient(w http.ResponseWriter, r *http.Request, s *screen) {
	e, err := c.Registry.Show(r.Context(), r.PathValue("id"))
	if err != nil {
		c.failed(w, r, s, err)
		return
	}
	s.Title, s.Client = "Client "+e.ID, e
	c.draw(w, http.StatusOK, "client.html", s)
}

func (c *console) addClient(w http.ResponseWriter, r *http.Request, s *screen) {
	settings := provider.ClientSettings{
		ID: strings.TrimSpace(r.PostFormValue("id")), Name: strings.TrimSpace(r.PostFormValue("name")),
		RedirectURIs: strings.Fields(r.PostFormValue("redirect_uris")), Scopes: strings.Fields(r.PostFormValue("scopes")),
	}
	var err error
	if settings.MinLevel, err = levels.Parse(r.PostFormValue("min_level")); err == nil {
		s.Secret, err = c.Registry.Add(r.Context(), "console:"+s.Actor, settings)
	}
	if err != nil {
		s.Problem = "The client was not added: " + err.Error()
		c.clientList(w, r, s, http.StatusBadRequest)
		return
	}
	s.Done = "The client " + settings.ID + " was added."
	c.clientList(w, r, s, http.StatusOK)
}

func (c *console) actOn(w http.ResponseWriter, r *http.Request, s *screen) {
	id, actor := r.PathValue("id"), "console:"+s.Actor
	var err error
	switch r.PathValue("verb") {
	case "disable":
		err = c.Registry.Disable(r.Context(), actor, id, true)
		s.Done = "The client " + id + " is disabled."
	case "enable":
		err = c.Registry.Disable(r.Context(), actor, id, false)
		s.Done = "The client " + id + " is enabled."
	case "secret":
		s.Secret, err = c.Registry.RotateSecret(r.Context(), actor, id)
		s.Done = "The client " + id + " has another secret."
	case "remove":
		err = c.Registry.Remove(r.Context(), actor, id)
		s.Done = "The client " + id + " was removed."
	default:
		err = brokers.ErrNotFound
	}
	if err != nil {
		s.Done = ""
		c.failed(w, r, s, err)
		return
	}
	c.clientList(w, r, s, http.StatusOK)
}

func (c *console) lookUp(w http.ResponseWriter, r *http.Request, s *screen) {
	s.Title, s.Code = "Reference", r.URL.Query().Get("code")
	if s.Code != "" {
		f, err := c.Flight(r.Context(), s.Code, c.Registry.Now())
		switch {
		case errors.Is(err, brokers.ErrNotFound):
			s.Problem = "Nothing is kept of this code. It may be older than two weeks, or mistyped."
		case err != nil:
			c.failed(w, r, s, err)
			return
		}
		s.Flight = f
	}
	c.draw(w, http.StatusOK, "reference.html", s)
}

func (c *console) failed(w http.ResponseWriter, r *http.Request, s *screen, err error) {
	var invalid *InvalidError
	status := http.StatusInternalServerError
	s.Title = "That did not work"
	switch {
	case errors.As(err, &invalid), errors.Is(err, ErrConfigured):
		status, s.Problem = http.StatusBadRequest, err.Error()
	case errors.Is(err, brokers.ErrNotFound):
		status, s.Problem = http.StatusNotFound, "There is no such client."
	default:
		c.Log.ErrorContext(r.Context(), "console request failed", "error", err)
		s.Problem = "Something went wrong; the log has it."
	}
	c.draw(w, status, "message.html", s)
}
