package saml

import (
	"context"
	"crypto/rand"
	"crypto/x509"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// metadataText is identity provider metadata in canonical form.
func metadataText() string {
	cert := keysOnce().idp.base64()
	return `<md:EntityDescriptor xmlns:md="urn:oasis:names:tc:SAML:2.0:metadata" ID="_metadata1" cacheDuration="PT1H" entityID="` + idpID + `" validUntil="` + at(86400) + `">` +
		`<md:IDPSSODescriptor WantAuthnRequestsSigned="true" protocolSupportEnumeration="urn:oasis:names:tc:SAML:2.0:protocol">` +
		`<md:KeyDescriptor use="signing"><ds:KeyInfo xmlns:ds="http://www.w3.org/2000/09/xmldsig#"><ds:X509Data><ds:X509Certificate>` + cert + `</ds:X509Certificate></ds:X509Data></ds:KeyInfo></md:KeyDescriptor>` +
		`<md:ArtifactResolutionService Binding="urn:oasis:names:tc:SAML:2.0:bindings:SOAP" Location="https://idp.example/resolve" index="0"></md:ArtifactResolutionService>` +
		`<md:SingleSignOnService Binding="urn:oasis:names:tc:SAML:2.0:bindings:HTTP-Redirect" Location="https://idp.example/sso"></md:SingleSignOnService>` +
		`</md:IDPSSODescriptor></md:EntityDescriptor>`
}

// signedMetadata is signed by the key of the metadata signer, which is not the
// key inside.
func signedMetadata(text string) string {
	position := text[:strings.Index(text, ">")+1]
	return recipe{key: keysOnce().other, position: position}.sign(text, "_metadata1")
}

func pinned() MetadataTrust {
	return MetadataTrust{Certificates: []*x509.Certificate{keysOnce().other.cert}, Now: testNow}
}

func TestParseMetadata(t *testing.T) {
	entities, err := ParseMetadata([]byte("\xef\xbb\xbf"+`<?xml version="1.0"?><!-- published daily -->`+signedMetadata(metadataText())), pinned())
	if err != nil {
		t.Fatal(err)
	}
	e := entities[idpID]
	if e == nil || len(e.Signing) != 1 || !e.Signing[0].Equal(keysOnce().idp.cert) || !e.WantAuthnRequestsSigned {
		t.Fatalf("entity = %+v", e)
	}
	if !e.ValidUntil.Equal(testNow.Add(24*time.Hour)) || e.CacheDuration != time.Hour {
		t.Errorf("validity = %s, %s", e.ValidUntil, e.CacheDuration)
	}
	if location, ok := e.SignOn(BindingRedirect); !ok || location != "https://idp.example/sso" {
		t.Errorf("sign-on = %q", location)
	}
	if _, ok := e.SignOn(BindingPOST); ok {
		t.Error("sign-on by POST out of nowhere")
	}
	if location, ok := e.Resolution(0); !ok || location != "https://idp.example/resolve" {
		t.Errorf("resolution = %q", location)
	}
	if _, ok := e.Resolution(1); ok {
		t.Error("resolution of an unknown index")
	}
}

func TestParseMetadataRefuses(t *testing.T) {
	edit := func(old, changed string) string {
		text := metadataText()
		replace(&text, old, changed)
		return signedMetadata(text)
	}
	after := func(old, changed string) string {
		text := signedMetadata(metadataText())
		replace(&text, old, changed)
		return text
	}
	aggregate := strings.Replace(metadataText(), ` ID="_metadata1"`, "", 1)
	for _, row := range []struct {
		name, document string
		reason         Reason
	}{
		{"unsigned", metadataText(), ReasonMetadataSignature},
		{"signed by another key", recipe{key: keysOnce().idp, position: metadataText()[:strings.Index(metadataText(), ">")+1]}.sign(metadataText(), "_metadata1"), ReasonMetadataSignature},
		{"changed after signing", after("idp.example/sso", "evil.example/sso"), ReasonMetadataSignature},
		{"wrapped", `<md:EntitiesDescriptor xmlns:md="urn:oasis:names:tc:SAML:2.0:metadata" ID="_evil">` + signedMetadata(metadataText()) + `</md:EntitiesDescriptor>`, ReasonMetadataSignature},
		{"expired", edit(at(86400), at(-1)), ReasonMetadataExpired},
		{"script as location", edit("https://idp.example/sso", "javascript:alert(1)"), ReasonMetadataEndpoint},
		{"data as location", edit("https://idp.example/sso", "data:text/html,x"), ReasonMetadataEndpoint},
		{"plain HTTP", edit("https://idp.example/sso", "http://idp.example/sso"), ReasonMetadataEndpoint},
		{"X-94 loopback", edit("https://idp.example/resolve", "https://127.0.0.1/resolve"), ReasonMetadataEndpoint},
		{"X-94 loopback by name", edit("https://idp.example/resolve", "https://localhost/resolve"), ReasonMetadataEndpoint},
		{"user information", edit("https://idp.example/sso", "https://idp.example@evil.example/sso"), ReasonMetadataEndpoint},
		{"DOCTYPE", "<!DOCTYPE x>" + signedMetadata(metadataText()), ReasonXML},
		{"no keys", edit(`use="signing"`, `use="encryption"`), ReasonMetadata},
		{"two entities of one name", signedMetadata(`<md:EntitiesDescriptor xmlns:md="urn:oasis:names:tc:SAML:2.0:metadata" ID="_metadata1">` + stripNS(aggregate) + stripNS(aggregate) + `</md:EntitiesDescriptor>`), ReasonMetadata},
		{"not metadata", "<a/>", ReasonMetadata},
		{"malformed duration", edit("PT1H", "1 hour"), ReasonMetadata},
	} {
		_, err := ParseMetadata([]byte(row.document), pinned())
		if ReasonOf(err) != row.reason {
			t.Errorf("%s: %v, want reason %s", row.name, err, row.reason)
		}
	}
	if _, err := ParseMetadata([]byte(metadataText()), MetadataTrust{Now: testNow}); !errors.Is(err, ErrExpectation) {
		t.Errorf("without trust: %v", err)
	}
}

func stripNS(s string) string {
	return strings.Replace(s, ` xmlns:md="urn:oasis:names:tc:SAML:2.0:metadata"`, "", 1)
}

func TestMetadataKeyWithoutUseSigns(t *testing.T) {
	entities, err := ParseMetadata([]byte(strings.Replace(metadataText(), ` use="signing"`, "", 1)), MetadataTrust{AsGiven: true, Now: testNow})
	if err != nil {
		t.Fatal(err)
	}
	if e := entities[idpID]; len(e.Signing) != 1 || len(e.Encryption) != 1 {
		t.Errorf("keys = %d signing, %d encryption", len(e.Signing), len(e.Encryption))
	}
}

func TestMetadataLoopbackForLaboratories(t *testing.T) {
	text := strings.Replace(metadataText(), "https://idp.example/sso", "http://localhost:8182/sso", 1)
	if _, err := ParseMetadata([]byte(text), MetadataTrust{AsGiven: true, Loopback: true, Now: testNow}); err != nil {
		t.Error(err)
	}
}

func TestMetadataOfManyEntitiesVerifies(t *testing.T) {
	// goxmldsig's own validator stops at 1 000 elements.
	var b strings.Builder
	b.WriteString(`<md:EntitiesDescriptor xmlns:md="urn:oasis:names:tc:SAML:2.0:metadata" ID="_metadata1">`)
	for i := range 300 {
		entity := strings.Replace(stripNS(metadataText()), ` ID="_metadata1"`, "", 1)
		b.WriteString(strings.Replace(entity, idpID, idpID+strings.Repeat("x", i), 1))
	}
	b.WriteString(`</md:EntitiesDescriptor>`)
	entities, err := ParseMetadata([]byte(signedMetadata(b.String())), pinned())
	if err != nil || len(entities) != 300 {
		t.Fatalf("%d entities, %v", len(entities), err)
	}
}

func TestParseDuration(t *testing.T) {
	for text, want := range map[string]time.Duration{
		"PT1H": time.Hour, "P1D": 24 * time.Hour, "P1DT2H3M4S": 26*time.Hour + 3*time.Minute + 4*time.Second, "P1M": 30 * 24 * time.Hour,
	} {
		if got, ok := parseDuration(text); !ok || got != want {
			t.Errorf("%s = %s, %v", text, got, ok)
		}
	}
	for _, text := range []string{"", "P", "PT", "1H", "-PT1H", "PT1", "P1H", "PT99999999H", "P65535Y", "PT1.5S", "PT1S1S"} {
		if got, ok := parseDuration(text); ok {
			t.Errorf("%q = %s", text, got)
		}
	}
}

func TestMetadataSourceKeepsTheOldCopy(t *testing.T) {
	now := testNow
	document, fetches := signedMetadata(metadataText()), 0
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fetches++
		_, _ = w.Write([]byte(document))
	}))
	defer server.Close()
	source := &MetadataSource{
		URL: server.URL, Client: server.Client(), Clock: func() time.Time { return now },
		Trust: MetadataTrust{Certificates: pinned().Certificates, Loopback: true},
	}
	get := func() (*Entity, error) { return source.Entity(context.Background()) }
	if source.Current() != nil {
		t.Error("a copy before the first fetch")
	}
	first, err := get()
	if err != nil {
		t.Fatal(err)
	}
	if again, _ := get(); again != first || fetches != 1 {
		t.Errorf("second call fetched again: %d", fetches)
	}
	document = metadataText() // no longer signed
	now = now.Add(2 * time.Hour)
	if kept, err := get(); err != nil || kept != first || fetches != 2 {
		t.Errorf("after a bad refresh: %v, %d fetches", err, fetches)
	}
	now = now.Add(30 * time.Second)
	if _, err := get(); err != nil || fetches != 2 {
		t.Errorf("asked again at once: %v, %d fetches", err, fetches)
	}
	now = testNow.Add(25 * time.Hour) // beyond validUntil
	if _, err := get(); ReasonOf(err) != ReasonMetadataSignature {
		t.Errorf("after the end: %v", err)
	}
	if source.Current() != nil {
		t.Error("expired copy is offered")
	}
}

func TestMetadataSourceRefusesPlainHTTP(t *testing.T) {
	source := &MetadataSource{URL: "http://idp.example/metadata", Client: http.DefaultClient, Clock: func() time.Time { return testNow }, Trust: pinned()}
	if _, err := source.Entity(context.Background()); ReasonOf(err) != ReasonMetadataEndpoint {
		t.Errorf("error = %v", err)
	}
}

func TestOwnMetadataIsSignedFirst(t *testing.T) {
	k := keysOnce().idp
	document, err := testServiceProvider(Credential{Signer: k.key, Certificate: k.cert}).Metadata(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	root, err := parseMetadataXML(document, MetadataLimits())
	if err != nil {
		t.Fatal(err)
	}
	if first := root.elements()[0]; !first.is(signatureNS, "Signature") {
		t.Errorf("first child is %s", first.local)
	}
	role := root.child(metadataNS, "SPSSODescriptor")
	for name, want := range map[string]string{"AuthnRequestsSigned": "true", "WantAssertionsSigned": "true"} {
		if got := role.value(name); got != want {
			t.Errorf("%s = %q", name, got)
		}
	}
	if consumers := role.all(metadataNS, "AssertionConsumerService"); len(consumers) != 2 || consumers[0].value("Location") != acs || consumers[1].value("index") != "1" {
		t.Errorf("consumers = %d", len(consumers))
	}
	if root.value("validUntil") != "2026-06-02T09:15:30Z" {
		t.Errorf("validUntil = %s", root.value("validUntil"))
	}
}
