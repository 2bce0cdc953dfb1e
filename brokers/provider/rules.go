package provider

import (
	"context"
	"log/slog"
	"net/http"
	"slices"

	"github.com/eidbridge/eidbridge/brokers"
	rules "github.com/eidbridge/eidbridge/brokers/policy"
	"github.com/eidbridge/eidbridge/levels"
)

// permit applies the rules of operators to a request before any method is shown:
// it may be refused, more be required of it, methods be left out. The address is
// the browser's, or empty while there is none.
func (p *Provider) permit(ctx context.Context, c *Client, r *brokers.AuthorizationRequest, address string) *oauthError {
	if p.cfg.Policy == nil {
		return nil
	}
	f := p.requestFacts(c, r, address)
	d := p.cfg.Policy.Request(ctx, &f)
	p.recordRules(ctx, c, &d, "")
	if d.Denied != "" {
		return deniedByRule(&d)
	}
	r.Requirement.Floor = max(r.Requirement.Floor, d.MinLevel)
	r.Fresh = r.Fresh || d.StepUp
	f.Requested = known(r.Requirement.Least())
	offers := p.offers(c, r)
	var left []string
	for _, o := range offers {
		f.Upstream, f.Method = o.upstream.ID(), o.method.ID
		each := p.cfg.Policy.Offer(ctx, &f)
		p.recordRules(ctx, c, &each, o.value())
		if each.Denied == "" && each.Allows(o.method.ID) && d.Allows(o.method.ID) && o.method.Level >= each.MinLevel {
			left = append(left, o.value())
		}
	}
	switch {
	case len(left) == len(offers):
	case len(left) == 0:
		return unmet("rules_leave_no_method", "the operator's rules leave no login method for this request")
	default:
		r.Offers = left
	}
	return nil
}

// known is a level of the scale: a requirement that nothing meets is high.
func known(l levels.Level) levels.Level { return min(l, levels.High) }

func (p *Provider) requestFacts(c *Client, r *brokers.AuthorizationRequest, address string) rules.Facts {
	f := rules.Facts{
		Client: c.ID, Scopes: r.Scopes, Wanted: []string{}, Requested: known(r.Requirement.Least()), Device: r.Device,
		Address: address, Now: p.cfg.Now(), Claims: []string{},
	}
	for _, claims := range []map[string][]string{r.Claims.IDToken, r.Claims.UserInfo} {
		for name := range claims {
			if isPersonClaim(name) && !slices.Contains(f.Wanted, name) {
				f.Wanted = append(f.Wanted, name)
			}
		}
	}
	slices.Sort(f.Wanted)
	return f
}

// rulesOn decides about a login by all rules.
func (p *Provider) rulesOn(ctx context.Context, c *Client, r *brokers.AuthorizationRequest, e *brokers.AuthenticationEvent, address string, reused bool, attempts int) rules.Decision {
	f := p.requestFacts(c, r, address)
	f.Upstream, f.Method, f.Reached = e.Upstream, e.Method, e.Assessment.Level
	f.Country, f.Represents, f.Reused, f.Attempts = e.Subject.Country, e.Subject.Represents != nil, reused, attempts
	for _, claim := range p.claims {
		if claim.value(&e.Subject, f.Now) != nil {
			f.Claims = append(f.Claims, claim.name)
		}
	}
	return p.cfg.Policy.Login(ctx, &f)
}

// obey does what the rules demand after a login. It reports whether the login
// goes on, and with which level; otherwise it has answered.
func (p *Provider) obey(w http.ResponseWriter, r *http.Request, c *Client, t *brokers.Transaction, reused bool) (rules.Decision, levels.Level, bool) {
	level, _ := t.Request.Requirement.Answer(t.Event.Assessment.Level)
	if p.cfg.Policy == nil {
		return rules.Decision{}, level, true
	}
	d := p.rulesOn(r.Context(), c, &t.Request, t.Event, p.cfg.ClientAddress(r), reused, t.Attempts)
	p.recordRules(r.Context(), c, &d, t.Event.Upstream+"/"+t.Event.Method, slog.String("login", t.ID))
	for _, m := range d.Matched {
		if !m.DryRun {
			p.addStep(t, "rule.applied", m.Name, nil)
		}
	}
	if d.Denied == "" && !d.Allows(t.Event.Method) {
		d.Denied, d.By = "method", ""
	}
	if d.Denied != "" {
		p.abandon(w, r, t, deniedByRule(&d))
		return d, level, false
	}
	raised := t.Request.Requirement
	raised.Floor = max(raised.Floor, d.MinLevel)
	if level, ok := raised.Answer(t.Event.Assessment.Level); ok {
		return d, level, true
	}
	t.Request.Requirement = raised
	if len(p.working(p.offers(c, &t.Request))) == 0 {
		p.abandon(w, r, t, unmet("rules_min_level", "the operator's rules require a level that no login method reaches"))
		return d, level, false
	}
	t.Event = nil
	p.note(r.Context(), t, "login.refused", "rules_min_level", slog.String("least", levelWord(d.MinLevel)))
	p.backToChoice(w, r, t, brokers.OutcomeTooLow, "")
	return d, level, false
}

// suits reports whether the rules let an earlier login count.
func (p *Provider) suits(ctx context.Context, c *Client, r *brokers.AuthorizationRequest, e *brokers.AuthenticationEvent, address string) bool {
	if p.cfg.Policy == nil {
		return true
	}
	d := p.rulesOn(ctx, c, r, e, address, true, 0)
	return d.Denied == "" && !d.StepUp && d.Allows(e.Method) && e.Assessment.Level >= d.MinLevel
}

func deniedByRule(d *rules.Decision) *oauthError {
	return &oauthError{code: "access_denied", description: "the operator's rules refuse this login", reason: "rule." + d.Denied}
}

// recordRules tells of the rules that applied, and of those that would have.
func (p *Provider) recordRules(ctx context.Context, c *Client, d *rules.Decision, method string, attributes ...slog.Attr) {
	for _, m := range d.Matched {
		event := "rule.applied"
		if m.DryRun {
			event = "rule.would_apply"
		}
		all := append([]slog.Attr{slog.String("client", c.ID), slog.String("rules", p.cfg.Policy.Version())}, attributes...)
		if method != "" {
			all = append(all, slog.String("method", method))
		}
		if m.Failed {
			all = append(all, slog.Bool("failed", true))
		}
		p.record(ctx, event, m.Name, all...)
	}
}
