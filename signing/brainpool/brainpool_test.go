package brainpool

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/sha512"
	"crypto/x509"
	"encoding/asn1"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"math/big"
	"os"
	"path/filepath"
	"testing"
)

// testdata was made with OpenSSL 3: for each curve
//
//	openssl ecparam -genkey -name NAME -noout -out key
//	openssl req -x509 -config <(printf "[req]\ndistinguished_name=dn\n[dn]\n") -key key -subj "/CN=LAB PERSON" -days 36500 -out NAME.pem
//	printf 'a document' | openssl dgst -sha512 -sign key | xxd -p -c0 > NAME.sig
func read(t testing.TB, name string) (der, signature []byte) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", name+".pem"))
	if err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode(text)
	text, err = os.ReadFile(filepath.Join("testdata", name+".sig"))
	if err != nil {
		t.Fatal(err)
	}
	signature, err = hex.DecodeString(string(bytes.TrimSpace(text)))
	if err != nil {
		t.Fatal(err)
	}
	return block.Bytes, signature
}

func names() []string { return []string{"brainpoolP256r1", "brainpoolP384r1", "brainpoolP512r1"} }

func TestCertificatesOfOpenSSLVerify(t *testing.T) {
	digest := sha512.Sum512([]byte("a document"))
	for _, name := range names() {
		t.Run(name, func(t *testing.T) {
			der, signature := read(t, name)
			if _, err := x509.ParseCertificate(der); err == nil {
				t.Error("the standard library learned the curve: this package can go")
			}
			certificate, err := ParseCertificate(der)
			if err != nil {
				t.Fatal(err)
			}
			key := certificate.PublicKey.(*ecdsa.PublicKey)
			if key.Curve.Params().Name != name || certificate.Subject.CommonName != "LAB PERSON" || certificate.PublicKeyAlgorithm != x509.ECDSA {
				t.Errorf("%s, %v", key.Curve.Params().Name, certificate.Subject)
			}
			if !bytes.Equal(certificate.Raw, der) || !bytes.Contains(der, certificate.RawTBSCertificate) || !bytes.Contains(der, certificate.RawSubjectPublicKeyInfo) {
				t.Error("the raw parts are not those of the certificate")
			}
			if err := certificate.CheckSignature(certificate.SignatureAlgorithm, certificate.RawTBSCertificate, certificate.Signature); err != nil {
				t.Errorf("self-signature: %v", err)
			}
			if again, err := ParseCertificate(der); err != nil || !key.Equal(again.PublicKey) {
				t.Errorf("a key is not equal to itself: %v", err)
			}
			if !ecdsa.VerifyASN1(key, digest[:], signature) {
				t.Error("OpenSSL's signature does not verify")
			}
			for i := 0; i < len(signature); i += 9 {
				forged := bytes.Clone(signature)
				forged[i] ^= 1
				if ecdsa.VerifyASN1(key, digest[:], forged) {
					t.Errorf("forged byte %d verifies", i)
				}
			}
			for i := range digest[:8] {
				other := digest
				other[i] ^= 1
				if ecdsa.VerifyASN1(key, other[:], signature) {
					t.Errorf("another digest verifies")
				}
			}
		})
	}
}

// Threat C-30: points off the curve, and certificates that are none.
func TestParseRefusesWhatIsNoPointOfTheCurve(t *testing.T) {
	der, _ := read(t, "brainpoolP256r1")
	certificate, err := ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	raw := certificate.RawSubjectPublicKeyInfo[len(certificate.RawSubjectPublicKeyInfo)-64:][:32]
	at := bytes.Index(der, raw)
	curve := bytes.Index(der, []byte{0x2B, 0x24, 0x03, 0x03, 0x02, 0x08, 0x01, 0x01, 0x07})
	change := func(at int, with ...byte) []byte {
		changed := bytes.Clone(der)
		copy(changed[at:], with)
		return changed
	}
	tests := map[string][]byte{
		"off the curve":        change(at, raw[0]^1),
		"coordinate above p":   change(at, bytes.Repeat([]byte{0xFF}, 32)...),
		"all zero":             change(at, make([]byte, 64)...),
		"compressed":           change(at-1, 0x02),
		"another curve's size": change(curve+8, 0x0D),
		"unknown curve":        change(curve+8, 0x05),
		"trailing byte":        append(bytes.Clone(der), 0),
		"cut off":              der[:len(der)-1],
		"nothing":              nil,
	}
	for name, forged := range tests {
		if _, err := ParseCertificate(forged); !errors.Is(err, ErrCurve) {
			t.Errorf("%s: %v, want ErrCurve", name, err)
		}
	}
	if Curve(asn1.ObjectIdentifier{1, 2, 3}) != nil {
		t.Error("unknown curve")
	}
}

func TestArithmeticKeepsTheLawsOfTheGroup(t *testing.T) {
	for _, last := range []int{7, 11, 13} {
		c, _ := named(asn1.ObjectIdentifier{1, 3, 36, 3, 3, 2, 8, 1, 1, last})
		n := c.Params().N
		if x, y := c.ScalarBaseMult(n.Bytes()); x.Sign() != 0 || y.Sign() != 0 {
			t.Errorf("%s: order times the generator is not infinity", c.Params().Name)
		}
		less := new(big.Int).Sub(n, big.NewInt(1))
		if x, y := c.ScalarBaseMult(less.Bytes()); x.Cmp(c.Params().Gx) != 0 || new(big.Int).Add(y, c.Params().Gy).Cmp(c.Params().P) != 0 {
			t.Errorf("%s: order less one is not minus one", c.Params().Name)
		}
		x2, y2 := c.ScalarBaseMult([]byte{2})
		x3, y3 := c.Add(x2, y2, c.Params().Gx, c.Params().Gy)
		if x, y := c.ScalarBaseMult([]byte{3}); x.Cmp(x3) != 0 || y.Cmp(y3) != 0 {
			t.Errorf("%s: 3G is not 2G + G", c.Params().Name)
		}
		if x, y := c.Add(c.Params().Gx, c.Params().Gy, c.Params().Gx, c.Params().Gy); x.Cmp(x2) != 0 || y.Cmp(y2) != 0 {
			t.Errorf("%s: G + G is not 2G", c.Params().Name)
		}
		none := new(big.Int)
		if x, y := c.Add(none, none, x2, y2); x.Cmp(x2) != 0 || y.Cmp(y2) != 0 {
			t.Errorf("%s: infinity is not neutral", c.Params().Name)
		}
		if x, y := c.ScalarMult(none, none, []byte{5}); x.Sign() != 0 || y.Sign() != 0 {
			t.Errorf("%s: 5 times infinity is a point", c.Params().Name)
		}
	}
}

// Property: what parses keeps its bytes, and has a point of its curve.
func FuzzParseCertificate(f *testing.F) {
	for _, name := range names() {
		der, _ := read(f, name)
		f.Add(der)
	}
	f.Fuzz(func(t *testing.T, der []byte) {
		certificate, err := ParseCertificate(der)
		if err != nil {
			return
		}
		key, elliptic := certificate.PublicKey.(*ecdsa.PublicKey)
		if !bytes.Equal(certificate.Raw, der) || elliptic && key.Curve == nil {
			t.Error("other bytes, or no curve")
		}
	})
}

// What a verification costs decides what a sender of many messages can do.
func BenchmarkVerify(b *testing.B) {
	digest := sha512.Sum512([]byte("a document"))
	for _, name := range names() {
		b.Run(name, func(b *testing.B) {
			der, signature := read(b, name)
			certificate, err := ParseCertificate(der)
			if err != nil {
				b.Fatal(err)
			}
			for b.Loop() {
				if !ecdsa.VerifyASN1(certificate.PublicKey.(*ecdsa.PublicKey), digest[:], signature) {
					b.Fatal("does not verify")
				}
			}
		})
	}
}
