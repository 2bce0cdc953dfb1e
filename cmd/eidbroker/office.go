package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"time"

	"github.com/eidbridge/eidbridge/brokers"
	"github.com/eidbridge/eidbridge/brokers/abuse"
	"github.com/eidbridge/eidbridge/brokers/provider"
)

type bansCommand struct {
	List bansListCommand `cmd:"" help:"List the addresses that are banned now."`
	Lift bansLiftCommand `cmd:"" help:"Lift a ban and forget the wrong tries that led to it."`
}

type bansListCommand struct {
	JSON bool `help:"As JSON."`

	deployment `embed:""`
}

// Run lists bans.
func (c *bansListCommand) Run(ctx context.Context, s streams) error {
	return c.at(ctx, func(d *desk) error {
		list, err := d.database.Bans(ctx, time.Now())
		if err != nil {
			return err
		}
		if c.JSON {
			return json.NewEncoder(s.out).Encode(list)
		}
		for _, b := range list {
			fmt.Fprintf(s.out, "%-14s %-40s %-14s until %s\n", b.ID, b.Address, b.Kind, b.Until.UTC().Format(time.RFC3339))
		}
		return nil
	})
}

type bansLiftCommand struct {
	ID string `arg:"" help:"The ID, as bans list prints it."`

	deployment `embed:""`
}

// Run lifts a ban; replicas learn of it within seconds.
func (c *bansLiftCommand) Run(ctx context.Context, _ streams) error {
	return c.at(ctx, func(d *desk) error {
		guard, err := abuse.New(d.settings.abuseSettings(), abuse.Options{Strikes: d.database, Key: provider.GuardKey(d.secrets.pairwise), Audit: d.events})
		if err != nil {
			return err
		}
		err = guard.Lift(ctx, d.actor, c.ID)
		if errors.Is(err, brokers.ErrNotFound) {
			err = errors.New("there is no such ban")
		}
		return err
	})
}

type personCommand struct {
	End personEndCommand `cmd:"" help:"End all sessions of a person and revoke what was granted to portals, which are told."`
}

type personEndCommand struct {
	Person string `arg:"" optional:"" help:"scheme:identifier, such as nl-bsn:900029365; - reads it from standard input, so that no history of commands has it."`
	Client string `help:"Instead: the client that knows the person by --sub."`
	Sub    string `help:"The subject identifier at that client."`

	deployment `embed:""`
}

// Run ends. A broker that serves, or the next to start, tells the portals.
func (c *personEndCommand) Run(ctx context.Context, s streams) error {
	person := provider.Person{Key: c.Person, Client: c.Client, Subject: c.Sub}
	if c.Person == "-" {
		const most = 256 // bytes of an identifier
		text, err := io.ReadAll(io.LimitReader(os.Stdin, most))
		if err != nil {
			return err
		}
		person.Key = strings.TrimSpace(string(text))
	}
	return c.at(ctx, func(d *desk) error {
		p, err := assemble(d.settings, d.dir, d.secrets, d.database, slog.New(slog.DiscardHandler), func(into *provider.Config) { into.Audit = d.events })
		if err != nil {
			return err
		}
		ended, err := p.EndPerson(ctx, d.actor, person)
		if errors.Is(err, brokers.ErrNotFound) {
			err = errors.New("there is no such client")
		}
		if err != nil {
			return err
		}
		_, err = fmt.Fprintf(s.out, "ended %d sessions and %d grants\n", ended.Sessions, ended.Grants)
		return err
	})
}
