package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
)

type keysCommand struct {
	Init   keysInitCommand   `cmd:"" help:"Make the signing key, the pairwise secret and the master key where they are missing, for several replicas to share."`
	Rewrap keysRewrapCommand `cmd:"" help:"Wrap all data keys by the first master key, so that the other master keys can be taken out of the configuration."`
	Rotate keysRotateCommand `cmd:"" help:"Make the next signing key in the database, which signs after it was published long enough."`
	Renew  keysRenewCommand  `cmd:"" help:"Make a new data key at once, if one is feared known."`
}

type keysInitCommand struct {
	Config string `help:"Configuration file." default:"eidbroker.toml" type:"existingfile"`
	Data   string `help:"Directory of the keys; by default that of the configuration." type:"path"`
}

// Run makes what is missing. It is for a deployment without citizens yet: with
// new secrets everybody becomes a stranger.
func (c *keysInitCommand) Run(ctx context.Context, s streams) error {
	settings, err := readConfig(c.Config)
	if err != nil {
		return err
	}
	data := c.Data
	if data == "" {
		data = filepath.Dir(c.Config)
	}
	dir := directory(data)
	if _, err := os.Lstat(dir.file(settings.Database)); !settings.remoteDatabase() && !errors.Is(err, fs.ErrNotExist) {
		return errors.New("there is a database already; restore its keys from a backup")
	}
	made, err := readSecrets(ctx, settings, dir, true, slog.New(slog.DiscardHandler))
	if err != nil {
		return err
	}
	made.close()
	fmt.Fprintf(s.out, "keys are in %s; copy them to every replica and keep a backup\n", data)
	return nil
}

// deployment names the files of a broker that has served before.
type deployment struct {
	Config string `help:"Configuration file." default:"eidbroker.toml" type:"existingfile"`
	Data   string `help:"Directory of the keys; by default that of the configuration." type:"path"`
}

// open opens the database beside whatever serves it.
func (d deployment) open(ctx context.Context) (closingStore, error) {
	settings, err := readConfig(d.Config)
	if err != nil {
		return nil, err
	}
	dir := directory(cmp.Or(d.Data, filepath.Dir(d.Config)))
	masters, err := readMasters(ctx, settings, dir)
	if err != nil {
		return nil, err
	}
	if !settings.remoteDatabase() {
		if _, err := os.Stat(dir.file(settings.Database)); err != nil {
			return nil, fmt.Errorf("there is no database yet: %w", err)
		}
	}
	return openStore(ctx, settings, dir, masters)
}

type keysRewrapCommand struct {
	deployment `embed:""`
}

// Run re-wraps. It may be interrupted and called again.
func (c *keysRewrapCommand) Run(ctx context.Context, s streams) error {
	database, err := c.open(ctx)
	if err != nil {
		return err
	}
	n, err := database.Keyring().Rewrap(ctx)
	if err != nil {
		return errors.Join(err, database.Close())
	}
	fmt.Fprintf(s.out, "wrapped %d data keys by the first master key; no other master key is needed\n", n)
	return database.Close()
}

type keysRenewCommand struct {
	deployment `embed:""`
}

// Run makes a new data key; replicas learn of it within minutes, or when they
// meet a record that it sealed.
func (c *keysRenewCommand) Run(ctx context.Context, s streams) error {
	database, err := c.open(ctx)
	if err != nil {
		return err
	}
	if err := database.Keyring().Renew(ctx); err != nil {
		return errors.Join(err, database.Close())
	}
	fmt.Fprintln(s.out, "made a new data key; records under earlier ones end with their lifetimes")
	return database.Close()
}
