package saml

import (
	"bytes"
	"compress/flate"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"flag"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/beevik/etree"
)

var update = flag.Bool("update", false, "write golden files")

func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	file := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(file, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, bytes.TrimSuffix(want, []byte("\n"))) {
		t.Errorf("%s differs:\ngot  %s\nwant %s", name, got, want)
	}
}

func testRequest() *AuthnRequest {
	return &AuthnRequest{
		ID: reqID, IssueInstant: testNow, Destination: "https://idp.example/sso", Issuer: spID, ProviderName: "Gemeente Voorbeeld",
		ForceAuthn: true, Comparison: "minimum", ContextClasses: []string{"urn:oasis:names:tc:SAML:2.0:ac:classes:Smartcard"},
	}
}

func testServiceProvider(c Credential) ServiceProvider {
	return ServiceProvider{
		EntityID: spID, Credential: c, ValidUntil: testNow.AddDate(0, 3, 0),
		Consumers: []Endpoint{{Binding: BindingArtifact, Location: acs, Index: 0}, {Binding: BindingPOST, Location: acs, Index: 1}},
	}
}

func TestAuthnRequestGolden(t *testing.T) {
	byURL := testRequest()
	byURL.ACSURL, byURL.ProtocolBinding, byURL.ProviderName, byURL.ForceAuthn = acs, BindingPOST, "", false
	byURL.NameIDFormat = "urn:oasis:names:tc:SAML:2.0:nameid-format:persistent"
	byURL.ContextClasses = nil
	extension := etree.NewElement("eidas:SPType")
	extension.CreateAttr("xmlns:eidas", "http://eidas.europa.eu/saml-extensions")
	extension.SetText("public")
	byURL.Extensions = []*etree.Element{extension}
	for name, request := range map[string]*AuthnRequest{"authnrequest-index.xml": testRequest(), "authnrequest-url.xml": byURL} {
		e, err := request.element()
		if err != nil {
			t.Fatal(err)
		}
		text, err := serialize(e)
		if err != nil {
			t.Fatal(err)
		}
		golden(t, name, text)
	}
}

func TestAuthnRequestPutsSignatureAfterIssuer(t *testing.T) {
	k := keysOnce().idp
	form, err := testRequest().PostForm(Credential{Signer: k.key, Certificate: k.cert}, "handle", rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	message, err := base64.StdEncoding.DecodeString(form["SAMLRequest"])
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(message), "</saml:Issuer><ds:Signature") {
		t.Error("signature is not right after Issuer")
	}
	if form["RelayState"] != "handle" {
		t.Errorf("RelayState = %q", form["RelayState"])
	}
}

func TestAuthnRequestKeyNameOnly(t *testing.T) { // DigiD 4.x
	k := keysOnce().idp
	form, err := testRequest().PostForm(Credential{Signer: k.key, Certificate: k.cert, KeyNameOnly: true}, "", rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	message, _ := base64.StdEncoding.DecodeString(form["SAMLRequest"])
	if strings.Contains(string(message), "X509") || !strings.Contains(string(message), "<ds:KeyName>"+keyName(k.cert)+"</ds:KeyName>") {
		t.Error("KeyInfo is not the key name alone")
	}
}

// TestRedirectURL reads the request back with nothing but net/url and flate, and
// verifies the signature over the raw query.
func TestRedirectURL(t *testing.T) {
	k := keysOnce().idp
	location, err := testRequest().RedirectURL(Credential{Signer: k.key, Certificate: k.cert}, "a b&c", rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	u, err := url.Parse(location)
	if err != nil {
		t.Fatal(err)
	}
	names := make([]string, 0, 4)
	for _, piece := range strings.Split(u.RawQuery, "&") {
		name, _, _ := strings.Cut(piece, "=")
		names = append(names, name)
	}
	if got := strings.Join(names, " "); got != "SAMLRequest RelayState SigAlg Signature" {
		t.Errorf("order of parameters = %s", got)
	}
	signed, _, _ := strings.Cut(u.RawQuery, "&Signature=")
	value, err := base64.StdEncoding.DecodeString(u.Query().Get("Signature"))
	if err != nil {
		t.Fatal(err)
	}
	if err := k.cert.CheckSignature(x509.SHA256WithRSA, []byte(signed), value); err != nil {
		t.Error(err)
	}
	deflated, err := base64.StdEncoding.DecodeString(u.Query().Get("SAMLRequest"))
	if err != nil {
		t.Fatal(err)
	}
	var message bytes.Buffer
	if _, err := message.ReadFrom(flate.NewReader(bytes.NewReader(deflated))); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(message.String(), "Signature") {
		t.Error("request of the redirect binding carries an enveloped signature")
	}
	golden(t, "authnrequest-index.xml", message.Bytes())
	if got := u.Query().Get("RelayState"); got != "a b&c" {
		t.Errorf("RelayState = %q", got)
	}
}

func TestRequestRefusesLongRelayState(t *testing.T) {
	k := keysOnce().idp
	c := Credential{Signer: k.key, Certificate: k.cert}
	for n, want := range map[int]error{maxRelayState: nil, maxRelayState + 1: errRelayState} {
		_, err := testRequest().RedirectURL(c, strings.Repeat("x", n), rand.Reader)
		if !errors.Is(err, want) {
			t.Errorf("redirect with %d bytes: %v", n, err)
		}
		_, err = testRequest().PostForm(c, strings.Repeat("x", n), rand.Reader)
		if !errors.Is(err, want) {
			t.Errorf("post with %d bytes: %v", n, err)
		}
	}
}

func TestCredentialCheck(t *testing.T) {
	k := keysOnce()
	for name, row := range map[string]struct {
		credential Credential
		good       bool
	}{
		"RSA":               {Credential{Signer: k.idp.key, Certificate: k.idp.cert}, true},
		"ECDSA":             {Credential{Signer: k.p384.key, Certificate: k.p384.cert}, true},
		"no key":            {Credential{Certificate: k.idp.cert}, false},
		"short key":         {Credential{Signer: k.short.key, Certificate: k.short.cert}, false},
		"other certificate": {Credential{Signer: k.idp.key, Certificate: k.other.cert}, false},
	} {
		if err := row.credential.Check(); (err == nil) != row.good {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestNewIDNeedsRandomness(t *testing.T) {
	if _, err := NewID(iotest.ErrReader(errors.New("empty"))); err == nil {
		t.Error("identifier without randomness")
	}
	id, err := NewID(rand.Reader)
	if err != nil || len(id) != 41 || !isName(id) {
		t.Errorf("id = %q, %v", id, err)
	}
}
