package provider_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/eidbridge/eidbridge/brokers"
	"github.com/eidbridge/eidbridge/brokers/provider"
)

// An operator ends all that there is of a person: sessions, with notices to portals,
// and tokens; and nothing of anybody else. The person is in no log.
func TestPersonIsEnded(t *testing.T) {
	for name, find := range map[string]func(r *rig, subject string) provider.Person{
		"by number": func(*rig, string) provider.Person { return provider.Person{Key: " ee-isikukood:60001017869 "} },
		"by subject": func(_ *rig, subject string) provider.Person {
			return provider.Person{Client: "portal", Subject: subject}
		},
	} {
		t.Run(name, func(t *testing.T) {
			person, told := "ee-isikukood:60001017869", make(chan string, 10)
			rp := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, q *http.Request) { told <- q.PostFormValue("logout_token") }))
			t.Cleanup(rp.Close)
			r := newRig(t, options{client: func(c *provider.Client) {
				c.SingleSignOn, c.RefreshTokens, c.BackChannelLogoutURI = true, true, rp.URL+"/out"
			}, config: func(c *provider.Config) {
				c.Freshness = brokers.Freshness{Low: time.Hour, Substantial: time.Hour, High: time.Hour}
			}})
			r.upstream.Change = func(e *brokers.AuthenticationEvent) { e.Subject.Key = person }
			first := newBrowser(t)
			answer := r.redeem(r.login(first, []string{"scope", "openid name offline_access"}).Get("code"))
			tokens, subject := object(t, answer.body), fmt.Sprint(decodeIDToken(t, answer)["sub"])
			person = "ee-isikukood:38001085718"
			other := newBrowser(t)
			others := object(t, r.redeem(r.login(other, []string{"scope", "openid name offline_access"}).Get("code")).body)
			ended, err := r.provider.EndPerson(t.Context(), "console:alice", find(r, subject))
			if err != nil || ended.Sessions != 1 || ended.Grants != 1 {
				t.Fatalf("ended %+v, %v", ended, err)
			}
			if r.loggedIn(first) || r.active(tokens["access_token"]) || r.refresh(tokens["refresh_token"]).StatusCode == 200 {
				t.Error("something of the person goes on")
			}
			if !r.loggedIn(other) || !r.active(others["access_token"]) {
				t.Error("another person was ended")
			}
			ctx, cancel := context.WithCancel(t.Context())
			delivered := make(chan struct{})
			go func() { r.provider.DeliverNotices(ctx, time.Hour); close(delivered) }()
			if claims := verifiedClaims(t, r, <-told); claims["sub"] != subject {
				t.Errorf("the portal was told of %v", claims)
			}
			cancel()
			<-delivered
			text := r.log.String()
			if !strings.Contains(text, `"event":"person.ended"`) || strings.Contains(text, "60001017869") || strings.Contains(text, subject) {
				t.Errorf("log: %s", text)
			}
		})
	}
}

func TestEndingNobodyIsRefused(t *testing.T) {
	r := newRig(t, options{})
	for name, p := range map[string]provider.Person{"nothing": {}, "no scheme": {Key: "900029365"}, "no number": {Key: "nl-bsn:"}, "no subject": {Client: "portal"}} {
		if _, err := r.provider.EndPerson(t.Context(), "x", p); !errors.Is(err, provider.ErrPerson) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := r.provider.EndPerson(t.Context(), "x", provider.Person{Client: "nobody", Subject: "x"}); !errors.Is(err, brokers.ErrNotFound) {
		t.Errorf("an unknown client: %v", err)
	}
}
