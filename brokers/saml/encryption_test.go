package saml

import (
	"bytes"
	"crypto/ecdh"
	"crypto/elliptic"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// ours makes a decryption of test keys.
func ours(keys ...*testKey) Decryption {
	d := Decryption{Recipient: spID}
	for _, k := range keys {
		d.Keys = append(d.Keys, must(NewDecryptionKey(k.key, k.cert)))
	}
	return d
}

// encryptedAnswer has an encrypted, signed assertion in a signed response.
func encryptedAnswer(x encrypter) *answer {
	a := goodAnswer()
	a.encrypt = &x
	return a
}

func encryptedExpectation() Expectation {
	e := goodExpectation()
	e.Decryption = ours(keysOnce().other, keysOnce().p256, keysOnce().p384)
	e.Decryption.Required = true
	return e
}

func TestEncryptedAssertionInEveryListedForm(t *testing.T) {
	k := keysOnce()
	long := func(n int) string { return "00" + strings.Repeat("ab", n) }
	for name, x := range map[string]encrypter{
		"RSA-OAEP 1.1, SHA-256 and MGF1-SHA-256":  {to: k.other},
		"RSA-OAEP 1.1, SHA-512 and MGF1-SHA-1":    {to: k.other, transport: oaep2, digest: "http://www.w3.org/2001/04/xmlenc#sha512"},
		"RSA-OAEP 1.1, SHA-1 and MGF1-SHA-512":    {to: k.other, transport: oaep2, mask: "http://www.w3.org/2009/xmlenc11#mgf1sha512"},
		"RSA-OAEP 1.1, SHA-384 and MGF1-SHA-384":  {to: k.other, transport: oaep2, digest: "http://www.w3.org/2001/04/xmldsig-more#sha384", mask: "http://www.w3.org/2009/xmlenc11#mgf1sha384"},
		"RSA-OAEP 1.0, default digest":            {to: k.other, transport: oaep10},
		"RSA-OAEP 1.0, SHA-256 and MGF1-SHA-1":    {to: k.other, transport: oaep10, digest: sha256URI},
		"RSA-OAEP with a label":                   {to: k.other, transport: oaep10, label: "label"},
		"AES-128-GCM":                             {to: k.other, data: gcm128},
		"AES-192-GCM":                             {to: k.other, data: gcm192},
		"ECDH-ES on P-256":                        {to: k.p256},
		"ECDH-ES on P-384, SHA-384, kw-aes128":    {to: k.p384, kdf: "http://www.w3.org/2001/04/xmldsig-more#sha384", wrap: "128", data: gcm128},
		"ECDH-ES with kw-aes192 of a 256 bit key": {to: k.p256, wrap: "192"},
		"ECDH-ES with all fields":                 {to: k.p256, info: [5]string{"0000", long(4), long(40), long(8), "00"}},
		"ECDH-ES that derives two blocks":         {to: k.p384, kdf: sha256URI, info: [5]string{long(100)}},
		"key beside the data":                     {to: k.other, layout: "sibling"},
		"key by RetrievalMethod":                  {to: k.other, layout: "retrieval"},
		"key by CarriedKeyName":                   {to: k.other, layout: "carried"},
		"key for us by name":                      {to: k.other, recipient: spID, keyName: keyName(k.other.cert)},
		"key with an unknown name":                {to: k.p256, keyName: "somebody"},
		"key for another recipient first":         {to: k.other, recipient: spID, before: encrypter{to: k.idp, recipient: "https://other.example"}.foreignKey()},
		"key for another service first, unnamed":  {to: k.other, before: encrypter{to: k.idp}.foreignKey()},
	} {
		t.Run(name, func(t *testing.T) {
			a, e := encryptedAnswer(x), encryptedExpectation()
			got, err := ValidateResponse([]byte(a.post()), e)
			checkVerdict(t, got, err, accepted)
			if got.Signed != (Coverage{Response: true, Assertion: true}) {
				t.Errorf("signed = %+v", got.Signed)
			}
		})
	}
}

// foreignKey is an EncryptedKey that is not for our keys.
func (x encrypter) foreignKey() string {
	return strings.Replace(x.transported(random(32)), `Id="_key1"`, `Id="_key0"`, 1)
}

// The rows "Encryption" of the fault matrix (broker.md 13.3) and the threats
//
func TestEncryptedAssertionFaults(t *testing.T) {
	k := keysOnce()
	rsaKey := encrypter{to: k.other}
	with := func(edit func(*encrypter)) func(*answer) {
		return func(a *answer) {
			x := rsaKey
			edit(&x)
			a.encrypt = &x
		}
	}
	spoil := func(old, changed string) func(*answer) {
		return with(func(x *encrypter) { x.spoil = func(s string) string { replace(&s, old, changed); return s } })
	}
	agreedSpoil := func(old, changed string) func(*answer) {
		return with(func(x *encrypter) {
			x.to = k.p256
			x.spoil = func(s string) string { replace(&s, old, changed); return s }
		})
	}
	data := func(edit func([]byte) []byte) func(*answer) {
		return with(func(x *encrypter) { x.spoilData = edit })
	}
	const assertion, response, algorithms = "encryption/assertion", "encryption/response", "encryption/algorithm"
	rows := []faultRow{
		{area: assertion, name: "wrong recipient", edit: with(func(x *encrypter) { x.recipient = "https://other.example" }), reason: ReasonDecryption},
		{area: assertion, name: "for another key", edit: with(func(x *encrypter) { x.to = k.idp }), reason: ReasonDecryption},
		{area: assertion, name: "for another curve", edit: with(func(x *encrypter) { x.to = k.p521 }), reason: ReasonDecryption},
		{area: assertion, name: "truncated tag", edit: data(func(b []byte) []byte { return b[:len(b)-1] }), reason: ReasonDecryption},
		{area: assertion, name: "altered tag", edit: data(func(b []byte) []byte { b[len(b)-1] ^= 1; return b }), reason: ReasonDecryption},
		{area: assertion, name: "altered cipher text", edit: data(func(b []byte) []byte { b[20] ^= 1; return b }), reason: ReasonDecryption},
		{area: assertion, name: "another digest of OAEP than was used", edit: spoil("xmlenc#sha256", "xmlenc#sha512"), reason: ReasonDecryption},
		{area: assertion, name: "another mask of OAEP than was used", edit: spoil("mgf1sha256", "mgf1sha1"), reason: ReasonDecryption},
		{area: assertion, name: "key of another length", edit: spoil("aes256-gcm", "aes128-gcm"), reason: ReasonDecryption},
		{area: assertion, name: "another party than was agreed with", edit: agreedSpoil(`PartyUInfo=""`, `PartyUInfo="0001"`), reason: ReasonDecryption},
		{area: assertion, name: "plaintext is no assertion", edit: func(a *answer) { a.encrypt, a.encryptText = &rsaKey, "<saml:Advice></saml:Advice>" }, reason: ReasonDecryption},
		{area: assertion, name: "plaintext is a response", edit: func(a *answer) { a.encrypt, a.encryptText = &rsaKey, strings.Replace(a.response, "$assertion", "", 1) }, reason: ReasonDecryption},
		{area: assertion, name: "plaintext is two assertions", edit: func(a *answer) { a.encrypt, a.encryptText = &rsaKey, a.signedAssertion()+a.signedAssertion() }, reason: ReasonDecryption},
		{area: assertion, name: "plaintext is no XML", edit: func(a *answer) { a.encrypt, a.encryptText = &rsaKey, "900029365" }, reason: ReasonDecryption},
		{area: assertion, name: "plaintext is empty", edit: func(a *answer) { a.encrypt, a.encryptText = &rsaKey, " " }, reason: ReasonDecryption},
		{area: assertion, name: "X-24 DOCTYPE in the plaintext", edit: func(a *answer) { a.encrypt, a.encryptText = &rsaKey, "<!DOCTYPE x>"+a.signedAssertion() }, reason: ReasonDecryption},
		{area: assertion, name: "X-21 comment in the plaintext", edit: func(a *answer) {
			a.encrypt, a.encryptText = &rsaKey, strings.Replace(a.signedAssertion(), "900029365", "90002<!-- -->9365", 1)
		}, reason: ReasonDecryption},
		{area: assertion, name: "X-73 unsigned assertion by anybody", edit: func(a *answer) { a.encrypt, a.signA = &rsaKey, nil }, reason: ReasonSignatureMissing},
		{area: assertion, name: "X-73 assertion signed by another", edit: func(a *answer) { a.encrypt, a.signA.key = &rsaKey, k.other }, reason: ReasonSignatureInvalid},
		{area: assertion, name: "changed after signing", edit: func(a *answer) {
			a.encrypt, a.encryptText = &rsaKey, strings.Replace(a.signedAssertion(), "900029365", "999990019", 1)
		}, reason: ReasonSignatureInvalid},
		{area: assertion, name: "unsigned in a signed response, where that is enough", edit: func(a *answer) { a.encrypt, a.signA = &rsaKey, nil }, expect: signedResponse, reason: accepted},
		{area: assertion, name: "X-73 nothing signed at all", edit: func(a *answer) { a.encrypt, a.signA, a.signR = &rsaKey, nil, nil }, expect: func(e *Expectation) { e.Signed = Coverage{Assertion: true} }, reason: ReasonSignatureMissing},
		{area: assertion, name: "signed in an unsigned response, where that is enough", edit: func(a *answer) { a.encrypt, a.signR = &rsaKey, nil }, expect: func(e *Expectation) { e.Signed = Coverage{Assertion: true} }, reason: accepted},
		{area: response, name: "unsigned", edit: func(a *answer) { a.encrypt, a.signR = &rsaKey, nil }, reason: ReasonSignatureMissing},
		{area: response, name: "cipher text exchanged after signing", edit: func(a *answer) {
			a.encrypt = &rsaKey
			a.final = func(s string) string {
				i := strings.Index(s, "<saml:EncryptedAssertion")
				j := strings.Index(s, "</samlp:Response>")
				return s[:i] + rsaKey.wrapped("EncryptedAssertion", a.signedAssertion()) + s[j:]
			}
		}, reason: ReasonSignatureInvalid},
		{area: response, name: "assertion in the clear", reason: ReasonEncryption},
		{area: response, name: "both plain and encrypted assertion", edit: func(a *answer) {
			replace(&a.response, "$assertion", "$assertion"+strings.ReplaceAll(a.signedAssertion(), "_assertion1", "_assertion2"))
			a.encrypt = &rsaKey
		}, reason: ReasonSchema},
		{area: response, name: "plain and then encrypted assertion", edit: func(a *answer) {
			replace(&a.response, "$assertion", strings.ReplaceAll(a.signedAssertion(), "_assertion1", "_assertion2")+"$assertion")
			a.encrypt = &rsaKey
		}, reason: ReasonAssertionCount},
		{area: response, name: "two encrypted assertions", edit: func(a *answer) {
			replace(&a.response, "$assertion", "$assertion"+rsaKey.wrapped("EncryptedAssertion", a.signedAssertion()))
			a.encrypt = &encrypter{to: k.other, spoil: func(s string) string { return strings.ReplaceAll(s, "_key1", "_key2") }}
		}, reason: ReasonAssertionCount},
		{area: response, name: "no key of ours", edit: with(func(*encrypter) {}), expect: func(e *Expectation) { e.Decryption = Decryption{} }, reason: ReasonEncryption},

		{area: algorithms, name: "X-71 PKCS#1 v1.5", edit: with(func(x *encrypter) { x.transport = "http://www.w3.org/2001/04/xmlenc#rsa-1_5" }), reason: ReasonEncryption},
		{area: algorithms, name: "X-71 CBC", edit: with(func(x *encrypter) { x.data = cbc256 }), reason: ReasonEncryption},
		{area: algorithms, name: "X-71 CBC in a verified signature, where the profile has it", edit: with(func(x *encrypter) { x.data = cbc128 }), expect: func(e *Expectation) { e.Decryption.CBC = true }, reason: accepted},
		{area: algorithms, name: "X-71 CBC outside of a signature", edit: func(a *answer) { a.encrypt, a.signR = &encrypter{to: k.other, data: cbc256}, nil }, expect: func(e *Expectation) {
			e.Decryption.CBC, e.Signed = true, Coverage{Assertion: true}
		}, reason: ReasonEncryption},
		{area: algorithms, name: "X-71 CBC with altered cipher text", edit: func(a *answer) {
			a.encrypt = &encrypter{to: k.other, data: cbc256, spoilData: func(b []byte) []byte { b[len(b)-17] ^= 0xff; return b }}
		}, expect: func(e *Expectation) { e.Decryption.CBC = true }, reason: ReasonDecryption},
		{area: algorithms, name: "X-71 triple DES", edit: spoil("http://www.w3.org/2009/xmlenc11#aes256-gcm", "http://www.w3.org/2001/04/xmlenc#tripledes-cbc"), reason: ReasonEncryption},
		{area: algorithms, name: "X-75 ECB", edit: spoil("http://www.w3.org/2009/xmlenc11#aes256-gcm", "urn:aes256-ecb"), reason: ReasonEncryption},
		{area: algorithms, name: "X-75 CTR", edit: spoil("http://www.w3.org/2009/xmlenc11#aes256-gcm", "urn:aes256-ctr"), reason: ReasonEncryption},
		{area: algorithms, name: "X-75 no algorithm", edit: spoil(` Algorithm="http://www.w3.org/2009/xmlenc11#aes256-gcm"`, ""), reason: ReasonEncryption},
		{area: algorithms, name: "MD5 in OAEP", edit: spoil(sha256URI, "http://www.w3.org/2001/04/xmldsig-more#md5"), reason: ReasonEncryption},
		{area: algorithms, name: "mask of another family", edit: spoil("http://www.w3.org/2009/xmlenc11#mgf1sha256", "urn:mask"), reason: ReasonEncryption},
		{area: algorithms, name: "mask where none can be", edit: with(func(x *encrypter) { x.transport, x.mask = oaep10, "http://www.w3.org/2009/xmlenc11#mgf1sha256" }), reason: ReasonEncryption},
		{area: algorithms, name: "SHA-1 in ConcatKDF", edit: with(func(x *encrypter) { x.to, x.kdf = k.p256, "http://www.w3.org/2000/09/xmldsig#sha1" }), reason: ReasonEncryption},
		{area: algorithms, name: "another key agreement", edit: agreedSpoil("xmlenc11#ECDH-ES", "xmlenc11#dh-es"), reason: ReasonEncryption},
		{area: algorithms, name: "another key derivation", edit: agreedSpoil("xmlenc11#ConcatKDF", "xmlenc11#pbkdf2"), reason: ReasonEncryption},
		{area: algorithms, name: "another curve", edit: agreedSpoil("1.2.840.10045.3.1.7", "1.3.132.0.10"), reason: ReasonEncryption},
		{area: algorithms, name: "point of another curve", edit: agreedSpoil("1.2.840.10045.3.1.7", "1.3.132.0.34"), reason: ReasonEncryption},
		{area: algorithms, name: "point off the curve", edit: with(func(x *encrypter) {
			x.to = k.p256
			x.spoil = func(s string) string {
				i := strings.Index(s, "<dsig11:PublicKey>") + len("<dsig11:PublicKey>")
				return s[:i] + b64(append([]byte{4}, make([]byte, 64)...)) + s[strings.Index(s, "</dsig11:PublicKey>"):]
			}
		}), reason: ReasonEncryption},
		{area: algorithms, name: "bits that are no bytes in ConcatKDF", edit: agreedSpoil(`PartyUInfo=""`, `PartyUInfo="04f0"`), reason: ReasonEncryption},
		{area: algorithms, name: "too long a field in ConcatKDF", edit: agreedSpoil(`PartyUInfo=""`, `PartyUInfo="00`+strings.Repeat("ab", maxDerivationInfo)+`"`), reason: ReasonEncryption},

		{area: "encryption/form", name: "X-46 CipherReference", edit: with(func(x *encrypter) {
			x.spoil = func(s string) string {
				i, j := strings.LastIndex(s, "<xenc:CipherValue>"), strings.LastIndex(s, "</xenc:CipherValue>")
				return s[:i] + `<xenc:CipherReference URI="http://192.0.2.1/c"/>` + s[j+len("</xenc:CipherValue>"):]
			}
		}), reason: ReasonEncryption},
		{area: "encryption/form", name: "X-46 RetrievalMethod elsewhere", edit: with(func(x *encrypter) {
			x.layout = "retrieval"
			x.spoil = func(s string) string { return strings.Replace(s, "#_key1", "http://192.0.2.1/k", 1) }
		}), reason: ReasonEncryption},
		{area: "encryption/form", name: "RetrievalMethod to no key", edit: with(func(x *encrypter) {
			x.layout = "retrieval"
			x.spoil = func(s string) string { return strings.Replace(s, "#_key1", "#_key9", 1) }
		}), reason: ReasonEncryption},
		{area: "encryption/form", name: "no key", edit: with(func(x *encrypter) {
			x.spoil = func(s string) string {
				i, j := strings.Index(s, "<ds:KeyInfo"), strings.Index(s, "</ds:KeyInfo>")
				return s[:i] + s[j+len("</ds:KeyInfo>"):]
			}
		}), reason: ReasonEncryption},
		{area: "encryption/form", name: "no cipher text", edit: with(func(x *encrypter) {
			x.spoil = func(s string) string { return strings.ReplaceAll(s, "xenc:CipherData", "xenc:CipherDate") }
		}), reason: ReasonEncryption},
		{area: "encryption/form", name: "content instead of an element", edit: spoil("xmlenc#Element", "xmlenc#Content"), reason: ReasonEncryption},
		{area: "encryption/form", name: "an assertion beside the data", edit: spoil("</saml:EncryptedAssertion>", "<saml:Assertion></saml:Assertion></saml:EncryptedAssertion>"), reason: ReasonEncryption},
		{area: "encryption/form", name: "text beside the data", edit: spoil("</saml:EncryptedAssertion>", "text</saml:EncryptedAssertion>"), reason: ReasonEncryption},
		{area: "encryption/form", name: "empty", edit: with(func(x *encrypter) {
			x.spoil = func(string) string {
				return `<saml:EncryptedAssertion xmlns:saml="urn:oasis:names:tc:SAML:2.0:assertion"></saml:EncryptedAssertion>`
			}
		}), reason: ReasonEncryption},
		{area: "encryption/form", name: "more keys than the limit", edit: with(func(x *encrypter) {
			for i := range maxEncryptedKeys {
				x.before += strings.Replace(encrypter{to: k.idp}.foreignKey(), "_key0", "_foreign"+string(rune('a'+i)), 1)
			}
		}), reason: ReasonEncryption},
		{area: "encryption/form", name: "as many keys as the limit", edit: with(func(x *encrypter) {
			for i := range maxEncryptedKeys - 1 {
				x.before += strings.Replace(encrypter{to: k.idp}.foreignKey(), "_key0", "_foreign"+string(rune('a'+i)), 1)
			}
		}), reason: accepted},
	}
	for i := range rows {
		expect := rows[i].expect
		rows[i].expect = func(e *Expectation) {
			e.Decryption = encryptedExpectation().Decryption
			if expect != nil {
				expect(e)
			}
		}
	}
	runMatrix(t, rows)
}

func signedResponse(e *Expectation) { e.Signed = Coverage{Response: true} }

func TestEncryptedAssertionOfAnyLength(t *testing.T) {
	for _, method := range []string{gcm256, cbc256} {
		for n := range 49 {
			a, e := encryptedAnswer(encrypter{to: keysOnce().other, data: method, spoilData: func(b []byte) []byte { return b[:n] }}), encryptedExpectation()
			e.Decryption.CBC = true
			got, err := ValidateResponse([]byte(a.post()), e)
			checkVerdict(t, got, err, ReasonDecryption)
		}
	}
}

func TestDecryptionFailuresReadAlike(t *testing.T) { // one error, whatever failed
	k := keysOnce()
	texts := map[string]bool{}
	for _, x := range []encrypter{
		{to: k.idp},
		{to: k.p521},
		{to: k.other, recipient: "https://other.example"},
		{to: k.other, spoilData: func(b []byte) []byte { b[30] ^= 1; return b }},
		{to: k.other, spoilData: func([]byte) []byte { return nil }},
		{to: k.other, data: cbc256, spoilData: func(b []byte) []byte { b[20] ^= 1; return b }},
	} {
		e := encryptedExpectation()
		e.Decryption.CBC = true
		_, err := ValidateResponse([]byte(encryptedAnswer(x).post()), e)
		texts[err.Error()] = true
	}
	if len(texts) != 1 {
		t.Errorf("%d different errors: %v", len(texts), texts)
	}
}

// the last block of a CBC text in 256 versions gives one answer, and only
// after the signature over it was verified.
func TestNoPaddingOracle(t *testing.T) {
	k := keysOnce()
	texts := map[string]int{}
	for i := range 256 {
		a, e := encryptedAnswer(encrypter{to: k.other, data: cbc128, spoilData: func(b []byte) []byte { b[len(b)-17] ^= byte(i); b[5] ^= 1; return b }}), encryptedExpectation()
		e.Decryption.CBC = true
		_, err := ValidateResponse([]byte(a.post()), e)
		if err == nil {
			t.Fatal("accepted")
		}
		texts[err.Error()]++
	}
	if len(texts) != 1 {
		t.Errorf("answers: %v", texts)
	}
}

func TestEncryptedNameID(t *testing.T) {
	k := keysOnce()
	const plain = `<saml:NameID>s00000000:900029365</saml:NameID>`
	x := encrypter{to: k.other}
	hide := func(x encrypter, text string) func(*answer) {
		return func(a *answer) { replace(&a.assertion, plain, declareOnce(x.wrapped("EncryptedID", text))) }
	}
	keys := func(e *Expectation) { e.Decryption = ours(k.other) }
	runMatrix(t, []faultRow{
		{area: "EncryptedID", name: "correct", edit: hide(x, plain), expect: keys, reason: accepted},
		{area: "EncryptedID", name: "declares its namespace", edit: hide(x, strings.Replace(plain, "<saml:NameID", `<saml:NameID xmlns:saml="urn:oasis:names:tc:SAML:2.0:assertion"`, 1)), expect: keys, reason: accepted},
		{area: "EncryptedID", name: "no key of ours", edit: hide(x, plain), reason: ReasonEncryption},
		{area: "EncryptedID", name: "for another key", edit: hide(encrypter{to: k.idp}, plain), expect: keys, reason: ReasonDecryption},
		{area: "EncryptedID", name: "holds no NameID", edit: hide(x, "<saml:Audience>a</saml:Audience>"), expect: keys, reason: ReasonDecryption},
		{area: "EncryptedID", name: "CBC without permission", edit: hide(encrypter{to: k.other, data: cbc256}, plain), expect: keys, reason: ReasonEncryption},
		{area: "EncryptedID", name: "CBC in a signed assertion", edit: hide(encrypter{to: k.other, data: cbc256, transport: oaep10}, plain), expect: func(e *Expectation) { keys(e); e.Decryption.CBC = true }, reason: accepted},
		{area: "EncryptedID", name: "X-85 beside a NameID", edit: func(a *answer) {
			replace(&a.assertion, plain, plain+declareOnce(x.wrapped("EncryptedID", plain)))
		}, expect: keys, reason: ReasonSubject},
		{area: "EncryptedID", name: "X-74 inside an encrypted assertion", edit: func(a *answer) {
			hide(x, plain)(a)
			a.encrypt = &encrypter{to: k.other}
			a.encrypt.spoil = func(s string) string { return strings.ReplaceAll(s, "_key1", "_key2") }
		}, expect: keys, reason: ReasonEncryption},
		{area: "EncryptedID", name: "X-74 EncryptedID inside", edit: hide(x, x.wrapped("EncryptedID", plain)), expect: keys, reason: ReasonDecryption},
	})
}

func TestEncryptedIdentifiersAsAttributeValues(t *testing.T) {
	k := keysOnce()
	a, e := goodAnswer(), goodExpectation()
	e.Decryption = ours(k.other)
	value := declareOnce(encrypter{to: k.other}.wrapped("EncryptedID", `<saml:NameID NameQualifier="urn:nl-eid-gdi:1.0:id:legacy-BSN">999990019</saml:NameID>`))
	replace(&a.assertion, `</saml:Assertion>`, `<saml:AttributeStatement><saml:Attribute Name="urn:acting"><saml:AttributeValue>`+value+`</saml:AttributeValue></saml:Attribute></saml:AttributeStatement></saml:Assertion>`)
	got, err := ValidateResponse([]byte(a.post()), e)
	checkVerdict(t, got, err, accepted)
	if at := got.Attributes[0]; len(at.NameIDs) != 1 || at.NameIDs[0].NameQualifier != "urn:nl-eid-gdi:1.0:id:legacy-BSN" || at.Values[0] != "999990019" {
		t.Errorf("attribute = %+v", at)
	}
	// Text beside it, or a second one, is no value.
	for _, changed := range []string{"x" + value, value + strings.ReplaceAll(value, "_key1", "_key2")} {
		b := goodAnswer()
		b.assertion = strings.Replace(a.assertion, value, changed, 1)
		got, err := ValidateResponse([]byte(b.post()), e)
		checkVerdict(t, got, err, ReasonSchema)
	}
}

// declareOnce drops a declaration that canonical form has further up.
func declareOnce(s string) string {
	return strings.Replace(s, ` xmlns:saml="urn:oasis:names:tc:SAML:2.0:assertion"`, "", 1)
}

// Namespaces that the plaintext takes from around the EncryptedAssertion hold,
// even those that the response itself has no use for.
func TestPlaintextInheritsNamespaces(t *testing.T) {
	a, e := encryptedAnswer(encrypter{to: keysOnce().other}), encryptedExpectation()
	a.signR = nil
	e.Signed = Coverage{Assertion: true}
	a.encryptText = declareOnce(a.signedAssertion())
	got, err := ValidateResponse([]byte(a.post()), e)
	checkVerdict(t, got, err, accepted)
}

func TestKeyDerivationAndWrapVectors(t *testing.T) {
	// RFC 3394 4.6: 256 bits of key data with a 256-bit KEK.
	wrapping := must(hex.DecodeString("000102030405060708090A0B0C0D0E0F101112131415161718191A1B1C1D1E1F"))
	key := must(hex.DecodeString("00112233445566778899AABBCCDDEEFF000102030405060708090A0B0C0D0E0F"))
	want := must(hex.DecodeString("28C9F404C4B810F4CBCCB35CFB87F8263F5786E2D80ED326CBC7F0E71A99F43BFB988B9B7A02DD21"))
	if got := testKeyWrap(wrapping, key); !bytes.Equal(got, want) {
		t.Errorf("wrapped = %x", got)
	}
	// RFC 7518 appendix C: the derivation of JOSE is the same with length
	// prefixes in OtherInfo.
	z := must(hex.DecodeString("9e56d91d817135d372834283bf84269cfb316ea3da806a48f6daa7798cfe90c4"))
	other := "00000007" + hex.EncodeToString([]byte("A128GCM")) + "00000005" + hex.EncodeToString([]byte("Alice")) + "00000003" + hex.EncodeToString([]byte("Bob")) + "00000080"
	if got, want := hex.EncodeToString(testConcatKDF(sha256.New, z, must(hex.DecodeString(other)), 16)), "56aa8deaf8236d205c2228cd71a7101a"; got != want {
		t.Errorf("derived = %s, want %s", got, want)
	}
}

func TestNewDecryptionKeyRefuses(t *testing.T) {
	k := keysOnce()
	for name, row := range map[string]struct {
		key  any
		cert *testKey
	}{
		"certificate of another key": {k.idp.key, k.other}, "curve of another key": {k.p256.key, k.p384},
		"short RSA": {k.short.key, k.short}, "RSA key with elliptic certificate": {k.idp.key, k.p256},
		"elliptic key with RSA certificate": {k.p256.key, k.idp}, "no key": {nil, k.idp},
		"P-224": {mustEC(elliptic.P224()), k.p256},
	} {
		if _, err := NewDecryptionKey(row.key, row.cert.cert); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	if _, err := NewDecryptionKey(k.idp.key, nil); err == nil {
		t.Error("accepted without certificate")
	}
	if _, err := NewDecryptionKey(must(ecdh.P256().GenerateKey(bytes.NewReader(random(64)))), k.p256.cert); err == nil {
		t.Error("accepted an exchanger of another key")
	}
	e := goodExpectation()
	e.Decryption.Required = true
	if err := e.check(); err == nil {
		t.Error("expectation that needs keys has none")
	}
	e.Decryption = ours(k.idp, k.idp, k.idp, k.idp, k.idp)
	if err := e.check(); err == nil {
		t.Error("five keys are accepted")
	}
}

func TestDecryptsWhatXMLSecEncrypts(t *testing.T) {
	k := keysOnce()
	for name, row := range map[string]struct{ data, session, digest string }{
		"AES-128-GCM": {gcm128, "aes-128", ""},
		"AES-256-GCM": {gcm256, "aes-256", ""},
		"AES-192-GCM": {gcm192, "aes-192", ""},
		"SHA-1 named": {gcm256, "aes-256", "http://www.w3.org/2000/09/xmldsig#sha1"},
	} {
		t.Run(name, func(t *testing.T) {
			a, e := goodAnswer(), encryptedExpectation()
			dir := t.TempDir()
			digest := ""
			if row.digest != "" {
				digest = `<ds:DigestMethod Algorithm="` + row.digest + `"/>`
			}
			template := `<xenc:EncryptedData xmlns:xenc="http://www.w3.org/2001/04/xmlenc#" Type="http://www.w3.org/2001/04/xmlenc#Element"><xenc:EncryptionMethod Algorithm="` + row.data + `"/>` +
				`<ds:KeyInfo xmlns:ds="http://www.w3.org/2000/09/xmldsig#"><xenc:EncryptedKey><xenc:EncryptionMethod Algorithm="` + oaep10 + `">` + digest + `</xenc:EncryptionMethod><ds:KeyInfo><ds:KeyName/></ds:KeyInfo>` +
				`<xenc:CipherData><xenc:CipherValue/></xenc:CipherData></xenc:EncryptedKey></ds:KeyInfo><xenc:CipherData><xenc:CipherValue/></xenc:CipherData></xenc:EncryptedData>`
			files := map[string]string{"template.xml": template, "in.xml": a.signedAssertion()}
			for file, text := range files {
				if err := os.WriteFile(filepath.Join(dir, file), []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			_, certFile := k.other.writePEM(t, dir)
			out := filepath.Join(dir, "out.xml")
			runXMLSec(t, "--encrypt", "--pubkey-cert-pem", certFile, "--session-key", row.session, "--xml-data", filepath.Join(dir, "in.xml"),
				"--output", out, filepath.Join(dir, "template.xml"))
			data := must(os.ReadFile(out))
			text := strings.TrimPrefix(string(data), `<?xml version="1.0"?>`)
			a.response = strings.Replace(a.response, "$assertion", `<saml:EncryptedAssertion xmlns:saml="urn:oasis:names:tc:SAML:2.0:assertion">`+text+`</saml:EncryptedAssertion>`, 1)
			a.signR = nil
			e.Signed = Coverage{Assertion: true}
			got, err := ValidateResponse([]byte(a.post()), e)
			checkVerdict(t, got, err, accepted)
		})
	}
}

func TestXMLSecDecryptsWhatTheEncrypterMakes(t *testing.T) { // the vectors are no private dialect
	k := keysOnce()
	dir := t.TempDir()
	keyFile, _ := k.other.writePEM(t, dir)
	text := encrypter{to: k.other, transport: oaep10, data: gcm256}.wrapped("EncryptedAssertion", fill(assertionText))
	in, out := filepath.Join(dir, "in.xml"), filepath.Join(dir, "out.xml")
	if err := os.WriteFile(in, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	runXMLSec(t, "--decrypt", "--privkey-pem", keyFile, "--output", out, in)
	if !bytes.Contains(must(os.ReadFile(out)), []byte("900029365")) {
		t.Error("xmlsec1 reads something else")
	}
}

// FuzzEncryptedAssertion changes what nothing signs: whatever is opened is the
// honest assertion. Keys differ between processes, so the input is
// an edit.
func FuzzEncryptedAssertion(f *testing.F) {
	k := keysOnce()
	forms := []encrypter{{to: k.other}, {to: k.p256}, {to: k.other, layout: "retrieval"}, {to: k.p384, layout: "carried"}, {to: k.other, layout: "sibling"}}
	a, e := goodAnswer(), encryptedExpectation()
	a.signR = nil
	e.Signed = Coverage{Assertion: true}
	messages := make([]string, len(forms))
	for i := range forms {
		a.encrypt = &forms[i]
		messages[i] = a.post()
		f.Add(uint8(i), uint16(400), uint16(0), "")
		f.Add(uint8(i), uint16(700), uint16(20), "<xenc:EncryptedKey></xenc:EncryptedKey>")
	}
	f.Fuzz(func(t *testing.T, form uint8, at, cut uint16, insert string) {
		message := messages[int(form)%len(messages)]
		i := int(at) % len(message)
		j := min(i+int(cut), len(message))
		got, err := ValidateResponse([]byte(message[:i]+insert+message[j:]), e)
		if err == nil && got.NameID.Value != "s00000000:900029365" {
			t.Errorf("identity = %q", got.NameID.Value)
		}
		var status *StatusError
		if err != nil && ReasonOf(err) == "" && !errors.As(err, &status) {
			t.Errorf("error without a reason: %v", err)
		}
	})
}
