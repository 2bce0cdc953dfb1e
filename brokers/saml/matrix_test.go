package saml

import (
	"crypto/x509"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/eidbridge/eidbridge/brokers"
)

// faultRow is one row of the response fault matrix: an edit of a right answer or
// of what is expected, and the reason of the refusal. accepted rows have none.
type faultRow struct {
	area, name string
	edit       func(a *answer)
	expect     func(e *Expectation)
	reason     Reason
}

const accepted Reason = ""

func assertionEdit(old, changed string) func(*answer) {
	return func(a *answer) { replace(&a.assertion, old, changed) }
}

func responseEdit(old, changed string) func(*answer) {
	return func(a *answer) { replace(&a.response, old, changed) }
}

func finalEdit(old, changed string) func(*answer) {
	return func(a *answer) {
		a.final = func(s string) string { replace(&s, old, changed); return s }
	}
}

func runMatrix(t *testing.T, rows []faultRow) {
	t.Helper()
	for _, row := range rows {
		t.Run(row.area+"/"+row.name, func(t *testing.T) {
			a, e := goodAnswer(), goodExpectation()
			if row.edit != nil {
				row.edit(a)
			}
			if row.expect != nil {
				row.expect(&e)
			}
			got, err := ValidateResponse([]byte(a.post()), e)
			checkVerdict(t, got, err, row.reason)
		})
	}
}

// checkVerdict wants either the one honest identity or a refusal for a reason.
func checkVerdict(t *testing.T, got *Assertion, err error, want Reason) {
	t.Helper()
	if want == accepted {
		if err != nil {
			t.Fatalf("refused: %v", err)
		}
		if got.NameID.Value != "s00000000:900029365" {
			t.Fatalf("identity = %q", got.NameID.Value)
		}
		return
	}
	if err == nil {
		t.Fatalf("accepted, want %s", want)
	}
	if got != nil {
		t.Fatal("identity released with an error")
	}
	var rejected *brokers.RejectedError
	if !errors.As(err, &rejected) || Reason(rejected.Reason) != want {
		t.Fatalf("error = %v, want reason %s", err, want)
	}
	if strings.Contains(err.Error(), "900029365") {
		t.Fatalf("error names the citizen: %v", err)
	}
}

func TestResponseBaseline(t *testing.T) {
	runMatrix(t, []faultRow{
		{area: "baseline", name: "correct", reason: accepted},
		{area: "baseline", name: "fractional seconds", edit: func(a *answer) {
			replace(&a.assertion, `AuthnInstant="`+at(-5), `AuthnInstant="`+strings.Replace(at(-5), "Z", ".123456789Z", 1))
		}, reason: accepted},
		{area: "baseline", name: "issuer with entity format", edit: assertionEdit(`<saml:Issuer>`, `<saml:Issuer Format="urn:oasis:names:tc:SAML:2.0:nameid-format:entity">`), reason: accepted},
		{area: "baseline", name: "white space between elements", edit: responseEdit(`<samlp:Status>`, "\n  <samlp:Status>\n"), reason: accepted},
		{area: "baseline", name: "XML declaration", edit: func(a *answer) {
			a.final = func(s string) string { return `<?xml version="1.0" encoding="UTF-8"?>` + "\n" + s }
		}, reason: accepted},
		{area: "baseline", name: "one of two audiences", edit: assertionEdit(`<saml:Audience>`, `<saml:Audience>https://other.example</saml:Audience><saml:Audience>`), reason: accepted},
		{area: "baseline", name: "success with a status message", edit: responseEdit(`</samlp:Status>`, `<samlp:StatusMessage>urn:oasis:names:tc:SAML:2.0:status:Success</samlp:StatusMessage></samlp:Status>`), reason: accepted},
	})
}

func TestResponseSignatureFaults(t *testing.T) {
	k := keysOnce()
	other, root := "#_response1", ""
	bothKeys := func(e *Expectation) { e.Certificates = []*x509.Certificate{k.other.cert, k.idp.cert} }
	runMatrix(t, []faultRow{
		{area: "presence", name: "X-76 none", edit: func(a *answer) { a.signA, a.signR = nil, nil }, reason: ReasonSignatureMissing},
		{area: "presence", name: "X-76 only response when assertion is required", edit: func(a *answer) { a.signA = nil }, reason: ReasonSignatureMissing},
		{area: "presence", name: "X-76 only assertion when response is required", edit: func(a *answer) { a.signR = nil }, reason: ReasonSignatureMissing},
		{area: "presence", name: "only response where that is enough", edit: func(a *answer) { a.signA = nil }, expect: func(e *Expectation) { e.Signed = Coverage{Response: true} }, reason: accepted},
		{area: "presence", name: "only assertion where that is enough", edit: func(a *answer) { a.signR = nil }, expect: func(e *Expectation) { e.Signed = Coverage{Assertion: true} }, reason: accepted},
		{area: "presence", name: "none where the response would be enough", edit: func(a *answer) { a.signA, a.signR = nil, nil }, expect: func(e *Expectation) { e.Signed = Coverage{Response: true} }, reason: ReasonSignatureMissing},
		{area: "presence", name: "empty SignatureValue", edit: spoilA(cutElement("SignatureValue")), reason: ReasonSignatureForm},
		{area: "presence", name: "empty Signature", edit: func(a *answer) {
			a.signA.spoil = func(string) string {
				return `<ds:Signature xmlns:ds="http://www.w3.org/2000/09/xmldsig#"></ds:Signature>`
			}
		}, reason: ReasonSignatureForm},

		{area: "trust", name: "other key", edit: func(a *answer) { a.signA.key = k.other }, reason: ReasonSignatureInvalid},
		{area: "trust", name: "X-69 second of two trusted keys", edit: func(a *answer) { a.signA.key = k.other }, expect: bothKeys, reason: accepted},
		{area: "trust", name: "X-61 certificate in KeyInfo not trusted", edit: func(a *answer) { a.signA.key = k.other; a.signA.keyInfo = x509Data(k.other) }, reason: ReasonSignatureKey},
		{area: "trust", name: "trusted certificate in KeyInfo but other key", edit: func(a *answer) { a.signA.key = k.other; a.signA.keyInfo = x509Data(k.idp) }, reason: ReasonSignatureInvalid},
		{area: "trust", name: "trusted certificate in KeyInfo", edit: func(a *answer) { a.signA.keyInfo = x509Data(k.idp) }, reason: accepted},
		{area: "trust", name: "X-62 key value and key name are no key source", edit: func(a *answer) {
			a.signA.key = k.other
			a.signA.keyInfo = `<ds:KeyInfo><ds:KeyName>other</ds:KeyName><ds:KeyValue></ds:KeyValue></ds:KeyInfo>`
		}, reason: ReasonSignatureInvalid},
		{area: "trust", name: "X-68 expired trusted certificate", edit: func(a *answer) { a.signA.key, a.signR.key = k.expired, k.expired }, expect: func(e *Expectation) { e.Certificates = []*x509.Certificate{k.expired.cert} }, reason: ReasonSignatureKey},
		{area: "trust", name: "X-66 RSA of 1024 bits", edit: func(a *answer) { a.signA.key, a.signR.key = k.short, k.short }, expect: func(e *Expectation) { e.Certificates = []*x509.Certificate{k.short.cert} }, reason: ReasonSignatureKey},

		{area: "form", name: "X-66 RSA-SHA1", edit: func(a *answer) { a.signA.method = "http://www.w3.org/2000/09/xmldsig#rsa-sha1" }, reason: ReasonSignatureAlgorithm},
		{area: "form", name: "X-66 SHA-1 digest", edit: func(a *answer) { a.signA.digest = "http://www.w3.org/2000/09/xmldsig#sha1" }, reason: ReasonSignatureAlgorithm},
		{area: "form", name: "X-64 HMAC with the certificate", edit: func(a *answer) { a.signA.method = "http://www.w3.org/2001/04/xmldsig-more#hmac-sha256" }, reason: ReasonSignatureAlgorithm},
		{area: "form", name: "X-65 HMACOutputLength", edit: spoilA(func(s string) string {
			return strings.Replace(s, `</ds:SignatureMethod>`, `<ds:HMACOutputLength>0</ds:HMACOutputLength></ds:SignatureMethod>`, 1)
		}), reason: ReasonSignatureForm},
		{area: "form", name: "X-12 two References", edit: func(a *answer) { a.signA.references = 1 }, reason: ReasonSignatureForm},
		{area: "form", name: "X-16 empty URI", edit: func(a *answer) { a.signA.uri = &root }, reason: ReasonSignatureForm},
		{area: "form", name: "X-15 Reference to another element", edit: func(a *answer) { a.signA.uri = &other }, reason: ReasonSignatureForm},
		{area: "form", name: "X-47 XPointer", edit: func(a *answer) { u := "#xpointer(id('_assertion1'))"; a.signA.uri = &u }, reason: ReasonSignatureForm},
		{area: "form", name: "X-46 external reference", edit: func(a *answer) { u := "http://192.0.2.1/a"; a.signA.uri = &u }, reason: ReasonSignatureForm},
		{area: "form", name: "X-40 XSLT transform", edit: transformsA(enveloped + `<ds:Transform Algorithm="http://www.w3.org/TR/1999/REC-xslt-19991116"></ds:Transform>` + exclusiv), reason: ReasonSignatureForm},
		{area: "form", name: "X-41 XPath transform", edit: transformsA(enveloped + `<ds:Transform Algorithm="http://www.w3.org/TR/1999/REC-xpath-19991116"></ds:Transform>`), reason: ReasonSignatureAlgorithm},
		{area: "form", name: "X-42 Base64 transform", edit: transformsA(`<ds:Transform Algorithm="http://www.w3.org/2000/09/xmldsig#base64"></ds:Transform>` + exclusiv), reason: ReasonSignatureForm},
		{area: "form", name: "X-42 enveloped twice", edit: transformsA(enveloped + enveloped + exclusiv), reason: ReasonSignatureForm},
		{area: "form", name: "X-45 no canonicalization", edit: transformsA(enveloped), reason: ReasonSignatureForm},
		{area: "form", name: "with-comments transform", edit: transformsA(enveloped + `<ds:Transform Algorithm="http://www.w3.org/2001/10/xml-exc-c14n#WithComments"></ds:Transform>`), reason: ReasonSignatureAlgorithm},
		{area: "form", name: "with-comments c14n", edit: func(a *answer) { a.signA.c14n = "http://www.w3.org/2001/10/xml-exc-c14n#WithComments" }, reason: ReasonSignatureAlgorithm},
		{area: "form", name: "X-43 unknown c14n", edit: func(a *answer) { a.signA.c14n = "http://www.w3.org/TR/1999/REC-xslt-19991116" }, reason: ReasonSignatureAlgorithm},
		{area: "form", name: "inclusive c14n", edit: func(a *answer) { a.signA.c14n = "http://www.w3.org/TR/2001/REC-xml-c14n-20010315" }, reason: ReasonSignatureAlgorithm},
		{area: "form", name: "signature not a direct child", edit: func(a *answer) { a.signA.position = "<saml:Subject>" }, reason: ReasonSchema},
		{area: "form", name: "signature out of place", edit: func(a *answer) { a.signA.position = "</saml:Subject>" }, reason: ReasonSchema},
		{area: "form", name: "X-14 two signatures", edit: spoilA(func(s string) string { return s + s }), reason: ReasonSchema},
		{area: "form", name: "X-08 Object in the signature", edit: func(a *answer) { a.signA.extra = `<ds:Object></ds:Object>` }, reason: ReasonSignatureForm},
		{area: "form", name: "X-12 two SignedInfo", edit: spoilA(func(s string) string {
			i, j := strings.Index(s, "<ds:SignedInfo>"), strings.Index(s, "<ds:SignatureValue>")
			return s[:i] + s[i:j] + s[i:]
		}), reason: ReasonSignatureForm},
		{area: "form", name: "X-13 comment in DigestValue", edit: spoilA(func(s string) string {
			return strings.Replace(s, "<ds:DigestValue>", "<ds:DigestValue><!-- -->", 1)
		}), reason: ReasonXML},
		{area: "form", name: "X-36 junk in SignatureValue", edit: spoilA(func(s string) string {
			return strings.Replace(s, "<ds:SignatureValue>", "<ds:SignatureValue>*", 1)
		}), reason: ReasonSignatureForm},
		{area: "form", name: "X-36 line breaks in SignatureValue", edit: spoilA(func(s string) string {
			i := strings.Index(s, "<ds:SignatureValue>") + 40
			return s[:i] + "\n" + s[i:]
		}), reason: accepted},
		{area: "form", name: "X-33 signature in another namespace", edit: spoilA(func(s string) string {
			return strings.Replace(s, `xmlns:ds="http://www.w3.org/2000/09/xmldsig#"`, `xmlns:ds="urn:other:xmldsig"`, 1)
		}), reason: ReasonSchema},
		{area: "form", name: "X-20 digest of the empty string", edit: spoilA(func(s string) string {
			i, j := strings.Index(s, "<ds:DigestValue>")+16, strings.Index(s, "</ds:DigestValue>")
			return s[:i] + "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=" + s[j:]
		}), reason: ReasonSignatureInvalid},
		{area: "form", name: "changed after signing", edit: finalEdit("900029365", "999990019"), reason: ReasonSignatureInvalid},
	})
}

func TestResponseAcceptsEveryListedMethod(t *testing.T) {
	k := keysOnce()
	for _, row := range []struct {
		method string
		key    *testKey
	}{
		{rsaSHA256, k.idp},
		{"http://www.w3.org/2001/04/xmldsig-more#rsa-sha384", k.idp},
		{"http://www.w3.org/2001/04/xmldsig-more#rsa-sha512", k.idp},
		{"http://www.w3.org/2007/05/xmldsig-more#sha256-rsa-MGF1", k.idp},
		{"http://www.w3.org/2007/05/xmldsig-more#sha384-rsa-MGF1", k.idp},
		{"http://www.w3.org/2007/05/xmldsig-more#sha512-rsa-MGF1", k.idp},
		{"http://www.w3.org/2001/04/xmldsig-more#ecdsa-sha256", k.p256},
		{"http://www.w3.org/2001/04/xmldsig-more#ecdsa-sha384", k.p384},
		{"http://www.w3.org/2001/04/xmldsig-more#ecdsa-sha512", k.p521},
	} {
		a, e := goodAnswer(), goodExpectation()
		a.signA.method, a.signA.key = row.method, row.key
		e.Certificates = append(e.Certificates, row.key.cert)
		got, err := ValidateResponse([]byte(a.post()), e)
		checkVerdict(t, got, err, accepted)
	}
}

func TestResponseParserFaults(t *testing.T) {
	prepend := func(s string) func(*answer) {
		return func(a *answer) { a.final = func(text string) string { return s + text } }
	}
	runMatrix(t, []faultRow{
		{area: "parser", name: "X-24 DOCTYPE", edit: prepend(`<!DOCTYPE x>`), reason: ReasonXML},
		{area: "parser", name: "X-26 external entity", edit: prepend(`<!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]>`), reason: ReasonXML},
		{area: "parser", name: "X-25 entity expansion", edit: prepend(`<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;">]>`), reason: ReasonXML},
		{area: "parser", name: "undeclared entity", edit: finalEdit("900029365", "&e;"), reason: ReasonXML},
		{area: "parser", name: "X-22 processing instruction", edit: finalEdit("900029365", "9000<?x?>29365"), reason: ReasonXML},
		{area: "parser", name: "X-28 stylesheet", edit: prepend(`<?xml-stylesheet href="http://192.0.2.1/x.xsl"?>`), reason: ReasonXML},
		{area: "parser", name: "X-21 comment inside NameID", edit: finalEdit("900029365", "90002<!-- -->9365"), reason: ReasonXML},
		{area: "parser", name: "X-21 comment inside Audience", edit: finalEdit(spID+"</saml:Audience>", spID+"<!---->.evil.example</saml:Audience>"), reason: ReasonXML},
		{area: "parser", name: "X-22 CDATA equals text", edit: finalEdit("s00000000:900029365", "<![CDATA[s00000000:900029365]]>"), reason: accepted},
		{area: "parser", name: "X-22 character reference equals text", edit: finalEdit("s00000000:9", "s00000000:&#57;"), reason: accepted},
		{area: "parser", name: "X-29 UTF-16", edit: func(a *answer) {
			a.final = func(s string) string {
				out := []byte{0xff, 0xfe}
				for i := range len(s) {
					out = append(out, s[i], 0)
				}
				return string(out)
			}
		}, reason: ReasonXML},
		{area: "parser", name: "X-29 declared UTF-16", edit: prepend(`<?xml version="1.0" encoding="UTF-16"?>`), reason: ReasonXML},
		{area: "parser", name: "X-29 declared Latin-1", edit: prepend(`<?xml version="1.0" encoding="ISO-8859-1"?>`), reason: ReasonXML},
		{area: "parser", name: "X-29 byte order mark", edit: prepend("\xef\xbb\xbf"), reason: ReasonXML},
		{area: "parser", name: "X-30 XML 1.1", edit: prepend(`<?xml version="1.1"?>`), reason: ReasonXML},
		{area: "parser", name: "10 MiB document", edit: finalEdit("</samlp:Response>", strings.Repeat(" ", 10<<20)+"</samlp:Response>"), reason: ReasonTooLarge},
		{area: "parser", name: "X-110 10 000 nested elements", edit: finalEdit("<samlp:Status>", strings.Repeat("<samlp:Status>", 10_000)), reason: ReasonTooLarge},
		{area: "parser", name: "namespace redefinition of ds", edit: finalEdit("<ds:SignedInfo>", `<ds:SignedInfo xmlns:ds="urn:other">`), reason: ReasonSignatureForm},
		{area: "parser", name: "X-34 text before the root", edit: prepend("x"), reason: ReasonXML},
		{area: "parser", name: "X-34 text after the root", edit: finalEdit("</samlp:Response>", "</samlp:Response>x"), reason: ReasonXML},
		{area: "parser", name: "X-34 second root", edit: finalEdit("</samlp:Response>", "</samlp:Response><x></x>"), reason: ReasonXML},
		{area: "parser", name: "X-31 two colons", edit: finalEdit("<samlp:Status>", "<samlp::Status>"), reason: ReasonXML},
		{area: "parser", name: "X-31 empty prefix", edit: finalEdit(` ID="_response1"`, ` ID="_response1" :a=""`), reason: ReasonXML},
		{area: "parser", name: "X-32 attribute twice", edit: finalEdit(` ID="_response1"`, ` ID="_response1" ID="_response2"`), reason: ReasonXML},
		{area: "parser", name: "X-32 attribute in another namespace", edit: finalEdit(` Destination="`, ` xmlns:z="urn:z" z:Destination="`), reason: ReasonXML},
		{area: "parser", name: "X-20 relative namespace", edit: finalEdit(` ID="_response1"`, ` xmlns:z="relative" ID="_response1"`), reason: ReasonXML},
		{area: "parser", name: "undeclared prefix", edit: finalEdit("<samlp:Status>", "<q:Status>"), reason: ReasonXML},
		{area: "parser", name: "X-16 duplicate IDs", edit: finalEdit(`ID="_assertion1"`, `ID="_response1"`), reason: ReasonDuplicateID},
		{area: "parser", name: "X-16 the same identifier under another name", edit: finalEdit(`<samlp:Status>`, `<samlp:Status Id="_assertion1">`), reason: ReasonDuplicateID},
		{area: "parser", name: "X-33 status in another namespace", edit: responseEdit("<samlp:Status>", `<samlp:Status xmlns:samlp="urn:other">`), reason: ReasonSchema},
		{area: "parser", name: "X-35 two Status", edit: responseEdit("<samlp:Status>", `<samlp:Status></samlp:Status><samlp:Status>`), reason: ReasonSchema},
		{area: "parser", name: "X-35 unknown element", edit: responseEdit("<samlp:Status>", `<samlp:Other></samlp:Other><samlp:Status>`), reason: ReasonSchema},
		{area: "parser", name: "X-35 text between elements", edit: responseEdit("<samlp:Status>", `x<samlp:Status>`), reason: ReasonSchema},
		{area: "parser", name: "not a Response", edit: func(a *answer) { a.final = func(string) string { return a.signedAssertion() } }, reason: ReasonSchema},
	})
}

func TestResponseHeaderFaults(t *testing.T) {
	status := `<samlp:Status><samlp:StatusCode Value="urn:oasis:names:tc:SAML:2.0:status:Success"></samlp:StatusCode></samlp:Status>`
	runMatrix(t, []faultRow{
		{area: "response", name: "ID missing", edit: finalEdit(` ID="_response1"`, ""), reason: ReasonID},
		{area: "response", name: "ID empty", edit: finalEdit(`ID="_response1"`, `ID=""`), reason: ReasonID},
		{area: "response", name: "Version 1.1", edit: responseEdit(`Version="2.0"`, `Version="1.1"`), reason: ReasonVersion},
		{area: "response", name: "Version missing", edit: responseEdit(` Version="2.0"`, ""), reason: ReasonVersion},
		{area: "response", name: "IssueInstant empty", edit: responseEdit(`IssueInstant="`+at(-5), `IssueInstant="`), reason: ReasonIssueInstant},
		{area: "response", name: "IssueInstant missing", edit: responseEdit(` IssueInstant="`+at(-5)+`"`, ""), reason: ReasonIssueInstant},
		{area: "response", name: "IssueInstant malformed", edit: responseEdit(`IssueInstant="`+at(-5), `IssueInstant="yesterday`), reason: ReasonIssueInstant},
		{area: "response", name: "X-83 IssueInstant with a zone", edit: responseEdit(`IssueInstant="`+at(-5), `IssueInstant="2026-03-02T10:15:25+01:00`), reason: ReasonIssueInstant},
		{area: "response", name: "X-83 IssueInstant without a zone", edit: responseEdit(`IssueInstant="`+at(-5), `IssueInstant="2026-03-02T09:15:25`), reason: ReasonIssueInstant},
		{area: "response", name: "X-83 leap second", edit: responseEdit(`IssueInstant="`+at(-5), `IssueInstant="2026-03-02T09:14:60Z`), reason: ReasonIssueInstant},
		{area: "response", name: "IssueInstant before the request", edit: responseEdit(`IssueInstant="`+at(-5), `IssueInstant="`+at(-121)), reason: ReasonIssueInstant},
		{area: "response", name: "IssueInstant in the future", edit: responseEdit(`IssueInstant="`+at(-5), `IssueInstant="`+at(61)), reason: ReasonIssueInstant},
		{area: "response", name: "X-78 InResponseTo missing", edit: responseEdit(` InResponseTo="`+reqID+`"`, ""), reason: ReasonUnsolicited},
		{area: "response", name: "InResponseTo empty", edit: responseEdit(`InResponseTo="`+reqID, `InResponseTo="`), reason: ReasonInResponseTo},
		{area: "response", name: "X-77 InResponseTo other", edit: responseEdit(`InResponseTo="`+reqID, `InResponseTo="_request2`), reason: ReasonInResponseTo},
		{area: "response", name: "Destination empty", edit: responseEdit(`Destination="`+acs, `Destination="`), reason: ReasonDestination},
		{area: "response", name: "Destination missing", edit: responseEdit(` Destination="`+acs+`"`, ""), reason: ReasonDestination},
		{area: "response", name: "X-81 Destination other", edit: responseEdit(`Destination="`+acs, `Destination="https://other.example/acs`), reason: ReasonDestination},
		{area: "response", name: "X-81 Destination with trailing slash", edit: responseEdit(`Destination="`+acs, `Destination="`+acs+`/`), reason: ReasonDestination},
		{area: "response", name: "X-81 Destination in other case", edit: responseEdit(`Destination="https://broker`, `Destination="https://BROKER`), reason: ReasonDestination},
		{area: "response", name: "X-81 Destination with query", edit: responseEdit(`Destination="`+acs, `Destination="`+acs+`?a=b`), reason: ReasonDestination},
		{area: "response", name: "Issuer empty", edit: responseEdit(">"+idpID+"<", "><"), reason: ReasonIssuer},
		{area: "response", name: "Issuer missing", edit: func(a *answer) {
			replace(&a.response, `<saml:Issuer xmlns:saml="urn:oasis:names:tc:SAML:2.0:assertion">`+idpID+`</saml:Issuer>`, "")
			a.signR.position = `Version="2.0">`
		}, reason: ReasonIssuer},
		{area: "response", name: "X-84 Issuer other", edit: responseEdit(">"+idpID+"<", ">https://other.example<"), reason: ReasonIssuer},
		{area: "response", name: "Issuer with wrong Format", edit: responseEdit(`:assertion">`, `:assertion" Format="urn:oasis:names:tc:SAML:1.1:nameid-format:unspecified">`), reason: ReasonIssuer},

		{area: "status", name: "missing", edit: responseEdit(status, ""), reason: ReasonStatus},
		{area: "status", name: "empty", edit: responseEdit(status, `<samlp:Status></samlp:Status>`), reason: ReasonStatus},
		{area: "status", name: "empty code", edit: responseEdit("urn:oasis:names:tc:SAML:2.0:status:Success", ""), reason: ReasonStatus},
		{area: "status", name: "unknown top code", edit: responseEdit("status:Success", "status:Splendid"), reason: ReasonStatus},
		{area: "status", name: "X-87 success with a nested failure", edit: responseEdit("</samlp:StatusCode>", `<samlp:StatusCode Value="urn:oasis:names:tc:SAML:2.0:status:AuthnFailed"></samlp:StatusCode></samlp:StatusCode>`), reason: ReasonStatus},
	})
}

func TestResponseFailureIgnoresAssertion(t *testing.T) { // failure with a valid assertion included
	a := goodAnswer()
	replace(&a.response, `Value="urn:oasis:names:tc:SAML:2.0:status:Success">`, `Value="`+StatusResponder+`"><samlp:StatusCode Value="`+StatusAuthnFailed+`"></samlp:StatusCode>`)
	replace(&a.response, "</samlp:Status>", "<samlp:StatusMessage>Authentication cancelled</samlp:StatusMessage></samlp:Status>")
	got, err := ValidateResponse([]byte(a.post()), goodExpectation())
	var status *StatusError
	if !errors.As(err, &status) || got != nil {
		t.Fatalf("got %v, %v; want a StatusError", got, err)
	}
	if want := (StatusError{Top: StatusResponder, Second: StatusAuthnFailed, Message: "Authentication cancelled", Signed: true}); *status != want {
		t.Fatalf("status = %+v, want %+v", *status, want)
	}
	if got, want := status.Error(), "login failed with status Responder/AuthnFailed"; got != want {
		t.Fatalf("text = %q, want %q", got, want)
	}
}

func TestResponseAssertionFaults(t *testing.T) {
	runMatrix(t, []faultRow{
		{area: "assertion", name: "missing with success", edit: func(a *answer) { a.response = strings.Replace(a.response, "$assertion", "", 1) }, reason: ReasonAssertionCount},
		{area: "assertion", name: "two", edit: func(a *answer) {
			second := strings.Replace(a.assertion, "_assertion1", "_assertion2", 1)
			replace(&a.response, "$assertion", "$assertion"+(recipe{}).sign(second, "_assertion2"))
		}, reason: ReasonAssertionCount},
		{area: "assertion", name: "ID missing", edit: assertionEdit(` ID="_assertion1"`, ""), reason: ReasonSignatureForm},
		{area: "assertion", name: "Version 1.1", edit: assertionEdit(`Version="2.0"`, `Version="1.1"`), reason: ReasonVersion},
		{area: "assertion", name: "IssueInstant missing", edit: assertionEdit(` IssueInstant="`+at(-5)+`"`, ""), reason: ReasonIssueInstant},
		{area: "assertion", name: "IssueInstant malformed", edit: assertionEdit(`IssueInstant="`+at(-5), `IssueInstant="02-03-2026`), reason: ReasonIssueInstant},
		{area: "assertion", name: "IssueInstant before the request", edit: assertionEdit(`IssueInstant="`+at(-5), `IssueInstant="`+at(-121)), reason: ReasonIssueInstant},
		{area: "assertion", name: "IssueInstant in the future", edit: assertionEdit(`IssueInstant="`+at(-5), `IssueInstant="`+at(61)), reason: ReasonIssueInstant},
		{area: "assertion", name: "X-84 Issuer differs from response", edit: assertionEdit(">"+idpID+"<", ">https://other.example<"), reason: ReasonIssuer},

		{area: "subject", name: "missing", edit: cutAssertion("Subject"), reason: ReasonSubject},
		{area: "subject", name: "NameID missing", edit: cutAssertion("NameID"), reason: ReasonSubject},
		{area: "subject", name: "X-85 two NameIDs", edit: assertionEdit("<saml:NameID>", "<saml:NameID>s00000000:999990019</saml:NameID><saml:NameID>"), reason: ReasonSchema},
		{area: "subject", name: "empty NameID", edit: assertionEdit("s00000000:900029365", ""), reason: ReasonSubject},
		{area: "subject", name: "wrong Format", edit: assertionEdit("<saml:NameID>", `<saml:NameID Format="urn:oasis:names:tc:SAML:2.0:nameid-format:transient">`), reason: ReasonSubject},
		{area: "subject", name: "NameID for another service provider", edit: assertionEdit("<saml:NameID>", `<saml:NameID SPNameQualifier="https://other.example">`), reason: ReasonSubject},
		{area: "subject", name: "NameID for us", edit: assertionEdit("<saml:NameID>", `<saml:NameID SPNameQualifier="`+spID+`">`), reason: accepted},
		{area: "subject", name: "X-85 nested XML in NameID", edit: assertionEdit("s00000000:900029365", "s00000000:<saml:b>900029365</saml:b>"), reason: ReasonSchema},
		{area: "subject", name: "X-82 SubjectConfirmation missing", edit: cutAssertion("SubjectConfirmation"), reason: ReasonConfirmation},
		{area: "subject", name: "X-82 method not bearer", edit: assertionEdit("cm:bearer", "cm:sender-vouches"), reason: ReasonConfirmation},
		{area: "subject", name: "X-82 holder-of-key", edit: assertionEdit("cm:bearer", "cm:holder-of-key"), reason: ReasonConfirmation},
		{area: "subject", name: "X-82 two of which one fits", edit: assertionEdit("</saml:Subject>", `<saml:SubjectConfirmation Method="urn:oasis:names:tc:SAML:2.0:cm:holder-of-key"></saml:SubjectConfirmation></saml:Subject>`), reason: ReasonConfirmation},
		{area: "subject", name: "data missing", edit: cutAssertion("SubjectConfirmationData"), reason: ReasonConfirmation},
		{area: "subject", name: "Recipient empty", edit: assertionEdit(`Recipient="`+acs, `Recipient="`), reason: ReasonConfirmation},
		{area: "subject", name: "X-81 Recipient other", edit: assertionEdit(`Recipient="`+acs, `Recipient="https://other.example/acs`), reason: ReasonConfirmation},
		{area: "subject", name: "X-81 Recipient missing", edit: assertionEdit(` Recipient="`+acs+`"`, ""), reason: ReasonConfirmation},
		{area: "subject", name: "InResponseTo empty", edit: assertionEdit(`InResponseTo="`+reqID, `InResponseTo="`), reason: ReasonInResponseTo},
		{area: "subject", name: "X-77 InResponseTo other", edit: assertionEdit(`InResponseTo="`+reqID, `InResponseTo="_request2`), reason: ReasonInResponseTo},
		{area: "subject", name: "X-83 NotOnOrAfter missing", edit: assertionEdit(` NotOnOrAfter="`+at(120)+`" Recipient`, " Recipient"), reason: ReasonConfirmation},
		{area: "subject", name: "NotOnOrAfter malformed", edit: assertionEdit(`NotOnOrAfter="`+at(120)+`" Recipient`, `NotOnOrAfter="never" Recipient`), reason: ReasonConfirmation},
		{area: "subject", name: "NotOnOrAfter past", edit: assertionEdit(`NotOnOrAfter="`+at(120)+`" Recipient`, `NotOnOrAfter="`+at(-61)+`" Recipient`), reason: ReasonExpired},
		{area: "subject", name: "X-83 NotOnOrAfter far future", edit: assertionEdit(`NotOnOrAfter="`+at(120)+`" Recipient`, `NotOnOrAfter="2099-01-01T00:00:00Z" Recipient`), reason: ReasonConfirmation},
		{area: "subject", name: "X-82 NotBefore present", edit: assertionEdit(`<saml:SubjectConfirmationData InResponseTo="`+reqID+`"`, `<saml:SubjectConfirmationData InResponseTo="`+reqID+`" NotBefore="`+at(-120)+`"`), reason: ReasonConfirmation},

		{area: "conditions", name: "missing", edit: cutAssertion("Conditions"), reason: ReasonConditions},
		{area: "conditions", name: "NotBefore future", edit: assertionEdit(`NotBefore="`+at(-120), `NotBefore="`+at(61)), reason: ReasonNotYetValid},
		{area: "conditions", name: "NotBefore malformed", edit: assertionEdit(`NotBefore="`+at(-120), `NotBefore="soon`), reason: ReasonConditions},
		{area: "conditions", name: "NotOnOrAfter past", edit: assertionEdit(`NotOnOrAfter="`+at(120)+`"><saml:Audience`, `NotOnOrAfter="`+at(-61)+`"><saml:Audience`), reason: ReasonExpired},
		{area: "conditions", name: "NotOnOrAfter malformed", edit: assertionEdit(`NotOnOrAfter="`+at(120)+`"><saml:Audience`, `NotOnOrAfter="later"><saml:Audience`), reason: ReasonConditions},
		{area: "conditions", name: "X-80 AudienceRestriction missing", edit: cutAssertion("AudienceRestriction"), reason: ReasonAudience},
		{area: "conditions", name: "X-80 Audience empty", edit: assertionEdit(">"+spID+"<", "><"), reason: ReasonAudience},
		{area: "conditions", name: "X-80 Audience other", edit: assertionEdit(">"+spID+"<", ">https://other.example<"), reason: ReasonAudience},
		{area: "conditions", name: "X-80 two restrictions of which one excludes us", edit: assertionEdit("</saml:AudienceRestriction>", "</saml:AudienceRestriction><saml:AudienceRestriction><saml:Audience>https://other.example</saml:Audience></saml:AudienceRestriction>"), reason: ReasonAudience},
		{area: "conditions", name: "unknown condition", edit: assertionEdit("<saml:AudienceRestriction>", "<saml:Condition></saml:Condition><saml:AudienceRestriction>"), reason: ReasonSchema},

		{area: "authn", name: "missing", edit: cutAssertion("AuthnStatement"), reason: ReasonAuthnStatement},
		{area: "authn", name: "X-85 two", edit: func(a *answer) {
			i := strings.Index(a.assertion, "<saml:AuthnStatement")
			j := strings.Index(a.assertion, "</saml:Assertion>")
			a.assertion = a.assertion[:j] + a.assertion[i:j] + a.assertion[j:]
		}, reason: ReasonAuthnStatement},
		{area: "authn", name: "AuthnInstant before request with ForceAuthn", edit: assertionEdit(`AuthnInstant="`+at(-5), `AuthnInstant="`+at(-121)), expect: func(e *Expectation) { e.ForceAuthn = true }, reason: ReasonAuthnInstant},
		{area: "authn", name: "AuthnInstant before request without ForceAuthn", edit: assertionEdit(`AuthnInstant="`+at(-5), `AuthnInstant="`+at(-121)), reason: accepted},
		{area: "authn", name: "AuthnInstant missing", edit: assertionEdit(`AuthnInstant="`+at(-5)+`" `, ""), reason: ReasonAuthnInstant},
		{area: "authn", name: "AuthnInstant in the future", edit: assertionEdit(`AuthnInstant="`+at(-5), `AuthnInstant="`+at(61)), reason: ReasonAuthnInstant},
		{area: "authn", name: "X-83 SessionNotOnOrAfter past", edit: assertionEdit(`SessionIndex="_session1"`, `SessionIndex="_session1" SessionNotOnOrAfter="`+at(-61)+`"`), reason: ReasonExpired},
		{area: "authn", name: "context missing", edit: cutAssertion("AuthnContext"), reason: ReasonContextClass},
		{area: "authn", name: "class missing", edit: cutAssertion("AuthnContextClassRef"), reason: ReasonContextClass},
		{area: "authn", name: "class empty", edit: assertionEdit("urn:oasis:names:tc:SAML:2.0:ac:classes:MobileTwoFactorContract", ""), reason: ReasonContextClass},
		{area: "authn", name: "X-86 declaration instead of a class", edit: assertionEdit("<saml:AuthnContextClassRef>", "<saml:AuthnContextDecl></saml:AuthnContextDecl><saml:AuthnContextClassRef>"), reason: ReasonSchema},

		{area: "attributes", name: "statement present but empty", edit: statement(""), reason: ReasonAttributes},
		{area: "attributes", name: "X-85 duplicate with different values", edit: statement(attributeXML("a", "1") + attributeXML("a", "2")), reason: ReasonAttributes},
		{area: "attributes", name: "X-85 nested XML in a value", edit: statement(attributeXML("a", "<saml:NameID>x</saml:NameID>")), reason: ReasonSchema},
		{area: "attributes", name: "without a name", edit: statement(attributeXML("", "1")), reason: ReasonAttributes},
		{area: "attributes", name: "two attributes", edit: statement(attributeXML("a", "1") + attributeXML("b", "2")), reason: accepted},

		{area: "encryption", name: "encrypted assertion", edit: responseEdit("$assertion", "<saml:EncryptedAssertion xmlns:saml=\"urn:oasis:names:tc:SAML:2.0:assertion\"></saml:EncryptedAssertion>"), reason: ReasonEncryption},
		{area: "encryption", name: "both plain and encrypted assertion", edit: responseEdit("$assertion", "$assertion<saml:EncryptedAssertion xmlns:saml=\"urn:oasis:names:tc:SAML:2.0:assertion\"></saml:EncryptedAssertion>"), reason: ReasonAssertionCount},
	})
}

// TestResponseClock moves our clock against the message by a second more and
// less than the skew of 60 s.
func TestResponseClock(t *testing.T) {
	for _, row := range []struct {
		name   string
		offset time.Duration
		reason Reason
	}{
		{"59 s behind", -64 * time.Second, accepted}, // issued 5 s before testNow
		{"61 s behind", -66 * time.Second, ReasonIssueInstant},
		{"59 s after the end", 179 * time.Second, accepted}, // ends 120 s after testNow
		{"60 s after the end", 180 * time.Second, ReasonExpired},
		{"61 s after the end", 181 * time.Second, ReasonExpired},
	} {
		t.Run(row.name, func(t *testing.T) {
			e := goodExpectation()
			e.Now = testNow.Add(row.offset)
			got, err := ValidateResponse([]byte(goodAnswer().post()), e)
			checkVerdict(t, got, err, row.reason)
		})
	}
}

func TestResponseRefusesAHalfExpectation(t *testing.T) {
	for name, spoil := range map[string]func(*Expectation){
		"certificates": func(e *Expectation) { e.Certificates = nil },
		"issuer":       func(e *Expectation) { e.Issuer = "" },
		"coverage":     func(e *Expectation) { e.Signed = Coverage{} },
		"audience":     func(e *Expectation) { e.Audience = "" },
		"recipient":    func(e *Expectation) { e.Recipient = "" },
		"request":      func(e *Expectation) { e.RequestID = "" },
		"request time": func(e *Expectation) { e.RequestedAt = time.Time{} },
		"now":          func(e *Expectation) { e.Now = time.Time{} },
		"skew":         func(e *Expectation) { e.Skew = MaxSkew + 1 },
	} {
		e := goodExpectation()
		spoil(&e)
		if _, err := ValidateResponse([]byte(goodAnswer().post()), e); !errors.Is(err, ErrExpectation) {
			t.Errorf("without %s: %v, want ErrExpectation", name, err)
		}
	}
}

func TestResponseReadsWhatIsAsserted(t *testing.T) {
	a := goodAnswer()
	statement(attributeXML("urn:a", "uno") + attributeXML("urn:b", "dos"))(a)
	got, err := ValidateResponse([]byte(a.post()), goodExpectation())
	if err != nil {
		t.Fatal(err)
	}
	if got.ID != "_assertion1" || got.Issuer != idpID || got.SessionIndex != "_session1" || got.SubjectAddress != "192.0.2.7" ||
		got.ContextClass != "urn:oasis:names:tc:SAML:2.0:ac:classes:MobileTwoFactorContract" ||
		!got.AuthnInstant.Equal(testNow.Add(-5*time.Second)) || !got.Expires.Equal(testNow.Add(120*time.Second)) {
		t.Errorf("assertion = %+v", got)
	}
	if got.Signed != (Coverage{Response: true, Assertion: true}) {
		t.Errorf("signed = %+v", got.Signed)
	}
	if len(got.Attributes) != 2 || got.Attributes[1].Name != "urn:b" || got.Attributes[1].Values[0] != "dos" {
		t.Errorf("attributes = %+v", got.Attributes)
	}
}

// Edits by element.

func spoilA(f func(string) string) func(*answer) { return func(a *answer) { a.signA.spoil = f } }

func transformsA(list string) func(*answer) { return func(a *answer) { a.signA.transforms = list } }

func cutElement(local string) func(string) string {
	return func(s string) string {
		i := strings.Index(s, "<ds:"+local+">") + len("<ds:"+local+">")
		return s[:i] + s[strings.Index(s, "</ds:"+local+">"):]
	}
}

func setValue(value string) func(string) string {
	return func(s string) string {
		i := strings.Index(s, "<ds:SignatureValue>") + len("<ds:SignatureValue>")
		return s[:i] + value + s[strings.Index(s, "</ds:SignatureValue>"):]
	}
}

// cutAssertion removes an element of the assertion with its content.
func cutAssertion(local string) func(*answer) {
	return func(a *answer) {
		i := strings.Index(a.assertion, "<saml:"+local+" ")
		if j := strings.Index(a.assertion, "<saml:"+local+">"); i < 0 || j >= 0 && j < i {
			i = j
		}
		end := "</saml:" + local + ">"
		j := strings.Index(a.assertion, end) + len(end)
		a.assertion = a.assertion[:i] + a.assertion[j:]
	}
}

func statement(content string) func(*answer) {
	return assertionEdit("</saml:Assertion>", "<saml:AttributeStatement>"+content+"</saml:AttributeStatement></saml:Assertion>")
}

func attributeXML(name, value string) string {
	return `<saml:Attribute Name="` + name + `"><saml:AttributeValue>` + value + `</saml:AttributeValue></saml:Attribute>`
}

func x509Data(k *testKey) string {
	return `<ds:KeyInfo><ds:X509Data><ds:X509Certificate>` + k.base64() + `</ds:X509Certificate></ds:X509Data></ds:KeyInfo>`
}
