package provider_test

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"testing"

	"github.com/eidbridge/eidbridge/brokers"
	"github.com/eidbridge/eidbridge/brokers/provider"
	"github.com/eidbridge/eidbridge/brokers/store"
	"github.com/eidbridge/eidbridge/levels"
)

// A client that an operator keeps in the store is served like one of the
// configuration, until it is disabled, its codes included (O-17); one that breaks a
// rule is never served.
func TestClientsOfTheStoreAreServed(t *testing.T) {
	ctx, memory := context.Background(), store.NewMemory()
	keep := func(save func(context.Context, *brokers.Registration) error, disabled bool, s provider.ClientSettings) {
		t.Helper()
		text, err := json.Marshal(s)
		if err != nil {
			t.Fatal(err)
		}
		if err := save(ctx, &brokers.Registration{ID: s.ID, Operator: true, Disabled: disabled, Metadata: text}); err != nil {
			t.Fatal(err)
		}
	}
	hash := brokers.HashOf(secret)
	settings := provider.ClientSettings{ID: "kept", MinLevel: levels.Low, Scopes: []string{"name"}, RedirectURIs: []string{redirectURI}, SecretSHA256: hex.EncodeToString(hash[:])}
	keep(memory.SaveRegistration, false, settings)
	wrong := settings
	wrong.ID, wrong.MinLevel = "wrong", levels.None
	keep(memory.SaveRegistration, false, wrong)
	r := newRig(t, options{store: memory})
	code := r.login(newBrowser(t), []string{"client_id", "kept"}).Get("code")
	if a := r.redeem(code, "basic", "kept:"+secret); a.StatusCode != http.StatusOK {
		t.Errorf("tokens: %d %s", a.StatusCode, a.body)
	}
	if a := r.authorize(newBrowser(t), "client_id", "wrong"); a.StatusCode < 400 {
		t.Errorf("a client without a least level got %d", a.StatusCode)
	}
	code = r.login(newBrowser(t), []string{"client_id", "kept"}).Get("code")
	keep(memory.ReplaceRegistration, true, settings)
	if a := r.redeem(code, "basic", "kept:"+secret); a.StatusCode != http.StatusUnauthorized {
		t.Errorf("a disabled client got %d", a.StatusCode)
	}
	if a := r.authorize(newBrowser(t), "client_id", "kept"); a.StatusCode != http.StatusBadRequest {
		t.Errorf("a disabled client got %d", a.StatusCode)
	}
}
