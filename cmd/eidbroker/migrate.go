package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/eidbridge/eidbridge/brokers/store"
)

type migrateCommand struct {
	Database string `help:"Address of the database for the role that owns the schema; by default that of the configuration."`

	deployment `embed:""`
}

// Run brings the schema up to date, so that serve can work with a role that must not
// change it.
func (c *migrateCommand) Run(ctx context.Context, s streams) error {
	settings, err := readConfig(c.Config)
	if err != nil {
		return err
	}
	if c.Database != "" {
		settings.Database = c.Database
	}
	if !settings.remoteDatabase() {
		return errors.New("the database is a file, whose schema serve keeps up to date by itself")
	}
	if err := store.MigratePostgres(ctx, settings.Database); err != nil {
		return err
	}
	_, err = fmt.Fprintln(s.out, "the schema is up to date")
	return err
}
