package cwa14890

import (
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"testing"
)

func TestParseKeySetsRefusesContradictions(t *testing.T) {
	l := newLab(t)
	other := generate()
	hexOf := func(raw []byte) string { return hex.EncodeToString(raw) }
	for _, v := range []struct {
		name   string
		change func(*keySetFile)
	}{
		{"no sets", func(f *keySetFile) { f.KeySets = nil }},
		{"root is not hexadecimal", func(f *keySetFile) { f.KeySets[0].Root.Modulus = "no" }},
		{"root is short", func(f *keySetFile) { f.KeySets[0].Root.Modulus = "01" }},
		{"other root", func(f *keySetFile) { f.KeySets[0].Root.Modulus = hexOf(other.n.Bytes()) }},
		{"authority is missing", func(f *keySetFile) { f.KeySets[0].Authority.Certificate = "" }},
		{"authority has a terminal's role", func(f *keySetFile) {
			f.KeySets[0].Authority.Certificate = hexOf(issue(l.root, labRootReference, labAuthorityReference, 0x02, l.authority.n))
		}},
		{"terminal of another authority", func(f *keySetFile) {
			f.KeySets[0].User.Certificate = hexOf(issue(other, labAuthorityReference, vectorTerminalSerial, 0x02, l.user.n))
		}},
		{"terminal names another authority", func(f *keySetFile) {
			f.KeySets[0].User.Certificate = hexOf(issue(l.authority, labRootReference, vectorTerminalSerial, 0x02, l.user.n))
		}},
		{"PIN terminal in the place of the user terminal", func(f *keySetFile) { f.KeySets[0].User = f.KeySets[0].PIN }},
		{"modulus of another key", func(f *keySetFile) { f.KeySets[0].User.Modulus = hexOf(other.n.Bytes()) }},
		{"exponent of another key", func(f *keySetFile) { f.KeySets[0].User.PrivateExponent = hexOf(other.d.Bytes()) }},
		{"exponent is too long", func(f *keySetFile) { f.KeySets[0].User.PrivateExponent = strings.Repeat("01", 129) }},
		{"exponent is not hexadecimal", func(f *keySetFile) { f.KeySets[0].User.PrivateExponent = "secret" }},
	} {
		_, err := ParseKeySets(l.keySets(t, v.change))
		if !errors.Is(err, ErrKeySet) {
			t.Errorf("%s: got %v, want ErrKeySet", v.name, err)
		}
		if strings.Contains(fmt.Sprint(err), "secret") {
			t.Errorf("%s: error holds a value: %v", v.name, err)
		}
	}
	for name, file := range map[string][]byte{
		"empty":          nil,
		"not JSON":       []byte("{"),
		"unknown field":  []byte(`{"source": "", "keySets": [], "secret": "00"}`),
		"something more": append(l.keySets(t, nil), "{}"...),
		"one byte over":  append(l.keySets(t, nil), make([]byte, maxKeySets+1-len(l.file))...),
	} {
		if _, err := ParseKeySets(file); !errors.Is(err, ErrKeySet) {
			t.Errorf("%s: got %v, want ErrKeySet", name, err)
		}
	}
}

func TestKeySetWithoutPINChannelSaysSo(t *testing.T) {
	l := newLab(t)
	sets, err := ParseKeySets(l.keySets(t, func(f *keySetFile) { f.KeySets[0].PIN = nil }))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := sets[0].Terminal(RolePIN); !errors.Is(err, ErrKeySet) {
		t.Errorf("got %v, want ErrKeySet", err)
	}
	if _, err := sets[0].Terminal(RoleUser); err != nil {
		t.Error(err)
	}
}

func TestTerminalPrintsNoKey(t *testing.T) {
	l := newLab(t)
	terminal, err := l.set.Terminal(RolePIN)
	if err != nil {
		t.Fatal(err)
	}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s"} {
		if got, want := fmt.Sprintf(verb, terminal), "terminal 0102030405060708, role 08"; got != want {
			t.Errorf("%s: got %q, want %q", verb, got, want)
		}
	}
}

func TestGenerationFollowsIDESP(t *testing.T) {
	for idesp, want := range map[string]int{
		"":          2, // unreadable
		"BMP100000": 1,
		"BMP100001": 2,
		"BMP100002": 2,
		"AAA999999": 1,
		"CAA000000": 2,
	} {
		if got := GenerationFor(idesp); got != want {
			t.Errorf("%q: got %d, want %d", idesp, got, want)
		}
	}
}
