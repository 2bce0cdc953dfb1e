//go:build interop

package saml_test

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"math/big"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/eidbridge/eidbridge/brokers/saml"
	"github.com/eidbridge/eidbridge/fixtures/demo"
	"github.com/eidbridge/eidbridge/fixtures/simplesaml"
)

const (
	loaHigh  = "http://eidas.europa.eu/LoA/high"
	loaBasic = "http://eidas.europa.eu/LoA/low"
	givenKey = "http://eidas.europa.eu/attributes/naturalperson/CurrentGivenName"
)

// independentIdP is Debian's SimpleSAMLphp with us as a service provider.
type independentIdP struct {
	*simplesaml.Server
	entity *saml.Entity
	// The service provider's side.
	spID, acs, artifactACS, logout string
	signing                        saml.Credential
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

func startSimpleSAMLphp(t *testing.T, settings string) *independentIdP {
	t.Helper()
	p := &independentIdP{
		spID: "http://localhost:8181/metadata", acs: "http://localhost:8181/acs",
		artifactACS: "http://localhost:8181/artifact", logout: "http://localhost:8181/logout",
	}
	p.signing, _ = credential(t, "service provider")
	opening, openingKey := credential(t, "decryption")
	var err error
	if p.decryption, err = saml.NewDecryptionKey(openingKey, opening.Certificate); err != nil {
		t.Fatal(err)
	}
	idp, idpKey := credential(t, "identity provider")
	named := map[string]string{givenKey: "Alice"}
	// alice gets the class that was asked for, which proves nothing but that we read
	// it; the others end as they are named.
	p.Server = simplesaml.Run(t, idp.Certificate, idpKey, []simplesaml.Person{
		{Name: "alice", Attributes: named},
		{Name: "lower", Class: loaBasic, Attributes: named},
		{Name: "NoAuthnContext", Status: [2]string{"Responder", "NoAuthnContext"}},
		{Name: "AuthnFailed", Status: [2]string{"Responder", "AuthnFailed"}},
		{Name: "RequestDenied", Status: [2]string{"Requester", "RequestDenied"}},
		{Name: "NoPassive", Status: [2]string{"Responder", "NoPassive"}},
	}, simplesaml.Provider{
		EntityID: p.spID, Consumers: [][2]string{{"HTTP-POST", p.acs}, {"HTTP-Artifact", p.artifactACS}}, Logout: p.logout,
		Signing: p.signing.Certificate, Encryption: opening.Certificate,
		Settings: "'NameIDFormat' => 'urn:oasis:names:tc:SAML:2.0:nameid-format:transient', " + settings,
	})
	document, err := p.Metadata(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	entities, err := saml.ParseMetadata(document, saml.MetadataTrust{AsGiven: true, Loopback: true, Now: time.Now()})
	if err != nil {
		t.Fatalf("%v\n%.600s", err, document)
	}
	for _, e := range entities {
		p.entity = e
	}
	return p
}

// independentLogin is one login until the browser leaves with an answer.
type independentLogin struct {
	request *saml.AuthnRequest
	page    *demo.Page
	left    *url.URL
	browser *demo.Browser
	// location is where the request began.
	location string
}

func (p *independentIdP) login(t *testing.T, edit func(*saml.AuthnRequest)) *independentLogin {
	t.Helper()
	return p.loginAs(t, "alice", edit)
}

func (p *independentIdP) loginAs(t *testing.T, person string, edit func(*saml.AuthnRequest)) *independentLogin {
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
	if l.location, err = l.request.RedirectURL(p.signing, "state", rand.Reader); err != nil {
		t.Fatal(err)
	}
	if l.browser, err = demo.NewBrowser(); err != nil {
		t.Fatal(err)
	}
	if l.page, err = l.browser.Open(t.Context(), l.location); err != nil {
		t.Fatal(err)
	}
	l.page, l.left, err = p.Enter(t.Context(), l.browser, l.page, person)
	if err != nil {
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
		if names[givenKey] != "Alice" {
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

// TestInteropSimpleSAMLphpAnswersLess: an answer of a lower class than was asked for
// is a sound answer, and says the lower class: who asked has to compare.
func TestInteropSimpleSAMLphpAnswersLess(t *testing.T) {
	p := startSimpleSAMLphp(t, "")
	l := p.loginAs(t, "lower", nil)
	got, err := saml.ValidateResponse(posted(t, l), p.expectation(l, p.acs))
	if err != nil {
		t.Fatal(err)
	}
	if l.request.ContextClasses[0] != loaHigh || got.ContextClass != loaBasic {
		t.Errorf("asked for %q, read %q", l.request.ContextClasses[0], got.ContextClass)
	}
}

// TestInteropSimpleSAMLphpFailures: each failure arrives as a signed status and
// never as an assertion.
func TestInteropSimpleSAMLphpFailures(t *testing.T) {
	p := startSimpleSAMLphp(t, "")
	for second, top := range map[string]string{
		"NoAuthnContext": saml.StatusResponder, "AuthnFailed": saml.StatusResponder, "RequestDenied": saml.StatusRequester, "NoPassive": saml.StatusResponder,
	} {
		t.Run(second, func(t *testing.T) {
			l := p.loginAs(t, second, nil)
			got, err := saml.ValidateResponse(posted(t, l), p.expectation(l, p.acs))
			var status *saml.StatusError
			if got != nil || !errors.As(err, &status) {
				t.Fatalf("%+v, %v", got, err)
			}
			if status.Top != top || status.Second != "urn:oasis:names:tc:SAML:2.0:status:"+second || !status.Signed {
				t.Errorf("status = %+v", status)
			}
		})
	}
}

// TestInteropSimpleSAMLphpUnsolicited: an answer that nobody asked for is well
// signed and refused, also while a login of ours is under way (threat X-78).
func TestInteropSimpleSAMLphpUnsolicited(t *testing.T) {
	p := startSimpleSAMLphp(t, "")
	asked := p.login(t, nil)
	l := &independentLogin{request: asked.request}
	var err error
	if l.browser, err = demo.NewBrowser(); err != nil {
		t.Fatal(err)
	}
	if l.page, err = l.browser.Open(t.Context(), p.Unsolicited(p.spID)+"&RelayState=state"); err != nil {
		t.Fatal(err)
	}
	if l.page, l.left, err = p.Enter(t.Context(), l.browser, l.page, "alice"); err != nil {
		t.Fatal(err)
	}
	if got, err := saml.ValidateResponse(posted(t, l), p.expectation(l, p.acs)); got != nil || saml.ReasonOf(err) != saml.ReasonUnsolicited {
		t.Errorf("%+v, %v", got, err)
	}
}

// TestInteropSimpleSAMLphpLogsOut: the identity provider ends its session and tells
// us so; our answer satisfies it (threat X-96).
func TestInteropSimpleSAMLphpLogsOut(t *testing.T) {
	p := startSimpleSAMLphp(t, "")
	l := p.login(t, nil)
	session, err := saml.ValidateResponse(posted(t, l), p.expectation(l, p.acs))
	if err != nil {
		t.Fatal(err)
	}
	page, err := l.browser.Open(t.Context(), p.EndSession())
	var gone *url.Error
	if !errors.As(err, &gone) {
		t.Fatalf("browser stayed: %v %s", err, page.Text())
	}
	left, err := url.Parse(gone.URL)
	if err != nil {
		t.Fatal(err)
	}
	message, state, err := saml.ReadRedirect(left.RawQuery, "SAMLRequest", p.entity.Signing, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	e := saml.LogoutExpectation{
		Issuer: p.entity.ID, Certificates: p.entity.Signing, Detached: true, Destination: p.logout, Now: time.Now(), Skew: saml.DefaultSkew,
	}
	request, err := saml.ValidateLogoutRequest(message, e)
	if err != nil {
		t.Fatal(err)
	}
	if request.NameID.Value != session.NameID.Value || len(request.SessionIndexes) != 1 || request.SessionIndexes[0] != session.SessionIndex {
		t.Errorf("asks to end %+v, the session is %+v", request, session)
	}
	e.Destination = p.acs
	if _, err := saml.ValidateLogoutRequest(message, e); saml.ReasonOf(err) != saml.ReasonDestination {
		t.Errorf("logout for another address: %v", err)
	}
	answer := &saml.LogoutResponse{
		ID: "_" + rand.Text(), IssueInstant: time.Now(), Destination: p.entity.SingleLogout[0].Location, Issuer: p.spID,
		InResponseTo: request.ID, Top: saml.StatusSuccess,
	}
	location, err := answer.RedirectURL(p.signing, state, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	if page, err = l.browser.Open(t.Context(), location); err != nil || page.Status != http.StatusOK || !strings.HasSuffix(page.URL.Path, "/logout.php") {
		t.Fatalf("after our answer: %v %s %d\n%.500s", err, page.URL, page.Status, page.Text())
	}
	// The session is over: the same browser is asked for the password again.
	if page, err = l.browser.Open(t.Context(), l.location); err != nil {
		t.Fatal(err)
	}
	if _, err := page.FormWith("password"); err != nil {
		t.Errorf("after the logout: %v\n%.500s", err, page.Text())
	}
}
