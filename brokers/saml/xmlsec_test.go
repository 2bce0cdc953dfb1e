package saml

import (
	"crypto/rand"
	"encoding/base64"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// xmlsec1 is the second opinion on XML Signature. `make test` installs it.

func runXMLSec(t *testing.T, args ...string) {
	t.Helper()
	command := exec.Command("xmlsec1", args...)
	command.Env = append(os.Environ(), "TZ=UTC") // it takes the times that it is given for local ones
	if out, err := command.CombinedOutput(); err != nil {
		t.Fatalf("xmlsec1 %s: %v\n%s", args[0], err, out)
	}
}

// xmlsecSigned is a message with an empty signature template that xmlsec1 fills.
func xmlsecSigned(t *testing.T, key *testKey, method, digest, prefixes, text, id, element string) string {
	t.Helper()
	keyFile, certFile := key.writePEM(t, t.TempDir())
	return xmlsecSignedBy(t, keyFile, certFile, method, digest, prefixes, text, id, element)
}

// xmlsecSignedBy is the same with key and certificate in files.
func xmlsecSignedBy(t *testing.T, keyFile, certFile, method, digest, prefixes, text, id, element string) string {
	t.Helper()
	dir := t.TempDir()
	inclusive := ""
	if prefixes != "" {
		inclusive = `<ec:InclusiveNamespaces xmlns:ec="http://www.w3.org/2001/10/xml-exc-c14n#" PrefixList="` + prefixes + `"/>`
	}
	template := `<ds:Signature xmlns:ds="http://www.w3.org/2000/09/xmldsig#"><ds:SignedInfo><ds:CanonicalizationMethod Algorithm="http://www.w3.org/2001/10/xml-exc-c14n#"/>` +
		`<ds:SignatureMethod Algorithm="` + method + `"/><ds:Reference URI="#` + id + `"><ds:Transforms><ds:Transform Algorithm="http://www.w3.org/2000/09/xmldsig#enveloped-signature"/>` +
		`<ds:Transform Algorithm="http://www.w3.org/2001/10/xml-exc-c14n#">` + inclusive + `</ds:Transform></ds:Transforms><ds:DigestMethod Algorithm="` + digest + `"/><ds:DigestValue/></ds:Reference></ds:SignedInfo>` +
		`<ds:SignatureValue/><ds:KeyInfo><ds:X509Data><ds:X509Certificate/></ds:X509Data></ds:KeyInfo></ds:Signature>`
	i := strings.Index(text, `ID="`+id+`"`)
	j := i + strings.Index(text[i:], "</saml:Issuer>") + len("</saml:Issuer>")
	in, out := filepath.Join(dir, "in.xml"), filepath.Join(dir, "out.xml")
	if err := os.WriteFile(in, []byte(text[:j]+template+text[j:]), 0o600); err != nil {
		t.Fatal(err)
	}
	runXMLSec(t, "--sign", "--privkey-pem", keyFile+","+certFile, "--id-attr:ID", element, "--output", out, in)
	signed, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	return string(signed)
}

func TestAcceptsWhatXMLSecSigns(t *testing.T) {
	const assertion = "urn:oasis:names:tc:SAML:2.0:assertion:Assertion"
	k := keysOnce()
	for _, row := range []struct {
		name, method, digest, prefixes string
		key                            *testKey
	}{
		{"RSA-SHA256", rsaSHA256, sha256URI, "", k.idp},
		{"RSA-SHA512 and SHA-384", "http://www.w3.org/2001/04/xmldsig-more#rsa-sha512", "http://www.w3.org/2001/04/xmldsig-more#sha384", "", k.idp},
		{"inclusive prefixes as DigiD writes them", rsaSHA256, "http://www.w3.org/2001/04/xmlenc#sha512", "ds saml samlp xs", k.idp},
		{"ECDSA-SHA256", "http://www.w3.org/2001/04/xmldsig-more#ecdsa-sha256", sha256URI, "", k.p256},
		{"ECDSA-SHA384", "http://www.w3.org/2001/04/xmldsig-more#ecdsa-sha384", sha256URI, "", k.p384},
	} {
		t.Run(row.name, func(t *testing.T) {
			a, e := goodAnswer(), goodExpectation()
			a.signA, a.signR = nil, nil
			// Not canonical: declarations far up, an unused prefix, empty tags, quotes.
			replace(&a.response, `<samlp:Response `, `<samlp:Response xmlns:xs="http://www.w3.org/2001/XMLSchema" xmlns:ds="http://www.w3.org/2000/09/xmldsig#" `)
			replace(&a.assertion, `></saml:SubjectLocality>`, `/>`)
			replace(&a.assertion, `SessionIndex="_session1"`, `  SessionIndex='"_session&amp;1&#xE9;'`)
			e.Signed = Coverage{Assertion: true}
			e.Certificates = append(e.Certificates, row.key.cert)
			message := xmlsecSigned(t, row.key, row.method, row.digest, row.prefixes, a.post(), "_assertion1", assertion)
			got, err := ValidateResponse([]byte(message), e)
			checkVerdict(t, got, err, accepted)
			if want := `"_session&1é`; got.SessionIndex != want {
				t.Errorf("session index = %q, want %q", got.SessionIndex, want)
			}
			got, err = ValidateResponse([]byte(strings.Replace(message, "900029365", "999990019", 1)), e)
			checkVerdict(t, got, err, ReasonSignatureInvalid)
		})
	}
}

func xmlsecVerifies(t *testing.T, key *testKey, document []byte, element string) {
	t.Helper()
	dir := t.TempDir()
	_, certFile := key.writePEM(t, dir)
	file := filepath.Join(dir, "signed.xml")
	if err := os.WriteFile(file, document, 0o600); err != nil {
		t.Fatal(err)
	}
	// Lab certificates sign themselves.
	runXMLSec(t, "--verify", "--trusted-pem", certFile, "--verification-time", testNow.Format("2006-01-02 15:04:05"),
		"--id-attr:ID", element, file)
}

func TestXMLSecVerifiesWhatWeSign(t *testing.T) {
	k := keysOnce()
	for name, key := range map[string]*testKey{"RSA": k.idp, "P-256": k.p256, "P-384": k.p384, "P-521": k.p521} {
		t.Run(name, func(t *testing.T) {
			credential := Credential{Signer: key.key, Certificate: key.cert}
			request := testRequest()
			form, err := request.PostForm(credential, "state", rand.Reader)
			if err != nil {
				t.Fatal(err)
			}
			message, err := base64.StdEncoding.DecodeString(form["SAMLRequest"])
			if err != nil {
				t.Fatal(err)
			}
			xmlsecVerifies(t, key, message, "urn:oasis:names:tc:SAML:2.0:protocol:AuthnRequest")

			metadata, err := testServiceProvider(credential).Metadata(rand.Reader)
			if err != nil {
				t.Fatal(err)
			}
			xmlsecVerifies(t, key, metadata, "urn:oasis:names:tc:SAML:2.0:metadata:EntityDescriptor")

			r := &Resolver{Credential: credential, Issuer: spID, Clock: func() time.Time { return testNow }, Rand: rand.Reader}
			artifact, err := ParseArtifact(makeArtifact(4, 0, idpID))
			if err != nil {
				t.Fatal(err)
			}
			envelope, err := r.envelope("_resolve1", "https://idp.example/resolve", artifact)
			if err != nil {
				t.Fatal(err)
			}
			xmlsecVerifies(t, key, envelope, "urn:oasis:names:tc:SAML:2.0:protocol:ArtifactResolve")
		})
	}
}
