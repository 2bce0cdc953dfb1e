package nationalid_test

import (
	"testing"

	"github.com/eidbridge/eidbridge/brokers/nationalid"
)

// The identifier vectors of broker.md 13.1 and the rules of 3.7.
func TestParseNIF(t *testing.T) {
	for value, want := range map[string]string{
		"00000000T": "00000000T", "00000001R": "00000001R", "11111111H": "11111111H", "12345678Z": "12345678Z", "99999999R": "99999999R", "99999018D": "99999018D",
		"X0000000T": "X0000000T", "Y0000000Z": "Y0000000Z", "Z0000000M": "Z0000000M", "X1234567L": "X1234567L", "Y1234567X": "Y1234567X", "Z1234567R": "Z1234567R",
		"1R": "00000001R", "0T": "00000000T", "12.345.678-z": "12345678Z", " x-1234567-l ": "X1234567L", "K1234567A": "K1234567A", "M0000000J": "M0000000J",
		"12345678A": "", "12345678": "", "X1234567A": "", "X123456L": "", "W1234567L": "", "123456789Z": "", "": "", "Z": "", "T": "", "１2345678Z": "", "12345678Z\x00": "",
		"A58818501": "", "1234 5678Z;": "", "K123456AA": "", "K12345671": "", "+2345678Z": "",
	} {
		got, err := nationalid.ParseNIF(value)
		if got != want || (err == nil) != (want != "") {
			t.Errorf("%q = %q, %v; want %q", value, got, err, want)
		}
	}
}

func TestParseCIF(t *testing.T) {
	for value, want := range map[string]string{
		"A58818501": "A58818501", "Q2826000H": "Q2826000H", "S2833002E": "S2833002E", "a-58.818.501": "A58818501",
		"A58818502": "", "A5881850A": "", "Q28260008": "", "X1234567L": "", "12345678Z": "", "A588185011": "", "": "", "I58818501": "",
	} {
		got, err := nationalid.ParseCIF(value)
		if got != want || (err == nil) != (want != "") {
			t.Errorf("%q = %q, %v; want %q", value, got, err, want)
		}
	}
	// Those that may have either: digit and letter of the same control.
	for _, value := range []string{"C12345674", "C1234567D", "J12345674", "V1234567D"} {
		if _, err := nationalid.ParseCIF(value); err != nil {
			t.Errorf("%s is refused", value)
		}
	}
}

func FuzzParseNIF(f *testing.F) {
	f.Add("12.345.678-z")
	f.Add("X1234567L")
	f.Fuzz(func(t *testing.T, value string) {
		nif, err := nationalid.ParseNIF(value)
		if err != nil {
			return
		}
		if again, err := nationalid.ParseNIF(nif); err != nil || again != nif || len(nif) != 9 {
			t.Errorf("%q reads as %q, which reads as %q, %v", value, nif, again, err)
		}
	})
}
