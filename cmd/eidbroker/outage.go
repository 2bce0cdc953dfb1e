package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/eidbridge/eidbridge/brokers"
	"github.com/eidbridge/eidbridge/brokers/outages"
)

type outageCommand struct {
	List outageListCommand `cmd:"" help:"List what is out of order, or will be: by the configuration, by an operator, and by failures."`
	Add  outageAddCommand  `cmd:"" help:"Put an upstream or a method out of order, now or as planned maintenance. All replicas follow within seconds."`
	Lift outageLiftCommand `cmd:"" help:"End an outage, also a pause after failures."`
}

type outageListCommand struct {
	JSON bool `help:"As JSON."`

	deployment `embed:""`
}

// Run lists outages. Those of the configuration have no ID.
func (c *outageListCommand) Run(ctx context.Context, s streams) error {
	return c.at(ctx, func(d *desk) error {
		board, err := d.board(ctx)
		if err != nil {
			return err
		}
		list := board.At(time.Now())
		if c.JSON {
			return json.NewEncoder(s.out).Encode(list)
		}
		for _, o := range list {
			printOutage(s.out, o)
		}
		return nil
	})
}

func printOutage(out io.Writer, o brokers.Outage) {
	kind := "outage"
	switch {
	case o.Automatic:
		kind = "pause after failures"
	case o.Planned:
		kind = "maintenance"
	}
	what := o.Upstream
	if o.Method != "" {
		what += "/" + o.Method
	}
	id := o.ID
	if id == "" {
		id = "(configuration)"
	}
	fmt.Fprintf(out, "%-16s %-28s %-20s from %s until %s\n", id, what, kind, instant(o.From, "now"), instant(o.Until, "lifted"))
}

// instant is a time, or a word for none.
func instant(t time.Time, none string) string {
	if t.IsZero() {
		return none
	}
	return t.UTC().Format(time.RFC3339)
}

// board knows the outages of a deployment.
func (d *desk) board(ctx context.Context) (*outages.Board, error) {
	upstreams, err := d.settings.upstreams(d.dir, d.database)
	if err != nil {
		return nil, err
	}
	fixed, err := d.settings.outageSwitch(d.dir, upstreams, d.events)
	if err != nil {
		return nil, err
	}
	board, err := outages.New(d.settings.breakerSettings(), outages.Options{Store: d.database, Fixed: fixed, Audit: d.events})
	if err != nil {
		return nil, err
	}
	return board, board.Learn(ctx)
}

type outageAddCommand struct {
	Upstream string    `arg:"" help:"The upstream, as check-config lists it."`
	Method   string    `help:"One of its methods; by default all."`
	From     time.Time `help:"When it begins; by default now."`
	Until    time.Time `help:"When it ends; by default when it is lifted."`
	Planned  bool      `help:"Maintenance, announced on the pages a day before; needs from and until."`

	deployment `embed:""`
}

// Run adds an outage and prints its ID.
func (c *outageAddCommand) Run(ctx context.Context, s streams) error {
	return c.at(ctx, func(d *desk) error {
		upstreams, err := d.settings.upstreams(d.dir, d.database)
		if err != nil {
			return err
		}
		if err := outages.Known(upstreams, c.Upstream, c.Method); err != nil {
			return err
		}
		board, err := d.board(ctx)
		if err != nil {
			return err
		}
		id, err := board.Add(ctx, d.actor, brokers.Outage{Upstream: c.Upstream, Limit: brokers.Limit{Method: c.Method, From: c.From, Until: c.Until, Planned: c.Planned}})
		if err != nil {
			return err
		}
		_, err = fmt.Fprintln(s.out, id)
		return err
	})
}

type outageLiftCommand struct {
	ID string `arg:"" help:"The ID, as outage list prints it."`

	deployment `embed:""`
}

// Run lifts.
func (c *outageLiftCommand) Run(ctx context.Context, _ streams) error {
	return c.at(ctx, func(d *desk) error {
		board, err := d.board(ctx)
		if err != nil {
			return err
		}
		err = board.Lift(ctx, d.actor, c.ID)
		if errors.Is(err, brokers.ErrNotFound) {
			err = errors.New("there is no such outage")
		}
		return err
	})
}
