package cms

import (
	"bytes"
	"errors"
	"testing"
)

func FuzzParse(f *testing.F) {
	s := newSpecimen(f, newKey(f), false)
	f.Add(s.message)
	f.Add(append([]byte{0x30, 0x80}, s.message...))
	f.Add([]byte{0x30, 0x80, 0, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		d, err := Parse(b)
		if err != nil {
			if !errors.Is(err, ErrFormat) && !errors.Is(err, ErrLimit) {
				t.Fatalf("untyped error %v", err)
			}
			return
		}
		for i := range d.SignerInfos {
			if v, err := d.Verify(&d.SignerInfos[i], nil); err == nil {
				t.Fatalf("verified without a digest: %+v", v)
			}
		}
		again, err := d.Append(nil)
		if err != nil {
			t.Fatal(err)
		}
		if !d.Indefinite && !bytes.Equal(again, b) {
			t.Fatalf("parse then append gives\n%x\nfor\n%x", again, b)
		}
		if _, err := Parse(again); err != nil {
			t.Fatalf("own output is refused: %v", err)
		}
	})
}

func FuzzOID(f *testing.F) {
	for _, oid := range []OID{OIDData, OIDSigningCertificateV2, "2.25.99999999", "0.0", "1.39", "2.999"} {
		content, err := oid.appendContent(nil)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(content)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		oid, err := parseOID(b)
		if err != nil {
			return
		}
		again, err := oid.appendContent(nil)
		if err != nil || !bytes.Equal(again, b) {
			t.Fatalf("%x became %s, then %x (%v)", b, oid, again, err)
		}
	})
}
