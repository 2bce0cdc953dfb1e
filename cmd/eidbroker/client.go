package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/user"
	"path/filepath"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/pelletier/go-toml/v2"

	"github.com/eidbridge/eidbridge/brokers"
	"github.com/eidbridge/eidbridge/brokers/admin"
	"github.com/eidbridge/eidbridge/brokers/audit"
	"github.com/eidbridge/eidbridge/brokers/provider"
	"github.com/eidbridge/eidbridge/levels"
)

type clientCommand struct {
	List    clientListCommand    `cmd:"" help:"List all clients: of the configuration, of the database, and those that registered themselves."`
	Show    clientShowCommand    `cmd:"" help:"Print one client as JSON."`
	Add     clientAddCommand     `cmd:"" help:"Add a client to the database. Its secret is printed once."`
	Change  clientChangeCommand  `cmd:"" help:"Replace the settings of a client of the database; its secret stays."`
	Disable clientDisableCommand `cmd:"" help:"Keep a client from everything until it is enabled."`
	Enable  clientEnableCommand  `cmd:"" help:"Let a disabled client again."`
	Rotate  clientRotateCommand  `cmd:"" name:"rotate-secret" help:"Give a client another secret, which is printed once. The old one ends at once."`
	Remove  clientRemoveCommand  `cmd:"" help:"Remove a client of the database."`
}

// desk is what an operator's command works with: the database of a deployment and
// an audit log.
type desk struct {
	settings config
	dir      directory
	secrets  *secrets
	database closingStore
	events   *slog.Logger
	// actor is whoever runs this program.
	actor string
	end   func() error
}

// desk opens a deployment. Its end has to be called.
func (d deployment) desk(ctx context.Context) (*desk, error) {
	settings, err := readConfig(d.Config)
	if err != nil {
		return nil, err
	}
	dir := directory(cmp.Or(d.Data, filepath.Dir(d.Config)))
	secrets, err := readSecrets(ctx, settings, dir, false, slog.New(slog.DiscardHandler))
	if err == nil {
		defer secrets.close()
	}
	if err != nil {
		return nil, err
	}
	database, err := d.open(ctx)
	if err != nil {
		return nil, err
	}
	events, closeEvents, err := settings.adminAudit(dir, secrets)
	if err != nil {
		return nil, errors.Join(err, database.Close())
	}
	who := "unknown"
	if u, err := user.Current(); err == nil {
		who = u.Username
	}
	return &desk{
		settings: settings, dir: dir, secrets: secrets, database: database, events: events, actor: "command:" + who,
		end: func() error { return errors.Join(closeEvents(), database.Close()) },
	}, nil
}

// at runs a verb and closes what it needed.
func (d deployment) at(ctx context.Context, verb func(*desk) error) error {
	opened, err := d.desk(ctx)
	if err != nil {
		return err
	}
	return errors.Join(verb(opened), opened.end())
}

// clientRegistry changes the clients of a database.
func (c config) clientRegistry(static []provider.Client, s *secrets, database admin.Registrations, events *slog.Logger) *admin.Registry {
	return &admin.Registry{
		Store: database, Static: static, Mapping: levels.Default(), PairwiseVersion: 1 + len(s.later), Audit: events, Now: time.Now,
		Algorithms: func() []jose.SignatureAlgorithm { return s.keys.Algorithms(time.Now()) },
	}
}

// adminAudit opens the audit log of commands.
func (c config) adminAudit(dir directory, s *secrets) (*slog.Logger, func() error, error) {
	if c.AuditLog == "" {
		return slog.New(slog.NewJSONHandler(os.Stderr, nil)), func() error { return nil }, nil
	}
	l, err := audit.Open(audit.Options{Path: c.adminLog(dir), Key: s.audit})
	if err != nil {
		return nil, nil, err
	}
	return slog.New(l.Handler()), l.Close, nil
}

// with runs a verb on the clients and closes what it needed.
func (d deployment) with(ctx context.Context, verb func(r *admin.Registry, actor string) error) error {
	return d.at(ctx, func(d *desk) error {
		static, _, err := d.settings.registered(levels.Default(), d.secrets)
		if err != nil {
			return err
		}
		err = verb(d.settings.clientRegistry(static, d.secrets, d.database, d.events), d.actor)
		if errors.Is(err, brokers.ErrNotFound) {
			err = errors.New("there is no such client")
		}
		return err
	})
}

type clientListCommand struct {
	JSON bool `help:"As JSON."`

	deployment `embed:""`
}

// Run lists all clients.
func (c *clientListCommand) Run(ctx context.Context, s streams) error {
	return c.with(ctx, func(r *admin.Registry, _ string) error {
		list, err := r.List(ctx)
		if err != nil {
			return err
		}
		if c.JSON {
			return json.NewEncoder(s.out).Encode(list)
		}
		for _, e := range list {
			state := ""
			if e.Disabled {
				state = "disabled"
			}
			fmt.Fprintf(s.out, "%-24s %-14s %-28s %s\n", e.ID, e.Origin, e.Name, state)
		}
		return nil
	})
}

type clientShowCommand struct {
	ID string `arg:"" help:"The client's ID."`

	deployment `embed:""`
}

// Run prints a client.
func (c *clientShowCommand) Run(ctx context.Context, s streams) error {
	return c.with(ctx, func(r *admin.Registry, _ string) error {
		e, err := r.Show(ctx, c.ID)
		if err != nil {
			return err
		}
		encoder := json.NewEncoder(s.out)
		encoder.SetIndent("", "  ")
		return encoder.Encode(e)
	})
}

type clientAddCommand struct {
	File string `arg:"" help:"The settings of one client in the words of a section [[clients]], without its heading (TOML); - is standard input."`

	deployment `embed:""`
}

// Run adds a client.
func (c *clientAddCommand) Run(ctx context.Context, s streams) error {
	settings, err := readClient(c.File)
	if err != nil {
		return err
	}
	return c.with(ctx, func(r *admin.Registry, actor string) error {
		secret, err := r.Add(ctx, actor, settings)
		if err != nil {
			return err
		}
		return printSecret(s.out, settings.ID, secret)
	})
}

type clientChangeCommand struct {
	File string `arg:"" help:"All settings of the client, as for add."`

	deployment `embed:""`
}

// Run replaces settings.
func (c *clientChangeCommand) Run(ctx context.Context, s streams) error {
	settings, err := readClient(c.File)
	if err != nil {
		return err
	}
	return c.with(ctx, func(r *admin.Registry, actor string) error { return r.Change(ctx, actor, settings) })
}

type clientDisableCommand struct{ clientShowCommand }

// Run disables.
func (c *clientDisableCommand) Run(ctx context.Context, _ streams) error {
	return c.with(ctx, func(r *admin.Registry, actor string) error { return r.Disable(ctx, actor, c.ID, true) })
}

type clientEnableCommand struct{ clientShowCommand }

// Run enables.
func (c *clientEnableCommand) Run(ctx context.Context, _ streams) error {
	return c.with(ctx, func(r *admin.Registry, actor string) error { return r.Disable(ctx, actor, c.ID, false) })
}

type clientRotateCommand struct{ clientShowCommand }

// Run makes another secret.
func (c *clientRotateCommand) Run(ctx context.Context, s streams) error {
	return c.with(ctx, func(r *admin.Registry, actor string) error {
		secret, err := r.RotateSecret(ctx, actor, c.ID)
		if err != nil {
			return err
		}
		return printSecret(s.out, c.ID, secret)
	})
}

type clientRemoveCommand struct{ clientShowCommand }

// Run removes.
func (c *clientRemoveCommand) Run(ctx context.Context, _ streams) error {
	return c.with(ctx, func(r *admin.Registry, actor string) error { return r.Remove(ctx, actor, c.ID) })
}

// printSecret tells a secret, the only time.
func printSecret(out io.Writer, id, secret string) error {
	return json.NewEncoder(out).Encode(struct { //nolint:gosec // G117: telling it is what was asked for
		ID     string `json:"client_id"`
		Secret string `json:"client_secret,omitempty"`
	}{id, secret})
}

// readClient reads the settings of one client, strictly.
func readClient(path string) (provider.ClientSettings, error) {
	var settings provider.ClientSettings
	in := io.Reader(os.Stdin)
	if path != "-" {
		file, err := os.Open(path)
		if err != nil {
			return settings, err
		}
		defer file.Close()
		in = file
	}
	text, err := io.ReadAll(io.LimitReader(in, maxConfig))
	if err != nil {
		return settings, err
	}
	if err := toml.NewDecoder(bytes.NewReader(text)).DisallowUnknownFields().Decode(&settings); err != nil {
		return settings, explain(path, err)
	}
	return settings, nil
}
