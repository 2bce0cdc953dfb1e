package ocsp_test

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"math/big"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	xocsp "golang.org/x/crypto/ocsp"

	"github.com/eidbridge/eidbridge/fixtures/pki"
	"github.com/eidbridge/eidbridge/fixtures/signers"
	"github.com/eidbridge/eidbridge/signing/fetch"
	"github.com/eidbridge/eidbridge/signing/ocsp"
)

// lab is a country that can be asked, with one citizen.
func lab(t testing.TB) (country *signers.Country, certificate, issuer *x509.Certificate, client *ocsp.Client) {
	t.Helper()
	country = signers.NewCountry(t)
	client = &ocsp.Client{Fetch: fetch.New(fetch.Options{Allow: []string{country.Address}, Timeout: time.Minute})}
	return country, country.Citizen.Certificate, country.Issuers()[0], client
}

func TestAskTheLab(t *testing.T) {
	country, certificate, issuer, client := lab(t)
	r, err := client.Ask(t.Context(), certificate, issuer)
	if err != nil {
		t.Fatal(err)
	}
	if r.Status != ocsp.Good || !r.Delegated || !r.NoCheck || r.Nonce == nil || r.NextUpdate.IsZero() {
		t.Errorf("answer %+v", r)
	}
	oracle, err := xocsp.ParseResponseForCert(r.Raw, certificate, issuer)
	if err != nil || oracle.Status != xocsp.Good || !oracle.ThisUpdate.Equal(r.ThisUpdate) {
		t.Errorf("x/crypto/ocsp: %+v, %v", oracle, err)
	}
	at := time.Now().Add(-time.Hour).Truncate(time.Second)
	if err := country.Revoke(certificate, at, pki.KeyCompromise); err != nil {
		t.Fatal(err)
	}
	if r, err = client.Ask(t.Context(), certificate, issuer); err != nil || r.Status != ocsp.Revoked || !r.RevokedAt.Equal(at) || r.Reason != 1 {
		t.Errorf("revoked: %+v, %v", r, err)
	}
	stranger := *certificate
	stranger.SerialNumber = big.NewInt(12345)
	if r, err = client.Ask(t.Context(), &stranger, issuer); err != nil || r.Status != ocsp.Unknown {
		t.Errorf("a stranger: %+v, %v", r, err)
	}
	client.Clock = func() time.Time { return time.Now().Add(time.Hour) }
	if _, err := client.Ask(t.Context(), certificate, issuer); !errors.Is(err, ocsp.ErrResponse) {
		t.Errorf("out of date: %v", err)
	}
}

// forge makes answers with x/crypto/ocsp.
func forge(t *testing.T, issuer, responder *x509.Certificate, key crypto.Signer, serial *big.Int) []byte {
	t.Helper()
	raw, err := xocsp.CreateResponse(issuer, responder, xocsp.Response{
		Status: xocsp.Good, SerialNumber: serial, ThisUpdate: time.Now().Add(-time.Minute), NextUpdate: time.Now().Add(time.Hour), Certificate: responder,
	}, key)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func certificate(t *testing.T, template, parent *x509.Certificate, key crypto.Signer, parentKey crypto.Signer) *x509.Certificate {
	t.Helper()
	template.NotBefore, template.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	if parent == nil {
		parent = template
	}
	raw, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), parentKey)
	if err != nil {
		t.Fatal(err)
	}
	c, err := x509.ParseCertificate(raw)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func newKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// TestRespondersFoundElsewhere reads an answer without certificates: its responder is
// among others of a document, where it needs to be certified all the same (P-24).
func TestRespondersFoundElsewhere(t *testing.T) {
	issuerKey, otherKey, responderKey := newKey(t), newKey(t), newKey(t)
	ca := func(key *ecdsa.PrivateKey) *x509.Certificate {
		return certificate(t, &x509.Certificate{
			SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "CA"}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
		}, nil, key, key)
	}
	issuer, other := ca(issuerKey), ca(otherKey)
	leaf := certificate(t, &x509.Certificate{SerialNumber: big.NewInt(7), Subject: pkix.Name{CommonName: "leaf"}}, issuer, newKey(t), issuerKey)
	responder := func(usage []x509.ExtKeyUsage, parent *x509.Certificate, key *ecdsa.PrivateKey) *x509.Certificate {
		return certificate(t, &x509.Certificate{SerialNumber: big.NewInt(8), Subject: pkix.Name{CommonName: "responder"}, ExtKeyUsage: usage}, parent, responderKey, key)
	}
	usage := []x509.ExtKeyUsage{x509.ExtKeyUsageOCSPSigning}
	right, unmarked, foreign := responder(usage, issuer, issuerKey), responder(nil, issuer, issuerKey), responder(usage, other, otherKey)
	raw, err := xocsp.CreateResponse(issuer, right, xocsp.Response{
		Status: xocsp.Good, SerialNumber: leaf.SerialNumber, ThisUpdate: time.Now().Add(-time.Minute), NextUpdate: time.Now().Add(time.Hour),
	}, responderKey)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := ocsp.Parse(raw, leaf, issuer); !errors.Is(err, ocsp.ErrResponse) {
		t.Errorf("with nobody at hand: %v", err)
	}
	for name, c := range map[string]struct {
		at   []*x509.Certificate
		good bool
	}{
		"the responder":               {[]*x509.Certificate{leaf, right}, true},
		"behind others of that name":  {[]*x509.Certificate{unmarked, foreign, right}, true},
		"without the usage":           {[]*x509.Certificate{unmarked}, false},
		"certified by somebody else":  {[]*x509.Certificate{foreign}, false},
		"one who is no responder":     {[]*x509.Certificate{leaf}, false},
		"an issuer that did not sign": {[]*x509.Certificate{issuer, other}, false},
	} {
		r, err := ocsp.ParseAmong(raw, leaf, issuer, nil, func() []*x509.Certificate { return c.at })
		if good := err == nil && r.Status == ocsp.Good && r.Delegated; good != c.good || !good && !errors.Is(err, ocsp.ErrResponse) {
			t.Errorf("%s: %+v, %v", name, r, err)
		}
	}
}

// TestForgedAnswersAreNotUsed (P-24).
func TestForgedAnswersAreNotUsed(t *testing.T) {
	issuerKey, otherKey, responderKey := newKey(t), newKey(t), newKey(t)
	ca := func(key *ecdsa.PrivateKey) *x509.Certificate {
		return certificate(t, &x509.Certificate{
			SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "CA"}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
		}, nil, key, key)
	}
	issuer, other := ca(issuerKey), ca(otherKey)
	leaf := certificate(t, &x509.Certificate{SerialNumber: big.NewInt(7), Subject: pkix.Name{CommonName: "leaf"}}, issuer, newKey(t), issuerKey)
	responder := func(usage []x509.ExtKeyUsage, parent *x509.Certificate, key *ecdsa.PrivateKey) *x509.Certificate {
		return certificate(t, &x509.Certificate{SerialNumber: big.NewInt(8), Subject: pkix.Name{CommonName: "responder"}, ExtKeyUsage: usage}, parent, responderKey, key)
	}
	signing := []x509.ExtKeyUsage{x509.ExtKeyUsageOCSPSigning}
	good := forge(t, issuer, responder(signing, issuer, issuerKey), responderKey, leaf.SerialNumber)
	if r, err := ocsp.Parse(good, leaf, issuer); err != nil || r.Status != ocsp.Good || !r.Delegated || r.NoCheck {
		t.Fatalf("the right one: %+v, %v", r, err)
	}
	direct := forge(t, issuer, issuer, issuerKey, leaf.SerialNumber)
	if r, err := ocsp.Parse(direct, leaf, issuer); err != nil || r.Delegated {
		t.Fatalf("by the issuer itself: %+v, %v", r, err)
	}
	broken := bytes.Clone(good)
	broken[len(broken)-1] ^= 1
	changed := bytes.Clone(direct)
	changed[100] ^= 1 // in the signed part; the certificates behind it are not
	for name, raw := range map[string][]byte{
		"responder without the usage":        forge(t, issuer, responder(nil, issuer, issuerKey), responderKey, leaf.SerialNumber),
		"responder of a namesake":            forge(t, issuer, responder(signing, other, otherKey), responderKey, leaf.SerialNumber),
		"issuer of the same name":            forge(t, other, other, otherKey, leaf.SerialNumber),
		"same serial number, another issuer": forge(t, other, responder(signing, issuer, issuerKey), responderKey, leaf.SerialNumber),
		"another serial number":              forge(t, issuer, issuer, issuerKey, big.NewInt(9)),
		"changed signature of the responder": broken,
		"changed content":                    changed,
		"bytes behind":                       append(bytes.Clone(good), 0),
		"error":                              {0x30, 3, 10, 1, 6},
		"successful without content":         {0x30, 3, 10, 1, 0},
		"nothing":                            nil,
		"more than sixty-four kilobytes":     make([]byte, fetch.MaxOCSP+1),
	} {
		if r, err := ocsp.Parse(raw, leaf, issuer); !errors.Is(err, ocsp.ErrResponse) {
			t.Errorf("%s: %+v, %v", name, r, err)
		}
	}
}

// TestOpenSSLUnderstandsUs has openssl read our request and verify the lab's
// answer with it.
func TestOpenSSLUnderstandsUs(t *testing.T) {
	_, leaf, issuer, client := lab(t)
	request, err := ocsp.Request(leaf, issuer, []byte("0123456789abcdef"))
	if err != nil {
		t.Fatal(err)
	}
	r, err := client.Ask(t.Context(), leaf, issuer)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for name, data := range map[string][]byte{"q": request, "a": r.Raw} {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	out, err := exec.Command("openssl", "ocsp", "-reqin", filepath.Join(dir, "q"), "-respin", filepath.Join(dir, "a"), "-noverify", "-text").CombinedOutput()
	if err != nil || !strings.Contains(string(out), "OCSP Nonce") || !strings.Contains(string(out), "Cert Status: good") {
		t.Errorf("openssl: %v\n%s", err, out)
	}
}

func FuzzOCSP(f *testing.F) {
	country, err := pki.New(pki.Options{Seed: []byte("ocsp")})
	if err != nil {
		f.Fatal(err)
	}
	keys, err := country.EstonianCitizen(pki.Persons()[0])
	if err != nil {
		f.Fatal(err)
	}
	leaf, issuer := keys.Signature.Certificate, country.Issuers()[0]
	client := &ocsp.Client{Fetch: fetch.New(fetch.Options{Transport: signers.Direct{Handler: country.Handler()}})}
	r, err := client.Ask(f.Context(), leaf, issuer)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(r.Raw)
	f.Fuzz(func(t *testing.T, raw []byte) {
		got, err := ocsp.Parse(raw, leaf, issuer)
		if err != nil && !errors.Is(err, ocsp.ErrResponse) {
			t.Errorf("untyped error %v", err)
		}
		if err == nil && got.Status != r.Status {
			t.Errorf("an answer that was never given: %+v", got)
		}
	})
}
