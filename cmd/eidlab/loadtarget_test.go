package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/eidbridge/eidbridge/brokers/loadtarget"
	"github.com/eidbridge/eidbridge/fixtures/freeport"
)

// target runs eidlab load-target until the end of the test, or until stop.
func target(t *testing.T, args ...string) (d loadtarget.Description, stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	out, in := io.Pipe()
	var errors bytes.Buffer
	ended := make(chan int, 1)
	go func() {
		ended <- run(ctx, append([]string{"load-target"}, args...), streams{strings.NewReader(""), in, &errors})
		_ = in.Close() // a pipe closes without error
	}()
	line, err := bufio.NewReader(out).ReadBytes('\n')
	if err != nil {
		t.Fatalf("nothing was printed, exit %d: %s", <-ended, errors.String())
	}
	if err := json.Unmarshal(line, &d); err != nil {
		t.Fatal(err)
	}
	stop = func() {
		cancel()
		if code := <-ended; code != 0 {
			t.Errorf("exit %d: %s", code, errors.String())
		}
		ended <- 0
	}
	t.Cleanup(stop)
	return d, stop
}

// toolLogin is what any tool does: follow redirections, redeem, ask. It returns
// the access token and userinfo.
func toolLogin(t *testing.T, d loadtarget.Description, hint string) (token string, person map[string]any) {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	browser := &http.Client{Jar: jar}
	resp, err := browser.Get(d.Issuer + "/authorize?" + url.Values{
		"client_id": {d.ID}, "redirect_uri": {d.RedirectURI}, "response_type": {"code"}, "scope": {"openid profile"}, "login_hint": {hint},
	}.Encode())
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		t.Fatalf("the browser ended at %s with %s", resp.Request.URL, resp.Status)
	}
	resp, err = http.PostForm(d.Issuer+"/token", url.Values{
		"grant_type": {"authorization_code"}, "code": {resp.Request.URL.Query().Get("code")}, "redirect_uri": {d.RedirectURI},
		"client_id": {d.ID}, "client_secret": {d.Secret},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var tokens struct {
		Access string `json:"access_token"`
	}
	if err := json.NewDecoder(resp.Body).Decode(&tokens); err != nil || tokens.Access == "" {
		t.Fatalf("token endpoint: %s, %v", resp.Status, err)
	}
	return tokens.Access, userinfo(t, d, tokens.Access)
}

func userinfo(t *testing.T, d loadtarget.Description, token string) map[string]any {
	t.Helper()
	resp, err := http.PostForm(d.Issuer+"/userinfo", url.Values{"access_token": {token}})
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var person map[string]any
	if err := json.NewDecoder(resp.Body).Decode(&person); err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("userinfo: %s, %v", resp.Status, err)
	}
	return person
}

// Any tool that reads four values can drive the target, on any storage.
func TestLoadTargetCompletesLogins(t *testing.T) {
	for _, storage := range []string{"memory", "sqlite", "postgres"} {
		t.Run(storage, func(t *testing.T) {
			t.Parallel()
			d, _ := target(t, "--storage", storage, "--listen", "127.0.0.1:0", "--persons", "2")
			var names []string
			for _, hint := range []string{"", "", "", "77"} {
				_, person := toolLogin(t, d, hint)
				names = append(names, person["name"].(string))
			}
			if want := []string{"Person Number 1", "Person Number 2", "Person Number 1", "Person Number 77"}; !slices.Equal(names, want) {
				t.Errorf("logged in: %q, want %q", names, want)
			}
		})
	}
}

// With a folder the target is the same one after a restart.
func TestLoadTargetKeepsItsFolder(t *testing.T) {
	// The address is its own between the two runs, too.
	dir, listen := t.TempDir(), freeport.Address(t)
	d, stop := target(t, "--storage", "sqlite", "--data", dir, "--listen", listen)
	token, before := toolLogin(t, d, "")
	stop()
	http.DefaultClient.CloseIdleConnections() // they lead to the first run
	again, _ := target(t, "--storage", "sqlite", "--data", dir, "--listen", listen)
	if again.ID != d.ID || again.Secret != d.Secret || again.Issuer != d.Issuer {
		t.Errorf("got %+v, want %+v", again.Client, d.Client)
	}
	if after := userinfo(t, again, token); after["sub"] != before["sub"] {
		t.Errorf("subject %v became %v", before["sub"], after["sub"])
	}
}

// O-79: old versions of TLS and weak suites are refused.
func TestLoadTargetSpeaksModernTLS(t *testing.T) {
	d, _ := target(t, "--tls")
	address := strings.TrimPrefix(d.Issuer, "https://")
	for name, c := range map[string]struct {
		config  *tls.Config
		refused bool
	}{
		"TLS 1.0":           {&tls.Config{MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS10}, true},
		"TLS 1.1":           {&tls.Config{MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11}, true},
		"CBC in TLS 1.2":    {&tls.Config{MaxVersion: tls.VersionTLS12, CipherSuites: []uint16{tls.TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA}}, true},
		"no ephemeral keys": {&tls.Config{MaxVersion: tls.VersionTLS12, CipherSuites: []uint16{tls.TLS_RSA_WITH_AES_128_GCM_SHA256}}, true},
		"TLS 1.2":           {&tls.Config{MaxVersion: tls.VersionTLS12}, false},
		"TLS 1.3":           {&tls.Config{MinVersion: tls.VersionTLS13}, false},
	} {
		c.config.InsecureSkipVerify = true
		conn, err := tls.Dial("tcp", address, c.config)
		if (err != nil) != c.refused {
			t.Errorf("%s: %v, want refused %t", name, err, c.refused)
		}
		if err == nil {
			_ = conn.Close() // it was to see whether somebody listens
		}
	}
	if d.TLS.Certificate == "" || d.TLS.PrivateKey == "" {
		t.Errorf("no client with a certificate: %+v", d.TLS)
	}
}

// A client's certificate reaches the provider (RFC 8705 §2): it is what the client proves
// itself by, and nothing else of it is known.
func TestLoadTargetSeesCertificates(t *testing.T) {
	d, _ := target(t, "--tls")
	pair, err := tls.X509KeyPair([]byte(d.TLS.Certificate), []byte(d.TLS.PrivateKey))
	if err != nil {
		t.Fatal(err)
	}
	for want, shown := range map[int][]tls.Certificate{http.StatusCreated: {pair}, http.StatusUnauthorized: nil} {
		client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{MinVersion: tls.VersionTLS12, Certificates: shown, InsecureSkipVerify: true}}}
		resp, err := client.PostForm(d.Issuer+"/par", url.Values{
			"client_id": {d.TLS.ID}, "redirect_uri": {d.TLS.RedirectURI}, "response_type": {"code"}, "scope": {"openid"},
			"code_challenge_method": {"S256"}, "code_challenge": {"E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"},
		})
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		if text, err := io.ReadAll(resp.Body); err != nil || resp.StatusCode != want {
			t.Errorf("with %d certificates: %d %s, %v", len(shown), resp.StatusCode, text, err)
		}
	}
}

// W-64: whoever reaches the target can be anybody.
func TestLoadTargetListensOnLoopbackOnly(t *testing.T) {
	var out, errors bytes.Buffer
	code := run(t.Context(), []string{"load-target", "--listen", "0.0.0.0:0"}, streams{strings.NewReader(""), &out, &errors})
	if code != 1 || out.Len() > 0 || !strings.Contains(errors.String(), "loopback") {
		t.Errorf("exit %d, %q, %q", code, out.String(), errors.String())
	}
}

// Memory storage is bounded, and tells how full it is.
func TestLoadTargetTellsHowFullItsMemoryIs(t *testing.T) {
	d, _ := target(t, "--memory-megabytes", "1")
	toolLogin(t, d, "7")
	resp, err := http.Get(d.Issuer + "/load-target/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	figures := string(text)
	for _, want := range []string{"eidbroker_memory_bound_bytes 1.048576e+06\n", "eidbroker_memory_ended 0\n", "eidbroker_memory_refused 0\n"} {
		if !strings.Contains(figures, want) {
			t.Errorf("no line %q in %s", want, figures)
		}
	}
	if strings.Contains(figures, "eidbroker_memory_bytes 0\n") || !strings.Contains(figures, "eidbroker_memory_bytes ") {
		t.Errorf("a login takes no room: %s", figures)
	}
	var errors bytes.Buffer
	if code := run(t.Context(), []string{"load-target", "--memory-megabytes", "0"}, streams{strings.NewReader(""), io.Discard, &errors}); code == 0 || !strings.Contains(errors.String(), "--memory-megabytes takes 1 to") {
		t.Errorf("no memory at all: exit %d, %s", code, errors.String())
	}
}
