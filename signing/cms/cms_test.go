package cms

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
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

	"github.com/eidbridge/eidbridge/fixtures/needs"
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
	openssl := needs.Program(t, "openssl", "openssl")
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
