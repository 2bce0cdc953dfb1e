package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

type keysCommand struct {
	Init keysInitCommand `cmd:"" help:"Make the signing key and the pairwise secret where they are missing, for several replicas to share."`
}

type keysInitCommand struct {
	Config string `help:"Configuration file." default:"eidbroker.toml" type:"existingfile"`
	Data   string `help:"Directory of the keys; by default that of the configuration." type:"path"`
}

// Run makes what is missing. It is for a deployment without citizens yet: with
// new secrets everybody becomes a stranger.
func (c *keysInitCommand) Run(s streams) error {
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
	if _, err := readSecrets(settings, dir, true); err != nil {
		return err
	}
	fmt.Fprintf(s.out, "keys are in %s; copy them to every replica and keep a backup\n", data)
	return nil
}
