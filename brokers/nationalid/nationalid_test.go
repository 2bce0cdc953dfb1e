package nationalid_test

import (
	"strings"
	"testing"
	"time"

	"github.com/eidbridge/eidbridge/brokers/nationalid"
)

// The BSN vectors of broker.md 13.1.
func TestParseBSN(t *testing.T) {
	for number, want := range map[string]string{
		"900029365": "900029365", "999990019": "999990019", "999993653": "999993653", "123456782": "123456782", "111222333": "111222333",
		"12": "000000012", "000000012": "000000012",
		"123456789": "", "000000000": "", "": "", "9000293650": "", "90002936x": "", "٩٠٠": "",
	} {
		got, err := nationalid.ParseBSN(number)
		if got != want || (err == nil) != (want != "") {
			t.Errorf("%q = %q, %v; want %q", number, got, err, want)
		}
	}
}

// The isikukood vectors of broker.md 13.1.
func TestParsePersonalCode(t *testing.T) {
	for code, want := range map[string]struct {
		born   string
		female bool
	}{
		"60001019906": {"2000-01-01", true}, "38001085718": {"1980-01-08", false},
		"38412319871": {"1984-12-31", false}, "50001029996": {"2000-01-02", false},
		"38001010015": {"1980-01-01", false}, // needs the second row of weights
		"60505120110": {"2005-05-12", true},  // both rows give ten
		"60001019907": {}, "6000101990": {}, "600010199060": {}, "": {}, "6000101990a": {},
		"00001019900": {}, "90001019908": {}, "60002309902": {}, "６0001019906": {},
	} {
		got, err := nationalid.ParsePersonalCode(code)
		if want.born == "" {
			if err == nil {
				t.Errorf("%q was read", code)
			}
			continue
		}
		if err != nil || got.Code != code || got.Birthdate.Format(time.DateOnly) != want.born || got.Female != want.female {
			t.Errorf("%q = %+v, %v; want %+v", code, got, err, want)
		}
	}
}

// ETSI EN 319 412-1 5.1.3, and the bare NIF of the DNIe (broker.md 7).
func TestParseSerialNumber(t *testing.T) {
	for _, row := range []struct{ serial, country, key, from, born string }{
		{"PNOEE-60001019906", "EE", "ee-ik:60001019906", "EE", "2000-01-01"},
		{"12345678Z", "ES", "es-nif:12345678Z", "ES", ""},
		{"IDCES-12345678Z", "ES", "es-nif:12345678Z", "ES", ""},
		{"IDCES-12345678z", "FI", "es-nif:12345678Z", "ES", ""},
		{"PNOLV-010101-12345", "EE", "lv-pno:010101-12345", "LV", ""},
		{"PASKK-AB12345", "EE", "kk-pas:AB12345", "KK", ""},
		{"IDCBE-590082394654", "BE", "be-idc:590082394654", "BE", ""},
		{"TINIT-RSSMRA", "IT", "it-tin:RSSMRA", "IT", ""},
		{"PNOEE-60001019907", "EE", "", "", ""},
		{"12345678Z", "EE", "", "", ""},
		{"12345678A", "ES", "", "", ""},
		{"XXXEE-1", "EE", "", "", ""},
		{"PNOEE-", "EE", "", "", ""},
		{"PNOee-60001019906", "EE", "", "", ""},
		{"PNOLV-ā", "LV", "", "", ""},
		{"", "ES", "", "", ""},
	} {
		got, err := nationalid.ParseSerialNumber(row.serial, row.country)
		if row.key == "" {
			if err == nil {
				t.Errorf("%q was read as %+v", row.serial, got)
			}
			continue
		}
		if want := (nationalid.Identity{Key: row.key, Country: row.from, Birthdate: row.born}); err != nil || got != want {
			t.Errorf("%q = %+v, %v; want %+v", row.serial, got, err, want)
		}
	}
}

// O-59: equal people are equal, different people never are. Equality across
// schemes is by declared rule only (broker.md 1.3).
func TestCanonicalJoinsSchemesOnlyByRule(t *testing.T) {
	rules := []nationalid.Equivalence{{Foreign: "eidas:ES/NL/", Scheme: "es-nif"}, {Foreign: "eidas:EE/NL/", Scheme: "ee-ik"}}
	for _, row := range []struct{ key, want string }{
		{"eidas:ES/NL/12345678Z", "es-nif:12345678Z"},
		{"eidas:ES/NL/12345678z", "es-nif:12345678Z"},
		{"eidas:EE/NL/60001019906", "ee-ik:60001019906"},
		{"eidas:ES/NL/12345678A", "eidas:ES/NL/12345678A"}, // no valid NIF: a pseudonym, perhaps
		{"eidas:ES/EE/12345678Z", "eidas:ES/EE/12345678Z"}, // other destination
		{"eidas:FR/NL/12345678Z", "eidas:FR/NL/12345678Z"},
		{"nl-bsn:900029365", "nl-bsn:900029365"},
	} {
		if got := nationalid.Canonical(row.key, rules); got != row.want {
			t.Errorf("%s is %s, want %s", row.key, got, row.want)
		}
		if got := nationalid.Canonical(row.key, nil); got != row.key {
			t.Errorf("%s is %s without any rule", row.key, got)
		}
	}
	for _, wrong := range []nationalid.Equivalence{
		{Foreign: "eidas:ES/NL/", Scheme: "nl-bsn"},
		{Foreign: "eidas:", Scheme: "es-nif"},
		{Foreign: "eidas:ES/", Scheme: "es-nif"},
		{Foreign: "eidas:ES/NL/1", Scheme: "es-nif"},
		{Foreign: "", Scheme: "es-nif"},
		{Foreign: "eidas:FR/NL/", Scheme: "fr-nir"},
		{Foreign: "ee-ik:", Scheme: "es-nif"},
	} {
		if wrong.Check() == nil {
			t.Errorf("%+v was taken", wrong)
		}
		if got := nationalid.Canonical("eidas:ES/NL/12345678Z", []nationalid.Equivalence{wrong}); got != "eidas:ES/NL/12345678Z" {
			t.Errorf("%+v made it %s", wrong, got)
		}
	}
}

// What is read, written and read again is the same person.
func FuzzParseSerialNumber(f *testing.F) {
	for _, s := range []string{"PNOEE-60001019906", "12345678Z", "IDCES-12345678Z", "PNOLV-010101-12345", "PASKK-1"} {
		f.Add(s, "ES")
	}
	f.Fuzz(func(t *testing.T, serial, country string) {
		got, err := nationalid.ParseSerialNumber(serial, country)
		if err != nil {
			if got != (nationalid.Identity{}) {
				t.Error("an error came with an identity")
			}
			return
		}
		scheme, identifier, _ := strings.Cut(got.Key, ":")
		kind := map[string]string{"ee-ik": "PNO", "es-nif": "IDC"}[scheme]
		if kind == "" {
			kind = strings.ToUpper(scheme[len(scheme)-3:])
		}
		again, err := nationalid.ParseSerialNumber(kind+got.Country+"-"+identifier, "")
		if err != nil || again != got {
			t.Errorf("%q reads as %+v, which is written and reads as %+v, %v", serial, got, again, err)
		}
	})
}
