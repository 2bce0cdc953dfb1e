package saml

import (
	"context"
	"crypto/rand"
	"crypto/sha1"
	"encoding/base64"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/eidbridge/eidbridge/brokers"
)

func TestArtifactResponseFaults(t *testing.T) {
	success := `Value="urn:oasis:names:tc:SAML:2.0:status:Success"`
	for _, row := range []struct {
		name   string
		edit   func(*answer)
		expect func(*Expectation)
		reason Reason
	}{
		{name: "correct", reason: accepted},
		{name: "without Destination", edit: responseEdit(` Destination="`+acs+`"`, ""), reason: accepted},
		{name: "Destination other", edit: responseEdit(`Destination="`+acs, `Destination="https://other.example/`), reason: ReasonDestination},
		{name: "X-93 unsigned", edit: func(a *answer) { a.signE = nil }, reason: ReasonSignatureMissing},
		{name: "X-93 signed by another key", edit: func(a *answer) { a.signE.key = keysOnce().other }, reason: ReasonSignatureInvalid},
		{name: "assertion unsigned", edit: func(a *answer) { a.signA = nil }, reason: ReasonSignatureMissing},
		{name: "assertion unsigned where the envelope is enough", edit: func(a *answer) { a.signA = nil }, expect: func(e *Expectation) { e.Signed = Coverage{Envelope: true} }, reason: accepted},
		{name: "assertion signed, envelope not needed", edit: func(a *answer) { a.signE = nil }, expect: func(e *Expectation) { e.Signed = Coverage{Assertion: true} }, reason: accepted},
		{name: "X-93 InResponseTo of another resolve", edit: func(a *answer) { replace(&a.envelope, resID, "_resolve2") }, reason: ReasonInResponseTo},
		{name: "InResponseTo missing", edit: func(a *answer) { replace(&a.envelope, ` InResponseTo="`+resID+`"`, "") }, reason: ReasonUnsolicited},
		{name: "response answers another request", edit: responseEdit(`InResponseTo="`+reqID, `InResponseTo="_request2`), reason: ReasonInResponseTo},
		{name: "Issuer other", edit: func(a *answer) { replace(&a.envelope, ">"+idpID+"<", ">https://other.example<") }, reason: ReasonIssuer},
		{name: "empty success", edit: func(a *answer) { replace(&a.envelope, "$response", "") }, reason: ReasonNoResponse},
		{name: "X-93 two responses", edit: func(a *answer) { replace(&a.envelope, "$response", "$response<samlp:Response></samlp:Response>") }, reason: ReasonSchema},
		{name: "changed after signing", edit: finalEdit("900029365", "999990019"), reason: ReasonSignatureInvalid},
		{name: "status changed after signing", edit: finalEdit(success, `Value="`+StatusResponder+`"`), reason: ReasonSignatureInvalid},
		{name: "X-93 SOAP fault", edit: func(a *answer) {
			a.final = func(string) string {
				return `<s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/"><s:Body><s:Fault><faultcode>s:Server</faultcode></s:Fault></s:Body></s:Envelope>`
			}
		}, reason: ReasonSOAP},
		{name: "empty body", edit: func(a *answer) {
			a.final = func(string) string {
				return `<s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/"><s:Body></s:Body></s:Envelope>`
			}
		}, reason: ReasonSOAP},
		{name: "no envelope", edit: func(a *answer) { a.final = func(string) string { return goodAnswer().post() } }, reason: ReasonSOAP},
		{name: "message hidden in the header", edit: finalEdit("<soapenv:Body>", `<soapenv:Header><samlp:Response xmlns:samlp="urn:oasis:names:tc:SAML:2.0:protocol"></samlp:Response></soapenv:Header><soapenv:Body>`), reason: ReasonSchema},
	} {
		t.Run(row.name, func(t *testing.T) {
			a, e := goodAnswer(), goodExpectation()
			e.Signed = Coverage{Envelope: true, Assertion: true}
			e.DestinationOptional = true
			if row.edit != nil {
				row.edit(a)
			}
			if row.expect != nil {
				row.expect(&e)
			}
			got, err := ValidateArtifactResponse([]byte(a.soap()), e)
			checkVerdict(t, got, err, row.reason)
		})
	}
}

func TestArtifactResponseStatus(t *testing.T) {
	a, e := goodAnswer(), goodExpectation()
	replace(&a.envelope, `Value="urn:oasis:names:tc:SAML:2.0:status:Success">`, `Value="`+StatusRequester+`"><samlp:StatusCode Value="`+StatusRequestDenied+`"></samlp:StatusCode>`)
	replace(&a.envelope, "$response", "")
	e.Signed = Coverage{Envelope: true}
	_, err := ValidateArtifactResponse([]byte(a.soap()), e)
	var status *StatusError
	if !errors.As(err, &status) || !status.Envelope || status.Second != StatusRequestDenied {
		t.Fatalf("error = %v, want the envelope's RequestDenied", err)
	}
}

// makeArtifact builds a type 4 artifact by hand.
func makeArtifact(kind, index byte, issuer string) string {
	source := sha1.Sum([]byte(issuer))
	b := append([]byte{0, kind, 0, index}, source[:]...)
	return base64.StdEncoding.EncodeToString(append(b, strings.Repeat("h", 20)...))
}

func TestParseArtifact(t *testing.T) {
	good := makeArtifact(4, 3, idpID)
	a, err := ParseArtifact(good)
	if err != nil {
		t.Fatal(err)
	}
	if a.EndpointIndex != 3 || !a.IssuedBy(idpID) || a.IssuedBy("https://other.example") || a.String() != good {
		t.Errorf("artifact = %+v", a)
	}
	for name, text := range map[string]string{
		"empty":            "",
		"short":            good[:56],
		"long":             good + "AAAA",
		"other type":       makeArtifact(1, 0, idpID),
		"URL alphabet":     strings.Replace(good, good[10:11], "-", 1),
		"line break":       good[:30] + "\n" + good[31:],
		"padding set bits": good[:58] + "B=",
	} {
		if _, err := ParseArtifact(text); ReasonOf(err) != ReasonArtifact {
			t.Errorf("%s: %v, want reason %s", name, err, ReasonArtifact)
		}
	}
}

func TestResolveSendsOneSignedRequest(t *testing.T) {
	var body []byte
	var header http.Header
	calls := 0
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		calls++
		header = r.Header
		body, _ = io.ReadAll(r.Body)
		_, _ = io.WriteString(w, "reply")
	}))
	defer server.Close()
	artifact, err := ParseArtifact(makeArtifact(4, 0, idpID))
	if err != nil {
		t.Fatal(err)
	}
	reply, id, err := testResolver(server.Client()).Resolve(context.Background(), server.URL, artifact)
	if err != nil {
		t.Fatal(err)
	}
	if string(reply) != "reply" || calls != 1 {
		t.Errorf("reply = %q after %d calls", reply, calls)
	}
	if got := header.Get("Content-Type"); got != "text/xml; charset=utf-8" {
		t.Errorf("Content-Type = %q", got)
	}
	if got := header.Get("SOAPAction"); got != `"http://www.oasis-open.org/committees/security"` {
		t.Errorf("SOAPAction = %q", got)
	}
	for _, want := range []string{`ID="` + id + `"`, artifact.String(), `Destination="` + server.URL + `"`, "</saml:Issuer><ds:Signature"} {
		if !strings.Contains(string(body), want) {
			t.Errorf("request lacks %s", want)
		}
	}
}

func testResolver(c *http.Client) *Resolver {
	k := keysOnce().other
	c.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &Resolver{
		Client: c, Credential: Credential{Signer: k.key, Certificate: k.cert}, Issuer: spID,
		Clock: func() time.Time { return testNow }, Rand: rand.Reader,
	}
}

func TestResolveRefusesBadChannels(t *testing.T) {
	release := make(chan struct{})
	for name, row := range map[string]struct {
		handler http.HandlerFunc
		reason  Reason
		timeout time.Duration // short only where it is waited for
	}{
		"HTTP error":  {func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "no", http.StatusBadGateway) }, ReasonBackChannel, time.Minute},
		"redirection": {func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/else", http.StatusFound) }, ReasonBackChannel, time.Minute},
		"huge answer": {func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(make([]byte, maxSOAPReply+1)) }, ReasonTooLarge, time.Minute},
		"slow answer": {func(http.ResponseWriter, *http.Request) { <-release }, ReasonBackChannel, 200 * time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) {
			server := httptest.NewServer(row.handler)
			client := server.Client()
			client.Timeout = row.timeout
			artifact, _ := ParseArtifact(makeArtifact(4, 0, idpID))
			_, _, err := testResolver(client).Resolve(context.Background(), server.URL, artifact)
			if ReasonOf(err) != row.reason {
				t.Errorf("error = %v, want reason %s", err, row.reason)
			}
			if row.reason == ReasonBackChannel && !errors.Is(err, ErrUnavailable) {
				t.Errorf("error = %v, want ErrUnavailable", err)
			}
			if strings.Contains(err.Error(), artifact.String()) {
				t.Error("error names the artifact")
			}
			if name == "slow answer" {
				close(release)
			}
			server.Close()
		})
	}
}

// memory is the simplest replay store.
type memory map[string]bool

func (m memory) UseAssertionID(_ context.Context, issuer, id string, _ time.Time) error {
	if m[issuer+" "+id] {
		return brokers.ErrReplayed
	}
	m[issuer+" "+id] = true
	return nil
}

func TestUseRefusesTheSecondTime(t *testing.T) {
	store := memory{}
	for i, want := range []Reason{accepted, ReasonReplay} {
		got, err := ValidateResponse([]byte(goodAnswer().post()), goodExpectation())
		if err != nil {
			t.Fatal(err)
		}
		if err := got.Use(context.Background(), store); ReasonOf(err) != want {
			t.Errorf("use %d: %v, want reason %q", i+1, err, want)
		}
	}
	// The same identifier of another issuer is another assertion.
	if err := (&Assertion{ID: "_assertion1", Issuer: "https://other.example"}).Use(context.Background(), store); err != nil {
		t.Error(err)
	}
}
