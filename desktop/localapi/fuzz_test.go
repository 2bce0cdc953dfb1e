package localapi

import (
	json "encoding/json/v2"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/eidbridge/eidbridge/desktop"
	"github.com/eidbridge/eidbridge/signing"
)

// L-65: what is accepted is a request for one PAdES signature with bytes at hand,
// whatever the body was.
func FuzzAPIBody(f *testing.F) {
	good := `{"kind":"sign","sign":{"documents":[{"n":1,"name":"a.pdf","media_type":"application/pdf",` +
		`"content":"inline","data":"JVBERi0xLjcK"}],"output":{"format":"pades","level":"B-B"}},"display":{"x":1}}`
	f.Add(good)
	f.Add(strings.Replace(good, `"n":1`, `"n":1,"size":9,"digest":{"alg":"SHA-256","value":"AAAA"}`, 1))
	f.Add(`{"kind":"authenticate","authenticate":{"nonce":"x"}}`)
	f.Add(`{"credential":{"usage":"sign","issuer_country":["ES"],"qualified":true,"certificate_sha256":null}}`)
	f.Fuzz(func(t *testing.T, body string) {
		var w wish
		if json.Unmarshal([]byte(body), &w, json.RejectUnknownMembers(true)) != nil {
			return
		}
		request, err := w.request()
		if err != nil {
			if p := problemOf(err); p.Code == desktop.CodeInternal {
				t.Fatalf("%q is our own fault: %v", body, err)
			}
			return
		}
		if request.Kind != desktop.KindSign || len(request.Documents) != 1 || request.Output.Format != signing.PAdES ||
			request.ExpiresIn < 0 || request.ExpiresIn > desktop.MaxExpiry || w.Sign.Documents[0].Data == "" {
			t.Fatalf("%q gives %+v", body, request)
		}
	})
}

// L-01, L-65: three spellings of Host open the door, nothing else.
func FuzzHostHeader(f *testing.F) {
	for _, host := range []string{"127.0.0.1:27184", "localhost:27184", "[::1]:27184", "evil.example:27184", "127.0.0.1:27184 ", "127.0.0.1:27184@x"} {
		f.Add(host)
	}
	door := &Door{hosts: map[string]bool{"127.0.0.1:27184": true, "localhost:27184": true, "[::1]:27184": true}}
	f.Fuzz(func(t *testing.T, host string) {
		r := httptest.NewRequest("GET", "/v1/info", nil)
		r.Host = host
		_, refused := door.guard(httptest.NewRecorder(), r)
		open := refused == nil || refused.Code != codeHostMismatch
		if open != (host == "127.0.0.1:27184" || host == "localhost:27184" || host == "[::1]:27184") {
			t.Fatalf("Host %q: %v", host, refused)
		}
	})
}
