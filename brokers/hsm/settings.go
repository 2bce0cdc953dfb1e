package hsm

import (
	"encoding/hex"
	"errors"
	"fmt"
	"path/filepath"

	"github.com/eidbridge/eidbridge/brokers/hsm/internal/wire"
)

// What a caller decides on.
var (
	// ErrModule: the module's file cannot be loaded, or is no PKCS #11 module.
	ErrModule = errors.New("hsm: the PKCS #11 module cannot be loaded")
	// ErrProgram: the program that loads modules cannot be run.
	ErrProgram = errors.New("hsm: the program for PKCS #11 modules cannot be run")
	// ErrToken: no token has the label and serial number, or several have.
	ErrToken = errors.New("hsm: the token is not there")
	// ErrPIN: the token refused the PIN. It is not tried again.
	ErrPIN = errors.New("hsm: the token refused the PIN")
	// ErrPINSpent: the token counts wrong tries, so the PIN was not tried.
	ErrPINSpent = errors.New("hsm: somebody entered a wrong PIN, so it was not tried")
	// ErrPINFile: the PIN cannot be read, or others can read it.
	ErrPINFile = errors.New("hsm: the PIN cannot be read")
	// ErrKey: the token has no such key, several, or none that may sign by itself.
	ErrKey = errors.New("hsm: the key is not there")
	// ErrGone: the token does not answer, or answers nonsense.
	ErrGone = errors.New("hsm: the token does not answer")
	// ErrRefused: the key does not sign in this way.
	ErrRefused = errors.New("hsm: the key does not sign like that")
)

// KeyError is what is wrong with the key of an index of Settings.Keys.
type KeyError struct {
	Index int
	Err   error
}

func (e *KeyError) Error() string { return e.Err.Error() }
func (e *KeyError) Unwrap() error { return e.Err }

// KeyName names a key of a token by its label, its ID, or both.
type KeyName struct {
	Label string
	// ID is CKA_ID.
	ID []byte
}

func (k KeyName) String() string {
	switch {
	case len(k.ID) == 0:
		return fmt.Sprintf("%q", k.Label)
	case k.Label == "":
		return hex.EncodeToString(k.ID)
	}
	return fmt.Sprintf("%q, %x", k.Label, k.ID)
}

// Settings name a token and its keys.
type Settings struct {
	// Module is the absolute path of the PKCS #11 module.
	Module string
	// Token is the label of the token, Serial its serial number; at least one.
	Token, Serial string
	// PINFile is the absolute path of a file with the PIN of the user, which nobody
	// else may read; an end of line does not count. Credential says that systemd put
	// it there (systemd.exec(5), CREDENTIALS), where an access list guards it.
	PINFile    string
	Credential bool
	// Sessions are how many signatures are made at once, default 4, at most 64.
	Sessions int
	// Keys are the keys that Token.Signer hands out.
	Keys []KeyName
}

const defaultSessions = 4

func (s *Settings) complete() error {
	if s.Sessions == 0 {
		s.Sessions = defaultSessions
	}
	switch {
	case !filepath.IsAbs(s.Module):
		return fmt.Errorf("%w: its path is not absolute", ErrModule)
	case s.Token == "" && s.Serial == "":
		return errors.New("hsm: a token is named by label, serial number or both")
	case !filepath.IsAbs(s.PINFile):
		return fmt.Errorf("%w: its path is not absolute", ErrPINFile)
	case s.Sessions < 1 || s.Sessions > wire.MaxSessions:
		return fmt.Errorf("hsm: there are 1 to %d sessions", wire.MaxSessions)
	case len(s.Keys) == 0 || len(s.Keys) > wire.MaxKeys:
		return fmt.Errorf("hsm: a token has 1 to %d keys", wire.MaxKeys)
	}
	for _, k := range s.Keys {
		if k.Label == "" && len(k.ID) == 0 {
			return errors.New("hsm: a key is named by label, ID or both")
		}
	}
	return nil
}

func (s *Settings) opening() *wire.Opening {
	o := &wire.Opening{
		Module: s.Module, Token: s.Token, Serial: s.Serial, PINFile: s.PINFile, OthersMayRead: s.Credential, Sessions: s.Sessions,
	}
	for _, k := range s.Keys {
		o.Keys = append(o.Keys, wire.Key{Label: k.Label, ID: k.ID})
	}
	return o
}

// meaning turns a failure into the sentinel that programs decide on.
func (s *Settings) meaning(f *wire.Failure) error {
	sentinel := map[wire.Kind]error{
		wire.Module: ErrModule, wire.NoToken: ErrToken, wire.PIN: ErrPIN, wire.Spent: ErrPINSpent, wire.PINFile: ErrPINFile,
		wire.NoKey: ErrKey, wire.Refused: ErrRefused,
	}[f.Kind]
	if sentinel == nil {
		sentinel = ErrGone
	}
	if f.Kind == wire.NoKey && f.Key >= 0 && f.Key < len(s.Keys) {
		return &KeyError{f.Key, fmt.Errorf("%w: %s: %w", sentinel, s.Keys[f.Key], f)}
	}
	return fmt.Errorf("%w: %w", sentinel, f)
}
