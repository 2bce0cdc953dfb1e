package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/eidbridge/eidbridge/brokers"
	"github.com/eidbridge/eidbridge/brokers/saml"
	"github.com/eidbridge/eidbridge/fixtures/idps/badidp"
)

// artifactSP is a service provider that fetches answers, logs out, and reads metadata
// again when it changes: by the rules of the broker, or, if sloppy, whatever comes.
type artifactSP struct {
	t          *testing.T
	sloppy     bool
	base, dir  string
	credential saml.Credential

	mu       sync.Mutex
	entity   *saml.Entity
	logins   map[string]login // by cookie
	leaving  map[string]saml.LogoutRequest
	sessions map[string]bool
	used     map[string]bool
}

func newArtifactSP(t *testing.T, sloppy bool) *artifactSP {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "sp"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	sp := &artifactSP{
		t: t, sloppy: sloppy, dir: t.TempDir(), credential: saml.Credential{Signer: key, Certificate: certificate},
		logins: map[string]login{}, leaving: map[string]saml.LogoutRequest{}, sessions: map[string]bool{}, used: map[string]bool{},
	}
	mux := http.NewServeMux()
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	sp.base = server.URL
	mux.HandleFunc("GET /login", sp.login)
	mux.HandleFunc("GET /artifact", sp.consume)
	mux.HandleFunc("GET /logout", sp.leave)
	mux.HandleFunc("/slo", sp.logout)
	mux.HandleFunc("GET /reload", func(w http.ResponseWriter, _ *http.Request) {
		if err := sp.reload(); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
		}
	})
	return sp
}

func (sp *artifactSP) file(name string) string { return filepath.Join(sp.dir, name) }

// pinned is the certificate of the back channel's server, which signs metadata, too.
func (sp *artifactSP) pinned() *x509.Certificate {
	data, err := os.ReadFile(sp.file("tls.pem"))
	if err != nil {
		return nil
	}
	block, _ := pem.Decode(data)
	certificate, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return nil
	}
	return certificate
}

// idp is the identity provider as its metadata describes it.
func (sp *artifactSP) idp() *saml.Entity {
	sp.mu.Lock()
	first := sp.entity == nil
	sp.mu.Unlock()
	if first {
		if err := sp.reload(); err != nil {
			sp.t.Error(err)
		}
	}
	sp.mu.Lock()
	defer sp.mu.Unlock()
	return sp.entity
}

// reload reads the metadata file: the first time as it is, later only what the pinned
// certificate has signed. What is refused leaves the copy in force.
func (sp *artifactSP) reload() error {
	document, err := os.ReadFile(sp.file("idp.xml"))
	if err != nil {
		return err
	}
	sp.mu.Lock()
	defer sp.mu.Unlock()
	trust := saml.MetadataTrust{AsGiven: true, Loopback: true, Now: time.Now()}
	if sp.entity != nil && !sp.sloppy {
		trust.AsGiven, trust.Certificates = false, []*x509.Certificate{sp.pinned()}
	}
	entities, err := saml.ParseMetadata(document, trust)
	if err != nil {
		return err
	}
	for _, e := range entities {
		if len(e.ArtifactResolution) == 0 && sp.entity != nil {
			e.ArtifactResolution = sp.entity.ArtifactResolution
		}
		sp.entity = e
	}
	return nil
}

func (sp *artifactSP) login(w http.ResponseWriter, r *http.Request) {
	cookie, l := rand.Text(), login{id: "_" + rand.Text(), state: rand.Text(), at: time.Now()}
	sp.mu.Lock()
	sp.logins[cookie] = l
	sp.mu.Unlock()
	http.SetCookie(w, &http.Cookie{Name: "login", Value: cookie, Path: "/", HttpOnly: true})
	signOn, _ := sp.idp().SignOn(saml.BindingRedirect)
	request := saml.AuthnRequest{ID: l.id, IssueInstant: l.at, Destination: signOn, Issuer: sp.base + "/metadata", Comparison: "minimum", ContextClasses: []string{smartcard}}
	location, err := request.RedirectURL(sp.credential, l.state, rand.Reader)
	if err != nil {
		sp.t.Error(err)
	}
	http.Redirect(w, r, location, http.StatusFound)
}

const smartcard = "urn:oasis:names:tc:SAML:2.0:ac:classes:Smartcard"

func (sp *artifactSP) consume(w http.ResponseWriter, r *http.Request) {
	cookie := ""
	if c, err := r.Cookie("login"); err == nil {
		cookie = c.Value
	}
	if err := sp.judge(r, cookie); err != nil {
		http.Error(w, "no login", http.StatusForbidden)
		return
	}
	sp.mu.Lock()
	sp.sessions[cookie] = true
	sp.mu.Unlock()
	fmt.Fprint(w, "Welcome")
}

func (sp *artifactSP) judge(r *http.Request, cookie string) error {
	sp.mu.Lock()
	l := sp.logins[cookie]
	sp.mu.Unlock()
	artifact, state, err := saml.ReadArtifact(r)
	if err != nil || l.id == "" || state != l.state {
		return fmt.Errorf("another login: %w", err)
	}
	idp := sp.idp()
	location, ok := idp.Resolution(artifact.EndpointIndex)
	if !ok || !artifact.IssuedBy(idp.ID) {
		return fmt.Errorf("artifact of another")
	}
	roots := x509.NewCertPool()
	roots.AddCert(sp.pinned())
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, InsecureSkipVerify: sp.sloppy}}
	defer transport.CloseIdleConnections()
	ctx, cancel := context.WithTimeout(r.Context(), 5*time.Second)
	defer cancel()
	resolver := saml.Resolver{Client: &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}, Credential: sp.credential, Issuer: sp.base + "/metadata", Clock: time.Now, Rand: rand.Reader}
	reply, id, err := resolver.Resolve(ctx, location, artifact)
	if err != nil {
		return err
	}
	if sp.sloppy && bytes.Contains(reply, []byte("NameID")) {
		return nil
	}
	a, err := saml.ValidateArtifactResponse(reply, saml.Expectation{
		Issuer: idp.ID, Certificates: idp.Signing, Signed: saml.Coverage{Envelope: true}, Audience: sp.base + "/metadata", Recipient: sp.base + "/artifact", DestinationOptional: true,
		RequestID: l.id, RequestedAt: l.at, ResolveID: id, Now: time.Now(), Skew: saml.DefaultSkew,
	})
	if err != nil {
		return err
	}
	return sp.once(a.ID)
}

func (sp *artifactSP) once(id string) error {
	sp.mu.Lock()
	defer sp.mu.Unlock()
	if sp.used[id] {
		return brokers.ErrReplayed
	}
	sp.used[id] = true
	return nil
}

// leave begins a logout at the identity provider.
func (sp *artifactSP) leave(w http.ResponseWriter, r *http.Request) {
	request := saml.LogoutRequest{
		ID: "_" + rand.Text(), IssueInstant: time.Now(), Destination: sp.idp().SingleLogout[0].Location, Issuer: sp.base + "/metadata", NameID: saml.NameID{Value: "alice"},
	}
	sp.mu.Lock()
	sp.leaving["state"] = request
	sp.mu.Unlock()
	location, err := request.RedirectURL(sp.credential, "state", rand.Reader)
	if err != nil {
		sp.t.Error(err)
	}
	http.Redirect(w, r, location, http.StatusFound)
}

// logout takes requests and answers of the identity provider.
func (sp *artifactSP) logout(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, 1<<20)
	idp := sp.idp()
	e := saml.LogoutExpectation{Issuer: idp.ID, Certificates: idp.Signing, Detached: r.Method == http.MethodGet, Destination: sp.base + "/slo", Now: time.Now(), Skew: saml.DefaultSkew}
	if response := strings.Contains(r.URL.RawQuery, "SAMLResponse=") || r.FormValue("SAMLResponse") != ""; response {
		message, state, err := sp.read(r, "SAMLResponse", e)
		sp.mu.Lock()
		request := sp.leaving[state]
		sp.mu.Unlock()
		e.RequestID, e.RequestedAt = request.ID, request.IssueInstant
		if err == nil && request.ID != "" {
			err = saml.ValidateLogoutResponse(message, e)
		}
		if !sp.sloppy && (err != nil || request.ID == "") {
			http.Error(w, "not logged out", http.StatusForbidden)
			return
		}
		fmt.Fprint(w, "Goodbye")
		return
	}
	message, state, err := sp.read(r, "SAMLRequest", e)
	var request *saml.LogoutRequest
	if err == nil {
		request, err = saml.ValidateLogoutRequest(message, e)
	}
	if err == nil {
		err = sp.once(request.ID)
	}
	if sp.sloppy {
		request, err = &saml.LogoutRequest{ID: "_any"}, nil
	}
	if err != nil {
		http.Error(w, "not obeyed", http.StatusForbidden)
		return
	}
	response := saml.LogoutResponse{ID: "_" + rand.Text(), IssueInstant: time.Now(), Destination: idp.SingleLogout[0].Location, Issuer: sp.base + "/metadata", InResponseTo: request.ID, Top: saml.StatusSuccess}
	location, err := response.RedirectURL(sp.credential, state, rand.Reader)
	if err != nil {
		sp.t.Error(err)
	}
	http.Redirect(w, r, location, http.StatusFound)
}

func (sp *artifactSP) read(r *http.Request, field string, e saml.LogoutExpectation) ([]byte, string, error) {
	if r.Method == http.MethodGet {
		return saml.ReadRedirect(r.URL.RawQuery, field, e.Certificates, e.Now)
	}
	return saml.ReadForm(r, field)
}

// more runs the verb over artifacts, with logout and metadata.
func more(t *testing.T, sloppy bool, extra ...string) (badidp.Report, string, int) {
	t.Helper()
	sp := newArtifactSP(t, sloppy)
	metadata := `<EntityDescriptor xmlns="urn:oasis:names:tc:SAML:2.0:metadata" entityID="` + sp.base + `/metadata"><SPSSODescriptor><SingleLogoutService Binding="urn:oasis:names:tc:SAML:2.0:bindings:HTTP-Redirect" Location="` + sp.base + `/slo"/><AssertionConsumerService Binding="urn:oasis:names:tc:SAML:2.0:bindings:HTTP-Artifact" Location="` + sp.base + `/artifact"/></SPSSODescriptor></EntityDescriptor>`
	if err := os.WriteFile(sp.file("sp.xml"), []byte(metadata), 0o600); err != nil {
		t.Fatal(err)
	}
	host, port, err := net.SplitHostPort(strings.TrimPrefix(sp.base, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	reload := fmt.Sprintf(`bash -c 'exec 3<>/dev/tcp/%s/%s; printf "GET /reload HTTP/1.0\r\nHost: localhost\r\n\r\n" >&3; head -1 <&3 | grep -q 200'`, host, port)
	args := append([]string{
		"badidp", "--listen", "127.0.0.1:0", "--artifact", "--back-channel", "127.0.0.1:0", "--tls-out", sp.file("tls.pem"), "--sp-metadata", sp.file("sp.xml"),
		"--start", sp.base + "/login", "--metadata-out", sp.file("idp.xml"), "--logout-start", sp.base + "/logout", "--logout-text", "Goodbye", "--reload", reload,
		"--success-status", "200", "--success-text", "Welcome", "--json",
	}, extra...)
	var out, problems bytes.Buffer
	code := run(t.Context(), args, streams{strings.NewReader(""), &out, &problems})
	var report badidp.Report
	if err := json.Unmarshal(out.Bytes(), &report); err != nil {
		t.Fatalf("%v\n%s\n%s", err, out.String(), problems.String())
	}
	return report, out.String() + problems.String(), code
}

// TestBadIDPOverArtifactsWithLogoutAndMetadata: a service provider that goes by the
// rules of the broker accepts nothing that is wrong; a sloppy one is found out.
func TestBadIDPOverArtifactsWithLogoutAndMetadata(t *testing.T) {
	t.Parallel()
	report, text, code := more(t, false, "--area", "artifact", "--area", "logout", "--area", "metadata", "--area", "control")
	if code != 0 || len(report.Accepted)+len(report.RefusedControls)+len(report.Errors) > 0 {
		t.Errorf("exit code %d; accepted %v, controls refused %v, errors %v\n%.3000s", code, report.Accepted, report.RefusedControls, report.Errors, text)
	}
	areas := map[string]int{}
	for _, r := range report.Results {
		areas[r.Area]++
	}
	if areas["artifact"] < 50 || areas["logout"] < 100 || areas["metadata"] < 30 || areas["control"] < 5 {
		t.Errorf("tried: %v", areas)
	}
}

func TestBadIDPFindsWhatASloppyServiceProviderAcceptsElsewhere(t *testing.T) {
	t.Parallel()
	wanted := []string{"envelope-unsigned", "soap-evil-first", "channel-other-server", "logout-request-posted-unsigned", "logout-response-redirected-other-key", "metadata-unsigned"}
	var args []string
	for _, name := range wanted {
		args = append(args, "--fault", name)
	}
	report, text, code := more(t, true, args...)
	if code != 1 {
		t.Errorf("exit code %d\n%s", code, text)
	}
	slices.Sort(report.Accepted)
	for _, name := range wanted {
		if !slices.Contains(report.Accepted, name) {
			t.Errorf("%s is not reported; accepted %v", name, report.Accepted)
		}
	}
}
