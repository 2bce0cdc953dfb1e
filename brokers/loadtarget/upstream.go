package loadtarget

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/eidbridge/eidbridge/brokers"
	"github.com/eidbridge/eidbridge/levels"
)

// Names of the one upstream, and the bound on a person's number.
const (
	upstreamID = "approver"
	methodID   = "approval"
	maxPerson  = 1_000_000_000
)

// approver is the upstream that approves a numbered person at once; it proves nothing
// to nobody. Its login page is the broker's own callback, which Options.Redirect has
// browsers sent to.
type approver struct {
	callback string
	mapping  *levels.Mapping
	// persons is how many persons take turns.
	persons uint64
	turn    atomic.Uint64
	// methods are two where the broker is to ask the citizen.
	methods []brokers.Method
	now     func() time.Time
}

// immediate is the approver without the way through its login page.
type immediate struct{ *approver }

// Recognize believes everything: who asks is whom the login hint names.
func (a immediate) Recognize(_ *http.Request, q brokers.AuthenticationRequest) (*brokers.AuthenticationEvent, error) {
	q.RelayState = rand.Text()
	return a.approve(a.next(q.LoginHint), a.depart(q, ""))
}

func (*approver) ID() string { return upstreamID }

// Methods are what citizens can choose.
func (a *approver) Methods() []brokers.Method { return a.methods }

func methods(ask bool) []brokers.Method {
	list := []brokers.Method{{ID: methodID, Level: levels.High, Name: map[string]string{
		"en": "Approved at once", "es": "Aprobado al instante", "et": "Kohe kinnitatud", "nl": "Direct goedgekeurd",
	}}}
	if ask {
		list = append(list, brokers.Method{ID: methodID + "-low", Level: levels.Low, Name: map[string]string{
			"en": "Approved at once, but low", "es": "Aprobado al instante, nivel bajo", "et": "Kohe kinnitatud, madal tase", "nl": "Direct goedgekeurd, maar laag",
		}})
	}
	return list
}

// Destinations is the broker itself.
func (a *approver) Destinations() []string {
	u, err := url.Parse(a.callback)
	if err != nil {
		return nil
	}
	return []string{u.Scheme + "://" + u.Host}
}

// Start leads straight to the callback. A login hint that is a number chooses the
// person.
func (a *approver) Start(_ context.Context, r brokers.AuthenticationRequest) (*brokers.Departure, error) {
	query := url.Values{"login": {r.RelayState}, "person": {strconv.FormatUint(a.next(r.LoginHint), 10)}}
	return a.depart(r, a.callback+"?"+query.Encode()), nil
}

func (a *approver) depart(r brokers.AuthenticationRequest, location string) *brokers.Departure {
	return &brokers.Departure{Location: location, RequestID: "_" + r.RelayState, RequestedAt: a.now(), Request: r}
}

// next is the person whom a hint names, or whose turn it is.
func (a *approver) next(hint string) uint64 {
	person, err := strconv.ParseUint(hint, 10, 32)
	if err != nil || person == 0 || person > maxPerson {
		person = 1 + (a.turn.Add(1)-1)%a.persons
	}
	return person
}

// Correlate reads which login the callback answers.
func (*approver) Correlate(r *http.Request) (string, error) {
	login := r.URL.Query().Get("login")
	if login == "" {
		return "", errors.New("the callback names no login")
	}
	return login, nil
}

// Finish believes everything, at the level that was asked for.
func (a *approver) Finish(_ context.Context, r *http.Request, d *brokers.Departure) (*brokers.AuthenticationEvent, error) {
	number, err := strconv.ParseUint(r.URL.Query().Get("person"), 10, 32)
	if err != nil || number == 0 || number > maxPerson {
		return nil, &brokers.RejectedError{Reason: "person", Err: errors.New("the person has no number")}
	}
	return a.approve(number, d)
}

// approve is the proof for a person.
func (a *approver) approve(number uint64, d *brokers.Departure) (*brokers.AuthenticationEvent, error) {
	level := min(max(d.Request.Level, levels.Low), levels.High)
	assessment, err := a.mapping.Assess("tara", level.String())
	if err != nil {
		return nil, &brokers.RejectedError{Reason: "level_unknown", Err: err}
	}
	return &brokers.AuthenticationEvent{
		ID: "evt" + d.RequestID, Upstream: upstreamID, Method: d.Request.Method, Issuer: a.callback, AssertionID: d.RequestID,
		Assessment: assessment, AuthTime: a.now(), AMR: []string{"user"}, Subject: person(number),
	}, nil
}

// person is a made-up human being with every datum that a broker can tell.
func person(number uint64) brokers.Subject {
	n := strconv.FormatUint(number, 10)
	genders := [2]string{"Female", "Male"}
	return brokers.Subject{
		Key: "lab:" + n, GivenName: "Person", FamilyName: "Number " + n, Country: "EE",
		Birthdate: fmt.Sprintf("%04d-%02d-%02d", 1950+number%50, 1+number%12, 1+number%28),
		Particulars: &brokers.Particulars{
			Gender: genders[number%2], EmailAddress: "person" + n + "@lab.example", PhoneNumber: "+372 5" + fmt.Sprintf("%07d", number%10_000_000),
			Address: "<address><thoroughfare>" + n + " Lab Street</thoroughfare><postName>Tallinn</postName></address>",
		},
		Account: &brokers.Account{
			MiddleName: "Made-Up", Nickname: "n" + n, PreferredUsername: "person" + n, Zoneinfo: "Europe/Tallinn", Locale: "et-EE",
			Profile: "https://lab.example/persons/" + n, Picture: "https://lab.example/persons/" + n + ".png", Website: "https://lab.example/" + n,
			UpdatedAt: 1_700_000_000, EmailVerified: true, PhoneNumberVerified: true,
		},
	}
}
