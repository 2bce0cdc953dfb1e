package tlv_test

import (
	"bytes"
	"encoding/hex"
	"errors"
	"strings"
	"testing"

	"github.com/eidbridge/eidbridge/cardreader/tlv"
)

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	raw, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func TestFindFollowsPath(t *testing.T) {
	tests := []struct {
		name string
		data string
		path []tlv.Tag
		want string
	}{
		{"file length of an IDEMIA card", "6204 80020407", []tlv.Tag{0x62, 0x80}, "0407"},
		{
			"tries of a recorded Estonian card",
			"701EBF81011AA0189A01039B0102A1108C06F300007343009C06F30000734300",
			[]tlv.Tag{0x70, 0xBF8101, 0xA0, 0x9B},
			"02",
		},
		{
			"tries of a recorded Finnish card",
			"A023830111 8C04F0000000 9C04F0000000 DF210405FFA503 DF2702FFFF DF28010C DF2F0101",
			[]tlv.Tag{0xA0, 0xDF21},
			"05FFA503",
		},
		{"length in more bytes than needed", "04 83000002 AABB", []tlv.Tag{0x04}, "AABB"},
		{"the first of two", "0401AA 0401BB", []tlv.Tag{0x04}, "AA"},
		{"an empty value", "0400", []tlv.Tag{0x04}, ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got, err := tlv.Find(unhex(t, test.data), test.path...)
			if err != nil || !bytes.Equal(got, unhex(t, test.want)) {
				t.Errorf("Find = %X, %v; want %s", got, err, test.want)
			}
		})
	}
}

// Threat C-23: lengths and tags that lie.
func TestParseRefusesMalformedData(t *testing.T) {
	tests := []struct{ name, data string }{
		{"a tag without a length", "62"},
		{"a length beyond the data", "6203 8000"},
		{"a length of four bytes beyond the data", "6284FFFFFFFF 00"},
		{"the indefinite form", "6280 0000"},
		{"a length of five bytes", "62 850000000001 00"},
		{"the length byte FF", "62FF 00"},
		{"a length field cut off", "6282 01"},
		{"a tag of four bytes", "1FFFFFFF 0100"},
		{"a tag cut off", "1F"},
		{"a tag number with leading zeros", "1F8001 00"},
		{"tag 00", "0000"},
		{"a byte left over", "0401AA 04"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if got, err := tlv.Parse(unhex(t, test.data)); !errors.Is(err, tlv.ErrMalformed) {
				t.Errorf("Parse = %v, %v; want ErrMalformed", got, err)
			}
		})
	}
}

func nested(depth int) []byte {
	data := []byte{0x04, 0x00}
	for range depth - 1 {
		data = tlv.Append(nil, 0x30, data)
	}
	return data
}

// Threat C-24: nesting without end.
func TestChildrenEndAtMaxDepth(t *testing.T) {
	descend := func(data []byte) error {
		elements, err := tlv.Parse(data)
		for err == nil && elements[0].Tag.Constructed() {
			elements, err = elements[0].Children()
		}
		return err
	}
	if err := descend(nested(tlv.MaxDepth)); err != nil {
		t.Errorf("%d levels: %v", tlv.MaxDepth, err)
	}
	for _, depth := range []int{tlv.MaxDepth + 1, 1000} {
		if err := descend(nested(depth)); !errors.Is(err, tlv.ErrMalformed) {
			t.Errorf("%d levels: %v, want ErrMalformed", depth, err)
		}
	}
	path := make([]tlv.Tag, tlv.MaxDepth+1)
	for i := range path {
		path[i] = 0x30
	}
	if _, err := tlv.Find(nested(1000), path...); !errors.Is(err, tlv.ErrMalformed) {
		t.Errorf("Find along %d levels: %v, want ErrMalformed", len(path), err)
	}
}

func TestParseBoundsTheNumberOfElements(t *testing.T) {
	if _, err := tlv.Parse(bytes.Repeat([]byte{4, 0}, tlv.MaxElements)); err != nil {
		t.Errorf("%d elements: %v", tlv.MaxElements, err)
	}
	if _, err := tlv.Parse(bytes.Repeat([]byte{4, 0}, tlv.MaxElements+1)); !errors.Is(err, tlv.ErrMalformed) {
		t.Errorf("one more: %v, want ErrMalformed", err)
	}
}

func TestFindTellsWhatIsMissing(t *testing.T) {
	if _, err := tlv.Find(unhex(t, "0401AA"), 0x80); !errors.Is(err, tlv.ErrNotFound) {
		t.Errorf("Find = %v, want ErrNotFound", err)
	}
	if _, err := tlv.Parse(unhex(t, "0401AA")); err != nil {
		t.Fatal(err)
	}
	elements, _ := tlv.Parse(unhex(t, "0401AA"))
	if _, err := elements[0].Children(); !errors.Is(err, tlv.ErrMalformed) {
		t.Errorf("Children of a primitive element: %v, want ErrMalformed", err)
	}
}

func TestAppendUsesTheShortestLength(t *testing.T) {
	for size, field := range map[int]string{
		0: "00", 0x7F: "7F", 0x80: "8180", 0xFF: "81FF", 0x100: "820100", 0xFFFF: "82FFFF", 0x10000: "83010000", 1 << 24: "8401000000",
	} {
		got := tlv.Append(nil, 0x5F1F, make([]byte, size))
		want := append([]byte{0x5F, 0x1F}, unhex(t, field)...)
		if !bytes.HasPrefix(got, want) || len(got) != len(want)+size {
			t.Errorf("%d bytes: %X…, want %X", size, got[:len(want)], want)
		}
	}
}

// The property: what was parsed and written again means the same, is never
// longer, and is the input itself when that was in the shortest form.
func FuzzParse(f *testing.F) {
	for _, seed := range []string{
		"6204 80020407", "6204 81020407", "0409 4E30303030303031",
		"701EBF81011AA0189A01039B0103A1108C06F300007343009C06F30000734300",
		"A023830111 8C04F0000000 9C04F0000000 DF210405FFA503 DF2702FFFF DF28010C DF2F0101",
		"A406300404027005A006300404027001", "300AA1083006300404023401", "04820001AA", "1F8100", "6280 0000",
	} {
		raw, _ := hex.DecodeString(strings.ReplaceAll(seed, " ", ""))
		f.Add(raw)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		elements, err := tlv.Parse(data)
		if err != nil {
			if !errors.Is(err, tlv.ErrMalformed) {
				t.Fatalf("error of another kind: %v", err)
			}
			return
		}
		var written []byte
		for _, e := range elements {
			written = tlv.Append(written, e.Tag, e.Value)
			if e.Tag.Constructed() {
				_, _ = e.Children()
			}
		}
		if len(written) > len(data) {
			t.Fatalf("%X became longer: %X", data, written)
		}
		if len(written) == len(data) && !bytes.Equal(written, data) {
			t.Fatalf("%X became %X", data, written)
		}
		again, err := tlv.Parse(written)
		if err != nil || len(again) != len(elements) {
			t.Fatalf("%X does not parse again: %v", written, err)
		}
		for i := range again {
			if again[i].Tag != elements[i].Tag || !bytes.Equal(again[i].Value, elements[i].Value) {
				t.Fatalf("element %d of %X changed", i, data)
			}
		}
	})
}

func TestNextLeavesWhatFollows(t *testing.T) {
	e, rest, err := tlv.Next([]byte{0x30, 0x03, 0x04, 0x01, 0x45, 0x00, 0xFF})
	if err != nil || e.Tag != 0x30 || !bytes.Equal(rest, []byte{0x00, 0xFF}) {
		t.Errorf("Next = %v, % X, %v", e.Tag, rest, err)
	}
	if children, err := e.Children(); err != nil || len(children) != 1 || children[0].Tag != 0x04 {
		t.Errorf("Children = %v, %v", children, err)
	}
	for _, bad := range [][]byte{nil, {0x00}, {0x30}, {0x30, 0x80}, {0x30, 0x05, 0x01}, {0x1F, 0xFF, 0xFF, 0xFF}} {
		if _, _, err := tlv.Next(bad); !errors.Is(err, tlv.ErrMalformed) {
			t.Errorf("% X: %v, want ErrMalformed", bad, err)
		}
	}
}
