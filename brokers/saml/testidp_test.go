package saml

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"math/big"
	"os"
	"strings"
	"sync"
	"testing"
	"time"
)

// The identity provider of these tests shares no code with the package. It
// writes its messages in canonical form to begin with, so that it signs text as
// it stands; edits happen to the text before or after signing.

const (
	idpID = "https://idp.example/metadata"
	spID  = "https://broker.example/metadata"
	acs   = "https://broker.example/upstream/test/callback"
	reqID = "_request1"
	resID = "_resolve1"
)

var testNow = time.Date(2026, 3, 2, 9, 15, 30, 0, time.UTC)

// at writes a time as SAML does, offset in seconds from testNow.
func at(seconds int) string {
	return testNow.Add(time.Duration(seconds) * time.Second).Format("2006-01-02T15:04:05Z")
}

type testKeys struct {
	idp, other, expired, short *testKey
	p256, p384, p521           *testKey
}

type testKey struct {
	key  crypto.Signer
	cert *x509.Certificate
}

var keysOnce = sync.OnceValue(func() *testKeys {
	long := testNow.Add(365 * 24 * time.Hour)
	return &testKeys{
		idp: newKey(mustRSA(2048), testNow.Add(-time.Hour), long), other: newKey(mustRSA(2048), testNow.Add(-time.Hour), long),
		expired: newKey(mustRSA(2048), testNow.Add(-2*time.Hour), testNow.Add(-time.Hour)),
		short:   newKey(testRSA1024(), testNow.Add(-time.Hour), long),
		p256:    newKey(mustEC(elliptic.P256()), testNow.Add(-time.Hour), long),
		p384:    newKey(mustEC(elliptic.P384()), testNow.Add(-time.Hour), long),
		p521:    newKey(mustEC(elliptic.P521()), testNow.Add(-time.Hour), long),
	}
})

func mustRSA(bits int) *rsa.PrivateKey {
	key, err := rsa.GenerateKey(rand.Reader, bits)
	if err != nil {
		panic(err)
	}
	return key
}

// testRSA1024 makes a short key; the standard library still does.
func testRSA1024() *rsa.PrivateKey { return mustRSA(1024) }

func mustEC(c elliptic.Curve) *ecdsa.PrivateKey {
	key, err := ecdsa.GenerateKey(c, rand.Reader)
	if err != nil {
		panic(err)
	}
	return key
}

func newKey(key crypto.Signer, from, to time.Time) *testKey {
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: "lab identity provider"},
		NotBefore: from, NotAfter: to,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		panic(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		panic(err)
	}
	return &testKey{key: key, cert: cert}
}

func (k *testKey) base64() string { return base64.StdEncoding.EncodeToString(k.cert.Raw) }

// writePEM puts key and certificate where xmlsec1 reads them.
func (k *testKey) writePEM(t testing.TB, dir string) (keyFile, certFile string) {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(k.key)
	if err != nil {
		t.Fatal(err)
	}
	keyFile, certFile = dir+"/key.pem", dir+"/cert.pem"
	for name, block := range map[string]*pem.Block{
		keyFile: {Type: "PRIVATE KEY", Bytes: der}, certFile: {Type: "CERTIFICATE", Bytes: k.cert.Raw},
	} {
		if err := os.WriteFile(name, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return keyFile, certFile
}

// recipe is how a signature is made, right by default.
type recipe struct {
	key        *testKey
	method     string
	digest     string
	c14n       string
	uri        *string
	transforms string
	references int
	extra      string // after SignatureValue and KeyInfo
	keyInfo    string
	der        bool // ECDSA as DER
	salt       int  // of RSA-PSS, in bytes
	position   string
	spoil      func(signature string) string
}

const (
	enveloped = `<ds:Transform Algorithm="http://www.w3.org/2000/09/xmldsig#enveloped-signature"></ds:Transform>`
	exclusiv  = `<ds:Transform Algorithm="http://www.w3.org/2001/10/xml-exc-c14n#"></ds:Transform>`
	rsaSHA256 = "http://www.w3.org/2001/04/xmldsig-more#rsa-sha256"
	sha256URI = "http://www.w3.org/2001/04/xmlenc#sha256"
)

func (r recipe) sign(text, id string) string {
	if r.key == nil {
		r.key = keysOnce().idp
	}
	if r.method == "" {
		r.method = rsaSHA256
	}
	if r.digest == "" {
		r.digest = sha256URI
	}
	if r.c14n == "" {
		r.c14n = "http://www.w3.org/2001/10/xml-exc-c14n#"
	}
	if r.transforms == "" {
		r.transforms = enveloped + exclusiv
	}
	uri := "#" + id
	if r.uri != nil {
		uri = *r.uri
	}
	digest := sha256.Sum256([]byte(text))
	sum := digest[:]
	if strings.HasSuffix(r.digest, "#sha1") {
		short := sha1.Sum([]byte(text))
		sum = short[:]
	}
	reference := `<ds:Reference URI="` + uri + `"><ds:Transforms>` + r.transforms + `</ds:Transforms><ds:DigestMethod Algorithm="` +
		r.digest + `"></ds:DigestMethod><ds:DigestValue>` + base64.StdEncoding.EncodeToString(sum) + `</ds:DigestValue></ds:Reference>`
	info := func(declare string) string {
		return `<ds:SignedInfo` + declare + `><ds:CanonicalizationMethod Algorithm="` + r.c14n + `"></ds:CanonicalizationMethod><ds:SignatureMethod Algorithm="` +
			r.method + `"></ds:SignatureMethod>` + strings.Repeat(reference, 1+r.references) + `</ds:SignedInfo>`
	}
	value := r.value([]byte(info(` xmlns:ds="http://www.w3.org/2000/09/xmldsig#"`)))
	signature := `<ds:Signature xmlns:ds="http://www.w3.org/2000/09/xmldsig#">` + info("") + `<ds:SignatureValue>` +
		base64.StdEncoding.EncodeToString(value) + `</ds:SignatureValue>` + r.keyInfo + r.extra + `</ds:Signature>`
	if r.spoil != nil {
		signature = r.spoil(signature)
	}
	if r.position == "" {
		r.position = "</saml:Issuer>"
	}
	before, after, found := strings.Cut(text, r.position)
	if !found {
		panic("no place for the signature")
	}
	return before + r.position + signature + after
}

func (r recipe) value(message []byte) []byte {
	hash := crypto.SHA256
	switch {
	case strings.Contains(r.method, "sha1"):
		hash = crypto.SHA1
	case strings.Contains(r.method, "384"):
		hash = crypto.SHA384
	case strings.Contains(r.method, "512"):
		hash = crypto.SHA512
	}
	if strings.Contains(r.method, "hmac") {
		mac := hmac.New(sha256.New, r.key.cert.Raw)
		mac.Write(message)
		return mac.Sum(nil)
	}
	h := hash.New()
	h.Write(message)
	digest := h.Sum(nil)
	var value []byte
	var err error
	switch key := r.key.key.(type) {
	case *rsa.PrivateKey:
		if strings.Contains(r.method, "MGF1") {
			salt := rsa.PSSSaltLengthEqualsHash
			if r.salt != 0 {
				salt = r.salt
			}
			value, err = rsa.SignPSS(rand.Reader, key, hash, digest, &rsa.PSSOptions{SaltLength: salt})
		} else {
			value, err = rsa.SignPKCS1v15(rand.Reader, key, hash, digest)
		}
	case *ecdsa.PrivateKey:
		if r.der {
			value, err = ecdsa.SignASN1(rand.Reader, key, digest)
			break
		}
		var a, b *big.Int
		a, b, err = ecdsa.Sign(rand.Reader, key, digest)
		size := (key.Params().BitSize + 7) / 8
		value = append(a.FillBytes(make([]byte, size)), b.FillBytes(make([]byte, size))...)
	}
	if err != nil {
		panic(err)
	}
	return value
}

// answer is a message in the making.
type answer struct {
	assertion, response, envelope string // unsigned texts
	signA, signR, signE           *recipe
	final                         func(string) string
	// encrypt hides the assertion, or encryptText instead of it.
	encrypt     *encrypter
	encryptText string
}

const (
	assertionText = `<saml:Assertion xmlns:saml="urn:oasis:names:tc:SAML:2.0:assertion" ID="_assertion1" IssueInstant="$now" Version="2.0">` +
		`<saml:Issuer>$idp</saml:Issuer>` +
		`<saml:Subject><saml:NameID>s00000000:900029365</saml:NameID>` +
		`<saml:SubjectConfirmation Method="urn:oasis:names:tc:SAML:2.0:cm:bearer"><saml:SubjectConfirmationData InResponseTo="$req" NotOnOrAfter="$end" Recipient="$acs"></saml:SubjectConfirmationData></saml:SubjectConfirmation></saml:Subject>` +
		`<saml:Conditions NotBefore="$begin" NotOnOrAfter="$end"><saml:AudienceRestriction><saml:Audience>$sp</saml:Audience></saml:AudienceRestriction></saml:Conditions>` +
		`<saml:AuthnStatement AuthnInstant="$now" SessionIndex="_session1"><saml:SubjectLocality Address="192.0.2.7"></saml:SubjectLocality><saml:AuthnContext><saml:AuthnContextClassRef>urn:oasis:names:tc:SAML:2.0:ac:classes:MobileTwoFactorContract</saml:AuthnContextClassRef></saml:AuthnContext></saml:AuthnStatement>` +
		`</saml:Assertion>`
	responseText = `<samlp:Response xmlns:samlp="urn:oasis:names:tc:SAML:2.0:protocol" Destination="$acs" ID="_response1" InResponseTo="$req" IssueInstant="$now" Version="2.0">` +
		`<saml:Issuer xmlns:saml="urn:oasis:names:tc:SAML:2.0:assertion">$idp</saml:Issuer>` +
		`<samlp:Status><samlp:StatusCode Value="urn:oasis:names:tc:SAML:2.0:status:Success"></samlp:StatusCode></samlp:Status>$assertion</samlp:Response>`
	envelopeText = `<samlp:ArtifactResponse xmlns:samlp="urn:oasis:names:tc:SAML:2.0:protocol" ID="_artifactresponse1" InResponseTo="$ask" IssueInstant="$now" Version="2.0">` +
		`<saml:Issuer xmlns:saml="urn:oasis:names:tc:SAML:2.0:assertion">$idp</saml:Issuer>` +
		`<samlp:Status><samlp:StatusCode Value="urn:oasis:names:tc:SAML:2.0:status:Success"></samlp:StatusCode></samlp:Status>$response</samlp:ArtifactResponse>`
)

func fill(text string) string {
	return strings.NewReplacer("$now", at(-5), "$end", at(120), "$begin", at(-120), "$idp", idpID, "$sp", spID, "$acs", acs,
		"$req", reqID, "$ask", resID).Replace(text)
}

// goodAnswer has a signed response with a signed assertion.
func goodAnswer() *answer {
	return &answer{assertion: fill(assertionText), response: fill(responseText), envelope: fill(envelopeText), signA: &recipe{}, signR: &recipe{}, signE: &recipe{}}
}

func (a *answer) signedAssertion() string {
	if a.signA == nil {
		return a.assertion
	}
	return a.signA.sign(a.assertion, "_assertion1")
}

// post is the message as posted.
func (a *answer) post() string {
	assertion := a.signedAssertion()
	if a.encrypt != nil {
		if a.encryptText != "" {
			assertion = a.encryptText
		}
		assertion = a.encrypt.wrapped("EncryptedAssertion", assertion)
	}
	text := strings.Replace(a.response, "$assertion", assertion, 1)
	if a.signR != nil {
		text = a.signR.sign(text, "_response1")
	}
	if a.final != nil {
		text = a.final(text)
	}
	return text
}

// soap is the message as resolved: the response inside is not signed itself.
func (a *answer) soap() string {
	response := strings.Replace(a.response, "$assertion", a.signedAssertion(), 1)
	// The inner Issuer keeps its declaration; canonical form drops none.
	text := strings.Replace(a.envelope, "$response", strings.Replace(response, ` xmlns:samlp="urn:oasis:names:tc:SAML:2.0:protocol"`, "", 1), 1)
	if a.signE != nil {
		text = a.signE.sign(text, "_artifactresponse1")
	}
	text = `<soapenv:Envelope xmlns:soapenv="http://schemas.xmlsoap.org/soap/envelope/"><soapenv:Body>` + text + `</soapenv:Body></soapenv:Envelope>`
	if a.final != nil {
		text = a.final(text)
	}
	return text
}

// replace edits a text that has to contain what is replaced.
func replace(text *string, old, changed string) {
	if !strings.Contains(*text, old) {
		panic(fmt.Sprintf("edit finds no %q", old))
	}
	*text = strings.Replace(*text, old, changed, 1)
}

// goodExpectation asks for response and assertion to be signed.
func goodExpectation() Expectation {
	return Expectation{
		Issuer: idpID, Certificates: []*x509.Certificate{keysOnce().idp.cert},
		Signed:   Coverage{Response: true, Assertion: true},
		Audience: spID, Recipient: acs, RequestID: reqID, RequestedAt: testNow.Add(-60 * time.Second), ResolveID: resID,
		NameIDFormats: []string{""}, Now: testNow, Skew: DefaultSkew,
	}
}

// parseMessage parses as for a login with these leniencies.
func parseMessage(data []byte, l Limits, lenient Leniency) (*element, error) {
	e := Expectation{Lenient: lenient}
	return e.parser(l).parse(data)
}
