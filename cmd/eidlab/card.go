package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/eidbridge/eidbridge/fixtures/cards"
	"github.com/eidbridge/eidbridge/fixtures/pki"
)

type cardCommand struct {
	Serve   serveCommand   `cmd:"" default:"withargs" help:"Insert an emulated card into a PC/SC reader and keep it there; more come and go by insert and remove. What happens without a subcommand."`
	Insert  insertCommand  `cmd:"" help:"Insert a card into a reader of a running eidlab card serve."`
	Remove  removeCommand  `cmd:"" help:"Take a card out."`
	Persons personsCommand `cmd:"" help:"List who can hold a card."`
}

// choice is which card is meant.
type choice struct {
	Kind        string `help:"Family of the card: ${kinds}." enum:"${kinds}" default:"esteid"`
	Person      string `help:"Who holds it, by Estonian personal code or Spanish NIF (default: the first that can)." placeholder:"CODE"`
	Personality string `help:"A way of being difficult: ${personalities}." placeholder:"NAME"`
	Faults      string `help:"JSON file with faults in detail, as fixtures/cards.Faults has them." placeholder:"FILE" type:"path"`
}

// variables complete the help texts.
func variables() map[string]string {
	var kinds, personalities []string
	for _, k := range cards.Kinds() {
		kinds = append(kinds, string(k))
	}
	for _, p := range cards.Personalities() {
		if p != cards.Honest {
			personalities = append(personalities, string(p))
		}
	}
	return map[string]string{"kinds": strings.Join(kinds, ","), "personalities": strings.Join(personalities, ", ")}
}

// order is a choice on its way to the process that has the country.
type order struct {
	Kind        cards.Kind        `json:"kind"`
	Person      string            `json:"person,omitempty"`
	Personality cards.Personality `json:"personality,omitempty"`
	Faults      *cards.Faults     `json:"faults,omitempty"`
}

func (c choice) order() (order, error) {
	o := order{Kind: cards.Kind(c.Kind), Person: c.Person, Personality: cards.Personality(c.Personality)}
	if !slices.Contains(cards.Personalities(), o.Personality) {
		return o, fmt.Errorf("no card is %q; there are: %s", c.Personality, variables()["personalities"])
	}
	if c.Faults == "" {
		return o, nil
	}
	data, err := os.ReadFile(c.Faults)
	if err != nil {
		return o, err
	}
	decoder := json.NewDecoder(strings.NewReader(string(data)))
	decoder.DisallowUnknownFields()
	o.Faults = &cards.Faults{}
	if err := decoder.Decode(o.Faults); err != nil {
		return o, fmt.Errorf("%s: %w", c.Faults, err)
	}
	return o, nil
}

// holds tells whether a person has the papers for a kind of card.
func holds(p pki.Person, kind cards.Kind) bool {
	switch kind {
	case cards.KindDNIe:
		return p.NIF != ""
	case cards.KindPKCS15:
		return p.DocumentNumber != ""
	default:
		return p.PersonalCode != ""
	}
}

// spec makes the card that was ordered, with new keys.
func (o order) spec(country *pki.Country) (cards.Spec, pki.Person, error) {
	var holder pki.Person
	var known []string
	found := false
	for _, p := range pki.Persons() {
		if !holds(p, o.Kind) {
			continue
		}
		code := p.PersonalCode
		if code == "" {
			code = p.NIF
		}
		known = append(known, code+" "+p.GivenName+" "+p.Surnames())
		if !found && (o.Person == "" || o.Person == code) {
			holder, found = p, true
		}
	}
	if !found {
		return cards.Spec{}, holder, fmt.Errorf("nobody with the code %q in the lab can hold such a card; there are: %s", o.Person, strings.Join(known, ", "))
	}
	spec, err := cards.Describe(country, o.Kind, holder, o.Personality)
	if err == nil && o.Faults != nil {
		spec.Faults = *o.Faults
	}
	return spec, holder, err
}

type personsCommand struct{}

// Run lists the lab's inhabitants and the kinds of cards that each can hold.
func (personsCommand) Run(_ context.Context, s streams) error {
	t := tabwriter.NewWriter(s.out, 0, 0, 2, ' ', 0)
	for _, p := range pki.Persons() {
		var kinds []string
		for _, k := range cards.Kinds() {
			if holds(p, k) {
				kinds = append(kinds, string(k))
			}
		}
		if len(kinds) == 0 {
			continue
		}
		code := p.PersonalCode
		if code == "" {
			code = p.NIF
		}
		fmt.Fprintf(t, "%s\t%s %s\t%s\n", code, p.GivenName, p.Surnames(), strings.Join(kinds, ", "))
	}
	return t.Flush()
}
