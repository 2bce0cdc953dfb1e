package authcert_test

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"math/big"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/eidbridge/eidbridge/brokers"
	"github.com/eidbridge/eidbridge/brokers/authcert"
	"github.com/eidbridge/eidbridge/brokers/brokertest"
	"github.com/eidbridge/eidbridge/brokers/nationalid"
	"github.com/eidbridge/eidbridge/fixtures/pki"
	"github.com/eidbridge/eidbridge/signing/fetch"
	"github.com/eidbridge/eidbridge/signing/weakkey/weakkeytest"
)

// land is a country whose responders can be stopped.
type land struct {
	*pki.Country
	judge *authcert.Judge
	down  atomic.Bool
}

func newLand(t testing.TB) *land {
	t.Helper()
	l := &land{}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if l.down.Load() {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		l.Handler().ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	var err error
	if l.Country, err = pki.New(pki.Options{BaseURL: server.URL}); err != nil {
		t.Fatal(err)
	}
	l.judge, err = authcert.New(authcert.Judge{
		Anchors: l.Roots(), Intermediates: l.Issuers(),
		Fetch: fetch.New(fetch.Options{Allow: []string{strings.TrimPrefix(server.URL, "http://")}, Timeout: time.Minute}),
	})
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func person(t testing.TB, number string) pki.Person {
	t.Helper()
	p, ok := pki.Citizen(number)
	if !ok {
		t.Fatal("no such person")
	}
	return p
}

var cardPurpose = authcert.Purpose{Usages: []string{authcert.UsageClientAuth}, Optional: true, Refused: []string{"1.3.6.1.4.1.10015.18.1"}}

func TestCheckReadsTheHolder(t *testing.T) {
	t.Parallel()
	l := newLand(t)
	ee, err := l.EstonianCitizen(person(t, "60001019906"))
	if err != nil {
		t.Fatal(err)
	}
	es, err := l.SpanishCitizen(person(t, "99999018D"))
	if err != nil {
		t.Fatal(err)
	}
	for name, row := range map[string]struct {
		certificate   *x509.Certificate
		identity      nationalid.Identity
		given, family string
		policy        string
	}{
		"Estonian card": {ee.Authentication.Certificate, nationalid.Identity{Key: "ee-ik:60001019906", Country: "EE", Birthdate: "2000-01-01"}, "MARI-LIIS", "MÄNNIK", "1.3.6.1.4.1.51361.1.2.1"},
		"Spanish card":  {es.Authentication.Certificate, nationalid.Identity{Key: "es-nif:99999018D", Country: "ES"}, "CARMEN", "PRUEBA", "2.16.724.1.2.2.2.4"},
	} {
		h, err := l.judge.Check(t.Context(), row.certificate, nil, cardPurpose)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if h.Identity != row.identity || h.GivenName != row.given || h.FamilyName != row.family || !h.Has(row.policy) || h.Qualified {
			t.Errorf("%s: %+v", name, h)
		}
		if err := l.judge.Revocation(t.Context(), h); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestCheckRefuses(t *testing.T) {
	t.Parallel()
	l, other := newLand(t), newLand(t)
	ee, err := l.EstonianCitizen(person(t, "60001019906"))
	if err != nil {
		t.Fatal(err)
	}
	expired, err := l.Expired(ee)
	if err != nil {
		t.Fatal(err)
	}
	phone, err := l.MobileIDCitizen(person(t, "60001019906"))
	if err != nil {
		t.Fatal(err)
	}
	service, err := l.IssueService("a service", "localhost")
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(service.Certificate[0])
	if err != nil {
		t.Fatal(err)
	}
	strict := authcert.Purpose{Usages: []string{"1.3.6.1.4.1.62306.5.7.0"}}
	crowd := make([]*x509.Certificate, 9)
	for i := range crowd {
		crowd[i] = leaf
	}
	trusting, err := authcert.New(authcert.Judge{Anchors: []*x509.Certificate{l.ServicesCA()}})
	if err != nil {
		t.Fatal(err)
	}
	for name, row := range map[string]struct {
		judge         *authcert.Judge
		certificate   *x509.Certificate
		intermediates []*x509.Certificate
		purpose       authcert.Purpose
		reason        string
		category      brokers.Category
	}{
		"other country":              {other.judge, ee.Authentication.Certificate, ee.Issuers, cardPurpose, authcert.ReasonPath, brokers.CategoryCard},
		"expired":                    {l.judge, expired.Authentication.Certificate, nil, cardPurpose, authcert.ReasonValidity, brokers.CategoryCard},
		"signature certificate":      {l.judge, ee.Signature.Certificate, nil, cardPurpose, authcert.ReasonPurpose, brokers.CategoryCard},
		"an authority":               {l.judge, l.Issuers()[0], nil, cardPurpose, authcert.ReasonPurpose, brokers.CategoryCard},
		"usage of another means":     {l.judge, ee.Authentication.Certificate, nil, strict, authcert.ReasonPurpose, brokers.CategoryCard},
		"no usage where one must be": {l.judge, phone.Certificate, nil, strict, authcert.ReasonPurpose, brokers.CategoryCard},
		"telephone as a card":        {l.judge, phone.Certificate, nil, cardPurpose, authcert.ReasonPolicy, brokers.CategoryCard},
		"no person":                  {trusting, leaf, nil, cardPurpose, authcert.ReasonSubject, brokers.CategoryCard},
		"a crowd of intermediates":   {l.judge, ee.Authentication.Certificate, crowd, cardPurpose, authcert.ReasonPath, brokers.CategoryProtocol},
	} {
		_, err := row.judge.Check(t.Context(), row.certificate, row.intermediates, row.purpose)
		t.Run(name, func(t *testing.T) { brokertest.Rejected(t, name, err, row.reason, row.category) })
	}
	early := *l.judge
	early.Clock = func() time.Time { return time.Now().Add(-48 * time.Hour) }
	_, err = early.Check(t.Context(), ee.Authentication.Certificate, nil, cardPurpose)
	brokertest.Rejected(t, "before it is valid", err, authcert.ReasonValidity, brokers.CategoryCard)
	if _, err := authcert.New(authcert.Judge{}); err == nil {
		t.Error("a judge without anchors was made")
	}
}

// Nobody is let in without a positive answer about revocation.
func TestRevocationMustBePositive(t *testing.T) {
	t.Parallel()
	l := newLand(t)
	keys, err := l.EstonianCitizen(person(t, "38001085718"))
	if err != nil {
		t.Fatal(err)
	}
	h, err := l.judge.Check(t.Context(), keys.Authentication.Certificate, nil, cardPurpose)
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Revoke(h.Certificate, time.Now().Add(-time.Hour), pki.CertificateHold); err != nil {
		t.Fatal(err)
	}
	brokertest.Rejected(t, "on hold", l.judge.Revocation(t.Context(), h), authcert.ReasonRevoked, brokers.CategoryCard)
	if err := l.Reinstate(h.Certificate); err != nil {
		t.Fatal(err)
	}
	if err := l.judge.Revocation(t.Context(), h); err != nil {
		t.Errorf("after the suspension: %v", err)
	}
	if err := l.Revoke(h.Certificate, time.Now().Add(-time.Hour), pki.KeyCompromise); err != nil {
		t.Fatal(err)
	}
	brokertest.Rejected(t, "revoked", l.judge.Revocation(t.Context(), h), authcert.ReasonRevoked, brokers.CategoryCard)
	l.down.Store(true)
	brokertest.Rejected(t, "nobody answers", l.judge.Revocation(t.Context(), h), authcert.ReasonRevocation, brokers.CategoryUnavailable)
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	brokertest.Rejected(t, "given up", l.judge.Revocation(ended, h), authcert.ReasonRevocation, brokers.CategoryUnavailable)
	// I-3: addresses inside the machine are asked only if the operator says so.
	guarded, err := authcert.New(authcert.Judge{Anchors: l.Roots(), Intermediates: l.Issuers()})
	if err != nil {
		t.Fatal(err)
	}
	l.down.Store(false)
	brokertest.Rejected(t, "no local address may be asked", guarded.Revocation(t.Context(), h), authcert.ReasonRevocation, brokers.CategoryUnavailable)
}

func TestParseRefusesWeakKeys(t *testing.T) {
	make := func(key crypto.Signer) []byte {
		template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "x"}, NotAfter: time.Now().Add(time.Hour)}
		der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
		if err != nil {
			t.Fatal(err)
		}
		return der
	}
	t.Setenv("GODEBUG", "rsa1024min=0")
	short, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	p224, err := ecdsa.GenerateKey(elliptic.P224(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	p256, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	guessable, err := weakkeytest.Key(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for name, key := range map[string]crypto.Signer{"O-30 RSA of 1024 bits": short, "P-224": p224, "C-36 RSA that can be computed": guessable} {
		_, err := authcert.Parse(make(key))
		t.Run(name, func(t *testing.T) { brokertest.Rejected(t, name, err, authcert.ReasonKey, brokers.CategoryCard) })
	}
	good := make(p256)
	if _, err := authcert.Parse(good); err != nil {
		t.Error(err)
	}
	for _, bad := range [][]byte{nil, good[:len(good)-1], append([]byte{}, append(good, 0)...), bytes64k()} {
		_, err := authcert.Parse(bad)
		brokertest.Rejected(t, fmt.Sprintf("%d bytes", len(bad)), err, authcert.ReasonMalformed, brokers.CategoryProtocol)
	}
}

func bytes64k() []byte { return make([]byte, 64<<10+1) }

// O-30: forms of signatures.
func TestVerifyTakesOneForm(t *testing.T) {
	t.Parallel()
	l := newLand(t)
	ee, err := l.EstonianCitizen(person(t, "60001019906"))
	if err != nil {
		t.Fatal(err)
	}
	es, err := l.SpanishCitizen(person(t, "99999018D"))
	if err != nil {
		t.Fatal(err)
	}
	digest := sha256.Sum256([]byte("challenge"))
	key := ee.Authentication.Key.(*ecdsa.PrivateKey)
	r, s, err := ecdsa.Sign(rand.Reader, key, digest[:])
	if err != nil {
		t.Fatal(err)
	}
	raw := append(r.FillBytes(make([]byte, 48)), s.FillBytes(make([]byte, 48))...)
	der, err := key.Sign(rand.Reader, digest[:], crypto.SHA256)
	if err != nil {
		t.Fatal(err)
	}
	pkcs1, err := es.Authentication.Key.Sign(rand.Reader, digest[:], crypto.SHA256)
	if err != nil {
		t.Fatal(err)
	}
	pss, err := es.Authentication.Key.Sign(rand.Reader, digest[:], &rsa.PSSOptions{SaltLength: 32, Hash: crypto.SHA256})
	if err != nil {
		t.Fatal(err)
	}
	short, err := es.Authentication.Key.Sign(rand.Reader, digest[:], &rsa.PSSOptions{SaltLength: 20, Hash: crypto.SHA256})
	if err != nil {
		t.Fatal(err)
	}
	other := sha256.Sum256([]byte("other challenge"))
	eec, esc := ee.Authentication.Certificate, es.Authentication.Certificate
	for name, row := range map[string]struct {
		certificate *x509.Certificate
		scheme      authcert.Scheme
		digest      []byte
		signature   []byte
		good        bool
	}{
		"ECDSA":                    {eec, authcert.ECDSA, digest[:], raw, true},
		"PKCS #1":                  {esc, authcert.PKCS1, digest[:], pkcs1, true},
		"PSS":                      {esc, authcert.PSS, digest[:], pss, true},
		"O-30 ECDSA as DER":        {eec, authcert.ECDSA, digest[:], der, false},
		"O-30 ECDSA all zero":      {eec, authcert.ECDSA, digest[:], make([]byte, 96), false},
		"O-30 ECDSA too long":      {eec, authcert.ECDSA, digest[:], append(raw, 0), false},
		"other content":            {eec, authcert.ECDSA, other[:], raw, false},
		"digest cut":               {eec, authcert.ECDSA, digest[:31], raw, false},
		"O-23 RSA scheme, EC key":  {eec, authcert.PSS, digest[:], raw, false},
		"O-23 EC scheme, RSA key":  {esc, authcert.ECDSA, digest[:], pkcs1, false},
		"PKCS #1 as PSS":           {esc, authcert.PSS, digest[:], pkcs1, false},
		"PSS as PKCS #1":           {esc, authcert.PKCS1, digest[:], pss, false},
		"PSS with another salt":    {esc, authcert.PSS, digest[:], short, false},
		"PSS over another content": {esc, authcert.PSS, other[:], pss, false},
		"empty":                    {esc, authcert.PKCS1, digest[:], nil, false},
	} {
		err := authcert.Verify(row.certificate, row.scheme, crypto.SHA256, row.digest, row.signature)
		if row.good != (err == nil) {
			t.Errorf("%s: %v", name, err)
		}
		if err != nil {
			brokertest.Rejected(t, name, err, authcert.ReasonSignature, brokers.CategoryProtocol)
		}
	}
}

// Whatever is read as a certificate is one that x509 reads, with a strong key.
func FuzzParse(f *testing.F) {
	l := newLand(f)
	keys, err := l.EstonianCitizen(person(f, "60001019906"))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(keys.Authentication.Certificate.Raw)
	f.Add(l.Roots()[0].Raw)
	f.Fuzz(func(t *testing.T, der []byte) {
		c, err := authcert.Parse(der)
		if err != nil {
			return
		}
		_, err = l.judge.Check(context.Background(), c, nil, cardPurpose)
		if err == nil && string(c.Raw) != string(keys.Authentication.Certificate.Raw) {
			t.Error("a certificate that nobody issued was accepted")
		}
	})
}
