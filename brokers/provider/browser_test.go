package provider_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/eidbridge/eidbridge/brokers"
	"github.com/eidbridge/eidbridge/brokers/brokertest"
	"github.com/eidbridge/eidbridge/brokers/provider"
	"github.com/eidbridge/eidbridge/levels"
)

func twoMethods() []brokers.Method {
	return []brokers.Method{
		{ID: "app", Level: levels.Substantial, Name: map[string]string{"en": "App <i>", "et": "Äpp"}},
		{ID: "card", Level: levels.High, Name: map[string]string{"en": "Card"}},
	}
}

// linked is where a page leads to, or what it loads.
var linked = regexp.MustCompile(`(?:src|srcset|href|action|data|url)\s*=\s*["']?([^"'\s>]*)`)

// O-09, W-24, W-26, W-28, W-29, W-30: what every page carries.
func TestEveryAnswerIsProtected(t *testing.T) {
	r := newRig(t, options{upstream: &brokertest.Upstream{Offered: twoMethods()}})
	b := newBrowser(t)
	choice := b.get(r.authorize(b).location(t).String())
	for name, a := range map[string]answer{
		"choice":       choice,
		"refusal":      r.authorize(b, "client_id", "nobody"),
		"redirection":  r.authorize(b),
		"error":        r.authorize(b, "scope", "-"),
		"unknown path": b.get(r.server.URL + "/nothing"),
		"token":        r.redeem("x"),
		"userinfo":     r.userinfo("x"),
	} {
		for header, want := range map[string]string{
			"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff", "X-Frame-Options": "DENY",
			"Referrer-Policy": "no-referrer", "Cross-Origin-Opener-Policy": "same-origin", "Cross-Origin-Resource-Policy": "same-origin",
		} {
			if a.Header.Get(header) != want {
				t.Errorf("%s: %s is %q", name, header, a.Header.Get(header))
			}
		}
		csp := a.Header.Get("Content-Security-Policy")
		for _, directive := range []string{"default-src 'none'", "base-uri 'none'", "frame-ancestors 'none'", "require-trusted-types-for 'script'", "form-action 'self'"} {
			if !strings.Contains(csp, directive) {
				t.Errorf("%s: no %s in %q", name, directive, csp)
			}
		}
		if strings.Contains(csp, "script-src") || strings.Contains(csp, "unsafe") {
			t.Errorf("%s: scripts are allowed: %s", name, csp)
		}
		for _, foreign := range []string{"<b>", "<i>", "http://www"} {
			if strings.Contains(a.body, foreign) {
				t.Errorf("%s: the page has %q", name, foreign)
			}
		}
		// Names are not looked for in the text: tokens are random letters.
		for _, to := range linked.FindAllStringSubmatch(a.body, -1) {
			own := strings.HasPrefix(to[1], "/") && !strings.HasPrefix(to[1], "//") || strings.HasPrefix(to[1], "?") || strings.HasPrefix(to[1], r.server.URL+"/")
			if !own && !strings.HasPrefix(to[1], "http://localhost:7777/callback?") { // of the portal
				t.Errorf("%s: the page leads to or loads %q", name, to[1])
			}
		}
		if a.Header.Get("Access-Control-Allow-Origin") != "" {
			t.Errorf("%s: readable by other origins (O-80)", name)
		}
	}
	if csp := choice.Header.Get("Content-Security-Policy"); !strings.HasSuffix(csp, "form-action 'self' https://idp.example http://localhost:7777") {
		t.Errorf("forms may lead elsewhere: %s", csp)
	}
	if !strings.Contains(choice.body, "Portal &lt;b&gt;") || !strings.Contains(choice.body, "App &lt;i&gt;") {
		t.Errorf("names are not escaped: %s", choice.body)
	}
}

// W-20: cookies; over https with the __Host- prefix, which no neighbour can set.
func TestCookiesAreBoundToTheHost(t *testing.T) {
	r := newRig(t, options{client: func(c *provider.Client) { c.SingleSignOn = true }})
	b := newBrowser(t)
	start := r.authorize(b)
	done := b.back(r, r.callback(start.location(t)))
	cookies := append(start.Cookies(), done.Cookies()...)
	if len(cookies) != 3 {
		t.Fatalf("got cookies %v", cookies)
	}
	for _, c := range cookies {
		if !c.HttpOnly || c.SameSite != http.SameSiteLaxMode || c.Path != "/" || c.Domain != "" || len(c.String()) > 4096 || c.Secure {
			t.Errorf("cookie %s", c)
		}
	}
	if cookies[1].Value == "" == (cookies[2].Value == "") {
		t.Errorf("of the last two, one opens a session and one ends the login: %v", cookies[1:])
	}
	h := httpsProvider(t)
	req, err := http.NewRequest(http.MethodGet, "https://login.example/authorize?"+r.request().Encode(), nil)
	if err != nil {
		t.Fatal(err)
	}
	a := httptest.NewRecorder()
	h.ServeHTTP(a, req)
	if got := a.Header().Get("Set-Cookie"); !strings.HasPrefix(got, "__Host-broker_login_") || !strings.Contains(got, "; Secure") {
		t.Errorf("got cookie %q", got)
	}
	if got := a.Header().Get("Strict-Transport-Security"); got != "max-age=63072000; includeSubDomains" {
		t.Errorf("got HSTS %q (W-27)", got)
	}
}

// httpsProvider is a provider as it stands behind a proxy.
func httpsProvider(t *testing.T) http.Handler {
	t.Helper()
	var h http.Handler
	newRig(t, options{config: func(c *provider.Config) {
		secure := *c
		secure.Issuer = "https://login.example"
		p, err := provider.New(secure)
		if err != nil {
			t.Fatal(err)
		}
		h = p
	}})
	return h
}

// W-23, O-10: our own forms accept nothing from elsewhere.
func TestFormsAreProtected(t *testing.T) {
	r := newRig(t, options{upstream: &brokertest.Upstream{Offered: twoMethods()}})
	b := newBrowser(t)
	login := r.authorize(b).location(t).String()
	page := b.get(login)
	token := page.formToken(t)
	other := newBrowser(t)
	foreign := other.get(r.authorize(other).location(t).String()).formToken(t)
	post := func(b *browser, target string, headers []string, fields ...string) answer {
		req, err := http.NewRequest(http.MethodPost, target, strings.NewReader(with(url.Values{"token": {token}, "method": {"fake/app"}, "onward": {"https://idp.example"}}, fields...).Encode()))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		for i := 0; i+1 < len(headers); i += 2 {
			req.Header.Set(headers[i], headers[i+1])
		}
		return b.do(req)
	}
	for name, c := range map[string]struct {
		a      answer
		status int
	}{
		"no token":                {post(b, login, nil, "token", "-"), 403},
		"another login's token":   {post(b, login, nil, "token", foreign), 403},
		"another browser":         {post(newBrowser(t), login, nil), 400},
		"cross-site":              {post(b, login, []string{"Sec-Fetch-Site", "cross-site"}), 403},
		"from a neighbour domain": {post(b, login, []string{"Sec-Fetch-Site", "same-site"}), 403},
		"unknown method":          {post(b, login, nil, "method", "fake/none"), 400},
		"no method":               {post(b, login, nil, "method", "-"), 400},
		"parameters in the query": {post(b, login+"?x=1", nil), 400},
		"one byte too large":      {post(b, login, nil, "x", strings.Repeat("x", 4<<10)), 400},
		"cancel without token":    {post(b, login+"/cancel", nil, "token", "-"), 403},
		"cancel in other browser": {post(newBrowser(t), login+"/cancel", nil), 400},
		"unknown login":           {post(b, r.server.URL+"/login/unheard-of", nil), 400},
	} {
		if c.a.StatusCode != c.status || c.a.Header.Get("Location") != "" {
			t.Errorf("%s: status %d, want %d, location %q", name, c.a.StatusCode, c.status, c.a.Header.Get("Location"))
		}
	}
	for _, evil := range []string{"//evil.example", `/\evil.example`, "https:evil.example", "%2f%2fevil.example", "https://evil.example", "javascript:alert(1)"} {
		a := post(b, login, []string{"Sec-Fetch-Site", "same-origin"}, "onward", evil)
		if to := a.Header.Get("Location"); strings.Contains(to+a.body, "evil.example") || strings.Contains(a.body, "alert(1)") {
			t.Errorf("O-10 onward %q leads to %q: %s", evil, to, a.body)
		}
		for _, name := range []string{"next", "return_to", "lang", "back"} {
			if a := b.get(login + "?" + url.Values{name: {evil}}.Encode()); strings.Contains(a.Header.Get("Location")+a.body, "evil.example") {
				t.Errorf("O-10 %s=%q is heeded: %s", name, evil, a.body)
			}
		}
	}
	if to := post(b, login, []string{"Sec-Fetch-Site", "same-origin"}).location(t); to.Host != "idp.example" {
		t.Errorf("the citizen's own choice leads to %s", to)
	}
}

// A browser follows a redirection after a form only where the page said so;
// elsewhere a page leads on.
func TestDepartureByPageWhereNoOriginWasNamed(t *testing.T) {
	r := newRig(t, options{upstream: &brokertest.Upstream{Offered: twoMethods()}})
	b := newBrowser(t)
	login := r.authorize(b).location(t).String()
	page := b.get(login)
	if !strings.Contains(page.body, `name="onward" value="https://idp.example"`) {
		t.Errorf("the page names no origin: %s", page.body)
	}
	a := b.post(login, url.Values{"token": {page.formToken(t)}, "method": {"fake/card"}, "onward": {""}, "lang": {"nl"}})
	if a.StatusCode != http.StatusOK || !strings.Contains(a.body, `http-equiv="refresh" content="0; url=https://idp.example/login?`) || !strings.Contains(a.body, `<html lang="nl">`) {
		t.Errorf("%d %s", a.StatusCode, a.body)
	}
}

// A citizen who comes back with the back button may choose again. Only the last
// departure is awaited.
func TestChoosingAgainForgetsTheEarlierDeparture(t *testing.T) {
	r := newRig(t, options{upstream: &brokertest.Upstream{Offered: twoMethods()}})
	b := newBrowser(t)
	login := r.authorize(b).location(t).String()
	choose := func(method string) *url.URL {
		return b.post(login, url.Values{"token": {b.get(login).formToken(t)}, "method": {method}, "onward": {"https://idp.example"}}).location(t)
	}
	first, second := choose("fake/app"), choose("fake/card")
	if a := b.get(r.callback(first)); a.StatusCode != http.StatusBadRequest {
		t.Errorf("the earlier departure was answered: %d", a.StatusCode)
	}
	if b.back(r, r.callback(second)).location(t).Query().Get("code") == "" {
		t.Error("the later departure gives no code")
	}
	b = newBrowser(t)
	login = r.authorize(b).location(t).String()
	for range 10 {
		choose("fake/app")
	}
	a := b.post(login, url.Values{"token": {b.get(login).formToken(t)}, "method": {"fake/app"}, "onward": {"https://idp.example"}})
	if a.StatusCode != http.StatusTooManyRequests {
		t.Errorf("an eleventh attempt: %d", a.StatusCode)
	}
}

// O-74, W-43, W-47, W-48, W-51
func TestHostMethodAndPathAreExact(t *testing.T) {
	r := newRig(t, options{})
	u, err := url.Parse(r.server.URL)
	if err != nil {
		t.Fatal(err)
	}
	for _, host := range []string{"evil.example", "localhost:" + u.Port(), u.Hostname(), u.Host + ".", "x@" + u.Host} {
		req, err := http.NewRequest(http.MethodGet, r.server.URL+"/.well-known/openid-configuration", nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Host = host
		req.Header.Set("X-Forwarded-Host", u.Host)
		if a := newBrowser(t).do(req); a.StatusCode != http.StatusMisdirectedRequest && a.StatusCode != http.StatusBadRequest {
			t.Errorf("host %q: %d", host, a.StatusCode)
		}
	}
	sound := newBrowser(t).get(r.server.URL + "/.well-known/openid-configuration").body
	for _, headers := range [][2]string{
		{"X-Forwarded-Host", "evil.example"},
		{"X-Forwarded-Proto", "https"},
		{"X-Forwarded-Server", "evil.example"},
		{"X-Forwarded-Port", "444"},
		{"X-Forwarded-Prefix", "/evil"},
		{"Forwarded", "host=evil.example;proto=https"},
		{"X-Host", "evil.example"},
		{"X-Original-Host", "evil.example"},
		{"X-Original-URL", "/evil"},
		{"X-Rewrite-URL", "/evil"},
		{"X-Forwarded-Ssl", "on"},
		{"Front-End-Https", "on"},
	} {
		req, err := http.NewRequest(http.MethodGet, r.server.URL+"/.well-known/openid-configuration", nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set(headers[0], headers[1])
		if a := newBrowser(t).do(req); a.body != sound {
			t.Errorf("O-74 %s changes what is discovered: %s", headers[0], a.body)
		}
	}
	for path, status := range map[string]int{
		"//authorize": 404, "/./authorize": 404, "/x/../authorize": 404, "/authorize/": 404, "/AUTHORIZE": 404, "/authorize%00": 404,
		"/token": 405, "/metrics": 404, "/debug/pprof/": 404, "/healthz": 404, "/": 404, "/assets/": 404, "/assets/../pages.go": 404,
		"/upstream/fake/metadata": 404, "/assets/style.css": 200,
	} {
		if a := newBrowser(t).get(r.server.URL + path); a.StatusCode != status {
			t.Errorf("%s: %d, want %d", path, a.StatusCode, status)
		}
	}
	for _, method := range []string{"TRACE", "PUT", "DELETE", "OPTIONS", "PATCH"} {
		req, err := http.NewRequest(method, r.server.URL+"/authorize", nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("X-HTTP-Method-Override", "GET")
		if a := newBrowser(t).do(req); a.StatusCode != http.StatusMethodNotAllowed {
			t.Errorf("%s: %d", method, a.StatusCode)
		}
	}
}

// W-32, W-33: languages come from a fixed list, and errors tell nothing.
func TestPagesSpeakFourLanguages(t *testing.T) {
	r := newRig(t, options{upstream: &brokertest.Upstream{Offered: twoMethods()}})
	b := newBrowser(t)
	for want, c := range map[string]struct{ locales, lang, accept, text string }{
		"et": {"et", "", "nl", "Äpp"},
		"nl": {"fr nl-BE", "", "", "Inloggen bij"},
		"es": {"nl", "es", "", "Iniciar"},
		"en": {"fr", "../../etc/passwd", "xx;q=0", "Log in to"},
	} {
		login := r.authorize(b, "ui_locales", c.locales).location(t).String()
		req, err := http.NewRequest(http.MethodGet, login+"?lang="+url.QueryEscape(c.lang), nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Accept-Language", c.accept)
		if a := b.do(req); !strings.Contains(a.body, `<html lang="`+want+`">`) || !strings.Contains(a.body, c.text) {
			t.Errorf("%s: %s", want, a.body)
		}
	}
}

// Many pending logins do not fill the browser with cookies (W-21).
func TestPendingLoginsAreBounded(t *testing.T) {
	r := newRig(t, options{})
	b := newBrowser(t)
	for range 30 {
		r.authorize(b)
	}
	u, err := url.Parse(r.server.URL)
	if err != nil {
		t.Fatal(err)
	}
	if n := len(b.client.Jar.Cookies(u)); n > 9 {
		t.Errorf("%d cookies are pending", n)
	}
}

// More requests at once than there is room for are sent away, not queued.
func TestRequestsAtOnceAreBounded(t *testing.T) {
	checking, release := make(chan struct{}), make(chan struct{})
	slow := &slowUpstream{checking: checking, release: release}
	var shed atomic.Int64
	r := newRig(t, options{
		upstreams: []brokers.Upstream{slow},
		client:    func(c *provider.Client) { c.Methods = []string{"slow-card"} },
		config:    func(c *provider.Config) { c.InFlight, c.Shed = 1, func() { shed.Add(1) } },
	})
	slow.Now = r.clock.Now
	b := newBrowser(t)
	callback := strings.Replace(r.callback(r.authorize(b).location(t)), "/fake/", "/slow/", 1)
	result := make(chan answer)
	go func() { result <- b.get(callback) }()
	<-checking
	if a := newBrowser(t).get(r.server.URL + "/jwks"); a.StatusCode != http.StatusServiceUnavailable || a.Header.Get("Retry-After") == "" {
		t.Errorf("one too many: %d", a.StatusCode)
	}
	close(release)
	<-result
	if n := shed.Load(); n != 1 {
		t.Errorf("it was told of %d times", n)
	}
	if a := newBrowser(t).get(r.server.URL + "/jwks"); a.StatusCode != http.StatusOK {
		t.Errorf("afterwards: %d", a.StatusCode)
	}
}

// W-42: X-Forwarded-For counts only from a trusted proxy, and only its last
// untrusted hop.
func TestForwardedAddress(t *testing.T) {
	address := provider.ForwardedAddress([]netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")})
	for _, c := range []struct {
		peer, want string
		headers    []string
	}{
		{"203.0.113.7:1", "203.0.113.7", nil},
		{"203.0.113.7:1", "203.0.113.7", []string{"198.51.100.1"}},
		{"10.0.0.1:1", "198.51.100.1", []string{"198.51.100.1"}},
		{"10.0.0.1:1", "198.51.100.1", []string{"192.0.2.66, 198.51.100.1"}},
		{"10.0.0.1:1", "198.51.100.1", []string{"192.0.2.66", "198.51.100.1, 10.0.0.2"}},
		{"10.0.0.1:1", "10.0.0.1", []string{"nonsense"}},
		{"10.0.0.1:1", "10.0.0.1", nil},
		{"[::ffff:10.0.0.1]:1", "198.51.100.1", []string{"198.51.100.1"}},
		{"[2001:db8:1:2:3::4]:1", "2001:db8:1::/56", nil},
		{"10.0.0.1:1", "2001:db8:1::/56", []string{"2001:db8:1:ff::9"}},
	} {
		req := &http.Request{RemoteAddr: c.peer, Header: http.Header{"X-Forwarded-For": c.headers}}
		if got := address(req); got != c.want {
			t.Errorf("%s %v: got %s, want %s", c.peer, c.headers, got, c.want)
		}
	}
}

// A second look while the answer is being checked waits; if the checker is gone,
// the citizen may choose again.
func TestWaitingForTheAnswer(t *testing.T) {
	checking, release := make(chan struct{}), make(chan struct{})
	slow := &slowUpstream{Upstream: brokertest.Upstream{}, checking: checking, release: release}
	r := newRig(t, options{upstreams: []brokers.Upstream{slow}, client: func(c *provider.Client) { c.Methods = []string{"slow-card"} }})
	slow.Now = r.clock.Now
	b := newBrowser(t)
	departure := r.authorize(b).location(t)
	callback := strings.Replace(r.callback(departure), "/fake/", "/slow/", 1)
	result := make(chan answer)
	go func() { result <- b.get(callback) }()
	<-checking
	resume := r.server.URL + "/resume/" + loginID(t, r, b)
	if a := b.get(resume); a.StatusCode != http.StatusOK || !strings.Contains(a.body, `http-equiv="refresh"`) {
		t.Errorf("%d %s", a.StatusCode, a.body)
	}
	if to := b.get(callback).location(t).String(); to != resume {
		t.Errorf("the same answer again while it is checked leads to %s", to)
	}
	if a := newBrowser(t).get(callback); a.StatusCode != http.StatusBadRequest {
		t.Errorf("the same answer in another browser while it is checked: %d", a.StatusCode)
	}
	r.clock.Add(2 * time.Minute)
	if to := b.get(b.get(resume).location(t).String()).location(t); !strings.HasPrefix(to.Path, "/login/") {
		t.Errorf("the citizen is led to %s", to)
	}
	close(release)
	if a := <-result; a.StatusCode == http.StatusSeeOther {
		t.Error("the late answer was still taken")
	}
}

type slowUpstream struct {
	brokertest.Upstream
	checking, release chan struct{}
}

func (s *slowUpstream) ID() string { return "slow" }

func (s *slowUpstream) Methods() []brokers.Method {
	return []brokers.Method{{ID: "slow-card", Level: levels.High, Name: map[string]string{"en": "Slow"}}}
}

func (s *slowUpstream) Finish(ctx context.Context, r *http.Request, d *brokers.Departure) (*brokers.AuthenticationEvent, error) {
	close(s.checking)
	<-s.release
	e, err := s.Upstream.Finish(ctx, r, d)
	if e != nil {
		e.Upstream = "slow"
	}
	return e, err
}

// What an upstream says of a refusal decides what the citizen reads.
func TestRefusalsByCategory(t *testing.T) {
	for category, c := range map[brokers.Category]struct {
		status int
		text   string
	}{
		brokers.CategoryProtocol:      {400, "The login did not succeed"},
		brokers.CategoryDenied:        {200, "The login did not succeed"},
		brokers.CategoryLevel:         {200, "not strong enough"},
		brokers.CategoryTimeout:       {200, "Time ran out"},
		brokers.CategoryUnavailable:   {502, "cannot be reached"},
		brokers.CategoryConfiguration: {502, "cannot be reached"},
		"of the future":               {400, "The login did not succeed"},
	} {
		u := &refusing{category: category}
		r := newRig(t, options{upstreams: []brokers.Upstream{u}, client: func(c *provider.Client) { c.Methods = []string{"refusing-card"} }})
		b := newBrowser(t)
		a := b.get(strings.Replace(r.callback(r.authorize(b).location(t)), "/fake/", "/refusing/", 1))
		for a.StatusCode == http.StatusSeeOther {
			a = b.get(a.location(t).String())
		}
		if a.StatusCode != c.status || !strings.Contains(a.body, c.text) || strings.Contains(a.body, "secret detail") {
			t.Errorf("%q: %d %s", category, a.StatusCode, a.body)
		}
	}
}

type refusing struct {
	brokertest.Upstream
	category brokers.Category
}

func (*refusing) ID() string { return "refusing" }

func (*refusing) Methods() []brokers.Method {
	return []brokers.Method{{ID: "refusing-card", Level: levels.High, Name: map[string]string{"en": "Refusing"}}}
}

func (u *refusing) Finish(context.Context, *http.Request, *brokers.Departure) (*brokers.AuthenticationEvent, error) {
	return nil, &brokers.RejectedError{Reason: "x", Category: u.category, Err: errors.New("secret detail")}
}
