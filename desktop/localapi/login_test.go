package localapi_test

import (
	"crypto/ecdsa"
	"crypto/sha256"
	"encoding/json"
	"math/big"
	"net/http"
	"strings"
	"testing"

	"github.com/eidbridge/eidbridge/desktop"
	"github.com/eidbridge/eidbridge/desktop/origins"
)

const nonce = "q8bDhoK8vPSYUQYIbT9pKTWJlRC0hG6sWhGpGXbXYXk="

func loginBody(nonce string) string {
	return `{"kind":"authenticate","expires_in":120,"locale":"et","authenticate":{"nonce":"` + nonce + `","format":"web-eid:1.0"}}`
}

// A login gives a Web eID token over the page's own origin and nonce, after
// consent that says so.
func TestPageLogsIn(t *testing.T) {
	b := newBench(t)
	token := b.token(bank, origins.ScopeAuthenticate)
	v := b.final(token, id(t, b.submit(token, "k", loginBody(nonce))))
	if v["state"] != "done" {
		t.Fatalf("got %v", v)
	}
	text, err := json.Marshal(v["authenticate"])
	if err != nil {
		t.Fatal(err)
	}
	var proof desktop.Token
	if err := json.Unmarshal(text, &proof); err != nil {
		t.Fatal(err)
	}
	if proof.Format != "web-eid:1.0" || proof.Algorithm != "ES256" || string(proof.UnverifiedCertificate) != string(b.card.certificate.Raw) || !strings.HasPrefix(proof.AppVersion, "eidagent/") {
		t.Errorf("token %+v", proof)
	}
	key, ok := b.card.certificate.PublicKey.(*ecdsa.PublicKey)
	if !ok || len(proof.Signature) != 64 {
		t.Fatalf("signature of %d bytes", len(proof.Signature))
	}
	verifies := func(origin, nonce string) bool {
		o, n := sha256.Sum256([]byte(origin)), sha256.Sum256([]byte(nonce))
		digest := sha256.Sum256(append(o[:], n[:]...))
		return ecdsa.Verify(key, digest[:], new(big.Int).SetBytes(proof.Signature[:32]), new(big.Int).SetBytes(proof.Signature[32:]))
	}
	if !verifies(bank, nonce) {
		t.Error("token does not verify")
	}
	// L-32: it is worth nothing elsewhere.
	if verifies(lab, nonce) || verifies(bank, "x"+nonce[1:]) {
		t.Error("token verifies for another origin or nonce")
	}
	shown := b.prompter.consents[0]
	if shown.Kind != desktop.KindAuthenticate || shown.Origin.String() != bank || shown.Document.Name != "" || shown.Locale != "et" {
		t.Errorf("consent shows %+v", shown)
	}
	if usage := b.card.selected[0].Usage; usage != "authentication" {
		t.Errorf("key of usage %s", usage)
	}
	if e := b.journal.holds(t, 1)[0]; e.Kind != desktop.KindAuthenticate || e.Outcome != desktop.StateDone || len(e.Documents) != 0 {
		t.Errorf("journal %+v", e)
	}
}

// L-30, L-31, L-33: a page cannot choose what the authentication key signs, and
// scopes do not stand for one another.
func TestLoginRefuses(t *testing.T) {
	for _, row := range []struct {
		name, body string
		scope      origins.Scope
		status     int
		code       string
	}{
		{"scope sign only", loginBody(nonce), origins.ScopeSign, 403, "scope_missing"},
		{"signing by scope authenticate", signBody(), origins.ScopeAuthenticate, 403, "scope_missing"},
		{"scope status only", loginBody(nonce), origins.ScopeStatus, 403, "scope_missing"},
		{"short nonce", loginBody(nonce[:43]), origins.ScopeAuthenticate, 400, "request_invalid"},
		{"long nonce", loginBody(strings.Repeat("x", 129)), origins.ScopeAuthenticate, 400, "request_invalid"},
		{"nonce with blanks", loginBody(strings.Repeat(" ", 44)), origins.ScopeAuthenticate, 400, "request_invalid"},
		{"nonce of other characters", loginBody(strings.Repeat("õ", 44)), origins.ScopeAuthenticate, 400, "request_invalid"},
		{"other format", strings.Replace(loginBody(nonce), "web-eid:1.0", "raw", 1), origins.ScopeAuthenticate, 422, "format_unsupported"},
		{"an origin of the page's choice", strings.Replace(loginBody(nonce), `"format"`, `"origin":"https://victim.example","format"`, 1), origins.ScopeAuthenticate, 400, "request_invalid"},
		{"a digest", strings.Replace(loginBody(nonce), `"format"`, `"hash":"AAAA","format"`, 1), origins.ScopeAuthenticate, 400, "request_invalid"},
		{"no object", `{"kind":"authenticate"}`, origins.ScopeAuthenticate, 400, "request_invalid"},
		{"object of another kind", strings.Replace(signBody(), `"kind":"sign"`, `"kind":"authenticate"`, 1), origins.ScopeAuthenticate, 400, "request_invalid"},
		{"signature key", strings.Replace(loginBody(nonce), `"locale"`, `"credential":{"usage":"sign"},"locale"`, 1), origins.ScopeAuthenticate, 422, "format_unsupported"},
	} {
		t.Run(row.name, func(t *testing.T) {
			b := newBench(t)
			token := b.token(bank, row.scope)
			a := b.submit(token, "k", row.body)
			if a.status != row.status || a.code() != row.code {
				t.Errorf("got %d %s, want %d %s", a.status, a.body, row.status, row.code)
			}
			b.quiet(t, a, bank)
		})
	}
	b := newBench(t)
	other := []byte(b.token(bank, origins.ScopeAuthenticate))
	other[0] = map[bool]byte{true: 'x', false: 'y'}[other[0] != 'x']
	if a := b.submit(string(other), "k", loginBody(nonce)); a.status != http.StatusUnauthorized && a.status != http.StatusForbidden {
		t.Errorf("other token: %d", a.status)
	}
}
