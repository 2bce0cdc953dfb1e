package main

import (
	"fmt"
	"log/slog"
	"path/filepath"

	"github.com/eidbridge/eidbridge/brokers/provider"
	"github.com/eidbridge/eidbridge/brokers/store"
)

type checkCommand struct {
	Config string `help:"Configuration file." default:"eidbroker.toml" type:"existingfile"`
	Data   string `help:"Directory of keys; by default that of the configuration." type:"path"`
}

// Run reads a configuration with all files that it names, connects the upstreams,
// and says which methods they offer. It changes nothing and asks nobody.
func (c *checkCommand) Run(s streams) error {
	settings, err := readConfig(c.Config)
	if err != nil {
		return err
	}
	dir := directory(c.Data)
	if c.Data == "" {
		dir = directory(filepath.Dir(c.Config))
	}
	if _, err := provider.CheckIssuer(settings.Issuer); err != nil {
		return err
	}
	registrations, err := settings.clients()
	if err != nil {
		return err
	}
	upstreams, err := settings.upstreams(dir, store.NewMemory())
	if err != nil {
		return err
	}
	if _, err := settings.outageSwitch(dir, upstreams, slog.New(slog.DiscardHandler)); err != nil {
		return err
	}
	fmt.Fprintf(s.out, "%s: %d clients, %d upstreams\n", c.Config, len(registrations), len(upstreams))
	for _, u := range upstreams {
		for _, m := range u.Methods() {
			fmt.Fprintf(s.out, "  %-10s %-24s up to %s\n", u.ID(), m.ID, m.Level)
		}
	}
	return nil
}
