package pdf

import "testing"

// TestPasswordsOfOldDocumentsAreInTheirEncoding: every character of PDFDocEncoding, and
// none else, has its byte (ISO 32000-2 7.6.4.3.2 and Annex D.3).
func TestPasswordsOfOldDocumentsAreInTheirEncoding(t *testing.T) {
	for c := range 256 {
		r := docEncoding(byte(c))
		got := docEncoded([]byte(string(r)))
		if defined := c != 0x7F && c != 0x9F && c != 0xAD; (len(got) == 1 && got[0] == byte(c)) != defined {
			t.Errorf("%q, which is %#02x, becomes %x", r, c, got)
		}
	}
	if got := docEncoded([]byte("Łó€\u0301б")); got != nil {
		t.Errorf("what has no byte becomes %x", got)
	}
}
