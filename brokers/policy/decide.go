package policy

import (
	"context"
	"slices"

	"github.com/eidbridge/eidbridge/levels"
)

// EvaluationFailed is the reason to deny of a rule whose condition failed.
const EvaluationFailed = "rule_failed"

// Match is a rule that applies.
type Match struct {
	Rule
	// Failed says that its condition could not be evaluated; such a rule denies.
	Failed bool
}

// Decision is what follows from the rules that apply. The zero value lets pass.
type Decision struct {
	// Matched are the rules that apply, those in dry run included.
	Matched []Match
	// Denied is the reason of the first rule that denies, and By its name; empty is
	// none.
	Denied, By string
	// MinLevel is the least level that all rules demand.
	MinLevel levels.Level
	// StepUp says that an earlier login does not count.
	StepUp bool

	limited bool
	methods []string
}

// Allows reports whether a method is one that rules leave.
func (d *Decision) Allows(method string) bool {
	return !d.limited || slices.Contains(d.methods, method)
}

// Names are the names of the rules that apply and count.
func (d *Decision) Names() []string {
	var names []string
	for _, m := range d.Matched {
		if !m.DryRun {
			names = append(names, m.Name)
		}
	}
	return names
}

// Request decides by what is known before any method is looked at.
func (p *Policy) Request(ctx context.Context, f *Facts) Decision {
	return p.decide(ctx, f, func(at point) bool { return at == asked })
}

// Offer decides about one method on offer, by the rules that speak of methods.
func (p *Policy) Offer(ctx context.Context, f *Facts) Decision {
	return p.decide(ctx, f, func(at point) bool { return at == offered })
}

// Login decides about a login, by all rules. It is Denied also if its method or
// level is one that a rule does not leave: the caller sees which from MinLevel.
func (p *Policy) Login(ctx context.Context, f *Facts) Decision {
	return p.decide(ctx, f, func(point) bool { return true })
}

func (p *Policy) decide(ctx context.Context, f *Facts, now func(point) bool) Decision {
	var d Decision
	if p == nil {
		return d
	}
	var values map[string]any
	for i := range p.rules {
		c := &p.rules[i]
		if !now(c.when()) || f.Address == "" && c.uses["address"] {
			continue
		}
		if values == nil {
			values = f.values()
		}
		result, _, err := c.program.ContextEval(ctx, values)
		if err != nil {
			d.add(Match{Rule: c.Rule, Failed: true})
			continue
		}
		if result.Value() == true {
			d.add(Match{Rule: c.Rule})
		}
	}
	return d
}

// add takes a rule that applies into account.
func (d *Decision) add(m Match) {
	d.Matched = append(d.Matched, m)
	if m.DryRun {
		return
	}
	reason := m.Deny
	if m.Failed {
		reason = EvaluationFailed
	}
	if reason != "" && d.Denied == "" {
		d.Denied, d.By = reason, m.Name
	}
	if m.Failed {
		return
	}
	d.MinLevel = max(d.MinLevel, m.MinLevel)
	d.StepUp = d.StepUp || m.StepUp
	if len(m.Methods) == 0 {
		return
	}
	if !d.limited {
		d.limited, d.methods = true, slices.Clone(m.Methods)
		return
	}
	d.methods = slices.DeleteFunc(d.methods, func(method string) bool { return !slices.Contains(m.Methods, method) })
}
