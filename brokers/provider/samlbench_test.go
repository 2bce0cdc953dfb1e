//go:build unix

package provider_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/oauth2"

	"github.com/eidbridge/eidbridge/brokers"
	"github.com/eidbridge/eidbridge/brokers/ballast"
	"github.com/eidbridge/eidbridge/brokers/clave"
	"github.com/eidbridge/eidbridge/brokers/provider"
	"github.com/eidbridge/eidbridge/brokers/saml"
	"github.com/eidbridge/eidbridge/fixtures/idps/badidp"
	"github.com/eidbridge/eidbridge/levels"
)

// samlLogin is one login through Cl@ve's dialect on its way.
type samlLogin struct {
	cookies []*http.Cookie
	fields  map[string]string // of the form to the gateway
	answer  badidp.Delivery
}

const (
	benchIssuer = "https://login.example"
	benchACS    = benchIssuer + "/upstream/clave/callback"
	benchIdP    = "https://pasarela.example"
)

// BenchmarkLoginThroughSAML measures whole logins through a SAML upstream of the
// POST binding on SQLite: signed request, judged answer, replay store, code and
// token; eight at a time. The identity provider's work is done while the clock
// stands still, between the two halves of a batch.
func BenchmarkLoginThroughSAML(b *testing.B) {
	keys, err := badidp.NewKeys(time.Now())
	if err != nil {
		b.Fatal(err)
	}
	p := samlProvider(b, keys)
	defer ballast.Load()()
	const batch = 64
	var used time.Duration
	for done := 0; done < b.N; done += batch {
		logins := make([]*samlLogin, min(batch, b.N-done))
		used -= processorTime(b)
		inParallel(b, len(logins), func(i int) (err error) { logins[i], err = beginSAML(p); return err })
		used += processorTime(b)
		b.StopTimer()
		inParallel(b, len(logins), func(i int) error { return logins[i].answered(keys) })
		b.StartTimer()
		used -= processorTime(b)
		inParallel(b, len(logins), func(i int) error { return logins[i].finish(p) })
		used += processorTime(b)
	}
	// Where other programs take the cores, the clock on the wall measures them, too.
	b.ReportMetric(float64(used.Microseconds())/float64(b.N), "cpu-µs/login")
	b.ReportMetric(2/(used.Seconds()/float64(b.N)), "logins/s-of-two-cores")
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "logins/s")
}

// processorTime is what this process has used of all cores.
func processorTime(b *testing.B) time.Duration {
	b.Helper()
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		b.Fatal(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

func inParallel(b *testing.B, n int, do func(int) error) {
	b.Helper()
	var wait sync.WaitGroup
	next := make(chan int)
	failed := make(chan error, n)
	for range 8 {
		wait.Go(func() {
			for i := range next {
				if err := do(i); err != nil {
					failed <- err
				}
			}
		})
	}
	for i := range n {
		next <- i
	}
	close(next)
	wait.Wait()
	select {
	case err := <-failed:
		b.Fatal(err)
	default:
	}
}

func samlProvider(b *testing.B, keys *badidp.Keys) *provider.Provider {
	b.Helper()
	clients, err := provider.NewStaticClients(levels.Default(), []provider.Client{portal()})
	if err != nil {
		b.Fatal(err)
	}
	signing, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		b.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "broker"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, signing.Public(), signing)
	if err != nil {
		b.Fatal(err)
	}
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		b.Fatal(err)
	}
	s := sqliteStore(b)
	replay, ok := s.(saml.ReplayStore)
	if !ok {
		b.Fatal("store remembers no assertions")
	}
	config := clave.Config{
		ProviderName: "S0000000X_E00000001;BENCH", ACSURL: benchACS, SigningKey: signing, Certificate: certificate, GatewayURL: benchIdP + "/Proxy2/ServiceProvider",
		SignedAssertions: true, Methods: []string{"clave-dnie"}, Replay: replay,
	}
	for _, c := range keys.Certificates() {
		config.GatewayCertificates = append(config.GatewayCertificates, clave.TrustedCertificate{Certificate: c})
	}
	upstream, err := clave.New(config)
	if err != nil {
		b.Fatal(err)
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		b.Fatal(err)
	}
	tokens, err := provider.NewKeys(provider.Key{Signer: key})
	if err != nil {
		b.Fatal(err)
	}
	p, err := provider.New(provider.Config{
		Issuer: benchIssuer, Clients: clients, Upstreams: []brokers.Upstream{upstream}, Store: s,
		Keys: tokens, PairwiseSecret: make([]byte, 32), Log: slog.New(slog.NewJSONHandler(io.Discard, nil)),
	})
	if err != nil {
		b.Fatal(err)
	}
	return p
}

func serve(p *provider.Provider, r *http.Request, cookies []*http.Cookie) *http.Response {
	for _, c := range cookies {
		r.AddCookie(c)
	}
	w := httptest.NewRecorder()
	p.ServeHTTP(w, r)
	return w.Result()
}

// hidden reads a field of a page's form. What the benchmark spends counts.
func hidden(page []byte, name string) string {
	_, after, _ := bytes.Cut(page, []byte(`name="`+name+`" value="`))
	value, _, _ := bytes.Cut(after, []byte(`"`))
	return strings.ReplaceAll(string(value), "&#43;", "+")
}

func beginSAML(p *provider.Provider) (*samlLogin, error) {
	q := url.Values{
		"client_id": {"portal"}, "redirect_uri": {redirectURI}, "response_type": {"code"}, "scope": {"openid name"}, "state": {"s"}, "nonce": {"n"},
		"code_challenge": {oauth2.S256ChallengeFromVerifier(verifier)}, "code_challenge_method": {"S256"},
	}
	response := serve(p, httptest.NewRequest(http.MethodGet, benchIssuer+"/authorize?"+q.Encode(), http.NoBody), nil)
	page, err := io.ReadAll(response.Body)
	if err != nil {
		return nil, err
	}
	l := &samlLogin{cookies: response.Cookies(), fields: map[string]string{"SAMLRequest": hidden(page, "SAMLRequest"), "RelayState": hidden(page, "RelayState")}}
	if l.fields["SAMLRequest"] == "" || l.fields["RelayState"] == "" {
		return nil, fmt.Errorf("authorize: %s without a form to the gateway: %.400s", response.Status, page)
	}
	return l, nil
}

var requestID = regexp.MustCompile(` ID="([^"]+)"`)

// answered is the gateway's part.
func (l *samlLogin) answered(keys *badidp.Keys) error {
	message, err := base64.StdEncoding.DecodeString(l.fields["SAMLRequest"])
	if err != nil {
		return err
	}
	id := requestID.FindSubmatch(message)
	if id == nil {
		return errors.New("request without ID")
	}
	const natural, own = "http://eidas.europa.eu/attributes/naturalperson/", "http://es.minhafp.clave/"
	right, _ := badidp.Find("right")
	l.answer, err = right.Answer(badidp.Exchange{
		IdP: benchIdP, SP: benchACS, ACS: benchACS, RequestID: string(id[1]), RelayState: l.fields["RelayState"], Now: time.Now(), Class: "http://eidas.europa.eu/LoA/high",
		Person: badidp.Person{NameID: "opaque", Attributes: []badidp.Attribute{
			{Name: natural + "PersonIdentifier", Value: "ES/ES/12345678Z"},
			{Name: natural + "CurrentGivenName", Value: "ANA"},
			{Name: natural + "CurrentFamilyName", Value: "PRUEBA"},
			{Name: own + "SelectedIdP", Value: "AFIRMA"},
			{Name: own + "RelayState", Value: l.fields["RelayState"]},
		}},
	}, keys)
	return err
}

// finish posts the answer without the cookie, as a browser does from another site,
// comes back with it, and redeems the code.
func (l *samlLogin) finish(p *provider.Provider) error {
	form := url.Values{}
	for _, f := range l.answer.Fields {
		form.Set(f.Name, f.Value)
	}
	r := httptest.NewRequest(http.MethodPost, benchACS, strings.NewReader(form.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	posted := serve(p, r, nil)
	resume, err := posted.Location()
	if err != nil {
		body, _ := io.ReadAll(posted.Body)
		return fmt.Errorf("callback: %s %.300s", posted.Status, body)
	}
	back, err := serve(p, httptest.NewRequest(http.MethodGet, resume.String(), http.NoBody), l.cookies).Location()
	if err != nil {
		return fmt.Errorf("resume: %w", err)
	}
	if back.Query().Get("code") == "" {
		return fmt.Errorf("resume: %s", back)
	}
	redeem := url.Values{"grant_type": {"authorization_code"}, "code": {back.Query().Get("code")}, "redirect_uri": {redirectURI}, "code_verifier": {verifier}}
	r = httptest.NewRequest(http.MethodPost, benchIssuer+"/token", strings.NewReader(redeem.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.SetBasicAuth("portal", url.QueryEscape(secret))
	token := serve(p, r, nil)
	body, err := io.ReadAll(token.Body)
	if err != nil || !strings.Contains(string(body), `"id_token"`) {
		return fmt.Errorf("token: %s %.200s", token.Status, body)
	}
	return nil
}
