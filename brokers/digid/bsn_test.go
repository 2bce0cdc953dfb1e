package digid

import "testing"

func TestParseNameID(t *testing.T) {
	for nameID, want := range map[string]string{
		"s00000000:900029365": "900029365", "s00000000:999990019": "999990019", "s00000000:999993653": "999993653",
		"s00000000:123456782": "123456782", "s00000000:111222333": "111222333",
		"s00000000:12": "000000012", "s00000000:000000012": "000000012",
		"s00000000:123456789": "", "s00000000:000000000": "", "s00000000:0": "", "s00000000:": "", "s00000000": "", "": "",
		"s00000001:900029365": "", "900029365": "", "S00000000:900029365": "",
		"s00000000:9000293650": "", "s00000000: 90002936": "", "s00000000:90002936x": "", "s00000000:+90002936": "",
		"s00000000:900029365 ": "", "s00000000:٩٠٠": "", "s00000000:s00000000:900029365": "",
	} {
		got, err := parseNameID(nameID)
		if got != want || (err == nil) != (want != "") {
			t.Errorf("%q = %q, %v; want %q", nameID, got, err, want)
		}
	}
}

func FuzzParseNameID(f *testing.F) {
	f.Add("s00000000:900029365")
	f.Fuzz(func(t *testing.T, nameID string) {
		bsn, err := parseNameID(nameID)
		if err != nil {
			return
		}
		if again, err := parseNameID("s00000000:" + bsn); err != nil || again != bsn || len(bsn) != 9 {
			t.Errorf("%q reads as %q, which reads as %q, %v", nameID, bsn, again, err)
		}
	})
}
