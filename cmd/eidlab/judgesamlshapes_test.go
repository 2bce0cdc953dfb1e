package main

import (
	"bytes"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"net/url"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"
)

// signatures adds messages with several signatures, and with what a message may say
// about its key.
func (f *forge) signatures() {
	both := f.signed(f.template(), bothSigned, form{})
	values := regexp.MustCompile(`<ds:SignatureValue>.`).FindAllStringIndex(both, -1)
	if len(values) != 2 {
		f.t.Fatalf("%d signatures", len(values))
	}
	spoiled := func(i int) string {
		at := values[i][1] - 1
		other := "A"
		if both[at] == 'A' {
			other = "B"
		}
		return both[:at] + other + both[at+1:]
	}
	f.add("assertion signed and signature of the response broken", spoiled(0), false)
	f.add("response signed and signature of the assertion broken", spoiled(1), false)
	f.add("response signed by another and assertion by the right one", f.sign(f.sign(f.template(), "_assertion", form{}), "_response", form{key: "attacker"}), false)
	f.add("assertion signed by another and response by the right one", f.sign(f.sign(f.template(), "_assertion", form{key: "attacker"}), "_response", form{}), false)

	whole := f.signed(f.template(), assertionSigned, form{})
	assertion := regexp.MustCompile(`(?s)<saml:Assertion .*</saml:Assertion>`).FindString(whole)
	second := f.signed(strings.Replace(f.template(), `ID="_assertion"`, `ID="_second"`, 1), nothingSigned, form{})
	second = strings.Replace(second, madeIdP+"</saml:Issuer><saml:Subject>", madeIdP+"</saml:Issuer>"+placeholder+"<saml:Subject>", 1)
	second = regexp.MustCompile(`(?s)<saml:Assertion .*</saml:Assertion>`).FindString(f.sign(second, "_second", form{}))
	f.add("two assertions, both signed", strings.Replace(whole, assertion, assertion+second, 1), false)
	f.add("no assertion", f.signed(regexp.MustCompile(`(?s)<saml:Assertion .*</saml:Assertion>`).ReplaceAllString(f.template(), ""), responseSigned, form{}), false)
	f.add("assertion alone", strings.Replace(assertion, "<saml:Assertion ", `<saml:Assertion xmlns:saml="urn:oasis:names:tc:SAML:2.0:assertion" `, 1), false)

	brought := func(who string) string {
		data, err := os.ReadFile(f.keys[who+" certificate"])
		if err != nil {
			f.t.Fatal(err)
		}
		block, _ := pem.Decode(data)
		return `<ds:KeyInfo><ds:X509Data><ds:X509Certificate>` + base64.StdEncoding.EncodeToString(block.Bytes) + `</ds:X509Certificate></ds:X509Data></ds:KeyInfo></ds:Signature>`
	}
	for _, p := range []parts{responseSigned, assertionSigned} {
		f.add("certificate of another beside, "+string(p), strings.Replace(f.signed(f.template(), p, form{}), `</ds:Signature>`, brought("attacker"), 1), true)
		f.add("signed by another beside the right certificate, "+string(p), strings.Replace(f.signed(f.template(), p, form{key: "attacker"}), `</ds:Signature>`, brought("idp"), 1), false)
	}
}

// asked are the options that a judge of archives has: no request, no recipient.
func (f *forge) asked(more ...string) []string {
	return append([]string{"--idp-cert", f.keys["idp certificate"], "--audience", madeSP, "--at", f.at(time.Second)}, more...)
}

// TestJudgeSAMLAtTheEdgesOfTime judges one message at different times.
func TestJudgeSAMLAtTheEdgesOfTime(t *testing.T) {
	f := newForge(t)
	document := strings.ReplaceAll(f.template(), `IssueInstant="`+f.at(0), `IssueInstant="`+f.at(-time.Hour))
	document = strings.ReplaceAll(document, `AuthnInstant="`+f.at(0), `AuthnInstant="`+f.at(-time.Hour))
	file := f.write("edges.xml", []byte(f.signed(document, bothSigned, form{})))
	for _, row := range []struct {
		at, skew time.Duration
		reason   string
	}{
		{-time.Minute, 0, ""},
		{-61 * time.Second, 0, "not_yet_valid"},
		{299 * time.Second, 0, ""},
		{300 * time.Second, 0, "expired"},
		{-2 * time.Minute, time.Minute, ""},
		{-121 * time.Second, time.Minute, "not_yet_valid"},
		{359 * time.Second, time.Minute, ""},
		{360 * time.Second, time.Minute, "expired"},
	} {
		v := judge(t, append(f.asked("--at", f.at(row.at), "--skew", row.skew.String()), file)...)
		if v.Reason != row.reason || v.Accepted != (row.reason == "") {
			t.Errorf("%s, skew %s: %+v, want %q", row.at, row.skew, v, row.reason)
		}
	}
	if v := judge(t, append(f.asked("--at", f.at(24*time.Hour), "--ignore-conditions", "--audience", "https://other.example"), file)...); !v.Accepted {
		t.Errorf("conditions ignored: %+v", v)
	}
}

// TestJudgeSAMLWithoutTheExchange: what there is nothing to compare with is not
// compared, and what is there counts.
func TestJudgeSAMLWithoutTheExchange(t *testing.T) {
	f := newForge(t)
	for _, algorithm := range []form{
		{method: dsigMore + "ecdsa-sha256", key: "ec"},
		{method: dsigMore + "ecdsa-sha384", digest: dsigMore + "sha384", key: "ec"},
		{method: dsigMore + "rsa-sha256", digest: dsigBase + "sha1"},
		{method: dsigMore + "rsa-sha512", digest: dsigMore + "sha384"},
	} {
		file := f.write("algorithm.xml", []byte(f.signed(f.template(), bothSigned, algorithm)))
		if v := judge(t, append(f.asked("--idp-cert", f.keys["ec certificate"]), file)...); !v.Accepted || v.NameID != madeNameID {
			t.Errorf("%s: %+v", algorithm.method, v)
		}
	}
	elsewhere := strings.ReplaceAll(strings.ReplaceAll(f.template(), madeACS, "http://elsewhere.example:8080/acs?x=y"), madeRequest, "_elsewhere")
	encrypted := regexp.MustCompile(`(?s)<saml:Assertion .*</saml:Assertion>`).ReplaceAllString(f.template(),
		`<saml:EncryptedAssertion><xenc:EncryptedData xmlns:xenc="http://www.w3.org/2001/04/xmlenc#"><xenc:EncryptionMethod Algorithm="http://www.w3.org/2001/04/xmlenc#aes256-cbc"/><xenc:CipherData><xenc:CipherValue>AAAA</xenc:CipherValue></xenc:CipherData></xenc:EncryptedData></saml:EncryptedAssertion>`)
	whole := f.signed(f.template(), bothSigned, form{})
	whole = whole[strings.Index(whole, "<samlp:Response "):] // without xmlsec1's declaration
	other := func(root, ns string) string {
		return `<x:` + root + ` xmlns:x="` + ns + `" ID="_x" Version="2.0" IssueInstant="` + f.at(0) + `"><Issuer xmlns="urn:oasis:names:tc:SAML:2.0:assertion">` + madeIdP + `</Issuer></x:` + root + `>`
	}
	for _, row := range []struct{ name, document, reason string }{
		{"another destination, recipient and request", f.signed(elsewhere, bothSigned, form{}), ""},
		{"no destination, recipient and request", f.signed(regexp.MustCompile(` (Destination|Recipient|InResponseTo)="[^"]*"`).ReplaceAllString(f.template(), ""), bothSigned, form{}), ""},
		{"encrypted", f.signed(encrypted, responseSigned, form{}), "encryption"},
		{"logout", other("LogoutResponse", "urn:oasis:names:tc:SAML:2.0:protocol"), "schema"},
		{"request", other("AuthnRequest", "urn:oasis:names:tc:SAML:2.0:protocol"), "schema"},
		{"SAML 1.1", other("Response", "urn:oasis:names:tc:SAML:1.0:protocol"), "schema"},
		{"nothing", "", "xml"},
		{"blanks", " \n", "xml"},
		{"no XML", "accepted", "xml"},
		{"declaration alone", `<?xml version="1.0"?>`, "xml"},
		{"X-25 document type", "<!DOCTYPE Response SYSTEM \"file:///etc/passwd\">\n" + whole, "xml"},
		{"byte order mark", "\xef\xbb\xbf" + whole, ""},
		{"blanks before the declaration", "\r\n  <?xml version=\"1.0\"?>\r\n" + whole + "\r\n", ""},
		{"encoding in small letters", `<?xml version='1.0' encoding='utf-8' standalone='yes'?>` + whole, ""},
		{"Base64", base64.StdEncoding.EncodeToString([]byte(whole)), ""},
		{"Base64 of a byte order mark", base64.StdEncoding.EncodeToString([]byte("\xef\xbb\xbf<?xml version=\"1.0\"?>\n" + whole)), ""},
		{"form", url.Values{"SAMLResponse": {base64.StdEncoding.EncodeToString([]byte(whole))}, "RelayState": {"x y"}}.Encode(), "xml"},
		{"form, response first", "SAMLResponse=" + url.QueryEscape(base64.StdEncoding.EncodeToString([]byte(whole))) + "&RelayState=x+y", ""},
	} {
		v := judge(t, append(f.asked(), f.write("judged", []byte(row.document)))...)
		if v.Reason != row.reason || v.Accepted != (row.reason == "") || v.Accepted && v.NameID != madeNameID {
			t.Errorf("%s: %+v, want %q", row.name, v, row.reason)
		}
	}
}

// TestJudgeSAMLByMetadata: the keys of the issuer that may sign count, and no others.
func TestJudgeSAMLByMetadata(t *testing.T) {
	f := newForge(t)
	file := f.write("response.xml", []byte(f.signed(f.template(), bothSigned, form{})))
	key := func(who, use string) string {
		data, err := os.ReadFile(f.keys[who+" certificate"])
		if err != nil {
			t.Fatal(err)
		}
		block, _ := pem.Decode(data)
		return `<md:KeyDescriptor` + use + `><ds:KeyInfo><ds:KeyName>x</ds:KeyName><ds:X509Data><ds:X509Certificate>` + "\n" + base64.StdEncoding.EncodeToString(block.Bytes) + "\n" + `</ds:X509Certificate></ds:X509Data></ds:KeyInfo></md:KeyDescriptor>`
	}
	const names = ` xmlns:md="urn:oasis:names:tc:SAML:2.0:metadata" xmlns:ds="http://www.w3.org/2000/09/xmldsig#"`
	entity := func(id, keys, more string) string {
		return `<md:EntityDescriptor` + names + ` entityID="` + id + `"` + more + `><md:IDPSSODescriptor protocolSupportEnumeration="urn:oasis:names:tc:SAML:2.0:protocol">` + keys + `<md:SingleSignOnService Binding="urn:x" Location="x"/></md:IDPSSODescriptor></md:EntityDescriptor>`
	}
	several := func(entities ...string) string {
		return `<md:EntitiesDescriptor` + names + `>` + strings.Join(entities, "") + `</md:EntitiesDescriptor>`
	}
	const signing, encryption = ` use="signing"`, ` use="encryption"`
	right := entity(madeIdP, key("idp", signing), "")
	for _, row := range []struct{ name, document, reason string }{
		{"one key", right, ""},
		{"key of any use", entity(madeIdP, key("idp", ""), ""), ""},
		{"several keys", entity(madeIdP, key("attacker", signing)+key("ec", signing)+key("idp", signing)+key("attacker", encryption), ""), ""},
		{"key for encryption", entity(madeIdP, key("attacker", signing)+key("idp", encryption), ""), "signature_invalid"},
		{"key of another kind", entity(madeIdP, key("ec", signing), ""), "signature_key"},
		{"expired", entity(madeIdP, key("idp", signing), ` validUntil="2001-01-01T00:00:00Z"`), ""},
		{"another entity", entity("https://other.example", key("idp", signing), ""), "issuer"},
		{"several entities", several(entity("https://a.example", key("attacker", signing), ""), right, entity("https://z.example", key("attacker", signing), "")), ""},
		{"X-84 key of another entity", several(entity("https://a.example", key("idp", signing), ""), entity(madeIdP, key("attacker", signing), "")), "signature_invalid"},
		{"one entity without keys", several(entity("https://a.example", "", ""), several(right)), ""},
		{"byte order mark", "\xef\xbb\xbf<?xml version=\"1.0\"?>\r\n" + right, ""},
	} {
		v := judge(t, "--idp-metadata", f.write("idp.xml", []byte(row.document)), "--audience", madeSP, "--at", f.at(time.Second), file)
		if v.Reason != row.reason || v.Accepted != (row.reason == "") {
			t.Errorf("%s: %+v, want %q", row.name, v, row.reason)
		}
	}
}

// TestJudgeSAMLByKeys: a pinned key counts, whatever its certificate says.
func TestJudgeSAMLByKeys(t *testing.T) {
	f := newForge(t)
	file := f.write("response.xml", []byte(f.signed(f.template(), bothSigned, form{})))
	data, err := os.ReadFile(f.keys["idp certificate"])
	if err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode(data)
	certificate, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	public, err := x509.MarshalPKIXPublicKey(certificate.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	// Version 3, serial number 7; another one is negative, as old programs made them.
	negative := bytes.Replace(block.Bytes, []byte{0xa0, 3, 2, 1, 2, 2, 1, 7}, []byte{0xa0, 3, 2, 1, 2, 2, 1, 0x87}, 1)
	if _, err := x509.ParseCertificate(negative); err == nil {
		t.Error("the standard parser reads it")
	}
	foreign, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	another, err := x509.MarshalPKIXPublicKey(&foreign.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	encoded := func(kind string, der []byte) string {
		return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
	}
	for _, row := range []struct{ name, key, reason string }{
		{"DER", string(block.Bytes), ""},
		{"Base64", base64.StdEncoding.EncodeToString(block.Bytes), ""},
		{"PEM with words around", "Subject: idp\n" + string(data) + "\nend", ""},
		{"public key", encoded("PUBLIC KEY", public), ""},
		{"negative serial number", encoded("CERTIFICATE", negative), ""},
		{"two", encoded("PUBLIC KEY", another) + string(data), ""},
		{"public key of another", encoded("PUBLIC KEY", another), "signature_invalid"},
	} {
		v := judge(t, "--idp-cert", f.write("trusted", []byte(row.key)), "--audience", madeSP, "--at", f.at(time.Second), file)
		if v.Reason != row.reason || v.Accepted != (row.reason == "") {
			t.Errorf("%s: %+v, want %q", row.name, v, row.reason)
		}
	}
	for i, key := range []string{"", "x", encoded("CERTIFICATE", []byte("x")), encoded("PUBLIC KEY", []byte("x")), encoded("PRIVATE KEY", public)} {
		if found, err := certificatesIn(f.write(fmt.Sprint("bad", i), []byte(key))); err == nil {
			t.Errorf("%q: %d certificates", key, len(found))
		}
	}
}
