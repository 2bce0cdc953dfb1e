package cms

import (
	"crypto"
	"errors"
	"testing"
)

func TestAddUnsignedKeepsTheSignature(t *testing.T) {
	s := newSpecimen(t, newKey(t), false)
	d := mustParse(t, s.message)
	for _, value := range []string{"\x04\x01b", "\x04\x01a"} {
		if err := d.SignerInfos[0].AddUnsigned(OIDSignatureTimeStamp, []byte(value)); err != nil {
			t.Fatal(err)
		}
	}
	raw, err := d.Append(nil)
	if err != nil {
		t.Fatal(err)
	}
	again := mustParse(t, raw)
	si := &again.SignerInfos[0]
	if got := si.UnsignedAttribute(OIDSignatureTimeStamp); len(got) != 2 || string(got[0]) != "\x04\x01a" {
		t.Errorf("attributes %q", got)
	}
	if string(si.signed) != string(mustParse(t, s.message).SignerInfos[0].signed) {
		t.Error("the signed attributes were changed")
	}
	for range maxAttributes {
		err = d.SignerInfos[0].AddUnsigned("1.2.3", []byte{5, 0})
	}
	if !errors.Is(err, ErrLimit) {
		t.Errorf("one attribute over: %v", err)
	}
}

func TestVerifyValueRefusesWeakAndForeignAlgorithms(t *testing.T) {
	s := newSpecimen(t, newKey(t), false)
	si := mustParse(t, s.message).SignerInfos[0]
	for name, a := range map[string][]byte{
		"SHA-1 with RSA":    {0x30, 0x0D, 6, 9, 0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 1, 1, 5, 5, 0},
		"bare RSA":          {0x30, 0x0D, 6, 9, 0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 1, 1, 1, 5, 0},
		"an unknown scheme": {0x30, 4, 6, 2, 0x2A, 3},
	} {
		if err := VerifyValue(crypto.PublicKey(nil), a, si.signedBytes(), si.Signature); !errors.Is(err, ErrAlgorithm) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := VerifyValue(nil, []byte{5, 0}, nil, nil); !errors.Is(err, ErrFormat) {
		t.Errorf("no algorithm: %v", err)
	}
}
