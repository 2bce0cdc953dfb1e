package provider

import (
	"context"
	"strings"
	"time"

	"github.com/eidbridge/eidbridge/brokers"
	rules "github.com/eidbridge/eidbridge/brokers/policy"
	"github.com/eidbridge/eidbridge/levels"
)

// Question is a login that has not happened, to learn what the rules would do.
type Question struct {
	Client string
	// Scopes, ACR and Claims are those of the request; an essential ACR binds.
	Scopes, ACR, Claims []string
	Essential           bool
	// Address is the browser's; empty is not known.
	Address string
	// At is the time, default now.
	At time.Time
	// Method, if not empty, is the method of the login, which reaches Level (default
	// what the method can reach) and delivers the claims Delivered.
	Method    string
	Level     levels.Level
	Delivered []string
	Country   string
	Reused    bool
}

// Explanation is what would happen.
type Explanation struct {
	// RulesVersion is empty without rules.
	RulesVersion string
	// Required is the least level after the rules about requests.
	Required levels.Level
	// Request are the rules that apply to it, and Refused is what the portal would be
	// told at once, or empty.
	Request []rules.Match
	Refused string
	// Methods are all that there are.
	Methods []ExplainedMethod
	// Login are the rules that apply to the login by Method, and Outcome what becomes
	// of it; both empty without a Method.
	Login   []rules.Match
	Outcome string
}

// ExplainedMethod is a method, and why it would not be offered (empty: it is).
type ExplainedMethod struct {
	Upstream, Method string
	Level            levels.Level
	Missing          string
	Rules            []rules.Match
}

// Explain says what the rules would do with a login. It changes and records
// nothing. An unknown client is brokers.ErrNotFound.
func (p *Provider) Explain(ctx context.Context, q Question) (*Explanation, error) {
	c, err := p.client(ctx, q.Client)
	if err != nil {
		return nil, err
	}
	x := &Explanation{RulesVersion: p.cfg.Policy.Version()}
	r := &brokers.AuthorizationRequest{ClientID: c.ID, Claims: brokers.ClaimsRequest{IDToken: map[string][]string{}}}
	for _, name := range q.Claims {
		r.Claims.IDToken[name] = nil
	}
	if problem := p.parseScope(c, parameters{"scope": strings.Join(append([]string{"openid"}, q.Scopes...), " ")}, r); problem != nil {
		x.Refused = problem.code + ": " + problem.description
		return x, nil
	}
	asked, wanted := q.ACR, acrRequest{}
	if q.Essential {
		asked, wanted = nil, acrRequest{essential: true, values: q.ACR}
	}
	var problem *oauthError
	if r.Requirement, r.Preferred, problem = p.require(c, asked, wanted); problem != nil {
		x.Refused = problem.code + ": " + problem.description
		return x, nil
	}
	f := p.requestFacts(c, r, q.Address)
	if !q.At.IsZero() {
		f.Now = q.At
	}
	d := p.cfg.Policy.Request(ctx, &f)
	x.Request = d.Matched
	if d.Denied != "" {
		x.Refused = "access_denied: rule " + d.By + ": " + d.Denied
	}
	r.Requirement.Floor = max(r.Requirement.Floor, d.MinLevel)
	x.Required = r.Requirement.Least()
	f.Requested = known(x.Required)
	offered := p.explainMethods(ctx, c, f, &d, x)
	if x.Refused == "" && offered == 0 {
		x.Refused = "unmet_authentication_requirements: no login method is left"
	}
	if q.Method != "" {
		p.explainLogin(ctx, r, f, q, x)
	}
	return x, nil
}

// explainMethods says of each method whether it would be offered.
func (p *Provider) explainMethods(ctx context.Context, c *Client, f rules.Facts, d *rules.Decision, x *Explanation) (offered int) {
	for _, u := range p.cfg.Upstreams {
		for _, m := range u.Methods() {
			f.Upstream, f.Method = u.ID(), m.ID
			each := p.cfg.Policy.Offer(ctx, &f)
			one := ExplainedMethod{Upstream: u.ID(), Method: m.ID, Level: m.Level, Rules: each.Matched}
			switch {
			case !c.mayUse(m.ID):
				one.Missing = "the client does not have it"
			case m.Level < x.Required:
				one.Missing = "it does not reach " + x.Required.String()
			case each.Denied != "":
				one.Missing = "rule " + each.By + ": " + each.Denied
			case !d.Allows(m.ID) || !each.Allows(m.ID):
				one.Missing = "a rule leaves other methods only"
			case m.Level < each.MinLevel:
				one.Missing = "a rule wants " + each.MinLevel.String() + " of it"
			case p.out(u, m.ID) != nil:
				one.Missing = "it is out of order"
			default:
				offered++
			}
			x.Methods = append(x.Methods, one)
		}
	}
	return offered
}

// explainLogin says what would become of a login by one method.
func (p *Provider) explainLogin(ctx context.Context, r *brokers.AuthorizationRequest, f rules.Facts, q Question, x *Explanation) {
	for _, m := range x.Methods {
		if m.Method != q.Method {
			continue
		}
		f.Upstream, f.Method, f.Reached = m.Upstream, m.Method, m.Level
		if q.Level != levels.None {
			f.Reached = min(q.Level, m.Level)
		}
		f.Claims, f.Country, f.Reused, f.Attempts = append([]string{}, q.Delivered...), q.Country, q.Reused, 1
		d := p.cfg.Policy.Login(ctx, &f)
		x.Login = d.Matched
		required := r.Requirement
		required.Floor = max(required.Floor, d.MinLevel)
		level, enough := required.Answer(f.Reached)
		switch {
		case x.Refused != "":
			x.Outcome = "it does not come to a login"
		case m.Missing != "":
			x.Outcome = "the method is not offered: " + m.Missing
		case d.Denied != "":
			x.Outcome = "refused by rule " + d.By + ": " + d.Denied
		case !d.Allows(m.Method):
			x.Outcome = "refused: a rule leaves other methods only"
		case !enough:
			x.Outcome = f.Reached.String() + " is not enough: the citizen is asked to log in at " + known(required.Least()).String()
		case q.Reused && d.StepUp:
			x.Outcome = "the earlier login does not count: the citizen logs in anew"
		default:
			x.Outcome = "the portal gets a code, at level " + level.String()
		}
		return
	}
	x.Outcome = "there is no method " + q.Method
}
