package pace

import (
	"bytes"
	"encoding/asn1"
	"errors"
	"strings"
	"testing"

	"github.com/eidbridge/eidbridge/cardreader"
	"github.com/eidbridge/eidbridge/cardreader/pin"
)

const exampleCardAccess = "31143012060A04007F0007020204020202010202010D"

func TestParseCardAccessReadsTheExample(t *testing.T) {
	infos, err := ParseCardAccess(unhex(t, exampleCardAccess))
	if err != nil {
		t.Fatal(err)
	}
	if len(infos) != 1 || infos[0].String() != DNIe().String() || infos[0].Version != 2 || !infos[0].Supported() {
		t.Errorf("got %v", infos)
	}
	raw, err := infos[0].encodedOID()
	if err != nil || !bytes.Equal(raw, unhex(t, "04007F00070202040202")) {
		t.Errorf("OID %X, %v", raw, err)
	}
}

// entry builds a SecurityInfo.
func entry(t testing.TB, values ...any) []byte {
	t.Helper()
	var content []byte
	for _, v := range values {
		der, err := asn1.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		content = append(content, der...)
	}
	return append([]byte{0x30, byte(len(content))}, content...)
}

func set(entries ...[]byte) []byte {
	der, _ := asn1.Marshal(asn1.RawValue{Tag: asn1.TagSet, IsCompound: true, Bytes: bytes.Join(entries, nil)})
	return der
}

func TestParseCardAccessPassesOverOtherProtocols(t *testing.T) {
	chipAuthentication := asn1.ObjectIdentifier{0, 4, 0, 127, 0, 7, 2, 2, 3, 2, 2}
	domainParameters := genericMapping()
	infos, err := ParseCardAccess(set(
		entry(t, chipAuthentication, 1),
		entry(t, domainParameters, []int{1, 2}),
		entry(t, DNIe().OID, 2, 13),
		entry(t, append(genericMapping(), 4), 2),
	))
	if err != nil || len(infos) != 2 || infos[0].Parameter != 13 || infos[1].Parameter != 0 {
		t.Fatalf("got %v, %v", infos, err)
	}
	if infos[1].Supported() {
		t.Error("a variant without domain parameters counts as supported")
	}
}

func TestParseCardAccessRefusesMalformedFiles(t *testing.T) {
	good := unhex(t, exampleCardAccess)
	many := make([][]byte, maxSecurityInfos+1)
	for i := range many {
		many[i] = entry(t, DNIe().OID, 2, 13)
	}
	if _, err := ParseCardAccess(set(many[1:]...)); err != nil {
		t.Errorf("%d entries: %v", maxSecurityInfos, err)
	}
	files := map[string][]byte{
		"trailing byte":          append(bytes.Clone(good), 0),
		"sequence in the place":  append([]byte{0x30}, good[1:]...),
		"entry is no sequence":   set([]byte{0x02, 0x01, 0x02}),
		"entry without OID":      set(entry(t, 2, 13)),
		"version is missing":     set(entry(t, DNIe().OID)),
		"version is text":        set(entry(t, DNIe().OID, "2")),
		"parameter is negative":  set(entry(t, DNIe().OID, 2, -1)),
		"something behind":       set(entry(t, DNIe().OID, 2, 13, 1)),
		"version is enormous":    set(entry(t, DNIe().OID, asn1.RawValue{Tag: 2, Bytes: bytes.Repeat([]byte{0x7F}, 20)})),
		"one entry too many":     set(many...),
		"one byte over the size": make([]byte, maxCardAccess+1),
	}
	for i := range good {
		files["cut to "+strings.Repeat("x", i)] = good[:i]
	}
	for name, file := range files {
		if infos, err := ParseCardAccess(file); !errors.Is(err, ErrCardAccess) {
			t.Errorf("%s: got %v, %v; want ErrCardAccess", name, infos, err)
		}
	}
}

func TestChooseTakesTheStrongestSupported(t *testing.T) {
	integrated := asn1.ObjectIdentifier{0, 4, 0, 127, 0, 7, 2, 2, 4, 4, 4}
	variant := func(suite, parameter int) Info {
		return Info{OID: append(genericMapping(), suite), Version: 2, Parameter: parameter}
	}
	for _, v := range []struct {
		name  string
		infos []Info
		want  Info
	}{
		{"the only one", []Info{DNIe()}, DNIe()},
		{"longer key", []Info{variant(2, 16), variant(4, 12)}, variant(4, 12)},
		{"larger curve", []Info{variant(3, 13), variant(3, 16)}, variant(3, 16)},
		{"the first of equals", []Info{variant(2, 13), variant(2, 12)}, variant(2, 13)},
		{"unknown ones aside", []Info{{OID: integrated, Version: 2, Parameter: 16}, variant(4, 17), variant(1, 13), DNIe()}, DNIe()},
	} {
		got, err := Choose(v.infos)
		if err != nil || got.String() != v.want.String() {
			t.Errorf("%s: got %v, %v", v.name, got, err)
		}
	}
	if _, err := Choose([]Info{variant(4, 17)}); !errors.Is(err, ErrUnsupported) {
		t.Errorf("got %v, want ErrUnsupported", err)
	}
}

func TestPasswordsDeriveTheirKeys(t *testing.T) {
	mrz, err := MRZ("T22000129", "640812", "101031")
	if err != nil {
		t.Fatal(err)
	}
	defer mrz.Wipe()
	for _, v := range []struct {
		password  *Password
		reference byte
		want      string
	}{
		{can(t, "123456"), 2, "591468cda83d65219cccb8560233600f"},
		{mrz, 1, "89DED1B26624EC1E634C1989302849DD"},
	} {
		key, err := v.password.key(16)
		if err != nil || !bytes.Equal(key, unhex(t, v.want)) || v.password.reference != v.reference {
			t.Errorf("%s: got %X, %v", v.password.name, key, err)
		}
	}
	// ICAO Doc 9303-11 appendix G.1.
	secret := unhex(t, "28768D20701247DAE81804C9E780EDE582A9996DB4A315020B2733197DB84925")
	if got := derive(secret, derivesEncryption, 16); !bytes.Equal(got, unhex(t, "F5F0E35C0D7161EE6724EE513A0D9A7F")) {
		t.Errorf("KSenc %X", got)
	}
	if got := derive(secret, derivesMAC, 16); !bytes.Equal(got, unhex(t, "FE251C7858B356B24514B3BD5F4297D1")) {
		t.Errorf("KSmac %X", got)
	}
}

// C-43: what cannot be a password never reaches the card.
func TestC43PasswordsOfAWrongFormAreRefused(t *testing.T) {
	format := func(err error) bool {
		var refused *cardreader.PINError
		return errors.As(err, &refused) && refused.Reason == cardreader.PINFormat
	}
	for _, text := range []string{"12345", "1234567", "12345a", "12 456", "12345\n", "\x00\x00\x00\x00\x00\x00", "١٢٣"} {
		p, err := pin.New([]byte(text))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := CAN(p); !format(err) {
			t.Errorf("CAN %q: got %v", text, err)
		}
		p.Wipe()
	}
	for _, v := range [][3]string{
		{"", "640812", "101031"},
		{"T220001290", "640812", "101031"},
		{"t22000129", "640812", "101031"},
		{"T22000129", "64081", "101031"},
		{"T22000129", "640812", "1010310"},
		{"T22000129", "64/812", "101031"},
	} {
		if _, err := MRZ(v[0], v[1], v[2]); !format(err) {
			t.Errorf("MRZ %q: got %v", v, err)
		}
	}
}

// FuzzParseCardAccess: what is accepted has the form that Establish relies on.
func FuzzParseCardAccess(f *testing.F) {
	f.Add(unhex(f, exampleCardAccess))
	f.Add(set(entry(f, asn1.ObjectIdentifier{0, 4, 0, 127, 0, 7, 2, 2, 3, 2, 2}, 1), entry(f, DNIe().OID, 2, 16)))
	f.Fuzz(func(t *testing.T, file []byte) {
		infos, err := ParseCardAccess(file)
		if err != nil {
			if !errors.Is(err, ErrCardAccess) || infos != nil {
				t.Fatalf("got %v, %v", infos, err)
			}
			return
		}
		for _, info := range infos {
			if info.Parameter < 0 || !isVariant(info.OID) {
				t.Fatalf("accepted %v", info)
			}
			raw, err := info.encodedOID()
			if err != nil || !bytes.Contains(file, raw) {
				t.Fatalf("OID %X is not in the file: %v", raw, err)
			}
		}
	})
}
