package clave

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"errors"
	"math/big"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/eidbridge/eidbridge/brokers"
	"github.com/eidbridge/eidbridge/fixtures/demo"
	emulator "github.com/eidbridge/eidbridge/fixtures/idps/clave"
	eidasnode "github.com/eidbridge/eidbridge/fixtures/idps/eidas"
	"github.com/eidbridge/eidbridge/fixtures/pki"
	"github.com/eidbridge/eidbridge/levels"
)

const localURL = "http://localhost:8181/upstream/clave/"

func (l *lab) says(t *testing.T, text string) {
	t.Helper()
	if !strings.Contains(l.page.Text(), text) {
		t.Errorf("page does not say %q:\n%s", text, l.page.Text())
	}
}

// again sends the browser to the page that it is on.
func (l *lab) again(t *testing.T) {
	t.Helper()
	var err error
	if l.page, err = l.browser.Open(t.Context(), l.page.URL.String()); err != nil {
		t.Fatal(err)
	}
}

func (l *lab) arrives(t *testing.T, key string, level levels.Level) {
	t.Helper()
	event, err := l.finish(t)
	if err != nil {
		t.Fatal(err)
	}
	if event.Subject.Key != key || event.Assessment.Level != level {
		t.Errorf("subject %q at %s, want %q at %s", event.Subject.Key, event.Assessment.Level, key, level)
	}
}

// TestAppReadsTheCode: whoever scans the code and confirms is logged in, at the
// level of the registration; the telephone speaks Spanish.
func TestAppReadsTheCode(t *testing.T) {
	l := newLab(t)
	for owner, level := range map[string]levels.Level{"99999018D": levels.Substantial, "99999999R": levels.Low} {
		l.begin(t, "clave-movil", level)
		l.step(t, "method", "method", "movil")
		waiting := l.gateway.Phones().Waiting("")
		if len(waiting) != 1 {
			t.Fatalf("app has %+v", waiting)
		}
		l.says(t, waiting[0].Code)
		code, err := l.browser.Open(t.Context(), l.page.URL.String()+"/code.svg")
		if err != nil || code.Status != http.StatusOK || code.Header.Get("Content-Type") != "image/svg+xml" || !strings.HasPrefix(string(code.Body), "<svg") {
			t.Fatalf("code: %v, %d", err, code.Status)
		}
		phone, err := l.browser.Open(t.Context(), l.page.URL.Scheme+"://"+l.page.URL.Host+"/lab/phone?session="+waiting[0].ID)
		if err != nil || !strings.Contains(phone.Text(), "le pide que se identifique") {
			t.Fatalf("telephone: %v\n%s", err, phone.Text())
		}
		form, err := phone.FormWith("pin")
		if err != nil {
			t.Fatal(err)
		}
		if phone, err = l.browser.Submit(t.Context(), form, map[string]string{"owner": owner, "pin": emulator.AppPIN, "answer": "confirm"}); err != nil || !strings.Contains(phone.Text(), "Ha confirmado") {
			t.Fatalf("telephone: %v\n%s", err, phone.Text())
		}
		l.again(t)
		l.arrives(t, "es-nif:"+owner, level)
	}
	// Refused in the app.
	l.begin(t, "clave-movil", levels.Low)
	l.step(t, "method", "method", "movil")
	session := l.gateway.Phones().Waiting("")[0].ID
	l.gateway.Phones().Scan(session, "99999018D")
	l.gateway.Phones().Answer(session, "", true)
	l.again(t)
	if _, err := l.finish(t); !errors.Is(err, brokers.ErrCancelled) {
		t.Errorf("refused: %v", err)
	}
}

// TestExpiredPasswordIsChanged: a password that has expired opens nothing but the
// page that changes it, by the rules; the new one stays.
func TestExpiredPasswordIsChanged(t *testing.T) {
	l := newLab(t)
	const number, chosen = "Z0000000M", "Otra-2026"
	l.begin(t, "clave-permanente", levels.Low)
	l.step(t, "method", "method", "permanente")
	l.step(t, "permanente", "number", number, "password", emulator.Password)
	l.says(t, "ha caducado")
	for _, row := range []struct{ first, second, text string }{
		{emulator.Password, emulator.Password, "distinta"},
		{"Corta-1", "Corta-1", "condiciones"},
		{"solominusculas", "solominusculas", "condiciones"},
		{"Olga-2026x", "Olga-2026x", "condiciones"},
		{"a-z0000000M", "a-z0000000M", "condiciones"},
		{chosen, chosen + "x", "no son iguales"},
	} {
		l.step(t, "change", "new", row.first, "again", row.second)
		l.says(t, row.text)
	}
	l.step(t, "change", "new", chosen, "again", chosen)
	l.arrives(t, "es-nif:"+number, levels.Low)
	l.begin(t, "clave-permanente", levels.Low)
	l.step(t, "method", "method", "permanente")
	l.step(t, "permanente", "number", number, "password", emulator.Password)
	l.says(t, "incorrectos")
	l.step(t, "permanente", "number", number, "password", chosen)
	l.arrives(t, "es-nif:"+number, levels.Low)
}

// TestCodesExpire: the PIN of a day, the code by message and the request to the app
// end when they say.
func TestCodesExpire(t *testing.T) {
	l := newLab(t)
	later := func(seconds string) {
		t.Helper()
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, l.page.URL.Scheme+"://"+l.page.URL.Host+"/_control/time", strings.NewReader(`{"offset_s":`+seconds+`}`))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Content-Type", "application/json")
		response, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		response.Body.Close()
		if response.StatusCode != http.StatusNoContent {
			t.Fatalf("time: %s", response.Status)
		}
	}
	l.begin(t, "clave-pin", levels.Substantial)
	l.step(t, "method", "method", "pin")
	l.step(t, "pin", "number", "99999018D", "contrast", "2030-06-15")
	later("601")
	l.step(t, "pincode", "code", l.lastCode(t))
	l.says(t, "caducado")
	later("0")
	l.begin(t, "clave-permanente-sms", levels.Substantial)
	l.step(t, "method", "method", "permanente")
	l.step(t, "permanente", "number", "99999018D", "password", emulator.Password)
	later("301")
	l.step(t, "sms", "code", l.lastCode(t))
	l.says(t, "caducado")
	// Another one can be had by then, three times in all.
	for range 2 {
		l.step(t, "resend")
		later("332")
	}
	l.step(t, "resend")
	l.says(t, "Espere")
	later("0")
	l.begin(t, "clave-movil", levels.Substantial)
	l.step(t, "method", "method", "movil")
	l.step(t, "movil", "number", "99999018D", "contrast", "2030-06-15")
	later("301")
	l.again(t)
	l.says(t, "Nadie ha confirmado")
}

// TestCertificateInTheHandshake: the card's certificate, and one of software, are
// asked for by TLS on a port of its own, without naming authorities.
func TestCertificateInTheHandshake(t *testing.T) {
	country, err := pki.New(pki.Options{BaseURL: "http://127.0.0.1:1"})
	if err != nil {
		t.Fatal(err)
	}
	person, _ := pki.Citizen("99999018D")
	card, err := country.SpanishCitizen(person)
	if err != nil {
		t.Fatal(err)
	}
	stale, err := country.Expired(card)
	if err != nil {
		t.Fatal(err)
	}
	lost, err := country.SpanishCitizen(person)
	if err != nil {
		t.Fatal(err)
	}
	estonian, err := country.EstonianCitizen(pki.Persons()[0])
	if err != nil {
		t.Fatal(err)
	}
	software, authority := softwareCertificate(t, "IDCES-12345678Z")
	stranger, _ := softwareCertificate(t, "IDCES-12345678Z")
	port := httptest.NewUnstartedServer(nil)
	roots, intermediates := x509.NewCertPool(), x509.NewCertPool()
	for _, c := range append(country.Roots(), authority) {
		roots.AddCert(c)
	}
	for _, c := range country.Issuers() {
		intermediates.AddCert(c)
	}
	l := newLabWith(t, localURL, func(o *emulator.Options) {
		o.Certificates = &emulator.Certificates{
			BaseURL: "https://" + port.Listener.Addr().String(), Roots: roots, Intermediates: intermediates,
			Revoked: func(c *x509.Certificate) bool { return c.Equal(lost.Authentication.Certificate) },
		}
	})
	port.TLS = emulator.CertificateTLS(tls.Certificate{Certificate: [][]byte{pairs().other.cert.Raw}, PrivateKey: pairs().other.key})
	port.Config.Handler = l.gateway.CertificateHandler()
	port.StartTLS()
	t.Cleanup(port.Close)
	pair := func(c *x509.Certificate, key crypto.Signer) *tls.Certificate {
		return &tls.Certificate{Certificate: [][]byte{c.Raw}, PrivateKey: key}
	}
	for _, row := range []struct {
		name, method string
		shown        *tls.Certificate
		key          string
		level        levels.Level
		says         string
	}{
		{"card", "clave-dnie", pair(card.Authentication.Certificate, card.Authentication.Key), "es-nif:99999018D", levels.High, ""},
		{"software", "clave-certificado", software, "es-nif:12345678Z", levels.Substantial, ""},
		{"software for a level that it does not reach", "clave-dnie", software, "", levels.High, ""},
		{"none", "clave-certificado", nil, "", levels.Low, "Elija un certificado"},
		{"expired", "clave-dnie", pair(stale.Authentication.Certificate, stale.Authentication.Key), "", levels.High, "ha caducado"},
		{"revoked", "clave-dnie", pair(lost.Authentication.Certificate, lost.Authentication.Key), "", levels.High, "revocado"},
		{"of an unknown authority", "clave-certificado", stranger, "", levels.Low, "no es de una autoridad"},
		{"that signs documents", "clave-dnie", pair(card.Signature.Certificate, card.Signature.Key), "", levels.High, "no es de una autoridad"},
		{"of another country", "clave-dnie", pair(estonian.Authentication.Certificate, estonian.Authentication.Key), "", levels.High, ""},
	} {
		t.Run(row.name, func(t *testing.T) {
			l.begin(t, row.method, row.level)
			l.step(t, "method", "method", "certificate")
			login := l.page.URL.String()
			id := login[strings.LastIndex(login, "/")+1:]
			asked := handshake(t, port, "/certificate/"+id, row.shown)
			if asked != nil && len(asked.AcceptableCAs) != 0 {
				t.Errorf("names %d authorities", len(asked.AcceptableCAs))
			}
			l.again(t)
			switch {
			case row.key != "":
				l.arrives(t, row.key, row.level)
			case row.says != "":
				l.says(t, row.says)
			default:
				var rejected *brokers.RejectedError
				if _, err := l.finish(t); !errors.As(err, &rejected) || rejected.Reason != reasonLevel {
					t.Errorf("error = %v", err)
				}
			}
		})
	}
}

// handshake visits the port with a certificate, or without one, and returns what was
// asked for.
func handshake(t *testing.T, port *httptest.Server, path string, shown *tls.Certificate) *tls.CertificateRequestInfo {
	t.Helper()
	var asked *tls.CertificateRequestInfo
	client := &http.Client{
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: &http.Transport{TLSClientConfig: &tls.Config{
			InsecureSkipVerify: true, // what the browser thinks of the port is not the subject
			GetClientCertificate: func(info *tls.CertificateRequestInfo) (*tls.Certificate, error) {
				if asked = info; shown == nil {
					return &tls.Certificate{}, nil
				}
				return shown, nil
			},
		}},
	}
	response, err := client.Get(port.URL + path)
	if err != nil {
		t.Fatal(err)
	}
	response.Body.Close()
	if response.StatusCode != http.StatusSeeOther {
		t.Fatalf("port answers %s", response.Status)
	}
	return asked
}

// softwareCertificate is one of an authority of its own, without the policy of a
// card.
func softwareCertificate(t *testing.T, serial string) (*tls.Certificate, *x509.Certificate) {
	t.Helper()
	parent := pairs().gateway
	root := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: "AC de prueba " + rand.Text()}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, root, root, parent.key.Public(), parent.key)
	if err != nil {
		t.Fatal(err)
	}
	authority, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	leaf := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{SerialNumber: serial, CommonName: "ANA"}, KeyUsage: x509.KeyUsageDigitalSignature,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	if der, err = x509.CreateCertificate(rand.Reader, leaf, authority, key.Public(), parent.key); err != nil {
		t.Fatal(err)
	}
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, authority
}

// TestCitizensOfOtherCountriesGoToTheNode: the gateway asks the emulated eIDAS node,
// which asks for country, consent and password, and gives on what it says.
func TestCitizensOfOtherCountriesGoToTheNode(t *testing.T) {
	l := newLabAtNode(t, localURL)
	toNode := func(least levels.Level) {
		t.Helper()
		l.begin(t, "clave-eidas", least)
		l.step(t, "method", "method", "eidas")
		l.says(t, "nodo")
		l.sends(t, "SAMLRequest")
	}
	toNode(levels.Substantial)
	l.step(t, "country", "country", "GR")
	l.step(t, "consent")
	l.step(t, "password", "user", "GR-LAB-1", "password", eidasnode.Password)
	l.sends(t, "SAMLResponse")
	event, err := l.finish(t)
	if err != nil {
		t.Fatal(err)
	}
	if s := event.Subject; s.Key != "eidas:GR/ES/LAB-1" || s.GivenName != "ALEXANDRA" || s.Birthdate != "1979-02-03" || event.Assessment.Level != levels.High || event.Method != "clave-eidas" {
		t.Errorf("event = %+v", event)
	}
	// Given up at the node.
	toNode(levels.Low)
	l.step(t, "cancel")
	l.sends(t, "SAMLResponse")
	if _, err := l.finish(t); !errors.Is(err, brokers.ErrCancelled) {
		t.Errorf("given up at the node: %v", err)
	}
	// An answer that was changed on the way.
	toNode(levels.Low)
	l.step(t, "country", "country", "EE")
	l.step(t, "consent")
	l.step(t, "password", "user", "EE-60001019906", "password", eidasnode.Password)
	answer, err := l.page.FormWith("SAMLResponse")
	if err != nil {
		t.Fatal(err)
	}
	text, err := base64.StdEncoding.DecodeString(answer.Fields.Get("SAMLResponse"))
	if err != nil {
		t.Fatal(err)
	}
	answer.Fields.Set("SAMLResponse", base64.StdEncoding.EncodeToString([]byte(strings.Replace(string(text), "60001019906", "38001085718", 1))))
	if l.page, err = l.browser.Submit(t.Context(), answer, nil); err != nil || l.page.Status != http.StatusBadRequest {
		t.Errorf("changed answer: %v, %d\n%s", err, l.page.Status, l.page.Text())
	}
}

// newLabAtNode is a gateway that sends people on to an emulated eIDAS node.
func newLabAtNode(t *testing.T, local string) *lab {
	t.Helper()
	server := httptest.NewUnstartedServer(nil)
	home := "http://" + server.Listener.Addr().String()
	var l *lab
	node, err := eidasnode.New(eidasnode.Options{
		BaseURL: home, Country: "ES", Signing: tls.Certificate{Certificate: [][]byte{pairs().other.cert.Raw}, PrivateKey: pairs().other.key}, Clock: time.Now, Random: rand.Reader,
		Provider: func(_ context.Context, entityID string) ([]byte, error) {
			if entityID != l.gateway.NodeEntityID() {
				return nil, errors.New("unknown")
			}
			return l.gateway.NodeMetadata()
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	server.Config.Handler = node.Handler()
	server.Start()
	t.Cleanup(server.Close)
	l = newLabWith(t, local, func(o *emulator.Options) {
		o.Node = &emulator.Node{EntityID: node.EntityID(), Location: home + eidasnode.PathRequest, Certificate: node.Certificate()}
	})
	return l
}

// sends sends the form that has a field.
func (l *lab) sends(t *testing.T, field string) {
	t.Helper()
	form, err := l.page.FormWith(field)
	if err != nil {
		t.Fatalf("%v\n%s", err, l.page.Text())
	}
	if l.page, err = l.browser.Submit(t.Context(), form, nil); err != nil {
		t.Fatal(err)
	}
}

// TestGatewayRefusesForeignRequests: what is not signed, was
// changed on the way, goes elsewhere or comes twice ends on a page, or goes back as a
// failure; and nothing that was sent runs on a page.
func TestGatewayRefusesForeignRequests(t *testing.T) {
	l := newLab(t)
	send := func(form map[string]string, change func(string) string) *demo.Page {
		t.Helper()
		text, err := base64.StdEncoding.DecodeString(form["SAMLRequest"])
		if err != nil {
			t.Fatal(err)
		}
		changed := change(string(text))
		values := url.Values{"SAMLRequest": {base64.StdEncoding.EncodeToString([]byte(changed))}, "RelayState": {form["RelayState"]}}
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, l.u.config.GatewayURL, strings.NewReader(values.Encode()))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		if l.browser, err = demo.NewBrowser(); err != nil {
			t.Fatal(err)
		}
		page, err := l.browser.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		return page
	}
	same := func(text string) string { return text }
	cut := func(text string) string {
		i, j := strings.Index(text, "<ds:Signature"), strings.Index(text, "</ds:Signature>")+len("</ds:Signature>")
		return text[:i] + text[j:]
	}
	fresh := func() map[string]string {
		return start(t, l.u, request("clave-dnie", levels.High)).Form
	}
	for name, change := range map[string]func(string) string{
		"X-105 unsigned":                    cut,
		"X-105 address changed":             sub("/upstream/clave/callback", "/elsewhere"),
		"X-105 destination changed":         sub("/Proxy2/ServiceProvider", "/Proxy2/Other"),
		"X-108 level lowered, unsigned":     func(text string) string { return cut(sub("LoA/high", "LoA/low")(text)) },
		"X-108 level lowered":               sub("LoA/high", "LoA/low"),
		"X-108 provider switched on":        sub("AEATIdP", "NoneIdP"),
		"X-105 of an unregistered provider": sub("ProviderName=\"", "ProviderName=\"X"),
	} {
		if page := send(fresh(), change); page.Status != http.StatusBadRequest {
			t.Errorf("%s: %d\n%s", name, page.Status, page.Text())
		}
	}
	form := fresh()
	if page := send(form, same); page.Status != http.StatusOK {
		t.Fatalf("right request: %d", page.Status)
	}
	if page := send(form, same); page.Status != http.StatusServiceUnavailable {
		t.Errorf("X-105 twice: %d", page.Status)
	}
	const script = `"><script>alert(1)</script>`
	form = fresh()
	form["RelayState"] = script
	page := send(form, same)
	if form, err := page.FormWith("method"); err != nil || form == nil {
		t.Fatal(err)
	}
	l.page = page
	l.step(t, "cancel")
	if body := string(l.page.Body); strings.Contains(body, script) || !strings.Contains(body, "&lt;script&gt;") {
		t.Errorf("X-106: the page repeats what was sent:\n%s", body)
	}
	if policy := l.page.Header.Get("Content-Security-Policy"); !strings.Contains(policy, "default-src 'none'") || strings.Contains(policy, "script-src") {
		t.Errorf("X-106: policy %q", policy)
	}
}
