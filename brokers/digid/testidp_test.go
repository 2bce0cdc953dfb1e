package digid

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"io"
	"log"
	"math/big"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/eidbridge/eidbridge/brokers"
	"github.com/eidbridge/eidbridge/brokers/brokertest"
	"github.com/eidbridge/eidbridge/levels"
)

const (
	idpID = "https://idp.example/saml/idp/metadata"
	spID  = "https://localhost/upstream/digid/metadata"
	acs   = "https://localhost/upstream/digid/callback"
	class = "urn:oasis:names:tc:SAML:2.0:ac:classes:"
)

var testNow = time.Date(2026, 3, 2, 9, 15, 30, 0, time.UTC)

// pair is a key with a certificate that signs itself.
type pair struct {
	key  crypto.Signer
	cert *x509.Certificate
}

func (p pair) tls() tls.Certificate {
	return tls.Certificate{Certificate: [][]byte{p.cert.Raw}, PrivateKey: p.key, Leaf: p.cert}
}

func newPair(key crypto.Signer, err error) pair {
	if err != nil {
		panic(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: "lab service"},
		DNSNames: []string{"localhost"}, NotBefore: time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC), NotAfter: time.Date(2040, 1, 1, 0, 0, 0, 0, time.UTC),
		IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		panic(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		panic(err)
	}
	return pair{key, cert}
}

type testPairs struct{ idp, sp, other, channel pair }

var pairs = sync.OnceValue(func() testPairs {
	return testPairs{
		idp: newPair(rsa.GenerateKey(rand.Reader, 2048)), sp: newPair(rsa.GenerateKey(rand.Reader, 2048)),
		other:   newPair(rsa.GenerateKey(rand.Reader, 2048)),
		channel: newPair(ecdsa.GenerateKey(elliptic.P256(), rand.Reader)),
	}
})

// testIdP is an artifact resolution service. It shares no code with the
// packages under test: goxmldsig signs what it writes.
type testIdP struct {
	*httptest.Server
	t        *testing.T
	mu       sync.Mutex
	resolves int
	answer   answer
}

// answer is what the next resolution says; edits work on the unsigned texts.
type answer struct {
	class, nameID, top, second, envelopeTop string
	empty, fault                            bool
	silent                                  func() // is told that there will be no answer
	editAssertion, editResponse             func(string) string
	signer                                  pair
}

func newTestIdP(t *testing.T) *testIdP {
	i := &testIdP{t: t, answer: answer{class: class + "MobileTwoFactorContract", nameID: "s00000000:900029365", signer: pairs().idp}}
	i.Server = httptest.NewUnstartedServer(http.HandlerFunc(i.resolve))
	clients := x509.NewCertPool()
	clients.AddCert(pairs().sp.cert)
	i.TLS = &tls.Config{Certificates: []tls.Certificate{pairs().channel.tls()}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: clients}
	i.Config.ErrorLog = log.New(io.Discard, "", 0)
	i.StartTLS()
	t.Cleanup(i.Close)
	return i
}

// location is on localhost, which is what the certificate names.
func (i *testIdP) location() string {
	return strings.Replace(i.URL, "127.0.0.1", "localhost", 1) + "/resolve"
}

func (i *testIdP) metadata() []byte {
	cert := base64.StdEncoding.EncodeToString(pairs().idp.cert.Raw)
	return []byte(`<EntityDescriptor xmlns="urn:oasis:names:tc:SAML:2.0:metadata" ID="_m" entityID="` + idpID + `"><IDPSSODescriptor protocolSupportEnumeration="urn:oasis:names:tc:SAML:2.0:protocol">` +
		`<KeyDescriptor use="signing"><KeyInfo xmlns="http://www.w3.org/2000/09/xmldsig#"><X509Data><X509Certificate>` + cert + `</X509Certificate></X509Data></KeyInfo></KeyDescriptor>` +
		`<ArtifactResolutionService Binding="urn:oasis:names:tc:SAML:2.0:bindings:SOAP" Location="` + i.location() + `" index="0"/>` +
		`<SingleSignOnService Binding="urn:oasis:names:tc:SAML:2.0:bindings:HTTP-Redirect" Location="https://idp.example/request_authentication"/>` +
		`<SingleSignOnService Binding="urn:oasis:names:tc:SAML:2.0:bindings:HTTP-POST" Location="https://idp.example/request_authentication"/></IDPSSODescriptor></EntityDescriptor>`)
}

func at(seconds int) string {
	return testNow.Add(time.Duration(seconds) * time.Second).Format("2006-01-02T15:04:05Z")
}

func (i *testIdP) resolve(w http.ResponseWriter, r *http.Request) {
	i.mu.Lock()
	i.resolves++
	a := i.answer
	i.mu.Unlock()
	body, _ := io.ReadAll(r.Body)
	if !strings.Contains(string(body), "<samlp:Artifact>") {
		http.Error(w, "no artifact", http.StatusBadRequest)
		return
	}
	if a.silent != nil {
		a.silent()
		<-r.Context().Done()
		return
	}
	if a.fault {
		_, _ = io.WriteString(w, `<s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/"><s:Body><s:Fault/></s:Body></s:Envelope>`)
		return
	}
	id := regexp.MustCompile(`ArtifactResolve [^>]*ID="([^"]+)"`).FindSubmatch(body)
	_, _ = io.WriteString(w, i.envelope(a, string(id[1])))
}

const namespaces = ` xmlns:samlp="urn:oasis:names:tc:SAML:2.0:protocol" xmlns:saml="urn:oasis:names:tc:SAML:2.0:assertion"`

func status(top, second string) string {
	const prefix = "urn:oasis:names:tc:SAML:2.0:status:"
	inner := ""
	if second != "" {
		inner = `<samlp:StatusCode Value="` + prefix + second + `"/>`
	}
	return `<samlp:Status><samlp:StatusCode Value="` + prefix + top + `">` + inner + `</samlp:StatusCode></samlp:Status>`
}

func (i *testIdP) envelope(a answer, resolveID string) string {
	assertion := `<saml:Assertion` + namespaces + ` ID="_assertion" Version="2.0" IssueInstant="` + at(5) + `"><saml:Issuer>` + idpID + `</saml:Issuer>` +
		`<saml:Subject><saml:NameID>` + a.nameID + `</saml:NameID><saml:SubjectConfirmation Method="urn:oasis:names:tc:SAML:2.0:cm:bearer"><saml:SubjectConfirmationData InResponseTo="$request" Recipient="` + acs + `" NotOnOrAfter="` + at(120) + `"/></saml:SubjectConfirmation></saml:Subject>` +
		`<saml:Conditions NotBefore="` + at(-120) + `" NotOnOrAfter="` + at(120) + `"><saml:AudienceRestriction><saml:Audience>` + spID + `</saml:Audience></saml:AudienceRestriction></saml:Conditions>` +
		`<saml:AuthnStatement AuthnInstant="` + at(5) + `"><saml:AuthnContext><saml:AuthnContextClassRef>` + a.class + `</saml:AuthnContextClassRef></saml:AuthnContext></saml:AuthnStatement></saml:Assertion>`
	if a.editAssertion != nil {
		assertion = a.editAssertion(assertion)
	}
	assertion = i.sign(a.signer, assertion)
	top := "Success"
	if a.top != "" {
		top, assertion = a.top, ""
	}
	response := `<samlp:Response ID="_response" Version="2.0" InResponseTo="$request" IssueInstant="` + at(5) + `"><saml:Issuer>` + idpID + `</saml:Issuer>` + status(top, a.second) + assertion + `</samlp:Response>`
	if a.editResponse != nil {
		response = a.editResponse(response)
	}
	outer, outerSecond := "Success", ""
	if a.envelopeTop != "" {
		outer, outerSecond, response = a.envelopeTop, a.second, ""
	}
	if a.empty {
		response = ""
	}
	text := `<samlp:ArtifactResponse` + namespaces + ` ID="_artifactresponse" Version="2.0" InResponseTo="` + resolveID + `" IssueInstant="` + at(5) + `"><saml:Issuer>` + idpID + `</saml:Issuer>` + status(outer, outerSecond) + response + `</samlp:ArtifactResponse>`
	return `<soapenv:Envelope xmlns:soapenv="http://schemas.xmlsoap.org/soap/envelope/"><soapenv:Body>` + i.sign(a.signer, text) + `</soapenv:Body></soapenv:Envelope>`
}

// request is filled in by login: the texts are signed per answer.
var requestPlaceholder = regexp.MustCompile(`\$request`)

// sign signs an element with goxmldsig and moves the signature behind Issuer.
func (i *testIdP) sign(p pair, text string) string {
	text = requestPlaceholder.ReplaceAllString(text, i.requestID())
	return brokertest.SignSAML(p.key, p.cert, crypto.SHA256, text)
}

var currentRequest sync.Map // *testIdP to request ID

func (i *testIdP) requestID() string {
	id, _ := currentRequest.Load(i)
	return id.(string)
}

func testConfig(i *testIdP) Config {
	servers := x509.NewCertPool()
	servers.AddCert(pairs().channel.cert)
	return Config{
		EntityID: spID, ACSURL: acs, ServiceName: "Gemeente Voorbeeld",
		SigningKey: pairs().sp.key, Certificate: pairs().sp.cert, Metadata: i.metadata(),
		BackChannel: &tls.Config{RootCAs: servers, Certificates: []tls.Certificate{pairs().sp.tls()}},
		Replay:      &brokertest.Replay{}, Clock: func() time.Time { return testNow.Add(10 * time.Second) },
	}
}

// login starts a login and returns what the browser brings back.
func login(t *testing.T, i *testIdP, u *Upstream, r brokers.AuthenticationRequest) (*http.Request, *brokers.Departure) {
	t.Helper()
	d, err := u.Start(context.Background(), r)
	if err != nil {
		t.Fatal(err)
	}
	currentRequest.Store(i, d.RequestID)
	return callback(artifactOf(idpID, 0), r.RelayState), d
}

func callback(artifact, relayState string) *http.Request {
	query := url.Values{"SAMLart": {artifact}, "RelayState": {relayState}}
	return httptest.NewRequest(http.MethodGet, acs+"?"+query.Encode(), nil)
}

func artifactOf(issuer string, index byte) string {
	source := sha1.Sum([]byte(issuer))
	b := append([]byte{0, 4, 0, index}, source[:]...)
	return base64.StdEncoding.EncodeToString(append(b, strings.Repeat("h", 20)...))
}

func midden() brokers.AuthenticationRequest {
	return brokers.AuthenticationRequest{Method: "digid-midden", Level: levels.Low, RelayState: "handle"}
}
