package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/eidbridge/eidbridge/brokers/rotation"
)

// rotationConfig is the life of signing keys in the database.
type rotationConfig struct {
	Every duration `toml:"every"`
	Ahead duration `toml:"ahead"`
	After duration `toml:"after"`
}

// Where signing keys are: in files of the broker's own, in its database, or only where
// sections [[keys]] say.
const (
	keysInFiles  = "file"
	keysDatabase = "database"
	keysListed   = "listed"
)

func (c config) keysInDatabase() bool { return c.SigningKeys == keysDatabase }

func (c config) keySchedule() rotation.Schedule {
	return rotation.Schedule{
		Every: time.Duration(c.KeyRotation.Every), Ahead: time.Duration(c.KeyRotation.Ahead), After: time.Duration(c.KeyRotation.After),
	}
}

// takeKeys takes the signing keys out of the database, if they are there; nil
// otherwise.
func (s *server) takeKeys(ctx context.Context, c config) (*rotation.Keeper, error) {
	if !c.keysInDatabase() {
		return nil, nil
	}
	keeper, err := rotation.New(s.database, c.keySchedule(), time.Now, s.events)
	if err != nil {
		return nil, err
	}
	keys, err := keeper.Keys(ctx)
	if err != nil {
		return nil, err
	}
	return keeper, s.secrets.keys.Replace(append(keys, s.secrets.further...)...)
}

type keysRotateCommand struct {
	deployment `embed:""`
	Feared     bool `help:"The keys are feared known: the new one signs at once, all others are gone, and so is every token that they signed."`
}

// Run makes the next key. Replicas learn of it within half a minute.
func (c *keysRotateCommand) Run(ctx context.Context, s streams) error {
	settings, err := readConfig(c.Config)
	if err != nil {
		return err
	}
	if !settings.keysInDatabase() {
		return errors.New(`signing_keys is not "database"; to replace a key in a file or token add a section [[keys]] and reload`)
	}
	database, err := c.open(ctx)
	if err != nil {
		return err
	}
	keeper, err := rotation.New(database, settings.keySchedule(), time.Now, slog.New(slog.NewTextHandler(s.err, nil)))
	if err != nil {
		return errors.Join(err, database.Close())
	}
	use, err := keeper.Rotate(ctx, c.Feared)
	if err != nil {
		return errors.Join(err, database.Close())
	}
	fmt.Fprintf(s.out, "made a signing key, which signs from %s\n", use.UTC().Format(time.RFC3339))
	return database.Close()
}
