package tsp_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"io"
	"math/big"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/digitorus/timestamp"

	"github.com/eidbridge/eidbridge/fixtures/pki"
	"github.com/eidbridge/eidbridge/fixtures/signers"
	"github.com/eidbridge/eidbridge/signing/fetch"
	"github.com/eidbridge/eidbridge/signing/tsp"
)

func digestOf(text string) []byte {
	d := sha256.Sum256([]byte(text))
	return d[:]
}

// lab serves a country and returns the address of its time-stamping unit.
func lab(t testing.TB) (*pki.Country, *httptest.Server) {
	t.Helper()
	country, err := pki.New(pki.Options{Seed: []byte("tsp")})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(country.Handler())
	t.Cleanup(server.Close)
	return country, server
}

// client asks servers in order and waits for a minute, which a loaded machine may need
// for what is done in milliseconds.
func client(servers ...*httptest.Server) *tsp.Client {
	return patient(time.Minute, servers...)
}

// patient is a client that waits so long.
func patient(timeout time.Duration, servers ...*httptest.Server) *tsp.Client {
	c := &tsp.Client{}
	var allow []string
	for _, s := range servers {
		allow = append(allow, s.Listener.Addr().String())
		c.Servers = append(c.Servers, tsp.Server{URL: s.URL + "/tsa"})
	}
	c.Fetch = fetch.New(fetch.Options{Allow: allow, Timeout: timeout})
	return c
}

func TestStampFromTheLab(t *testing.T) {
	_, server := lab(t)
	token, err := client(server).Stamp(t.Context(), crypto.SHA256, digestOf("document"))
	if err != nil {
		t.Fatal(err)
	}
	if token.Policy != "2.999.3161.1" || token.Accuracy != time.Second || time.Since(token.Time) > time.Minute {
		t.Errorf("token %+v", token)
	}
	if err := token.Verify(digestOf("other")); !errors.Is(err, tsp.ErrImprint) {
		t.Errorf("other data: %v", err)
	}
	oracle, err := timestamp.Parse(token.Raw)
	if err != nil || !bytes.Equal(oracle.HashedMessage, token.Imprint) || !oracle.Time.Equal(token.Time) || oracle.Nonce.Cmp(token.Nonce) != 0 {
		t.Errorf("digitorus/timestamp reads another token: %+v, %v", oracle, err)
	}
	again, err := tsp.ParsePadded(append(bytes.Clone(token.Raw), make([]byte, 100)...))
	if err != nil || !bytes.Equal(again.Raw, token.Raw) {
		t.Errorf("padded: %v", err)
	}
}

func TestStampDemandsThePolicyAskedFor(t *testing.T) {
	_, server := lab(t)
	c := client(server)
	c.Servers[0].Policy = "2.999.3161.1"
	if _, err := c.Stamp(t.Context(), crypto.SHA384, make([]byte, 48)); err != nil {
		t.Error(err)
	}
	c.Servers[0].Policy = "2.999.3161.2"
	if _, err := c.Stamp(t.Context(), crypto.SHA256, digestOf("x")); !errors.Is(err, tsp.ErrResponse) {
		t.Errorf("another policy: %v", err)
	}
}

// TestStampRefusesEveryMisbehaviour (P-54) with an error of its kind, and takes the next
// server then.
func TestStampRefusesEveryMisbehaviour(t *testing.T) {
	country, good := lab(t)
	forward := func(body io.Reader) []byte {
		r := httptest.NewRequest(http.MethodPost, "/tsa", body)
		r.Header.Set("Content-Type", "application/timestamp-query")
		w := httptest.NewRecorder()
		country.Handler().ServeHTTP(w, r)
		return w.Body.Bytes()
	}
	other := func(digest []byte, nonce *big.Int) []byte {
		q, err := tsp.Request(crypto.SHA256, digest, "", nonce)
		if err != nil {
			t.Fatal(err)
		}
		return forward(bytes.NewReader(q))
	}
	for _, row := range []struct {
		name   string
		want   error
		answer http.HandlerFunc
	}{
		{"wrong nonce", tsp.ErrResponse, func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(other(digestOf("d"), big.NewInt(7))) }},
		{"no nonce", tsp.ErrResponse, func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(other(digestOf("d"), nil)) }},
		{"wrong imprint", tsp.ErrImprint, func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(other(digestOf("e"), nil)) }},
		{"huge body", fetch.ErrTooLarge, func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(make([]byte, fetch.MaxTimeStamp+1)) }},
		{"slow body", context.DeadlineExceeded, func(_ http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body) // lets the server notice that the client left
			<-r.Context().Done()
		}},
		{"inside", fetch.ErrForbidden, func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "http://127.0.0.1:1/", http.StatusSeeOther)
		}},
		{"nonsense", tsp.ErrResponse, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "hello") }},
		{"refusal", tsp.ErrResponse, func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(forward(strings.NewReader("x"))) }},
		{"granted empty", tsp.ErrResponse, func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte{0x30, 5, 0x30, 3, 2, 1, 0}) }},
		{"changed token", tsp.ErrToken, func(w http.ResponseWriter, r *http.Request) {
			a := forward(r.Body)
			a[len(a)-1] ^= 1
			_, _ = w.Write(a)
		}},
	} {
		t.Run(row.name, func(t *testing.T) {
			bad := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Content-Type", "application/timestamp-reply")
				row.answer(w, r)
			}))
			defer bad.Close()
			alone, both := client(bad), client(bad, good)
			if errors.Is(row.want, context.DeadlineExceeded) {
				alone = patient(time.Second, bad)
				both.Servers[0].Fetch = alone.Fetch
			}
			if token, err := alone.Stamp(t.Context(), crypto.SHA256, digestOf("d")); !errors.Is(err, row.want) || token != nil {
				t.Errorf("a token: %v, error %v", token != nil, err)
			}
			if _, err := both.Stamp(t.Context(), crypto.SHA256, digestOf("d")); err != nil {
				t.Errorf("with a second server: %v", err)
			}
		})
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := client(good).Stamp(ctx, crypto.SHA256, digestOf("d")); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	late := client(good)
	late.Clock = func() time.Time { return time.Now().Add(time.Hour) }
	if _, err := late.Stamp(t.Context(), crypto.SHA256, digestOf("d")); !errors.Is(err, tsp.ErrResponse) {
		t.Errorf("an hour apart: %v", err)
	}
}

// authority is a certificate with its key for tokens made by openssl.
func authority(t *testing.T, dir string, change func(*x509.Certificate)) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(77), Subject: pkix.Name{CommonName: "stamp"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), KeyUsage: x509.KeyUsageDigitalSignature,
	}
	change(template)
	raw, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	for name, data := range map[string][]byte{"cert.der": raw, "key.der": pkcs8} {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	openssl(t, dir, "x509", "-inform", "DER", "-in", "cert.der", "-out", "cert.pem")
	openssl(t, dir, "pkcs8", "-inform", "DER", "-in", "key.der", "-nocrypt", "-topk8", "-out", "key.pem")
}

func openssl(t *testing.T, dir string, args ...string) []byte {
	t.Helper()
	c := exec.Command("openssl", args...)
	c.Dir = dir
	out, err := c.CombinedOutput()
	if err != nil {
		t.Fatalf("openssl %v: %v\n%s", args, err, out)
	}
	return out
}

// TestTokensOfOpenSSL reads a token that openssl made and has openssl verify one
// that it did not make; a certificate for more than time-stamps is refused
// (P-23).
func TestTokensOfOpenSSL(t *testing.T) {
	critical := func(c *x509.Certificate) {
		c.ExtraExtensions = []pkix.Extension{{Id: []int{2, 5, 29, 37}, Critical: true, Value: []byte{0x30, 10, 6, 8, 0x2B, 6, 1, 5, 5, 7, 3, 8}}}
	}
	dir := t.TempDir()
	authority(t, dir, critical)
	config := "[tsa]\ndefault_tsa=t\n[t]\nserial=serial\nsigner_cert=cert.pem\nsigner_key=key.pem\nsigner_digest=sha256\ndefault_policy=1.2.3.4\ndigests=sha256\naccuracy=secs:1,millisecs:500,microsecs:100\nclock_precision_digits=3\ness_cert_id_chain=no\ness_cert_id_alg=sha1\n"
	query, err := tsp.Request(crypto.SHA256, digestOf("o"), "", big.NewInt(1234567))
	if err != nil {
		t.Fatal(err)
	}
	for name, data := range map[string][]byte{"conf": []byte(config), "q.tsq": query, "serial": []byte("01\n")} {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if text := string(openssl(t, dir, "ts", "-query", "-in", "q.tsq", "-text")); !strings.Contains(text, "Hash Algorithm: sha256") || !strings.Contains(text, "0x12D687") {
		t.Errorf("openssl reads another request:\n%s", text)
	}
	openssl(t, dir, "ts", "-reply", "-config", "conf", "-section", "t", "-queryfile", "q.tsq", "-out", "a.tsr")
	answer, err := os.ReadFile(filepath.Join(dir, "a.tsr"))
	if err != nil {
		t.Fatal(err)
	}
	token, err := tsp.ParseResponse(answer)
	if err != nil || token.Verify(digestOf("o")) != nil || token.Accuracy != 1500100*time.Microsecond || token.Nonce.Int64() != 1234567 {
		t.Fatalf("openssl's token: %+v, %v", token, err)
	}

	_, server := lab(t)
	ours, err := client(server).Stamp(t.Context(), crypto.SHA256, digestOf("o"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "ours.tst"), ours.Raw, 0o600); err != nil {
		t.Fatal(err)
	}
	if text := string(openssl(t, dir, "ts", "-reply", "-in", "ours.tst", "-token_in", "-text")); !strings.Contains(text, "LAB time-stamping unit EE") {
		t.Errorf("openssl reads another token:\n%s", text)
	}
}

// TestTokenNeedsACertificateForTimeStampsAlone (P-23) makes the extended key
// usage of a token's certificate wrong in each way, with tokens signed rightly.
func TestTokenNeedsACertificateForTimeStampsAlone(t *testing.T) {
	oid := []byte{6, 8, 0x2B, 6, 1, 5, 5, 7, 3, 8}
	other := []byte{6, 8, 0x2B, 6, 1, 5, 5, 7, 3, 9}
	usage := func(critical bool, oids ...[]byte) func(*x509.Certificate) {
		list := bytes.Join(oids, nil)
		return func(c *x509.Certificate) {
			c.ExtraExtensions = []pkix.Extension{{Id: []int{2, 5, 29, 37}, Critical: critical, Value: append([]byte{0x30, byte(len(list))}, list...)}}
		}
	}
	for _, c := range []struct {
		name   string
		change func(*x509.Certificate)
		ok     bool
	}{
		{"right", usage(true, oid), true},
		{"not critical", usage(false, oid), false},
		{"another usage beside", usage(true, oid, other), false},
		{"another usage alone", usage(true, other), false},
		{"no extended usage", func(*x509.Certificate) {}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			raw := ownToken(t, c.change)
			if _, err := tsp.Parse(raw); (err == nil) != c.ok || err != nil && !errors.Is(err, tsp.ErrToken) {
				t.Errorf("got %v", err)
			}
		})
	}
}

// ownToken is a token by digitorus/timestamp, which signs with any certificate.
func ownToken(t *testing.T, change func(*x509.Certificate)) []byte {
	t.Helper()
	dir := t.TempDir()
	authority(t, dir, change)
	der, err := os.ReadFile(filepath.Join(dir, "cert.der"))
	if err != nil {
		t.Fatal(err)
	}
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8, err := os.ReadFile(filepath.Join(dir, "key.der"))
	if err != nil {
		t.Fatal(err)
	}
	key, err := x509.ParsePKCS8PrivateKey(pkcs8)
	if err != nil {
		t.Fatal(err)
	}
	stamp := timestamp.Timestamp{
		HashAlgorithm: crypto.SHA256, HashedMessage: digestOf("own"), Time: time.Now().UTC(), SerialNumber: big.NewInt(1),
		Policy: []int{1, 2, 3}, AddTSACertificate: true,
	}
	answer, err := stamp.CreateResponseWithOpts(certificate, key.(crypto.Signer), crypto.SHA256)
	if err != nil {
		t.Fatal(err)
	}
	response, err := timestamp.ParseResponse(answer)
	if err != nil {
		t.Fatal(err)
	}
	return response.RawToken
}

func FuzzTST(f *testing.F) {
	country, err := pki.New(pki.Options{Seed: []byte("tsp")})
	if err != nil {
		f.Fatal(err)
	}
	c := &tsp.Client{Fetch: fetch.New(fetch.Options{Transport: signers.Direct{Handler: country.Handler()}}), Servers: []tsp.Server{{URL: "http://lab.invalid/tsa"}}}
	token, err := c.Stamp(context.Background(), crypto.SHA256, digestOf("seed"))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(token.Raw)
	f.Fuzz(func(t *testing.T, raw []byte) {
		got, err := tsp.Parse(raw)
		if err != nil {
			if !errors.Is(err, tsp.ErrToken) {
				t.Errorf("untyped error %v", err)
			}
			return
		}
		// Whatever verifies is the lab's, and about what the lab was asked; each
		// worker of the fuzzer asked at another time.
		if !bytes.Equal(got.Imprint, digestOf("seed")) {
			t.Errorf("a token that was never made: %+v", got)
		}
	})
}
