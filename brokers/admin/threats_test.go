package admin_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
)

// O-76: nothing of the operators' listener answers without a token, whatever a page of
// another site, another name or a guess brings along.
func TestEveryDoorAsksForAToken(t *testing.T) {
	o := newOffice(t)
	routes := []string{
		"GET /v1/whoami", "GET /v1/clients", "POST /v1/clients", "GET /v1/clients/library", "PUT /v1/clients/library", "DELETE /v1/clients/library",
		"POST /v1/clients/library/secret", "POST /v1/clients/library/disable", "POST /v1/clients/library/enable", "GET /v1/receipts/event",
		"GET /v1/references/ABCDE-FGHIJ", "GET /v1/outages", "POST /v1/outages", "DELETE /v1/outages/x", "GET /v1/bans", "DELETE /v1/bans/x",
		"POST /v1/persons/end", "GET /v1/changes",
	}
	for i, route := range routes {
		method, path, _ := strings.Cut(route, " ")
		for name, c := range map[string]struct {
			token   string
			headers []string
			want    int
		}{
			"O-76 no token":     {"", nil, http.StatusUnauthorized},
			"O-76 a page's":     {o.operator, []string{"Origin", "https://evil.example"}, http.StatusForbidden},
			"O-76 another name": {o.operator, []string{"Host", "rebound.example"}, http.StatusMisdirectedRequest},
		} {
			if name == "O-76 no token" && i%15 == 14 {
				o.now = o.now.Add(61e9) // or it would be the rate that refuses
			}
			if status, body := o.ask(method, path, c.token, "{}", c.headers...); status != c.want {
				t.Errorf("%s at %s: %d %s", name, route, status, body)
			}
		}
	}
	stranger := o.clerk("")
	for _, path := range []string{"/clients", "/clients/fixed", "/outages", "/bans", "/persons", "/changes", "/references?code=ABCDE-FGHIJ"} {
		if _, page := stranger.send(path, nil); !strings.Contains(page, `name="token"`) || strings.Contains(page, "fixed") {
			t.Errorf("O-76 a stranger at %s sees %s", path, page)
		}
	}
	clerk := o.clerk(o.operator)
	for _, path := range []string{"/clients", "/clients/fixed/remove", "/outages", "/outages/x/lift", "/bans/x/lift", "/persons", "/sign-out"} {
		for _, headers := range [][]string{{"Sec-Fetch-Site", "cross-site"}, {"Sec-Fetch-Site", "same-site"}, {"Origin", "http://localhost:1"}} {
			if status, _ := clerk.send(path, url.Values{"person": {"nl-bsn:900029365"}, "sure": {"yes"}, "what": {"fake"}}, headers...); status != http.StatusForbidden {
				t.Errorf("O-76 a form of another site at %s by %v: %d", path, headers, status)
			}
		}
	}
	if len(o.ended) != 0 {
		t.Errorf("O-76 somebody was logged out: %v", o.ended)
	}
}
