package saml

import (
	"strings"
	"testing"
)

// TestRecordedLeniency judges what archives hold: oddities pass, whatever decides
// about the origin or the addressee does not.
func TestRecordedLeniency(t *testing.T) {
	const comments = "http://www.w3.org/2001/10/xml-exc-c14n#WithComments"
	known := func(e *Expectation) {
		e.Lenient.AnyRecipient, e.Lenient.AnyIssuer, e.Lenient.AnyRequest = false, false, false
	}
	withComments := recipe{transforms: enveloped + `<ds:Transform Algorithm="` + comments + `"></ds:Transform>`}
	for _, row := range []struct {
		name   string
		edit   func(*answer)
		expect func(*Expectation)
		reason Reason
	}{
		{"correct", nil, known, accepted},
		{"a comment that a WithComments signature covers", func(a *answer) {
			replace(&a.assertion, "900029365", "900<!--in-->029365")
			a.signA, a.signR = &withComments, nil
		}, nil, accepted},
		{"a comment that came after a WithComments signature", func(a *answer) {
			a.signA, a.signR = &withComments, nil
			a.final = func(s string) string { return strings.Replace(s, "900029365", "900<!--in-->029365", 1) }
		}, nil, ReasonSignatureInvalid},
		{"a comment that canonicalization leaves out", func(a *answer) {
			a.final = func(s string) string { return strings.Replace(s, "900029365", "900029365<!--.evil-->", 1) }
		}, nil, accepted},
		{"a comment in a digest (CVE-2025-29775)", func(a *answer) {
			a.final = func(s string) string { return strings.Replace(s, "<ds:DigestValue>", "<ds:DigestValue><!--x-->", 1) }
		}, nil, ReasonXML},
		{"no canonicalization transform", func(a *answer) {
			a.signA, a.signR = nil, &recipe{transforms: enveloped}
		}, nil, accepted},
		{"empty destination", responseEdit(`Destination="`+acs+`"`, `Destination=""`), nil, ReasonDestination},
		{"empty recipient", assertionEdit(`Recipient="`+acs+`"`, `Recipient=""`), nil, ReasonConfirmation},
		{"two issuers", assertionEdit(`<saml:Issuer>`+idpID, `<saml:Issuer>https://other.example`), nil, ReasonIssuer},
		{"blank issuer", responseEdit(`assertion">`+idpID, `assertion"> `), nil, ReasonIssuer},
		{"a declaration in place of a class", assertionEdit(`ClassRef>urn:oasis:names:tc:SAML:2.0:ac:classes:MobileTwoFactorContract</saml:AuthnContextClassRef`, `DeclRef>urn:decl</saml:AuthnContextDeclRef`), nil, accepted},
		{"an empty attribute statement", assertionEdit(`</saml:AuthnStatement>`, `</saml:AuthnStatement><saml:AttributeStatement></saml:AttributeStatement>`), nil, accepted},
		{"a confirmation that has begun", assertionEdit(`InResponseTo="`+reqID+`"`, `InResponseTo="`+reqID+`" NotBefore="`+at(-5)+`"`), nil, accepted},
		{"a confirmation that begins later", assertionEdit(`InResponseTo="`+reqID+`"`, `InResponseTo="`+reqID+`" NotBefore="`+at(100)+`"`), nil, ReasonNotYetValid},
		{"a confirmation that begins no time", assertionEdit(`InResponseTo="`+reqID+`"`, `InResponseTo="`+reqID+`" NotBefore="soon"`), nil, ReasonConfirmation},
		{"a context in full", assertionEdit(`</saml:AuthnContextClassRef>`, `</saml:AuthnContextClassRef><saml:AuthnContextDecl></saml:AuthnContextDecl>`), nil, accepted},
		{"an encrypted attribute", assertionEdit(`</saml:AuthnStatement>`, `</saml:AuthnStatement><saml:AttributeStatement><saml:EncryptedAttribute></saml:EncryptedAttribute></saml:AttributeStatement>`), nil, ReasonSchema},
		{"another audience", assertionEdit(`Audience>`+spID, `Audience>https://other.example`), nil, ReasonAudience},
		{"nothing signed", func(a *answer) { a.signA, a.signR = nil, nil }, nil, ReasonSignatureMissing},
	} {
		t.Run(row.name, func(t *testing.T) {
			a, e := goodAnswer(), goodExpectation()
			e.Lenient, e.Signed = Recorded(), Coverage{}
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

// TestRecordedCBC opens AES-CBC that only the signature inside covers, for a
// recorded message alone.
func TestRecordedCBC(t *testing.T) {
	a, e := goodAnswer(), goodExpectation()
	a.signR, a.encrypt = nil, &encrypter{to: keysOnce().other, data: cbc256}
	e.Signed = Coverage{Assertion: true}
	key, err := NewDecryptionKey(keysOnce().other.key, keysOnce().other.cert)
	if err != nil {
		t.Fatal(err)
	}
	e.Decryption = Decryption{Keys: []DecryptionKey{key}, CBC: true}
	got, err := ValidateResponse([]byte(a.post()), e)
	checkVerdict(t, got, err, ReasonEncryption)
	e.Lenient, e.Signed = Recorded(), Coverage{}
	got, err = ValidateResponse([]byte(a.post()), e)
	checkVerdict(t, got, err, accepted)
}
