package pkcs12

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"math/big"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/eidbridge/eidbridge/cardreader"
	"github.com/eidbridge/eidbridge/cardreader/pin"
)

// word is a password with characters inside and outside ASCII and UCS-2.
const word = "contraseña 7 €𝄞"

// holder answers questions.
type holder struct {
	word      string
	passwords int
	approved  int
	refuse    error
}

func (h *holder) password(_ context.Context, r Request) (*pin.PIN, error) {
	h.passwords++
	return pin.New([]byte(h.word))
}

func (h *holder) PIN(context.Context, cardreader.PINRequest) (*pin.PIN, error) {
	return nil, errors.New("asked for a PIN")
}

func (h *holder) Approve(context.Context, cardreader.PINRequest) error {
	h.approved++
	return h.refuse
}

func file(path string, h *holder) *File {
	return &File{Path: path, Password: h.password, Random: rand.Reader}
}

// materials writes key.pem, certificate.pem and chain.pem for a holder whose
// certificate is for both usages, as FNMT's are.
func materials(t *testing.T, dir string, key crypto.Signer) {
	t.Helper()
	issuer, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	authority := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "Lab authority"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: now, NotAfter: now.Add(time.Hour), KeyUsage: x509.KeyUsageCertSign,
	}
	own := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "ESPAÑOLA ESPAÑOLA CARMEN - 99999999R"},
		NotBefore: now, NotAfter: now.Add(time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageContentCommitment | x509.KeyUsageKeyEncipherment,
	}
	write := func(name, kind string, der []byte, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	der, err := x509.CreateCertificate(rand.Reader, authority, authority, issuer.Public(), issuer)
	write("chain.pem", "CERTIFICATE", der, err)
	der, err = x509.CreateCertificate(rand.Reader, own, authority, key.Public(), issuer)
	write("certificate.pem", "CERTIFICATE", der, err)
	der, err = x509.MarshalPKCS8PrivateKey(key)
	write("key.pem", "PRIVATE KEY", der, err)
}

// OpenSSL judges: what it writes is read, under every protection that citizens'
// files have.
func TestFilesOfOpenSSL(t *testing.T) {
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	ecKey, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range []struct {
		name string
		key  crypto.Signer
		args []string
	}{
		{"AES-256, HMAC SHA-256", rsaKey, nil},
		{"elliptic key", ecKey, nil},
		{"RC2-40 and 3DES, HMAC SHA-1", rsaKey, []string{"-legacy"}},
		{"RC2-128", rsaKey, []string{"-legacy", "-certpbe", "PBE-SHA1-RC2-128", "-keypbe", "PBE-SHA1-RC2-128", "-macalg", "sha1"}},
		{"3DES for all", rsaKey, []string{"-certpbe", "PBE-SHA1-3DES", "-keypbe", "PBE-SHA1-3DES", "-macalg", "sha1"}},
		{"AES-128", ecKey, []string{"-certpbe", "AES-128-CBC", "-keypbe", "AES-128-CBC"}},
		{"AES-192, HMAC SHA-512", ecKey, []string{"-certpbe", "AES-192-CBC", "-keypbe", "AES-192-CBC", "-macalg", "sha512"}},
		{"3DES under PBES2, HMAC SHA-384", ecKey, []string{"-certpbe", "DES-EDE3-CBC", "-keypbe", "DES-EDE3-CBC", "-macalg", "sha384"}},
		{"certificates in the clear", ecKey, []string{"-certpbe", "NONE"}},
		{"key in the clear", ecKey, []string{"-keypbe", "NONE"}},
		{"one iteration", ecKey, []string{"-noiter", "-nomaciter"}},
		{"many iterations", ecKey, []string{"-iter", "300000"}},
	} {
		t.Run(row.name, func(t *testing.T) {
			dir := t.TempDir()
			materials(t, dir, row.key)
			args := append([]string{
				"pkcs12", "-export", "-inkey", "key.pem", "-in", "certificate.pem", "-certfile", "chain.pem",
				"-name", "Carmen", "-passout", "stdin", "-out", "holder.p12",
			}, row.args...)
			c := exec.CommandContext(t.Context(), "openssl", args...)
			c.Dir, c.Stdin = dir, strings.NewReader(word+"\n")
			c.Env = append(os.Environ(), "LC_ALL=C.UTF-8")
			if out, err := c.CombinedOutput(); err != nil {
				t.Fatalf("openssl: %v\n%s", err, out)
			}
			h := &holder{word: word}
			signsWithBoth(t, file(filepath.Join(dir, "holder.p12"), h), h)

			h = &holder{word: word + "x"}
			_, err := file(filepath.Join(dir, "holder.p12"), h).List(t.Context())
			var refused *cardreader.PINError
			if !errors.As(err, &refused) || refused.Reason != cardreader.PINWrong || refused.PIN != PasswordID {
				t.Errorf("wrong password: %v", err)
			}
		})
	}
}

// signsWithBoth signs once with each usage of the file's certificate.
func signsWithBoth(t *testing.T, f *File, h *holder) {
	t.Helper()
	digest := sha256.Sum256([]byte("document"))
	for _, usage := range []cardreader.Usage{cardreader.UsageAuthentication, cardreader.UsageSignature} {
		found, err := f.Find(t.Context(), cardreader.Selection{Usage: usage})
		if err != nil {
			t.Fatal(err)
		}
		// The value is checked with the certificate before it is returned.
		if _, err := f.Signer(t.Context(), found, h).Sign(nil, digest[:], crypto.SHA256); err != nil {
			t.Errorf("%s: %v", usage, err)
		}
	}
	if h.passwords > 1 || h.approved != 2 {
		t.Errorf("asked for %d passwords and %d approvals, want at most 1 and 2", h.passwords, h.approved)
	}
}

// NSS writes BER with indefinite lengths; testdata/README.md says how.
func TestFileOfNSS(t *testing.T) {
	h := &holder{word: "secreto"}
	signsWithBoth(t, file("testdata/nss.p12", h), h)
}

func TestPEMForTests(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	materials(t, dir, key)
	var all []byte
	for _, name := range []string{"chain.pem", "certificate.pem", "key.pem"} {
		part, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, part...)
	}
	path := filepath.Join(dir, "all.pem")
	if err := os.WriteFile(path, all, 0o600); err != nil {
		t.Fatal(err)
	}
	h := &holder{}
	signsWithBoth(t, file(path, h), h)
	if h.passwords != 0 {
		t.Error("asked for a password of a file that has none")
	}
}

func TestNothingIsSignedWithoutAYes(t *testing.T) {
	h := &holder{word: "secreto", refuse: errors.New("no")}
	f := file("testdata/nss.p12", h)
	found, err := f.Find(t.Context(), cardreader.Selection{Usage: cardreader.UsageSignature})
	if err != nil {
		t.Fatal(err)
	}
	digest := sha256.Sum256(nil)
	if _, err := f.Signer(t.Context(), found, h).Sign(nil, digest[:], crypto.SHA256); !errors.Is(err, h.refuse) {
		t.Error(err)
	}
	// A source that cannot be asked for a yes is none.
	var mute struct{ cardreader.PINSource }
	if _, err := f.Signer(t.Context(), found, mute).Sign(nil, digest[:], crypto.SHA256); !errors.Is(err, cardreader.ErrNotOffered) {
		t.Error(err)
	}
}

func TestFilesThatAreRefused(t *testing.T) {
	good, err := os.ReadFile("testdata/modern.p12")
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range []struct {
		name  string
		data  []byte
		want  error
		asked int
	}{
		{"empty", nil, ErrMalformed, 0},
		{"text", []byte("hello"), ErrMalformed, 0},
		{"too large", make([]byte, maxFile+1), ErrMalformed, 0},
		{"cut off", good[:len(good)-1], ErrMalformed, 1},
		{"PEM without anything", []byte("-----BEGIN NOTHING-----\n-----END NOTHING-----\n"), ErrUnsupported, 0},
		{"nested too deep", bytes.Repeat([]byte{0x30, 0x80}, 2000), ErrMalformed, 1},
	} {
		t.Run(row.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "f.p12")
			if err := os.WriteFile(path, row.data, 0o600); err != nil {
				t.Fatal(err)
			}
			h := &holder{word: "secreto"}
			if _, err := file(path, h).List(t.Context()); !errors.Is(err, row.want) {
				t.Errorf("%v, want %v", err, row.want)
			}
			if h.passwords != row.asked {
				t.Errorf("asked %d times, want %d", h.passwords, row.asked)
			}
		})
	}
	if _, err := file(filepath.Join(t.TempDir(), "none"), &holder{}).List(t.Context()); !errors.Is(err, os.ErrNotExist) {
		t.Error(err)
	}
}

func TestIterationsAreBoundedBeforeTheWork(t *testing.T) {
	p := &password{work: maxWork}
	for iterations, ok := range map[int]bool{0: false, -1: false, 1: true, maxIterations: true, maxIterations + 1: false} {
		if err := p.spend(iterations); (err == nil) != ok {
			t.Errorf("%d: %v", iterations, err)
		}
	}
	p = &password{work: maxWork}
	spent := 0
	for p.spend(maxIterations) == nil {
		spent += maxIterations
	}
	if spent > maxWork || spent < maxWork-maxIterations {
		t.Errorf("%d iterations over the file, bound %d", spent, maxWork)
	}
}

// RFC 2268 5, the vectors whose effective length is all bits.
func TestRC2Vectors(t *testing.T) {
	for _, row := range []struct{ key, plain, cipher string }{
		{"ffffffffffffffff", "ffffffffffffffff", "278b27e42e2f0d49"},
		{"3000000000000000", "1000000000000001", "30649edf9be7d2c2"},
		{"88bca90e90875a7f0f79c384627bafb2", "0000000000000000", "2269552ab0f85ca6"},
	} {
		key, _ := hex.DecodeString(row.key)
		out, _ := hex.DecodeString(row.cipher)
		newRC2(key).Decrypt(out, out)
		if got := hex.EncodeToString(out); got != row.plain {
			t.Errorf("key %s: %s, want %s", row.key, got, row.plain)
		}
	}
}

// Whatever is in a file, decoding ends soon and gives keys only with the right
// password.
func FuzzDecode(f *testing.F) {
	for _, name := range []string{"modern.p12", "legacy.p12", "nss.p12"} {
		data, err := os.ReadFile("testdata/" + name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		p, err := newPassword([]byte("wrong"))
		if err != nil {
			t.Fatal(err)
		}
		p.work = 5000
		if c, err := decode(data, p); err == nil && len(c.keys) > 0 && len(data) < 200 {
			t.Errorf("keys without the password")
		}
		if der, rest, err := definite(data, 0); err == nil {
			again, _, err := definite(der, 0)
			if err != nil || !bytes.Equal(again, der) {
				t.Errorf("rewriting BER is not stable: %v", err)
			}
			if len(rest) > len(data) {
				t.Error("more is left than was there")
			}
		}
	})
}
