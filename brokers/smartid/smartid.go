package smartid

import (
	"context"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"regexp"
	"slices"
	"time"

	"github.com/eidbridge/eidbridge/brokers"
	"github.com/eidbridge/eidbridge/brokers/authcert"
	"github.com/eidbridge/eidbridge/brokers/rpapi"
	"github.com/eidbridge/eidbridge/levels"
)

// scheme is the name of Smart-ID in the mapping; qualified and advanced are its
// values.
const (
	scheme    = "smart-id"
	qualified = "QUALIFIED"
	advanced  = "ADVANCED"
)

// methodLink and methodPush are the methods.
const (
	methodLink = "smart-id"
	methodPush = "smart-id-push"
)

// Config is a connection. Fields without a default are required.
type Config struct {
	// ID is default "smart-id".
	ID string
	// URL is the base of the API without trailing slash:
	// "https://rp-api.smart-id.com/v3". Roots judge its certificate; nil are the
	// system's.
	URL   string
	Roots *x509.CertPool
	// SchemeName goes into links and signatures; default "smart-id". The public
	// demonstration has "smart-id-demo".
	SchemeName string
	// PartyUUID and PartyName are our registration; the name has 32 bytes at most.
	PartyUUID, PartyName string
	// DisplayText is shown in the app, 60 characters at most; default "Log in".
	DisplayText string
	// CallbackURL is where the app on the same device brings the browser. Empty
	// does not offer that way.
	CallbackURL string
	// Advanced also accepts accounts that are not qualified.
	Advanced bool
	// Notification also offers to ask the app of a person who types a personal
	// code. A stranger could type it: see the package comment.
	Notification bool
	// Countries are those whose accounts are accepted; default Estonia.
	Countries []string
	// Judge holds the authorities that issue for apps.
	Judge *authcert.Judge
	// Mapping is default levels.Default(); MaxLevel, if not None, is a ceiling.
	Mapping  *levels.Mapping
	MaxLevel levels.Level
	// Replay remembers sessions, so that an answer counts once.
	Replay Replay
	// Clock and Rand are default time.Now and crypto/rand.
	Clock func() time.Time
	Rand  io.Reader
}

// Replay remembers what may be used once; ErrReplayed for a second time.
type Replay interface {
	UseAssertionID(ctx context.Context, issuer, id string, until time.Time) error
}

// Upstream is Smart-ID. It is safe for concurrent use.
type Upstream struct {
	c            Config
	client       *rpapi.Client
	level        levels.Level
	interactions string
}

// callbackForm is what the API demands of a callback (RP API 3.1), but for the
// scheme, which is http on this machine.
var callbackForm = regexp.MustCompile(`^https?://[^\\|]+$`)

// New checks a configuration. It asks nobody yet.
func New(c Config) (*Upstream, error) {
	c.complete()
	switch {
	case c.PartyUUID == "" || c.PartyName == "":
		return nil, errors.New("smart-id: relying party UUID or name is missing")
	case len(c.PartyName) > 32:
		return nil, errors.New("smart-id: relying party name is longer than 32 bytes")
	case len([]rune(c.DisplayText)) > 60:
		return nil, errors.New("smart-id: display text is longer than 60 characters")
	case c.Judge == nil:
		return nil, errors.New("smart-id: trust anchors are missing")
	case c.Replay == nil:
		return nil, errors.New("smart-id: replay store is missing")
	case c.CallbackURL != "" && !callbackForm.MatchString(c.CallbackURL):
		return nil, errors.New("smart-id: callback is no URL that the app would open")
	}
	client, err := rpapi.New(c.URL, c.Roots)
	if err != nil {
		return nil, fmt.Errorf("smart-id: %w", err)
	}
	u := &Upstream{c: c, client: client}
	for _, value := range u.accepted() {
		best, err := c.Mapping.Assess(scheme, value, brokers.Ceilings(u.c.ID, u.c.MaxLevel)...)
		if err != nil {
			return nil, fmt.Errorf("smart-id: %w", err)
		}
		u.level = max(u.level, best.Level)
	}
	u.interactions, err = interactions(c.DisplayText)
	return u, err
}

func (c *Config) complete() {
	if c.ID == "" {
		c.ID = scheme
	}
	if c.SchemeName == "" {
		c.SchemeName = "smart-id"
	}
	if c.DisplayText == "" {
		c.DisplayText = "Log in"
	}
	if c.Countries == nil {
		c.Countries = []string{"EE"}
	}
	if c.Mapping == nil {
		c.Mapping = levels.Default()
	}
	if c.Clock == nil {
		c.Clock = time.Now
	}
	if c.Rand == nil {
		c.Rand = rand.Reader
	}
}

// accepted lists the kinds of accounts, in the words of the mapping.
func (u *Upstream) accepted() []string {
	if u.c.Advanced {
		return []string{qualified, advanced}
	}
	return []string{qualified}
}

// ID implements brokers.Upstream.
func (u *Upstream) ID() string { return u.c.ID }

// Methods implements brokers.Upstream.
func (u *Upstream) Methods() []brokers.Method {
	name := map[string]string{"en": "Smart-ID"}
	list := []brokers.Method{{ID: methodLink, Level: u.level, Name: name}}
	if u.c.Notification {
		list = append(list, brokers.Method{ID: methodPush, Level: u.level, Name: map[string]string{
			"en": "Smart-ID with personal code", "et": "Smart-ID isikukoodiga", "es": "Smart-ID con código personal", "nl": "Smart-ID met persoonscode",
		}})
	}
	return list
}

// Start implements brokers.Upstream. The session is begun when its page is shown.
func (u *Upstream) Start(_ context.Context, r brokers.AuthenticationRequest) (*brokers.Departure, error) {
	offered := slices.ContainsFunc(u.Methods(), func(m brokers.Method) bool { return m.ID == r.Method && m.Level >= r.Level })
	if !offered {
		return nil, errors.New("smart-id: method is not offered or does not reach the level")
	}
	d := &brokers.Departure{RequestID: r.RelayState, RequestedAt: u.c.Clock(), Request: r}
	m := memo{Flow: flowQR}
	if r.Method == methodPush {
		m.Flow, m.Asking = flowNotification, true
	}
	return d, remember(d, m)
}

// flow is how the app gets to know of the session, in the API's words.
type flow string

const (
	flowQR           flow = "QR"
	flowWeb2App      flow = "Web2App"
	flowNotification flow = "Notification"
)

// memo is what is remembered of a login. Secret never leaves the server.
type memo struct {
	Flow flow `json:"flow"`
	// Asking is the form for a personal code; Code is what was typed, and BadCode
	// that it was not acceptable.
	Asking  bool   `json:"asking,omitempty"`
	Code    string `json:"code,omitempty"`
	BadCode bool   `json:"badCode,omitempty"`
	// Challenge is ours, in base64 as sent. Shown says that its verification code
	// was on the page.
	Challenge string `json:"challenge,omitempty"`
	Shown     bool   `json:"shown,omitempty"`
	// Session, Token, Secret and LinkBase are from the API's answer, Begun is when
	// it came.
	Session  string    `json:"session,omitempty"`
	Token    string    `json:"token,omitempty"`
	Secret   []byte    `json:"secret,omitempty"`
	LinkBase string    `json:"linkBase,omitempty"`
	Begun    time.Time `json:"begun,omitzero"`
	Until    time.Time `json:"until,omitzero"`
	// Callback is the URL that the app was given.
	Callback string `json:"callback,omitempty"`
}

func remember(d *brokers.Departure, m memo) error {
	text, err := json.Marshal(m) //nolint:gosec // G117: the memo stays on the server
	if err != nil {
		return fmt.Errorf("smart-id: %w", err)
	}
	d.Memo = text
	return nil
}

func recall(d *brokers.Departure) (memo, error) {
	var m memo
	if err := json.Unmarshal(d.Memo, &m); err != nil {
		return memo{}, errors.New("smart-id: login was not remembered")
	}
	return m, nil
}

// View implements brokers.Conversing.
func (u *Upstream) View(d *brokers.Departure) (brokers.View, error) {
	m, err := recall(d)
	if err != nil {
		return nil, err
	}
	if m.Asking {
		return &brokers.Questions{Topic: "smart_id_ask", Fields: []brokers.Field{
			{Name: fieldCode, Value: m.Code, Wrong: m.BadCode, Numeric: true, MaxLength: 11},
		}}, nil
	}
	device := &brokers.Device{Topic: "smart_id", Until: m.Until, Here: m.Flow == flowQR && u.c.CallbackURL != ""}
	switch {
	case m.Flow == flowNotification:
		device.Topic, device.Code = "smart_id_push", VerificationCode(m.Challenge)
	case m.Session == "":
		device.Until = u.c.Clock().Add(sessionTime)
	case m.Flow == flowWeb2App:
		device.Topic, device.Link = "smart_id_here", u.link(m, d.Request.Locale, 0)
	default:
		elapsed := u.c.Clock().Sub(m.Begun)
		if elapsed > codeTime {
			device.Topic, device.Again = "smart_id_old", true
			break
		}
		device.QR = u.link(m, d.Request.Locale, int(max(elapsed, 0)/time.Second))
	}
	return device, nil
}

// Destinations implements brokers.Destined: the app is opened by a link, so forms
// lead nowhere.
func (*Upstream) Destinations() []string { return nil }

// origin is the scheme and host of a URL.
func origin(text string) string {
	u, err := url.Parse(text)
	if err != nil {
		return ""
	}
	return u.Scheme + "://" + u.Host
}
