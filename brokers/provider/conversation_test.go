package provider_test

import (
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/eidbridge/eidbridge/brokers"
	"github.com/eidbridge/eidbridge/brokers/brokertest"
	"github.com/eidbridge/eidbridge/brokers/nationalid"
	"github.com/eidbridge/eidbridge/brokers/provider"
	"github.com/eidbridge/eidbridge/levels"
)

// telephoneRig offers one method on our own pages.
func telephoneRig(t *testing.T, phone *brokertest.Telephone, change func(*options)) *rig {
	t.Helper()
	o := options{
		upstreams: []brokers.Upstream{phone},
		client:    func(c *provider.Client) { c.Methods = []string{"telephone"} },
	}
	if change != nil {
		change(&o)
	}
	r := newRig(t, o)
	phone.Now = r.clock.Now
	return r
}

// dialog goes from the authorization request to the page that shows the code.
func (r *rig) dialog(b *browser) (address string, page answer) {
	r.t.Helper()
	address = r.authorize(b).location(r.t).String()
	form := b.get(address)
	if !strings.HasSuffix(address, "/dialog") || !strings.Contains(form.body, `name="phone_number"`) {
		r.t.Fatalf("at %s: %s", address, form.body)
	}
	b.post(address, url.Values{"token": {form.formToken(r.t)}, "phone_number": {"+37200000766"}}).location(r.t)
	return address, b.get(address)
}

func TestConversationEndsWithACode(t *testing.T) {
	phone := &brokertest.Telephone{}
	r := telephoneRig(t, phone, func(o *options) {
		o.config = func(c *provider.Config) {
			c.Equivalences = []nationalid.Equivalence{{Foreign: "eidas:EE/NL/", Scheme: "ee-ik"}}
		}
	})
	b := newBrowser(t)
	address, page := r.dialog(b)
	if page.StatusCode != 200 || !strings.Contains(page.body, ">1234</p>") || !strings.Contains(page.body, `<noscript><meta http-equiv="refresh" content="2; url=`+address) {
		t.Fatalf("the code is not shown: %s", page.body)
	}
	csp := page.Header.Get("Content-Security-Policy")
	if !strings.Contains(csp, "script-src 'self'") || !strings.Contains(csp, "connect-src 'self'") || strings.Contains(csp, "unsafe") {
		t.Errorf("policy %s", csp)
	}
	if qr := b.get(strings.TrimSuffix(address, "dialog") + "qr"); qr.StatusCode != 200 || qr.Header.Get("Content-Type") != "image/svg+xml" || !strings.HasPrefix(qr.body, "<svg") {
		t.Errorf("code to scan: %d %s", qr.StatusCode, qr.body)
	}
	if again := b.get(address + "?wait"); again.Header.Get("Dialog-Step") != page.Header.Get("Dialog-Step") || page.Header.Get("Dialog-Step") == "" {
		t.Error("a page that stayed the same has another step")
	}
	phone.Answer(nil)
	resume := b.get(address).location(t)
	if !strings.Contains(resume.Path, "/resume/") {
		t.Fatalf("led to %s", resume)
	}
	if code := b.get(resume.String()).location(t).Query().Get("code"); code == "" {
		t.Error("no code")
	}
	r.wantAudit(t, "login.authenticated/ok")
	// O-64: the page of a login that has moved on leads to where it is.
	if to := b.get(address); to.StatusCode != http.StatusSeeOther && to.StatusCode != http.StatusBadRequest {
		t.Errorf("after the end: %d", to.StatusCode)
	}
}

// Wrong entries show the form again; strangers and forged forms change nothing.
func TestConversationTakesAnswersFromItsBrowserOnly(t *testing.T) {
	phone := &brokertest.Telephone{}
	r := telephoneRig(t, phone, nil)
	b := newBrowser(t)
	address := r.authorize(b).location(t).String()
	form := b.get(address)
	token := form.formToken(t)
	b.post(address, url.Values{"token": {token}, "phone_number": {"55"}}).location(t)
	if again := b.get(address); !strings.Contains(again.body, `aria-invalid="true"`) {
		t.Errorf("a wrong entry is not marked: %s", again.body)
	}
	for name, a := range map[string]answer{
		"W-23 no token":            b.post(address, url.Values{"phone_number": {"+372"}}),
		"W-23 other token":         b.post(address, url.Values{"token": {"x"}, "phone_number": {"+372"}}),
		"O-63 other browser":       newBrowser(t).post(address, url.Values{"token": {token}, "phone_number": {"+372"}}),
		"O-63 other browser's GET": newBrowser(t).get(address),
		"O-05 repeated parameter":  b.post(address, url.Values{"token": {token}, "phone_number": {"+372", "+373"}}),
		"W-46 large body":          b.post(address, url.Values{"token": {token}, "phone_number": {strings.Repeat("1", 33<<10)}}),
	} {
		if a.StatusCode < 400 || a.StatusCode >= 500 {
			t.Errorf("%s: %d", name, a.StatusCode)
		}
	}
	if still := b.get(address); !strings.Contains(still.body, `name="phone_number"`) {
		t.Error("one of them took the step")
	}
}

// Two looks at once take one step: never two polls in parallel (broker.md 6.4).
func TestConversationTakesOneStepAtATime(t *testing.T) {
	entered, leave := make(chan struct{}), make(chan struct{})
	var once sync.Once
	phone := &brokertest.Telephone{}
	r := telephoneRig(t, phone, nil)
	b := newBrowser(t)
	address, _ := r.dialog(b)
	before := phone.Steps()
	phone.Taking = func() {
		once.Do(func() { close(entered); <-leave })
	}
	first := make(chan answer)
	go func() { first <- b.get(address + "?wait") }()
	<-entered
	if second := b.get(address); second.StatusCode != 200 || phone.Steps() != before {
		t.Errorf("second look: %d, %d steps", second.StatusCode, phone.Steps()-before)
	}
	// A citizen who leaves meanwhile has left, whatever the step brings.
	phone.Answer(nil)
	token := b.get(address).formToken(t)
	left := b.post(strings.TrimSuffix(address, "dialog")+"cancel", url.Values{"token": {token}}).location(t)
	if left.Query().Get("error") != "access_denied" {
		t.Errorf("leaving led to %s", left)
	}
	close(leave)
	if a := <-first; a.StatusCode != http.StatusSeeOther {
		t.Errorf("first look: %d", a.StatusCode)
	}
	for _, reason := range r.reasons() {
		if strings.HasPrefix(reason, "login.authenticated") || strings.HasPrefix(reason, "code.") {
			t.Errorf("a login that was left has %s", reason)
		}
	}
	// A replica that died while it took a step does not stop the login for good.
	phone.Taking = nil
	address, _ = r.dialog(b)
	r.clock.Add(time.Minute)
	if a := b.get(address); a.StatusCode != http.StatusSeeOther {
		t.Errorf("a minute later: %d", a.StatusCode)
	}
}

// broker.md 10: each category has its own words.
func TestConversationTellsWhatWentWrong(t *testing.T) {
	for category, want := range map[brokers.Category]string{
		brokers.CategoryBlocked: "This login is blocked", brokers.CategoryNotRegistered: "You do not have this way to log in",
		brokers.CategoryDevice: "Your telephone could not do its part", brokers.CategoryCard: "This card cannot be used",
		brokers.CategoryTimeout: "Time ran out", brokers.CategoryDenied: "The login did not succeed",
	} {
		phone := &brokertest.Telephone{}
		r := telephoneRig(t, phone, nil)
		b := newBrowser(t)
		address, _ := r.dialog(b)
		phone.Answer(&brokers.RejectedError{Reason: "test", Category: category})
		next := b.get(b.get(address).location(t).String()).location(t)
		page := b.get(next.String())
		if !strings.Contains(page.body, want) {
			t.Errorf("%s: %s", category, page.body)
		}
	}
	// One who refused on the telephone, with no other method, goes back.
	phone := &brokertest.Telephone{}
	r := telephoneRig(t, phone, nil)
	b := newBrowser(t)
	address, _ := r.dialog(b)
	phone.Answer(brokers.ErrCancelled)
	back := b.get(b.get(address).location(t).String()).location(t)
	if back.Query().Get("error") != "access_denied" {
		t.Errorf("led to %s", back)
	}
}

// What is out of order cannot be chosen, what is planned is announced, and what
// reaches the same level is offered instead.
func TestChoiceKnowsOutagesAndMaintenance(t *testing.T) {
	phone := &brokertest.Telephone{}
	strong := &brokertest.Upstream{Name: "strong", Offered: []brokers.Method{
		{ID: "strong-card", Level: levels.High, Name: map[string]string{"en": "Strong"}},
		{ID: "weak-card", Level: levels.Low, Name: map[string]string{"en": "Weak"}},
	}}
	r := telephoneRig(t, phone, func(o *options) {
		o.client = func(c *provider.Client) { c.Methods = []string{"telephone", "strong-card", "weak-card"} }
		o.upstreams = append(o.upstreams, strong)
	})
	now := r.clock.Now()
	b := newBrowser(t)
	choice := r.authorize(b).location(t).String()

	phone.Out = []brokers.Limit{{Method: "telephone", Planned: true, From: now.Add(2 * time.Hour), Until: now.Add(3 * time.Hour)}}
	if page := b.get(choice); !strings.Contains(page.body, "Planned maintenance: Telephone") || strings.Contains(page.body, "disabled") {
		t.Errorf("maintenance is not announced: %s", page.body)
	}
	r.clock.Add(150 * time.Minute)
	choice = r.authorize(b).location(t).String()
	page := b.get(choice)
	if !strings.Contains(page.body, `value="telephone/telephone" disabled`) || !strings.Contains(page.body, "maintenance until") || strings.Contains(page.body, "Planned maintenance") {
		t.Errorf("maintenance is not shown: %s", page.body)
	}
	forced := b.post(choice, url.Values{"token": {page.formToken(t)}, "method": {"telephone/telephone"}})
	if forced.StatusCode != http.StatusBadRequest {
		t.Errorf("a method under maintenance began a login: %d", forced.StatusCode)
	}

	// An upstream that fails: the page names what reaches its level.
	phone.Out = nil
	page = b.get(choice)
	b.post(choice, url.Values{"token": {page.formToken(t)}, "method": {"telephone/telephone"}}).location(t)
	phone.Answer(&brokers.RejectedError{Reason: "down", Category: brokers.CategoryUnavailable})
	address := choice + "/dialog"
	form := b.get(address)
	b.post(address, url.Values{"token": {form.formToken(t)}, "phone_number": {"+372"}}).location(t)
	if a := b.get(address); a.StatusCode != http.StatusBadGateway {
		t.Fatalf("a failing upstream: %d", a.StatusCode)
	}
	page = b.get(choice)
	_, notice, _ := strings.Cut(page.body, `class="notice"`)
	notice, _, _ = strings.Cut(notice, "</div>")
	if !strings.Contains(notice, "at least the same level as Telephone") || !strings.Contains(notice, "<li>Strong</li>") || strings.Contains(notice, "Weak") {
		t.Errorf("notice: %s", notice)
	}

	// With everything down the relying party is told at once (8.5 rule 13).
	only := telephoneRig(t, &brokertest.Telephone{Out: []brokers.Limit{{}}}, nil)
	if to := only.authorize(newBrowser(t)).location(t); to.Query().Get("error") != "temporarily_unavailable" {
		t.Errorf("with all methods out of order: %s", to)
	}
}

// W-53, W-54: those who wait for devices do not keep others out.
func TestConversationsWaitShortlyWhenManyWait(t *testing.T) {
	waits := make(chan time.Duration, 4)
	leave := make(chan struct{})
	phone := &brokertest.Telephone{}
	r := telephoneRig(t, phone, func(o *options) {
		o.config = func(c *provider.Config) { c.InFlight, c.UpstreamInFlight = 4, 4 }
	})
	var browsers []*browser
	var pages []string
	for range 3 {
		b := newBrowser(t)
		address, _ := r.dialog(b)
		browsers, pages = append(browsers, b), append(pages, address)
	}
	phone.Waiting = func(d time.Duration) {
		waits <- d
		if d > time.Second {
			<-leave
		}
	}
	var answers sync.WaitGroup
	for i := range 2 {
		answers.Go(func() { browsers[i].get(pages[i] + "?wait") })
	}
	for range 2 {
		if d := <-waits; d != 8*time.Second {
			t.Errorf("one of the first waits %s", d)
		}
	}
	browsers[2].get(pages[2] + "?wait")
	if d := <-waits; d != time.Second {
		t.Errorf("the third waits %s", d)
	}
	close(leave)
	answers.Wait()
}
