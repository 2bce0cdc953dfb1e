// Package policy judges logins by rules that operators write: who may ask for
// what, at which level, by which methods, and when.
//
// A rule has a condition in CEL (the Common Expression Language) and says what
// follows. The vocabulary of conditions is in facts.go. Rules are evaluated at two
// points: before a method is chosen, as far as they speak of the request and of
// the methods on offer, and after the login, all of them. What follows only ever
// lowers or refuses: rules can deny, demand a higher level, leave out methods, or
// demand a new login; the most demanding of those that apply counts, so their
// order says nothing.
//
// Conditions are compiled once, when the configuration is loaded, and cost a
// bounded number of steps. One that fails when it is evaluated refuses the login.
//
// It knows neither clients nor upstreams, keeps nothing, and reads no clock.
package policy

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"

	"cel.dev/cel-go/cel"

	"github.com/eidbridge/eidbridge/levels"
)

// Bounds on rules.
const (
	maxRules     = 200
	maxCondition = 4 << 10 // bytes
	maxNesting   = 32
	// maxCost bounds the steps of one condition, as CEL counts them.
	maxCost = 20_000
)

// Rule is a rule as it is written. One of Deny, MinLevel, Methods and StepUp says
// what follows; there may be several.
type Rule struct {
	// Name is in the audit log and in level receipts.
	Name string `json:"name"`
	// When is the condition, in CEL; it gives a bool.
	When string `json:"when"`
	// Deny refuses, with a reason for the audit log.
	Deny string `json:"deny,omitempty"`
	// MinLevel is the least level that will do.
	MinLevel levels.Level `json:"minLevel,omitempty"`
	// Methods are the only methods that will do.
	Methods []string `json:"methods,omitempty"`
	// StepUp demands a new login where an earlier one of the same browser would do.
	StepUp bool `json:"stepUp,omitempty"`
	// DryRun only tells what would follow.
	DryRun bool `json:"dryRun,omitempty"`
	// Row and Column are where When begins in the configuration, if it is known.
	Row    int `json:"-"`
	Column int `json:"-"`
}

// Policy is a set of rules, compiled. It may be used by several goroutines. The
// nil Policy has no rules.
type Policy struct {
	rules   []compiled
	version string
}

type compiled struct {
	Rule
	program cel.Program
	// uses are the variables of the condition.
	uses map[string]bool
}

// Error is a rule that cannot be used.
type Error struct {
	// Rule is its name.
	Rule string
	// Row and Column are in the configuration if that is known, otherwise in the
	// condition; the first is 1. Row 0 is no place.
	Row, Column int
	Problem     string
}

func (e *Error) Error() string { return fmt.Sprintf("policy rule %q: %s", e.Rule, e.Problem) }

// New compiles rules. All that are wrong are told of, as Errors that are joined.
func New(rules []Rule) (*Policy, error) {
	if len(rules) > maxRules {
		return nil, fmt.Errorf("policy: there are at most %d rules", maxRules)
	}
	env, err := vocabulary()
	if err != nil {
		return nil, fmt.Errorf("policy: %w", err)
	}
	p := &Policy{}
	var problems []error
	seen := map[string]bool{}
	for _, r := range rules {
		c, err := compile(env, r)
		if err == nil && seen[r.Name] {
			err = r.wrong("there are two rules of this name")
		}
		seen[r.Name] = true
		if err != nil {
			problems = append(problems, err)
			continue
		}
		p.rules = append(p.rules, c)
	}
	if err := errors.Join(problems...); err != nil {
		return nil, err
	}
	if len(rules) == 0 {
		return p, nil
	}
	text, err := json.Marshal(rules)
	if err != nil {
		return nil, fmt.Errorf("policy: %w", err)
	}
	sum := sha256.Sum256(text)
	p.version = hex.EncodeToString(sum[:8])
	return p, nil
}

// Version changes with every change of the rules. Without rules it is empty.
func (p *Policy) Version() string {
	if p == nil {
		return ""
	}
	return p.version
}

// Rules lists the rules.
func (p *Policy) Rules() []Rule {
	if p == nil {
		return nil
	}
	list := make([]Rule, 0, len(p.rules))
	for _, c := range p.rules {
		list = append(list, c.Rule)
	}
	return list
}

func (r *Rule) wrong(format string, args ...any) *Error {
	return &Error{Rule: r.Name, Row: r.Row, Column: r.Column, Problem: fmt.Sprintf(format, args...)}
}

// compile checks a rule.
func compile(env *cel.Env, r Rule) (compiled, error) {
	c := compiled{Rule: r}
	switch {
	case !regexp.MustCompile(`^[a-z0-9][a-z0-9_.-]{0,63}$`).MatchString(r.Name):
		return c, r.wrong("a name has lower-case letters, digits, dots, hyphens and underscores")
	case r.Deny == "" && r.MinLevel == levels.None && len(r.Methods) == 0 && !r.StepUp:
		return c, r.wrong("nothing follows from it: it has none of deny, min_level, methods, step_up")
	case r.Deny != "" && !regexp.MustCompile(`^[a-z0-9_.-]{1,64}$`).MatchString(r.Deny):
		return c, r.wrong("a reason to deny has lower-case letters, digits, dots, hyphens and underscores")
	case r.MinLevel != levels.None && !slices.Contains(levels.Scale(), r.MinLevel):
		return c, r.wrong("min_level is not a level")
	case r.When == "":
		return c, r.wrong("the condition is missing")
	case len(r.When) > maxCondition:
		return c, r.wrong("the condition is longer than %d bytes", maxCondition)
	}
	checked, issues := env.Compile(r.When)
	if issues.Err() != nil {
		first := issues.Errors()[0]
		return c, r.at(first.Location.Line(), first.Location.Column(), first.Message)
	}
	if checked.OutputType() != cel.BoolType {
		return c, r.at(1, 0, "the condition gives "+checked.OutputType().String()+", not a yes or no")
	}
	if err := checkNetworks(&r, checked); err != nil {
		return c, err
	}
	c.uses = variables(checked)
	var err error
	c.program, err = env.Program(checked, cel.CostLimit(maxCost), cel.EvalOptions(cel.OptOptimize), cel.InterruptCheckFrequency(100))
	if err != nil {
		return c, r.wrong("%v", err)
	}
	return c, nil
}

// at places a problem within the condition: line from 1, column from 0.
func (r *Rule) at(line, column int, problem string) *Error {
	if line < 1 { // the whole condition
		return r.wrong("%s", problem)
	}
	e := &Error{Rule: r.Name, Row: line, Column: column + 1, Problem: problem}
	if r.Row == 0 {
		e.Problem = fmt.Sprintf("line %d, column %d of the condition: %s", line, column+1, problem)
		return e
	}
	e.Row = r.Row + line - 1
	if line == 1 {
		e.Column = r.Column + column
	}
	return e
}
