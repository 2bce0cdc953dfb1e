package main

import (
	"context"
	"io"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"
)

// Each emulator starts, prints a configuration, and answers this machine alone
// (threats W-64).
func TestIDPStartsAndPrintsAConfiguration(t *testing.T) {
	for kind, want := range map[string][]string{
		"clave":     {"[clave]", "/Proxy2/ServiceProvider", "gateway_certificates = "},
		"digid":     {"[digid]", "/saml/idp/metadata", "pseudoniem", "[digid4]", "/saml/v4/entrance/metadata", "back_channel_roots = "},
		"eidas":     {"[eidas]", "eidas-decryption-key.pem", "metadata_file = "},
		"tara":      {"[[oidc]]", `kind = "tara"`, "secret_file = "},
		"mobile-id": {"[mobile_id]", "/mid-api", "internal_responders = ["},
		"smart-id":  {"[smart_id]", "/v3", `scheme_name = "smart-id-demo"`},
	} {
		ctx, stop := context.WithCancel(t.Context())
		reader, writer := io.Pipe()
		ended := make(chan int, 1)
		go func() {
			ended <- run(ctx, []string{"idp", kind, "--out", t.TempDir()}, streams{strings.NewReader(""), writer, io.Discard})
		}()
		buffer := make([]byte, 4096)
		text := ""
		for deadline := time.Now().Add(time.Minute); !strings.Contains(text, want[2]) && time.Now().Before(deadline); {
			n, err := reader.Read(buffer)
			text += string(buffer[:n])
			if err != nil {
				break
			}
		}
		for _, w := range want {
			if !strings.Contains(text, w) {
				t.Errorf("%s prints no %s: %s", kind, w, text)
			}
		}
		base := regexp.MustCompile(`http://127\.0\.0\.1:\d+`).FindString(text)
		response, err := http.Get(base + "/")
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(response.Body)
		response.Body.Close()
		if response.StatusCode != http.StatusOK || !strings.Contains(string(body), "Lab emulation") {
			t.Errorf("%s: %d %s", kind, response.StatusCode, body)
		}
		request, err := http.NewRequest(http.MethodGet, base+"/", nil)
		if err != nil {
			t.Fatal(err)
		}
		request.Host = "evil.example"
		if response, err := http.DefaultClient.Do(request); err != nil || response.StatusCode != http.StatusMisdirectedRequest {
			t.Errorf("%s answers for another name: %v", kind, err)
		}
		stop()
		if code := <-ended; code != 0 {
			t.Errorf("%s ended with %d", kind, code)
		}
	}
}

// TestIDPRefusesWhatIsNoLaboratory (threats X-107): no emulator listens to a network, nor
// serves a broker elsewhere, unless it is told so by name.
func TestIDPRefusesWhatIsNoLaboratory(t *testing.T) {
	for _, kind := range []string{"clave", "digid", "eidas", "tara", "mobile-id", "smart-id"} {
		for _, flags := range [][]string{{"--listen", "0.0.0.0:0"}, {"--listen", "[::]:0"}, {"--broker", "https://broker.example"}, {"--broker", "%zz"}} {
			var told strings.Builder
			arguments := append([]string{"idp", kind, "--out", t.TempDir()}, flags...)
			if code := run(t.Context(), arguments, streams{strings.NewReader(""), io.Discard, &told}); code != 1 || !strings.Contains(told.String(), "--answer-other-machines") {
				t.Errorf("%s %q: %d %s", kind, flags, code, told.String())
			}
		}
	}
	for kind, flag := range map[string]string{"digid": "--back-channel", "clave": "--certificate-port"} {
		if code := run(t.Context(), []string{"idp", kind, "--out", t.TempDir(), flag, "0.0.0.0:0"}, streams{strings.NewReader(""), io.Discard, io.Discard}); code != 1 {
			t.Errorf("%s with %s listens to the whole network: %d", kind, flag, code)
		}
	}
}
