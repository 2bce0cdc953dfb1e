package xades_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/rsa"
	"encoding/base64"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/eidbridge/eidbridge/fixtures/pki"
	"github.com/eidbridge/eidbridge/signing"
	"github.com/eidbridge/eidbridge/signing/xades"
	"github.com/eidbridge/eidbridge/signing/xmldsig"
	"github.com/eidbridge/eidbridge/signing/xmltext"
)

// target is a citizen whose documents are attacked, with the roots that trust
// her.
type target struct {
	cred, other signing.Credential
	options     xades.VerifyOptions
}

func newTarget(t testing.TB) *target {
	t.Helper()
	country, err := pki.New(pki.Options{Seed: []byte("attacks")})
	if err != nil {
		t.Fatal(err)
	}
	v := new(target)
	for i, to := range []*signing.Credential{&v.cred, &v.other} {
		keys, err := country.SpanishCitizen(pki.Persons()[3+i])
		if err != nil {
			t.Fatal(err)
		}
		*to = signing.Credential{Signer: keys.Signature.Key, Certificate: keys.Signature.Certificate, Chain: keys.Issuers[:1]}
	}
	v.options = xades.VerifyOptions{VerifyOptions: signing.VerifyOptions{Roots: country.Roots(), WithoutRevocation: true}}
	return v
}

func (v *target) sign(t testing.TB, doc string, o xades.Options) string {
	t.Helper()
	var out bytes.Buffer
	if _, err := xades.Sign(context.Background(), strings.NewReader(doc), int64(len(doc)), &out, v.cred, o); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

func (v *target) judge(doc string) (*signing.Report, error) {
	return xades.Verify(context.Background(), strings.NewReader(doc), int64(len(doc)), v.options)
}

// seal makes digests and value of the first signature of a document right, as far
// as its references can be followed: for documents that were put together by
// hand.
func (v *target) seal(t testing.TB, doc string) string {
	t.Helper()
	ctx := context.Background()
	open := func() (*xmldsig.Document, *xmldsig.Signature) {
		d, err := xmldsig.Open(ctx, strings.NewReader(doc), int64(len(doc)), xmldsig.Options{XPointer: true})
		if err != nil || len(d.Signatures) == 0 {
			t.Fatalf("%v\n%s", err, doc)
		}
		return d, d.Signatures[0]
	}
	d, s := open()
	outcomes, err := d.Digest(ctx, s, s.References)
	if err != nil {
		t.Fatal(err)
	}
	for i := len(outcomes) - 1; i >= 0; i-- {
		if outcomes[i].Err != nil {
			continue
		}
		e := s.References[i].Element.Child(xmldsig.Namespace, "DigestValue")
		at := s.Start - s.Element.Start
		doc = doc[:at+e.Open] + base64.StdEncoding.EncodeToString(outcomes[i].Digest) + doc[at+e.Close:]
	}
	_, s = open()
	info, err := s.SignedInfo()
	if err != nil {
		return doc // there is nothing to sign
	}
	h := crypto.SHA256.New()
	h.Write(info)
	value, err := v.cred.Signer.Sign(nil, h.Sum(nil), crypto.SHA256)
	if err != nil {
		t.Fatal(err)
	}
	e := s.Element.Child(xmldsig.Namespace, "SignatureValue")
	at := s.Start - s.Element.Start
	return doc[:at+e.Open] + base64.StdEncoding.EncodeToString(value) + doc[at+e.Close:]
}

// once replaces text that must be there.
func once(t testing.TB, doc, old, replacement string) string {
	t.Helper()
	if !strings.Contains(doc, old) {
		t.Fatalf("%q is not in the document", old)
	}
	return strings.Replace(doc, old, replacement, 1)
}

const (
	failed        = signing.TotalFailed
	indeterminate = signing.Indeterminate
)

// TestAttacksOnDocuments changes signed documents; each must get the verdict of its
// row in the threat list, and none may pass.
func TestAttacksOnDocuments(t *testing.T) {
	t.Parallel()
	v := newTarget(t)
	const digestMethod = `<ds:DigestMethod Algorithm="http://www.w3.org/2001/04/xmlenc#sha256"/>`
	whole := v.sign(t, letter, xades.Options{})
	part := v.sign(t, letter, xades.Options{Elements: []string{"body"}})
	enveloping := v.sign(t, letter, xades.Options{Packaging: xades.Enveloping})
	manifest := v.sign(t, letter, xades.Options{Manifest: true})
	other, err := func() (string, error) {
		var out bytes.Buffer
		_, err := xades.Sign(context.Background(), strings.NewReader(letter), int64(len(letter)), &out, v.other, xades.Options{})
		return out.String(), err
	}()
	if err != nil {
		t.Fatal(err)
	}
	const enveloped = `<ds:Transform Algorithm="http://www.w3.org/2000/09/xmldsig#enveloped-signature"/>`
	const exclusive = `<ds:Transform Algorithm="http://www.w3.org/2001/10/xml-exc-c14n#"/>`
	transforms := func(list string) func(testing.TB) string {
		return func(t testing.TB) string { return v.seal(t, once(t, whole, enveloped+exclusive, list)) }
	}
	reference := func(uri string) func(testing.TB) string {
		return func(t testing.TB) string {
			return v.seal(t, once(t, part, `URI="#body"`, `URI="`+uri+`"`))
		}
	}
	certificate := func(doc string) string {
		return regexp.MustCompile(`<ds:X509Certificate>[^<]*</ds:X509Certificate>`).FindString(doc)
	}
	type row struct {
		name string
		make func(t testing.TB) string
		want signing.Indication
		sub  []signing.SubIndication
	}
	rows := []row{
		{"X-09 a reference to the signature itself", reference("#" + idOf(part)), failed, []signing.SubIndication{signing.HashFailure}},
		{"X-12 two SignedInfo", func(t testing.TB) string {
			info := whole[strings.Index(whole, "<ds:SignedInfo>") : strings.Index(whole, "</ds:SignedInfo>")+len("</ds:SignedInfo>")]
			return once(t, whole, info, info+info)
		}, failed, []signing.SubIndication{signing.FormatFailure}},
		{"X-12 two SignatureValue", func(t testing.TB) string {
			value := whole[strings.Index(whole, "<ds:SignatureValue") : strings.Index(whole, "</ds:SignatureValue>")+len("</ds:SignatureValue>")]
			return once(t, whole, value, value+value)
		}, failed, []signing.SubIndication{signing.FormatFailure}},
		{"X-13 a comment in DigestValue", func(t testing.TB) string {
			return strings.Replace(whole, "<ds:DigestValue>", "<ds:DigestValue><!-- -->", 1)
		}, failed, []signing.SubIndication{signing.FormatFailure}},
		{"X-13 a comment in SignatureValue", func(t testing.TB) string {
			return strings.Replace(whole, "</ds:SignatureValue>", "<!-- --></ds:SignatureValue>", 1)
		}, failed, []signing.SubIndication{signing.FormatFailure}},
		{"X-16 the identifier occurs twice", func(t testing.TB) string {
			return once(t, part, "</letter>", `<body Id="body">forged</body></letter>`)
		}, failed, []signing.SubIndication{signing.FormatFailure}},
		{"X-16 the identifier in another attribute", func(t testing.TB) string {
			return once(t, part, "</letter>", `<body xml:id="body">forged</body></letter>`)
		}, failed, []signing.SubIndication{signing.FormatFailure}},
		{"X-22 an instruction in SignedInfo", func(t testing.TB) string {
			return v.seal(t, once(t, whole, "<ds:SignedInfo>", "<ds:SignedInfo><?x y?>"))
		}, failed, []signing.SubIndication{signing.FormatFailure}},
		{"X-22 an instruction in the properties", func(t testing.TB) string {
			return v.seal(t, once(t, whole, "<xades:SigningTime>", "<xades:SigningTime><?x y?>"))
		}, failed, []signing.SubIndication{signing.FormatFailure}},
		{"X-33 an element of another namespace", func(t testing.TB) string {
			return once(t, whole, "<ds:SignatureValue", `<SignatureValue xmlns="urn:x"/><ds:SignatureValue`)
		}, failed, []signing.SubIndication{signing.FormatFailure}},
		{"X-35 another order", func(t testing.TB) string {
			return once(t, whole, `<ds:SignatureMethod Algorithm="http://www.w3.org/2001/04/xmldsig-more#rsa-sha256"/>`, "")
		}, failed, []signing.SubIndication{signing.FormatFailure}},
		{"X-36 base64 of URLs", func(t testing.TB) string {
			return once(t, whole, "</ds:SignatureValue>", "-_</ds:SignatureValue>")
		}, failed, []signing.SubIndication{signing.FormatFailure}},
		{"X-40 XSLT", transforms(`<ds:Transform Algorithm="http://www.w3.org/TR/1999/REC-xslt-19991116"><xsl:stylesheet xmlns:xsl="http://www.w3.org/1999/XSL/Transform" version="1.0"><xsl:template match="/"><xsl:value-of select="document('file:///etc/passwd')"/></xsl:template></xsl:stylesheet></ds:Transform>`), failed, []signing.SubIndication{signing.FormatFailure}},
		{"X-41 XPath that removes content", transforms(`<ds:Transform Algorithm="http://www.w3.org/TR/1999/REC-xpath-19991116"><ds:XPath>not(ancestor-or-self::body)</ds:XPath></ds:Transform>` + exclusive), failed, []signing.SubIndication{signing.FormatFailure}},
		{"X-41 XPath filter that removes content", transforms(`<ds:Transform Algorithm="http://www.w3.org/2002/06/xmldsig-filter2"><x:XPath xmlns:x="http://www.w3.org/2002/06/xmldsig-filter2" Filter="subtract">//*</x:XPath></ds:Transform>`), failed, []signing.SubIndication{signing.FormatFailure}},
		{"X-41 XPath filter that intersects", transforms(`<ds:Transform Algorithm="http://www.w3.org/2002/06/xmldsig-filter2"><x:XPath xmlns:x="http://www.w3.org/2002/06/xmldsig-filter2" Filter="intersect">/descendant::ds:Signature</x:XPath></ds:Transform>`), failed, []signing.SubIndication{signing.FormatFailure}},
		{"X-41 a prefix that means something else", transforms(`<ds:Transform Algorithm="http://www.w3.org/TR/1999/REC-xpath-19991116"><ds:XPath xmlns:dsig="urn:x">not(ancestor-or-self::dsig:Signature)</ds:XPath></ds:Transform>`), failed, []signing.SubIndication{signing.FormatFailure}},
		{"X-42 canonicalization twice", transforms(enveloped + exclusive + exclusive), failed, []signing.SubIndication{signing.FormatFailure}},
		{"X-42 enveloped twice", transforms(enveloped + enveloped + exclusive), failed, []signing.SubIndication{signing.FormatFailure}},
		{"X-42 enveloped after canonicalization", transforms(exclusive + enveloped), failed, []signing.SubIndication{signing.FormatFailure}},
		{"X-42 decryption", transforms(`<ds:Transform Algorithm="http://www.w3.org/2002/07/decrypt#XML"/>`), failed, []signing.SubIndication{signing.FormatFailure}},
		{"X-42 base64 of markup", transforms(enveloped + `<ds:Transform Algorithm="http://www.w3.org/2000/09/xmldsig#base64"/>`), failed, []signing.SubIndication{signing.FormatFailure}},
		{"X-43 canonicalization by XSLT", func(t testing.TB) string {
			return once(t, whole, `<ds:CanonicalizationMethod Algorithm="http://www.w3.org/2001/10/xml-exc-c14n#"/>`, `<ds:CanonicalizationMethod Algorithm="http://www.w3.org/TR/1999/REC-xslt-19991116"/>`)
		}, failed, []signing.SubIndication{signing.FormatFailure}},
		{"X-44 the signed part under another parent", func(t testing.TB) string {
			// Inclusive canonicalization takes what the new parent declares.
			signed := v.sign(t, letter, xades.Options{Elements: []string{"body"}, Canonicalization: "http://www.w3.org/TR/2001/REC-xml-c14n-20010315"})
			body := `<body Id="body">text &amp; more</body>`
			return once(t, signed, body, `<other xmlns:evil="urn:evil" xml:lang="xx">`+body+`</other>`)
		}, failed, []signing.SubIndication{signing.HashFailure}},
		{"X-47 another XPointer", reference("#xpointer(//body)"), indeterminate, []signing.SubIndication{signing.SignedDataNotFound}},
		{"X-47 XPointer by an attribute", reference("#xpointer(//*[@Id='body'])"), indeterminate, []signing.SubIndication{signing.SignedDataNotFound}},
		{"X-47 element scheme", reference("#element(body)"), indeterminate, []signing.SubIndication{signing.SignedDataNotFound}},
		{"X-48 six transforms", transforms(strings.Repeat(enveloped, 6)), failed, []signing.SubIndication{signing.FormatFailure}},
		{"X-49 an entry of a manifest was changed", func(t testing.TB) string {
			return once(t, manifest, "text &amp; more", "text &amp; less")
		}, failed, []signing.SubIndication{signing.HashFailure}},
		{"X-50 data removed", func(t testing.TB) string {
			return once(t, part, `<body Id="body">text &amp; more</body>`, "")
		}, indeterminate, []signing.SubIndication{signing.SignedDataNotFound}},
		{"X-50 a fake object", func(t testing.TB) string {
			start := strings.Index(enveloping, `<ds:Object Id="`)
			object := enveloping[start : strings.LastIndex(enveloping, "</ds:Object>")+len("</ds:Object>")]
			return once(t, enveloping, object, `<ds:Object><wrapper>`+object+`</wrapper></ds:Object><ds:Object Id="evil">forged</ds:Object>`)
		}, indeterminate, []signing.SubIndication{signing.SignedDataNotFound}},
		{"X-50 a fake manifest", func(t testing.TB) string {
			start, end := strings.Index(manifest, "<ds:Manifest"), strings.Index(manifest, "</ds:Manifest>")+len("</ds:Manifest>")
			real := manifest[start:end]
			return once(t, manifest, real, regexp.MustCompile(`Id="[^"]*manifest"`).ReplaceAllString(real, `Id="evil"`)+"</ds:Object><ds:Object><wrapper><ds:Object>"+real+"</ds:Object></wrapper>")
		}, indeterminate, []signing.SubIndication{signing.SignedDataNotFound}},
		{"X-50 fake properties", func(t testing.TB) string {
			start, end := strings.Index(whole, "<xades:SignedProperties"), strings.Index(whole, "</xades:SignedProperties>")+len("</xades:SignedProperties>")
			real := whole[start:end]
			fake := regexp.MustCompile(`Id="[^"]*-properties"`).ReplaceAllString(real, `Id="evil"`)
			fake = regexp.MustCompile(`<xades:SigningTime>[^<]*`).ReplaceAllString(fake, "<xades:SigningTime>2001-01-01T00:00:00Z")
			real = strings.Replace(real, "<xades:SignedProperties", `<xades:SignedProperties xmlns:xades="`+xades.Namespace+`"`, 1)
			return once(t, once(t, whole, whole[start:end], fake), "</ds:Signature>", "<ds:Object>"+real+"</ds:Object></ds:Signature>")
		}, indeterminate, []signing.SubIndication{signing.SignedDataNotFound}},
		{"X-55 SigningTime changed", func(t testing.TB) string {
			return once(t, whole, "<xades:SigningTime>2", "<xades:SigningTime>1")
		}, failed, []signing.SubIndication{signing.HashFailure}},
		{"X-55 properties removed", func(t testing.TB) string {
			return regexp.MustCompile(`<xades:SignedProperties.*</xades:SignedProperties>`).ReplaceAllString(whole, "")
		}, failed, []signing.SubIndication{signing.FormatFailure, signing.HashFailure}},
		{"X-55 reference to the properties removed", func(t testing.TB) string {
			return v.seal(t, regexp.MustCompile(`<ds:Reference Type="http://uri.etsi.org/01903#SignedProperties".*?</ds:Reference>`).ReplaceAllString(whole, ""))
		}, failed, []signing.SubIndication{signing.FormatFailure}},
		{"X-55 reference without its type", func(t testing.TB) string {
			return v.seal(t, once(t, whole, `Type="http://uri.etsi.org/01903#SignedProperties" `, ""))
		}, failed, []signing.SubIndication{signing.FormatFailure}},
		{"X-55 the type on another reference", func(t testing.TB) string {
			return v.seal(t, once(t, once(t, whole, `Type="http://uri.etsi.org/01903#SignedProperties" `, ""), ` URI="">`, ` Type="http://uri.etsi.org/01903#SignedProperties" URI="">`))
		}, indeterminate, []signing.SubIndication{signing.SignedDataNotFound}},
		{"X-56 the digest of another certificate", func(t testing.TB) string {
			mine := regexp.MustCompile(`<xades:CertDigest>.*?</xades:CertDigest>`)
			// EN 319 102-1 5.2.3 calls the certificate not found; either is right.
			return v.seal(t, mine.ReplaceAllString(whole, mine.FindString(other)))
		}, indeterminate, []signing.SubIndication{signing.NoSigningCertificateFound, signing.SigConstraintsFailure}},
		{"X-56 issuer and serial number of another certificate", func(t testing.TB) string {
			mine := regexp.MustCompile(`<xades:IssuerSerialV2>.*?</xades:IssuerSerialV2>`)
			return v.seal(t, mine.ReplaceAllString(whole, mine.FindString(other)))
		}, indeterminate, []signing.SubIndication{signing.SigConstraintsFailure}},
		{"X-56 no reference to a certificate", func(t testing.TB) string {
			return v.seal(t, regexp.MustCompile(`<xades:SigningCertificateV2>.*?</xades:SigningCertificateV2>`).ReplaceAllString(whole, ""))
		}, indeterminate, []signing.SubIndication{signing.SigConstraintsFailure}},
		{"X-61 another certificate in KeyInfo", func(t testing.TB) string {
			return once(t, whole, certificate(whole), certificate(other))
		}, indeterminate, []signing.SubIndication{signing.NoSigningCertificateFound}},
		{"X-62 a key without a certificate", func(t testing.TB) string {
			key := v.cred.Certificate.PublicKey.(*rsa.PublicKey)
			value := fmt.Sprintf(`<ds:KeyValue><ds:RSAKeyValue><ds:Modulus>%s</ds:Modulus><ds:Exponent>AQAB</ds:Exponent></ds:RSAKeyValue></ds:KeyValue>`, base64.StdEncoding.EncodeToString(key.N.Bytes()))
			return regexp.MustCompile(`<ds:X509Data>.*?</ds:X509Data>`).ReplaceAllString(whole, value)
		}, indeterminate, []signing.SubIndication{signing.NoSigningCertificateFound}},
		{"X-64 HMAC", func(t testing.TB) string {
			return once(t, whole, "http://www.w3.org/2001/04/xmldsig-more#rsa-sha256", "http://www.w3.org/2001/04/xmldsig-more#hmac-sha256")
		}, indeterminate, []signing.SubIndication{signing.CryptoConstraintsFailureNoPOE}},
		{"X-65 HMAC cut short", func(t testing.TB) string {
			return once(t, whole, `<ds:SignatureMethod Algorithm="http://www.w3.org/2001/04/xmldsig-more#rsa-sha256"/>`, `<ds:SignatureMethod Algorithm="http://www.w3.org/2000/09/xmldsig#hmac-sha1"><ds:HMACOutputLength>8</ds:HMACOutputLength></ds:SignatureMethod>`)
		}, indeterminate, []signing.SubIndication{signing.CryptoConstraintsFailureNoPOE}},
		{"X-66 DSA", func(t testing.TB) string {
			return once(t, whole, "http://www.w3.org/2001/04/xmldsig-more#rsa-sha256", "http://www.w3.org/2000/09/xmldsig#dsa-sha1")
		}, indeterminate, []signing.SubIndication{signing.CryptoConstraintsFailureNoPOE}},
		{"X-66 MD5", func(t testing.TB) string {
			return v.seal(t, strings.Replace(whole, digestMethod, `<ds:DigestMethod Algorithm="http://www.w3.org/2001/04/xmldsig-more#md5"/>`, 1))
		}, indeterminate, []signing.SubIndication{signing.CryptoConstraintsFailureNoPOE}},
		{"X-66 the algorithm of another key", func(t testing.TB) string {
			return v.seal(t, once(t, whole, "http://www.w3.org/2001/04/xmldsig-more#rsa-sha256", "http://www.w3.org/2001/04/xmldsig-more#ecdsa-sha256"))
		}, failed, []signing.SubIndication{signing.SigCryptoFailure}},
		{"X-67 PSS over a value of PKCS #1 v1.5", func(t testing.TB) string {
			return v.seal(t, once(t, whole, "http://www.w3.org/2001/04/xmldsig-more#rsa-sha256", "http://www.w3.org/2007/05/xmldsig-more#sha256-rsa-MGF1"))
		}, failed, []signing.SubIndication{signing.SigCryptoFailure}},
	}
	for _, scheme := range []string{"http://127.0.0.1/x", "https://example.com/x", "file:///etc/passwd", "ftp://example.com/x", "jar:file:///x!/y", "data:,x", "//example.com/x", "../x", "/etc/passwd", "urn:x"} {
		rows = append(rows, row{"X-46 " + scheme, reference(scheme), indeterminate, []signing.SubIndication{signing.SignedDataNotFound}})
	}
	for _, r := range rows {
		t.Run(r.name, func(t *testing.T) {
			doc := r.make(t)
			report, err := v.judge(doc)
			if err != nil {
				t.Fatalf("%v\n%s", err, doc)
			}
			got := report.Signatures[0]
			if got.Indication != r.want || !slices.Contains(r.sub, got.SubIndication) {
				t.Errorf("%s/%s, want %s/%v: %v\n%s", got.Indication, got.SubIndication, r.want, r.sub, got.Findings, doc)
			}
		})
	}
	// The documents are right before they are attacked.
	for name, doc := range map[string]string{"whole": whole, "part": part, "enveloping": enveloping, "manifest": manifest, "sealed": v.seal(t, whole)} {
		if report, err := v.judge(doc); err != nil || !report.Passed() {
			t.Errorf("%s: %+v, %v", name, report, err)
		}
	}
}

func idOf(doc string) string {
	return regexp.MustCompile(`<ds:Signature [^>]*Id="([^"]*)"`).FindStringSubmatch(doc)[1]
}

// TestNeutralForms: what means the same is read the same.
func TestNeutralForms(t *testing.T) {
	t.Parallel()
	v := newTarget(t)
	whole := v.sign(t, letter, xades.Options{})
	const enveloped = `<ds:Transform Algorithm="http://www.w3.org/2000/09/xmldsig#enveloped-signature"/>`
	for name, doc := range map[string]string{
		"X-21 a comment in signed text": once(t, whole, "text &amp; more", "text <!-- x -->&amp; more"),
		"X-22 CDATA for text":           once(t, whole, "text &amp; more", "<![CDATA[text & more]]>"),
		"X-22 references for text":      once(t, whole, "text &amp; more", "&#x74;ext &#38; more"),
		"X-45 no canonicalization":      v.seal(t, once(t, whole, enveloped+`<ds:Transform Algorithm="http://www.w3.org/2001/10/xml-exc-c14n#"/>`, enveloped)),
		// The two forms of XML Signature 4.4.3.3 mean the element and the document, with
		// comments; signatures of Baltic origin use them.
		"X-47 XPointer to the document":                v.seal(t, once(t, whole, `URI="">`, `URI="#xpointer(/)">`)),
		"XPath for signatures in the document element": v.seal(t, once(t, whole, enveloped, `<ds:Transform Algorithm="http://www.w3.org/2002/06/xmldsig-filter2"><x:XPath xmlns:x="http://www.w3.org/2002/06/xmldsig-filter2" Filter="subtract">/*/ds:Signature</x:XPath></ds:Transform>`)),
		// The form of the Spanish administration: canonical first, then without
		// signatures.
		"removal after C14N 1.0": v.seal(t, once(t, whole, enveloped+`<ds:Transform Algorithm="http://www.w3.org/2001/10/xml-exc-c14n#"/>`,
			`<ds:Transform Algorithm="http://www.w3.org/TR/2001/REC-xml-c14n-20010315"/>`+enveloped+`<ds:Transform Algorithm="http://www.w3.org/TR/1999/REC-xpath-19991116"><ds:XPath>not(ancestor-or-self::ds:Signature)</ds:XPath></ds:Transform>`)),
		"XPath for enveloped": v.seal(t, once(t, whole, enveloped, `<ds:Transform Algorithm="http://www.w3.org/TR/1999/REC-xpath-19991116"><ds:XPath>
			count(ancestor-or-self::ds:Signature | here()/ancestor::ds:Signature[1]) &gt; count(ancestor-or-self::ds:Signature)</ds:XPath></ds:Transform>`)),
		"XPath for all signatures": v.seal(t, once(t, whole, enveloped, `<ds:Transform Algorithm="http://www.w3.org/TR/1999/REC-xpath-19991116"><ds:XPath xmlns:dsig="http://www.w3.org/2000/09/xmldsig#"> not(ancestor-or-self::dsig:Signature) </ds:XPath></ds:Transform>`)),
	} {
		t.Run(name, func(t *testing.T) {
			report, err := v.judge(doc)
			if err != nil || !report.Passed() {
				t.Errorf("%+v, %v", report, err)
			}
		})
	}
}

// TestSHA1IsRecognised: digest and signature of SHA-1 are computed, and not
// relied on.
func TestSHA1IsRecognised(t *testing.T) {
	t.Parallel()
	v := newTarget(t)
	whole := v.sign(t, letter, xades.Options{})
	doc := strings.Replace(whole, `<ds:DigestMethod Algorithm="http://www.w3.org/2001/04/xmlenc#sha256"/>`, `<ds:DigestMethod Algorithm="http://www.w3.org/2000/09/xmldsig#sha1"/>`, 1)
	doc = regexp.MustCompile(`(sha1"/><ds:DigestValue>)[^<]*`).ReplaceAllString(doc, "${1}AAAAAAAAAAAAAAAAAAAAAAAAAAA=")
	report, err := v.judge(v.seal(t, doc))
	if err != nil {
		t.Fatal(err)
	}
	if got := report.Signatures[0]; got.Integrity != signing.Intact || got.SubIndication != signing.CryptoConstraintsFailureNoPOE {
		t.Errorf("%s, %s/%s", got.Integrity, got.Indication, got.SubIndication)
	}
}

// TestCountersignatureOfAnotherDocument fails alone.
func TestCountersignatureOfAnotherDocument(t *testing.T) {
	t.Parallel()
	v := newTarget(t)
	property := regexp.MustCompile(`<xades:UnsignedProperties>.*</xades:UnsignedProperties>`)
	counter := func(doc string) string {
		var out bytes.Buffer
		if _, err := xades.Countersign(context.Background(), strings.NewReader(doc), int64(len(doc)), &out, "", v.other, xades.Options{}); err != nil {
			t.Fatal(err)
		}
		return out.String()
	}
	one, two := counter(v.sign(t, letter, xades.Options{})), counter(v.sign(t, letter, xades.Options{}))
	swapped := once(t, one, property.FindString(one), property.FindString(two))
	report, err := v.judge(swapped)
	if err != nil || len(report.Signatures) != 2 {
		t.Fatalf("%+v, %v", report, err)
	}
	if got := report.Signatures[0]; got.Indication != signing.TotalPassed {
		t.Errorf("the signature: %s/%s %v", got.Indication, got.SubIndication, got.Findings)
	}
	if got := report.Signatures[1]; got.Indication == signing.TotalPassed {
		t.Errorf("the countersignature: %s/%s", got.Indication, got.SubIndication)
	}
	// The right value, but that of another signature in the same document.
	stray := regexp.MustCompile(`<ds:SignatureValue.*?</ds:SignatureValue>`).FindString(two)
	inside := once(t, swapped, "</letter>", `<stray xmlns:ds="http://www.w3.org/2000/09/xmldsig#">`+stray+"</stray></letter>")
	if report, err = v.judge(inside); err != nil {
		t.Fatal(err)
	}
	if got := report.Signatures[1]; got.Indication != signing.TotalFailed || got.SubIndication != signing.HashFailure {
		t.Errorf("with the value somewhere else: %s/%s %v", got.Indication, got.SubIndication, got.Findings)
	}
}

// TestReaderAttacks: what cannot be read safely is refused with a typed error, at
// once.
func TestReaderAttacks(t *testing.T) {
	t.Parallel()
	v := newTarget(t)
	whole := v.sign(t, letter, xades.Options{})
	head := `<?xml version="1.0"?>` + "\n"
	entities := "<!DOCTYPE x [<!ENTITY a \"aaaaaaaaaa\">"
	for i := range 10 {
		entities += fmt.Sprintf("<!ENTITY a%d \"%s\">", i, strings.Repeat("&a;", 10))
	}
	for _, c := range []struct {
		name, doc string
		reason    error
	}{
		{"X-24 a document type", once(t, whole, head, head+"<!DOCTYPE letter>"), xmltext.ErrDoctype},
		{"X-25 entities", once(t, whole, head, head+entities+"]>"), xmltext.ErrDoctype},
		{"X-26 an external entity", once(t, whole, head, head+`<!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]>`), xmltext.ErrDoctype},
		{"X-26 an external subset", once(t, whole, head, head+`<!DOCTYPE letter SYSTEM "http://127.0.0.1/x.dtd">`), xmltext.ErrDoctype},
		{"X-27 a default attribute", once(t, whole, head, head+`<!DOCTYPE letter [<!ATTLIST empty Id ID "body">]>`), xmltext.ErrDoctype},
		{"X-29 an unknown encoding", once(t, whole, head, `<?xml version="1.0" encoding="UTF-7"?>`), xmltext.ErrEncoding},
		{"X-29 bytes of another encoding", once(t, whole, "more", "m\xe4re"), xmltext.ErrEncoding},
		{"X-30 XML 1.1", once(t, whole, head, `<?xml version="1.1"?>`), xmltext.ErrSyntax},
		{"X-32 an attribute twice", once(t, whole, `<body Id="body"`, `<body Id="body" Id="x"`), xmltext.ErrSyntax},
		{"X-32 the same expanded name", once(t, whole, `<body Id="body"`, `<body xmlns:a="urn:a" xmlns:b="urn:a" a:x="1" b:x="2" Id="body"`), xmltext.ErrNamespace},
		{"X-33 an undeclared prefix", once(t, whole, "<body", "<evil:x/><body"), xmltext.ErrNamespace},
		{"X-34 text after the document element", whole + "x", xmltext.ErrSyntax},
		{"X-34 two document elements", whole + "<x/>", xmltext.ErrSyntax},
		{"X-110 deep nesting", once(t, whole, "<body", strings.Repeat("<a>", 100_000)+"<body"), xmltext.ErrLimit},
		{"X-111 namespaces times depth", once(t, whole, "<body", strings.Repeat(`<a xmlns:p="urn:p"`+manyNamespaces(90)+`>`, 20)+"<body"), xmltext.ErrLimit},
		{"X-112 attributes", once(t, whole, `<body Id="body"`, `<body Id="body"`+manyAttributes(1000)), xmltext.ErrLimit},
	} {
		t.Run(c.name, func(t *testing.T) {
			began := time.Now()
			_, err := v.judge(c.doc)
			var syntax *xmltext.Error
			if !errors.As(err, &syntax) || !errors.Is(err, c.reason) {
				t.Errorf("got %v, want %v", err, c.reason)
			}
			if took := time.Since(began); took > 20*time.Second {
				t.Errorf("took %s", took)
			}
			if _, err := xades.Prepare(context.Background(), strings.NewReader(c.doc), int64(len(c.doc)), v.cred, xades.Options{}); !errors.As(err, &syntax) {
				t.Errorf("signing it: %v", err)
			}
		})
	}
}

func manyNamespaces(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, ` xmlns:n%d="urn:n"`, i)
	}
	return b.String()
}

func manyAttributes(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, ` a%d=""`, i)
	}
	return b.String()
}

// TestNothingIsResolved: inclusions, schema locations and style sheets are
// text.
func TestNothingIsResolved(t *testing.T) {
	t.Parallel()
	v := newTarget(t)
	doc := `<?xml version="1.0"?><?xml-stylesheet href="http://127.0.0.1/x.xsl"?><a xmlns:xi="http://www.w3.org/2001/XInclude" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xsi:schemaLocation="urn:x http://127.0.0.1/x.xsd"><xi:include href="file:///etc/passwd"/></a>`
	signed := v.sign(t, doc, xades.Options{})
	if report, err := v.judge(signed); err != nil || !report.Passed() {
		t.Errorf("%+v, %v", report, err)
	}
	if !strings.Contains(signed, `<xi:include href="file:///etc/passwd"/>`) {
		t.Error("the document was changed")
	}
}

// TestCost: many references, signatures and big parts cost a
// bounded time, and are refused beyond.
func TestCost(t *testing.T) {
	t.Parallel()
	v := newTarget(t)
	part := v.sign(t, letter, xades.Options{Elements: []string{"body"}})
	reference := regexp.MustCompile(`<ds:Reference Id="[^"]*" URI="#body">.*?</ds:Reference>`).FindString(part)
	for _, c := range []struct {
		name, doc string
	}{
		{"10,000 references", once(t, part, reference, strings.Repeat(reference, 10_000))},
		{"1,000 transforms", once(t, part, "<ds:Transforms>", "<ds:Transforms>"+strings.Repeat(`<ds:Transform Algorithm="http://www.w3.org/2000/09/xmldsig#enveloped-signature"/>`, 1000))},
		{"nested parts, each with its reference", nested(reference, part, 200, 100_000)},
		{"5,000 signatures", "<a>" + strings.Repeat(`<ds:Signature xmlns:ds="http://www.w3.org/2000/09/xmldsig#"/>`, 5000) + "</a>"},
	} {
		t.Run(c.name, func(t *testing.T) {
			began := time.Now()
			report, err := v.judge(c.doc)
			if err == nil && report.Passed() {
				t.Error("passed")
			}
			if err != nil && !errors.Is(err, xmldsig.ErrLimit) {
				t.Errorf("untyped: %v", err)
			}
			if took := time.Since(began); took > 50*time.Second {
				t.Errorf("took %s", took)
			}
		})
	}
}

// nested makes parts inside parts around a text, and a signature that refers to
// each of them.
func nested(reference, signed string, depth, text int) string {
	var open, references strings.Builder
	for i := range depth {
		fmt.Fprintf(&open, `<p Id="p%d">`, i)
		references.WriteString(strings.Replace(reference, `URI="#body"`, fmt.Sprintf(`URI="#p%d"`, i), 1))
	}
	doc := strings.Replace(signed, reference, references.String(), 1)
	return strings.Replace(doc, "<body", open.String()+strings.Repeat("x", text)+strings.Repeat("</p>", depth)+"<body", 1)
}
