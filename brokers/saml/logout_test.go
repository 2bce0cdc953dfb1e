package saml

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/eidbridge/eidbridge/brokers"
)

const (
	slo         = "https://broker.example/upstream/test/logout"
	answerText  = `<samlp:LogoutResponse xmlns:samlp="urn:oasis:names:tc:SAML:2.0:protocol" Destination="` + slo + `" ID="_out1" InResponseTo="$req" IssueInstant="$now" Version="2.0"><saml:Issuer xmlns:saml="urn:oasis:names:tc:SAML:2.0:assertion">$idp</saml:Issuer><samlp:Status><samlp:StatusCode Value="urn:oasis:names:tc:SAML:2.0:status:Success"></samlp:StatusCode></samlp:Status></samlp:LogoutResponse>`
	requestText = `<samlp:LogoutRequest xmlns:samlp="urn:oasis:names:tc:SAML:2.0:protocol" Destination="` + slo + `" ID="_out2" IssueInstant="$now" NotOnOrAfter="$end" Version="2.0"><saml:Issuer xmlns:saml="urn:oasis:names:tc:SAML:2.0:assertion">$idp</saml:Issuer><saml:NameID xmlns:saml="urn:oasis:names:tc:SAML:2.0:assertion">s00000000:900029365</saml:NameID><samlp:SessionIndex>_session1</samlp:SessionIndex></samlp:LogoutRequest>`
)

func logoutExpectation() LogoutExpectation {
	return LogoutExpectation{
		Issuer: idpID, Certificates: []*x509.Certificate{keysOnce().idp.cert}, Destination: slo,
		RequestID: reqID, RequestedAt: testNow.Add(-60 * time.Second), Now: testNow, Skew: DefaultSkew,
	}
}

// X-96 and the header rows of broker.md 13.3 for logout answers.
func TestLogoutResponse(t *testing.T) {
	k := keysOnce()
	for name, row := range map[string]struct {
		edit, after func(*string)
		sign        *recipe
		expect      func(*LogoutExpectation)
		reason      Reason
	}{
		"correct":              {reason: accepted},
		"X-96 unsigned":        {sign: &recipe{key: nil, position: "none"}, reason: ReasonSignatureMissing},
		"signed by another":    {sign: &recipe{key: k.other}, reason: ReasonSignatureInvalid},
		"changed":              {after: func(s *string) { replace(s, `Version="2.0"`, `Version="2.0" Consent="x"`) }, reason: ReasonSignatureInvalid},
		"X-96 another request": {edit: func(s *string) { replace(s, reqID, "_other") }, reason: ReasonInResponseTo},
		"X-96 no request":      {edit: func(s *string) { replace(s, ` InResponseTo="`+reqID+`"`, "") }, reason: ReasonUnsolicited},
		"X-96 never asked":     {expect: func(e *LogoutExpectation) { e.RequestID = "_never" }, reason: ReasonInResponseTo},
		"another destination":  {edit: func(s *string) { replace(s, slo, acs) }, reason: ReasonDestination},
		"another issuer":       {edit: func(s *string) { replace(s, idpID, "https://other.example") }, reason: ReasonIssuer},
		"issuer by another name": {edit: func(s *string) { replace(s, idpID, "Cl@ve") }, expect: func(e *LogoutExpectation) {
			e.OtherIssuers = []string{"Cl@ve"}
		}, reason: accepted},
		"before the request": {edit: func(s *string) { replace(s, at(-5), at(-200)) }, reason: ReasonIssueInstant},
		"future":             {edit: func(s *string) { replace(s, at(-5), at(61)) }, reason: ReasonIssueInstant},
		"no status":          {edit: func(s *string) { cutBetween(s, "<samlp:Status>", "</samlp:Status>") }, reason: ReasonStatus},
		"an assertion": {edit: func(s *string) {
			replace(s, "</samlp:LogoutResponse>", "<saml:Assertion xmlns:saml=\"urn:oasis:names:tc:SAML:2.0:assertion\"></saml:Assertion></samlp:LogoutResponse>")
		}, reason: ReasonSchema},
		"a Response": {edit: func(s *string) { *s = strings.ReplaceAll(*s, "samlp:LogoutResponse", "samlp:Response") }, reason: ReasonSchema},
		"X-96 empty": {edit: func(s *string) { *s = "" }, sign: &recipe{position: "none"}, reason: ReasonXML},
	} {
		t.Run(name, func(t *testing.T) {
			text, e := fill(answerText), logoutExpectation()
			if row.edit != nil {
				row.edit(&text)
			}
			if row.sign == nil {
				row.sign = &recipe{}
			}
			if row.sign.position != "none" {
				text = row.sign.sign(text, "_out1")
			}
			if row.after != nil {
				row.after(&text)
			}
			if row.expect != nil {
				row.expect(&e)
			}
			err := ValidateLogoutResponse([]byte(text), e)
			if ReasonOf(err) != row.reason || (err == nil) != (row.reason == accepted) {
				t.Fatalf("error = %v, want %q", err, row.reason)
			}
		})
	}
	text := strings.Replace(fill(answerText), StatusSuccess+`">`, StatusResponder+`"><samlp:StatusCode Value="`+StatusPartialLogout+`"></samlp:StatusCode>`, 1)
	var status *StatusError
	if err := ValidateLogoutResponse([]byte(recipe{}.sign(text, "_out1")), logoutExpectation()); !errors.As(err, &status) || status.Second != StatusPartialLogout {
		t.Errorf("partial logout = %v", err)
	}
}

func cutBetween(s *string, from, to string) {
	i, j := strings.Index(*s, from), strings.Index(*s, to)
	*s = (*s)[:i] + (*s)[j+len(to):]
}

func TestLogoutRequestOfTheIdentityProvider(t *testing.T) {
	k := keysOnce()
	for name, row := range map[string]struct {
		edit     func(*string)
		key      *testKey
		unsigned bool
		expect   func(*LogoutExpectation)
		reason   Reason
	}{
		"correct":           {reason: accepted},
		"unsigned":          {unsigned: true, reason: ReasonSignatureMissing},
		"signed by another": {key: k.other, reason: ReasonSignatureInvalid},
		"ended":             {edit: func(s *string) { replace(s, at(120), at(-61)) }, reason: ReasonExpired},
		"of long ago":       {edit: func(s *string) { replace(s, at(-5), at(-3600)) }, reason: ReasonIssueInstant},
		"without NameID":    {edit: func(s *string) { cutBetween(s, "<saml:NameID", "</saml:NameID>") }, reason: ReasonSubject},
		"empty NameID":      {edit: func(s *string) { replace(s, "s00000000:900029365", "") }, reason: ReasonSubject},
		"another endpoint":  {edit: func(s *string) { replace(s, slo, acs) }, reason: ReasonDestination},
		"without session index": {edit: func(s *string) {
			cutBetween(s, "<samlp:SessionIndex>", "</samlp:SessionIndex>")
		}, reason: accepted},
		"encrypted NameID": {edit: func(s *string) {
			cutBetween(s, "<saml:NameID", "</saml:NameID>")
			replace(s, "<samlp:SessionIndex>", encrypter{to: k.other}.wrapped("EncryptedID", "<saml:NameID>s00000000:900029365</saml:NameID>")+"<samlp:SessionIndex>")
		}, expect: func(e *LogoutExpectation) { e.Decryption = ours(k.other) }, reason: accepted},
	} {
		t.Run(name, func(t *testing.T) {
			text, e := fill(requestText), logoutExpectation()
			if row.edit != nil {
				row.edit(&text)
			}
			if !row.unsigned {
				text = recipe{key: row.key}.sign(text, "_out2")
			}
			if row.expect != nil {
				row.expect(&e)
			}
			r, err := ValidateLogoutRequest([]byte(text), e)
			if ReasonOf(err) != row.reason || (err == nil) != (row.reason == accepted) {
				t.Fatalf("error = %v, want %q", err, row.reason)
			}
			if err != nil {
				return
			}
			if r.NameID.Value != "s00000000:900029365" || r.ID != "_out2" || r.Issuer != idpID || len(r.SessionIndexes) > 1 {
				t.Errorf("request = %+v", r)
			}
			store := &onceStore{}
			if err := r.Use(context.Background(), store); err != nil {
				t.Error(err)
			}
			if err := r.Use(context.Background(), store); ReasonOf(err) != ReasonReplay {
				t.Errorf("second use = %v", err)
			}
		})
	}
}

// onceStore is the simplest replay store.
type onceStore struct{ used map[string]bool }

func (s *onceStore) UseAssertionID(_ context.Context, issuer, id string, _ time.Time) error {
	if s.used[issuer+id] {
		return brokers.ErrReplayed
	}
	s.used = map[string]bool{issuer + id: true}
	return nil
}

// What we send, the other side of this package understands, by both bindings,
// and xmlsec1 verifies the form.
func TestLogoutMessagesRoundTrip(t *testing.T) {
	k := keysOnce()
	credential := Credential{Signer: k.idp.key, Certificate: k.idp.cert, Hash: crypto.SHA512, CertificateOnly: true}
	request := &LogoutRequest{
		ID: "_out3", IssueInstant: testNow, Destination: slo, Issuer: idpID, NotOnOrAfter: testNow.Add(5 * time.Minute), Reason: LogoutByUser,
		NameID: NameID{Value: "S0000000X_E00000001", SPNameQualifier: "https://broker.example/back"}, SessionIndexes: []string{"_s"},
	}
	response := &LogoutResponse{ID: "_out4", IssueInstant: testNow, Destination: slo, Issuer: idpID, InResponseTo: reqID, Top: StatusSuccess}

	form := must(request.PostForm(credential, "state", rand.Reader))
	message := must(base64.StdEncoding.DecodeString(form["SAMLRequest"]))
	xmlsecVerifies(t, k.idp, message, "urn:oasis:names:tc:SAML:2.0:protocol:LogoutRequest")
	for _, want := range []string{"xmldsig-more#rsa-sha512", "xmlenc#sha512", `Reason="` + LogoutByUser + `"`} {
		if !strings.Contains(string(message), want) {
			t.Errorf("request lacks %s", want)
		}
	}
	if strings.Contains(string(message), "KeyName") {
		t.Error("request has a KeyName")
	}
	got, err := ValidateLogoutRequest(message, logoutExpectation())
	if err != nil || got.NameID != request.NameID || got.Reason != LogoutByUser {
		t.Fatalf("got %+v, %v", got, err)
	}
	form = must(response.PostForm(credential, "", rand.Reader))
	if err := ValidateLogoutResponse(must(base64.StdEncoding.DecodeString(form["SAMLResponse"])), logoutExpectation()); err != nil {
		t.Error(err)
	}

	e := logoutExpectation()
	e.Detached = true
	location := must(url.Parse(must(request.RedirectURL(credential, "state", rand.Reader))))
	message, state, err := ReadRedirect(location.RawQuery, "SAMLRequest", e.Certificates, testNow)
	if err != nil || state != "state" {
		t.Fatal(state, err)
	}
	if _, err := ValidateLogoutRequest(message, e); err != nil {
		t.Error(err)
	}
	location = must(url.Parse(must(response.RedirectURL(credential, "", rand.Reader))))
	message, _, err = ReadRedirect(location.RawQuery, "SAMLResponse", e.Certificates, testNow)
	if err != nil {
		t.Fatal(err)
	}
	if err := ValidateLogoutResponse(message, e); err != nil {
		t.Error(err)
	}
	if err := ValidateLogoutResponse([]byte(recipe{}.sign(fill(answerText), "_out1")), e); ReasonOf(err) != ReasonSignatureForm {
		t.Errorf("signature in a redirected message: %v", err)
	}
}

func TestLogoutMessagesRefuseToBeIncomplete(t *testing.T) {
	c := Credential{Signer: keysOnce().idp.key, Certificate: keysOnce().idp.cert}
	for name, r := range map[string]*LogoutRequest{
		"no NameID":      {ID: "_a", Issuer: idpID, Destination: slo, IssueInstant: testNow},
		"no destination": {ID: "_a", Issuer: idpID, IssueInstant: testNow, NameID: NameID{Value: "x"}},
	} {
		if _, err := r.PostForm(c, "", rand.Reader); err == nil {
			t.Errorf("%s: made", name)
		}
	}
	if _, err := (&LogoutResponse{ID: "_a", Issuer: idpID, Destination: slo, IssueInstant: testNow}).RedirectURL(c, "", rand.Reader); err == nil {
		t.Error("made a response to nothing")
	}
}

func TestReadFormOfAnotherField(t *testing.T) {
	r := httptest.NewRequest(http.MethodPost, slo, strings.NewReader("logoutResponse=PGEvPg%3D%3D&RelayState=s"))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	message, state, err := ReadForm(r, "logoutResponse")
	if string(message) != "<a/>" || state != "s" || err != nil {
		t.Errorf("got %q %q %v", message, state, err)
	}
}

func TestCredentialChoosesTheMethod(t *testing.T) {
	k := keysOnce()
	for name, row := range map[string]struct {
		c    Credential
		want string
	}{
		"RSA-SHA512":      {Credential{Signer: k.idp.key, Certificate: k.idp.cert, Hash: crypto.SHA512}, "http://www.w3.org/2001/04/xmldsig-more#rsa-sha512"},
		"PSS":             {Credential{Signer: k.idp.key, Certificate: k.idp.cert, PSS: true}, "http://www.w3.org/2007/05/xmldsig-more#sha256-rsa-MGF1"},
		"PSS-SHA384":      {Credential{Signer: k.idp.key, Certificate: k.idp.cert, PSS: true, Hash: crypto.SHA384}, "http://www.w3.org/2007/05/xmldsig-more#sha384-rsa-MGF1"},
		"P-256 + SHA-512": {Credential{Signer: k.p256.key, Certificate: k.p256.cert, Hash: crypto.SHA512}, "http://www.w3.org/2001/04/xmldsig-more#ecdsa-sha512"},
		"SHA-1":           {Credential{Signer: k.idp.key, Certificate: k.idp.cert, Hash: crypto.SHA1}, ""},
		"PSS on P-256":    {Credential{Signer: k.p256.key, Certificate: k.p256.cert, PSS: true}, ""},
	} {
		m, err := row.c.method()
		if m.uri != row.want || (err == nil) != (row.want != "") {
			t.Errorf("%s: %q, %v", name, m.uri, err)
			continue
		}
		if err != nil {
			continue
		}
		// What it signs, the verifier accepts.
		r := &LogoutRequest{ID: "_o", IssueInstant: testNow, Destination: slo, Issuer: idpID, NameID: NameID{Value: "x"}}
		e := logoutExpectation()
		e.Certificates = []*x509.Certificate{row.c.Certificate}
		message := must(base64.StdEncoding.DecodeString(must(r.PostForm(row.c, "", rand.Reader))["SAMLRequest"]))
		if _, err := ValidateLogoutRequest(message, e); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}
