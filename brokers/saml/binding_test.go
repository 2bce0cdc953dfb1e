package saml

import (
	"bytes"
	"compress/flate"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"
)

func TestReadArtifactCallback(t *testing.T) {
	good := url.QueryEscape(makeArtifact(4, 0, idpID))
	for _, row := range []struct {
		name, method, query string
		reason              Reason
	}{
		{"correct", "GET", "SAMLart=" + good + "&RelayState=h", accepted},
		{"without RelayState", "GET", "SAMLart=" + good, accepted},
		{"POST", "POST", "SAMLart=" + good + "&RelayState=h", ReasonBinding},
		{"missing", "GET", "RelayState=h", ReasonBinding},
		{"twice", "GET", "SAMLart=" + good + "&SAMLart=" + good, ReasonBinding},
		{"two RelayStates", "GET", "SAMLart=" + good + "&RelayState=h&RelayState=i", ReasonBinding},
		{"RelayState of 81 bytes", "GET", "SAMLart=" + good + "&RelayState=" + strings.Repeat("x", 81), ReasonRelayState},
		{"bad encoding", "GET", "SAMLart=%zz", ReasonBinding},
		{"no artifact", "GET", "SAMLart=x", ReasonArtifact},
		{"huge", "GET", "SAMLart=" + strings.Repeat("A", maxQuery), ReasonTooLarge},
	} {
		r := httptest.NewRequest(row.method, acs+"?"+row.query, nil)
		if _, _, err := ReadArtifact(r); ReasonOf(err) != row.reason {
			t.Errorf("%s: %v, want reason %q", row.name, err, row.reason)
		}
	}
}

func TestReadPOST(t *testing.T) {
	message := base64.StdEncoding.EncodeToString([]byte("<a/>"))
	const form = "application/x-www-form-urlencoded"
	for _, row := range []struct {
		name, method, kind, query string
		body                      url.Values
		reason                    Reason
	}{
		{"correct", "POST", form, "", url.Values{"SAMLResponse": {message}, "RelayState": {"h"}}, accepted},
		{"line breaks in Base64", "POST", form, "", url.Values{"SAMLResponse": {message[:3] + "\r\n" + message[3:]}}, accepted},
		{"GET", "GET", form, "", url.Values{"SAMLResponse": {message}}, ReasonBinding},
		{"content type", "POST", "text/xml", "", url.Values{"SAMLResponse": {message}}, ReasonBinding},
		{"two fields", "POST", form, "", url.Values{"SAMLResponse": {message, message}}, ReasonBinding},
		{"missing field", "POST", form, "", url.Values{"RelayState": {"h"}}, ReasonBinding},
		{"both query and body", "POST", form, "?SAMLResponse=" + message, url.Values{"SAMLResponse": {message}}, ReasonBinding},
		{"URL alphabet", "POST", form, "", url.Values{"SAMLResponse": {"PD_-"}}, ReasonEncoding},
		{"padding missing", "POST", form, "", url.Values{"SAMLResponse": {"PGEvPg"}}, ReasonEncoding},
		{"concatenated", "POST", form, "", url.Values{"SAMLResponse": {"PGEvPg==PGEvPg=="}}, ReasonEncoding},
		{"1 MB", "POST", form, "", url.Values{"SAMLResponse": {strings.Repeat("A", 1<<20)}}, ReasonTooLarge},
	} {
		r := httptest.NewRequest(row.method, acs+row.query, strings.NewReader(row.body.Encode()))
		r.Header.Set("Content-Type", row.kind)
		got, _, err := ReadPOST(r)
		if ReasonOf(err) != row.reason {
			t.Errorf("%s: %v, want reason %q", row.name, err, row.reason)
		}
		if err == nil && string(got) != "<a/>" {
			t.Errorf("%s: message = %q", row.name, got)
		}
	}
}

// counted is a body of 100 MB in chunks, and how much of it was read.
type counted struct{ read int }

func (c *counted) Read(p []byte) (int, error) {
	if c.read >= 100<<20 {
		return 0, io.EOF
	}
	for i := range p {
		p[i] = 'A'
	}
	copy(p, "SAMLResponse="[min(c.read, 13):])
	c.read += len(p)
	return len(p), nil
}

func TestReadPOSTStopsAtTheLimit(t *testing.T) { // chunked, so that no length tells
	body := &counted{}
	r := httptest.NewRequest(http.MethodPost, acs, body)
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if _, _, err := ReadPOST(r); ReasonOf(err) != ReasonTooLarge {
		t.Errorf("error = %v", err)
	}
	if body.read > 2<<20 {
		t.Errorf("%d bytes were read", body.read)
	}
}

func TestReadRelayState(t *testing.T) {
	get := httptest.NewRequest(http.MethodGet, acs+"?RelayState=h&SAMLart=anything", nil)
	post := httptest.NewRequest(http.MethodPost, acs, strings.NewReader("RelayState=h"))
	post.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	for _, r := range []*http.Request{get, post} {
		if state, err := ReadRelayState(r); err != nil || state != "h" {
			t.Errorf("%s: %q, %v", r.Method, state, err)
		}
	}
	if _, err := ReadRelayState(httptest.NewRequest(http.MethodGet, acs, nil)); ReasonOf(err) != ReasonRelayState {
		t.Errorf("without: %v", err)
	}
}

func TestReadRedirectVerifiesTheRawQuery(t *testing.T) {
	k := keysOnce()
	c := Credential{Signer: k.idp.key, Certificate: k.idp.cert}
	query := func(message []byte) string {
		q, err := signedQuery("SAMLResponse", message, "h", c, rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		return q
	}
	good := query([]byte("<a/>"))
	swap := func(old, changed string) string {
		if !strings.Contains(good, old) {
			t.Fatalf("query lacks %q", old)
		}
		return strings.Replace(good, old, changed, 1)
	}
	pieces := strings.Split(good, "&")
	for _, row := range []struct {
		name, query string
		reason      Reason
	}{
		{"correct", good, accepted},
		{"order changed", strings.Join([]string{pieces[1], pieces[0], pieces[2], pieces[3]}, "&"), accepted},
		{"parameter twice", good + "&RelayState=h", ReasonBinding},
		{"unsigned parameter", good + "&Other=1", ReasonBinding},
		{"RelayState changed", swap("RelayState=h", "RelayState=i"), ReasonSignatureInvalid},
		{"RelayState removed", swap("&RelayState=h", ""), ReasonSignatureInvalid},
		{"SigAlg changed", swap("rsa-sha256", "rsa-sha512"), ReasonSignatureInvalid},
		{"SigAlg SHA-1", swap(url.QueryEscape(rsaSHA256), url.QueryEscape("http://www.w3.org/2000/09/xmldsig#rsa-sha1")), ReasonSignatureAlgorithm},
		{"re-encoded", swap("RelayState=h", "RelayState=%68"), ReasonSignatureInvalid},
		{"no signature", strings.Join(pieces[:3], "&"), ReasonSignatureMissing},
		{"deflate bomb", query(bytes.Repeat([]byte(" "), MessageLimits().Bytes+1)), ReasonTooLarge},
	} {
		got, state, err := ReadRedirect(row.query, "SAMLResponse", []*x509.Certificate{k.idp.cert}, testNow)
		if ReasonOf(err) != row.reason {
			t.Errorf("%s: %v, want reason %q", row.name, err, row.reason)
		}
		if err == nil && (string(got) != "<a/>" || state != "h") {
			t.Errorf("%s: %q %q", row.name, got, state)
		}
	}
	if _, _, err := ReadRedirect(good, "SAMLResponse", []*x509.Certificate{k.other.cert}, testNow); ReasonOf(err) != ReasonSignatureInvalid {
		t.Errorf("other key: %v", err)
	}
}

func TestInflateStopsAtTheLimit(t *testing.T) { // 10 KB to 100 MB
	var bomb bytes.Buffer
	w, _ := flate.NewWriter(&bomb, flate.BestCompression)
	zeros := make([]byte, 1<<20)
	for range 100 {
		_, _ = w.Write(zeros)
	}
	_ = w.Close()
	began := time.Now()
	if _, err := inflate(bomb.Bytes(), MessageLimits().Bytes); ReasonOf(err) != ReasonTooLarge {
		t.Errorf("bomb: %v", err)
	}
	if took := time.Since(began); took > 20*time.Second {
		t.Errorf("took %s", took)
	}
}
