package main

import (
	"bytes"
	"errors"
	"fmt"
	"strings"

	"github.com/pelletier/go-toml/v2/unstable"

	"github.com/eidbridge/eidbridge/brokers/policy"
	"github.com/eidbridge/eidbridge/levels"
)

// places say where in a configuration file settings are: by paths such as
// "clients[1]" for a section and "policy[0].when" for a value.
type places struct {
	file string
	at   map[string]place
}

type place struct{ row, column int }

// findPlaces reads a file that was decoded before.
func findPlaces(file string, text []byte) *places {
	found := &places{file: file, at: map[string]place{}}
	counts := map[string]int{}
	section := ""
	p := unstable.Parser{}
	p.Reset(text)
	// name makes a path of a key. Parts that are arrays of tables stand for their
	// last table.
	name := func(parts []string) string {
		path := ""
		for _, part := range parts {
			if path != "" {
				path += "."
			}
			path += part
			if n := counts[path]; n > 0 {
				path = fmt.Sprintf("%s[%d]", path, n-1)
			}
		}
		return path
	}
	for p.NextExpression() {
		e := p.Expression()
		var parts []string
		var first *unstable.Node
		for keys := e.Key(); keys.Next(); {
			if first == nil {
				first = keys.Node()
			}
			parts = append(parts, string(keys.Node().Data))
		}
		if first == nil {
			continue
		}
		start := p.Shape(first.Raw).Start
		switch e.Kind {
		case unstable.ArrayTable:
			outer := name(parts[:len(parts)-1])
			whole := strings.TrimPrefix(outer+"."+parts[len(parts)-1], ".")
			counts[whole]++
			section = name(parts)
			found.at[section] = place{start.Line, start.Column}
		case unstable.Table:
			section = name(parts)
			found.at[section] = place{start.Line, start.Column}
		case unstable.KeyValue:
			path := strings.TrimPrefix(section+"."+strings.Join(parts, "."), ".")
			found.at[path] = place{start.Line, start.Column}
			if value := e.Value(); value != nil && value.Kind == unstable.String {
				found.at[path+"="] = content(&p, value.Raw)
			}
		}
	}
	return found
}

// content is where the text of a string begins, behind its quotation marks.
func content(p *unstable.Parser, r unstable.Range) place {
	raw, start := p.Raw(r), p.Shape(r).Start
	at := place{start.Line, start.Column + 1}
	for _, quote := range []string{`"""`, `'''`} {
		if bytes.HasPrefix(raw, []byte(quote)) {
			at.column += 2
			if rest := raw[3:]; bytes.HasPrefix(rest, []byte("\n")) || bytes.HasPrefix(rest, []byte("\r\n")) {
				at = place{at.row + 1, 1}
			}
		}
	}
	return at
}

// at puts file and line of a setting in front of an error. Of a setting that is not
// written it is the section's.
func (c config) at(setting string, err error) error {
	if err == nil || c.places == nil || located(err) {
		return err
	}
	for setting != "" {
		if where, ok := c.places.at[setting]; ok {
			return &locatedError{c.places.file, where, err}
		}
		setting = setting[:max(0, strings.LastIndexByte(setting, '.'))]
	}
	return err
}

// locatedError is an error with its place.
type locatedError struct {
	file  string
	where place
	err   error
}

func (e *locatedError) Error() string { return fmt.Sprintf("%s:%d: %v", e.file, e.where.row, e.err) }

func (e *locatedError) Unwrap() error { return e.err }

func located(err error) bool {
	var before *locatedError
	return errors.As(err, &before)
}

// ruleConfig is a rule of the policy; default.toml says what each key means.
type ruleConfig struct {
	Name     string       `toml:"name"`
	When     string       `toml:"when"`
	Deny     string       `toml:"deny"`
	MinLevel levels.Level `toml:"min_level"`
	Methods  []string     `toml:"methods"`
	StepUp   bool         `toml:"step_up"`
	DryRun   bool         `toml:"dry_run"`
}

// rules compiles the policy. Errors name line and column.
func (c config) rules() (*policy.Policy, error) {
	var list []policy.Rule
	for i, section := range c.Policy {
		rule := policy.Rule{Name: section.Name, When: section.When, Deny: section.Deny, MinLevel: section.MinLevel, Methods: section.Methods, StepUp: section.StepUp, DryRun: section.DryRun}
		if c.places != nil {
			path := fmt.Sprintf("policy[%d]", i)
			where, ok := c.places.at[path+".when="]
			if !ok {
				where = c.places.at[path]
			}
			rule.Row, rule.Column = where.row, where.column
		}
		list = append(list, rule)
	}
	p, err := policy.New(list)
	if err == nil || c.places == nil {
		return p, err
	}
	var problems []error
	for _, one := range separate(err) {
		var wrong *policy.Error
		if errors.As(one, &wrong) && wrong.Row > 0 {
			one = &locatedError{fmt.Sprintf("%s:%d", c.places.file, wrong.Row), place{wrong.Column, 0}, one}
		}
		problems = append(problems, one)
	}
	return nil, errors.Join(problems...)
}

// separate are the errors that were joined.
func separate(err error) []error {
	var joined interface{ Unwrap() []error }
	if errors.As(err, &joined) {
		return joined.Unwrap()
	}
	return []error{err}
}
