package localapi_test

import (
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/eidbridge/eidbridge/desktop"
	"github.com/eidbridge/eidbridge/desktop/origins"
	"github.com/eidbridge/eidbridge/fixtures/pdfs"
)

// quiet checks that a refused message did nothing and told nothing.
func (b *bench) quiet(t *testing.T, a answer, origin string) {
	t.Helper()
	b.prompter.set(func() {
		if len(b.prompter.pairings)+len(b.prompter.consents) > 0 {
			t.Error("somebody was asked")
		}
	})
	if got := a.header.Get("Access-Control-Allow-Origin"); got != origin {
		t.Errorf("Access-Control-Allow-Origin is %q, want %q", got, origin)
	}
	if a.header.Get("Access-Control-Allow-Credentials") != "" || a.header.Get("Set-Cookie") != "" {
		t.Errorf("headers are %v", a.header)
	}
	for _, told := range []string{"card", "reader", "Mari", canary} {
		if contains(a.body, told) {
			t.Errorf("the answer tells %q: %s", told, a.body)
		}
	}
}

// The rows of threats 7.1 and agent-protocols 6 and 7.1 that concern messages.
func TestAbuseIsRefused(t *testing.T) {
	const pairBody = `{"origin_name":"x","scopes":["sign"]}`
	jsonType := []string{"Content-Type", "application/json", "Idempotency-Key", "k"}
	type build func(b *bench, token string) message
	post := func(pairs ...string) build {
		return func(_ *bench, token string) message {
			return message{method: "POST", path: "/v1/requests", body: signBody(), header: with(with(page(bank, token), jsonType...), pairs...)}
		}
	}
	get := func(path string, pairs ...string) build {
		return func(_ *bench, token string) message {
			return message{method: "GET", path: path, header: with(page(bank, token), pairs...)}
		}
	}
	hosted := func(host string, inner build) build {
		return func(b *bench, token string) message {
			m := inner(b, token)
			m.host = strings.ReplaceAll(host, "PORT", strconv.Itoa(b.port))
			return m
		}
	}
	body := func(text string, inner build) build {
		return func(b *bench, token string) message {
			m := inner(b, token)
			m.body = text
			return m
		}
	}
	for _, row := range []struct {
		name   string
		build  build
		status int
		code   string
		cors   bool // the origin may read the refusal
	}{
		{"L-01 rebound name as Host and Origin", hosted("evil.example:PORT", post("Origin", "http://evil.example")), 421, "host_mismatch", false},
		{"L-01 rebound name, paired origin", hosted("evil.example:PORT", get("/v1/info")), 421, "host_mismatch", false},
		{"L-01 right address, no port", hosted("127.0.0.1", get("/v1/info")), 421, "host_mismatch", false},
		{"L-01 right address, other port", hosted("127.0.0.1:1", get("/v1/info")), 421, "host_mismatch", false},
		{"L-01 0.0.0.0", hosted("0.0.0.0:PORT", get("/v1/info")), 421, "host_mismatch", false},
		{"L-01 localhost with a dot", hosted("localhost.:PORT", get("/v1/info")), 421, "host_mismatch", false},
		{"L-01 capital localhost", hosted("LOCALHOST:PORT", get("/v1/info")), 421, "host_mismatch", false},
		{"L-01 user in Host", hosted("127.0.0.1:PORT@evil.example", get("/v1/info")), 421, "host_mismatch", false},

		{"L-03 form post", post("Content-Type", "application/x-www-form-urlencoded", "Sec-Fetch-Mode", "navigate", "Sec-Fetch-Dest", "document", "Authorization", ""), 403, "origin_not_allowed", false},
		{"L-03 form post, old browser", post("Content-Type", "application/x-www-form-urlencoded", "Sec-Fetch-Mode", "", "Sec-Fetch-Dest", "", "Sec-Fetch-Site", ""), 415, "media_type_unsupported", true},
		{"L-03 text post", post("Content-Type", "text/plain"), 415, "media_type_unsupported", true},
		{"L-03 multipart post", post("Content-Type", "multipart/form-data; boundary=x"), 415, "media_type_unsupported", true},
		{"L-03 no content type", post("Content-Type", ""), 415, "media_type_unsupported", true},
		{"L-03 other charset", post("Content-Type", "application/json; charset=utf-16"), 415, "media_type_unsupported", true},
		{"L-03 image", get("/v1/info", "Origin", "", "Sec-Fetch-Mode", "no-cors", "Sec-Fetch-Dest", "image"), 403, "origin_not_allowed", false},
		{"L-03 script", get("/v1/info", "Origin", "", "Sec-Fetch-Mode", "no-cors", "Sec-Fetch-Dest", "script"), 403, "origin_not_allowed", false},
		{"L-03 navigation", get("/v1/info", "Origin", "", "Sec-Fetch-Mode", "navigate", "Sec-Fetch-Dest", "document", "Sec-Fetch-Site", "none"), 403, "origin_not_allowed", false},
		{"L-03 frame", get("/v1/info", "Origin", "", "Sec-Fetch-Mode", "navigate", "Sec-Fetch-Dest", "iframe"), 403, "origin_not_allowed", false},
		{"L-03 beacon", post("Content-Type", "text/plain", "Sec-Fetch-Mode", "no-cors"), 403, "origin_not_allowed", false},
		{"L-03 EventSource", get("/v1/info", "Accept", "text/event-stream", "Origin", "https://evil.es"), 403, "origin_not_allowed", false},
		{"L-03 fetch by an unknown origin", post("Origin", "https://evil.es"), 403, "origin_not_allowed", false},
		{"L-04 WebSocket", get("/v1/info", "Origin", "https://evil.es", "Connection", "Upgrade", "Upgrade", "websocket", "Sec-Fetch-Mode", "websocket", "Sec-Fetch-Dest", "websocket"), 403, "origin_not_allowed", false},
		{"L-07 Sec-Fetch-Site none", get("/v1/info", "Sec-Fetch-Site", "none"), 403, "origin_not_allowed", false},

		{"L-05 null origin", post("Origin", "null"), 403, "origin_not_allowed", false},
		{"L-05 no origin", post("Origin", "", "Sec-Fetch-Site", "", "Sec-Fetch-Mode", "", "Sec-Fetch-Dest", ""), 403, "origin_not_allowed", false},
		{"L-05 file origin", post("Origin", "file://"), 403, "origin_not_allowed", false},
		{"L-05 extension", post("Origin", "chrome-extension://abcdefghijklmnop"), 403, "origin_not_allowed", false},
		{"L-05 http site", post("Origin", "http://bank.es"), 403, "origin_not_allowed", false},
		{"L-05 suffix", post("Origin", "https://bank.es.evil.com"), 403, "origin_not_allowed", false},
		{"L-05 sub-domain", post("Origin", "https://www.bank.es"), 403, "origin_not_allowed", false},
		{"L-05 other port", post("Origin", "https://bank.es:444"), 403, "origin_not_allowed", false},
		{"L-05 capitals", post("Origin", "https://BANK.es"), 403, "origin_not_allowed", false},
		{"L-05 trailing dot", post("Origin", "https://bank.es."), 403, "origin_not_allowed", false},
		{"L-05 homograph", post("Origin", "https://xn--bnk-7na.es"), 403, "origin_not_allowed", false},
		{"L-05 another developer port", post("Origin", "http://localhost:8181"), 403, "origin_not_allowed", false},

		{"L-12 no token", post("Authorization", ""), 401, "token_invalid", true},
		{"L-12 wrong token", post("Authorization", "Bearer "+strings.Repeat("A", 43)), 401, "token_invalid", true},
		{"L-12 basic", post("Authorization", "Basic YTpi"), 401, "token_invalid", true},
		{"L-12 token in the address", get("/v1/requests/x?access_token=abc", "Authorization", ""), 401, "token_invalid", true},
		{"C-47 PIN in the request", body(`{"pin":"12345",`+signBody()[1:], post()), 400, "request_invalid", true},
		{"unknown member in sign", body(strings.Replace(signBody(), `"sign":{`, `"sign":{"policy":"x",`, 1), post()), 400, "request_invalid", true},
		{"repeated member", body(`{"kind":"sign",`+signBody()[1:], post()), 400, "request_invalid", true},
		{"member in other case", body(strings.Replace(signBody(), `"kind"`, `"Kind"`, 1), post()), 400, "request_invalid", true},
		{"trailing data", body(signBody()+"{}", post()), 400, "request_invalid", true},
		{"no UTF-8", body(strings.Replace(signBody(), "Rental", "Ren\xfftal", 1), post()), 400, "request_invalid", true},
		{"not JSON", body("hello", post()), 400, "request_invalid", true},
		{"deep nesting", body(strings.Repeat(`{"display":`, 20000), post()), 400, "request_invalid", true},
		{"no Idempotency-Key", post("Idempotency-Key", ""), 400, "request_invalid", true},
		{"long Idempotency-Key", post("Idempotency-Key", strings.Repeat("k", 129)), 400, "request_invalid", true},
		{"body over 1 MiB", body(signBodyOf(make([]byte, 1<<20), "x.pdf"), post()), 413, "document_too_large", true},
		{"L-31 digest of other bytes", body(strings.Replace(signBody(), `"value":"`, `"value":"A`, 1), post()), 400, "request_invalid", true},
		{"L-31 SHA-1", body(strings.Replace(signBody(), `"SHA-256"`, `"SHA-1"`, 1), post()), 400, "request_invalid", true},
		{"L-31 digest too short", body(strings.Replace(signBody(), `"value":"`, `"value":"AAAA","x":"`, 1), post()), 400, "request_invalid", true},
		{"L-31 empty digest", body(strings.Replace(signBody(), `"value":"`, `"value":"","x":"`, 1), post()), 400, "request_invalid", true},
		{"L-31 algorithm that is none", body(strings.Replace(signBody(), `"SHA-256"`, `"NONE"`, 1), post()), 400, "request_invalid", true},
		{"L-31 no algorithm", body(strings.Replace(signBody(), `"SHA-256"`, `""`, 1), post()), 400, "request_invalid", true},
		{"L-11 token as cookie", func(b *bench, token string) message {
			m := post("Authorization", "", "Cookie", "token="+token)(b, token)
			return m
		}, 401, "token_invalid", true},
		{"L-30 digest only", body(strings.Replace(signBody(), `"inline"`, `"none"`, 1), post()), 422, "format_unsupported", true},
		{"size that does not fit", body(strings.Replace(signBody(), `"size":`, `"size":1`, 1), post()), 400, "digest_mismatch", true},
		{"P-50 page 0", body(strings.Replace(signBody(), `"level":"B-B"`, `"level":"B-B","visible":{"page":0,"rect":[0,0,10,10]}`, 1), post()), 400, "request_invalid", true},
		{"P-50 page -1", body(strings.Replace(signBody(), `"level":"B-B"`, `"level":"B-B","visible":{"page":-1,"rect":[0,0,10,10]}`, 1), post()), 400, "request_invalid", true},
		{"P-50 page 10⁹", body(strings.Replace(signBody(), `"level":"B-B"`, `"level":"B-B","visible":{"page":1000000000,"rect":[0,0,10,10]}`, 1), post()), 400, "request_invalid", true},
		{"P-50 rect of 10³⁰", body(strings.Replace(signBody(), `"level":"B-B"`, `"level":"B-B","visible":{"page":1,"rect":[0,0,1e30,10]}`, 1), post()), 400, "request_invalid", true},
		{"P-50 negative rect", body(strings.Replace(signBody(), `"level":"B-B"`, `"level":"B-B","visible":{"page":1,"rect":[-5,0,10,10]}`, 1), post()), 400, "request_invalid", true},
		{"P-50 rect the wrong way round", body(strings.Replace(signBody(), `"level":"B-B"`, `"level":"B-B","visible":{"page":1,"rect":[10,10,5,5]}`, 1), post()), 400, "request_invalid", true},
		{"P-50 rect of three", body(strings.Replace(signBody(), `"level":"B-B"`, `"level":"B-B","visible":{"page":1,"rect":[1,2,3]}`, 1), post()), 400, "request_invalid", true},
		{"P-50 NaN", body(strings.Replace(signBody(), `"level":"B-B"`, `"level":"B-B","visible":{"page":1,"rect":["NaN",0,10,10]}`, 1), post()), 400, "request_invalid", true},
		{"P-50 font name", body(strings.Replace(signBody(), `"level":"B-B"`, `"level":"B-B","visible":{"page":1,"rect":[0,0,100,50],"font":"F1 Tf"}`, 1), post()), 400, "request_invalid", true},
		{"not a PDF", body(signBodyOf([]byte("hello"), "x.pdf"), post()), 422, "format_unsupported", true},
		{"authentication key", body(strings.Replace(signBody(), `"kind":"sign"`, `"kind":"authenticate"`, 1), post()), 403, "scope_missing", true},
		{"level that is not served", body(strings.Replace(signBody(), `"B-B"`, `"B-LT"`, 1), post()), 422, "format_unsupported", true},

		{"L-06 HEAD", func(_ *bench, token string) message {
			return message{method: "HEAD", path: "/v1/info", header: page(bank, token)}
		}, 405, "", true},
		{"PUT", func(_ *bench, token string) message {
			return message{method: "PUT", path: "/v1/requests/x/documents/1", header: page(bank, token)}
		}, 405, "method_not_allowed", true},
		{"GET that would change state", get("/v1/requests"), 405, "method_not_allowed", true},
		{"DELETE where there is none", func(_ *bench, token string) message {
			return message{method: "DELETE", path: "/v1/info", header: page(bank, token)}
		}, 405, "method_not_allowed", true},
		{"body on GET", body("{}", get("/v1/info")), 400, "request_invalid", true},
		{"unknown path", get("/v1/pins"), 404, "not_found", true},
		{"path tricks", get("/v1/../v1/info"), 404, "not_found", true},
		{"escaped path", get("/v1/%69nfo%2f"), 404, "not_found", true},
		{"request of nobody", get("/v1/requests/AAAA"), 404, "not_found", true},
		{"unknown parameter", get("/v1/requests/AAAA?callback=x"), 400, "request_invalid", true},
		{"unknown parameter on info", get("/v1/info?callback=x"), 400, "request_invalid", true},
		{"wait that is no number", get("/v1/requests/AAAA?wait=-1"), 400, "request_invalid", true},
		{"pairing of nobody", get("/v1/pairings/AAAA"), 404, "not_found", true},
		{"unknown scope", func(_ *bench, _ string) message {
			return message{method: "POST", path: "/v1/pairings", body: `{"origin_name":"x","scopes":["admin"]}`, header: with(page(bank, ""), jsonType...)}
		}, 400, "request_invalid", true},
		{"scope twice", func(_ *bench, _ string) message {
			return message{method: "POST", path: "/v1/pairings", body: `{"origin_name":"x","scopes":["sign","sign"]}`, header: with(page(bank, ""), jsonType...)}
		}, 400, "request_invalid", true},
		{"pairing from http", func(_ *bench, _ string) message {
			return message{method: "POST", path: "/v1/pairings", body: pairBody, header: with(page("http://bank.es", ""), jsonType...)}
		}, 403, "origin_not_allowed", false},
		{"pairing from null", func(_ *bench, _ string) message {
			return message{method: "POST", path: "/v1/pairings", body: pairBody, header: with(page("null", ""), jsonType...)}
		}, 403, "origin_not_allowed", false},
		{"pairing without origin", func(_ *bench, _ string) message {
			return message{method: "POST", path: "/v1/pairings", body: pairBody, header: map[string]string{"Content-Type": "application/json"}}
		}, 403, "origin_not_allowed", false},
	} {
		t.Run(row.name, func(t *testing.T) {
			b := newBench(t)
			token := b.token(bank, origins.ScopeSign)
			m := row.build(b, token)
			a := b.send(m)
			if a.status != row.status || a.code() != row.code {
				t.Errorf("got %d %s, want %d %s", a.status, a.body, row.status, row.code)
			}
			origin := ""
			if row.cors {
				origin = bank
			}
			b.quiet(t, a, origin)
			if row.code != "" && a.header.Get("Content-Type") != "application/problem+json" {
				t.Errorf("content type is %q", a.header.Get("Content-Type"))
			}
			if a.header.Get("Vary") == "" || a.header.Get("Cache-Control") != "no-store" {
				t.Errorf("headers are %v", a.header)
			}
			// I-8: the next good message works.
			if next := b.send(message{method: "GET", path: "/v1/info", header: page(bank, token)}); next.status != 200 {
				t.Errorf("next message: %d", next.status)
			}
		})
	}
}

// L-12: tokens are bound to origin and scope, requests to their origin.
func TestTokensAndRequestsBelongToTheirOrigin(t *testing.T) {
	b := newBench(t)
	bankToken, labToken := b.token(bank, origins.ScopeSign), b.token(lab, origins.ScopeStatus)
	request := id(t, b.submit(bankToken, "k", signBody()))
	b.final(bankToken, request)
	for _, row := range []struct {
		name, origin, token string
		status              int
		code                string
	}{
		{"token of another origin", lab, bankToken, 401, "token_invalid"},
		{"scope missing", lab, labToken, 403, "scope_missing"},
	} {
		for _, path := range []string{"/v1/requests/" + request, "/v1/requests/" + request + "/documents/1/signed"} {
			if a := b.send(message{method: "GET", path: path, header: page(row.origin, row.token)}); a.status != row.status || a.code() != row.code {
				t.Errorf("%s: %d %s", row.name, a.status, a.body)
			}
		}
	}
	other := b.token("https://other.es", origins.ScopeSign)
	for _, method := range []string{"GET", "DELETE"} {
		if a := b.send(message{method: method, path: "/v1/requests/" + request, header: page("https://other.es", other)}); a.status != 404 {
			t.Errorf("%s another's request: %d", method, a.status)
		}
	}
	if a := b.send(message{method: "DELETE", path: "/v1/pairings/pairing-of-bank.es", header: page("https://other.es", other)}); a.status != 401 {
		t.Errorf("forget another's pairing: %d", a.status)
	}
}

// L-06: exact echo, no wildcard, and nothing for those who are not known.
func TestPreflight(t *testing.T) {
	b := newBench(t)
	b.token(bank, origins.ScopeSign)
	ask := func(origin, path string) answer {
		return b.send(message{method: "OPTIONS", path: path, header: with(page(origin, ""),
			"Access-Control-Request-Method", "POST", "Access-Control-Request-Headers", "authorization,content-type,idempotency-key",
			"Access-Control-Request-Private-Network", "true")})
	}
	a := ask(bank, "/v1/requests")
	if a.status != http.StatusNoContent || a.header.Get("Access-Control-Allow-Origin") != bank ||
		a.header.Get("Access-Control-Allow-Private-Network") != "true" || a.header.Get("Access-Control-Max-Age") != "60" ||
		!strings.Contains(a.header.Get("Access-Control-Allow-Headers"), "idempotency-key") ||
		!strings.Contains(strings.Join(a.header.Values("Vary"), ","), "Origin") {
		t.Errorf("known origin: %d %v", a.status, a.header)
	}
	for _, row := range []struct {
		origin, path string
		allowed      bool
	}{
		{"https://new.es", "/v1/pairings", true},
		{"https://new.es", "/v1/pairings/AAAA", true},
		{"https://new.es", "/v1/requests", false},
		{"https://new.es", "/v1/pairingsx", false},
		{"null", "/v1/pairings", false},
		{"http://new.es", "/v1/pairings", false},
		{lab, "/v1/pairings", true},
	} {
		a := ask(row.origin, row.path)
		if allowed := a.status == http.StatusNoContent && a.header.Get("Access-Control-Allow-Origin") == row.origin; allowed != row.allowed {
			t.Errorf("%s %s: %d %v", row.origin, row.path, a.status, a.header)
		}
	}
}

// L-02, L-18: odd request lines and framing.
func TestOddFramingIsRefused(t *testing.T) {
	b := newBench(t)
	host := "Host: " + b.addr() + "\r\n"
	for _, row := range []struct{ name, text, want string }{
		{"L-02 absolute form", "GET http://evil.example/v1/info HTTP/1.1\r\n" + host + "Connection: close\r\n\r\n", "421"},
		{"L-02 absolute form, own host", "GET http://" + b.addr() + "/v1/info HTTP/1.1\r\n" + host + "Connection: close\r\n\r\n", "421"},
		{"two Hosts", "GET /v1/info HTTP/1.1\r\n" + host + "Host: evil\r\nConnection: close\r\n\r\n", "400"},
		{"no Host", "GET /v1/info HTTP/1.1\r\nConnection: close\r\n\r\n", "400"},
		{"HTTP/1.0 without Host", "GET /v1/info HTTP/1.0\r\n\r\n", "421"},
		{"L-18 length and chunks", "POST /v1/pairings HTTP/1.1\r\n" + host + "Origin: " + bank + "\r\nContent-Type: application/json\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "400"},
		{"L-18 chunks", "POST /v1/pairings HTTP/1.1\r\n" + host + "Origin: " + bank + "\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "400"},
		{"L-18 folded header", "GET /v1/info HTTP/1.1\r\n" + host + "Origin: https://a.example\r\n b\r\nConnection: close\r\n\r\n", "403"},
		{"L-18 blank before the colon", "GET /v1/info HTTP/1.1\r\n" + host + "Origin : " + bank + "\r\nConnection: close\r\n\r\n", "400"},
		{"L-18 bare line feed in a value", "GET /v1/info HTTP/1.1\r\n" + host + "X: a\nOrigin: " + bank + "\r\nConnection: close\r\n\r\n", "403"},
		{"L-18 two lengths", "POST /v1/pairings HTTP/1.1\r\n" + host + "Origin: " + bank + "\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello", "400"},
		{"two Origins", "GET /v1/info HTTP/1.1\r\n" + host + "Origin: " + bank + "\r\nOrigin: " + lab + "\r\nConnection: close\r\n\r\n", "403"},
		{"control in a value", "GET /v1/info HTTP/1.1\r\n" + host + "Origin: https://bank\x0b.es\r\nConnection: close\r\n\r\n", "400"},
		{"L-19 giant header", "GET /v1/info HTTP/1.1\r\n" + host + "X: " + strings.Repeat("a", 40<<10) + "\r\n\r\n", "431"},
		{"CONNECT", "CONNECT 127.0.0.1:22 HTTP/1.1\r\n" + host + "Connection: close\r\n\r\n", "421"},
	} {
		if got := b.raw(row.text); !strings.HasPrefix(got, "HTTP/1.1 "+row.want) && !strings.HasPrefix(got, "HTTP/1.0 "+row.want) {
			t.Errorf("%s: %.60q, want %s", row.name, got, row.want)
		}
	}
}

// L-04, L-20: no page gets a WebSocket, not one that is paired either.
func TestNobodyGetsAWebSocket(t *testing.T) {
	b := newBench(t)
	token := b.token(bank, origins.ScopeSign)
	got := b.raw("GET /v1/info HTTP/1.1\r\nHost: " + b.addr() + "\r\nOrigin: " + bank + "\r\nAuthorization: Bearer " + token +
		"\r\nConnection: Upgrade, close\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n")
	if !strings.HasPrefix(got, "HTTP/1.1 ") || strings.HasPrefix(got, "HTTP/1.1 101") || strings.Contains(got, "Sec-Websocket-Accept") {
		t.Errorf("got %.60q", got)
	}
}

// L-19: who sends a header that never ends, or nothing at all, is left, and
// others are served meanwhile.
func TestSlowClientsAreLeft(t *testing.T) {
	b := newBench(t)
	token := b.token(bank, origins.ScopeSign)
	var slow []net.Conn
	for _, text := range []string{
		"GET /v1/info HTTP/1.1\r\nHost: " + b.addr() + "\r\nX: ",
		"", // says nothing at all
	} {
		conn, err := net.Dial("tcp", b.addr())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if _, err := conn.Write([]byte(text)); err != nil {
			t.Fatal(err)
		}
		slow = append(slow, conn)
	}
	if a := b.send(message{method: "GET", path: "/v1/info", header: page(bank, token)}); a.status != 200 {
		t.Errorf("another page: %d", a.status)
	}
	for i, conn := range slow {
		if err := conn.SetReadDeadline(time.Now().Add(time.Minute)); err != nil {
			t.Fatal(err)
		}
		if _, err := io.Copy(io.Discard, conn); err != nil {
			t.Errorf("client %d still has its connection after a minute: %v", i, err)
		}
	}
}

// Own tools see that the agent is there, and nothing else.
func TestHealthCheckWithoutOriginIsMinimal(t *testing.T) {
	b := newBench(t)
	a := b.send(message{method: "GET", path: "/v1/info"})
	if a.status != 200 || a.header.Get("Access-Control-Allow-Origin") != "" {
		t.Errorf("%d %v", a.status, a.header)
	}
	var v map[string]any
	a.into(t, &v)
	if len(v) != 3 || v["api"] != "1" || v["product"] != "eidagent/test" || v["instance"] == "" {
		t.Errorf("info is %s", a.body)
	}
	if a := b.send(message{method: "GET", path: "/v1/requests/AAAA"}); a.status != 403 {
		t.Errorf("request without origin: %d", a.status)
	}
}

// L-08: nothing but loopback is bound.
func TestDoorIsBoundToLoopbackOnly(t *testing.T) {
	b := newBench(t)
	addresses, err := net.InterfaceAddrs()
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range addresses {
		ip, ok := a.(*net.IPNet)
		if !ok || ip.IP.IsLoopback() || ip.IP.IsLinkLocalUnicast() {
			continue
		}
		conn, err := net.DialTimeout("tcp", net.JoinHostPort(ip.IP.String(), strconv.Itoa(b.port)), time.Second)
		if err == nil {
			conn.Close()
			t.Errorf("%s answers", ip.IP)
		}
	}
}

// L-10: an unknown origin gets one answer, whatever it asks for.
func TestUnknownOriginsGetOneAnswer(t *testing.T) {
	b := newBench(t)
	token := b.token(bank, origins.ScopeSign)
	request := id(t, b.submit(token, "k", signBodyOf(pdfs.Form(), "x.pdf")))
	b.final(token, request)
	var first answer
	for i, path := range []string{"/v1/info", "/v1/requests/" + request, "/v1/requests/AAAA", "/v1/nothing", "/"} {
		a := b.send(message{method: "GET", path: path, header: page("https://evil.es", token)})
		a.header.Del("Date")
		if i == 0 {
			first = a
		} else if a.status != first.status || string(a.body) != string(first.body) || len(a.header) != len(first.header) {
			t.Errorf("%s: %d %v %s", path, a.status, a.header, a.body)
		}
	}
}

// Every code that can be sent is explained.
func TestProblemsDocumentHasEveryCode(t *testing.T) {
	document, err := os.ReadFile("problems.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, code := range []desktop.Code{
		"origin_not_allowed", "scope_missing", "host_mismatch", "token_invalid", "request_invalid", "digest_mismatch",
		"document_too_large", "document_unsafe", "format_unsupported", "busy", "user_declined", "user_timeout", "no_reader", "no_card",
		"card_unsupported", "card_removed", "no_matching_certificate", "certificate_expired", "pin_wrong", "pin_blocked",
		"pin_must_change", "signing_failed", "internal", "not_found", "not_ready", "method_not_allowed", "media_type_unsupported",
	} {
		if !strings.Contains(string(document), `id="`+string(code)+`"`) {
			t.Errorf("problems.md lacks %s", code)
		}
	}
}

// A token that no page fetched is nobody's, also when the agent ends meanwhile: it is
// void by then, and no goroutine is still at the file.
func TestUnfetchedTokensEndWithTheDoor(t *testing.T) {
	b := newBench(t)
	a := b.send(message{
		method: "POST", path: "/v1/pairings", body: `{"origin_name":"Bank","scopes":["sign"]}`,
		header: with(page(bank, ""), "Content-Type", "application/json"),
	})
	if a.status != http.StatusAccepted {
		t.Fatalf("status %d: %s", a.status, a.body)
	}
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(time.Minute); len(b.store.List()) == 0; <-tick.C {
		if time.Now().After(deadline) {
			t.Fatal("the pairing was never stored")
		}
	}
	b.stop()
	if kept := b.store.List(); len(kept) != 0 {
		t.Errorf("%d pairings are left whose token nobody has", len(kept))
	}
}
