package loadtarget

import (
	"context"
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

// approver is the upstream that approves a numbered person at once. Its login
// page is the broker's own callback: it proves nothing to nobody.
type approver struct {
	callback string
	mapping  *levels.Mapping
	// persons is how many persons take turns.
	persons uint64
	turn    atomic.Uint64
	// ask offers two methods, so that the broker asks the citizen.
	ask bool
	now func() time.Time
}

func (*approver) ID() string { return upstreamID }

func (a *approver) Methods() []brokers.Method {
	list := []brokers.Method{{ID: methodID, Level: levels.High, Name: map[string]string{
		"en": "Approved at once", "es": "Aprobado al instante", "et": "Kohe kinnitatud", "nl": "Direct goedgekeurd",
	}}}
	if a.ask {
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
	person, err := strconv.ParseUint(r.LoginHint, 10, 32)
	if err != nil || person == 0 || person > maxPerson {
		person = 1 + (a.turn.Add(1)-1)%a.persons
	}
	query := url.Values{"login": {r.RelayState}, "person": {strconv.FormatUint(person, 10)}}
	return &brokers.Departure{
		Location: a.callback + "?" + query.Encode(), RequestID: "_" + r.RelayState, RequestedAt: a.now(), Request: r,
	}, nil
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
