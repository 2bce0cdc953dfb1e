package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/alecthomas/kong"
	"github.com/pelletier/go-toml/v2"
)

// configFile is where options are looked for that nobody gives otherwise.
func configFile() string {
	dir, err := os.UserConfigDir()
	if err != nil {
		return ""
	}
	return filepath.Join(dir, "eidbridge", "eidagent.toml")
}

// settings are the options that a configuration file may hold, by the name of
// their flag. An option on the command line counts more, then one from the
// environment.
type settings struct {
	TSA        []string `toml:"tsa"`
	Accounts   string   `toml:"tsa-accounts"`
	Anchors    string   `toml:"anchors"`
	AllowLocal []string `toml:"allow-local"`
	Level      string   `toml:"level"`
}

// readSettings is kong's loader of configuration files.
func readSettings(r io.Reader) (kong.Resolver, error) {
	var s settings
	d := toml.NewDecoder(r).DisallowUnknownFields()
	if err := d.Decode(&s); err != nil {
		if strict, ok := errors.AsType[*toml.StrictMissingError](err); ok {
			return nil, fmt.Errorf("configuration file: option not known:\n%s", strict.String())
		}
		return nil, fmt.Errorf("configuration file: %w", err)
	}
	for option, path := range map[string]string{"anchors": s.Anchors, "tsa-accounts": s.Accounts} {
		if path != "" && !filepath.IsAbs(path) {
			return nil, fmt.Errorf("configuration file: %s is not an absolute path: %s", option, path)
		}
	}
	return &s, nil
}

// Validate implements kong.Resolver.
func (s *settings) Validate(*kong.Application) error { return nil }

// Resolve implements kong.Resolver.
func (s *settings) Resolve(_ *kong.Context, parent *kong.Path, flag *kong.Flag) (any, error) {
	if slices.ContainsFunc(flag.Envs, func(name string) bool { return os.Getenv(name) != "" }) {
		return nil, nil
	}
	switch flag.Name {
	case "tsa":
		return listed(s.TSA), nil
	case "tsa-accounts":
		return given(s.Accounts), nil
	case "allow-local":
		return listed(s.AllowLocal), nil
	case "anchors":
		return given(s.Anchors), nil
	case "level":
		// What is signed from now on; how far to extend is said each time.
		if parent.Command != nil && parent.Command.Name == "sign" {
			return given(s.Level), nil
		}
	}
	return nil, nil
}

func listed(values []string) any {
	if len(values) == 0 {
		return nil
	}
	return strings.Join(values, ",")
}

func given(value string) any {
	if value == "" {
		return nil
	}
	return value
}
