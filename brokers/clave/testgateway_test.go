package clave

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"math/big"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/beevik/etree"
	dsig "github.com/russellhaering/goxmldsig"

	"github.com/eidbridge/eidbridge/brokers"
	"github.com/eidbridge/eidbridge/brokers/brokertest"
	"github.com/eidbridge/eidbridge/levels"
)

const (
	gatewayURL = "https://pasarela.example/Proxy2/ServiceProvider"
	gatewayID  = "https://pasarela.example"
	acs        = "https://broker.example/upstream/clave/callback"
	logoutURL  = "https://broker.example/upstream/clave/logout"
	eidas      = "http://eidas.europa.eu/LoA/"
	state      = "k3v9q2ztk3v9q2zt"
)

var testNow = time.Date(2026, 3, 2, 9, 15, 30, 0, time.UTC)

type pair struct {
	key  *rsa.PrivateKey
	cert *x509.Certificate
}

func newPair() pair {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: "lab service"},
		NotBefore: time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC), NotAfter: time.Date(2040, 1, 1, 0, 0, 0, 0, time.UTC),
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

type testPairs struct{ gateway, next, sp, other pair }

var pairs = sync.OnceValue(func() testPairs { return testPairs{newPair(), newPair(), newPair(), newPair()} })

func at(seconds int) string {
	return testNow.Add(time.Duration(seconds) * time.Second).Format("2006-01-02T15:04:05Z")
}

// attribute is one of the answer's, by full name.
type attribute struct{ name, friendly, value string }

const natural = "http://eidas.europa.eu/attributes/naturalperson/"

// answer is what the gateway says; goxmldsig signs it.
type answer struct {
	class, top, second   string
	attributes           []attribute
	formState, audience  string
	signer               pair
	unsigned             bool
	signAssertion        bool
	editText, editSigned func(string) string
}

func goodAnswer() *answer {
	return &answer{
		class: eidas + "substantial", formState: state, audience: acs, signer: pairs().gateway,
		attributes: []attribute{
			{natural + "PersonIdentifier", "PersonIdentifier", "ES/ES/12345678Z"},
			{natural + "CurrentGivenName", "FirstName", "ANA MARÍA"},
			{natural + "CurrentFamilyName", "FamilyName", "DE LA PRUEBA EJEMPLO"},
			{claveNames + "FirstSurname", "FirstSurname", "DE LA PRUEBA"},
			{claveNames + "SelectedIdP", "SelectedIdP", "SEGSOC"},
			{claveNames + "RelayState", "RelayState", state},
		},
	}
}

// set changes an attribute; a value of "-" takes it away.
func (a *answer) set(friendly, value string) {
	for i := range a.attributes {
		if a.attributes[i].friendly == friendly {
			if value == "-" {
				a.attributes = append(a.attributes[:i], a.attributes[i+1:]...)
				return
			}
			a.attributes[i].value = value
			return
		}
	}
	prefix := claveNames
	if friendly == "DateOfBirth" {
		prefix = natural
	}
	a.attributes = append(a.attributes, attribute{prefix + friendly, friendly, value})
}

const namespaces = ` xmlns:saml2p="urn:oasis:names:tc:SAML:2.0:protocol" xmlns:saml2="urn:oasis:names:tc:SAML:2.0:assertion"`

func (a *answer) text(requestID string) string {
	const status = "urn:oasis:names:tc:SAML:2.0:status:"
	top, inner, message := "Success", "", ""
	if a.top != "" {
		top = a.top
	} else {
		message = `<saml2p:StatusMessage>` + status + `Success</saml2p:StatusMessage>`
	}
	if a.second != "" {
		inner = `<saml2p:StatusCode Value="` + status + a.second + `"/>`
	}
	assertion := ""
	if a.top == "" {
		assertion = a.assertion(requestID)
	}
	text := `<saml2p:Response` + namespaces + ` ID="_r1" InResponseTo="` + requestID + `" Destination="` + acs + `" IssueInstant="` + at(5) + `" Version="2.0" Consent="urn:oasis:names:tc:SAML:2.0:consent:obtained">` +
		`<saml2:Issuer Format="urn:oasis:names:tc:SAML:2.0:nameid-format:entity">` + gatewayID + `</saml2:Issuer>` +
		`<saml2p:Status><saml2p:StatusCode Value="` + status + top + `">` + inner + `</saml2p:StatusCode>` + message + `</saml2p:Status>` + assertion + `</saml2p:Response>`
	if a.editText != nil {
		text = a.editText(text)
	}
	if !a.unsigned {
		text = sign(a.signer, text)
	}
	if a.editSigned != nil {
		text = a.editSigned(text)
	}
	return text
}

func (a *answer) assertion(requestID string) string {
	var attributes strings.Builder
	for _, s := range a.attributes {
		attributes.WriteString(`<saml2:Attribute FriendlyName="` + s.friendly + `" Name="` + s.name + `" NameFormat="urn:oasis:names:tc:SAML:2.0:attrname-format:uri"><saml2:AttributeValue xmlns:eidas-natural="http://eidas.europa.eu/attributes/naturalperson" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xsi:type="eidas-natural:PersonIdentifierType">` + s.value + `</saml2:AttributeValue></saml2:Attribute>`)
	}
	text := `<saml2:Assertion` + namespaces + ` ID="_a1" IssueInstant="` + at(5) + `" Version="2.0"><saml2:Issuer Format="urn:oasis:names:tc:SAML:2.0:nameid-format:entity">` + gatewayID + `</saml2:Issuer>` +
		`<saml2:Subject><saml2:NameID Format="urn:oasis:names:tc:SAML:2.0:nameid-format:persistent">ES/ES/12345678Z</saml2:NameID><saml2:SubjectConfirmation Method="urn:oasis:names:tc:SAML:2.0:cm:bearer"><saml2:SubjectConfirmationData InResponseTo="` + requestID + `" NotOnOrAfter="` + at(300) + `" Recipient="` + acs + `"/></saml2:SubjectConfirmation></saml2:Subject>` +
		`<saml2:Conditions NotBefore="` + at(6) + `" NotOnOrAfter="` + at(300) + `"><saml2:AudienceRestriction><saml2:Audience>` + a.audience + `</saml2:Audience></saml2:AudienceRestriction></saml2:Conditions>` +
		`<saml2:AuthnStatement AuthnInstant="` + at(5) + `"><saml2:AuthnContext><saml2:AuthnContextClassRef>` + a.class + `</saml2:AuthnContextClassRef></saml2:AuthnContext></saml2:AuthnStatement>` +
		`<saml2:AttributeStatement>` + attributes.String() + `</saml2:AttributeStatement></saml2:Assertion>`
	if a.signAssertion {
		text = sign(a.signer, text)
	}
	return text
}

func sign(p pair, text string) string {
	return brokertest.SignSAML(p.key, p.cert, crypto.SHA512, text)
}

// callback is the post that the browser makes.
func (a *answer) callback(requestID string) *http.Request {
	return post(acs, url.Values{"SAMLResponse": {base64.StdEncoding.EncodeToString([]byte(a.text(requestID)))}, "RelayState": {a.formState}})
}

func post(to string, form url.Values) *http.Request {
	r := httptest.NewRequest(http.MethodPost, to, strings.NewReader(form.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return r
}

func testConfig() Config {
	return Config{
		ProviderName: "S0000000X_E00000001;PORTALDEMO", ACSURL: acs, LogoutURL: logoutURL,
		SigningKey: pairs().sp.key, Certificate: pairs().sp.cert, GatewayURL: gatewayURL,
		GatewayCertificates: []TrustedCertificate{{Certificate: pairs().gateway.cert}},
		Replay:              &brokertest.Replay{}, Clock: func() time.Time { return testNow.Add(10 * time.Second) },
	}
}

func newUpstream(t *testing.T, edit func(*Config)) *Upstream {
	t.Helper()
	c := testConfig()
	if edit != nil {
		edit(&c)
	}
	u, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

func request(method string, level levels.Level) brokers.AuthenticationRequest {
	return brokers.AuthenticationRequest{Method: method, Level: level, RelayState: state}
}

func start(t *testing.T, u *Upstream, r brokers.AuthenticationRequest) *brokers.Departure {
	t.Helper()
	d, err := u.Start(context.Background(), r)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// received opens a posted request as the gateway does: goxmldsig verifies it
// against the registered certificate.
func received(t *testing.T, encoded string) *etree.Element {
	t.Helper()
	message, err := base64.StdEncoding.DecodeString(encoded)
	if err != nil {
		t.Fatal(err)
	}
	document := etree.NewDocument()
	if err := document.ReadFromBytes(message); err != nil {
		t.Fatal(err)
	}
	validation := dsig.NewDefaultValidationContext(&dsig.MemoryX509CertificateStore{Roots: []*x509.Certificate{pairs().sp.cert}})
	validation.Clock = dsig.NewFakeClockAt(testNow)
	verified, err := validation.Validate(document.Root())
	if err != nil {
		t.Fatalf("gateway refuses the signature: %v", err)
	}
	return verified
}
