package pin_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/eidbridge/eidbridge/cardreader/pin"
)

func newPIN(t *testing.T, secret string) *pin.PIN {
	t.Helper()
	p, err := pin.New([]byte(secret))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Wipe)
	return p
}

func TestNewTakesTheSecretAwayFromItsCaller(t *testing.T) {
	typed := []byte("12345")
	p, err := pin.New(typed)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Wipe()
	if !bytes.Equal(typed, make([]byte, 5)) {
		t.Errorf("caller still holds %q", typed)
	}
	if p.Len() != 5 {
		t.Errorf("Len = %d", p.Len())
	}
	if err := p.Use(func(secret []byte) error {
		if string(secret) != "12345" || cap(secret) != 5 {
			t.Errorf("secret is %q with room for %d", secret, cap(secret))
		}
		return nil
	}); err != nil {
		t.Error(err)
	}
}

func TestNewRefusesImpossibleLengths(t *testing.T) {
	if _, err := pin.New(bytes.Repeat([]byte{'1'}, pin.MaxLength)); err != nil {
		t.Errorf("the longest: %v", err)
	}
	for _, secret := range [][]byte{nil, {}, bytes.Repeat([]byte{'1'}, pin.MaxLength+1)} {
		if _, err := pin.New(secret); !errors.Is(err, pin.ErrLength) {
			t.Errorf("%d bytes: %v, want ErrLength", len(secret), err)
		}
		if bytes.Contains(secret, []byte{'1'}) {
			t.Error("the refused secret was not wiped")
		}
	}
}

// Threat C-46.
func TestWipeEndsEveryUse(t *testing.T) {
	p := newPIN(t, "1234")
	p.Wipe()
	p.Wipe()
	if err := p.Use(func([]byte) error { t.Error("used after Wipe"); return nil }); !errors.Is(err, pin.ErrWiped) {
		t.Errorf("Use = %v, want ErrWiped", err)
	}
	if p.Len() != 0 {
		t.Errorf("Len = %d", p.Len())
	}
	(*pin.PIN)(nil).Wipe()
}

// Threat C-45, invariant I-5: there is no way to print a PIN by accident.
func TestPINHasNoTextForm(t *testing.T) {
	p := newPIN(t, "73519")
	var texts []string
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%b", "%08b", "%t", "%c", "%U"} {
		texts = append(texts, fmt.Sprintf(verb, p), fmt.Sprintf(verb, struct{ P *pin.PIN }{p}), fmt.Sprintf(verb, []*pin.PIN{p}))
	}
	encoded, err := json.Marshal(map[string]*pin.PIN{"pin": p})
	if err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	slog.New(slog.NewTextHandler(&log, nil)).Info("entry", "pin", p)
	slog.New(slog.NewJSONHandler(&log, nil)).Info("entry", "pin", p)
	for _, text := range append(texts, string(encoded), log.String(), p.String()) {
		for _, form := range []string{"73519", "3733353139", "NzM1MTk", "55 51 53 49 57"} {
			if strings.Contains(text, form) {
				t.Errorf("%q shows the PIN", text)
			}
		}
	}
	if got := p.String(); got != "[PIN]" {
		t.Errorf("String = %q", got)
	}
}

// Threat C-43: what a card would refuse is refused before it is asked.
func TestRuleChecksLengthAndCharacters(t *testing.T) {
	digits := pin.Rule{Min: 5, Max: 12, Class: pin.Digits}
	printable := pin.Rule{Min: 8, Max: 16, Class: pin.Printable}
	tests := []struct {
		name   string
		rule   pin.Rule
		secret string
		ok     bool
	}{
		{"shortest", digits, "12345", true},
		{"longest", digits, "123456789012", true},
		{"one too short", digits, "1234", false},
		{"one too long", digits, "1234567890123", false},
		{"letters", digits, "1234a", false},
		{"digits of another script", digits, "\uff11\uff12\uff13", false},
		{"a zero byte", digits, "1234\x00", false},
		{"a pasted line end", digits, "12345\n", false},
		{"a sign", digits, "+1234", false},
		{"letters where they are allowed", printable, "Abc-1234", true},
		{"a blank where letters are allowed", printable, "Abc 1234", false},
		{"an accent where letters are allowed", printable, "Abcé1234", false},
		{"no class at all", pin.Rule{Min: 1, Max: 12}, "12345", false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			err := test.rule.Check(newPIN(t, test.secret))
			if (err == nil) != test.ok || (err != nil && !errors.Is(err, pin.ErrFormat)) {
				t.Errorf("Check = %v", err)
			}
		})
	}
	wiped := newPIN(t, "12345")
	wiped.Wipe()
	if err := digits.Check(wiped); !errors.Is(err, pin.ErrWiped) {
		t.Errorf("wiped: %v, want ErrWiped", err)
	}
}
