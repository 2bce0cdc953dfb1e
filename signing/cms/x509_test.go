package cms

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"math/big"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"
)

// TestCertificateWithNegativeModulus: a certificate whose modulus lacks its first
// octet keeps its bytes, its issuer's signature holds, and so does its key.
func TestCertificateWithNegativeModulus(t *testing.T) {
	issuerKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "root"}, NotBefore: time.Now(), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	rootRaw, err := x509.CreateCertificate(rand.Reader, template, template, issuerKey.Public(), issuerKey)
	if err != nil {
		t.Fatal(err)
	}
	root, err := ParseCertificate(rootRaw)
	if err != nil {
		t.Fatal(err)
	}
	leaf := &x509.Certificate{SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "leaf"}, NotBefore: time.Now(), NotAfter: time.Now().Add(time.Hour)}
	good, err := x509.CreateCertificate(rand.Reader, leaf, root, key.Public(), issuerKey)
	if err != nil {
		t.Fatal(err)
	}
	bent := bend(t, good, key, issuerKey)
	if _, err := x509.ParseCertificate(bent); err == nil {
		t.Fatal("the certificate is not bent")
	}
	c, err := ParseCertificate(bent)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(c.Raw, bent) || !key.PublicKey.Equal(c.PublicKey) {
		t.Error("bytes or key changed")
	}
	if err := CheckCertificate(c, root); err != nil {
		t.Errorf("issuer's signature: %v", err)
	}
	c.RawTBSCertificate = bytes.Replace(c.RawTBSCertificate, []byte("leaf"), []byte("loaf"), 1)
	if err := CheckCertificate(c, root); err == nil {
		t.Error("a changed certificate is taken")
	}
	if _, err := ParseCertificate(bent[:len(bent)-1]); err == nil {
		t.Error("a cut certificate is taken")
	}
}

// bend takes the first octet off the modulus and signs again.
func bend(t *testing.T, raw []byte, key *rsa.PrivateKey, issuer crypto.Signer) []byte {
	t.Helper()
	wrong := key.N.Bytes()
	if wrong[0] < 0x80 {
		t.Fatal("modulus without its top bit")
	}
	in := cryptobyte.String(raw)
	var certificate, tbs, body, algorithm cryptobyte.String
	if !in.ReadASN1(&certificate, asn1.SEQUENCE) || !certificate.ReadASN1(&tbs, asn1.SEQUENCE) || !certificate.ReadASN1Element(&algorithm, asn1.SEQUENCE) {
		t.Fatal("certificate")
	}
	body = tbs
	var out cryptobyte.Builder
	out.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
		for n := 0; !body.Empty(); n++ {
			var element cryptobyte.String
			var tag asn1.Tag
			if !body.ReadAnyASN1Element(&element, &tag) {
				t.Fatal("certificate")
			}
			if n != 6 {
				b.AddBytes(element)
				continue
			}
			b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
				addAlgorithm(b, AlgorithmIdentifier{Algorithm: oidRSA, Parameters: derNull()})
				var numbers cryptobyte.Builder
				numbers.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
					b.AddASN1(asn1.INTEGER, func(b *cryptobyte.Builder) { b.AddBytes(wrong) })
					b.AddASN1Int64(int64(key.E))
				})
				b.AddASN1BitString(numbers.BytesOrPanic())
			})
		}
	})
	signed := out.BytesOrPanic()
	sum := sha256.Sum256(signed)
	value, err := issuer.Sign(rand.Reader, sum[:], crypto.SHA256)
	if err != nil {
		t.Fatal(err)
	}
	var all cryptobyte.Builder
	all.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddBytes(signed)
		b.AddBytes(algorithm)
		b.AddASN1BitString(value)
	})
	return all.BytesOrPanic()
}

// TestKeysForPSSAlone: certificates and messages of OpenSSL whose RSA key is for PSS
// alone (RFC 4055 1.2) are read and verified; a value with the older padding under such
// a key is none.
func TestKeysForPSSAlone(t *testing.T) {
	dir := t.TempDir()
	openSSL := func(args ...string) {
		t.Helper()
		c := exec.CommandContext(t.Context(), "openssl", args...)
		c.Dir = dir
		if out, err := c.CombinedOutput(); err != nil {
			t.Fatalf("openssl %s: %v\n%s", args[0], err, out)
		}
	}
	content := []byte("Good morning")
	if err := os.WriteFile(filepath.Join(dir, "letter.txt"), content, 0o600); err != nil {
		t.Fatal(err)
	}
	openSSL("genpkey", "-algorithm", "RSA-PSS", "-pkeyopt", "rsa_keygen_bits:2048", "-out", "key.pem")
	openSSL("req", "-x509", "-new", "-key", "key.pem", "-subj", "/CN=signer", "-days", "2", "-out", "cert.pem")
	digest := sha256.Sum256(content)
	for _, c := range []struct {
		options []string
		want    error
	}{
		{[]string{"-keyopt", "rsa_padding_mode:pss"}, nil},
		{nil, ErrSignature}, // what OpenSSL 3.0 calls the older padding, and refuses itself
	} {
		openSSL(append([]string{"cms", "-sign", "-binary", "-nodetach", "-in", "letter.txt", "-signer", "cert.pem", "-inkey", "key.pem", "-outform", "DER", "-out", "signed.p7m"}, c.options...)...)
		message, err := os.ReadFile(filepath.Join(dir, "signed.p7m"))
		if err != nil {
			t.Fatal(err)
		}
		signed, err := Parse(message)
		if err != nil {
			t.Fatal(err)
		}
		v, err := signed.Verify(&signed.SignerInfos[0], digest[:])
		if !errors.Is(err, c.want) {
			t.Fatalf("%v: %v, want %v", c.options, err, c.want)
		}
		if key, ok := v.Certificate.PublicKey.(*rsa.PublicKey); !ok || key.N.BitLen() != 2048 {
			t.Errorf("key is %T", v.Certificate.PublicKey)
		}
	}
}
