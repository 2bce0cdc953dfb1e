package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/eidbridge/eidbridge/fixtures/freeport"
)

// Requests as no browser sends them, byte by byte, to the server as it is run.
// Those that two programs could read in two ways are refused and end the
// connection (W-41), requests for less, for later or for another protocol are
// answered plainly or refused (W-49), and what is personal is never at an address
// that a cache takes for a picture (W-50).
func TestRequestsAtTheEdge(t *testing.T) {
	dir := t.TempDir()
	config, address := filepath.Join(dir, "c.toml"), freeport.Address(t)
	write(t, config, fmt.Sprintf("issuer = \"http://%s\"\nlisten = %q\n", address, address))
	b := start(t, "--config", config)
	const body = "client_id=x"
	form := "Content-Type: application/x-www-form-urlencoded\r\n"
	for name, c := range map[string]struct {
		request string
		want    []int
		closes  bool
	}{
		"W-41 two different lengths":       {"POST /token HTTP/1.1\r\nHost: @\r\n" + form + "Content-Length: 11\r\nContent-Length: 12\r\n\r\n" + body, []int{400}, true},
		"W-41 a length with a sign":        {"POST /token HTTP/1.1\r\nHost: @\r\n" + form + "Content-Length: +11\r\n\r\n" + body, []int{400}, true},
		"W-41 a list of lengths":           {"POST /token HTTP/1.1\r\nHost: @\r\n" + form + "Content-Length: 11, 12\r\n\r\n" + body, []int{400}, true},
		"W-41 an unknown coding":           {"POST /token HTTP/1.1\r\nHost: @\r\n" + form + "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", []int{400, 501}, true},
		"W-41 two codings":                 {"POST /token HTTP/1.1\r\nHost: @\r\n" + form + "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n", []int{400, 501}, true},
		"W-41 a blank before the colon":    {"POST /token HTTP/1.1\r\nHost: @\r\n" + form + "Content-Length : 11\r\n\r\n" + body, []int{400}, true},
		"W-41 a chunk that ends in LF":     {"POST /token HTTP/1.1\r\nHost: @\r\n" + form + "Transfer-Encoding: chunked\r\n\r\nb\n" + body + "\r\n0\r\n\r\n", []int{400}, true},
		"W-41 a length and chunks":         {"POST /token HTTP/1.1\r\nHost: @\r\n" + form + "Content-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nG", []int{400}, true},
		"W-41 chunks and a length":         {"POST /token HTTP/1.1\r\nHost: @\r\n" + form + "Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\n", []int{400}, true},
		"W-41 the same length twice":       {"POST /token HTTP/1.1\r\nHost: @\r\n" + form + "Content-Length: 11\r\nContent-Length: 11\r\n\r\n" + body, []int{400}, true},
		"W-41 chunks in HTTP/1.0":          {"POST /token HTTP/1.0\r\nHost: @\r\n" + form + "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", []int{400}, true},
		"W-41 a field that ends in LF":     {"GET /jwks HTTP/1.1\r\nHost: @\r\nX-A: b\nX-B: c\r\n\r\n", []int{400}, true},
		"W-41 a folded header":             {"GET /jwks HTTP/1.1\r\nHost: @\r\nX-A: b\r\n\tTransfer-Encoding: chunked\r\n\r\n", []int{400}, true},
		"W-41 a form in chunks":            {"POST /token HTTP/1.1\r\nHost: @\r\n" + form + "Transfer-Encoding: chunked\r\n\r\nb\r\n" + body + "\r\n0\r\n\r\n", []int{401}, false},
		"W-43 two hosts":                   {"GET /jwks HTTP/1.1\r\nHost: @\r\nHost: evil.example\r\n\r\n", []int{400}, true},
		"W-43 a host in an absolute URL":   {"GET http://evil.example/jwks HTTP/1.1\r\nHost: @\r\n\r\n", []int{421}, false},
		"W-43 another host":                {"GET /jwks HTTP/1.1\r\nHost: evil.example\r\n\r\n", []int{421}, false},
		"W-43 another port":                {"GET /jwks HTTP/1.1\r\nHost: 127.0.0.1:1\r\n\r\n", []int{421}, false},
		"W-43 no port":                     {"GET /jwks HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", []int{421}, false},
		"W-43 a host with a dot":           {"GET /jwks HTTP/1.1\r\nHost: 127.0.0.1.:80\r\n\r\n", []int{421}, false},
		"W-43 a user before the host":      {"GET /jwks HTTP/1.1\r\nHost: x@@\r\n\r\n", []int{400, 421}, false},
		"W-43 an empty host":               {"GET /jwks HTTP/1.1\r\nHost:\r\n\r\n", []int{400, 421}, false},
		"W-43 no host":                     {"GET /jwks HTTP/1.1\r\n\r\n", []int{400}, true},
		"W-43 no host in HTTP/1.0":         {"GET /jwks HTTP/1.0\r\n\r\n", []int{421}, true},
		"W-46 a header of 64 KiB":          {"GET /jwks HTTP/1.1\r\nHost: @\r\nX-A: " + strings.Repeat("a", 64<<10) + "\r\n\r\n", []int{431}, true},
		"W-46 a form of a million keys":    {"POST /token HTTP/1.1\r\nHost: @\r\n" + form + "Content-Length: 2000000\r\n\r\n" + strings.Repeat("a&", 1_000_000), []int{400, 413}, true},
		"W-46 a compressed form":           {"POST /token HTTP/1.1\r\nHost: @\r\n" + form + "Content-Encoding: gzip\r\nContent-Length: 4\r\n\r\n\x1f\x8b\x08\x00", []int{400, 401}, false},
		"W-49 a range of a document":       {"GET /jwks HTTP/1.1\r\nHost: @\r\nRange: bytes=0-3\r\n\r\n", []int{200}, false},
		"W-49 ranges of an asset":          {"GET /assets/style.css HTTP/1.1\r\nHost: @\r\nRange: bytes=0-0,0-0,0-0,0-0,0-99999999\r\n\r\n", []int{200, 206, 416}, false},
		"W-49 another expectation":         {"POST /token HTTP/1.1\r\nHost: @\r\n" + form + "Expect: 200-ok\r\nContent-Length: 11\r\n\r\n" + body, []int{417}, true},
		"W-49 an upgrade to h2c":           {"GET /jwks HTTP/1.1\r\nHost: @\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n", []int{200}, false},
		"W-49 HTTP/2 without asking":       {"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", []int{400, 405, 421, 505}, true},
		"W-50 a style sheet below a page":  {"GET /device/x.css HTTP/1.1\r\nHost: @\r\n\r\n", []int{404}, false},
		"W-50 a picture after a semicolon": {"GET /device;x.png HTTP/1.1\r\nHost: @\r\n\r\n", []int{404}, false},
		"W-50 a page":                      {"GET /device HTTP/1.1\r\nHost: @\r\n\r\n", []int{200}, false},
		"W-47 a tunnel":                    {"CONNECT evil.example:443 HTTP/1.1\r\nHost: evil.example:443\r\n\r\n", []int{400, 404, 405, 421}, false},
		"W-47 another method by a header":  {"GET /token HTTP/1.1\r\nHost: @\r\nX-HTTP-Method-Override: POST\r\n\r\n", []int{405}, false},
		"W-47 to put a document":           {"PUT /jwks HTTP/1.1\r\nHost: @\r\nContent-Length: 2\r\n\r\n{}", []int{405}, false},
		"W-47 to delete a document":        {"DELETE /jwks HTTP/1.1\r\nHost: @\r\n\r\n", []int{405}, false},
		"W-51 figures":                     {"GET /metrics HTTP/1.1\r\nHost: @\r\n\r\n", []int{404}, false},
		"W-51 readiness":                   {"GET /readyz HTTP/1.1\r\nHost: @\r\n\r\n", []int{404}, false},
		"W-51 profiles":                    {"GET /debug/pprof/ HTTP/1.1\r\nHost: @\r\n\r\n", []int{404}, false},
		"W-51 variables":                   {"GET /debug/vars HTTP/1.1\r\nHost: @\r\n\r\n", []int{404}, false},
		"W-51 the operators' doors":        {"GET /v1/clients HTTP/1.1\r\nHost: @\r\n\r\n", []int{404}, false},
		"W-47 a method of nobody":          {"TRACE /jwks HTTP/1.1\r\nHost: @\r\n\r\n", []int{405}, false},
	} {
		t.Run(name, func(t *testing.T) {
			conn, err := net.Dial("tcp", address)
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			if err := conn.SetDeadline(time.Now().Add(2 * time.Minute)); err != nil {
				t.Fatal(err)
			}
			// What is refused early may not be read to its end.
			go func() { _, _ = io.WriteString(conn, strings.ReplaceAll(c.request, "@", address)) }()
			in := bufio.NewReader(conn)
			resp, err := http.ReadResponse(in, nil)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := io.Copy(io.Discard, resp.Body); err != nil && !c.closes {
				t.Error(err)
			}
			found := false
			for _, code := range c.want {
				found = found || code == resp.StatusCode
			}
			if !found {
				t.Errorf("status %d, want %v", resp.StatusCode, c.want)
			}
			if resp.StatusCode < 300 && strings.Contains(name, "a page") && resp.Header.Get("Cache-Control") != "no-store" {
				t.Errorf("a page may be kept: %v", resp.Header)
			}
			if c.closes {
				if _, err := in.ReadByte(); err == nil {
					t.Error("the connection goes on")
				}
			}
		})
	}
	b.stop()
}

// W-44: behind a proxy the broker speaks no HTTP/2, which the proxy does: who sends its frames
// by the thousand, resets, continuations or pings, loses the connection at once, and
// others are served.
func TestHTTP2FloodsFindNobody(t *testing.T) {
	dir := t.TempDir()
	config, address := filepath.Join(dir, "c.toml"), freeport.Address(t)
	write(t, config, fmt.Sprintf("issuer = \"http://%s\"\nlisten = %q\n", address, address))
	b := start(t, "--config", config)
	const preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00"
	frames := map[string]string{
		"W-44 rapid reset":   "\x00\x00\x01\x01\x04\x00\x00\x00\x01\x82\x00\x00\x04\x03\x00\x00\x00\x00\x01\x00\x00\x00\x08",
		"W-44 continuations": "\x00\x00\x01\x09\x00\x00\x00\x00\x01\x82",
		"W-44 settings":      "\x00\x00\x06\x04\x00\x00\x00\x00\x00\x00\x03\x00\x00\x00\x64",
		"W-44 pings":         "\x00\x00\x08\x06\x00\x00\x00\x00\x0012345678",
	}
	var all sync.WaitGroup
	for name, frame := range frames {
		for range 10 {
			all.Go(func() {
				conn, err := net.Dial("tcp", address)
				if err != nil {
					t.Errorf("%s: %v", name, err)
					return
				}
				defer conn.Close()
				_ = conn.SetDeadline(time.Now().Add(2 * time.Minute))
				_, _ = io.WriteString(conn, preface+strings.Repeat(frame, 10_000)) // it may not be read to its end
				answer, err := io.ReadAll(conn)
				if timeout := net.Error(nil); errors.As(err, &timeout) && timeout.Timeout() {
					t.Errorf("%s: the connection is still there", name)
				}
				if len(answer) > 4096 || len(answer) > 0 && !bytes.HasPrefix(answer, []byte("HTTP/1.1 ")) {
					t.Errorf("%s: %q", name, answer[:min(len(answer), 80)])
				}
			})
		}
	}
	begun := time.Now()
	if code, _ := get(t, "http://"+address+"/jwks"); code != http.StatusOK || time.Since(begun) > 30*time.Second {
		t.Errorf("others are served with %d after %s", code, time.Since(begun))
	}
	all.Wait()
	b.stop()
}
