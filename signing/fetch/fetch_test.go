package fetch

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"
)

// TestClientStaysOutsideThisNetwork goes where certificates must not send us
// (P-78; names that change what they mean are in rebinding_test.go).
func TestClientStaysOutsideThisNetwork(t *testing.T) {
	reached := false
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { reached = true }))
	defer server.Close()
	_, port, _ := net.SplitHostPort(server.Listener.Addr().String())
	c := New(Options{Timeout: time.Minute}) // refused at once, but perhaps on a loaded machine
	for _, address := range []string{
		server.URL, "http://localhost:" + port, "http://[::1]:" + port, "http://[::ffff:127.0.0.1]:" + port, "http://0.0.0.0:" + port,
		"http://169.254.169.254/latest", "http://10.0.0.1", "http://192.168.1.1", "http://[fe80::1]", "http://100.64.0.1",
		"file:///etc/passwd", "ldap://127.0.0.1/", "gopher://127.0.0.1/", "http://", "//127.0.0.1", "",
		"http://user:word@example.invalid/", "http://example.invalid/" + strings.Repeat("a", maxURL),
	} {
		if _, err := c.Get(t.Context(), address, 10); !errors.Is(err, ErrForbidden) {
			t.Errorf("%.60s: %v", address, err)
		}
	}
	if reached {
		t.Error("a request went to this machine")
	}
}

func TestClientJudgesEveryRedirect(t *testing.T) {
	inside := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("redirected inside") }))
	defer inside.Close()
	var outside *httptest.Server
	outside = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/inside":
			http.Redirect(w, r, inside.URL, http.StatusFound)
		case "/file":
			http.Redirect(w, r, "file:///etc/passwd", http.StatusFound)
		case "/ring":
			http.Redirect(w, r, outside.URL+"/ring", http.StatusFound)
		case "/1":
			http.Redirect(w, r, outside.URL+"/2", http.StatusFound)
		case "/2":
			http.Redirect(w, r, outside.URL+"/here", http.StatusFound)
		case "/here":
			_, _ = io.WriteString(w, "here")
		}
	}))
	defer outside.Close()
	c := New(Options{Allow: []string{outside.Listener.Addr().String()}})
	for _, path := range []string{"/inside", "/file", "/ring"} {
		if _, err := c.Get(t.Context(), outside.URL+path, 10); !errors.Is(err, ErrForbidden) {
			t.Errorf("%s: %v", path, err)
		}
	}
	if got, err := c.Get(t.Context(), outside.URL+"/1", 10); err != nil || string(got) != "here" {
		t.Errorf("two redirects: %q, %v", got, err)
	}
}

func TestClientBoundsSizeAndTime(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/ten":
			_, _ = io.WriteString(w, "0123456789")
		case "/endless":
			for r.Context().Err() == nil {
				if _, err := w.Write(make([]byte, 1024)); err != nil {
					return
				}
			}
		case "/silent":
			<-r.Context().Done()
		default:
			http.NotFound(w, r)
		}
	}))
	defer server.Close()
	allow := []string{server.Listener.Addr().String()}
	c := New(Options{Allow: allow, Timeout: time.Minute})
	if got, err := c.Get(t.Context(), server.URL+"/ten", 10); err != nil || len(got) != 10 {
		t.Errorf("at the limit: %v", err)
	}
	for path, want := range map[string]error{"/ten": ErrTooLarge, "/endless": ErrTooLarge, "/nothing": ErrStatus} {
		if _, err := c.Get(t.Context(), server.URL+path, 9); !errors.Is(err, want) {
			t.Errorf("%s: %v", path, err)
		}
	}
	begin := time.Now()
	if _, err := New(Options{Allow: allow, Timeout: 300 * time.Millisecond}).Get(t.Context(), server.URL+"/silent", 9); err == nil || time.Since(begin) > 30*time.Second {
		t.Errorf("silent server: %v after %s", err, time.Since(begin))
	}
	if _, err := c.Post(t.Context(), server.URL+"/ten", "application/timestamp-query", "application/timestamp-reply", nil, 10); !errors.Is(err, ErrStatus) {
		t.Errorf("another media type: %v", err)
	}
}

func TestPublicKnowsReservedAddresses(t *testing.T) {
	for address, want := range map[string]bool{
		"8.8.8.8": true, "2a00:1450::1": true, "127.0.0.1": false, "::1": false, "::": false, "224.0.0.1": false, "ff02::1": false,
		"fc00::1": false, "::ffff:10.0.0.1": false, "64:ff9b::7f00:1": false, "2002:7f00:1::": false, "255.255.255.255": false,
	} {
		if got := Public(netip.MustParseAddr(address)); got != want {
			t.Errorf("Public(%s) = %v", address, got)
		}
	}
}

// TestAccountIsForItsServer: name, password and client certificate reach the server
// that wants them, over TLS alone, and go nowhere that it redirects to.
func TestAccountIsForItsServer(t *testing.T) {
	elsewhere := httptest.NewTLSServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("taken along") }))
	defer elsewhere.Close()
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if user, password, _ := r.BasicAuth(); user != "acme" || password != "open sesame" || len(r.TLS.PeerCertificates) != 1 {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		if r.URL.Path == "/away" {
			http.Redirect(w, r, elsewhere.URL, http.StatusTemporaryRedirect)
			return
		}
		_, _ = io.WriteString(w, "stamped")
	}))
	server.TLS = &tls.Config{ClientAuth: tls.RequestClientCert}
	server.StartTLS()
	defer server.Close()
	roots := x509.NewCertPool()
	roots.AddCert(server.Certificate())
	allow := []string{server.Listener.Addr().String(), elsewhere.Listener.Addr().String()}
	known := Account{User: "acme", Password: "open sesame", Certificate: &server.TLS.Certificates[0], Roots: roots}
	change := func(f func(*Account)) *Account {
		a := known
		f(&a)
		return &a
	}
	for _, row := range []struct {
		name    string
		account *Account
		url     string
		want    error
	}{
		{"known", &known, server.URL, nil},
		{"another password", change(func(a *Account) { a.Password = "x" }), server.URL, ErrStatus},
		{"no certificate", change(func(a *Account) { a.Certificate = nil }), server.URL, ErrStatus},
		{"no name", change(func(a *Account) { a.User = "" }), server.URL, ErrStatus},
		{"without TLS", &known, "http://" + allow[0], ErrForbidden},
		{"redirect", &known, server.URL + "/away", ErrForbidden},
	} {
		t.Run(row.name, func(t *testing.T) {
			got, err := New(Options{Allow: allow, Account: row.account}).Get(t.Context(), row.url, 100)
			if !errors.Is(err, row.want) || row.want == nil && string(got) != "stamped" {
				t.Errorf("%q, %v", got, err)
			}
			if err != nil && strings.Contains(err.Error(), "sesame") {
				t.Errorf("the error tells the password: %v", err)
			}
		})
	}
	t.Run("server that nobody vouches for", func(t *testing.T) {
		if _, err := New(Options{Allow: allow, Account: change(func(a *Account) { a.Roots = nil })}).Get(t.Context(), server.URL, 100); err == nil {
			t.Error("asked all the same")
		}
	})
}

// TestPostOutlivesConnections: a server may end a connection that it kept just when it
// is used again (RFC 9112 9.5). The question is put once more, on another connection.
func TestPostOutlivesConnections(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	connections := make(chan int, 10)
	go func() {
		for n := 0; ; n++ {
			c, err := listener.Accept()
			if err != nil {
				close(connections)
				return
			}
			connections <- n
			go answerOnce(c)
		}
	}()
	c := New(Options{Allow: []string{listener.Addr().String()}, Timeout: time.Minute})
	defer c.http.CloseIdleConnections()
	for i := range 3 {
		got, err := c.Post(t.Context(), "http://"+listener.Addr().String(), "application/ocsp-request", "application/ocsp-response", []byte("question"), 100)
		if err != nil || string(got) != "question" {
			t.Errorf("question %d: %q, %v", i, got, err)
		}
	}
	if err := listener.Close(); err != nil {
		t.Fatal(err)
	}
	n := 0
	for range connections {
		n++
	}
	if n != 3 {
		t.Errorf("%d connections for 3 questions", n)
	}
}

// answerOnce gives a question back, and ends the connection at the next one.
func answerOnce(c net.Conn) {
	defer func() { _ = c.Close() }()
	in := bufio.NewReader(c)
	for i := range 2 {
		r, err := http.ReadRequest(in)
		if err != nil {
			return
		}
		body, err := io.ReadAll(r.Body)
		if err != nil || i > 0 {
			return
		}
		if _, err := fmt.Fprintf(c, "HTTP/1.1 200 OK\r\nContent-Type: application/ocsp-response\r\nContent-Length: %d\r\n\r\n%s", len(body), body); err != nil {
			return
		}
	}
}
