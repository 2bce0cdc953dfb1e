// Package pages draws the broker's pages: the choice of a login method, the way
// to an upstream, waiting, and what went wrong.
//
// Pages are plain HTML that works without scripts; the one script only presses a
// button that is there anyway. Texts are in catalogues, one file for each
// language, and every page says its language. Nothing comes from other origins.
// The package decides nothing and sets no headers.
package pages

import (
	"embed"
	"encoding/json"
	"fmt"
	"html/template"
	"io"
	"io/fs"
	"net/http"
	"strings"
	"time"

	"github.com/nicksnyder/go-i18n/v2/i18n"
	"golang.org/x/text/language"

	"github.com/eidbridge/eidbridge/brokers"
	"github.com/eidbridge/eidbridge/levels"
)

//go:embed templates/*.html assets/* catalogues/*.json
var files embed.FS

// Kind is a situation that a page or a notice tells of. Its texts are in the
// catalogues under the same name.
type Kind string

// The situations.
const (
	// BadRequest is a request that we do not understand; nobody is redirected.
	BadRequest Kind = "bad_request"
	// Unknown is a login that has ended or belongs to another browser.
	Unknown Kind = "unknown_login"
	// Finished is a login that was continued or completed elsewhere.
	Finished Kind = "finished"
	// Cancelled, TooLow, Refused, Timeout and Unavailable are attempts that
	// failed.
	Cancelled   Kind = "cancelled"
	TooLow      Kind = "too_low"
	Refused     Kind = "refused"
	Timeout     Kind = "timeout"
	Unavailable Kind = "unavailable"
	// OtherPerson is a stronger login by somebody else than the first.
	OtherPerson Kind = "other_person"
	// Blocked is an account or document that its issuer has blocked, NotRegistered
	// a person without this means, Device a telephone that could not do its part,
	// Card a card or certificate that cannot be used.
	Blocked       Kind = "blocked"
	NotRegistered Kind = "not_registered"
	Device        Kind = "device"
	Card          Kind = "card"
	// Busy is too many requests.
	Busy Kind = "busy"
	// Internal is a fault of ours.
	Internal Kind = "internal"
)

// Kinds lists all situations.
func Kinds() []Kind {
	return []Kind{BadRequest, Unknown, Finished, Cancelled, TooLow, Refused, Timeout, Unavailable, OtherPerson, Blocked, NotRegistered, Device, Card, Busy, Internal}
}

// Method is a button on the choice page.
type Method struct {
	// Value is what the form sends.
	Value string
	// Name is the text by language tag, with "en" for all other languages.
	Name  map[string]string
	Level levels.Level
	// Out says that the method is out of order, Planned that this was announced,
	// Until when it is expected back (zero: not known).
	Out, Planned bool
	Until        time.Time
	// Instead says that it reaches the level of one that is out of order.
	Instead bool
}

// Maintenance is announced for a method.
type Maintenance struct {
	Name        map[string]string
	From, Until time.Time
}

// Disruption is a method that is out of order now.
type Disruption struct {
	Name map[string]string
	// Planned says that it was announced; Until is when it is expected back (zero: not
	// known).
	Planned bool
	Until   time.Time
	// Instead are the names of methods that work and reach its level.
	Instead []map[string]string
}

// Choice is the page on which the citizen picks a method.
type Choice struct {
	Language string
	// Client is the name of the service to which the citizen logs in.
	Client string
	// Level is the least level the service needs.
	Level levels.Level
	// Notice tells of the last attempt, with a reference; both may be empty.
	Notice    Kind
	Reference string
	Methods   []Method
	// Failed is the name of the method that the notice tells of, if it was the
	// method's fault: those marked Instead are offered in its place.
	Failed map[string]string
	// Out lists what is out of order, and Soon what will be within the day.
	Out  []Disruption
	Soon []Maintenance
	// Switch offers to go on as another person.
	Switch bool
	// Onward lists the origins that the page's policy lets forms lead to.
	Onward string
	// Action and Cancel are where the two forms go, Token what they carry.
	Action, Cancel, Token string
}

// Problem is a page of fixed text with a reference number.
type Problem struct {
	Language  string
	Kind      Kind
	Reference string
	// Retry, if not empty, leads back to the choice; Back, if not empty, is the
	// form that returns to the service, with Token.
	Retry, Back, Token string
}

// Onward sends the browser to an upstream.
type Onward struct {
	Language string
	Location string
	// Fields, if not nil, are posted; otherwise the page leads there by itself.
	Fields map[string]string
	// Back is set on the way back to the service, Leaving on the way to log out.
	Back, Leaving bool
}

// Dialog is a page of a login that happens on our own pages. One of Questions,
// Device and Card is set.
type Dialog struct {
	Language string
	// Topic chooses the texts.
	Topic     string
	Questions *brokers.Questions
	Device    *brokers.Device
	Card      *brokers.Card
	// QR is the address of the picture of the code; empty for none.
	QR string
	// Origin is ours, which the card's token names.
	Origin string
	// Action is where forms go, Cancel ends the login, Others leads to the other
	// methods, Resume to wherever the login is, Token is what forms carry.
	Action, Cancel, Others, Resume, Token string
	// Step names what is shown.
	Step string
}

// UserCode is the page where citizens bring the code that a device shows them, are
// asked whether it is theirs, and learn how it ended.
type UserCode struct {
	Language string
	// Action is where the form goes. Without a Code the form asks for one; Wrong says
	// that the last one was.
	Action string
	Wrong  bool
	// Code asks about this code, of Client at Place since At; Token goes with the
	// answer.
	Code, Token   string
	Client, Place string
	At            time.Time
	// Done and Denied are the ends.
	Done, Denied bool
}

// Waiting is shown while an answer is being checked. It reloads itself.
type Waiting struct {
	Language string
	Location string
}

// Challenge asks the browser for a proof of work, or to wait.
type Challenge struct {
	Language string
	// Location is where to go on, with a query, to which the script adds
	// challenge_solution.
	Location string
	// Seed and Bits are the puzzle of brokers/abuse.
	Seed string
	Bits int
	// Seconds is how long a browser without scripts waits.
	Seconds int
}

// Logout asks whether to log out.
type Logout struct {
	Language string
	// Action is where the form goes, with Fields.
	Action string
	Fields map[string]string
}

// LoggedOut is shown after logging out.
type LoggedOut struct {
	Language string
	// Location, if not empty, leads back to the service, or with Onward to where the
	// login at the upstream is ended.
	Location string
	Onward   bool
	// Open says that the login at an upstream may not have ended. Then nothing moves on
	// before that was read.
	Open bool
	// Frames are addresses of services that end their own logins when the browser
	// loads them (front-channel logout).
	Frames []string
}

// Pages renders. It may be used by several goroutines.
type Pages struct {
	base    string
	tags    []string
	matcher language.Matcher
	// templates has a set for each language, with its texts bound.
	templates map[string]*template.Template
}

// New reads catalogues and templates. The base is the path of the issuer, below
// which the assets are served.
func New(base string) (*Pages, error) {
	p := &Pages{base: base, templates: map[string]*template.Template{}}
	bundle := i18n.NewBundle(language.English)
	bundle.RegisterUnmarshalFunc("json", json.Unmarshal)
	var tags []language.Tag
	for _, name := range []string{"en", "es", "et", "nl"} { // the first is the fallback
		if _, err := bundle.LoadMessageFileFS(files, "catalogues/active."+name+".json"); err != nil {
			return nil, fmt.Errorf("pages: catalogue %s: %w", name, err)
		}
		p.tags = append(p.tags, name)
		t := template.New("").Funcs(template.FuncMap{
			"text": localize(i18n.NewLocalizer(bundle, name)), "clock": clock, "moment": moment, "disruption": disruption,
		})
		if _, err := t.ParseFS(files, "templates/*.html"); err != nil {
			return nil, fmt.Errorf("pages: templates: %w", err)
		}
		p.templates[name] = t
		tags = append(tags, language.MustParse(name))
	}
	p.matcher = language.NewMatcher(tags)
	return p, nil
}

// Languages lists the languages, as BCP 47 tags.
func (p *Pages) Languages() []string { return append([]string(nil), p.tags...) }

// Language picks the best of our languages: for the wishes in their order, then
// for an Accept-Language header, then English. It returns one of Languages,
// whatever it is given.
func (p *Pages) Language(wishes []string, acceptLanguage string) string {
	const longest = 512 // bytes of a header that are worth parsing
	if len(acceptLanguage) > longest {
		acceptLanguage = ""
	}
	for _, wish := range wishes {
		if tag, err := language.Parse(wish); err == nil {
			if _, i, confidence := p.matcher.Match(tag); confidence >= language.High {
				return p.tags[i]
			}
		}
	}
	accepted, _, err := language.ParseAcceptLanguage(acceptLanguage)
	if err != nil {
		accepted = nil
	}
	_, i, _ := p.matcher.Match(accepted...)
	return p.tags[i]
}

// Assets serves the style sheet and the script below base/assets/.
func (p *Pages) Assets() http.Handler {
	assets, err := fs.Sub(files, "assets")
	if err != nil {
		panic("pages: " + err.Error()) // the path is a constant
	}
	serve := http.StripPrefix(p.base+"/assets/", http.FileServerFS(assets))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/") { // no listing
			http.NotFound(w, r)
			return
		}
		w.Header().Set("Cache-Control", "public, max-age=3600")
		serve.ServeHTTP(w, r)
	})
}

// view is what a template sees: the page's own data beside what every page has.
type view struct {
	Lang, Base string
	Page       any
}

// Choice renders the choice of a method.
func (p *Pages) Choice(w io.Writer, c Choice) error { return p.render(w, "choice.html", c.Language, c) }

// Problem renders what went wrong.
func (p *Pages) Problem(w io.Writer, c Problem) error {
	return p.render(w, "problem.html", c.Language, c)
}

// Onward renders the way to an upstream.
func (p *Pages) Onward(w io.Writer, c Onward) error { return p.render(w, "onward.html", c.Language, c) }

// Logout renders the question whether to log out.
func (p *Pages) Logout(w io.Writer, c Logout) error { return p.render(w, "logout.html", c.Language, c) }

// LoggedOut renders what follows logging out.
func (p *Pages) LoggedOut(w io.Writer, c LoggedOut) error {
	return p.render(w, "loggedout.html", c.Language, c)
}

// Dialog renders a page of a conversation.
func (p *Pages) Dialog(w io.Writer, c Dialog) error { return p.render(w, "dialog.html", c.Language, c) }

// UserCode renders the page for the code of a device.
func (p *Pages) UserCode(w io.Writer, c UserCode) error {
	return p.render(w, "usercode.html", c.Language, c)
}

// Challenge renders the page that works or waits.
func (p *Pages) Challenge(w io.Writer, c Challenge) error {
	return p.render(w, "challenge.html", c.Language, c)
}

// Waiting renders the page that waits.
func (p *Pages) Waiting(w io.Writer, c Waiting) error {
	return p.render(w, "waiting.html", c.Language, c)
}

func (p *Pages) render(w io.Writer, name, lang string, page any) error {
	t, ok := p.templates[lang]
	if !ok {
		lang, t = "en", p.templates["en"]
	}
	if err := t.ExecuteTemplate(w, name, view{lang, p.base, page}); err != nil {
		return fmt.Errorf("pages: rendering %s: %w", name, err)
	}
	return nil
}

// clock is a time of day, and moment one with its date, in UTC: a server does not
// know the citizen's zone.
func clock(t time.Time) string  { return t.UTC().Format("15:04:05 UTC") }
func moment(t time.Time) string { return t.UTC().Format("2006-01-02 15:04 UTC") }

// disruption names the text that tells of one.
func disruption(d Disruption) string {
	switch {
	case d.Until.IsZero():
		return "disruption"
	case d.Planned:
		return "disruption_maintenance"
	}
	return "disruption_until"
}

// localize makes the function that templates call as {{text "id" "Name" value}}.
func localize(texts *i18n.Localizer) func(id string, pairs ...any) (string, error) {
	return func(id string, pairs ...any) (string, error) {
		data := map[string]any{}
		for i := 0; i+1 < len(pairs); i += 2 {
			data[fmt.Sprint(pairs[i])] = pairs[i+1]
		}
		return texts.Localize(&i18n.LocalizeConfig{MessageID: id, TemplateData: data})
	}
}
