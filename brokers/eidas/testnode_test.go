package eidas

import (
	"context"
	"crypto"
	"crypto/aes"
	"crypto/cipher"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
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
	"github.com/eidbridge/eidbridge/brokers/saml"
	"github.com/eidbridge/eidbridge/levels"
)

// The node of these tests shares no code with the packages under test but the
// canonicalizer: it signs with RSA-PSS or ECDSA and encrypts by its own means.

const (
	nodeID   = "https://node.example/metadata"
	nodeURL  = "https://node.example/EidasNode/ServiceProvider"
	spID     = "https://broker.example/upstream/eidas/metadata"
	acs      = "https://broker.example/upstream/eidas/callback"
	state    = "handle"
	pssURI   = "http://www.w3.org/2007/05/xmldsig-more#sha256-rsa-MGF1"
	ecdsaURI = "http://www.w3.org/2001/04/xmldsig-more#ecdsa-sha256"
)

var testNow = time.Date(2026, 3, 2, 9, 15, 30, 0, time.UTC)

type pair struct {
	key  crypto.Signer
	cert *x509.Certificate
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func newPair(key crypto.Signer) pair {
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: "lab node"},
		NotBefore: time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC), NotAfter: time.Date(2040, 1, 1, 0, 0, 0, 0, time.UTC),
	}
	der := must(x509.CreateCertificate(rand.Reader, template, template, key.Public(), key))
	return pair{key, must(x509.ParseCertificate(der))}
}

type testPairs struct{ node, nodeEC, sp, spEC, decrypt, other pair }

var pairs = sync.OnceValue(func() testPairs {
	newRSA := func() pair { return newPair(must(rsa.GenerateKey(rand.Reader, 2048))) }
	newEC := func() pair { return newPair(must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))) }
	return testPairs{newRSA(), newEC(), newRSA(), newEC(), newRSA(), newRSA()}
})

func at(seconds int) string {
	return testNow.Add(time.Duration(seconds) * time.Second).Format("2006-01-02T15:04:05Z")
}

func nodeMetadata() []byte {
	keys := ""
	for _, p := range []pair{pairs().node, pairs().nodeEC} {
		keys += `<KeyDescriptor use="signing"><KeyInfo xmlns="http://www.w3.org/2000/09/xmldsig#"><X509Data><X509Certificate>` + base64.StdEncoding.EncodeToString(p.cert.Raw) + `</X509Certificate></X509Data></KeyInfo></KeyDescriptor>`
	}
	return []byte(`<EntityDescriptor xmlns="urn:oasis:names:tc:SAML:2.0:metadata" ID="_m" entityID="` + nodeID + `"><IDPSSODescriptor protocolSupportEnumeration="urn:oasis:names:tc:SAML:2.0:protocol">` + keys +
		`<SingleSignOnService Binding="urn:oasis:names:tc:SAML:2.0:bindings:HTTP-POST" Location="` + nodeURL + `"/>` +
		`<SingleSignOnService Binding="urn:oasis:names:tc:SAML:2.0:bindings:HTTP-Redirect" Location="` + nodeURL + `"/></IDPSSODescriptor></EntityDescriptor>`)
}

// value is an attribute value with the mark of its script.
type value struct{ text, latin string }

type attribute struct {
	name   string
	values []value
}

// answer is what the node says.
type answer struct {
	class, top, second string
	attributes         []attribute
	signer             pair
	formState          string
	clear              bool
	encryptTo          *x509.Certificate
	authn              int
	editAssertion      func(string) string
	editResponse       func(string) string
}

func goodAnswer() *answer {
	one := func(name, text string) attribute { return attribute{name, []value{{text, ""}}} }
	return &answer{
		class: notifiedPrefix + "substantial", signer: pairs().node, formState: state, encryptTo: pairs().decrypt.cert, authn: 5,
		attributes: []attribute{
			one(naturalNS+"/PersonIdentifier", "EE/ES/60001019906"), one(naturalNS+"/CurrentFamilyName", "O’CONNEŽ-ŠUSLIK TESTNUMBER"),
			one(naturalNS+"/CurrentGivenName", "MARY ÄNN"), one(naturalNS+"/DateOfBirth", "2000-01-01"),
		},
	}
}

// set replaces the values of an attribute; without values it is taken away.
func (a *answer) set(name string, values ...value) {
	for i := range a.attributes {
		if a.attributes[i].name == name {
			a.attributes[i].values = values
			if len(values) == 0 {
				a.attributes = append(a.attributes[:i], a.attributes[i+1:]...)
			}
			return
		}
	}
	a.attributes = append(a.attributes, attribute{name, values})
}

func (a *answer) setText(name, text string) { a.set(name, value{text, ""}) }

const namespaces = ` xmlns:saml2p="urn:oasis:names:tc:SAML:2.0:protocol" xmlns:saml2="urn:oasis:names:tc:SAML:2.0:assertion"`

func (a *answer) text(requestID string) string {
	const status = "urn:oasis:names:tc:SAML:2.0:status:"
	top, inner := "Success", ""
	if a.top != "" {
		top = a.top
	}
	if a.second != "" {
		inner = `<saml2p:StatusCode Value="` + status + a.second + `"/>`
	}
	content := ""
	if a.top == "" {
		content = a.assertion(requestID)
		if !a.clear {
			content = encrypted(a.encryptTo, content)
		}
	}
	text := `<saml2p:Response` + namespaces + ` ID="_r1" InResponseTo="` + requestID + `" Destination="` + acs + `" IssueInstant="` + at(5) + `" Version="2.0" Consent="urn:oasis:names:tc:SAML:2.0:consent:obtained">` +
		`<saml2:Issuer Format="urn:oasis:names:tc:SAML:2.0:nameid-format:entity">` + nodeID + `</saml2:Issuer>` +
		`<saml2p:Status><saml2p:StatusCode Value="` + status + top + `">` + inner + `</saml2p:StatusCode><saml2p:StatusMessage>` + status + top + `</saml2p:StatusMessage></saml2p:Status>` + content + `</saml2p:Response>`
	if a.editResponse != nil {
		text = a.editResponse(text)
	}
	return sign(a.signer, text)
}

func (a *answer) assertion(requestID string) string {
	var list strings.Builder
	for _, s := range a.attributes {
		list.WriteString(`<saml2:Attribute FriendlyName="x" Name="` + s.name + `" NameFormat="` + formatURI + `">`)
		for _, v := range s.values {
			mark := ""
			if v.latin != "" {
				mark = ` eidas-natural:LatinScript="` + v.latin + `"`
			}
			list.WriteString(`<saml2:AttributeValue xmlns:eidas-natural="` + naturalNS + `" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xsi:type="eidas-natural:SomeType"` + mark + `>` + v.text + `</saml2:AttributeValue>`)
		}
		list.WriteString(`</saml2:Attribute>`)
	}
	text := `<saml2:Assertion` + namespaces + ` ID="_a1" IssueInstant="` + at(5) + `" Version="2.0"><saml2:Issuer Format="urn:oasis:names:tc:SAML:2.0:nameid-format:entity">` + nodeID + `</saml2:Issuer>` +
		`<saml2:Subject><saml2:NameID Format="urn:oasis:names:tc:SAML:2.0:nameid-format:persistent" NameQualifier="http://C-PEPS.gov.xx">opaque</saml2:NameID><saml2:SubjectConfirmation Method="urn:oasis:names:tc:SAML:2.0:cm:bearer"><saml2:SubjectConfirmationData Address="192.0.2.7" InResponseTo="` + requestID + `" NotOnOrAfter="` + at(300) + `" Recipient="` + acs + `"/></saml2:SubjectConfirmation></saml2:Subject>` +
		`<saml2:Conditions NotBefore="` + at(5) + `" NotOnOrAfter="` + at(300) + `"><saml2:AudienceRestriction><saml2:Audience>` + spID + `</saml2:Audience></saml2:AudienceRestriction></saml2:Conditions>` +
		`<saml2:AuthnStatement AuthnInstant="` + at(a.authn) + `"><saml2:SubjectLocality Address="192.0.2.7"/><saml2:AuthnContext><saml2:AuthnContextClassRef>` + a.class + `</saml2:AuthnContextClassRef></saml2:AuthnContext></saml2:AuthnStatement>` +
		`<saml2:AttributeStatement>` + list.String() + `</saml2:AttributeStatement></saml2:Assertion>`
	if a.editAssertion != nil {
		text = a.editAssertion(text)
	}
	return text
}

// encrypted makes an EncryptedAssertion: AES-256-GCM under RSA-OAEP with SHA-256.
func encrypted(to *x509.Certificate, text string) string {
	key, nonce := make([]byte, 32), make([]byte, 12)
	must(rand.Read(key))
	must(rand.Read(nonce))
	gcm := must(cipher.NewGCM(must(aes.NewCipher(key))))
	wrapped := must(rsa.EncryptOAEP(sha256.New(), rand.Reader, to.PublicKey.(*rsa.PublicKey), key, nil))
	b64 := base64.StdEncoding.EncodeToString
	return `<saml2:EncryptedAssertion><xenc:EncryptedData xmlns:xenc="http://www.w3.org/2001/04/xmlenc#" Type="http://www.w3.org/2001/04/xmlenc#Element"><xenc:EncryptionMethod Algorithm="http://www.w3.org/2009/xmlenc11#aes256-gcm"/>` +
		`<ds:KeyInfo xmlns:ds="http://www.w3.org/2000/09/xmldsig#"><xenc:EncryptedKey><xenc:EncryptionMethod Algorithm="http://www.w3.org/2009/xmlenc11#rsa-oaep"><ds:DigestMethod Algorithm="http://www.w3.org/2001/04/xmlenc#sha256"/><xenc11:MGF xmlns:xenc11="http://www.w3.org/2009/xmlenc11#" Algorithm="http://www.w3.org/2009/xmlenc11#mgf1sha256"/></xenc:EncryptionMethod>` +
		`<ds:KeyInfo><ds:X509Data><ds:X509Certificate>` + b64(to.Raw) + `</ds:X509Certificate></ds:X509Data></ds:KeyInfo><xenc:CipherData><xenc:CipherValue>` + b64(wrapped) + `</xenc:CipherValue></xenc:CipherData></xenc:EncryptedKey></ds:KeyInfo>` +
		`<xenc:CipherData><xenc:CipherValue>` + b64(gcm.Seal(nonce, nonce, []byte(text), nil)) + `</xenc:CipherValue></xenc:CipherData></xenc:EncryptedData></saml2:EncryptedAssertion>`
}

func canonical(text string) []byte {
	document := etree.NewDocument()
	if err := document.ReadFromString(text); err != nil {
		panic(err)
	}
	return must(dsig.MakeC14N10ExclusiveCanonicalizerWithPrefixList("").Canonicalize(document.Root()))
}

// sign puts a signature behind the first Issuer of the root element _r1.
func sign(p pair, text string) string {
	method := pssURI
	if _, ok := p.key.(*ecdsa.PrivateKey); ok {
		method = ecdsaURI
	}
	const exclusive = "http://www.w3.org/2001/10/xml-exc-c14n#"
	digest := sha256.Sum256(canonical(text))
	info := `<ds:SignedInfo xmlns:ds="http://www.w3.org/2000/09/xmldsig#"><ds:CanonicalizationMethod Algorithm="` + exclusive + `"/><ds:SignatureMethod Algorithm="` + method + `"/><ds:Reference URI="#_r1"><ds:Transforms><ds:Transform Algorithm="http://www.w3.org/2000/09/xmldsig#enveloped-signature"/><ds:Transform Algorithm="` + exclusive + `"/></ds:Transforms><ds:DigestMethod Algorithm="http://www.w3.org/2001/04/xmlenc#sha256"/><ds:DigestValue>` +
		base64.StdEncoding.EncodeToString(digest[:]) + `</ds:DigestValue></ds:Reference></ds:SignedInfo>`
	message := sha256.Sum256(canonical(info))
	var raw []byte
	switch key := p.key.(type) {
	case *rsa.PrivateKey:
		raw = must(rsa.SignPSS(rand.Reader, key, crypto.SHA256, message[:], &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash}))
	case *ecdsa.PrivateKey:
		r, s, err := ecdsa.Sign(rand.Reader, key, message[:])
		if err != nil {
			panic(err)
		}
		raw = append(r.FillBytes(make([]byte, 32)), s.FillBytes(make([]byte, 32))...)
	}
	signature := `<ds:Signature xmlns:ds="http://www.w3.org/2000/09/xmldsig#">` + info + `<ds:SignatureValue>` + base64.StdEncoding.EncodeToString(raw) + `</ds:SignatureValue></ds:Signature>`
	return strings.Replace(text, "</saml2:Issuer>", "</saml2:Issuer>"+signature, 1)
}

func (a *answer) callback(requestID string) *http.Request {
	form := url.Values{"SAMLResponse": {base64.StdEncoding.EncodeToString([]byte(a.text(requestID)))}, "RelayState": {a.formState}}
	r := httptest.NewRequest(http.MethodPost, acs, strings.NewReader(form.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return r
}

func testConfig() Config {
	return Config{
		EntityID: spID, ACSURL: acs, ProviderName: "Portal de prueba", Country: "ES",
		SigningKey: pairs().sp.key, Certificate: pairs().sp.cert, Metadata: nodeMetadata(),
		DecryptionKeys: []saml.DecryptionKey{must(saml.NewDecryptionKey(pairs().decrypt.key, pairs().decrypt.cert))},
		Replay:         &brokertest.Replay{}, Clock: func() time.Time { return testNow.Add(10 * time.Second) },
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

func start(t *testing.T, u *Upstream, method string, least levels.Level) *brokers.Departure {
	t.Helper()
	d, err := u.Start(context.Background(), brokers.AuthenticationRequest{Method: method, Level: least, RelayState: state})
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func request(t *testing.T, d *brokers.Departure) (*etree.Element, string) {
	t.Helper()
	message, err := base64.StdEncoding.DecodeString(d.Form["SAMLRequest"])
	if err != nil {
		t.Fatal(err)
	}
	document := etree.NewDocument()
	if err := document.ReadFromBytes(message); err != nil {
		t.Fatal(err)
	}
	return document.Root(), string(message)
}
