package admin

import (
	"bytes"
	"context"
	"crypto/rand"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"html/template"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/nicksnyder/go-i18n/v2/i18n"
	"golang.org/x/text/language"

	"github.com/eidbridge/eidbridge/brokers"
	"github.com/eidbridge/eidbridge/brokers/audit"
	"github.com/eidbridge/eidbridge/brokers/outages"
	"github.com/eidbridge/eidbridge/brokers/provider"
	"github.com/eidbridge/eidbridge/levels"
)

//go:embed console/*.html console/*.json console/style.css
var consoleFiles embed.FS

const (
	consoleCookie   = "eidbroker-office"
	consoleLanguage = "eidbroker-office-language"
	// consoleIdle ends a sign-in that nobody uses, and consoleLife any.
	consoleIdle = 30 * time.Minute
	consoleLife = 8 * time.Hour
	maxSignedIn = 100
)

// consoleLanguages are those of the catalogues; the first is the fallback.
func consoleLanguages() []string { return []string{"en", "es", "et", "nl"} }

// console draws the pages for people: plain HTML without scripts, in the languages of
// the catalogues. Whoever signs in with a token gets a cookie that only requests of
// these pages carry (SameSite strict), forms from elsewhere are refused
// (http.CrossOriginProtection), and sign-ins live in the memory of one process.
type console struct {
	*api
	tongues map[string]*tongue
	matcher language.Matcher

	mu       sync.Mutex
	signedIn map[brokers.Hash]*visit
}

// tongue is the console in one language.
type tongue struct {
	name  string
	pages *template.Template
	text  func(id string, pairs ...any) string
}

type visit struct {
	token       Token
	began, last time.Time
}

func newConsole(a *api) (*console, error) {
	c := &console{api: a, tongues: map[string]*tongue{}, signedIn: map[brokers.Hash]*visit{}}
	bundle := i18n.NewBundle(language.English)
	bundle.RegisterUnmarshalFunc("json", json.Unmarshal)
	var tags []language.Tag
	for _, name := range consoleLanguages() {
		if _, err := bundle.LoadMessageFileFS(consoleFiles, "console/active."+name+".json"); err != nil {
			return nil, fmt.Errorf("catalogue %s: %w", name, err)
		}
		t := &tongue{name: name, text: localize(i18n.NewLocalizer(bundle, name))}
		var err error
		t.pages, err = template.New("").Funcs(template.FuncMap{"text": t.text, "moment": moment}).ParseFS(consoleFiles, "console/*.html")
		if err != nil {
			return nil, err
		}
		c.tongues[name] = t
		tags = append(tags, language.MustParse(name))
	}
	c.matcher = language.NewMatcher(tags)
	return c, nil
}

func moment(t time.Time) string { return t.UTC().Format("2006-01-02 15:04 UTC") }

// localize finds a text. One that is not there shows as its name: a test walks all.
func localize(texts *i18n.Localizer) func(id string, pairs ...any) string {
	return func(id string, pairs ...any) string {
		data := map[string]any{}
		for i := 0; i+1 < len(pairs); i += 2 {
			data[fmt.Sprint(pairs[i])] = pairs[i+1]
		}
		text, err := texts.Localize(&i18n.LocalizeConfig{MessageID: id, TemplateData: data})
		if err != nil {
			return "[" + id + "]"
		}
		return text
	}
}

// screen is what a page shows.
type screen struct {
	*tongue
	Lang  string
	Title string
	// Path is where the page is found again.
	Path     string
	Actor    string
	Operates bool
	Nav      []door
	// Problem and Done say how it went, Detail why in the words of the program.
	Problem, Detail, Done string

	Clients  []Entry
	Client   *Entry
	Settings provider.ClientSettings
	Methods  []methodChoice
	Seen     string
	Secret   string
	Levels   []levels.Level
	Outages  []outageRow
	Choices  []string
	Bans     []brokers.Ban
	Changes  []audit.Line
	Flight   *brokers.Flight
	Code     string
}

// door leads to a page.
type door struct {
	Path, Text string
	Here       bool
}

func (c *console) routes(mux *http.ServeMux) {
	protection := http.NewCrossOriginProtection()
	page := func(pattern, home string, needs Role, serve func(w http.ResponseWriter, r *http.Request, s *screen)) {
		mux.Handle(pattern, protection.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			r.Body = http.MaxBytesReader(w, r.Body, maxBody)
			v := c.visitor(r)
			if v == nil {
				http.Redirect(w, r, "/", http.StatusSeeOther)
				return
			}
			if c.switched(w, r) {
				return
			}
			s := c.screen(r, home)
			s.Actor, s.Operates = v.token.Name, v.token.Role == Operates
			s.Nav = doors(home, s.Operates)
			if needs == Operates && !s.Operates {
				s.Title, s.Problem = s.text("not_allowed_title"), s.text("not_allowed")
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
	page("POST /sign-out", "/clients", Viewer, c.signOut)
	page("GET /clients", "/clients", Viewer, c.showClients)
	page("GET /clients/{id}", "/clients", Viewer, c.showClient)
	page("POST /clients", "/clients", Operates, c.addClient)
	page("POST /clients/{id}/{verb}", "/clients", Operates, c.actOn)
	page("GET /references", "/references", Viewer, c.lookUp)
	page("GET /outages", "/outages", Viewer, c.showOutages)
	page("POST /outages", "/outages", Operates, c.addOutageForm)
	page("POST /outages/{id}/lift", "/outages", Operates, c.liftOutageForm)
	page("GET /bans", "/bans", Operates, c.showBans)
	page("POST /bans/{id}/lift", "/bans", Operates, c.liftBanForm)
	page("GET /persons", "/persons", Operates, c.showPersons)
	page("POST /persons", "/persons", Operates, c.endPersonForm)
	page("GET /changes", "/changes", Viewer, c.showChanges)
}

// doors are the pages that a visitor may open.
func doors(here string, operates bool) []door {
	var list []door
	for _, d := range []struct {
		path, text string
		operates   bool
	}{
		{"/clients", "nav_clients", false},
		{"/outages", "nav_outages", false},
		{"/bans", "nav_bans", true},
		{"/persons", "nav_persons", true},
		{"/changes", "nav_changes", false},
		{"/references", "nav_references", false},
	} {
		if operates || !d.operates {
			list = append(list, door{d.path, d.text, d.path == here})
		}
	}
	return list
}

// screen begins a page in the visitor's language.
func (c *console) screen(r *http.Request, path string) *screen {
	t := c.tongues[consoleLanguages()[0]]
	cookie, err := r.Cookie(consoleLanguage)
	if err == nil && c.tongues[cookie.Value] != nil {
		t = c.tongues[cookie.Value]
	} else if accepted, _, err := language.ParseAcceptLanguage(r.Header.Get("Accept-Language")); err == nil {
		_, i, _ := c.matcher.Match(accepted...)
		t = c.tongues[consoleLanguages()[i]]
	}
	return &screen{tongue: t, Lang: t.name, Path: path, Levels: levels.Scale()[1:]}
}

// switched keeps another language, if the address names one, and comes back without
// it.
func (c *console) switched(w http.ResponseWriter, r *http.Request) bool {
	chosen := r.URL.Query().Get("lang")
	if r.Method != http.MethodGet || c.tongues[chosen] == nil {
		return false
	}
	http.SetCookie(w, &http.Cookie{Name: consoleLanguage, Value: chosen, Path: "/", MaxAge: 365 * 24 * 3600, HttpOnly: true, SameSite: http.SameSiteStrictMode}) //nolint:gosec // G124: plain http on this machine alone
	http.Redirect(w, r, r.URL.Path, http.StatusSeeOther)                                                                                                         //nolint:gosec // G710: a path that matched one of ours
	return true
}

func (c *console) draw(w http.ResponseWriter, status int, name string, s *screen) {
	var body bytes.Buffer
	if err := s.pages.ExecuteTemplate(&body, name, s); err != nil {
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
	if c.switched(w, r) {
		return
	}
	if c.visitor(r) != nil {
		http.Redirect(w, r, "/clients", http.StatusSeeOther)
		return
	}
	s := c.screen(r, "/")
	s.Title = s.text("sign_in")
	c.draw(w, http.StatusOK, "signin.html", s)
}

func (c *console) signIn(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, maxBody)
	s := c.screen(r, "/")
	s.Title = s.text("sign_in")
	text := strings.TrimSpace(r.PostFormValue("token"))
	var found *Token
	for i := range c.Tokens {
		if c.Tokens[i].Hash.Matches(text) {
			found = &c.Tokens[i]
		}
	}
	if found == nil {
		status := http.StatusUnauthorized
		s.Problem = s.text("wrong_token")
		if !c.rates.allow("", maxWrong) {
			status, s.Problem = http.StatusTooManyRequests, s.text("many_tries")
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

func (c *console) lookUp(w http.ResponseWriter, r *http.Request, s *screen) {
	s.Title, s.Code = s.text("nav_references"), r.URL.Query().Get("code")
	if s.Code != "" {
		f, err := c.Flight(r.Context(), s.Code, c.Registry.Now())
		switch {
		case errors.Is(err, brokers.ErrNotFound):
			s.Problem = s.text("reference_none")
		case err != nil:
			c.failed(w, r, s, err)
			return
		}
		s.Flight = f
	}
	c.draw(w, http.StatusOK, "reference.html", s)
}

// failed draws a page that says what went wrong.
func (c *console) failed(w http.ResponseWriter, r *http.Request, s *screen, err error) {
	status := c.explain(r, s, err)
	s.Title = s.text("failed_title")
	c.draw(w, status, "message.html", s)
}

// explain puts what went wrong on a page and says with which status it goes.
func (c *console) explain(r *http.Request, s *screen, err error) (status int) {
	var client *InvalidError
	var outage *outages.InvalidError
	switch {
	case errors.As(err, &client), errors.As(err, &outage):
		s.Problem, s.Detail = s.text("not_done"), err.Error()
	case errors.Is(err, ErrConfigured):
		s.Problem = s.text("configured")
	case errors.Is(err, provider.ErrPerson):
		s.Problem = s.text("bad_person")
	case errors.Is(err, errStale):
		s.Problem = s.text("stale")
		return http.StatusConflict
	case errors.Is(err, errNotSure):
		s.Problem = s.text("not_sure")
	case errors.Is(err, errTime):
		s.Problem = s.text("bad_time")
	case errors.Is(err, brokers.ErrNotFound):
		s.Problem = s.text("not_found")
		return http.StatusNotFound
	default:
		c.Log.ErrorContext(r.Context(), "console request failed", "error", err)
		s.Problem = s.text("failed")
		return http.StatusInternalServerError
	}
	return http.StatusBadRequest
}
