package cms

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"flag"
	"math/big"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"
)

var update = flag.Bool("update", false, "rewrite the golden files")

var testTime = time.Date(2026, 3, 4, 8, 20, 30, 0, time.UTC)

func certificate(t testing.TB, key crypto.Signer, serial int64) *x509.Certificate {
	t.Helper()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: "Lab Signer"},
		NotBefore: testTime, NotAfter: testTime.AddDate(1, 0, 0), SubjectKeyId: []byte{1, 2, 3, byte(serial)},
	}
	raw, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	c, err := x509.ParseCertificate(raw)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func newKey(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// specimen is a message over content with everything needed to bend it.
type specimen struct {
	key      crypto.Signer
	template *Template
	content  []byte
	message  []byte
}

func (s specimen) digest() []byte {
	h := s.template.Algorithm.Digest.New()
	h.Write(s.content)
	return h.Sum(nil)
}

func newSpecimen(t testing.TB, key crypto.Signer, pss bool) specimen {
	t.Helper()
	a, err := AlgorithmFor(key.Public(), 0, pss)
	if err != nil {
		t.Fatal(err)
	}
	s := specimen{key: key, content: []byte("content"), template: &Template{Certificate: certificate(t, key, 7), Algorithm: a}}
	attributes, err := s.template.SignedAttributes(s.digest())
	if err != nil {
		t.Fatal(err)
	}
	s.message, err = s.template.Assemble(attributes, s.sign(t, attributes))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func (s specimen) sign(t testing.TB, message []byte) []byte {
	t.Helper()
	h := s.template.Algorithm.Digest.New()
	h.Write(message)
	value, err := s.key.Sign(rand.Reader, h.Sum(nil), s.template.Algorithm.SignerOpts())
	if err != nil {
		t.Fatal(err)
	}
	return value
}

func mustParse(t testing.TB, message []byte) *SignedData {
	t.Helper()
	d, err := Parse(message)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func TestSignedDataRoundTrip(t *testing.T) {
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name string
		key  crypto.Signer
		pss  bool
	}{{"ECDSA", newKey(t), false}, {"RSA", rsaKey, false}, {"RSA-PSS", rsaKey, true}} {
		t.Run(c.name, func(t *testing.T) {
			s := newSpecimen(t, c.key, c.pss)
			size, err := s.template.Size()
			if err != nil || size < len(s.message) || size > len(s.message)+8 {
				t.Errorf("size predicted %d, is %d (%v)", size, len(s.message), err)
			}
			if c.name != "ECDSA" && size != len(s.message) {
				t.Errorf("size of an RSA message predicted %d, is %d", size, len(s.message))
			}
			d := mustParse(t, s.message)
			v, err := d.Verify(&d.SignerInfos[0], s.digest())
			if err != nil {
				t.Fatal(err)
			}
			if !v.Bound || !v.Protected || !v.Sorted || !v.SignedAttributes || !v.SigningTime.IsZero() ||
				!bytes.Equal(v.Raw, s.template.Certificate.Raw) || v.Algorithm != s.template.Algorithm {
				t.Errorf("verified: %+v", v)
			}
			again, err := d.Append(nil)
			if err != nil || !bytes.Equal(again, s.message) {
				t.Errorf("Append changed the message (%v)", err)
			}
		})
	}
}

// TestSignedAttributesGolden pins the bytes of the signed attributes for a
// certificate that never changes.
func TestSignedAttributesGolden(t *testing.T) {
	// A certificate by hand: key and signature are not looked at here.
	fixed := &x509.Certificate{Raw: []byte("certificate"), RawIssuer: []byte{0x30, 0}, SerialNumber: big.NewInt(0x81)}
	for _, c := range []struct {
		name string
		alg  Algorithm
		time time.Time
	}{
		{"pades-ecdsa-p384", Algorithm{Scheme: ECDSA, Digest: crypto.SHA384}, time.Time{}},
		{"pades-rsa-pss", Algorithm{Scheme: RSAPSS, Digest: crypto.SHA256, salt: 32}, time.Time{}},
		{"cades-rsa", Algorithm{Scheme: RSAPKCS1v15, Digest: crypto.SHA256}, testTime},
	} {
		t.Run(c.name, func(t *testing.T) {
			template := &Template{Certificate: fixed, Algorithm: c.alg, SigningTime: c.time}
			got, err := template.SignedAttributes(make([]byte, c.alg.Digest.Size()))
			if err != nil {
				t.Fatal(err)
			}
			name := filepath.Join("testdata", c.name+".hex")
			text := hex.EncodeToString(got) + "\n"
			if *update {
				if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			if text != string(want) {
				t.Errorf("got\n%swant\n%s", text, want)
			}
		})
	}
}

func TestOpenSSLVerifiesTheMessage(t *testing.T) {
	openssl, err := exec.LookPath("openssl")
	if err != nil {
		t.Skip("openssl is not installed")
	}
	s := newSpecimen(t, newKey(t), false)
	dir := t.TempDir()
	for name, data := range map[string][]byte{
		"message": s.message, "content": s.content,
		"root": pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.template.Certificate.Raw}),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	out, err := exec.Command(openssl, "cms", "-verify", "-cades", "-binary", "-no_check_time", "-partial_chain",
		"-purpose", "any", "-CAfile", filepath.Join(dir, "root"), "-inform", "DER",
		"-in", filepath.Join(dir, "message"), "-content", filepath.Join(dir, "content")).CombinedOutput()
	if err != nil || !strings.Contains(string(out), "successful") {
		t.Errorf("openssl: %v\n%s", err, out)
	}
}

// attributes rebuilds a signer's attribute list and signs it again.
func (s specimen) resigned(t testing.TB, change func([]Attribute) []Attribute) *SignedData {
	t.Helper()
	d := mustParse(t, s.message)
	si := &d.SignerInfos[0]
	var encoded [][]byte
	for _, a := range change(si.SignedAttributes) {
		var b cryptobyte.Builder
		b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
			addOID(b, a.Type)
			b.AddASN1(asn1.SET, func(b *cryptobyte.Builder) { b.AddBytes(bytes.Join(a.Values, nil)) })
		})
		encoded = append(encoded, b.BytesOrPanic())
	}
	var b cryptobyte.Builder
	addSet(&b, explicit(0), encoded)
	si.signed = b.BytesOrPanic()
	si.Signature = s.sign(t, si.signedBytes())
	message, err := d.Append(nil)
	if err != nil {
		t.Fatal(err)
	}
	return mustParse(t, message)
}

func drop(oid OID) func([]Attribute) []Attribute {
	return func(all []Attribute) []Attribute {
		var kept []Attribute
		for _, a := range all {
			if a.Type != oid {
				kept = append(kept, a)
			}
		}
		return kept
	}
}

func replace(oid OID, values ...[]byte) func([]Attribute) []Attribute {
	return func(all []Attribute) []Attribute {
		return append(drop(oid)(all), Attribute{Type: oid, Values: values})
	}
}

// TestVerifyRefusesBentAttributes signs attributes that RFC 5652 forbids (P-19).
func TestVerifyRefusesBentAttributes(t *testing.T) {
	s := newSpecimen(t, newKey(t), false)
	other := []byte{4, 1, 0}
	for _, c := range []struct {
		name   string
		change func([]Attribute) []Attribute
		want   error
	}{
		{"no content-type", drop(OIDContentType), ErrFormat},
		{"no message-digest", drop(OIDMessageDigest), ErrFormat},
		{"empty message-digest", replace(OIDMessageDigest), ErrFormat},
		{"two message-digest values", replace(OIDMessageDigest, other, other), ErrFormat},
		{"other message-digest", replace(OIDMessageDigest, other), ErrDigest},
		{"repeated message-digest", func(all []Attribute) []Attribute {
			return append(all, Attribute{Type: OIDMessageDigest, Values: [][]byte{other}})
		}, ErrFormat},
		{"other content-type", replace(OIDContentType, []byte{6, 1, 0x2A}), ErrFormat},
		{"algorithm protection contradicts", replace(OIDAlgorithmProtection, attributeValueOf(&Template{Algorithm: Algorithm{Scheme: RSAPKCS1v15, Digest: crypto.SHA512}})), ErrFormat},
		{"algorithm protection is no sequence", replace(OIDAlgorithmProtection, other), ErrFormat},
		{"signing-certificate is no sequence", replace(OIDSigningCertificateV2, other), ErrFormat},
		{"signing-certificate is empty", replace(OIDSigningCertificateV2, []byte{0x30, 2, 0x30, 0}), ErrFormat},
		{"signing-time is no time", replace(OIDSigningTime, other), ErrFormat},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := s.resigned(t, c.change)
			if _, err := d.Verify(&d.SignerInfos[0], s.digest()); !errors.Is(err, c.want) {
				t.Errorf("got %v, want %v", err, c.want)
			}
		})
	}
	t.Run("no signing-certificate is told, not refused", func(t *testing.T) {
		d := s.resigned(t, drop(OIDSigningCertificateV2))
		if v, err := d.Verify(&d.SignerInfos[0], s.digest()); err != nil || v.Bound {
			t.Errorf("got %+v, %v", v, err)
		}
	})
}

func attributeValueOf(t *Template) []byte {
	var b cryptobyte.Builder
	t.addAlgorithmProtection(&b)
	return b.BytesOrPanic()
}

// TestVerifyChoosesTheSignerByReference puts other certificates before and after
// the signer's (P-20, P-21).
func TestVerifyChoosesTheSignerByReference(t *testing.T) {
	key := newKey(t)
	s := newSpecimen(t, key, false)
	decoy := certificate(t, newKey(t), 99)
	sameNames := certificate(t, newKey(t), 7) // other key, same issuer and serial
	sameKey := certificate(t, key, 7)         // same key and names, other bytes
	for _, c := range []struct {
		name         string
		certificates [][]byte
		change       func([]Attribute) []Attribute
		want         error
	}{
		{"decoy first", [][]byte{decoy.Raw, s.template.Certificate.Raw}, nil, nil},
		{"decoy last", [][]byte{s.template.Certificate.Raw, decoy.Raw}, nil, nil},
		{"twin first", [][]byte{sameNames.Raw, s.template.Certificate.Raw}, nil, nil},
		{"twin only", [][]byte{sameNames.Raw}, nil, ErrBinding},
		{"same key under another certificate", [][]byte{sameKey.Raw}, nil, ErrBinding},
		{"decoy only", [][]byte{decoy.Raw}, nil, ErrNoCertificate},
		{"none", nil, nil, ErrNoCertificate},
		{"twins without a reference", [][]byte{sameNames.Raw, s.template.Certificate.Raw}, drop(OIDSigningCertificateV2), ErrBinding},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := mustParse(t, s.message)
			if c.change != nil {
				d = s.resigned(t, c.change)
			}
			d.Certificates = c.certificates
			v, err := d.Verify(&d.SignerInfos[0], s.digest())
			if !errors.Is(err, c.want) {
				t.Fatalf("got %v, want %v", err, c.want)
			}
			if c.want == nil && !bytes.Equal(v.Raw, s.template.Certificate.Raw) {
				t.Error("another certificate was chosen")
			}
		})
	}
	t.Run("certificate from elsewhere", func(t *testing.T) {
		d := mustParse(t, s.message)
		d.Certificates = nil
		if _, err := d.Verify(&d.SignerInfos[0], s.digest(), s.template.Certificate.Raw); err != nil {
			t.Error(err)
		}
	})
	t.Run("subject key identifier", func(t *testing.T) {
		d := mustParse(t, s.message)
		d.SignerInfos[0].SubjectKeyID = s.template.Certificate.SubjectKeyId
		if v, err := d.Verify(&d.SignerInfos[0], s.digest()); err != nil || !v.Bound {
			t.Errorf("got %+v, %v", v, err)
		}
	})
}

// TestVerifyWithoutSignedAttributes: the value signs the content itself, which
// is told (P-11).
func TestVerifyWithoutSignedAttributes(t *testing.T) {
	s := newSpecimen(t, newKey(t), false)
	d := mustParse(t, s.message)
	si := &d.SignerInfos[0]
	si.SignedAttributes, si.signed = nil, nil
	if _, err := d.Verify(si, s.digest()); !errors.Is(err, ErrSignature) {
		t.Errorf("stripped attributes: %v", err)
	}
	si.Signature = s.sign(t, s.content)
	if v, err := d.Verify(si, s.digest()); err != nil || v.SignedAttributes {
		t.Errorf("got %+v, %v", v, err)
	}
}

func TestVerifyRefusesValuesAndAlgorithms(t *testing.T) {
	s := newSpecimen(t, newKey(t), false)
	for _, c := range []struct {
		name   string
		change func(*SignerInfo)
		want   error
	}{
		{"flipped value", func(si *SignerInfo) {
			si.Signature = bytes.Clone(si.Signature)
			si.Signature[len(si.Signature)-1] ^= 1
		}, ErrSignature},
		{"r and s are zero (P-26)", func(si *SignerInfo) { si.Signature = []byte{0x30, 6, 2, 1, 0, 2, 1, 0} }, ErrSignature},
		{"empty value", func(si *SignerInfo) { si.Signature = nil }, ErrSignature},
		{"unknown digest", func(si *SignerInfo) { si.DigestAlgorithm.Algorithm = "1.2.3" }, ErrAlgorithm},
		{"digest with parameters", func(si *SignerInfo) { si.DigestAlgorithm.Parameters = []byte{2, 1, 0} }, ErrFormat},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := mustParse(t, s.message)
			c.change(&d.SignerInfos[0])
			if _, err := d.Verify(&d.SignerInfos[0], s.digest()); !errors.Is(err, c.want) {
				t.Errorf("got %v, want %v", err, c.want)
			}
		})
	}
	sum := sha256.Sum256([]byte("other"))
	d := mustParse(t, s.message)
	if _, err := d.Verify(&d.SignerInfos[0], sum[:]); !errors.Is(err, ErrDigest) {
		t.Errorf("other content: %v", err)
	}
}

func TestAlgorithmForRefusesKeys(t *testing.T) {
	small, err := ecdsa.GenerateKey(elliptic.P224(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	weak := &rsa.PublicKey{N: new(big.Int).Lsh(big.NewInt(1), 1023), E: 65537}
	for name, key := range map[string]crypto.PublicKey{
		"RSA-1024": weak, "P-224": small.Public(), "Ed25519": ed25519.PublicKey(make([]byte, 32)), "nothing": nil,
	} {
		if _, err := AlgorithmFor(key, 0, false); !errors.Is(err, ErrAlgorithm) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := AlgorithmFor(newKey(t).Public(), crypto.SHA1, false); !errors.Is(err, ErrAlgorithm) {
		t.Errorf("SHA-1: %v", err)
	}
}

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
	} {
		begin := time.Now()
		if _, err := Parse(deep); !errors.Is(err, ErrFormat) || time.Since(begin) > 100*time.Millisecond {
			t.Errorf("%s: %v after %s", name, err, time.Since(begin))
		}
	}
}

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
