package desktop_test

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"testing"
	"time"

	"github.com/eidbridge/eidbridge/desktop"
)

func TestHolderOf(t *testing.T) {
	k := newKey(t, time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC))
	h := desktop.HolderOf(k.certificate)
	if h.Name != "JAAK-KRISTJAN JÕEORG" || h.Number != "PNOEE-••••••••718" || h.Initials != "J. J." || h.Country != "EE" || h.Qualified {
		t.Errorf("holder is %+v", h)
	}
	plain := *k.certificate
	plain.Subject = pkix.Name{CommonName: "JÕEORG,JAAK-KRISTJAN,38001085718", SerialNumber: "12345"}
	if h := desktop.HolderOf(&plain); h.Name != "JÕEORG,JAAK-KRISTJAN,•••••••••••" || h.Number != "•••••" {
		t.Errorf("holder is %+v", h)
	}
}

// The statements of EN 319 412-5: compliance 1, device 4, type 6 with eSign 6.1
// or eSeal 6.2.
func TestQualifiedMeansComplianceDeviceAndSignatures(t *testing.T) {
	statement := func(arc int, info ...asn1.RawValue) []byte {
		type s struct {
			ID   asn1.ObjectIdentifier
			Info []asn1.RawValue `asn1:"optional,omitempty"`
		}
		der, err := asn1.Marshal(s{asn1.ObjectIdentifier{0, 4, 0, 1862, 1, arc}, info})
		if err != nil {
			t.Fatal(err)
		}
		return der
	}
	kind := func(arc int) asn1.RawValue {
		der, err := asn1.Marshal(asn1.ObjectIdentifier{0, 4, 0, 1862, 1, 6, arc})
		if err != nil {
			t.Fatal(err)
		}
		return asn1.RawValue{FullBytes: der}
	}
	for _, row := range []struct {
		name       string
		statements [][]byte
		want       bool
	}{
		{"all", [][]byte{statement(1), statement(4), statement(6, kind(1))}, true},
		{"no type", [][]byte{statement(1), statement(4)}, true},
		{"seal", [][]byte{statement(1), statement(4), statement(6, kind(2))}, false},
		{"no device", [][]byte{statement(1), statement(6, kind(1))}, false},
		{"not qualified", [][]byte{statement(4), statement(6, kind(1))}, false},
		{"garbage", [][]byte{{0x30, 0x80}}, false},
		{"none", nil, false},
	} {
		var body []byte
		for _, s := range row.statements {
			body = append(body, s...)
		}
		der, err := asn1.Marshal(asn1.RawValue{Class: asn1.ClassUniversal, Tag: asn1.TagSequence, IsCompound: true, Bytes: body})
		if err != nil {
			t.Fatal(err)
		}
		c := &x509.Certificate{KeyUsage: x509.KeyUsageContentCommitment, Extensions: []pkix.Extension{
			{Id: asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 1, 3}, Value: der},
		}}
		if got := desktop.HolderOf(c).Qualified; got != row.want {
			t.Errorf("%s: %v, want %v", row.name, got, row.want)
		}
		c.KeyUsage = x509.KeyUsageDigitalSignature
		if desktop.HolderOf(c).Qualified {
			t.Errorf("%s: qualified without content commitment", row.name)
		}
	}
}
