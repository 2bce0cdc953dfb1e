//go:build interop

package main

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"log"
	"net/http"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/eidbridge/eidbridge/fixtures/idps/digid"
)

// TestInteropScannersFindOnlyWhatIsMeant is W-52: sslscan lists versions and suites of the
// running broker, and OpenSSL's client asks for what a server should refuse: other names
// and none, other protocols, old versions, weak suites, renegotiation, resumption under
// another name.
func TestInteropScannersFindOnlyWhatIsMeant(t *testing.T) {
	s := startSecured(t)
	t.Run("sslscan", func(t *testing.T) { s.scan(t) })
	t.Run("openssl", func(t *testing.T) { s.matrix(t) })
	t.Run("renegotiation", func(t *testing.T) {
		// A client sends R to begin anew, which the broker takes for the end.
		out := openssl(t, "R\n", "-connect", s.address, "-servername", "login.example", "-tls1_2")
		if !strings.Contains(out, "RENEGOTIATING") || !strings.Contains(out, "alert number 10") {
			t.Errorf("asked to begin anew: %s", out)
		}
	})
	t.Run("resumption", func(t *testing.T) {
		session := t.TempDir() + "/session"
		for _, c := range []struct {
			name, session string
			reused        bool
		}{
			{"login.example", "-sess_out", false}, {"login.example", "-sess_in", true}, {"www.login.example", "-sess_in", false},
		} {
			out := openssl(t, "", "-connect", s.address, "-servername", c.name, "-tls1_2", c.session, session)
			if strings.Contains(out, "Reused, TLSv1.2") != c.reused || strings.Contains(out, "New, TLSv1.2") == c.reused {
				t.Errorf("%+v: %s", c, out)
			}
		}
	})
}

// TestInteropLabDigiDSpeaksNoOldTLS is W-52 for the back channel of the emulated DigiD,
// where both sides show certificates.
func TestInteropLabDigiDSpeaksNoOldTLS(t *testing.T) {
	authority := newWebAuthority(t, "web")
	l, err := tls.Listen("tcp", "127.0.0.1:0", digid.BackChannelTLS(authority.forServer(t, "login.example")))
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{ReadHeaderTimeout: endurance, ErrorLog: log.New(io.Discard, "", 0), Handler: http.NotFoundHandler()}
	go func() { _ = server.Serve(l) }() // until it is closed
	defer func() { _ = server.Close() }()
	out := sslscan(t, l.Addr().String())
	noOldTLS(t, out)
	// Without a certificate there is no answer, with any there is one of the handler.
	config := &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: authority.pool(), ServerName: "login.example"}
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: config, DisableKeepAlives: true}, Timeout: 2 * endurance}
	if _, err := client.Get("https://" + l.Addr().String()); err == nil || !strings.Contains(err.Error(), "certificate required") {
		t.Errorf("without a certificate: %v", err)
	}
	config.Certificates = []tls.Certificate{authority.forServer(t, "portal.example")}
	resp, err := client.Get("https://" + l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	if _ = resp.Body.Close(); resp.StatusCode != http.StatusNotFound {
		t.Errorf("with a certificate: %d", resp.StatusCode)
	}
}

// sslscan is what it finds at an address.
func sslscan(t *testing.T, address string) []byte {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*endurance)
	defer cancel()
	out, err := exec.CommandContext(ctx, "sslscan", "--no-colour", "--sni-name=login.example", address).CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return out
}

// noOldTLS wants versions from 1.2 on and no new beginnings.
func noOldTLS(t *testing.T, out []byte) {
	t.Helper()
	for _, line := range []string{
		`SSLv2\s+disabled`, `SSLv3\s+disabled`, `TLSv1\.0\s+disabled`, `TLSv1\.1\s+disabled`, `TLSv1\.2\s+enabled`, `TLSv1\.3\s+enabled`,
		"Session renegotiation not supported", "TLSv1.3 not vulnerable to heartbleed", "TLSv1.2 not vulnerable to heartbleed",
	} {
		if !regexp.MustCompile(`(?m)^` + line).Match(out) {
			t.Errorf("no line %q in\n%s", line, out)
		}
	}
}

// scan compares all that sslscan finds.
func (s *secured) scan(t *testing.T) {
	t.Helper()
	out := sslscan(t, s.address)
	noOldTLS(t, out)
	var suites []string
	for _, found := range regexp.MustCompile(`(?m)^(?:Preferred|Accepted)\s+(\S+)\s+\d+ bits\s+(\S+)`).FindAllStringSubmatch(string(out), -1) {
		suites = append(suites, found[1]+" "+found[2])
	}
	slices.Sort(suites)
	want := []string{
		"TLSv1.2 ECDHE-ECDSA-AES128-GCM-SHA256", "TLSv1.2 ECDHE-ECDSA-AES256-GCM-SHA384", "TLSv1.2 ECDHE-ECDSA-CHACHA20-POLY1305",
		"TLSv1.3 TLS_AES_128_GCM_SHA256", "TLSv1.3 TLS_AES_256_GCM_SHA384", "TLSv1.3 TLS_CHACHA20_POLY1305_SHA256",
	}
	if !slices.Equal(suites, want) {
		t.Errorf("suites %q, want %q", suites, want)
	}
}

// matrix has OpenSSL shake hands in many ways.
func (s *secured) matrix(t *testing.T) {
	t.Helper()
	const name = "-servername login.example "
	for args, want := range map[string]string{
		name + "-tls1_3":                                            "New, TLSv1.3",
		name + "-tls1_2":                                            "New, TLSv1.2",
		name + "-alpn h2":                                           "ALPN protocol: h2",
		name + "-alpn http/1.1":                                     "ALPN protocol: http/1.1",
		name + "-alpn ftp,http/1.1":                                 "ALPN protocol: http/1.1",
		name:                                                        "No ALPN negotiated",
		"-servername www.login.example":                             "New, TLSv1.3",
		"-servername other.example":                                 "alert number 112",
		"-servername evil.example":                                  "alert number 112",
		"-servername evil.example -tls1_2":                          "alert number 112",
		"-noservername":                                             "alert number 112",
		"-noservername -tls1_2":                                     "alert number 112",
		name + "-alpn ftp":                                          "alert number 120",
		name + "-alpn imap,pop3,h3":                                 "alert number 120",
		name + "-alpn smtp -tls1_2":                                 "alert number 120",
		name + "-tls1_1 -cipher ALL:@SECLEVEL=0":                    "alert number 70",
		name + "-tls1 -cipher ALL:@SECLEVEL=0":                      "alert number 70",
		name + "-tls1_2 -cipher AES128-GCM-SHA256:AES256-SHA":       "alert number 40",
		name + "-tls1_2 -cipher ECDHE-ECDSA-AES128-SHA256":          "alert number 40",
		name + "-tls1_2 -cipher ECDHE-RSA-AES128-GCM-SHA256":        "alert number 40", // the certificate's key is of a curve
		name + "-tls1_2 -cipher ECDHE-ECDSA-AES256-GCM-SHA384":      "New, TLSv1.2, Cipher is ECDHE-ECDSA-AES256-GCM-SHA384",
		name + "-tls1_3 -ciphersuites TLS_AES_128_CCM_SHA256":       "alert number 40",
		name + "-tls1_3 -ciphersuites TLS_CHACHA20_POLY1305_SHA256": "New, TLSv1.3, Cipher is TLS_CHACHA20_POLY1305_SHA256",
	} {
		out := openssl(t, "", append([]string{"-connect", s.address}, strings.Fields(args)...)...)
		if !strings.Contains(out, want) {
			t.Errorf("%s: no %q in\n%s", args, want, out)
		}
		if strings.HasPrefix(want, "alert") == strings.Contains(out, "BEGIN CERTIFICATE") {
			t.Errorf("%s: a certificate is shown to those who are refused, or none to others", args)
		}
	}
}

// openssl runs s_client, which gets an end of input after some text.
func openssl(t *testing.T, text string, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*endurance)
	defer cancel()
	command := exec.CommandContext(ctx, "openssl", append([]string{"s_client"}, args...)...)
	input, err := command.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out := &printed{more: make(chan struct{})}
	command.Stdout, command.Stderr = pieces{out}, pieces{out}
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	if text != "" {
		// What is typed before the handshake has ended is not understood.
		started{log: out}.await(t, "Extended master secret")
		fmt.Fprint(input, text)
		started{log: out}.await(t, "alert number")
	}
	_ = input.Close()  // the program may have ended
	_ = command.Wait() // how it ended says less than what it printed
	if ctx.Err() != nil {
		t.Fatalf("openssl %v did not end after %s: %s", args, 2*endurance, out)
	}
	return out.String()
}

// pieces is a writer into what a program printed, which does not come in lines.
type pieces struct{ to *printed }

func (p pieces) Write(b []byte) (int, error) {
	p.to.mu.Lock()
	defer p.to.mu.Unlock()
	p.to.text.Write(b)
	close(p.to.more)
	p.to.more = make(chan struct{})
	return len(b), nil
}
