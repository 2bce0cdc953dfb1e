package main

import (
	"context"
	"crypto"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/eidbridge/eidbridge/brokers/hsm"
	"github.com/eidbridge/eidbridge/brokers/provider"
)

// keyConfig is a further signing key: in a file, or in a token behind a PKCS #11
// module.
type keyConfig struct {
	File      string    `toml:"file"`
	Module    string    `toml:"module"`
	Token     string    `toml:"token"`
	Serial    string    `toml:"serial"`
	Label     string    `toml:"label"`
	ID        string    `toml:"id"`
	PINFile   string    `toml:"pin_file"`
	Sessions  int       `toml:"sessions"`
	Algorithm string    `toml:"algorithm"`
	Use       time.Time `toml:"use"`
	Until     time.Time `toml:"until"`
}

func (k keyConfig) inToken() bool { return k.Module != "" }

// key is the key with its time table.
func (k keyConfig) key(signer crypto.Signer) provider.Key {
	return provider.Key{Signer: signer, Algorithm: jose.SignatureAlgorithm(k.Algorithm), Use: k.Use, Until: k.Until}
}

// handedOver begins a pin_file that systemd hands over (LoadCredential=).
const handedOver = "credential:"

// settings are the token in which the key is, without keys.
func (k keyConfig) settings(dir directory) (hsm.Settings, error) {
	s := hsm.Settings{Module: k.Module, Token: k.Token, Serial: k.Serial}
	if k.File != "" {
		return s, errors.New("a key is in a file or in a token, not in both")
	}
	if k.PINFile == "" {
		return s, errors.New("pin_file: a key in a token needs its PIN, in a file")
	}
	name, systemd := strings.CutPrefix(k.PINFile, handedOver)
	if !systemd {
		path, err := filepath.Abs(dir.file(k.PINFile))
		s.PINFile = path
		return s, err
	}
	folder := os.Getenv("CREDENTIALS_DIRECTORY")
	if folder == "" || name != filepath.Base(name) {
		return s, fmt.Errorf("pin_file: systemd hands over no credential %q", name)
	}
	s.PINFile, s.Credential = filepath.Join(folder, name), true
	return s, nil
}

// tokenKeys is a token with the keys that are in it.
type tokenKeys struct {
	hsm.Settings
	// sections are the indexes in the configuration of the settings' keys.
	sections []int
}

// tokenPlaces groups the keys by token: one login for all keys of a token.
func (c config) tokenPlaces(dir directory) ([]*tokenKeys, error) {
	var places []*tokenKeys
	known := map[string]*tokenKeys{}
	var problems []error
	for i, k := range c.Keys {
		if !k.inToken() {
			continue
		}
		s, err := k.settings(dir)
		id, badID := hex.DecodeString(k.ID)
		if badID != nil {
			err = errors.Join(err, errors.New("id is not hexadecimal"))
		}
		if err != nil {
			problems = append(problems, c.at(fmt.Sprintf("keys[%d]", i), err))
			continue
		}
		name := strings.Join([]string{s.Module, s.Token, s.Serial, s.PINFile}, "\x00")
		at := known[name]
		if at == nil {
			at = &tokenKeys{Settings: s}
			known[name], places = at, append(places, at)
		}
		at.Sessions = max(at.Sessions, k.Sessions)
		at.Keys, at.sections = append(at.Keys, hsm.KeyName{Label: k.Label, ID: id}), append(at.sections, i)
	}
	return places, errors.Join(problems...)
}

// openTokens opens the tokens in which keys are, and tries each PIN once.
func (c config) openTokens(ctx context.Context, dir directory, log *slog.Logger) (keys []provider.Key, tokens []*hsm.Token, err error) {
	places, err := c.tokenPlaces(dir)
	if err != nil || len(places) == 0 {
		return nil, nil, err
	}
	program, err := c.tokenProgram()
	if err != nil {
		return nil, nil, c.at("pkcs11_program", err)
	}
	defer func() {
		if err != nil {
			(&secrets{tokens: tokens}).close()
		}
	}()
	for _, at := range places {
		section := at.sections[0]
		token, err := hsm.Open(ctx, program, at.Settings, log)
		if err != nil {
			var wrong *hsm.KeyError
			if errors.As(err, &wrong) {
				section = at.sections[wrong.Index]
			}
			if errors.Is(err, hsm.ErrProgram) {
				return nil, tokens, c.at("pkcs11_program", err)
			}
			return nil, tokens, c.at(fmt.Sprintf("keys[%d]", section), err)
		}
		tokens = append(tokens, token)
		for i, section := range at.sections {
			signer, err := token.Signer(i)
			if err != nil {
				return nil, tokens, c.at(fmt.Sprintf("keys[%d]", section), err)
			}
			keys = append(keys, c.Keys[section].key(signer))
		}
	}
	return keys, tokens, nil
}

// tokenProgram is eidhsm, by default the one beside this program.
func (c config) tokenProgram() (string, error) {
	if c.PKCS11Program != "" {
		return filepath.Abs(c.PKCS11Program)
	}
	self, err := os.Executable()
	if err != nil {
		return "", err
	}
	return filepath.Join(filepath.Dir(self), "eidhsm"), nil
}
