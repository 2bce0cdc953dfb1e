package provider

import (
	"context"
	"slices"
	"time"

	"github.com/eidbridge/eidbridge/brokers"
	"github.com/eidbridge/eidbridge/brokers/pages"
	"github.com/eidbridge/eidbridge/levels"
)

// defaultVocabulary is the eIDAS URIs, with URNs of our own below low.
const defaultVocabulary = "broker"

// understand reads the acr words that the client may use and skips others: the
// parameter is voluntary, so an unknown word is no error.
func (p *Provider) understand(c *Client, words []string) []levels.Level {
	var known []levels.Level
	for _, word := range words {
		for _, vocabulary := range []string{c.Vocabulary, defaultVocabulary} {
			if l, err := p.cfg.Mapping.Understand(vocabulary, word); err == nil {
				known = append(known, l)
				break
			}
		}
	}
	return known
}

// require resolves what the login has to reach. A request can only raise the
// client's floor. An essential acr binds; one of which no value is known cannot
// be met.
func (p *Provider) require(c *Client, acrValues []string, acr acrRequest) (levels.Requirement, levels.Level, *oauthError) {
	requirement := levels.Requirement{Floor: c.MinLevel}
	preferred := levels.None
	voluntary := acrValues
	if acr.essential && len(acr.values) > 0 {
		requirement.Answers = p.understand(c, acr.values)
		if len(requirement.Answers) == 0 {
			return requirement, preferred, unmet("acr_unknown", "no value of the essential acr claim is known here")
		}
	} else {
		voluntary = append(slices.Clone(voluntary), acr.values...)
	}
	if known := p.understand(c, voluntary); len(known) > 0 {
		if c.Semantics == Preference {
			preferred = known[0]
		} else {
			requirement.Floor = max(requirement.Floor, slices.Min(known))
		}
	}
	return requirement, preferred, nil
}

// acr says a level to a client in its vocabulary: the best word that does not
// say more.
func (p *Provider) acr(c *Client, l levels.Level) (string, error) {
	return p.cfg.Mapping.Translate(l, c.Vocabulary)
}

// offer is a method that can meet a request, with its upstream.
type offer struct {
	upstream brokers.Upstream
	method   brokers.Method
}

func (o offer) value() string { return o.upstream.ID() + "/" + o.method.ID }

// offers lists the methods that can meet a request of the client.
func (p *Provider) offers(c *Client, r *brokers.AuthorizationRequest) []offer {
	least := r.Requirement.Least()
	if r.Device && least > levels.Substantial { // see capDevice
		return nil
	}
	var list []offer
	for _, u := range p.cfg.Upstreams {
		for _, m := range u.Methods() {
			o := offer{u, m}
			if m.Level >= least && c.mayUse(m.ID) && (len(r.Offers) == 0 || slices.Contains(r.Offers, o.value())) {
				list = append(list, o)
			}
		}
	}
	return list
}

// feasible lists the methods for a request that the rules leave and that work now,
// or says that there is none and what there is instead. The address is the
// browser's, or empty.
func (p *Provider) feasible(ctx context.Context, c *Client, r *brokers.AuthorizationRequest, address string) ([]offer, *oauthError) {
	if problem := p.permit(ctx, c, r, address); problem != nil {
		return nil, problem
	}
	able := p.offers(c, r)
	up := p.working(able)
	switch {
	case len(up) > 0:
		return up, nil
	case len(able) > 0:
		return nil, &oauthError{
			code: "temporarily_unavailable", description: "the login methods that reach the required level are down",
			reason: "methods_down", nearest: p.nearest(c),
		}
	}
	problem := unmet("no_method", "no login method that this client may use reaches the required level")
	problem.nearest = p.nearest(c)
	return nil, problem
}

// working leaves out the methods that are out of order.
func (p *Provider) working(offers []offer) []offer {
	return slices.DeleteFunc(slices.Clone(offers), func(o offer) bool { return p.out(o.upstream, o.method.ID) != nil })
}

// out is why a method cannot be used now, or nil. Where there are several
// reasons, it is the one that lasts longest.
func (p *Provider) out(u brokers.Upstream, method string) *brokers.Limit {
	if !isUp(u) {
		return &brokers.Limit{}
	}
	now := p.cfg.Now()
	var found *brokers.Limit
	for _, limit := range p.limits(u, now) {
		if limit.Applies(method, now) && (found == nil || !found.Until.IsZero() && (limit.Until.IsZero() || limit.Until.After(found.Until))) {
			found = &limit
		}
	}
	return found
}

// limits joins what an upstream says of itself and what the operator says of it.
func (p *Provider) limits(u brokers.Upstream, now time.Time) []brokers.Limit {
	var list []brokers.Limit
	if limited, ok := u.(brokers.Limited); ok {
		list = append(list, limited.Limits(now)...)
	}
	if p.cfg.Outages != nil {
		for _, outage := range p.cfg.Outages(now) {
			if outage.Upstream == u.ID() {
				list = append(list, outage.Limit)
			}
		}
	}
	return list
}

// soon lists what is planned for the coming day among methods on offer.
func (p *Provider) soon(offers []offer) []pages.Maintenance {
	const notice = 24 * time.Hour
	now := p.cfg.Now()
	var list []pages.Maintenance
	for _, o := range offers {
		for _, limit := range p.limits(o.upstream, now) {
			if limit.Planned && limit.From.After(now) && limit.From.Before(now.Add(notice)) && (limit.Method == "" || limit.Method == o.method.ID) {
				list = append(list, pages.Maintenance{Name: o.method.Name, From: limit.From, Until: limit.Until})
			}
		}
	}
	return list
}

func isUp(u brokers.Upstream) bool {
	watched, ok := u.(brokers.Watched)
	return !ok || watched.Up()
}

// nearest finds the highest level that the client could have now, or nil.
func (p *Provider) nearest(c *Client) *alternative {
	best, methods := levels.None, []string(nil)
	for _, u := range p.cfg.Upstreams {
		for _, m := range u.Methods() {
			if p.out(u, m.ID) != nil || !c.mayUse(m.ID) || m.Level < max(best, c.MinLevel) {
				continue
			}
			if m.Level > best {
				best, methods = m.Level, nil
			}
			methods = append(methods, m.ID)
		}
	}
	acr, err := p.acr(c, best)
	if len(methods) == 0 || err != nil {
		return nil
	}
	return &alternative{acr, methods}
}

// ask is the level to ask of an upstream for one method: the least that will
// do, or the preferred one where the method can reach it.
func ask(r *brokers.AuthorizationRequest, m brokers.Method) levels.Level {
	least := r.Requirement.Least()
	if r.Preferred > least && r.Preferred <= m.Level {
		return r.Preferred
	}
	return least
}
