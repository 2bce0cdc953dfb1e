package main

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"maps"
	"math/big"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// What the messages of this file are about.
const (
	madeIdP     = "https://idp.example/metadata"
	madeSP      = "https://sp.example/metadata"
	madeACS     = "https://sp.example/acs"
	madeRequest = "_request"
	madeNameID  = "alice@example.org"
)

// forge makes responses that xmlsec1 signs.
type forge struct {
	t        testing.TB
	dir      string
	now      time.Time
	keys     map[string]string // PEM files by name
	messages []madeMessage
}

// madeMessage is a response with the verdict on it.
type madeMessage struct {
	name, file string
	accept     bool
	nameID     string
	attributes map[string][]string
}

func newForge(t testing.TB) *forge {
	t.Helper()
	f := &forge{t: t, dir: t.TempDir(), now: time.Now().UTC().Truncate(time.Second), keys: map[string]string{}}
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	other, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	ec, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for name, key := range map[string]crypto.Signer{"idp": rsaKey, "attacker": other, "ec": ec} {
		template := &x509.Certificate{
			SerialNumber: big.NewInt(7), Subject: pkix.Name{CommonName: name},
			NotBefore: f.now.Add(-time.Hour), NotAfter: f.now.Add(time.Hour),
		}
		der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
		if err != nil {
			t.Fatal(err)
		}
		private, err := x509.MarshalPKCS8PrivateKey(key)
		if err != nil {
			t.Fatal(err)
		}
		f.keys[name] = f.write(name+".key", pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}))
		f.keys[name+" certificate"] = f.write(name+".pem", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	}
	return f
}

func (f *forge) write(name string, data []byte) string {
	f.t.Helper()
	path := filepath.Join(f.dir, name)
	if err := os.WriteFile(path, data, 0o600); err != nil {
		f.t.Fatal(err)
	}
	return path
}

func (f *forge) at(d time.Duration) string { return f.now.Add(d).Format("2006-01-02T15:04:05Z") }

const (
	exclusiveC14N = "http://www.w3.org/2001/10/xml-exc-c14n#"
	placeholder   = "<!--signature-->"
)

// template is a response with places for both signatures.
func (f *forge) template() string {
	return `<samlp:Response xmlns:samlp="urn:oasis:names:tc:SAML:2.0:protocol" xmlns:saml="urn:oasis:names:tc:SAML:2.0:assertion" ID="_response" Version="2.0" IssueInstant="` + f.at(0) + `" Destination="` + madeACS + `" InResponseTo="` + madeRequest + `">` +
		`<saml:Issuer>` + madeIdP + `</saml:Issuer>` + placeholder + `<samlp:Status><samlp:StatusCode Value="urn:oasis:names:tc:SAML:2.0:status:Success"/></samlp:Status>` +
		`<saml:Assertion xmlns:xs="http://www.w3.org/2001/XMLSchema" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" ID="_assertion" Version="2.0" IssueInstant="` + f.at(0) + `">` +
		`<saml:Issuer>` + madeIdP + `</saml:Issuer>` + placeholder +
		`<saml:Subject><saml:NameID Format="urn:oasis:names:tc:SAML:1.1:nameid-format:emailAddress">` + madeNameID + `</saml:NameID>` +
		`<saml:SubjectConfirmation Method="urn:oasis:names:tc:SAML:2.0:cm:bearer"><saml:SubjectConfirmationData NotOnOrAfter="` + f.at(5*time.Minute) + `" Recipient="` + madeACS + `" InResponseTo="` + madeRequest + `"/></saml:SubjectConfirmation></saml:Subject>` +
		`<saml:Conditions NotBefore="` + f.at(-time.Minute) + `" NotOnOrAfter="` + f.at(5*time.Minute) + `"><saml:AudienceRestriction><saml:Audience>` + madeSP + `</saml:Audience></saml:AudienceRestriction></saml:Conditions>` +
		`<saml:AuthnStatement AuthnInstant="` + f.at(0) + `" SessionIndex="_session"><saml:AuthnContext><saml:AuthnContextClassRef>urn:oasis:names:tc:SAML:2.0:ac:classes:Password</saml:AuthnContextClassRef></saml:AuthnContext></saml:AuthnStatement>` +
		`<saml:AttributeStatement><saml:Attribute Name="mail" NameFormat="urn:oasis:names:tc:SAML:2.0:attrname-format:basic"><saml:AttributeValue xsi:type="xs:string">alice@example.org</saml:AttributeValue></saml:Attribute></saml:AttributeStatement>` +
		`</saml:Assertion></samlp:Response>`
}

// form is how a signature is made.
type form struct {
	c14n, transform, method, digest, key string
	// raw takes the place of the second Transform.
	raw string
	// uri takes the place of the reference to the element.
	uri     string
	keyInfo string
}

func (s form) xml(id string) string {
	set := func(p *string, otherwise string) {
		if *p == "" {
			*p = otherwise
		}
	}
	set(&s.c14n, exclusiveC14N)
	set(&s.transform, s.c14n)
	set(&s.method, "http://www.w3.org/2001/04/xmldsig-more#rsa-sha256")
	set(&s.digest, "http://www.w3.org/2001/04/xmlenc#sha256")
	set(&s.uri, "#"+id)
	second := `<ds:Transform Algorithm="` + s.transform + `"/>`
	if s.raw != "" {
		second = s.raw
	}
	return `<ds:Signature xmlns:ds="http://www.w3.org/2000/09/xmldsig#"><ds:SignedInfo><ds:CanonicalizationMethod Algorithm="` + s.c14n + `"/><ds:SignatureMethod Algorithm="` + s.method + `"/>` +
		`<ds:Reference URI="` + strings.TrimPrefix(s.uri, "empty") + `"><ds:Transforms><ds:Transform Algorithm="http://www.w3.org/2000/09/xmldsig#enveloped-signature"/>` + second + `</ds:Transforms>` +
		`<ds:DigestMethod Algorithm="` + s.digest + `"/><ds:DigestValue/></ds:Reference></ds:SignedInfo><ds:SignatureValue/>` + s.keyInfo + `</ds:Signature>`
}

// sign has xmlsec1 sign the element with the identifier, whose signature takes the
// first place for one in it.
func (f *forge) sign(document, id string, s form) string {
	f.t.Helper()
	at := strings.Index(document, `ID="`+id+`"`)
	place := strings.Index(document[max(at, 0):], placeholder)
	if at < 0 || place < 0 {
		f.t.Fatalf("no place for the signature of %s in %s", id, document)
	}
	document = document[:at+place] + s.xml(id) + document[at+place+len(placeholder):]
	key := s.key
	if key == "" {
		key = "idp"
	}
	in := f.write("template.xml", []byte(document))
	c := exec.Command("xmlsec1", "--sign", "--privkey-pem", f.keys[key]+","+f.keys[key+" certificate"],
		"--id-attr:ID", "urn:oasis:names:tc:SAML:2.0:protocol:Response", "--id-attr:ID", "urn:oasis:names:tc:SAML:2.0:assertion:Assertion",
		"--node-xpath", `//*[@ID='`+id+`']/*[local-name()='Signature']`, in)
	var problems bytes.Buffer
	c.Stderr = &problems
	out, err := c.Output()
	if err != nil {
		f.t.Fatalf("xmlsec1: %v\n%s\n%s", err, &problems, document)
	}
	return string(out)
}

// parts says which elements are signed.
type parts string

const (
	responseSigned  parts = "response"
	assertionSigned parts = "assertion"
	bothSigned      parts = "both"
	nothingSigned   parts = "nothing"
)

func (f *forge) signed(document string, p parts, s form) string {
	if p == assertionSigned || p == bothSigned {
		document = f.sign(document, "_assertion", s)
	} else {
		at := strings.LastIndex(document, placeholder)
		if strings.Count(document, placeholder) > 1 {
			document = document[:at] + document[at+len(placeholder):]
		}
	}
	if p == responseSigned || p == bothSigned {
		document = f.sign(document, "_response", s)
	}
	return strings.ReplaceAll(document, placeholder, "")
}

// once replaces the one occurrence of a text.
func (f *forge) once(s, from, to string) string {
	f.t.Helper()
	if n := strings.Count(s, from); n != 1 {
		f.t.Fatalf("%d times %q in %s", n, from, s)
	}
	return strings.Replace(s, from, to, 1)
}

func (f *forge) add(name, document string, accept bool) *madeMessage {
	f.t.Helper()
	file := f.write(fmt.Sprintf("%04d.xml", len(f.messages)), []byte(document))
	m := madeMessage{name: name, file: file, accept: accept, nameID: madeNameID, attributes: map[string][]string{"mail": {"alice@example.org"}}}
	f.messages = append(f.messages, m)
	return &f.messages[len(f.messages)-1]
}

// edit is a change before signing: the text that is there once, and what takes its
// place.
type edit struct {
	name     string
	from, to string
	accept   bool
	nameID   string              // where it is another one
	values   map[string][]string // attributes, where they are others
}

func (f *forge) edits() []edit {
	nameID := `>` + madeNameID + `</saml:NameID>`
	value := `<saml:AttributeValue xsi:type="xs:string">alice@example.org</saml:AttributeValue>`
	attribute := `<saml:AttributeStatement><saml:Attribute Name="mail"`
	mail := func(values ...string) map[string][]string { return map[string][]string{"mail": values} }
	confirmation := regexp.MustCompile(`<saml:SubjectConfirmation .*</saml:SubjectConfirmation>`).FindString(f.template())
	authn := regexp.MustCompile(`<saml:AuthnStatement.*</saml:AuthnStatement>`).FindString(f.template())
	statement := regexp.MustCompile(`<saml:AttributeStatement.*</saml:AttributeStatement>`).FindString(f.template())
	restriction := regexp.MustCompile(`<saml:AudienceRestriction>.*</saml:AudienceRestriction>`).FindString(f.template())
	conditions := regexp.MustCompile(`<saml:Conditions.*</saml:Conditions>`).FindString(f.template())
	subject := regexp.MustCompile(`<saml:Subject>.*</saml:Subject>`).FindString(f.template())
	other := strings.Replace(confirmation, f.at(5*time.Minute), f.at(-5*time.Minute), 1)
	return []edit{
		{name: "comment in the name", from: nameID, to: `>alice@<!-- c -->example.org</saml:NameID>`, accept: true},
		{name: "comment that cuts the name", from: nameID, to: `>alice@example.org<!-- -->.evil.example</saml:NameID>`, accept: true, nameID: "alice@example.org.evil.example"},
		{name: "comment before the name", from: nameID, to: `><!-- -->alice@example.org</saml:NameID>`, accept: true},
		{name: "character data in the name", from: nameID, to: `><![CDATA[alice@example.org]]></saml:NameID>`, accept: true},
		{name: "character data in part of the name", from: nameID, to: `>alice<![CDATA[@example]]>.org</saml:NameID>`, accept: true},
		{name: "blanks around the name", from: nameID, to: ">\n  alice@example.org\n</saml:NameID>", accept: true},
		{name: "character reference in the name", from: nameID, to: `>&#97;lice@example.org</saml:NameID>`, accept: true},
		{name: "ampersand in the name", from: nameID, to: `>a&amp;b@example.org</saml:NameID>`, accept: true, nameID: "a&b@example.org"},
		{name: "processing instruction in the name", from: nameID, to: `>alice@example.org<?x y?>.evil.example</saml:NameID>`},
		{name: "element in the name", from: nameID, to: `>alice@example.org<saml:x/></saml:NameID>`},
		{name: "empty name", from: nameID, to: `></saml:NameID>`},
		{name: "no format of the name", from: ` Format="urn:oasis:names:tc:SAML:1.1:nameid-format:emailAddress"`, to: ``, accept: true},
		{name: "persistent name", from: `SAML:1.1:nameid-format:emailAddress`, to: `SAML:2.0:nameid-format:persistent`, accept: true},
		{name: "transient name", from: `SAML:1.1:nameid-format:emailAddress`, to: `SAML:2.0:nameid-format:transient`, accept: true},
		{name: "qualified name", from: `<saml:NameID `, to: `<saml:NameID NameQualifier="` + madeIdP + `" SPNameQualifier="` + madeSP + `" `, accept: true},
		{name: "name for another", from: `<saml:NameID `, to: `<saml:NameID SPNameQualifier="https://other.example" `},
		{name: "no subject", from: subject, to: ``},
		{name: "name of another kind", from: `<saml:NameID Format="urn:oasis:names:tc:SAML:1.1:nameid-format:emailAddress">` + madeNameID + `</saml:NameID>`, to: `<saml:BaseID/>`},

		{name: "two values", from: value, to: value + `<saml:AttributeValue>bob@example.org</saml:AttributeValue>`, accept: true, values: mail("alice@example.org", "bob@example.org")},
		{name: "empty value", from: value, to: `<saml:AttributeValue/>`, accept: true, values: mail("")},
		{name: "nil value", from: value, to: `<saml:AttributeValue xsi:nil="true"/>`, accept: true, values: mail("")},
		{name: "no value", from: value, to: ``, accept: true, values: mail()},
		{name: "value without a type", from: value, to: `<saml:AttributeValue>alice@example.org</saml:AttributeValue>`, accept: true},
		{name: "value of any type", from: value, to: `<saml:AttributeValue xsi:type="xs:anyType">alice@example.org</saml:AttributeValue>`, accept: true},
		{name: "number", from: value, to: `<saml:AttributeValue xsi:type="xs:integer">42</saml:AttributeValue>`, accept: true, values: mail("42")},
		{name: "structured value", from: value, to: `<saml:AttributeValue><a:x xmlns:a="urn:a">1</a:x></saml:AttributeValue>`, accept: true, values: mail("")},
		{name: "comment in the value", from: value, to: `<saml:AttributeValue>alice@<!-- -->example.org</saml:AttributeValue>`, accept: true},
		{name: "blanks around the value", from: value, to: "<saml:AttributeValue>\n alice@example.org\n</saml:AttributeValue>", accept: true},
		{name: "name as value", from: value, to: `<saml:AttributeValue><saml:NameID>alice@example.org</saml:NameID></saml:AttributeValue>`, accept: true},
		{
			name: "two attributes", from: attribute, to: `<saml:AttributeStatement><saml:Attribute Name="uid"><saml:AttributeValue>alice</saml:AttributeValue></saml:Attribute><saml:Attribute Name="mail"`, accept: true,
			values: map[string][]string{"uid": {"alice"}, "mail": {"alice@example.org"}},
		},
		{name: "one attribute twice", from: attribute, to: `<saml:AttributeStatement><saml:Attribute Name="mail"><saml:AttributeValue>eve</saml:AttributeValue></saml:Attribute><saml:Attribute Name="mail"`},
		{
			name: "two attribute statements", from: statement, to: statement + `<saml:AttributeStatement><saml:Attribute Name="uid"><saml:AttributeValue>alice</saml:AttributeValue></saml:Attribute></saml:AttributeStatement>`, accept: true,
			values: map[string][]string{"uid": {"alice"}, "mail": {"alice@example.org"}},
		},
		{name: "encrypted attribute besides", from: `</saml:AttributeStatement>`, to: `<saml:EncryptedAttribute><xenc:EncryptedData xmlns:xenc="http://www.w3.org/2001/04/xmlenc#"><xenc:CipherData><xenc:CipherValue>AAAA</xenc:CipherValue></xenc:CipherData></xenc:EncryptedData></saml:EncryptedAttribute></saml:AttributeStatement>`},
		{name: "values with their namespaces", from: value, to: strings.Repeat(`<saml:AttributeValue xmlns:s="http://www.w3.org/2001/XMLSchema" xmlns:i="http://www.w3.org/2001/XMLSchema-instance" i:type="s:string">alice@example.org</saml:AttributeValue>`, 60), accept: true, values: mail(slices.Repeat([]string{"alice@example.org"}, 60)...)},
		{name: "carriage return referred to in the value", from: value, to: `<saml:AttributeValue>alice&#13;&#xA;example</saml:AttributeValue>`, accept: true, values: mail("alice\r\nexample")},
		{name: "markup referred to in the value", from: value, to: `<saml:AttributeValue>&lt;a href=&quot;x&quot;&gt; &#233;é😀</saml:AttributeValue>`, accept: true, values: mail("<a href=\"x\"> éé😀")},
		{name: "no attributes", from: statement, to: ``, accept: true, values: map[string][]string{}},
		{name: "statement without attributes", from: statement, to: `<saml:AttributeStatement/>`, accept: true, values: map[string][]string{}},
		{name: "attribute without a name", from: attribute, to: `<saml:AttributeStatement><saml:Attribute NotName="mail"`},
		{name: "attribute with a foreign attribute", from: attribute, to: `<saml:AttributeStatement><saml:Attribute xmlns:x="urn:x" x:y="z" Name="mail"`, accept: true},
		{name: "friendly name", from: attribute, to: `<saml:AttributeStatement><saml:Attribute FriendlyName="E-mail" Name="mail"`, accept: true},
		{
			name: "name is a URI", from: `Name="mail" NameFormat="urn:oasis:names:tc:SAML:2.0:attrname-format:basic"`, to: `Name="urn:oid:0.9.2342.19200300.100.1.3" NameFormat="urn:oasis:names:tc:SAML:2.0:attrname-format:uri"`, accept: true,
			values: map[string][]string{"urn:oid:0.9.2342.19200300.100.1.3": {"alice@example.org"}},
		},

		{name: "two audiences", from: `<saml:Audience>`, to: `<saml:Audience>https://other.example</saml:Audience><saml:Audience>`, accept: true},
		{name: "two restrictions", from: restriction, to: restriction + restriction, accept: true},
		{name: "second restriction for another", from: restriction, to: restriction + `<saml:AudienceRestriction><saml:Audience>https://other.example</saml:Audience></saml:AudienceRestriction>`},
		{name: "another audience", from: `<saml:Audience>` + madeSP, to: `<saml:Audience>https://other.example`},
		{name: "audience with more behind", from: `<saml:Audience>` + madeSP, to: `<saml:Audience>` + madeSP + `.evil.example`},
		{name: "audience with a comment", from: `<saml:Audience>` + madeSP, to: `<saml:Audience>` + madeSP + `<!-- -->`, accept: true},
		{name: "blanks around the audience", from: `<saml:Audience>` + madeSP, to: "<saml:Audience>\n " + madeSP + "\n ", accept: true},
		{name: "no restriction", from: restriction, to: ``},
		{name: "empty restriction", from: restriction, to: `<saml:AudienceRestriction/>`},
		{name: "no conditions", from: conditions, to: ``},
		{name: "conditions without times", from: `<saml:Conditions NotBefore="` + f.at(-time.Minute) + `" NotOnOrAfter="` + f.at(5*time.Minute) + `">`, to: `<saml:Conditions>`, accept: true},
		{name: "one-time use", from: restriction, to: restriction + `<saml:OneTimeUse/>`, accept: true},
		{name: "proxy restriction", from: restriction, to: restriction + `<saml:ProxyRestriction Count="0"/>`, accept: true},
		{name: "unknown condition", from: restriction, to: restriction + `<saml:Condition xmlns:x="urn:x" xsi:type="x:y"/>`},
		{name: "conditions later", from: `<saml:Conditions NotBefore="` + f.at(-time.Minute), to: `<saml:Conditions NotBefore="` + f.at(time.Hour)},
		{name: "conditions over", from: `NotOnOrAfter="` + f.at(5*time.Minute) + `"><saml:AudienceRestriction>`, to: `NotOnOrAfter="` + f.at(-time.Hour) + `"><saml:AudienceRestriction>`},
		{name: "conditions with an offset", from: `NotOnOrAfter="` + f.at(5*time.Minute) + `"><saml:AudienceRestriction>`, to: `NotOnOrAfter="` + f.now.Add(2*time.Hour+5*time.Minute).Format("2006-01-02T15:04:05") + `+02:00"><saml:AudienceRestriction>`, accept: true},
		{name: "conditions with fractions", from: `NotOnOrAfter="` + f.at(5*time.Minute) + `"><saml:AudienceRestriction>`, to: `NotOnOrAfter="` + strings.TrimSuffix(f.at(5*time.Minute), "Z") + `.123456Z"><saml:AudienceRestriction>`, accept: true},
		{name: "conditions of no time", from: `NotOnOrAfter="` + f.at(5*time.Minute) + `"><saml:AudienceRestriction>`, to: `NotOnOrAfter="soon"><saml:AudienceRestriction>`},

		{name: "two confirmations", from: confirmation, to: confirmation + confirmation, accept: true},
		{name: "confirmation over, then one that is not", from: confirmation, to: other + confirmation, accept: true},
		{name: "confirmation, then one that is over", from: confirmation, to: confirmation + other, accept: true},
		{name: "confirmation over", from: confirmation, to: other},
		{name: "no confirmation", from: confirmation, to: ``},
		{name: "holder of key, then bearer", from: confirmation, to: strings.Replace(confirmation, "cm:bearer", "cm:holder-of-key", 1) + confirmation, accept: true},
		{name: "holder of key", from: "cm:bearer", to: "cm:holder-of-key"},
		{name: "sender vouches", from: "cm:bearer", to: "cm:sender-vouches"},
		{name: "another recipient", from: `Recipient="` + madeACS, to: `Recipient="https://other.example/acs`},
		{name: "no recipient", from: ` Recipient="` + madeACS + `"`, to: ``},
		{name: "confirmation of another request", from: `Recipient="` + madeACS + `" InResponseTo="` + madeRequest, to: `Recipient="` + madeACS + `" InResponseTo="_other`},
		{name: "confirmation with a beginning", from: `<saml:SubjectConfirmationData `, to: `<saml:SubjectConfirmationData NotBefore="` + f.at(-time.Minute) + `" `, accept: true},
		{name: "confirmation that begins later", from: `<saml:SubjectConfirmationData `, to: `<saml:SubjectConfirmationData NotBefore="` + f.at(4*time.Minute) + `" `},
		{name: "confirmation that names its presenter", from: `cm:bearer">`, to: `cm:bearer"><saml:NameID>bob@example.org</saml:NameID>`, accept: true},
		{name: "holder of a key told, then bearer", from: confirmation, to: `<saml:SubjectConfirmation Method="urn:oasis:names:tc:SAML:2.0:cm:holder-of-key"><saml:SubjectConfirmationData><ds:KeyInfo xmlns:ds="http://www.w3.org/2000/09/xmldsig#"><ds:KeyName>k</ds:KeyName></ds:KeyInfo></saml:SubjectConfirmationData></saml:SubjectConfirmation>` + confirmation, accept: true},
		{name: "confirmation with an address", from: `<saml:SubjectConfirmationData `, to: `<saml:SubjectConfirmationData Address="192.0.2.1" `, accept: true},
		{name: "confirmation without data", from: regexp.MustCompile(`<saml:SubjectConfirmationData[^>]*/>`).FindString(confirmation), to: ``},
		{name: "confirmation without an end", from: ` NotOnOrAfter="` + f.at(5*time.Minute) + `" Recipient`, to: ` Recipient`, accept: true},

		{name: "no authentication", from: authn, to: ``},
		{name: "two authentications", from: authn, to: authn + authn},
		{name: "session ends later", from: `<saml:AuthnStatement `, to: `<saml:AuthnStatement SessionNotOnOrAfter="` + f.at(time.Hour) + `" `, accept: true},
		{name: "session is over", from: `<saml:AuthnStatement `, to: `<saml:AuthnStatement SessionNotOnOrAfter="` + f.at(-time.Hour) + `" `},
		{name: "no session", from: ` SessionIndex="_session"`, to: ``, accept: true},
		{name: "locality", from: `<saml:AuthnContext>`, to: `<saml:SubjectLocality Address="192.0.2.1" DNSName="x.example"/><saml:AuthnContext>`, accept: true},
		{name: "authority", from: `</saml:AuthnContext>`, to: `<saml:AuthenticatingAuthority>https://other.example</saml:AuthenticatingAuthority></saml:AuthnContext>`, accept: true},
		{name: "declared context", from: `<saml:AuthnContextClassRef>urn:oasis:names:tc:SAML:2.0:ac:classes:Password</saml:AuthnContextClassRef>`, to: `<saml:AuthnContextDeclRef>urn:x</saml:AuthnContextDeclRef>`, accept: true},
		{name: "context in full", from: `</saml:AuthnContextClassRef>`, to: `</saml:AuthnContextClassRef><saml:AuthnContextDecl><x xmlns="urn:x">y</x></saml:AuthnContextDecl>`, accept: true},
		{name: "context in full alone", from: `<saml:AuthnContextClassRef>urn:oasis:names:tc:SAML:2.0:ac:classes:Password</saml:AuthnContextClassRef>`, to: `<saml:AuthnContextDecl><x xmlns="urn:x">y</x></saml:AuthnContextDecl>`, accept: true},
		{name: "no context", from: `<saml:AuthnContextClassRef>urn:oasis:names:tc:SAML:2.0:ac:classes:Password</saml:AuthnContextClassRef>`, to: ``},
		{name: "authenticated in the future", from: `AuthnInstant="` + f.at(0), to: `AuthnInstant="` + f.at(time.Hour)},
		{name: "decision as well", from: authn, to: authn + `<saml:AuthzDecisionStatement Resource="urn:x" Decision="Permit"><saml:Action Namespace="urn:x">read</saml:Action></saml:AuthzDecisionStatement>`, accept: true},
		{name: "statements in another order", from: authn + statement, to: statement + authn, accept: true},

		{name: "issuer of the assertion is another", from: `<saml:Issuer>` + madeIdP + `</saml:Issuer>` + placeholder + `<saml:Subject>`, to: `<saml:Issuer>https://other.example</saml:Issuer>` + placeholder + `<saml:Subject>`},
		{name: "issuer of the response is another", from: `<saml:Issuer>` + madeIdP + `</saml:Issuer>` + placeholder + `<samlp:Status>`, to: `<saml:Issuer>https://other.example</saml:Issuer>` + placeholder + `<samlp:Status>`},
		{name: "issuer with a format", from: `<saml:Issuer>` + madeIdP + `</saml:Issuer>` + placeholder + `<saml:Subject>`, to: `<saml:Issuer Format="urn:oasis:names:tc:SAML:2.0:nameid-format:entity">` + madeIdP + `</saml:Issuer>` + placeholder + `<saml:Subject>`, accept: true},
		{name: "issuer of no format in particular", from: `<saml:Issuer>` + madeIdP + `</saml:Issuer>` + placeholder + `<saml:Subject>`, to: `<saml:Issuer Format="urn:oasis:names:tc:SAML:1.1:nameid-format:unspecified">` + madeIdP + `</saml:Issuer>` + placeholder + `<saml:Subject>`, accept: true},
		{name: "blanks around the issuer", from: `<saml:Issuer>` + madeIdP + `</saml:Issuer>` + placeholder + `<saml:Subject>`, to: "<saml:Issuer>\n" + madeIdP + "\n</saml:Issuer>" + placeholder + `<saml:Subject>`, accept: true},
		{name: "no destination", from: ` Destination="` + madeACS + `"`, to: ``, accept: true},
		{name: "empty destination", from: ` Destination="` + madeACS + `"`, to: ` Destination=""`},
		{name: "another destination", from: ` Destination="` + madeACS + `"`, to: ` Destination="https://other.example/acs"`},
		{name: "answer to another request", from: ` InResponseTo="` + madeRequest + `"><saml:Issuer>`, to: ` InResponseTo="_other"><saml:Issuer>`},
		{name: "consent", from: ` Destination=`, to: ` Consent="urn:oasis:names:tc:SAML:2.0:consent:obtained" Destination=`, accept: true},
		{name: "version 1.1", from: `ID="_assertion" Version="2.0"`, to: `ID="_assertion" Version="1.1"`},
		{name: "response of version 1.1", from: `ID="_response" Version="2.0"`, to: `ID="_response" Version="1.1"`},
		{name: "message with the status", from: `Success"/></samlp:Status>`, to: `Success"/><samlp:StatusMessage>fine</samlp:StatusMessage></samlp:Status>`, accept: true},
		{name: "details with the status", from: `Success"/></samlp:Status>`, to: `Success"/><samlp:StatusDetail><x xmlns="urn:x"/></samlp:StatusDetail></samlp:Status>`, accept: true},
		{name: "second status below", from: `Success"/></samlp:Status>`, to: `Success"><samlp:StatusCode Value="urn:x"/></samlp:StatusCode></samlp:Status>`},
		{name: "failed", from: `status:Success"/>`, to: `status:Responder"><samlp:StatusCode Value="urn:oasis:names:tc:SAML:2.0:status:AuthnFailed"/></samlp:StatusCode>`},
		{name: "success below failure", from: `status:Success"/>`, to: `status:Responder"><samlp:StatusCode Value="urn:oasis:names:tc:SAML:2.0:status:Success"/></samlp:StatusCode>`},
		{name: "no status", from: `<samlp:Status><samlp:StatusCode Value="urn:oasis:names:tc:SAML:2.0:status:Success"/></samlp:Status>`, to: ``},
		{name: "extensions", from: `<samlp:Status>`, to: `<samlp:Extensions><x xmlns="urn:x">y</x></samlp:Extensions><samlp:Status>`, accept: true},
		{name: "advice", from: `<saml:AuthnStatement `, to: `<saml:Advice><saml:AssertionIDRef>_x</saml:AssertionIDRef></saml:Advice><saml:AuthnStatement `, accept: true},
		{name: "unknown element", from: `<saml:AuthnStatement `, to: `<x xmlns="urn:x"/><saml:AuthnStatement `},
		{name: "text between elements", from: `<saml:AuthnStatement `, to: `text<saml:AuthnStatement `},
		{name: "comment between elements", from: `<saml:AuthnStatement `, to: `<!-- c --><saml:AuthnStatement `, accept: true},
		{name: "line breaks between elements", from: `<saml:AuthnStatement `, to: "\n\t<saml:AuthnStatement ", accept: true},
		{name: "carriage returns between elements", from: `<saml:AuthnStatement `, to: "\r\n<saml:AuthnStatement ", accept: true},
		{name: "declaration of XML", from: `<samlp:Response `, to: `<?xml version="1.0" encoding="UTF-8"?>` + "\n<samlp:Response ", accept: true},
		{name: "comment before the response", from: `<samlp:Response `, to: `<!-- c --><samlp:Response `, accept: true},
		{name: "unused namespace", from: ` ID="_assertion"`, to: ` xmlns:unused="urn:unused" ID="_assertion"`, accept: true},
		{name: "namespace declared again", from: `<saml:Conditions `, to: `<saml:Conditions xmlns:saml="urn:oasis:names:tc:SAML:2.0:assertion" `, accept: true},
		{name: "another prefix", from: subject, to: strings.ReplaceAll(strings.Replace(strings.ReplaceAll(subject, "saml:", "a:"), "<a:Subject>", `<a:Subject xmlns:a="urn:oasis:names:tc:SAML:2.0:assertion">`, 1), "urn:oasis:names:tc:SAML:2.0:cm", "urn:oasis:names:tc:SAML:2.0:cm"), accept: true},
		{name: "default namespace", from: conditions, to: strings.Replace(strings.ReplaceAll(conditions, "saml:", ""), "<Conditions", `<Conditions xmlns="urn:oasis:names:tc:SAML:2.0:assertion"`, 1), accept: true},
		{name: "identifier with dots", from: `SessionIndex="_session"`, to: `SessionIndex="a.b-c:d"`, accept: true},
		// Two attributes whose order by namespace is not that by local name.
		{name: "language and type", from: value, to: `<saml:AttributeValue xsi:type="xs:string" xml:lang="en">alice@example.org</saml:AttributeValue>`, accept: true},
		{name: "attributes in order of their namespaces", from: value, to: `<saml:AttributeValue xmlns:b="urn:a" xmlns:a="urn:b" b:z="1" a:a="2" c="3">alice@example.org</saml:AttributeValue>`, accept: true},
		{name: "language", from: value, to: `<saml:AttributeValue xml:lang="en">alice@example.org</saml:AttributeValue>`, accept: true},
	}
}

const (
	dsigMore = "http://www.w3.org/2001/04/xmldsig-more#"
	dsigBase = "http://www.w3.org/2000/09/xmldsig#"
	encSHA   = "http://www.w3.org/2001/04/xmlenc#"
)

func (f *forge) forms() map[string]form {
	return map[string]form{
		"exclusive with comments":   {c14n: exclusiveC14N + "WithComments"},
		"inclusive":                 {c14n: "http://www.w3.org/TR/2001/REC-xml-c14n-20010315"},
		"inclusive with comments":   {c14n: "http://www.w3.org/TR/2001/REC-xml-c14n-20010315#WithComments"},
		"inclusive 1.1":             {c14n: "http://www.w3.org/2006/12/xml-c14n11"},
		"inclusive after exclusive": {c14n: exclusiveC14N, transform: "http://www.w3.org/TR/2001/REC-xml-c14n-20010315"},
		"only enveloped":            {raw: " "},
		"prefixes":                  {raw: `<ds:Transform Algorithm="` + exclusiveC14N + `"><ec:InclusiveNamespaces xmlns:ec="` + exclusiveC14N + `" PrefixList="xs xsi #default"/></ds:Transform>`},
		"RSA-SHA1":                  {method: dsigBase + "rsa-sha1", digest: dsigBase + "sha1"},
		"RSA-SHA384":                {method: dsigMore + "rsa-sha384", digest: dsigMore + "sha384"},
		"RSA-SHA512":                {method: dsigMore + "rsa-sha512", digest: encSHA + "sha512"},
		"key info":                  {keyInfo: `<ds:KeyInfo><ds:X509Data/></ds:KeyInfo>`},
		"key value":                 {keyInfo: `<ds:KeyInfo><ds:KeyValue/></ds:KeyInfo>`},
		"key name":                  {keyInfo: `<ds:KeyInfo><ds:KeyName>idp</ds:KeyName></ds:KeyInfo>`},
	}
}

// make makes all messages.
func (f *forge) make() {
	for _, p := range []parts{responseSigned, assertionSigned, bothSigned} {
		f.add(string(p)+" signed", f.signed(f.template(), p, form{}), true)
	}
	f.add("nothing signed", f.signed(f.template(), nothingSigned, form{}), false)
	forms := f.forms()
	for _, name := range slices.Sorted(maps.Keys(forms)) {
		for _, p := range []parts{responseSigned, assertionSigned} {
			f.add(name+", "+string(p), f.signed(f.template(), p, forms[name]), true)
		}
	}
	for i, e := range f.edits() {
		p := []parts{responseSigned, assertionSigned, bothSigned}[i%3]
		for _, p := range []parts{p, []parts{assertionSigned, responseSigned, responseSigned}[i%3]} {
			m := f.add(e.name+", "+string(p), f.signed(f.once(f.template(), e.from, e.to), p, form{}), e.accept)
			if e.nameID != "" {
				m.nameID = e.nameID
			}
			if e.values != nil {
				m.attributes = e.values
			}
		}
	}
	f.attacks()
	f.signatures()
}

// attacks makes messages that nobody may accept.
func (f *forge) attacks() {
	for _, p := range []parts{responseSigned, assertionSigned} {
		whole := f.signed(f.template(), p, form{})
		add := func(name, document string) { f.add(name+", "+string(p), document, false) }
		id := "_" + string(p)
		signature := regexp.MustCompile(`(?s)<ds:Signature .*</ds:Signature>`).FindString(whole)
		evil := func(s string) string { return strings.ReplaceAll(s, ">"+madeNameID+"<", ">eve@example.org<") }
		assertion := regexp.MustCompile(`(?s)<saml:Assertion .*</saml:Assertion>`).FindString(whole)
		bare := strings.Replace(assertion, signature, "", 1)
		forged := strings.Replace(evil(bare), `ID="_assertion"`, `ID="_evil"`, 1)
		add("changed", evil(whole))
		add("value changed", regexp.MustCompile(`(<ds:SignatureValue>.)`).ReplaceAllString(whole, "${1}A"))
		add("digest changed", regexp.MustCompile(`(<ds:DigestValue>)....`).ReplaceAllString(whole, "${1}AAAA"))
		add("signature taken off", strings.Replace(whole, signature, "", 1))
		add("signed by another", f.signed(f.template(), p, form{key: "attacker"}))
		add("signed by another, who brings a certificate", f.signed(f.template(), p, form{key: "attacker", keyInfo: `<ds:KeyInfo><ds:X509Data/></ds:KeyInfo>`}))
		add("signed by another, who brings a key", f.signed(f.template(), p, form{key: "attacker", keyInfo: `<ds:KeyInfo><ds:KeyValue/></ds:KeyInfo>`}))
		add("second assertion before", strings.Replace(whole, assertion, forged+assertion, 1))
		add("second assertion behind", strings.Replace(whole, assertion, assertion+forged, 1))
		add("second assertion of the same identifier", strings.Replace(whole, assertion, evil(bare)+assertion, 1))
		add("assertion in extensions", f.once(strings.Replace(whole, assertion, forged, 1), `<samlp:Status>`, `<samlp:Extensions>`+assertion+`</samlp:Extensions><samlp:Status>`))
		add("assertion in the forged one", strings.Replace(whole, assertion, strings.Replace(forged, `<saml:Subject>`, assertion+`<saml:Subject>`, 1), 1))
		add("assertion in the advice of the forged one", strings.Replace(whole, assertion, strings.Replace(forged, `<saml:AuthnStatement `, `<saml:Advice>`+assertion+`</saml:Advice><saml:AuthnStatement `, 1), 1))
		add("assertion in the signature of the forged one", strings.Replace(whole, assertion, strings.Replace(forged, `</saml:Issuer><saml:Subject>`, `</saml:Issuer>`+strings.Replace(signature, `</ds:Signature>`, `<ds:Object>`+bare+`</ds:Object></ds:Signature>`, 1)+`<saml:Subject>`, 1), 1))
		add("response in a forged one", strings.Replace(strings.Replace(evil(strings.Replace(whole, signature, "", 1)), `ID="_response"`, `ID="_evil"`, 1), `<samlp:Status>`, `<samlp:Extensions>`+whole+`</samlp:Extensions><samlp:Status>`, 1))
		add("signature with the original as object", strings.Replace(evil(whole), `</ds:Signature>`, `<ds:Object>`+strings.Replace(whole, signature, "", 1)+`</ds:Object></ds:Signature>`, 1))
		add("document type", `<!DOCTYPE x>`+whole)
		add("entity", `<!DOCTYPE x [<!ENTITY e "alice@example.org">]>`+strings.Replace(whole, ">"+madeNameID+"<", ">&e;<", 1))
		add("two signatures", strings.Replace(whole, signature, signature+signature, 1))
		add("method none", strings.Replace(whole, dsigMore+"rsa-sha256", "none", 1))
		add("keyed digest", strings.Replace(whole, dsigMore+"rsa-sha256", dsigMore+"hmac-sha256", 1))
		add("reference to nothing", strings.Replace(whole, `URI="#`+id+`"`, `URI="#_nothing"`, 1))
		add("reference elsewhere", strings.Replace(whole, `URI="#`+id+`"`, `URI="https://idp.example/x"`, 1))
		add("reference by pointer", strings.Replace(whole, `URI="#`+id+`"`, `URI="#xpointer(id('`+id+`'))"`, 1))
		add("stylesheet", strings.Replace(whole, `Transform Algorithm="`+exclusiveC14N, `Transform Algorithm="http://www.w3.org/TR/1999/REC-xslt-19991116`, 1))
		add("prefix undeclared", strings.Replace(whole, `xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" `, ``, 1))
		add("attribute twice", strings.Replace(whole, `Version="2.0"`, `Version="2.0" Version="2.0"`, 1))
		add("two documents", whole+whole)
		add("cut", whole[:len(whole)/2])
		add("text behind", whole+"text")
	}
	f.add("signature of the assertion refers to the response", f.crossed(), false)
}

// crossed puts a signature over the assertion into the response.
func (f *forge) crossed() string {
	whole := f.signed(f.template(), assertionSigned, form{})
	signature := regexp.MustCompile(`(?s)<ds:Signature .*</ds:Signature>`).FindString(whole)
	return f.once(strings.Replace(whole, signature, "", 1), `<samlp:Status>`, signature+`<samlp:Status>`)
}

func (f *forge) arguments() []string {
	return []string{"--idp-cert", f.keys["idp certificate"], "--issuer", madeIdP, "--audience", madeSP, "--recipient", madeACS, "--request", madeRequest, "--at", f.at(time.Second)}
}

// TestJudgeSAMLOnMadeMessages judges some hundreds of responses that another
// program signed: what it accepts, with which identity, and what it does not.
func TestJudgeSAMLOnMadeMessages(t *testing.T) {
	f := newForge(t)
	f.make()
	for _, m := range f.messages {
		v := judge(t, append(f.arguments(), m.file)...)
		switch {
		case v.Accepted != m.accept:
			t.Errorf("%s: accepted = %v: %s %s", m.name, v.Accepted, v.Reason, v.Detail)
		case !m.accept:
		case v.NameID != m.nameID || !maps.EqualFunc(v.Attributes, m.attributes, slices.Equal[[]string]):
			t.Errorf("%s: %q %v, want %q %v", m.name, v.NameID, v.Attributes, m.nameID, m.attributes)
		}
	}
	if len(f.messages) < 300 {
		t.Errorf("%d messages", len(f.messages))
	}
}
