package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/eidbridge/eidbridge/brokers"
	"github.com/eidbridge/eidbridge/brokers/outages"
	"github.com/eidbridge/eidbridge/brokers/policy"
	"github.com/eidbridge/eidbridge/brokers/provider"
	"github.com/eidbridge/eidbridge/brokers/store"
	"github.com/eidbridge/eidbridge/levels"
)

type explainCommand struct {
	Ref       string    `help:"The reference that an error page showed: print what happened."`
	Client    string    `help:"ID of the client."`
	Scope     []string  `help:"Scopes of the request."`
	Acr       []string  `help:"Values of acr, in the client's words."`
	Essential bool      `help:"The values of acr are essential: nothing else will do."`
	Claim     []string  `help:"Claims that the request names one by one."`
	Address   string    `help:"Address of the browser."`
	At        time.Time `help:"Time of the login, such as 2026-11-28T05:00:00Z; by default now."`
	Method    string    `help:"The method by which the citizen logs in, to see what becomes of it."`
	Level     string    `help:"The level that the login reaches; by default what the method can reach."`
	Delivered []string  `help:"Claims that the login delivers."`
	Country   string    `help:"Country that issued the identity."`
	Reused    bool      `help:"An earlier login of the same browser is to count."`

	deployment `embed:""`
}

// Run says what the rules would do with a login, without one, or what happened in
// one.
func (c *explainCommand) Run(ctx context.Context, s streams) error {
	switch {
	case (c.Ref == "") == (c.Client == ""):
		return errors.New("give --client, to see what would happen, or --ref, to see what happened")
	case c.Ref != "":
		return c.recall(ctx, s.out)
	}
	p, end, err := c.standIn(ctx)
	if err != nil {
		return err
	}
	defer end()
	return c.explain(ctx, p, s.out)
}

func (c *explainCommand) explain(ctx context.Context, p *provider.Provider, out io.Writer) error {
	q := provider.Question{
		Client: c.Client, Scopes: c.Scope, ACR: c.Acr, Claims: c.Claim, Essential: c.Essential, Address: c.Address, At: c.At,
		Method: c.Method, Delivered: c.Delivered, Country: c.Country, Reused: c.Reused,
	}
	if c.Level != "" {
		var err error
		if q.Level, err = levels.Parse(c.Level); err != nil {
			return err
		}
	}
	x, err := p.Explain(ctx, q)
	if errors.Is(err, brokers.ErrNotFound) {
		return fmt.Errorf("there is no client %q", c.Client)
	}
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "rules, version %s\n", cmp.Or(x.RulesVersion, "none: there are no rules"))
	tell(out, "the request", x.Request)
	if x.Refused != "" {
		fmt.Fprintf(out, "the portal is told %s\n", x.Refused)
	} else {
		fmt.Fprintf(out, "the login has to reach %s\n", x.Required)
	}
	for _, m := range x.Methods {
		fmt.Fprintf(out, "  %-24s %s\n", m.Method, cmp.Or(m.Missing, "offered, up to "+m.Level.String()))
		tell(out, "  "+m.Method, m.Rules)
	}
	if c.Method != "" {
		tell(out, "the login", x.Login)
		fmt.Fprintf(out, "the login by %s: %s\n", c.Method, x.Outcome)
	}
	return nil
}

// recall prints the steps behind a reference.
func (c *explainCommand) recall(ctx context.Context, out io.Writer) error {
	database, err := c.open(ctx)
	if err != nil {
		return err
	}
	f, err := provider.LoadFlight(ctx, database, c.Ref, time.Now())
	if errors.Is(err, brokers.ErrNotFound) {
		err = fmt.Errorf("nothing is kept of %q; it may be older than two weeks, or mistyped", c.Ref)
	}
	if err := errors.Join(err, database.Close()); err != nil {
		return err
	}
	fmt.Fprintf(out, "%s, client %s\n", f.Reference, cmp.Or(f.Client, "not known"))
	for _, step := range f.Steps {
		var codes []string
		for _, name := range slices.Sorted(maps.Keys(step.Codes)) {
			codes = append(codes, name+"="+step.Codes[name])
		}
		fmt.Fprintf(out, "%s  %-22s %-20s %s\n", step.At.Format("2006-01-02T15:04:05.000Z"), step.Event, step.Reason, strings.Join(codes, " "))
	}
	return nil
}

// tell lists rules that apply and what follows from each.
func tell(out io.Writer, to string, list []policy.Match) {
	for _, m := range list {
		var then []string
		if m.Failed {
			then = append(then, "its condition fails, so that it refuses")
		}
		if m.Deny != "" {
			then = append(then, "deny "+m.Deny)
		}
		if m.MinLevel != levels.None {
			then = append(then, "at least "+m.MinLevel.String())
		}
		if len(m.Methods) > 0 {
			then = append(then, "only "+strings.Join(m.Methods, ", "))
		}
		if m.StepUp {
			then = append(then, "a new login")
		}
		only := ""
		if m.DryRun {
			only = " (dry run: only told)"
		}
		fmt.Fprintf(out, "rule %s applies to %s: %s%s\n", m.Name, to, strings.Join(then, "; "), only)
	}
}

// standIn makes a provider that serves nobody, with the deployment's database if
// there is one.
func (d deployment) standIn(ctx context.Context) (*provider.Provider, func(), error) {
	settings, err := readConfig(d.Config)
	if err != nil {
		return nil, nil, err
	}
	dir := directory(cmp.Or(d.Data, filepath.Dir(d.Config)))
	secrets, err := checkSecrets(ctx, settings, dir)
	if err != nil {
		return nil, nil, err
	}
	var database provider.Store = store.NewMemory()
	var problem error
	end := func() {}
	if _, err := os.Stat(dir.file(settings.Database)); err == nil || settings.remoteDatabase() {
		opened, err := openStore(ctx, settings, dir, secrets.masters)
		if err != nil {
			return nil, nil, err
		}
		database, end = opened, func() { _ = opened.Close() } // it was only read
	}
	quiet := slog.New(slog.DiscardHandler)
	p, err := assemble(settings, dir, secrets, database, quiet, func(into *provider.Config) {
		kept, fixed := []brokers.Outage(nil), into.Outages
		if shared, ok := database.(outages.Store); ok {
			kept, problem = shared.Outages(ctx, time.Now())
		}
		into.Outages = func(now time.Time) []brokers.Outage { return slices.Concat(fixed(now), kept) }
	})
	if err = errors.Join(err, problem); err != nil {
		end()
		return nil, nil, err
	}
	return p, end, nil
}
