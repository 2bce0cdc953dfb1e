package mobileid

import (
	"context"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/eidbridge/eidbridge/brokers"
	"github.com/eidbridge/eidbridge/brokers/authcert"
	"github.com/eidbridge/eidbridge/brokers/rpapi"
	"github.com/eidbridge/eidbridge/levels"
)

// scheme and value name Mobile-ID in the mapping.
const (
	scheme = "mobile-id"
	value  = "mobile-id"
)

// Config is a connection. Fields without a default are required.
type Config struct {
	// ID is default "mobile-id".
	ID string
	// URL is the base of the service without trailing slash:
	// "https://mid.sk.ee/mid-api". Roots judge its certificate; nil are the
	// system's.
	URL   string
	Roots *x509.CertPool
	// PartyUUID and PartyName are our registration. The UUID is in lower case.
	PartyUUID, PartyName string
	// DisplayText is shown on the telephone, 100 characters at most; optional.
	DisplayText string
	// Judge holds the authorities that issue for telephones.
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

// Upstream is Mobile-ID. It is safe for concurrent use.
type Upstream struct {
	c      Config
	client *rpapi.Client
	level  levels.Level
	rings  rings
}

// New checks a configuration. It asks nobody yet.
func New(c Config) (*Upstream, error) {
	if c.ID == "" {
		c.ID = scheme
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
	switch {
	case c.PartyUUID == "" || c.PartyName == "":
		return nil, errors.New("mobile-id: relying party UUID or name is missing")
	case c.PartyUUID != strings.ToLower(c.PartyUUID):
		return nil, errors.New("mobile-id: relying party UUID is written in lower case")
	case !gsm7(c.DisplayText) || len(c.DisplayText) > maxDisplayText:
		return nil, fmt.Errorf("mobile-id: display text is longer than %d characters or has others than letters, digits and common signs", maxDisplayText)
	case c.Judge == nil:
		return nil, errors.New("mobile-id: trust anchors are missing")
	case c.Replay == nil:
		return nil, errors.New("mobile-id: replay store is missing")
	}
	client, err := rpapi.New(c.URL, c.Roots)
	if err != nil {
		return nil, fmt.Errorf("mobile-id: %w", err)
	}
	best, err := c.Mapping.Assess(scheme, value, brokers.Ceilings(c.ID, c.MaxLevel)...)
	if err != nil {
		return nil, fmt.Errorf("mobile-id: %w", err)
	}
	return &Upstream{c: c, client: client, level: best.Level, rings: rings{seen: map[string][]time.Time{}}}, nil
}

// ID implements brokers.Upstream.
func (u *Upstream) ID() string { return u.c.ID }

// Methods implements brokers.Upstream.
func (u *Upstream) Methods() []brokers.Method {
	return []brokers.Method{{
		ID: "mobile-id", Level: u.level,
		Name: map[string]string{"en": "Mobile-ID", "et": "Mobiil-ID", "es": "Mobile-ID", "nl": "Mobile-ID"},
	}}
}

// Start implements brokers.Upstream: the citizen is asked for number and code.
func (u *Upstream) Start(_ context.Context, r brokers.AuthenticationRequest) (*brokers.Departure, error) {
	if r.Method != "mobile-id" || r.Level > u.level {
		return nil, errors.New("mobile-id: method is not offered or does not reach the level")
	}
	now := u.c.Clock()
	d := &brokers.Departure{RequestID: r.RelayState, RequestedAt: now, Request: r}
	return d, remember(d, memo{Stage: asking})
}

// Correlate implements brokers.Upstream: there are no callbacks.
func (*Upstream) Correlate(*http.Request) (string, error) {
	return "", errors.New("mobile-id: there are no callbacks")
}

// Finish implements brokers.Upstream and is never reached.
func (*Upstream) Finish(context.Context, *http.Request, *brokers.Departure) (*brokers.AuthenticationEvent, error) {
	return nil, &brokers.RejectedError{Reason: "unsolicited"}
}

// stage is where a login is.
type stage string

const (
	// asking is the form, ready a code that nobody has seen yet, shown one that was
	// on the page, running a telephone that was asked.
	asking  stage = "asking"
	ready   stage = "ready"
	shown   stage = "shown"
	running stage = "running"
)

// memo is what is remembered of a login.
type memo struct {
	Stage stage  `json:"stage"`
	Code  string `json:"code,omitempty"`
	Phone string `json:"phone,omitempty"`
	// BadCode and BadPhone mark entries that were not acceptable.
	BadCode  bool `json:"badCode,omitempty"`
	BadPhone bool `json:"badPhone,omitempty"`
	// Challenge is what has to be signed, SHA-256 long.
	Challenge []byte    `json:"challenge,omitempty"`
	Session   string    `json:"session,omitempty"`
	Until     time.Time `json:"until,omitzero"`
}

func remember(d *brokers.Departure, m memo) error {
	text, err := json.Marshal(m)
	if err != nil {
		return fmt.Errorf("mobile-id: %w", err)
	}
	d.Memo = text
	return nil
}

func recall(d *brokers.Departure) (memo, error) {
	var m memo
	if err := json.Unmarshal(d.Memo, &m); err != nil {
		return memo{}, errors.New("mobile-id: login was not remembered")
	}
	return m, nil
}

// View implements brokers.Conversing.
func (u *Upstream) View(d *brokers.Departure) (brokers.View, error) {
	m, err := recall(d)
	if err != nil {
		return nil, err
	}
	if m.Stage == asking {
		return &brokers.Questions{Topic: "mobile_id_ask", Fields: []brokers.Field{
			{Name: fieldCode, Value: m.Code, Wrong: m.BadCode, Numeric: true, MaxLength: 11},
			{Name: fieldPhone, Value: m.Phone, Wrong: m.BadPhone, Telephone: true, MaxLength: 20},
		}}, nil
	}
	return &brokers.Device{Topic: "mobile_id", Code: VerificationCode(m.Challenge), Until: m.Until}, nil
}
