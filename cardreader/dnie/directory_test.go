package dnie

import (
	"bytes"
	_ "embed"
	"encoding/hex"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/eidbridge/eidbridge/cardreader"
	"github.com/eidbridge/eidbridge/cardreader/iso7816"
)

// The directory files of the published specimen card (ctt-gob-es/jmulticard,
// PRKDF_ESPECIMEN.ber and CDF_ESPECIMEN.ber) without their padding.
var (
	//go:embed testdata/specimen-prkdf.bin
	specimenKeys []byte
	//go:embed testdata/specimen-cdf.bin
	specimenCertificates []byte
)

// padded is a directory as it lies on the card.
func padded(content []byte) []byte {
	return append(bytes.Clone(content), make([]byte, 2100-len(content))...)
}

func unhex(t testing.TB, text string) []byte {
	t.Helper()
	raw, err := hex.DecodeString(strings.Join(strings.Fields(text), ""))
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func TestSpecimenDirectoriesLinkKeysAndCertificates(t *testing.T) {
	keys, err := parsePrivateKeys(padded(specimenKeys))
	if err != nil || len(keys) != 2 {
		t.Fatalf("got %d keys, %v", len(keys), err)
	}
	certificates, err := parseCertificates(padded(specimenCertificates))
	if err != nil || len(certificates) != 3 {
		t.Fatalf("got %d certificates, %v", len(certificates), err)
	}
	want := []struct {
		usage     cardreader.Usage
		reference [2]byte
		file      path
	}{
		{cardreader.UsageAuthentication, [2]byte{1, 1}, path{0x6061, 0x7001}},
		{cardreader.UsageSignature, [2]byte{1, 2}, path{0x6061, 0x7002}},
	}
	linked := link(keys, certificates)
	if len(linked) != len(want) {
		t.Fatalf("%d keys with a certificate, want 2", len(linked))
	}
	for i, e := range linked {
		if e.key.usage != want[i].usage || e.key.reference != want[i].reference || !slices.Equal(e.certificate.file, want[i].file) {
			t.Errorf("entry %d: %+v", i, e)
		}
	}
	if got := certificates[2].id[:1]; got != "S" || !slices.Equal(certificates[2].file, path{0x6061, 0x7003}) {
		t.Errorf("authority: %+v", certificates[2])
	}
}

func TestSpecimenSubjectGivesTheHolder(t *testing.T) {
	certificates, err := parseCertificates(specimenCertificates)
	if err != nil {
		t.Fatal(err)
	}
	data, err := parseSubject(certificates[0].subject)
	if err != nil {
		t.Fatal(err)
	}
	want := cardreader.PersonalData{
		Surname:      "ESPECIMEN SPECIMEN SPÉCIMEN ESPECIMEN SPECIMEN SPÉCIMEN",
		GivenNames:   "FICTICIO FICTITIOUS FICTIF",
		PersonalCode: "99999002Q",
	}
	if *data != want {
		t.Errorf("got %+v", *data)
	}
	// The authority's subject has no person in it.
	if _, err := parseSubject(certificates[2].subject); err != nil {
		t.Error(err)
	}
}

func TestDirectoryIsWholeAtItsFirstZero(t *testing.T) {
	file := padded(specimenCertificates)
	for n := range file {
		if want := n > len(specimenCertificates); whole(file[:n]) != want {
			t.Fatalf("%d of %d bytes: whole is %v", n, len(file), !want)
		}
	}
	if garbled := append(padded(specimenKeys), 0x30, 0xFF); len(must(t, garbled)) != 2 {
		t.Error("what follows the end of a directory must not matter")
	}
	if len(must(t, append(bytes.Clone(specimenKeys), 0xFF, 0x30))) != 2 {
		t.Error("FF ends a directory, too")
	}
}

func must(t *testing.T, file []byte) []keyEntry {
	t.Helper()
	keys, err := parsePrivateKeys(file)
	if err != nil {
		t.Fatal(err)
	}
	return keys
}

// Threats C-23, C-32: every prefix and every changed length is an error or gives
// objects that are wholly there.
func TestDirectoryLengthsAreNotBelieved(t *testing.T) {
	for n := 1; n < len(specimenKeys); n++ {
		keys, err := parsePrivateKeys(specimenKeys[:n])
		if n == 99 { // the first object's end
			if err != nil || len(keys) != 1 {
				t.Errorf("first object alone: %d keys, %v", len(keys), err)
			}
			continue
		}
		if !errors.Is(err, iso7816.ErrContent) {
			t.Errorf("%d bytes: got %v, want ErrContent", n, err)
		}
	}
	for name, text := range map[string]string{
		"length beyond the data":      "30 84 7FFFFFFF 30",
		"indefinite length":           "30 80 0000",
		"length of 5 bytes":           "30 85 0000000000",
		"high tag number":             "1F FF FF 00",
		"no type attributes":          "30 07 3000 3003 0401 41",
		"empty iD":                    "30 12 3000 3006 0400 0302 0520 A106 3004 3002 0400",
		"usage is no bit string":      "30 12 3000 3007 0401 41 0202 0520 A105 3003 3001 04",
		"path of odd length":          "30 17 3000 3007 0401 41 0302 0520 A10A 3008 3006 0403 3F1101 00",
		"unused bits without a byte":  "30 16 3000 3006 0401 41 0301 07 A10A 3008 3006 0404 3F110101",
		"something behind the object": "30 19 3000 3007 0401 41 0302 0520 A10A 3008 3006 0404 3F110101 0500",
	} {
		if keys, err := parsePrivateKeys(unhex(t, text)); !errors.Is(err, iso7816.ErrContent) {
			t.Errorf("%s: got %v, %v, want ErrContent", name, keys, err)
		}
	}
}

func TestDirectoryHasBounds(t *testing.T) {
	entry := unhex(t, "30 17 3000 3007 0401 41 0302 0520 A10A 3008 3006 0404 3F110101")
	if keys, err := parsePrivateKeys(bytes.Repeat(entry, maxEntries)); err != nil || len(keys) != maxEntries {
		t.Errorf("%d objects: %v", maxEntries, err)
	}
	if _, err := parsePrivateKeys(bytes.Repeat(entry, maxEntries+1)); !errors.Is(err, iso7816.ErrContent) {
		t.Errorf("one object more: %v", err)
	}
	if _, err := parsePrivateKeys(make([]byte, maxDirectory+1)); !errors.Is(err, iso7816.ErrContent) {
		t.Errorf("one byte more: %v", err)
	}
	if _, _, err := parseObjects(make([]byte, maxDirectory+1)); !errors.Is(err, iso7816.ErrContent) {
		t.Errorf("one byte more in the ODF: %v", err)
	}
	// Threat C-24.
	nested := bytes.Repeat([]byte{0x30, 0x83, 0x01, 0x00, 0x00}, 3000)
	if _, err := parsePrivateKeys(nested); !errors.Is(err, iso7816.ErrContent) {
		t.Errorf("nested objects: %v", err)
	}
}

func TestUsageOfAKey(t *testing.T) {
	for bits, want := range map[string]cardreader.Usage{
		"0302 0520":   cardreader.UsageAuthentication,
		"0303 063000": cardreader.UsageAuthentication,
		"0303 063040": cardreader.UsageSignature,
		"0303 060040": cardreader.UsageSignature,
		"0302 0640":   "", // decrypts
		"0301 00":     "",
	} {
		usage := unhex(t, bits)
		class := append(unhex(t, "0401 41"), usage...)
		body := append(append(append(unhex(t, "3000 30"), byte(len(class))), class...), unhex(t, "A10A 3008 3006 0404 3F110101")...)
		keys := must(t, append([]byte{0x30, byte(len(body))}, body...))
		if len(keys) != 1 || keys[0].usage != want {
			t.Errorf("%s: %+v, want %q", bits, keys, want)
		}
	}
}

func TestSecondKeyOfAUsageIsLeftOut(t *testing.T) {
	signing := cardreader.UsageSignature
	linked := link(
		[]keyEntry{{id: "a", usage: signing, reference: [2]byte{1, 1}}, {id: "b", usage: signing}, {id: "c"}, {id: "d", usage: cardreader.UsageAuthentication}},
		[]certificateEntry{{id: "a"}, {id: "a"}, {id: "b"}, {id: "c"}},
	)
	if len(linked) != 1 || linked[0].key.reference != [2]byte{1, 1} {
		t.Errorf("got %+v", linked)
	}
}

func TestPathsOfADirectory(t *testing.T) {
	for text, want := range map[string]path{
		"60617001":             {0x6061, 0x7001},
		"3F0060617001":         {0x6061, 0x7001},
		"7001":                 {0x5015, 0x7001},
		"3F00":                 nil,
		"":                     nil,
		"60":                   nil,
		"3F000001000200030004": {1, 2, 3, 4},
		"00010002000300040005": nil,
	} {
		got, ok := parsePath(unhex(t, text))
		if ok != (want != nil) || ok && !slices.Equal(got, want) {
			t.Errorf("%s: got %x, %v", text, got, ok)
		}
	}
}

func TestObjectDirectoryNamesTheOthers(t *testing.T) {
	keys, certificates, err := parseObjects(unhex(t, "A40A 3008 0406 3F0050156004 A006 3004 0402 6001 A8083006 0404 50156003 00"))
	if err != nil || !slices.Equal(keys, path{0x5015, 0x6001}) || !slices.Equal(certificates, path{0x5015, 0x6004}) {
		t.Errorf("got %x, %x, %v", keys, certificates, err)
	}
	for _, text := range []string{"A4", "A4023000", "A406300404026", "A4083006040450", "A4063004040260"} {
		if len(text)%2 == 1 {
			text += "0"
		}
		if _, _, err := parseObjects(unhex(t, text)); !errors.Is(err, iso7816.ErrContent) {
			t.Errorf("%s: %v", text, err)
		}
	}
}

// Threat C-31: what a subject shows is printable, bounded text.
func TestSubjectRefusesWhatIsNoPlainText(t *testing.T) {
	name := func(tag byte, value string) []byte {
		attribute := append([]byte{0x06, 0x03, 0x55, 0x04, 0x04, tag, byte(len(value))}, value...)
		set := append([]byte{0x31, byte(len(attribute) + 2), 0x30, byte(len(attribute))}, attribute...)
		return append([]byte{0x30, byte(len(set))}, set...)
	}
	if data, err := parseSubject(name(0x0C, "PÉREZ")); err != nil || data.Surname != "PÉREZ" {
		t.Errorf("plain name: %+v, %v", data, err)
	}
	for what, der := range map[string][]byte{
		"NUL":            name(0x0C, "A\x00B"),
		"newline":        name(0x13, "A\nB"),
		"bidi override":  name(0x0C, "A\u202eB"),
		"no UTF-8":       name(0x0C, "A\xff"),
		"empty":          name(0x0C, ""),
		"other string":   name(0x1E, "\x00A"),
		"nothing":        {},
		"something more": append(name(0x0C, "A"), 0),
	} {
		if _, err := parseSubject(der); !errors.Is(err, iso7816.ErrContent) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

func FuzzDirectories(f *testing.F) {
	f.Add(specimenKeys)
	f.Add(specimenCertificates)
	f.Add(unhex(f, "A40A 3008 0406 3F0050156004 A006 3004 0402 6001"))
	f.Fuzz(func(t *testing.T, file []byte) {
		if keys, err := parsePrivateKeys(file); err == nil {
			for _, key := range keys {
				if key.id == "" || !bytes.Contains(file, key.reference[:]) {
					t.Errorf("key %+v is not in the file", key)
				}
			}
		}
		if certificates, err := parseCertificates(file); err == nil {
			for _, c := range certificates {
				if len(c.file) == 0 || len(c.file) > maxPath || !bytes.Contains(file, c.subject) {
					t.Errorf("certificate %+v is not in the file", c)
				}
				if data, err := parseSubject(c.subject); err == nil && len(data.GivenNames) > maxName {
					t.Error("name is too long")
				}
			}
		}
		if keys, certificates, err := parseObjects(file); err == nil && (len(keys) > maxPath || len(certificates) > maxPath) {
			t.Error("path is too long")
		}
		// Reading on never takes the end back.
		if whole(file) && !whole(append(bytes.Clone(file), 0x30)) {
			t.Error("end of the directory moved")
		}
	})
}
