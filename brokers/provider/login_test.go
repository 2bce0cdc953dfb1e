package provider_test

import (
	"context"
	"net/http"
	"strings"
	"testing"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"

	"github.com/eidbridge/eidbridge/brokers/provider"
	"github.com/eidbridge/eidbridge/brokers/store"
)

// A whole login by an unmodified relying party library, on both stores.
func TestLoginWithAnotherLibrarysRelyingParty(t *testing.T) {
	for name, open := range map[string]func() provider.Store{
		"memory": func() provider.Store { return store.NewMemory() },
		"SQLite": func() provider.Store { return sqliteStore(t) },
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, options{store: open()})
			b, ctx, config := newBrowser(t), context.Background(), r.config()
			verifier := oauth2.GenerateVerifier()
			start := config.AuthCodeURL("state-1", oidc.Nonce("nonce-1"), oauth2.S256ChallengeOption(verifier))
			departure := b.get(start).location(t)
			if departure.Host != "idp.example" || departure.Query().Get("level") != "low" {
				t.Fatalf("the upstream is %s", departure)
			}
			back := b.back(r, r.callback(departure)).location(t)
			if !strings.HasPrefix(back.String(), redirectURI+"&") {
				t.Fatalf("came back to %s", back)
			}
			response := back.Query()
			if response.Get("state") != "state-1" || response.Get("iss") != r.server.URL || response.Get("app") != "1" {
				t.Errorf("got response %v", response)
			}
			token, err := config.Exchange(ctx, response.Get("code"), oauth2.VerifierOption(verifier))
			if err != nil {
				t.Fatal(err)
			}
			raw, _ := token.Extra("id_token").(string)
			idToken, err := r.oidc.Verifier(&oidc.Config{ClientID: "portal", Now: r.clock.Now}).Verify(ctx, raw)
			if err != nil {
				t.Fatal(err)
			}
			if err := idToken.VerifyAccessToken(token.AccessToken); err != nil {
				t.Error(err)
			}
			var claims struct {
				Nonce    string   `json:"nonce"`
				ACR      string   `json:"acr"`
				AMR      []string `json:"amr"`
				AuthTime int64    `json:"auth_time"`
				JTI      string   `json:"jti"`
				Given    string   `json:"given_name"`
			}
			if err := idToken.Claims(&claims); err != nil {
				t.Fatal(err)
			}
			if claims.Nonce != "nonce-1" || claims.ACR != "http://eidas.europa.eu/LoA/substantial" || len(claims.AMR) != 3 ||
				claims.AuthTime != r.clock.Now().Unix() || claims.JTI == "" || claims.Given != "" {
				t.Errorf("got claims %+v", claims)
			}
			info, err := r.oidc.UserInfo(ctx, config.TokenSource(ctx, token))
			if err != nil {
				t.Fatal(err)
			}
			person := map[string]any{}
			if err := info.Claims(&person); err != nil {
				t.Fatal(err)
			}
			if info.Subject != idToken.Subject || person["given_name"] != "MARI-LIIS" || person["national_id"] != nil || person["birthdate"] != nil {
				t.Errorf("got userinfo %v", person)
			}
			for _, secret := range []string{"MARI", "60001019906", token.AccessToken, response.Get("code"), idToken.Subject, verifier} {
				if strings.Contains(r.log.String(), secret) {
					t.Errorf("the log has %q (I-5)", secret)
				}
			}
		})
	}
}

func TestDiscoveryAdvertisesOnlyWhatIsServed(t *testing.T) {
	r := newRig(t, options{})
	for _, path := range []string{"/.well-known/openid-configuration", "/.well-known/oauth-authorization-server"} {
		a := newBrowser(t).get(r.server.URL + path)
		if a.StatusCode != http.StatusOK || a.Header.Get("Access-Control-Allow-Origin") != "*" {
			t.Errorf("%s: status %d, headers %v", path, a.StatusCode, a.Header)
		}
		o := object(t, a.body)
		if o["issuer"] != r.server.URL || o["request_parameter_supported"] != true || o["request_uri_parameter_supported"] != false || o["authorization_response_iss_parameter_supported"] != true {
			t.Errorf("got %v", o)
		}
		for name, value := range o {
			text, ok := value.(string)
			if !ok || !strings.HasSuffix(name, "_endpoint") && name != "jwks_uri" {
				continue
			}
			if a := newBrowser(t).get(text); a.StatusCode == http.StatusNotFound {
				t.Errorf("%s leads nowhere: %s", name, text)
			}
		}
	}
	keys := object(t, newBrowser(t).get(r.server.URL+"/jwks").body)["keys"].([]any)
	if key := keys[0].(map[string]any); len(keys) != 1 || key["d"] != nil || key["alg"] != "ES256" || key["kid"] == "" {
		t.Errorf("got keys %v", keys)
	}
}
