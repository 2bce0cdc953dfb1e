//go:build interop

package saml_test

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/eidbridge/eidbridge/brokers/saml"
	"github.com/eidbridge/eidbridge/fixtures/demo"
)

const (
	phpRoot  = "/usr/share/simplesamlphp/www"
	loaHigh  = "http://eidas.europa.eu/LoA/high"
	loaBasic = "http://eidas.europa.eu/LoA/low"
)

// independentIdP is Debian's SimpleSAMLphp, served by PHP itself.
type independentIdP struct {
	base   string
	entity *saml.Entity
	// The service provider's side.
	spID, acs, artifactACS, logout string
	signing, opening               saml.Credential
	decryption                     saml.DecryptionKey
}

func credential(t *testing.T, name string) (saml.Credential, *rsa.PrivateKey) {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return saml.Credential{Signer: key, Certificate: certificate}, key
}

func startSimpleSAMLphp(t *testing.T, spOptions string) *independentIdP {
	t.Helper()
	if _, err := os.Stat(phpRoot); err != nil {
		t.Skip("simplesamlphp is not installed")
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := listener.Addr().String()
	listener.Close()
	dir := t.TempDir()
	p := &independentIdP{
		base: "http://" + address + "/", spID: "http://localhost:8181/metadata", acs: "http://localhost:8181/acs",
		artifactACS: "http://localhost:8181/artifact", logout: "http://localhost:8181/logout",
	}
	signing, _ := credential(t, "service provider")
	opening, openingKey := credential(t, "decryption")
	p.signing, p.opening = signing, opening
	if p.decryption, err = saml.NewDecryptionKey(openingKey, opening.Certificate); err != nil {
		t.Fatal(err)
	}
	idp, idpKey := credential(t, "identity provider")
	write := func(name, text string) {
		t.Helper()
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o750); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	der, err := x509.MarshalPKCS8PrivateKey(idpKey)
	if err != nil {
		t.Fatal(err)
	}
	write("cert/idp.pem", string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})))
	write("cert/idp.crt", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: idp.Certificate.Raw})))
	write("config/config.php", fmt.Sprintf(`<?php
$config = [
  'baseurlpath' => '%[1]s', 'certdir' => '%[2]s/cert/', 'loggingdir' => '%[2]s/', 'datadir' => '%[2]s/', 'tempdir' => '%[2]s/tmp',
  'metadatadir' => '%[2]s/metadata', 'metadata.sources' => [['type' => 'flatfile', 'directory' => '%[2]s/metadata']],
  'secretsalt' => 'lab', 'technicalcontact_email' => 'na@example.org', 'timezone' => 'UTC',
  'logging.level' => 7, 'logging.handler' => 'file', 'logging.logfile' => 'ssp.log', 'showerrors' => true, 'debug' => ['saml' => false, 'backtraces' => true, 'validatexml' => false],
  'enable.saml20-idp' => true, 'session.cookie.secure' => false, 'session.cookie.samesite' => null, 'session.phpsession.savepath' => '%[2]s/',
  'store.type' => 'sql', 'store.sql.dsn' => 'sqlite:%[2]s/store.sq3', 'store.sql.username' => null, 'store.sql.password' => null, 'store.sql.prefix' => 'ssp',
  'module.enable' => ['exampleauth' => true, 'core' => true, 'saml' => true],
  'language.default' => 'en', 'language.available' => ['en'],
];
`, p.base, dir))
	write("config/authsources.php", `<?php
$config = ['lab' => ['exampleauth:UserPass', 'alice:secret' => ['uid' => ['alice'], 'givenName' => ['Alice'], 'sn' => ['Prueba']]]];
`)
	// The answer echoes the class that was asked for, which proves nothing but that
	// we read it.
	write("metadata/saml20-idp-hosted.php", fmt.Sprintf(`<?php
$metadata['%ssaml2/idp/metadata.php'] = [
  'host' => '__DEFAULT__', 'privatekey' => 'idp.pem', 'certificate' => 'idp.crt', 'auth' => 'lab', 'saml20.sendartifact' => true,
  'attributes.NameFormat' => 'urn:oasis:names:tc:SAML:2.0:attrname-format:uri',
  'authproc' => [
    10 => ['class' => 'core:AttributeMap', 'givenName' => 'http://eidas.europa.eu/attributes/naturalperson/CurrentGivenName', 'sn' => 'http://eidas.europa.eu/attributes/naturalperson/CurrentFamilyName'],
    20 => ['class' => 'core:PHP', 'code' => '$c = isset($state["saml:RequestedAuthnContext"]["AuthnContextClassRef"][0]) ? $state["saml:RequestedAuthnContext"]["AuthnContextClassRef"][0] : null; if ($c !== null) { $state["saml:AuthnContextClassRef"] = $c; }'],
  ],
];
`, p.base))
	b64 := base64.StdEncoding.EncodeToString
	write("metadata/saml20-sp-remote.php", fmt.Sprintf(`<?php
$metadata['%s'] = [
  'AssertionConsumerService' => [
    ['Binding' => 'urn:oasis:names:tc:SAML:2.0:bindings:HTTP-POST', 'Location' => '%s', 'index' => 0],
    ['Binding' => 'urn:oasis:names:tc:SAML:2.0:bindings:HTTP-Artifact', 'Location' => '%s', 'index' => 1],
  ],
  'SingleLogoutService' => [['Binding' => 'urn:oasis:names:tc:SAML:2.0:bindings:HTTP-Redirect', 'Location' => '%s']],
  'keys' => [
    ['type' => 'X509Certificate', 'signing' => true, 'encryption' => false, 'X509Certificate' => '%s'],
    ['type' => 'X509Certificate', 'signing' => false, 'encryption' => true, 'X509Certificate' => '%s'],
  ],
  'validate.authnrequest' => true, 'sign.logout' => true, 'validate.logout' => true, 'NameIDFormat' => 'urn:oasis:names:tc:SAML:2.0:nameid-format:transient', %s
];
`, p.spID, p.acs, p.artifactACS, p.logout, b64(signing.Certificate.Raw), b64(opening.Certificate.Raw), spOptions))
	write("tmp/.keep", "")

	c := exec.CommandContext(t.Context(), "php", "-d", "error_reporting=E_ALL & ~E_DEPRECATED", "-d", "display_errors=0", "-S", address, "-t", phpRoot)
	c.Env = append(os.Environ(), "SIMPLESAMLPHP_CONFIG_DIR="+filepath.Join(dir, "config"))
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Process.Kill(); _ = c.Wait() })
	t.Cleanup(func() {
		if log, err := os.ReadFile(filepath.Join(dir, "ssp.log")); err == nil && t.Failed() {
			t.Logf("log of the identity provider:\n%.4000s", log)
		}
	})
	document := p.metadata(t)
	entities, err := saml.ParseMetadata(document, saml.MetadataTrust{AsGiven: true, Loopback: true, Now: time.Now()})
	if err != nil {
		t.Fatalf("%v\n%.600s", err, document)
	}
	for _, e := range entities {
		p.entity = e
	}
	return p
}

// metadata waits until PHP answers.
func (p *independentIdP) metadata(t *testing.T) []byte {
	t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for {
		response, err := http.Get(p.base + "saml2/idp/metadata.php")
		if err == nil {
			body, err := io.ReadAll(response.Body)
			response.Body.Close()
			if err != nil {
				t.Fatal(err)
			}
			if response.StatusCode != http.StatusOK {
				t.Fatalf("metadata: %d\n%.2000s", response.StatusCode, body)
			}
			return body
		}
		if time.Now().After(deadline) {
			t.Fatal(err)
		}
		pause := time.NewTimer(50 * time.Millisecond)
		<-pause.C
	}
}

// login is one login until the browser leaves with an answer.
type independentLogin struct {
	request *saml.AuthnRequest
	page    *demo.Page
	left    *url.URL
	browser *demo.Browser
}

func (p *independentIdP) login(t *testing.T, edit func(*saml.AuthnRequest)) *independentLogin {
	t.Helper()
	signOn, ok := p.entity.SignOn(saml.BindingRedirect)
	if !ok {
		t.Fatal("no sign-on by redirect")
	}
	id, err := saml.NewID(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	l := &independentLogin{request: &saml.AuthnRequest{
		ID: id, IssueInstant: time.Now(), Destination: signOn, Issuer: p.spID, ACSURL: p.acs, ProtocolBinding: saml.BindingPOST,
		Comparison: "minimum", ContextClasses: []string{loaHigh},
	}}
	if edit != nil {
		edit(l.request)
	}
	location, err := l.request.RedirectURL(p.signing, "state", rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	if l.browser, err = demo.NewBrowser(); err != nil {
		t.Fatal(err)
	}
	if l.page, err = l.browser.Open(t.Context(), location); err != nil {
		t.Fatal(err)
	}
	form, err := l.page.FormWith("password")
	if err != nil {
		t.Fatalf("no login form: %v\n%.1500s", err, l.page.Text())
	}
	// The service provider listens nowhere: an answer by redirect ends in an error
	// that names where it wanted to go.
	l.page, err = l.browser.Submit(t.Context(), form, map[string]string{"username": "alice", "password": "secret"})
	var gone *url.Error
	if errors.As(err, &gone) {
		if l.left, err = url.Parse(gone.URL); err != nil {
			t.Fatal(err)
		}
	} else if err != nil {
		t.Fatal(err)
	}
	return l
}

func (p *independentIdP) expectation(l *independentLogin, acs string) saml.Expectation {
	return saml.Expectation{
		Issuer: p.entity.ID, Certificates: p.entity.Signing, Signed: saml.Coverage{Response: true, Assertion: true}, Audience: p.spID, Recipient: acs,
		RequestID: l.request.ID, RequestedAt: l.request.IssueInstant, Now: time.Now(), Skew: saml.DefaultSkew,
	}
}

// posted is the answer in the form that the browser would send.
func posted(t *testing.T, l *independentLogin) []byte {
	t.Helper()
	if l.page == nil {
		t.Fatalf("browser left for %v", l.left)
	}
	form, err := l.page.FormWith("SAMLResponse")
	if err != nil {
		t.Fatalf("no answer: %v\n%.1500s", err, l.page.Text())
	}
	r := httptest.NewRequest(http.MethodPost, form.Action.String(), strings.NewReader(form.Fields.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	message, state, err := saml.ReadPOST(r)
	if err != nil || state != "state" {
		t.Fatalf("state %q, %v", state, err)
	}
	return message
}

// TestInteropSimpleSAMLphpLogin: metadata, signed request by redirect, answer by
// POST with both signatures, the level that was asked for, and logout.
func TestInteropSimpleSAMLphpLogin(t *testing.T) {
	p := startSimpleSAMLphp(t, "")
	for _, class := range []string{loaHigh, loaBasic} {
		l := p.login(t, func(r *saml.AuthnRequest) { r.ContextClasses = []string{class} })
		got, err := saml.ValidateResponse(posted(t, l), p.expectation(l, p.acs))
		if err != nil {
			t.Fatal(err)
		}
		if got.ContextClass != class || got.SessionIndex == "" || !got.Signed.Response || !got.Signed.Assertion {
			t.Errorf("assertion = %+v", got)
		}
		names := map[string]string{}
		for _, a := range got.Attributes {
			names[a.Name] = a.Values[0]
		}
		if names["http://eidas.europa.eu/attributes/naturalperson/CurrentGivenName"] != "Alice" {
			t.Errorf("attributes = %v", names)
		}
		if class == loaHigh {
			continue
		}
		p.logOut(t, l, got)
	}
}

// logOut ends the session at the identity provider and judges its answer.
func (p *independentIdP) logOut(t *testing.T, l *independentLogin, a *saml.Assertion) {
	t.Helper()
	if len(p.entity.SingleLogout) == 0 {
		t.Fatal("no logout service")
	}
	request := &saml.LogoutRequest{
		ID: "_" + rand.Text(), IssueInstant: time.Now(), Destination: p.entity.SingleLogout[0].Location, Issuer: p.spID,
		NameID: a.NameID, SessionIndexes: []string{a.SessionIndex}, Reason: saml.LogoutByUser,
	}
	location, err := request.RedirectURL(p.signing, "bye", rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	page, err := l.browser.Open(t.Context(), location)
	var gone *url.Error
	if !errors.As(err, &gone) {
		t.Fatalf("browser stayed: %v %s", err, page.Text())
	}
	left, err := url.Parse(gone.URL)
	if err != nil {
		t.Fatal(err)
	}
	message, state, err := saml.ReadRedirect(left.RawQuery, "SAMLResponse", p.entity.Signing, time.Now())
	if err != nil || state != "bye" {
		t.Fatalf("logout answer: %q, %v", state, err)
	}
	if err := saml.ValidateLogoutResponse(message, saml.LogoutExpectation{
		Issuer: p.entity.ID, Certificates: p.entity.Signing, Detached: true, Destination: p.logout, RequestID: request.ID, RequestedAt: request.IssueInstant,
		Now: time.Now(), Skew: saml.DefaultSkew,
	}); err != nil {
		t.Errorf("logout: %v", err)
	}
}

// TestInteropSimpleSAMLphpEncrypted: AES-CBC under RSA-OAEP is all that it makes,
// which is opened where a verified signature covers it and refused elsewhere.
func TestInteropSimpleSAMLphpEncrypted(t *testing.T) {
	p := startSimpleSAMLphp(t, "'assertion.encryption' => true,")
	l := p.login(t, nil)
	message := posted(t, l)
	e := p.expectation(l, p.acs)
	e.Decryption = saml.Decryption{Keys: []saml.DecryptionKey{p.decryption}, Recipient: p.spID, Required: true, CBC: true}
	got, err := saml.ValidateResponse(message, e)
	if err != nil {
		t.Fatal(err)
	}
	if got.ContextClass != loaHigh || len(got.Attributes) == 0 {
		t.Errorf("assertion = %+v", got)
	}
	e.Decryption.CBC = false
	if _, err := saml.ValidateResponse(message, e); saml.ReasonOf(err) != saml.ReasonEncryption {
		t.Errorf("CBC where it is not allowed: %v", err)
	}
}

// TestInteropSimpleSAMLphpArtifact: the answer is fetched over SOAP, once.
func TestInteropSimpleSAMLphpArtifact(t *testing.T) {
	p := startSimpleSAMLphp(t, "")
	l := p.login(t, func(r *saml.AuthnRequest) { r.ACSURL, r.ProtocolBinding = p.artifactACS, saml.BindingArtifact })
	if l.left == nil {
		t.Fatalf("browser stayed: %s", l.page.Text())
	}
	artifact, state, err := saml.ReadArtifact(httptest.NewRequest(http.MethodGet, l.left.String(), http.NoBody))
	if err != nil || state != "state" {
		t.Fatalf("%q, %v", state, err)
	}
	location, ok := p.entity.Resolution(artifact.EndpointIndex)
	if !ok {
		t.Fatal("no resolution service")
	}
	resolver := &saml.Resolver{Client: http.DefaultClient, Credential: p.signing, Issuer: p.spID, Clock: time.Now, Rand: rand.Reader}
	e := p.expectation(l, p.artifactACS)
	e.Signed = saml.Coverage{Envelope: true, Assertion: true}
	e.DestinationOptional = true
	reply, id, err := resolver.Resolve(context.Background(), location, artifact)
	if err != nil {
		t.Fatal(err)
	}
	e.ResolveID = id
	got, err := saml.ValidateArtifactResponse(reply, e)
	if err != nil {
		t.Fatal(err)
	}
	if got.ContextClass != loaHigh || !got.Signed.Envelope {
		t.Errorf("assertion = %+v", got)
	}
	reply, id, err = resolver.Resolve(context.Background(), location, artifact)
	if err != nil {
		t.Fatal(err)
	}
	e.ResolveID = id
	if _, err := saml.ValidateArtifactResponse(reply, e); saml.ReasonOf(err) != saml.ReasonNoResponse {
		t.Errorf("second resolution: %v", err)
	}
}
