package clave

import "testing"

func TestParsePersonIdentifier(t *testing.T) {
	for value, want := range map[string][2]string{
		"ES/ES/12345678Z": {"ES", "12345678Z"}, "EE/ES/60001019906": {"EE", "60001019906"},
		"ES/NL/12345678Z": {}, "12345678Z": {}, "ES/12345678Z": {}, "ES/ES/": {}, "ES/ES/a/b": {}, "es/ES/1": {}, "E1/ES/1": {}, "ESP/ES/1": {}, "ES/ES/1 2": {}, "ES/ES/ñ": {}, "": {},
	} {
		origin, identifier, err := parsePersonIdentifier(value)
		if origin != want[0] || identifier != want[1] || (err == nil) != (want[0] != "") {
			t.Errorf("%q = %q %q %v", value, origin, identifier, err)
		}
	}
}
