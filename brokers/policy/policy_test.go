package policy_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/eidbridge/eidbridge/brokers/policy"
	"github.com/eidbridge/eidbridge/levels"
)

// a login on a Wednesday at 14:30 in Madrid.
func facts() *policy.Facts {
	return &policy.Facts{
		Client: "portal", Scopes: []string{"openid", "name", "national_id"}, Wanted: []string{"birthdate"},
		Requested: levels.Low, Address: "192.0.2.7", Now: time.Date(2026, 11, 25, 13, 30, 0, 0, time.UTC),
		Upstream: "digid", Method: "digid-midden", Reached: levels.Substantial, Claims: []string{"given_name", "birthdate"},
		Country: "NL", Attempts: 1,
	}
}

func mustNew(t testing.TB, rules ...policy.Rule) *policy.Policy {
	t.Helper()
	p, err := policy.New(rules)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// Every variable and function of the vocabulary, with a condition that holds and
// its opposite.
func TestConditions(t *testing.T) {
	for _, when := range []string{
		`client == "portal"`,
		`client.startsWith("por") && client in ["portal", "other"]`,
		`"national_id" in scopes`,
		`"birthdate" in wanted`,
		`requested == low && requested < substantial && none < basic && basic < low && substantial < high`,
		`!device`,
		`within(address, "192.0.2.0/24")`,
		`!within(address, "2001:db8::/32")`,
		`now.getHours("Europe/Madrid") == 14`,
		`now.getDayOfWeek("Europe/Madrid") == 3`,
		`now > timestamp("2026-01-01T00:00:00Z")`,
		`upstream == "digid"`,
		`method == "digid-midden"`,
		`level >= substantial`,
		`"given_name" in claims && !("address" in claims)`,
		`country == "NL"`,
		`!represents && !reused`,
		`attempts == 1`,
		`size(risk) == 0`,
		`scopes.exists(s, s.matches("^national_.*"))`,
	} {
		for want, condition := range map[bool]string{true: when, false: "!(" + when + ")"} {
			p := mustNew(t, policy.Rule{Name: "r", When: condition, Deny: "because"})
			d := p.Login(context.Background(), facts())
			if got := d.Denied == "because" && d.By == "r"; got != want {
				t.Errorf("%s: applies %v, want %v (%+v)", condition, got, want, d)
			}
		}
	}
}

func TestRiskIsDerived(t *testing.T) {
	f := facts()
	f.Device, f.Represents, f.Attempts = true, true, 4
	p := mustNew(t, policy.Rule{Name: "r", When: `risk == ["device", "attempts", "representation"]`, MinLevel: levels.High})
	if d := p.Login(context.Background(), f); d.MinLevel != levels.High {
		t.Errorf("%+v", d)
	}
}

// A rule is evaluated as soon as what it speaks of is known, and again after the
// login.
func TestRulesAreEvaluatedWhenTheirFactsAreKnown(t *testing.T) {
	p := mustNew(t,
		policy.Rule{Name: "asked", When: `client == "portal"`, MinLevel: levels.Substantial},
		policy.Rule{Name: "offered", When: `method == "digid-midden"`, Deny: "method"},
		policy.Rule{Name: "reached", When: `level < high`, StepUp: true},
	)
	for name, c := range map[string]struct {
		decide func(context.Context, *policy.Facts) policy.Decision
		want   string
	}{
		"request": {p.Request, "asked"},
		"offer":   {p.Offer, "offered"},
		"login":   {p.Login, "asked offered reached"},
	} {
		d := c.decide(context.Background(), facts())
		if got := strings.Join(d.Names(), " "); got != c.want {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
	}
}

// While nobody knows where the browser is, rules about its address wait.
func TestRulesAboutTheAddressWait(t *testing.T) {
	p := mustNew(t, policy.Rule{Name: "inside", When: `!within(address, "10.0.0.0/8")`, Deny: "outside"})
	f := facts()
	if d := p.Request(context.Background(), f); d.Denied != "outside" {
		t.Errorf("%+v", d)
	}
	f.Address = ""
	if d := p.Request(context.Background(), f); d.Denied != "" || len(d.Matched) != 0 {
		t.Errorf("%+v", d)
	}
}

// Addresses of IPv6 come as the network of a household.
func TestHouseholdsAreWithinNetworks(t *testing.T) {
	f := facts()
	f.Address = "2001:db8:0:100::/56"
	for network, want := range map[string]bool{"2001:db8::/32": true, "2001:db8:0:100::/56": true, "2001:db8:0:200::/56": false, "192.0.2.0/24": false} {
		p := mustNew(t, policy.Rule{Name: "r", When: `within(address, "` + network + `")`, StepUp: true})
		if d := p.Request(context.Background(), f); d.StepUp != want || d.Denied != "" {
			t.Errorf("%s: %+v", network, d)
		}
	}
}

// The most demanding of several rules counts, in whatever order they stand (O-60).
func TestRulesOnlyRestrict(t *testing.T) {
	rules := []policy.Rule{
		{Name: "a", When: "true", MinLevel: levels.High, Methods: []string{"x", "y"}},
		{Name: "b", When: "true", MinLevel: levels.Low, Methods: []string{"y", "z"}},
		{Name: "c", When: "true", StepUp: true},
		{Name: "d", When: "true", Deny: "never", DryRun: true},
		{Name: "e", When: "false", Deny: "never"},
	}
	for range 2 {
		d := mustNew(t, rules...).Login(context.Background(), facts())
		if d.Denied != "" || d.MinLevel != levels.High || !d.StepUp || d.Allows("x") || !d.Allows("y") || d.Allows("z") || len(d.Matched) != 4 || slices.Contains(d.Names(), "d") {
			t.Errorf("%+v", d)
		}
		slices.Reverse(rules)
	}
	// No method is left where two rules leave none in common.
	d := mustNew(t, policy.Rule{Name: "a", When: "true", Methods: []string{"x"}}, policy.Rule{Name: "b", When: "true", Methods: []string{"y"}}).Request(context.Background(), facts())
	if d.Allows("x") || d.Allows("y") || d.Allows("") {
		t.Errorf("%+v", d)
	}
	if none := (*policy.Policy)(nil).Login(context.Background(), facts()); none.Denied != "" || !none.Allows("x") || none.MinLevel != levels.None {
		t.Errorf("%+v", none)
	}
}

// A condition that cannot be evaluated refuses, whatever should have followed; in
// dry run it is told and refuses nothing.
func TestFailingConditionsRefuse(t *testing.T) {
	for name, when := range map[string]string{
		"wrong index":   `scopes[7] == "x"`,
		"wrong network": `within(address, client)`,
		"division":      `1 / (attempts - 1) == 1`,
	} {
		f := facts()
		d := mustNew(t, policy.Rule{Name: "r", When: when, MinLevel: levels.Low}).Login(context.Background(), f)
		if d.Denied != policy.EvaluationFailed || d.By != "r" || d.MinLevel != levels.None {
			t.Errorf("%s: %+v", name, d)
		}
		d = mustNew(t, policy.Rule{Name: "r", When: when, MinLevel: levels.Low, DryRun: true}).Login(context.Background(), f)
		if d.Denied != "" || len(d.Matched) != 1 || !d.Matched[0].Failed {
			t.Errorf("%s in dry run: %+v", name, d)
		}
	}
}

// Time is bounded by steps: the longest condition over the largest request.
func TestEvaluationIsBounded(t *testing.T) {
	f := facts()
	for i := range 5000 {
		f.Scopes = append(f.Scopes, fmt.Sprint("s", i))
	}
	p := mustNew(t, policy.Rule{Name: "r", When: `scopes.all(a, scopes.all(b, a != "?" && b != "?"))`, Deny: "x"})
	before := time.Now()
	if d := p.Login(context.Background(), f); d.Denied != policy.EvaluationFailed {
		t.Errorf("%+v", d)
	}
	if took := time.Since(before); took > 20*time.Second {
		t.Errorf("took %s", took)
	}
}

func TestErrorsSayWhere(t *testing.T) {
	for name, c := range map[string]struct {
		rule        policy.Rule
		row, column int
		want        string
	}{
		"syntax":                 {policy.Rule{Name: "r", When: `client == `, Deny: "x", Row: 12, Column: 9}, 12, 19, "Syntax error"},
		"unknown variable":       {policy.Rule{Name: "r", When: `client == "a" && klient == "b"`, Deny: "x", Row: 12, Column: 9}, 12, 26, "klient"},
		"on the second line":     {policy.Rule{Name: "r", When: "client == \"a\" &&\n  level > hgh", Deny: "x", Row: 12, Column: 9}, 13, 11, "hgh"},
		"types":                  {policy.Rule{Name: "r", When: `level == "high"`, Deny: "x", Row: 3, Column: 1}, 3, 7, "no matching overload"},
		"no yes or no":           {policy.Rule{Name: "r", When: `level`, Deny: "x", Row: 3, Column: 5}, 3, 5, "not a yes or no"},
		"network":                {policy.Rule{Name: "r", When: `within(address, "10.0.0.1/8")`, Deny: "x", Row: 3, Column: 5}, 3, 21, "no network"},
		"longer than /56":        {policy.Rule{Name: "r", When: `within(address, "2001:db8::/64")`, Deny: "x", Row: 3, Column: 5}, 3, 21, "/56"},
		"expression":             {policy.Rule{Name: "r", When: `client.matches("(")`, Deny: "x", Row: 3, Column: 5}, 3, 20, "invalid matches argument"},
		"no condition":           {policy.Rule{Name: "r", Deny: "x", Row: 3, Column: 1}, 3, 1, "missing"},
		"nothing follows":        {policy.Rule{Name: "r", When: "true", Row: 3, Column: 1}, 3, 1, "nothing follows"},
		"name":                   {policy.Rule{Name: "R 1", When: "true", Deny: "x"}, 0, 0, "a name has"},
		"reason":                 {policy.Rule{Name: "r", When: "true", Deny: "No!"}, 0, 0, "a reason"},
		"too long":               {policy.Rule{Name: "r", When: strings.Repeat(" ", 5000) + "true", Deny: "x"}, 0, 0, "longer than"},
		"too deep":               {policy.Rule{Name: "r", When: strings.Repeat("(", 400) + "true" + strings.Repeat(")", 400), Deny: "x"}, 0, 0, "recursion limit"},
		"without place":          {policy.Rule{Name: "r", When: "klient == 1", Deny: "x"}, 1, 1, "line 1, column 1 of the condition"},
		"nested too often":       {policy.Rule{Name: "r", When: `scopes.all(a, scopes.all(b, scopes.all(c, a == b && b == c)))`, Deny: "x", Row: 1, Column: 1}, 1, 0, "nesting"},
		"a level that is none":   {policy.Rule{Name: "r", When: "true", MinLevel: 7}, 0, 0, "not a level"},
		"a timestamp that isn't": {policy.Rule{Name: "r", When: `now > timestamp("yesterday")`, Deny: "x", Row: 1, Column: 1}, 1, 0, "timestamp"},
	} {
		_, err := policy.New([]policy.Rule{c.rule})
		var wrong *policy.Error
		if !errors.As(err, &wrong) || wrong.Row != c.row || c.column != 0 && wrong.Column != c.column || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, %+v", name, err, wrong)
		}
	}
	_, err := policy.New([]policy.Rule{{Name: "a", When: "true", Deny: "x"}, {Name: "a", When: "true", Deny: "x"}, {Name: "b", When: "x", Deny: "x"}})
	if err == nil || !strings.Contains(err.Error(), "two rules") || !strings.Contains(err.Error(), `"b"`) {
		t.Errorf("not all mistakes are told of: %v", err)
	}
}

func TestVersionChangesWithTheRules(t *testing.T) {
	one := policy.Rule{Name: "a", When: "true", Deny: "x"}
	other := one
	other.When = "false"
	moved := one
	moved.Row = 17
	if mustNew(t, one).Version() == mustNew(t, other).Version() || mustNew(t, one).Version() != mustNew(t, moved).Version() || mustNew(t).Version() != "" {
		t.Error("the version does not follow the rules")
	}
}

// Whatever is written as a condition, a policy is made or refused, and what is
// made never raises a level or lets pass what another rule denies.
func FuzzCondition(f *testing.F) {
	for _, seed := range []string{`client == "a"`, `within(address, "::/0")`, `scopes.exists(s, s == "x")`, `1/0 == 1`, `"`, "\x00", `{"a": b}`} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, when string) {
		p, err := policy.New([]policy.Rule{{Name: "fuzz", When: when, MinLevel: levels.Substantial}, {Name: "no", When: "true", Deny: "no"}})
		if err != nil {
			return
		}
		d := p.Login(context.Background(), facts())
		if d.Denied == "" || d.MinLevel != levels.None && d.MinLevel != levels.Substantial {
			t.Errorf("%q: %+v", when, d)
		}
	})
}

func BenchmarkLogin(b *testing.B) {
	for name, when := range map[string]string{
		"plain": `client == "portal" && "national_id" in scopes && level > high`,
		"hours": `now.getHours("Europe/Madrid") > 20`,
	} {
		b.Run(name, func(b *testing.B) {
			p := mustNew(b, policy.Rule{Name: "r", When: when, Deny: "x"})
			f := facts()
			for b.Loop() {
				p.Login(context.Background(), f)
			}
		})
	}
}
