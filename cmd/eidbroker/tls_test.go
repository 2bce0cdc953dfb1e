package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/net/http2"

	"github.com/eidbridge/eidbridge/fixtures/freeport"
)

// secured is a broker that speaks https itself, as login.example and www.login.example,
// for which other.example is on the certificate too.
type secured struct {
	started
	dir, config, address, monitor string
	settings                      string
	authority                     *webAuthority
	callers                       *webAuthority // who certifies clients
}

func startSecured(t *testing.T) *secured {
	t.Helper()
	s := prepareSecured(t)
	s.started = start(t, "--config", s.config)
	return s
}

// prepareSecured writes the configuration.
func prepareSecured(t *testing.T) *secured {
	t.Helper()
	s := &secured{dir: t.TempDir(), address: freeport.Address(t), monitor: freeport.Address(t), authority: newWebAuthority(t, "web"), callers: newWebAuthority(t, "callers")}
	s.config = filepath.Join(s.dir, "c.toml")
	writeCertificate(t, s.dir, s.authority.forServer(t, "login.example", "www.login.example", "other.example"))
	s.trustCallers(t, s.callers)
	s.settings = fmt.Sprintf(`issuer = "https://login.example"
listen = %q
monitor_listen = %q
client_roots = "callers.pem"
[tls]
certificate = "chain.pem"
key = "key.pem"
names = ["www.login.example"]
client_certificates = true
[[clients]]
id = "portal"
name = "Portal"
min_level = "low"
auth = "tls_client_auth"
tls_name = "portal.example"
redirect_uris = ["https://portal.example/callback"]
`, s.address, s.monitor)
	write(t, s.config, s.settings)
	return s
}

func (s *secured) trustCallers(t *testing.T, a *webAuthority) {
	t.Helper()
	write(t, filepath.Join(s.dir, "callers.pem"), certificatePEM(tls.Certificate{Certificate: [][]byte{a.certificate.Raw}}))
}

// caller is the portal's certificate.
func (s *secured) caller(t *testing.T) tls.Certificate {
	t.Helper()
	return s.callers.issue(t, x509.Certificate{Subject: pkix.Name{CommonName: "portal"}, DNSNames: []string{"portal.example"}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}})
}

func (s *secured) tls(name string) *tls.Config {
	return &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: s.authority.pool(), ServerName: name}
}

// client goes to the broker whatever the host of a request.
func (s *secured) client(config *tls.Config, h2 bool) *http.Client {
	transport := &http.Transport{TLSClientConfig: config, ForceAttemptHTTP2: h2}
	if h2 {
		transport.Protocols = new(http.Protocols)
		transport.Protocols.SetHTTP2(true)
	}
	dialer := &net.Dialer{}
	address := s.address
	transport.DialContext = func(ctx context.Context, network, _ string) (net.Conn, error) {
		return dialer.DialContext(ctx, network, address)
	}
	return &http.Client{Transport: transport, Timeout: 2 * time.Minute}
}

func (s *secured) get(t *testing.T, client *http.Client, address, host string) (status int, protocol string, state tls.ConnectionState) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, address, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Host = host
	resp, err := client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if _, err := io.Copy(io.Discard, resp.Body); err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, resp.Proto, *resp.TLS
}

func (s *secured) reload(t *testing.T, said string) {
	t.Helper()
	if err := syscall.Kill(os.Getpid(), syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	s.await(t, said)
}

// W-52, W-43: the broker's own listener speaks both protocols for its names, refuses
// others, and a connection for one name is not for another.
func TestOwnListenerSpeaksHTTPS(t *testing.T) {
	s := startSecured(t)
	for _, c := range []struct {
		name, host string
		h2         bool
		status     int
		protocol   string
	}{
		{"login.example", "login.example", false, 200, "HTTP/1.1"},
		{"login.example", "login.example", true, 200, "HTTP/2.0"},
		{"login.example", "www.login.example", false, 421, "HTTP/1.1"},
		{"login.example", "www.login.example", true, 421, "HTTP/2.0"},
		{"www.login.example", "login.example", true, 421, "HTTP/2.0"},
		{"www.login.example", "www.login.example", false, 421, "HTTP/1.1"}, // the issuer has another name
		{"login.example", "other.example", true, 421, "HTTP/2.0"},
	} {
		status, protocol, state := s.get(t, s.client(s.tls(c.name), c.h2), "https://"+c.name+"/jwks", c.host)
		if status != c.status || protocol != c.protocol || state.Version != tls.VersionTLS13 {
			t.Errorf("%+v: %d %s", c, status, protocol)
		}
	}
	for _, name := range []string{"other.example", "evil.example", "127.0.0.1"} {
		config := s.tls(name)
		config.InsecureSkipVerify = true
		if _, err := tls.Dial("tcp", s.address, config); err == nil || !strings.Contains(err.Error(), "unrecognized name") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if code, body := get(t, "http://"+s.address+"/jwks"); code != http.StatusBadRequest {
		t.Errorf("plain HTTP is answered by %d %s", code, body)
	}
	// The client knows of a failure before it is counted.
	for _, line := range []string{"eidbroker_tls_refused_names 3", "eidbroker_tls_failed_handshakes 4"} {
		var figures []byte
		for deadline := time.Now().Add(time.Minute); !bytes.Contains(figures, []byte(line)) && time.Now().Before(deadline); {
			_, figures = get(t, "http://"+s.monitor+"/metrics")
		}
		if !bytes.Contains(figures, []byte(line)) {
			t.Errorf("no %s", line)
		}
	}
	if s.stop(); strings.Contains(s.log.String(), "handshake error") {
		t.Errorf("it told addresses: %s", s.log)
	}
}

// W-41 over TLS: what could end in two places is refused there too.
func TestOwnListenerRefusesTwoEnds(t *testing.T) {
	s := startSecured(t)
	conn, err := tls.Dial("tcp", s.address, s.tls("login.example"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }() // the broker may have
	if err := conn.SetDeadline(time.Now().Add(2 * time.Minute)); err != nil {
		t.Fatal(err)
	}
	fmt.Fprint(conn, "GET /jwks HTTP/1.1\r\nHost: login.example\r\n\r\nPOST /token HTTP/1.1\r\nHost: login.example\r\nContent-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nG")
	in := bufio.NewReader(conn)
	for _, want := range []int{200, 400} {
		resp, err := http.ReadResponse(in, nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.Copy(io.Discard, resp.Body); err != nil || resp.StatusCode != want {
			t.Errorf("%d %v, want %d", resp.StatusCode, err, want)
		}
	}
	if _, err := in.ReadByte(); err == nil {
		t.Error("the connection goes on")
	}
}

// W-52: certificates of clients count for the connection they were shown on, by the
// roots of now, and never by a header or a ticket.
func TestOwnListenerAsksClientsForCertificates(t *testing.T) {
	s := startSecured(t)
	caller := s.caller(t)
	ask := func(client *http.Client, headers ...string) (string, tls.ConnectionState) {
		t.Helper()
		form := url.Values{"grant_type": {"authorization_code"}, "code": {"none"}, "redirect_uri": {"https://portal.example/callback"}, "client_id": {"portal"}, "code_verifier": {strings.Repeat("v", 43)}}
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "https://login.example/token", strings.NewReader(form.Encode()))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		if len(headers) > 0 {
			r.Header.Set(headers[0], headers[1])
		}
		resp, err := client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		for _, code := range []string{"invalid_client", "invalid_grant"} {
			if bytes.Contains(body, []byte(code)) {
				return code, *resp.TLS
			}
		}
		t.Fatalf("%d %s", resp.StatusCode, body)
		return "", tls.ConnectionState{}
	}
	with := s.tls("login.example")
	with.Certificates, with.ClientSessionCache = []tls.Certificate{caller}, tls.NewLRUClientSessionCache(10)
	client := s.client(with, false)
	if got, _ := ask(client); got != "invalid_grant" {
		t.Errorf("with its certificate: %s", got)
	}
	// Another connection with the ticket of the first: the certificate is shown anew.
	got, state := ask(s.client(with, false))
	if got != "invalid_grant" || state.DidResume {
		t.Errorf("another connection: %s, resumed %v", got, state.DidResume)
	}
	header := ":" + base64.StdEncoding.EncodeToString(caller.Certificate[0]) + ":"
	if got, _ := ask(s.client(s.tls("login.example"), false), "Client-Cert", header); got != "invalid_client" {
		t.Errorf("by a header: %s", got)
	}
	// The ticket without the certificate gives nothing.
	without := with.Clone()
	without.Certificates = nil
	if got, state := ask(s.client(without, false)); got != "invalid_client" || state.DidResume {
		t.Errorf("by the ticket: %s, resumed %v", got, state.DidResume)
	}
	// Other roots count at once, on connections that are there too.
	s.trustCallers(t, newWebAuthority(t, "others"))
	s.reload(t, "configuration reloaded")
	if got, _ := ask(client); got != "invalid_client" {
		t.Errorf("by roots of before: %s", got)
	}
}

// W-52: a new certificate is taken up at SIGHUP, one that is wrong is told of and not.
func TestHangupTakesTheNewCertificate(t *testing.T) {
	s := startSecured(t)
	serial := func() string {
		t.Helper()
		_, _, state := s.get(t, s.client(s.tls("login.example"), false), "https://login.example/jwks", "login.example")
		return state.PeerCertificates[0].SerialNumber.String()
	}
	first := serial()
	renewed := s.authority.forServer(t, "login.example", "www.login.example")
	write(t, filepath.Join(s.dir, "chain.pem"), certificatePEM(renewed)) // the key is not there yet
	s.reload(t, "private key does not match public key")
	if serial() != first {
		t.Error("half of a new certificate was taken")
	}
	write(t, filepath.Join(s.dir, "key.pem"), privatePEM(t, renewed))
	s.reload(t, "configuration reloaded")
	if got := serial(); got != renewed.Leaf.SerialNumber.String() {
		t.Errorf("after the reload %s, want %s", got, renewed.Leaf.SerialNumber)
	}
	writeCertificate(t, s.dir, s.authority.forServer(t, "login.example"))
	s.reload(t, "the certificate is not for www.login.example")
	write(t, s.config, strings.Replace(s.settings, "[tls]", "[telemetry]\n[lifetimes]\n[abuse]\n", 1))
	s.reload(t, "unknown setting")
	if got := serial(); got != renewed.Leaf.SerialNumber.String() {
		t.Errorf("after a wrong one %s", got)
	}
	write(t, s.config, s.settings[:strings.Index(s.settings, "[tls]")]+s.settings[strings.Index(s.settings, "[[clients]]"):])
	s.reload(t, "tls can only change with a restart")
}

// W-52: check-config and serve name what is wrong with a certificate.
func TestWrongCertificatesAreRefused(t *testing.T) {
	authority := newWebAuthority(t, "web")
	of := func(from, until time.Time, usage x509.ExtKeyUsage) tls.Certificate {
		return authority.issue(t, x509.Certificate{DNSNames: []string{"login.example"}, NotBefore: from, NotAfter: until, ExtKeyUsage: []x509.ExtKeyUsage{usage}})
	}
	now, good := time.Now(), authority.forServer(t, "login.example")
	for name, c := range map[string]struct {
		certificate tls.Certificate
		issuer      string
		spoil       func(dir string) error
		want        string
	}{
		"none is wrong":   {good, "https://login.example", nil, ""},
		"another name":    {good, "https://signin.example", nil, "c.toml:3: tls: the certificate is not for signin.example"},
		"an address":      {good, "https://192.0.2.1", nil, "c.toml:3: tls: 192.0.2.1 is an address"},
		"it has ended":    {of(now.Add(-2*time.Hour), now.Add(-time.Hour), x509.ExtKeyUsageServerAuth), "https://login.example", nil, "c.toml:3: tls: the certificate was valid until"},
		"it begins later": {of(now.Add(time.Hour), now.Add(2*time.Hour), x509.ExtKeyUsageServerAuth), "https://login.example", nil, "c.toml:3: tls: the certificate is not valid before"},
		"a client's":      {of(now.Add(-time.Hour), now.Add(time.Hour), x509.ExtKeyUsageClientAuth), "https://login.example", nil, "c.toml:3: tls: the certificate is not for a server"},
		"another key": {good, "https://login.example", func(d string) error {
			return os.WriteFile(d+"/key.pem", []byte(privatePEM(t, authority.forServer(t, "x"))), 0o600)
		}, "c.toml:3: certificate and key: tls: private key does not match"},
		"everybody's key":  {good, "https://login.example", func(d string) error { return os.Chmod(d+"/key.pem", 0o644) }, "c.toml:4: tls: key: "},
		"half of a key":    {good, "https://login.example", func(d string) error { return os.Truncate(d+"/key.pem", 40) }, "c.toml:3: certificate and key: tls: "},
		"half of a chain":  {good, "https://login.example", func(d string) error { return os.Truncate(d+"/chain.pem", 40) }, "c.toml:3: certificate and key: tls: "},
		"a key that links": {good, "https://login.example", func(d string) error { return relink(d, "key.pem") }, "is not a regular file"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			config := filepath.Join(dir, "c.toml")
			writeCertificate(t, dir, c.certificate)
			if c.spoil != nil {
				if err := c.spoil(dir); err != nil {
					t.Fatal(err)
				}
			}
			write(t, config, fmt.Sprintf("issuer = %q\n[tls]\ncertificate = \"chain.pem\"\nkey = \"key.pem\"\n", c.issuer))
			code, _, errs := call(t, "check-config", "--config", config)
			if c.want == "" {
				if code != 0 {
					t.Errorf("%d %s", code, errs)
				}
				return
			}
			if code != 1 || !strings.Contains(errs, c.want) {
				t.Errorf("check-config: %d %q, want %q", code, errs, c.want)
			}
			if code, _, errs := call(t, "serve", "--config", config); code != 1 || !strings.Contains(errs, c.want) {
				t.Errorf("serve: %d %q, want %q", code, errs, c.want)
			}
		})
	}
}

// W-44: where the broker speaks HTTP/2 itself, who floods it with resets, continuations,
// or pings loses the connection, and others are served meanwhile. Settings are answered
// by one acknowledgement, however many there were, so that they pile up nothing.
func TestOwnListenerEndsHTTP2Floods(t *testing.T) {
	s := startSecured(t)
	const head = "\x82\x84\x87\x41\x0dlogin.example" // GET / https login.example
	stream := func(n int) string { return string([]byte{0, byte(n >> 16), byte(n >> 8), byte(n)}) }
	for name, flood := range map[string]struct {
		frames int
		ends   bool
		frame  func(n int) string
	}{
		"rapid reset": {1 << 22, true, func(n int) string {
			return "\x00\x00\x12\x01\x05" + stream(2*n+1) + head + "\x00\x00\x04\x03\x00" + stream(2*n+1) + "\x00\x00\x00\x08"
		}},
		"continuations": {1 << 22, true, func(n int) string {
			if n == 0 {
				return "\x00\x00\x12\x01\x01\x00\x00\x00\x01" + head
			}
			return "\x00\x00\x0a\x09\x00\x00\x00\x00\x01\x40\x03x-a\x04bbbb"
		}},
		"settings": {100_000, false, func(int) string { return "\x00\x00\x06\x04\x00\x00\x00\x00\x00\x00\x03\x00\x00\x00\x64" }},
		"pings":    {1 << 22, true, func(int) string { return "\x00\x00\x08\x06\x00\x00\x00\x00\x0012345678" }},
	} {
		t.Run(name, func(t *testing.T) {
			config := s.tls("login.example")
			config.NextProtos = []string{"h2"}
			conn, err := tls.Dial("tcp", s.address, config)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = conn.Close() }() // the broker may have
			if err := conn.SetDeadline(time.Now().Add(2 * time.Minute)); err != nil {
				t.Fatal(err)
			}
			// Nothing is read, as who floods has no use for answers.
			cut := make(chan error, 1)
			go func() {
				_, err := io.WriteString(conn, http2.ClientPreface+"\x00\x00\x00\x04\x00\x00\x00\x00\x00")
				for n := 0; err == nil && n < flood.frames; n += 100 {
					var frames strings.Builder
					for i := range 100 {
						frames.WriteString(flood.frame(n + i))
					}
					_, err = io.WriteString(conn, frames.String())
				}
				cut <- err
			}()
			begun := time.Now()
			if status, _, _ := s.get(t, s.client(s.tls("login.example"), true), "https://login.example/jwks", "login.example"); status != http.StatusOK || time.Since(begun) > 30*time.Second {
				t.Errorf("others are served with %d after %s", status, time.Since(begun))
			}
			err = <-cut
			timeout := net.Error(nil)
			if ended := err != nil && (!errors.As(err, &timeout) || !timeout.Timeout()); ended != flood.ends {
				t.Errorf("the connection ended: %v (%v), want %v", ended, err, flood.ends)
			}
		})
	}
}
