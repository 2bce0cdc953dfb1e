package cms

import (
	"bytes"
	"errors"
	"testing"
	"time"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"
)

// TestParseAcceptsIndefiniteOuterLengths wraps a message as streaming signers
// do, with and without the padding of a PDF.
func TestParseAcceptsIndefiniteOuterLengths(t *testing.T) {
	s := newSpecimen(t, newKey(t), false)
	in := cryptobyte.String(s.message)
	var outer, tagged, inner cryptobyte.String
	var oid OID
	if !in.ReadASN1(&outer, asn1.SEQUENCE) || !ReadOID(&outer, &oid) || !outer.ReadASN1(&tagged, explicit(0)) || !tagged.ReadASN1(&inner, asn1.SEQUENCE) {
		t.Fatal("cannot take the message apart")
	}
	var b cryptobyte.Builder
	addOID(&b, OIDSignedData)
	ber := append([]byte{0x30, 0x80}, b.BytesOrPanic()...)
	ber = append(ber, 0xA0, 0x80, 0x30, 0x80)
	ber = append(ber, inner...)
	ber = append(ber, make([]byte, 6)...)
	d := mustParse(t, ber)
	if _, err := d.Verify(&d.SignerInfos[0], s.digest()); err != nil || !d.Indefinite {
		t.Errorf("indefinite %v, %v", d.Indefinite, err)
	}
	for name, message := range map[string][]byte{"DER": s.message, "BER": ber} {
		if _, padding, err := ParsePadded(append(bytes.Clone(message), make([]byte, 11)...)); err != nil || padding != 11 {
			t.Errorf("%s: padding %d, %v", name, padding, err)
		}
		if _, _, err := ParsePadded(append(append(bytes.Clone(message), make([]byte, 11)...), 1)); !errors.Is(err, ErrFormat) {
			t.Errorf("%s with a byte behind the padding: %v", name, err)
		}
		if _, err := Parse(append(bytes.Clone(message), 0)); !errors.Is(err, ErrFormat) {
			t.Errorf("%s with a byte behind: %v", name, err)
		}
		if _, err := Parse(message[:len(message)-1]); !errors.Is(err, ErrFormat) {
			t.Errorf("%s without its last byte: %v", name, err)
		}
	}
}

// TestParseIsBounded goes one over each ceiling (P-76).
func TestParseIsBounded(t *testing.T) {
	s := newSpecimen(t, newKey(t), false)
	rebuilt := func(change func(*SignedData)) error {
		d := mustParse(t, s.message)
		change(d)
		message, err := d.Append(nil)
		if err != nil {
			t.Fatal(err)
		}
		_, err = Parse(message)
		return err
	}
	certificates := func(n, size int) func(*SignedData) {
		return func(d *SignedData) {
			var b cryptobyte.Builder
			b.AddASN1(asn1.OCTET_STRING, func(b *cryptobyte.Builder) { b.AddBytes(make([]byte, size)) })
			d.Certificates = nil
			for range n {
				d.Certificates = append(d.Certificates, b.BytesOrPanic())
			}
		}
	}
	signers := func(n int) func(*SignedData) {
		return func(d *SignedData) {
			for len(d.SignerInfos) < n {
				d.SignerInfos = append(d.SignerInfos, d.SignerInfos[0])
			}
		}
	}
	unsigned := func(n int) func(*SignedData) {
		return func(d *SignedData) {
			var all [][]byte
			for range n {
				all = append(all, attribute("1.2.3", func(*cryptobyte.Builder) {}))
			}
			var b cryptobyte.Builder
			addSet(&b, explicit(1), all)
			d.SignerInfos[0].unsigned = b.BytesOrPanic()
		}
	}
	for _, c := range []struct {
		name          string
		within, above func(*SignedData)
	}{
		{"certificates", certificates(maxCertificates, 8), certificates(maxCertificates+1, 8)},
		{"certificate size", certificates(1, maxCertificate-4), certificates(1, maxCertificate-3)},
		{"signers", signers(maxSigners), signers(maxSigners + 1)},
		{"attributes", unsigned(maxAttributes), unsigned(maxAttributes + 1)},
	} {
		t.Run(c.name, func(t *testing.T) {
			if err := rebuilt(c.within); err != nil {
				t.Errorf("at the limit: %v", err)
			}
			if err := rebuilt(c.above); !errors.Is(err, ErrLimit) {
				t.Errorf("one over: %v", err)
			}
		})
	}
	if _, err := Parse(make([]byte, maxMessage+1)); !errors.Is(err, ErrLimit) {
		t.Errorf("over-long message: %v", err)
	}
	for name, deep := range map[string][]byte{
		"100 000 levels":  append(bytes.Repeat([]byte{0x30, 0x80}, 100_000), make([]byte, 200_000)...),
		"never ending":    bytes.Repeat([]byte{0x30, 0x80}, 1_000_000),
		"never ending 24": bytes.Repeat([]byte{0x24, 0x80}, 1_000_000),
		"12 MB":           bytes.Repeat([]byte{0x24, 0x80}, 6_000_000),
	} {
		want := ErrFormat
		if len(deep) > maxMessage {
			want = ErrLimit
		}
		took := time.Hour
		for range 5 { // the machine may have other things to do
			begin := time.Now()
			if _, err := Parse(deep); !errors.Is(err, want) {
				t.Errorf("%s: %v", name, err)
			}
			took = min(took, time.Since(begin))
		}
		if took > 2*time.Second { // what is not linear takes minutes
			t.Errorf("%s: refused after %s", name, took)
		}
	}
}

// TestDepthIsBounded (P-76): indefinite lengths nest 32 deep.
func TestDepthIsBounded(t *testing.T) {
	nested := func(levels int) []byte {
		return append(bytes.Repeat([]byte{0x30, 0x80}, levels), make([]byte, 2*levels)...)
	}
	if _, _, err := definiteElements(nested(maxDepth-1), 2*2*(maxDepth-1), 0); err != nil {
		t.Errorf("%d levels: %v", maxDepth-1, err)
	}
	for _, levels := range []int{maxDepth + 1, 1_000, 100_000} {
		if _, _, err := definiteElements(nested(levels), 2*2*levels, 0); !errors.Is(err, ErrLimit) {
			t.Errorf("%d levels: %v", levels, err)
		}
	}
}

// TestElementsStayWithinWhatIsAroundThem makes the length of every constructed
// element one octet shorter. The reader that takes indefinite lengths must not read
// on past its end, and so mend the message.
func TestElementsStayWithinWhatIsAroundThem(t *testing.T) {
	s := newSpecimen(t, newKey(t), false)
	var shortened int
	var walk func(from, to int)
	walk = func(from, to int) {
		for from < to {
			in := cryptobyte.String(s.message[from:to])
			var element cryptobyte.String
			var tag asn1.Tag
			if !in.ReadAnyASN1Element(&element, &tag) {
				t.Fatal("cannot take the message apart")
			}
			next := from + len(element)
			if tag&0x20 != 0 {
				content := element
				if !content.ReadASN1(&content, tag) {
					t.Fatal("cannot take the message apart")
				}
				if len(content) > 0 {
					bent := bytes.Clone(s.message)
					bent[next-len(content)-1]-- // the last octet of its length
					shortened++
					d, err := Open(bytes.NewReader(bent), int64(len(bent)))
					if err == nil { // certificates and values of attributes are read later
						_, err = d.Verify(&d.SignerInfos[0], s.digest())
					}
					if err == nil {
						t.Errorf("element %#x at %d, one octet shorter, is verified", tag, from)
					}
				}
				walk(next-len(content), next)
			}
			from = next
		}
	}
	walk(0, len(s.message))
	if shortened < 10 {
		t.Errorf("%d elements", shortened)
	}
}
