package provider_test

import (
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/eidbridge/eidbridge/brokers/brokertest"
	"github.com/eidbridge/eidbridge/brokers/provider"
	"github.com/eidbridge/eidbridge/levels"
)

const deviceGrant = "urn:ietf:params:oauth:grant-type:device_code"

// device is what the device authorization endpoint answers.
type device struct {
	Code      string `json:"device_code"`
	UserCode  string `json:"user_code"`
	Complete  string `json:"verification_uri_complete"`
	URI       string `json:"verification_uri"`
	ExpiresIn int    `json:"expires_in"`
	Interval  int    `json:"interval"`
}

func deviceRig(t *testing.T, change ...func(*provider.Client)) *rig {
	t.Helper()
	other := otherClient()
	other.DeviceFlow = true
	return newRig(t, options{clients: []provider.Client{other}, client: func(c *provider.Client) {
		c.DeviceFlow = true
		for _, f := range change {
			f(c)
		}
	}})
}

func (r *rig) beginDevice(change ...string) device {
	r.t.Helper()
	a := r.call("/device_authorization", with(url.Values{"scope": {"openid name"}}, change...))
	var d device
	if err := json.Unmarshal([]byte(a.body), &d); err != nil || a.StatusCode != http.StatusOK || d.Code == "" {
		r.t.Fatalf("%d %s", a.StatusCode, a.body)
	}
	return d
}

func (r *rig) poll(code string) answer {
	r.t.Helper()
	return r.call("/token", url.Values{"grant_type": {deviceGrant}, "device_code": {code}})
}

func (r *rig) wantPoll(code, want string) {
	r.t.Helper()
	if a := r.poll(code); a.StatusCode != http.StatusBadRequest || object(r.t, a.body)["error"] != want {
		r.t.Errorf("polling gives %d %s, want %s", a.StatusCode, a.body, want)
	}
	r.clock.Add(6 * time.Second)
}

// confirm answers the question on the page.
func (r *rig) confirm(b *browser, d device, answer string) answer {
	r.t.Helper()
	page := b.get(d.Complete)
	return b.post(r.server.URL+"/device/confirm", url.Values{"token": {page.formToken(r.t)}, "user_code": {d.UserCode}, "answer": {answer}})
}

// RFC 8628, from the device's request to its tokens.
func TestDeviceGetsTokens(t *testing.T) {
	r := deviceRig(t, func(c *provider.Client) { c.RefreshTokens = true })
	d := r.beginDevice("scope", "openid name offline_access")
	if d.ExpiresIn != 300 || d.Interval != 5 || len(d.UserCode) != 9 || d.UserCode[4] != '-' || d.Complete != d.URI+"?user_code="+d.UserCode {
		t.Errorf("got %+v", d)
	}
	r.wantPoll(d.Code, "authorization_pending")
	b := newBrowser(t)
	typed := strings.ToLower(strings.ReplaceAll(d.UserCode, "-", " "))
	page := b.post(d.URI, url.Values{"user_code": {typed}, "lang": {"en"}})
	for _, want := range []string{"Portal &lt;b&gt;", d.UserCode, "127.0.0.1", "hold this device in your hands"} {
		if !strings.Contains(page.body, want) {
			t.Errorf("the question does not say %q: %s", want, page.body)
		}
	}
	departure := r.confirm(b, d, "yes")
	r.wantPoll(d.Code, "authorization_pending")
	to, err := url.Parse(refreshTarget(t, departure))
	if err != nil {
		t.Fatal(err)
	}
	end := b.back(r, r.callback(to, "level", "high"))
	if end.StatusCode != http.StatusOK || !strings.Contains(end.body, "Go back to your device") {
		t.Fatalf("%d %s", end.StatusCode, end.body)
	}
	a := r.poll(d.Code)
	tokens := object(t, a.body)
	if a.StatusCode != http.StatusOK || tokens["refresh_token"] == nil {
		t.Fatalf("%d %s", a.StatusCode, a.body)
	}
	claims := decodeIDToken(t, a)
	if claims["acr"] != levels.Substantial.URI() || claims["nonce"] != nil {
		t.Errorf("a device's login is capped at substantial: %v (O-72)", claims)
	}
	if person := object(t, r.userinfo(tokens["access_token"].(string)).body); person["family_name"] != "TESTMAA" || person["sub"] != claims["sub"] {
		t.Errorf("userinfo %v", person)
	}
	// The code is of use once, and a replay takes the tokens along (O-13).
	r.clock.Add(6 * time.Second)
	r.wantPoll(d.Code, "invalid_grant")
	if a := r.userinfo(tokens["access_token"].(string)); a.StatusCode != http.StatusUnauthorized {
		t.Errorf("the token outlived the replay: %d", a.StatusCode)
	}
}

// refreshTarget is where a departure leads, by redirection or by page.
func refreshTarget(t *testing.T, a answer) string {
	t.Helper()
	if a.StatusCode == http.StatusSeeOther {
		return a.location(t).String()
	}
	_, rest, ok := strings.Cut(a.body, `content="0; url=`)
	target, _, _ := strings.Cut(rest, `"`)
	if !ok {
		t.Fatalf("no way on in %d %s", a.StatusCode, a.body)
	}
	return strings.ReplaceAll(target, "&amp;", "&")
}

// O-72, O-73
func TestDeviceRefuses(t *testing.T) {
	r := newRig(t, options{})
	if a := r.call("/device_authorization", url.Values{"scope": {"openid"}}); object(t, a.body)["error"] != "unauthorized_client" {
		t.Errorf("a client without the flow: %s", a.body)
	}
	if a := r.poll("x"); object(t, a.body)["error"] != "unsupported_grant_type" {
		t.Errorf("a client without the flow: %s", a.body)
	}
	r = deviceRig(t, func(c *provider.Client) { c.MinLevel = levels.High })
	if a := r.call("/device_authorization", url.Values{"scope": {"openid"}}); object(t, a.body)["error"] != "unmet_authentication_requirements" {
		t.Errorf("a level above the cap: %s", a.body)
	}
	r = deviceRig(t)
	for _, form := range []url.Values{{"scope": {"name"}}, {"scope": {"openid birthdate"}}} {
		if a := r.call("/device_authorization", form); object(t, a.body)["error"] != "invalid_scope" {
			t.Errorf("%v: %s", form, a.body)
		}
	}
	if a := r.call("/device_authorization", url.Values{"scope": {"openid"}, "claims": {"{"}}); object(t, a.body)["error"] != "invalid_request" {
		t.Errorf("malformed claims: %s", a.body)
	}
	r.wantPoll("unknown", "invalid_grant")
	r.wantPoll("", "invalid_request")

	d := r.beginDevice()
	if a := r.call("/token", url.Values{"grant_type": {deviceGrant}, "device_code": {d.Code}}, "basic", "other:other secret"); object(t, a.body)["error"] != "invalid_grant" {
		t.Errorf("O-73 another client's code: %s", a.body)
	}
	r.clock.Add(6 * time.Second)
	r.wantPoll(d.Code, "authorization_pending")
	if a := r.poll(d.Code); a.StatusCode != http.StatusBadRequest {
		t.Errorf("%d", a.StatusCode)
	}
	if a := r.poll(d.Code); object(t, a.body)["error"] != "slow_down" {
		t.Errorf("polling at once again: %s", a.body)
	}
	r.clock.Add(6 * time.Second)
	// A device code is no authorization code, and the other way round.
	if a := r.redeem(d.Code, "redirect_uri", "-", "code_verifier", "-"); object(t, a.body)["error"] != "invalid_grant" {
		t.Errorf("a device code as authorization code: %s", a.body)
	}
	r.wantPoll(r.login(newBrowser(t), nil).Get("code"), "invalid_grant")

	// Refused by the citizen.
	b := newBrowser(t)
	if a := r.confirm(b, d, "no"); a.StatusCode != http.StatusOK || !strings.Contains(a.body, "not logged in") {
		t.Errorf("%d %s", a.StatusCode, a.body)
	}
	r.wantPoll(d.Code, "access_denied")
	// Confirmed twice, in another browser, without the page's token, from elsewhere.
	d = r.beginDevice()
	page := b.get(d.Complete)
	form := url.Values{"token": {page.formToken(t)}, "user_code": {d.UserCode}, "answer": {"yes"}}
	if a := newBrowser(t).post(r.server.URL+"/device/confirm", form); a.StatusCode != http.StatusForbidden {
		t.Errorf("in another browser: %d", a.StatusCode)
	}
	if a := b.post(r.server.URL+"/device/confirm", with(url.Values{"answer": {"yes"}}, "user_code", d.UserCode, "token", "x")); a.StatusCode != http.StatusForbidden {
		t.Errorf("without token: %d", a.StatusCode)
	}
	first := b.post(r.server.URL+"/device/confirm", form)
	if first.StatusCode != http.StatusOK && first.StatusCode != http.StatusSeeOther {
		t.Errorf("%d", first.StatusCode)
	}
	if again := b.post(r.server.URL+"/device/confirm", form); again.StatusCode == http.StatusSeeOther {
		t.Errorf("confirmed twice: %d", again.StatusCode)
	}
	// Expired.
	d = r.beginDevice()
	r.clock.Add(6 * time.Minute)
	r.wantPoll(d.Code, "expired_token")
	if a := newBrowser(t).get(d.Complete); !strings.Contains(a.body, "wrong, or its time ran out") {
		t.Errorf("an expired code is found: %s", a.body)
	}
	// Wrong codes are counted by address; all look alike.
	statuses := []int{}
	for _, code := range []string{"BBBB-BBBB", "AAAA-AAAA", "x", "BCDFGHJKL", "BCDF-GHJK", "BCDF-GHJL", "BCDF-GHJM"} {
		statuses = append(statuses, newBrowser(t).get(r.server.URL+"/device?user_code="+code).StatusCode)
	}
	if !slices.Contains(statuses, http.StatusTooManyRequests) || statuses[0] != http.StatusOK {
		t.Errorf("guessing gives %v", statuses)
	}
}

// A citizen who gives up at the method page refuses for the device too.
func TestCancelledDeviceLogin(t *testing.T) {
	r := newRig(t, options{upstream: &brokertest.Upstream{Offered: twoMethods()}, client: func(c *provider.Client) { c.DeviceFlow = true }})
	b, d := newBrowser(t), r.beginDevice("claims", `{"id_token":{"given_name":null}}`)
	login := r.confirm(b, d, "yes").location(t).String()
	a := b.post(login+"/cancel", url.Values{"token": {b.get(login).formToken(t)}})
	if a.StatusCode != http.StatusOK || !strings.Contains(a.body, "not logged in") {
		t.Errorf("%d %s", a.StatusCode, a.body)
	}
	r.wantPoll(d.Code, "access_denied")
	if a := b.get(r.server.URL + "/device?lang=es"); !strings.Contains(a.body, "Código que muestra el dispositivo") {
		t.Errorf("not in Spanish: %s", a.body)
	}
}
