package provider_test

import (
	"encoding/json"
	"net/url"
	"strings"
	"testing"

	"github.com/go-jose/go-jose/v4"

	"github.com/eidbridge/eidbridge/brokers"
	"github.com/eidbridge/eidbridge/brokers/brokertest"
	"github.com/eidbridge/eidbridge/brokers/policy"
	"github.com/eidbridge/eidbridge/brokers/provider"
	"github.com/eidbridge/eidbridge/levels"
)

// ruled is a rig with rules of an operator.
func ruled(t *testing.T, client func(*provider.Client), rules ...policy.Rule) *rig {
	t.Helper()
	p, err := policy.New(rules)
	if err != nil {
		t.Fatal(err)
	}
	return newRig(t, options{client: client, config: func(c *provider.Config) {
		c.Policy = p
		c.Freshness = brokers.Freshness{Low: 1 << 40, Substantial: 1 << 40, High: 1 << 40}
	}})
}

// denied is the error that a relying party is told at once.
func denied(t *testing.T, a answer) url.Values {
	t.Helper()
	return a.location(t).Query()
}

func TestRulesRefuseBeforeTheChoice(t *testing.T) {
	for name, c := range map[string]struct {
		rule policy.Rule
		want string
	}{
		"client":             {policy.Rule{Name: "r", When: `client == "portal"`, Deny: "closed"}, "access_denied"},
		"address":            {policy.Rule{Name: "r", When: `within(address, "127.0.0.0/8")`, Deny: "closed"}, "access_denied"},
		"scope":              {policy.Rule{Name: "r", When: `"name" in scopes`, Deny: "closed"}, "access_denied"},
		"every method":       {policy.Rule{Name: "r", When: `upstream == "fake"`, Deny: "closed"}, "unmet_authentication_requirements"},
		"methods of no such": {policy.Rule{Name: "r", When: `true`, Methods: []string{"other"}}, "unmet_authentication_requirements"},
		"failing":            {policy.Rule{Name: "r", When: `scopes[9] == "x"`, StepUp: true}, "access_denied"},
	} {
		r := ruled(t, nil, c.rule)
		if got := denied(t, r.authorize(newBrowser(t))); got.Get("error") != c.want || got.Get("state") != "the state" {
			t.Errorf("%s: %v", name, got)
		}
		if log := r.log.String(); !strings.Contains(log, `"rule.applied"`) && name != "methods of no such" {
			t.Errorf("%s: no entry in %s", name, log)
		}
	}
}

// A rule in dry run is told of and changes nothing.
func TestRulesInDryRunOnlyTell(t *testing.T) {
	r := ruled(t, nil, policy.Rule{Name: "trial", When: `client == "portal"`, Deny: "closed", DryRun: true})
	if code := r.login(newBrowser(t), nil).Get("code"); code == "" {
		t.Fatal("no code")
	}
	if log := r.log.String(); strings.Contains(log, `"rule.applied"`) || !strings.Contains(log, `"event":"rule.would_apply","reason":"trial"`) {
		t.Errorf("log %s", log)
	}
}

// O-60: a rule can demand more than the request, never less.
func TestRulesRaiseWhatIsRequired(t *testing.T) {
	r := ruled(t, nil, policy.Rule{Name: "more", When: `requested < high`, MinLevel: levels.High})
	b := newBrowser(t)
	departure := r.authorize(b).location(t)
	a := b.back(r, r.callback(departure, "level", "substantial"))
	if a.StatusCode != 303 || !strings.Contains(a.Header.Get("Location"), "/login/") {
		t.Errorf("substantial led to %d %s", a.StatusCode, a.Header.Get("Location"))
	}
	if code := r.login(newBrowser(t), nil, "level", "high").Get("code"); code == "" {
		t.Error("high gave no code")
	}
	less := ruled(t, func(c *provider.Client) { c.MinLevel = levels.High }, policy.Rule{Name: "less", When: `true`, MinLevel: levels.Low})
	b = newBrowser(t)
	a = b.back(less, less.callback(less.authorize(b).location(t), "level", "substantial"))
	if strings.Contains(a.Header.Get("Location"), "code=") {
		t.Errorf("a rule lowered what the client requires: %s", a.Header.Get("Location"))
	}
}

// After the login rules may speak of what it was: it is refused, or the citizen is
// sent to log in more strongly.
func TestRulesJudgeTheLogin(t *testing.T) {
	r := ruled(t, nil, policy.Rule{Name: "claim", When: `"given_name" in claims`, Deny: "names"})
	if got := r.login(newBrowser(t), nil); got.Get("error") != "access_denied" {
		t.Errorf("got %v", got)
	}
	r = ruled(t, nil, policy.Rule{Name: "stronger", When: `level < high && country != "XX" && size(risk) == 0`, MinLevel: levels.High})
	b := newBrowser(t)
	a := b.back(r, r.callback(r.authorize(b).location(t), "level", "substantial"))
	choice := a.location(t).String()
	if !strings.Contains(choice, "/login/") {
		t.Fatalf("led to %s", choice)
	}
	page := b.get(choice)
	if page.StatusCode != 200 {
		t.Fatalf("status %d", page.StatusCode)
	}
	form := url.Values{"method": {"fake/fake-card"}, "onward": {"https://idp.example"}, "token": {page.formToken(t)}}
	a = b.back(r, r.callback(b.post(choice, form).location(t), "level", "high"))
	if a.location(t).Query().Get("code") == "" {
		t.Errorf("the stronger login led to %s", a.Header.Get("Location"))
	}
}

// A rule can keep an earlier login of the same browser from counting.
func TestRulesDemandANewLogin(t *testing.T) {
	for name, rule := range map[string]*policy.Rule{
		"none":                nil,
		"when it is reused":   {Name: "anew", When: `reused`, StepUp: true},
		"for the client":      {Name: "anew", When: `client == "portal"`, StepUp: true},
		"of another method":   {Name: "anew", When: `reused`, Methods: []string{"other"}},
		"higher than it was":  {Name: "anew", When: `reused`, MinLevel: levels.High},
		"denied when reused":  {Name: "anew", When: `reused`, Deny: "reused"},
		"in dry run it lasts": {Name: "anew", When: `reused`, StepUp: true, DryRun: true},
	} {
		var list []policy.Rule
		if rule != nil {
			list = append(list, *rule)
		}
		r := ruled(t, func(c *provider.Client) { c.SingleSignOn = true }, list...)
		b := newBrowser(t)
		if r.login(b, nil).Get("code") == "" {
			t.Fatalf("%s: no first login", name)
		}
		again := r.authorize(b).location(t)
		if reused, want := again.Query().Get("code") != "", rule == nil || rule.DryRun; reused != want {
			t.Errorf("%s: reused %v", name, reused)
		}
	}
}

// Only the methods that rules leave are on the page, and a form for another one is
// refused.
func TestRulesLeaveOutMethods(t *testing.T) {
	p, err := policy.New([]policy.Rule{{Name: "no-second", When: `method == "second"`, Deny: "x"}})
	if err != nil {
		t.Fatal(err)
	}
	upstream := &brokertest.Upstream{Offered: []brokers.Method{
		{ID: "fake-card", Level: levels.High, Name: map[string]string{"en": "First"}},
		{ID: "second", Level: levels.High, Name: map[string]string{"en": "Second"}},
		{ID: "third", Level: levels.High, Name: map[string]string{"en": "Third"}},
	}}
	r := newRig(t, options{upstream: upstream, config: func(c *provider.Config) { c.Policy = p }})
	b := newBrowser(t)
	choice := r.authorize(b).location(t).String()
	page := b.get(choice)
	if !strings.Contains(page.body, "fake/third") || strings.Contains(page.body, "fake/second") {
		t.Errorf("page %s", page.body)
	}
	form := url.Values{"method": {"fake/second"}, "token": {page.formToken(t)}}
	if a := b.post(choice, form); a.StatusCode != 400 {
		t.Errorf("status %d", a.StatusCode)
	}
}

// The receipt says which rules applied and of which version they are, and verifies.
func TestReceiptNamesTheRules(t *testing.T) {
	r := ruled(t, func(c *provider.Client) { c.LevelReceipts = true },
		policy.Rule{Name: "at-least-low", When: `true`, MinLevel: levels.Low}, policy.Rule{Name: "never", When: `false`, Deny: "x"})
	id, _ := decodeIDToken(t, r.redeem(r.login(newBrowser(t), nil).Get("code")))["event_id"].(string)
	var keys jose.JSONWebKeySet
	if err := json.Unmarshal([]byte(newBrowser(t).get(r.server.URL+"/jwks").body), &keys); err != nil {
		t.Fatal(err)
	}
	receipt, err := provider.VerifyReceipt(newBrowser(t).get(r.server.URL+"/receipts/"+id).body, keys)
	if err != nil {
		t.Fatal(err)
	}
	if len(receipt.Rules) != 1 || receipt.Rules[0] != "at-least-low" || len(receipt.RulesVersion) != 16 || !strings.Contains(strings.Join(receipt.Explanation, " "), "at-least-low applied") {
		t.Errorf("%+v", receipt)
	}
}
