package saml

import (
	"strings"
	"testing"
)

// TestThreatsOfReaders are rows of the threat list that turn on how XML is read,
// each with the reason of its refusal.
func TestThreatsOfReaders(t *testing.T) {
	prepend := func(s string) func(*answer) {
		return func(a *answer) { a.final = func(text string) string { return s + text } }
	}
	runMatrix(t, []faultRow{
		// CVE-2025-23369: an entity makes one reader see another ID than the other.
		{area: "X-17", name: "entity in an ID", edit: func(a *answer) {
			a.final = func(s string) string {
				return `<!DOCTYPE samlp:Response [<!ENTITY idx "_assertion1">]>` + strings.Replace(s, `ID="_assertion1"`, `ID="&idx;"`, 1)
			}
		}, reason: ReasonXML},
		{area: "X-17", name: "entity in an ID without a declaration", edit: finalEdit(`ID="_assertion1"`, `ID="&idx;"`), reason: ReasonXML},
		// CVE-2025-25291, -25292: what one reader takes for a document type or a
		// comment, another takes for elements.
		{area: "X-17", name: "document type with elements in its comment", edit: prepend(`<!DOCTYPE x [<!-- ]><samlp:Response> -->]>`), reason: ReasonXML},
		{area: "X-17", name: "document type with a processing instruction", edit: prepend(`<!DOCTYPE x [<?a ]><b> ?>]>`), reason: ReasonXML},
		// CVE-2024-45409: a DigestValue elsewhere in the document is found first.
		{area: "X-17", name: "digest smuggled into StatusDetail", edit: responseEdit(`</samlp:Status>`, `<samlp:StatusDetail><ds:DigestValue xmlns:ds="http://www.w3.org/2000/09/xmldsig#">AAAA</ds:DigestValue></samlp:StatusDetail></samlp:Status>`), reason: ReasonSchema},
		{area: "X-27", name: "default ID by the document type", edit: prepend(`<!DOCTYPE samlp:Response [<!ATTLIST saml:Assertion ID CDATA "_other">]>`), reason: ReasonXML},
		{area: "X-27", name: "default type by the document type", edit: prepend(`<!DOCTYPE samlp:Response [<!ATTLIST saml:AttributeValue xsi:type CDATA "x">]>`), reason: ReasonXML},
		{area: "X-48", name: "ten thousand references", edit: func(a *answer) { a.signA.references = 10_000 }, reason: ReasonTooLarge},
		{area: "X-48", name: "a thousand transforms", edit: transformsA(enveloped + strings.Repeat(exclusiv, 1000)), reason: ReasonSignatureForm},
	})
}

// TestSameNameOtherKey: a certificate that bears the identity provider's name and
// holds a stranger's key is nobody's.
func TestSameNameOtherKey(t *testing.T) {
	k := keysOnce()
	if k.other.cert.Subject.String() != k.idp.cert.Subject.String() {
		t.Fatal("the certificates of this test have to bear one name")
	}
	for name, keyInfo := range map[string]string{"in KeyInfo": x509Data(k.other), "not in KeyInfo": ""} {
		a := goodAnswer()
		a.signA.key, a.signA.keyInfo = k.other, keyInfo
		got, err := ValidateResponse([]byte(a.post()), goodExpectation())
		want := ReasonSignatureInvalid
		if keyInfo != "" {
			want = ReasonSignatureKey
		}
		t.Run(name, func(t *testing.T) { checkVerdict(t, got, err, want) })
	}
}

// TestContextDoesNotReachIntoTheAssertion moves a signed assertion under parents
// with language, base and namespaces of their own: the signature stays bound and
// nothing of it means anything else.
func TestContextDoesNotReachIntoTheAssertion(t *testing.T) {
	for name, context := range map[string]string{
		"language":   ` xml:lang="es"`,
		"base":       ` xml:base="https://other.example/"`,
		"namespaces": ` xmlns:evil="urn:evil" xmlns:xs="http://www.w3.org/2001/XMLSchema"`,
	} {
		t.Run(name, func(t *testing.T) {
			a, e := goodAnswer(), goodExpectation()
			a.signR, e.Signed = nil, Coverage{Assertion: true}
			a.final = func(s string) string { return strings.Replace(s, ` Version="2.0"`, context+` Version="2.0"`, 1) }
			got, err := ValidateResponse([]byte(a.post()), e)
			checkVerdict(t, got, err, accepted)
		})
	}
}
