package main

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/eidbridge/eidbridge/brokers"
	"github.com/eidbridge/eidbridge/brokers/saml"
	"github.com/eidbridge/eidbridge/fixtures/idps/badidp"
)

// testSP is a service provider that begins logins and takes answers: by the rules
// of the broker, or, if sloppy, whatever has a NameID in it.
type testSP struct {
	sloppy   bool
	metadata string // file of the identity provider's

	mu    sync.Mutex
	asked map[string]login // by cookie
	used  map[string]bool
}

type login struct {
	id, state string
	at        time.Time
}

func (sp *testSP) start(base string, signOn func() string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		l := login{id: "_" + rand.Text(), state: rand.Text(), at: time.Now()}
		cookie := rand.Text()
		sp.mu.Lock()
		sp.asked[cookie] = l
		sp.mu.Unlock()
		http.SetCookie(w, &http.Cookie{Name: "login", Value: cookie, Path: "/", HttpOnly: true})
		message := fmt.Sprintf(`<p:AuthnRequest xmlns:p="urn:oasis:names:tc:SAML:2.0:protocol" ID="%s" AssertionConsumerServiceURL="%s/acs"><p:RequestedAuthnContext><a:AuthnContextClassRef xmlns:a="urn:oasis:names:tc:SAML:2.0:assertion">urn:oasis:names:tc:SAML:2.0:ac:classes:Smartcard</a:AuthnContextClassRef></p:RequestedAuthnContext></p:AuthnRequest>`, l.id, base)
		fmt.Fprintf(w, `<form method="post" action="%s"><input name="SAMLRequest" value="%s"><input name="RelayState" value="%s"></form>`,
			signOn(), base64.StdEncoding.EncodeToString([]byte(message)), l.state)
	}
}

func (sp *testSP) consume(base string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		r.Body = http.MaxBytesReader(w, r.Body, 1<<20)
		var l login
		if c, err := r.Cookie("login"); err == nil {
			sp.mu.Lock()
			l = sp.asked[c.Value]
			sp.mu.Unlock()
		}
		if sp.sloppy {
			message, _ := base64.StdEncoding.DecodeString(r.FormValue("SAMLResponse"))
			if m := regexp.MustCompile(`NameID[^>]*>([^<]+)<`).FindSubmatch(message); m != nil {
				fmt.Fprintf(w, "Welcome, %s", m[1])
				return
			}
		} else if err := sp.judge(r, base, l); err == nil {
			fmt.Fprint(w, "Welcome")
			return
		}
		http.Error(w, "no login", http.StatusForbidden)
	}
}

func (sp *testSP) judge(r *http.Request, base string, l login) error {
	message, state, err := saml.ReadPOST(r)
	if err != nil || l.id == "" || state != l.state {
		return fmt.Errorf("another login: %w", err)
	}
	document, err := os.ReadFile(sp.metadata)
	if err != nil {
		return err
	}
	entities, err := saml.ParseMetadata(document, saml.MetadataTrust{AsGiven: true, Loopback: true, Now: time.Now()})
	if err != nil {
		return err
	}
	for _, idp := range entities {
		a, err := saml.ValidateResponse(message, saml.Expectation{
			Issuer: idp.ID, Certificates: idp.Signing, Signed: saml.Coverage{Response: true}, Audience: base + "/metadata", Recipient: base + "/acs",
			RequestID: l.id, RequestedAt: l.at, Now: time.Now(), Skew: saml.DefaultSkew,
		})
		if err != nil {
			return err
		}
		if a.ContextClass != "urn:oasis:names:tc:SAML:2.0:ac:classes:Smartcard" {
			return fmt.Errorf("level is too low")
		}
		sp.mu.Lock()
		defer sp.mu.Unlock()
		if sp.used[a.ID] {
			return brokers.ErrReplayed
		}
		sp.used[a.ID] = true
	}
	return nil
}

// battery runs the verb against a service provider.
func battery(t *testing.T, sloppy bool, extra ...string) (report badidp.Report, text string, code int) {
	t.Helper()
	dir := t.TempDir()
	sp := &testSP{sloppy: sloppy, metadata: filepath.Join(dir, "idp.xml"), asked: map[string]login{}, used: map[string]bool{}}
	mux := http.NewServeMux()
	server := httptest.NewServer(mux)
	defer server.Close()
	signOn := func() string {
		document, err := os.ReadFile(sp.metadata)
		if err != nil {
			return ""
		}
		return string(regexp.MustCompile(`Location="([^"]+)"`).FindSubmatch(document)[1])
	}
	mux.HandleFunc("GET /login", sp.start(server.URL, signOn))
	mux.HandleFunc("/acs", sp.consume(server.URL))
	file := filepath.Join(dir, "sp.xml")
	metadata := `<EntityDescriptor xmlns="urn:oasis:names:tc:SAML:2.0:metadata" entityID="` + server.URL + `/metadata"><SPSSODescriptor><AssertionConsumerService Binding="urn:oasis:names:tc:SAML:2.0:bindings:HTTP-POST" Location="` + server.URL + `/acs"/></SPSSODescriptor></EntityDescriptor>`
	if err := os.WriteFile(file, []byte(metadata), 0o600); err != nil {
		t.Fatal(err)
	}
	args := append([]string{
		"badidp", "--listen", "127.0.0.1:0", "--sp-metadata", file, "--start", server.URL + "/login", "--metadata-out", sp.metadata,
		"--success-status", "200", "--success-text", "Welcome", "--lower-class", "urn:oasis:names:tc:SAML:2.0:ac:classes:Password",
	}, extra...)
	var out, problems bytes.Buffer
	code = run(t.Context(), args, streams{strings.NewReader(""), &out, &problems})
	if slices.Contains(extra, "--json") {
		if err := json.Unmarshal(out.Bytes(), &report); err != nil {
			t.Fatalf("%v\n%s\n%s", err, out.String(), problems.String())
		}
	}
	return report, out.String() + problems.String(), code
}

func TestBadIDPFindsNothingWrongWithTheBroker(t *testing.T) {
	t.Parallel()
	report, text, code := battery(t, false, "--json")
	if code != 0 || len(report.Accepted)+len(report.RefusedControls)+len(report.Errors) > 0 {
		t.Errorf("exit code %d; accepted %v, controls refused %v, errors %v\n%s", code, report.Accepted, report.RefusedControls, report.Errors, text)
	}
	if len(report.Results) < 250 {
		t.Errorf("only %d faults were tried", len(report.Results))
	}
}

func TestBadIDPFindsWhatASloppyServiceProviderAccepts(t *testing.T) {
	t.Parallel()
	report, _, code := battery(t, true, "--json")
	if code != 1 {
		t.Errorf("exit code %d", code)
	}
	for _, name := range []string{"unsigned", "xsw3-evil-before", "replayed", "audience-other", "expired", "class-lower", "other-browser", "response-hmac-public-key"} {
		if !slices.Contains(report.Accepted, name) {
			t.Errorf("%s is not reported", name)
		}
	}
	if _, text, code := battery(t, true, "--fault", "unsigned"); code != 1 || !strings.Contains(text, "BAD unsigned") || !strings.Contains(text, "1 tried; 1 faults accepted") {
		t.Errorf("exit code %d:\n%s", code, text)
	}
}

func TestBadIDPProvesNothingWithoutControl(t *testing.T) {
	t.Parallel()
	if _, text, code := battery(t, false, "--success-text", "Bienvenida"); code != 1 || !strings.Contains(text, "does not accept the right answer") {
		t.Errorf("exit code %d:\n%s", code, text)
	}
}

func TestBadIDPUsage(t *testing.T) {
	for _, row := range []struct {
		args []string
		code int
		says string
	}{
		{[]string{"--list"}, 0, "xsw1-response-in-signature"},
		{[]string{"--fault", "none"}, 1, "no fault is called"},
		{[]string{"--area", "none"}, 1, "no fault is of this area"},
		{nil, 1, "say whom to test"},
		{[]string{"--sp-entity", "urn:sp", "--target", "https://sp.example/acs"}, 1, "is not on this machine"},
		{[]string{"--sp-entity", "urn:sp", "--target", "http://127.0.0.1:1/acs", "--listen", "0.0.0.0:0"}, 1, "listens on loopback only"},
	} {
		var out bytes.Buffer
		if code := run(t.Context(), append([]string{"badidp"}, row.args...), streams{strings.NewReader(""), &out, &out}); code != row.code || !strings.Contains(out.String(), row.says) {
			t.Errorf("%v: exit code %d\n%s", row.args, code, out.String())
		}
	}
}

// TestBadIDPAnswersABrowser drives the server: metadata, choice of a fault, answer.
func TestBadIDPAnswersABrowser(t *testing.T) {
	keys, err := badidp.NewKeys(time.Now())
	if err != nil {
		t.Fatal(err)
	}
	s := &badidp.Server{Keys: keys, SP: badidp.ServiceProvider{EntityID: "urn:sp", ACS: "http://127.0.0.1:1/acs"}, Person: badidp.Person{NameID: "alice"}, Clock: time.Now}
	server := httptest.NewServer(s.Handler())
	defer server.Close()
	s.Base = server.URL
	get := func(r *http.Response, err error) (int, string) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		defer r.Body.Close()
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Fatal(err)
		}
		return r.StatusCode, string(body)
	}
	if code, body := get(server.Client().PostForm(server.URL+"/fault", url.Values{"name": {"unsigned"}})); code != 200 || !strings.Contains(body, "<strong>unsigned</strong>") || !strings.Contains(body, "Lab emulation") {
		t.Errorf("choice: %d\n%s", code, body[:min(len(body), 400)])
	}
	if code, _ := get(server.Client().PostForm(server.URL+"/fault", url.Values{"name": {"none"}})); code != http.StatusBadRequest {
		t.Errorf("unknown fault: %d", code)
	}
	request := base64.StdEncoding.EncodeToString([]byte(`<p:AuthnRequest xmlns:p="urn:oasis:names:tc:SAML:2.0:protocol" ID="_q"/>`))
	code, body := get(server.Client().PostForm(server.URL+"/sso", url.Values{"SAMLRequest": {request}, "RelayState": {`"><script>`}}))
	if code != 200 || !strings.Contains(body, `action="http://127.0.0.1:1/acs"`) || strings.Contains(body, "<script>") {
		t.Errorf("answer: %d\n%s", code, body)
	}
	if code, _ := get(server.Client().PostForm(server.URL+"/sso", url.Values{"SAMLRequest": {"junk"}})); code != http.StatusBadRequest {
		t.Errorf("junk: %d", code)
	}
}
