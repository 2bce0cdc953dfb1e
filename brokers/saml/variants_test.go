package saml

import (
	"context"
	"crypto/elliptic"
	"crypto/x509"
	"errors"
	"fmt"
	"math/big"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// TestThreatVariants are the variants of rows of the threat list of which the
// matrix of broker.md 13.3 has only the first.
func TestThreatVariants(t *testing.T) {
	k := keysOnce()
	keyInfo := func(content string) func(*answer) {
		return func(a *answer) {
			a.signA.key, a.signA.keyInfo = k.other, `<ds:KeyInfo>`+content+`</ds:KeyInfo>`
		}
	}
	method := func(uri string) func(*answer) { return func(a *answer) { a.signA.method = uri } }
	digest := func(uri string) func(*answer) { return func(a *answer) { a.signA.digest = uri } }
	prepend := func(s string) func(*answer) {
		return func(a *answer) { a.final = func(text string) string { return s + text } }
	}
	status := `<samlp:Status><samlp:StatusCode Value="urn:oasis:names:tc:SAML:2.0:status:Success"></samlp:StatusCode></samlp:Status>`
	const more = "http://www.w3.org/2001/04/xmldsig-more#"
	rows := []faultRow{
		{area: "X-29", name: "declared UTF-7", edit: prepend(`<?xml version="1.0" encoding="UTF-7"?>`), reason: ReasonXML},
		{area: "X-30", name: "unknown version", edit: prepend(`<?xml version="2.0"?>`), reason: ReasonXML},
		{area: "X-33", name: "assertion in another namespace", edit: assertionEdit(`xmlns:saml="urn:oasis:names:tc:SAML:2.0:assertion"`, `xmlns:saml="urn:oasis:names:tc:SAML:1.0:assertion"`), reason: ReasonSchema},
		{area: "X-33", name: "issuer in no namespace", edit: responseEdit(`<samlp:Status>`, `<Issuer>`+idpID+`</Issuer><samlp:Status>`), reason: ReasonSchema},
		{area: "X-35", name: "status before the issuer", edit: responseEdit(status, ""), reason: ReasonStatus},
		{area: "X-35", name: "status behind the assertion", edit: func(a *answer) {
			replace(&a.response, status, "")
			replace(&a.response, "$assertion", "$assertion"+status)
		}, reason: ReasonSchema},
		{area: "X-35", name: "failure and then success", edit: responseEdit(status, strings.Replace(status, "Success", "Responder", 1)+status), reason: ReasonSchema},
		{area: "X-62", name: "RSA key value", edit: keyInfo(`<ds:KeyValue><ds:RSAKeyValue><ds:Modulus>AQAB</ds:Modulus><ds:Exponent>AQAB</ds:Exponent></ds:RSAKeyValue></ds:KeyValue>`), reason: ReasonSignatureInvalid},
		{area: "X-62", name: "elliptic key value", edit: keyInfo(`<ds:KeyValue><dsig11:ECKeyValue xmlns:dsig11="http://www.w3.org/2009/xmldsig11#"><dsig11:PublicKey>BAAA</dsig11:PublicKey></dsig11:ECKeyValue></ds:KeyValue>`), reason: ReasonSignatureInvalid},
		{area: "X-62", name: "subject key identifier", edit: keyInfo(`<ds:X509Data><ds:X509SKI>AAAA</ds:X509SKI></ds:X509Data>`), reason: ReasonSignatureInvalid},
		{area: "X-62", name: "key name", edit: keyInfo(`<ds:KeyName>idp</ds:KeyName>`), reason: ReasonSignatureInvalid},
		{area: "X-66", name: "RSA-MD5", edit: method(more + "rsa-md5"), reason: ReasonSignatureAlgorithm},
		{area: "X-66", name: "RSA-RIPEMD", edit: method(more + "rsa-ripemd160"), reason: ReasonSignatureAlgorithm},
		{area: "X-66", name: "DSA", edit: method("http://www.w3.org/2009/xmldsig11#dsa-sha256"), reason: ReasonSignatureAlgorithm},
		{area: "X-66", name: "ECDSA-SHA1", edit: method(more + "ecdsa-sha1"), reason: ReasonSignatureAlgorithm},
		{area: "X-66", name: "MD5 digest", edit: digest(more + "md5"), reason: ReasonSignatureAlgorithm},
		{area: "X-66", name: "RIPEMD digest", edit: digest("http://www.w3.org/2001/04/xmlenc#ripemd160"), reason: ReasonSignatureAlgorithm},
		{area: "X-68", name: "certificate not yet valid", edit: func(*answer) {}, expect: func(e *Expectation) {
			early := *k.idp.cert
			early.NotBefore = testNow.Add(time.Hour)
			e.Certificates = []*x509.Certificate{&early}
		}, reason: ReasonSignatureKey},
		{area: "X-68", name: "key that was taken out of the metadata", edit: func(*answer) {}, expect: func(e *Expectation) { e.Certificates = []*x509.Certificate{k.other.cert} }, reason: ReasonSignatureInvalid},
		{area: "X-80", name: "list of others", edit: assertionEdit(">"+spID+"<", ">https://one.example</saml:Audience><saml:Audience>https://two.example<"), reason: ReasonAudience},
		{area: "X-80", name: "list with us in it", edit: assertionEdit(">"+spID+"<", ">https://one.example</saml:Audience><saml:Audience>"+spID+"<"), reason: accepted},
		{area: "X-81", name: "Destination with a port", edit: responseEdit(`Destination="https://broker.example/`, `Destination="https://broker.example:443/`), reason: ReasonDestination},
		{area: "X-81", name: "Recipient with a port", edit: assertionEdit(`Recipient="https://broker.example/`, `Recipient="https://broker.example:443/`), reason: ReasonConfirmation},
		{area: "X-81", name: "Recipient in other case", edit: assertionEdit(`Recipient="https://broker`, `Recipient="https://BROKER`), reason: ReasonConfirmation},
		{area: "X-81", name: "Recipient with trailing slash", edit: assertionEdit(`Recipient="`+acs, `Recipient="`+acs+`/`), reason: ReasonConfirmation},
		{area: "X-82", name: "Address, which is not compared", edit: assertionEdit(`<saml:SubjectConfirmationData `, `<saml:SubjectConfirmationData Address="192.0.2.1" `), reason: accepted},
		{area: "X-83", name: "nanoseconds", edit: responseEdit(`IssueInstant="`+at(-5), `IssueInstant="`+strings.TrimSuffix(at(-5), "Z")+`.000000001Z`), reason: accepted},
		{area: "X-83", name: "more digits than there are", edit: responseEdit(`IssueInstant="`+at(-5), `IssueInstant="`+strings.TrimSuffix(at(-5), "Z")+`.`+strings.Repeat("1", 100)+`Z`), reason: ReasonIssueInstant},
		{area: "X-85", name: "empty attribute name and value", edit: statement(attributeXML("", "")), reason: ReasonAttributes},
	}
	for length := range 9 {
		rows = append(rows, faultRow{area: "X-65", name: fmt.Sprint("HMAC of ", length, " bits"), edit: spoilA(func(s string) string {
			s = strings.Replace(s, rsaSHA256, more+"hmac-sha256", 1)
			return strings.Replace(s, `</ds:SignatureMethod>`, fmt.Sprintf(`<ds:HMACOutputLength>%d</ds:HMACOutputLength></ds:SignatureMethod>`, length), 1)
		}), reason: ReasonSignatureAlgorithm})
	}
	// "attribute pollution": the same local name from another namespace.
	for _, row := range []struct{ name, of string }{
		{"ID", "<samlp:Response "},
		{"Version", "<samlp:Response "},
		{"InResponseTo", "<samlp:Response "},
		{"Recipient", "<saml:SubjectConfirmationData "},
		{"Algorithm", "<ds:SignatureMethod "},
		{"URI", "<ds:Reference "},
	} {
		rows = append(rows, faultRow{area: "X-32", name: row.name + " of another namespace", edit: finalEdit(row.of, row.of+`xmlns:z="urn:z" z:`+row.name+`="x" `), reason: ReasonXML})
	}
	runMatrix(t, rows)
}

// TestSignatureValuesInOtherForms are the four of X-67. What is no value of its
// method is refused. The other half of an ECDSA value, n - s for s, is one: XML
// Signature prefers neither (RFC 9231 2.3.6), and OpenSSL, Java and cards write the
// greater every second time, so that a broker that refused it would turn away every
// second citizen. Nothing is gained by changing one into the other either: what is
// read is the same, and the assertion can be used once whichever came.
func TestSignatureValuesInOtherForms(t *testing.T) {
	k := keysOnce()
	const ecdsaSHA256, pss = "http://www.w3.org/2001/04/xmldsig-more#ecdsa-sha256", "http://www.w3.org/2007/05/xmldsig-more#"
	elliptic := func(change func(*recipe)) func(*recipe) {
		return func(r *recipe) { r.method, r.key = ecdsaSHA256, k.p256; change(r) }
	}
	for _, row := range []struct {
		name string
		make func(*recipe)
		want Reason
	}{
		{"r and s are 0", elliptic(func(r *recipe) { r.spoil = setValue(strings.Repeat("A", 86) + "==") }), ReasonSignatureInvalid},
		{"three bytes", elliptic(func(r *recipe) { r.spoil = setValue("AAAA") }), ReasonSignatureInvalid},
		{"DER instead of r and s joined", elliptic(func(r *recipe) { r.der = true }), ReasonSignatureInvalid},
		{"PSS with a salt of 20 bytes", func(r *recipe) { r.method, r.salt = pss+"sha256-rsa-MGF1", 20 }, ReasonSignatureInvalid},
		{"PSS with parameters of its own", func(r *recipe) { r.method = pss + "rsa-pss" }, ReasonSignatureAlgorithm},
		{"s as it was made", elliptic(func(*recipe) {}), accepted},
		{"n - s", elliptic(func(r *recipe) { r.spoil = otherHalf(t) }), accepted},
	} {
		t.Run(row.name, func(t *testing.T) {
			a, e := goodAnswer(), goodExpectation()
			row.make(a.signA)
			e.Certificates = append(e.Certificates, k.p256.cert)
			got, err := ValidateResponse([]byte(a.post()), e)
			checkVerdict(t, got, err, row.want)
		})
	}
}

// TestEitherHalfIsUsedOnce: an assertion whose ECDSA value was exchanged for its
// other half is the same assertion.
func TestEitherHalfIsUsedOnce(t *testing.T) {
	k, store := keysOnce(), memory{}
	a, e := goodAnswer(), goodExpectation()
	a.signA = &recipe{method: "http://www.w3.org/2001/04/xmldsig-more#ecdsa-sha256", key: k.p256}
	e.Certificates = append(e.Certificates, k.p256.cert)
	for _, want := range []Reason{accepted, ReasonReplay} {
		got, err := ValidateResponse([]byte(a.post()), e)
		checkVerdict(t, got, err, accepted)
		if err := got.Use(context.Background(), store); ReasonOf(err) != want {
			t.Errorf("got %v, want %s", err, want)
		}
		a.signA.spoil = otherHalf(t)
	}
}

// otherHalf changes s to n - s.
func otherHalf(t *testing.T) func(string) string {
	return func(signature string) string {
		i, j := strings.Index(signature, "<ds:SignatureValue>")+len("<ds:SignatureValue>"), strings.Index(signature, "</ds:SignatureValue>")
		value, err := decodeBase64(signature[i:j])
		if err != nil || len(value) != 64 {
			t.Fatalf("%d bytes, %v", len(value), err)
		}
		s := new(big.Int).Sub(elliptic.P256().Params().N, new(big.Int).SetBytes(value[32:]))
		s.FillBytes(value[32:])
		return signature[:i] + b64(value) + signature[j:]
	}
}

// lasting notes until when an identifier is remembered.
type lasting struct{ until time.Time }

func (l *lasting) UseAssertionID(_ context.Context, _, _ string, until time.Time) error {
	l.until = until
	return nil
}

// TestIdentifiersAreRememberedLongEnough: as long as the assertion could be
// accepted, by whichever of two clocks that differ.
func TestIdentifiersAreRememberedLongEnough(t *testing.T) {
	got, err := ValidateResponse([]byte(goodAnswer().post()), goodExpectation())
	if err != nil {
		t.Fatal(err)
	}
	var store lasting
	if err := got.Use(context.Background(), &store); err != nil {
		t.Fatal(err)
	}
	if least := testNow.Add(120*time.Second + DefaultSkew); store.until.Before(least) {
		t.Errorf("remembered until %s, accepted until %s", store.until, least)
	}
}

// TestEncryptionKeyDoesNotSign: a key that metadata gives for encryption
// verifies nothing.
func TestEncryptionKeyDoesNotSign(t *testing.T) {
	k := keysOnce()
	text := metadataText()
	i, j := strings.Index(text, "<md:KeyDescriptor"), strings.Index(text, "</md:KeyDescriptor>")+len("</md:KeyDescriptor>")
	second := strings.Replace(strings.Replace(text[i:j], `use="signing"`, `use="encryption"`, 1), k.idp.base64(), k.p256.base64(), 1)
	entities, err := ParseMetadata([]byte(text[:j]+second+text[j:]), MetadataTrust{AsGiven: true, Now: testNow})
	if err != nil {
		t.Fatal(err)
	}
	a, e := goodAnswer(), goodExpectation()
	a.signA = &recipe{method: "http://www.w3.org/2001/04/xmldsig-more#ecdsa-sha256", key: k.p256}
	e.Certificates = entities[idpID].Signing
	got, err := ValidateResponse([]byte(a.post()), e)
	checkVerdict(t, got, err, ReasonSignatureKey)
}

// TestLargeMetadata: an aggregate beyond its budgets is cut off while it is
// fetched, or refused before it costs anything.
func TestLargeMetadata(t *testing.T) {
	entity := `<md:EntityDescriptor entityID="e"></md:EntityDescriptor>`
	aggregate := `<md:EntitiesDescriptor xmlns:md="urn:oasis:names:tc:SAML:2.0:metadata" ID="_metadata1">` + strings.Repeat(entity, 200_000) + `</md:EntitiesDescriptor>`
	began := time.Now()
	if _, err := ParseMetadata([]byte(aggregate), pinned()); ReasonOf(err) != ReasonTooLarge {
		t.Errorf("200 000 entities: %v", err)
	}
	if took := time.Since(began); took > 20*time.Second {
		t.Errorf("refused in %s", took)
	}
	var sent int
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		block := []byte(strings.Repeat(" ", 1<<20))
		for range 100 {
			n, err := w.Write(block)
			if sent += n; err != nil {
				return
			}
		}
	}))
	source := &MetadataSource{URL: server.URL, Client: server.Client(), Clock: func() time.Time { return testNow }, Trust: MetadataTrust{Certificates: pinned().Certificates, Loopback: true}}
	if _, err := source.Entity(context.Background()); ReasonOf(err) != ReasonTooLarge {
		t.Errorf("100 MiB: %v", err)
	}
	server.Close() // waits for the handler
	if sent > 50<<20 {
		t.Errorf("%d MiB were taken", sent>>20)
	}
}

// TestMetadataElsewhereOrLate: a redirection is not followed, and a server
// that does not answer does not hold a login up for ever.
func TestMetadataElsewhereOrLate(t *testing.T) {
	released := make(chan struct{})
	for name, handler := range map[string]http.HandlerFunc{
		"redirection": func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/elsewhere" {
				t.Error("followed a redirection")
			}
			http.Redirect(w, r, "/elsewhere", http.StatusFound)
		},
		"slow": func(http.ResponseWriter, *http.Request) { <-released },
	} {
		t.Run(name, func(t *testing.T) {
			server := httptest.NewServer(handler)
			client := server.Client()
			client.Timeout = 100 * time.Millisecond
			client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
			source := &MetadataSource{URL: server.URL, Client: client, Clock: func() time.Time { return testNow }, Trust: MetadataTrust{Certificates: pinned().Certificates, Loopback: true}}
			if _, err := source.Entity(context.Background()); !errors.Is(err, ErrUnavailable) {
				t.Errorf("error = %v", err)
			}
			if name == "slow" {
				close(released)
			}
			server.Close()
		})
	}
}
