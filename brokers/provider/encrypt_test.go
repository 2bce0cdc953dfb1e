package provider_test

import (
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/eidbridge/eidbridge/brokers/provider"
)

// ID tokens and userinfo for the client's eyes only, in every shape.
func TestEncryptedTokens(t *testing.T) {
	rsa, ec := newClientKey(t, jose.PS256), newClientKey(t, jose.ES256)
	for key, k := range map[jose.KeyAlgorithm]*clientKey{
		jose.RSA_OAEP_256: rsa, jose.RSA_OAEP: rsa, jose.ECDH_ES: ec, jose.ECDH_ES_A256KW: ec,
	} {
		for _, content := range []jose.ContentEncryption{"", jose.A128CBC_HS256} {
			for _, signed := range []bool{true, false} {
				r := newRig(t, options{client: func(c *provider.Client) {
					public := k.public()
					public.Use = "enc"
					e := provider.Encryption{Key: key, Content: content}
					c.Keys, c.IDTokenEncryption, c.UserInfoEncryption, c.UserInfoSigned = []jose.JSONWebKey{public}, e, e, signed
				}})
				tokens := object(t, r.redeem(r.login(newBrowser(t), nil).Get("code")).body)
				claims := verifiedClaims(t, r, decrypted(t, k, tokens["id_token"].(string), "JWT"))
				if claims["nonce"] != "the nonce" {
					t.Errorf("%s %s: ID token %v", key, content, claims)
				}
				a := r.userinfo(tokens["access_token"].(string))
				if a.StatusCode != http.StatusOK || a.Header.Get("Content-Type") != "application/jwt" {
					t.Fatalf("%d %v", a.StatusCode, a.Header)
				}
				if signed {
					info := verifiedClaims(t, r, decrypted(t, k, a.body, "JWT"))
					if info["iss"] != r.server.URL || info["aud"] != "portal" || info["sub"] != claims["sub"] || info["name"] == "" {
						t.Errorf("%s %s: userinfo %v", key, content, info)
					}
				} else if info := object(t, decrypted(t, k, a.body, "")); info["sub"] != claims["sub"] || info["iss"] != nil {
					t.Errorf("%s %s: userinfo %v", key, content, info)
				}
			}
		}
	}
}

func decrypted(t testing.TB, k *clientKey, text, contentType string) string {
	t.Helper()
	jwe, err := jose.ParseEncryptedCompact(text, []jose.KeyAlgorithm{jose.RSA_OAEP_256, jose.RSA_OAEP, jose.ECDH_ES, jose.ECDH_ES_A256KW}, []jose.ContentEncryption{jose.A256GCM, jose.A128CBC_HS256})
	if err != nil {
		t.Fatalf("%v in %s", err, text)
	}
	if got, _ := jwe.Header.ExtraHeaders["cty"].(string); got != contentType || jwe.Header.KeyID != "the key" {
		t.Errorf("header %+v", jwe.Header)
	}
	inside, err := jwe.Decrypt(k.key)
	if err != nil {
		t.Fatal(err)
	}
	return string(inside)
}

func TestSignedUserinfo(t *testing.T) {
	r := newRig(t, options{client: func(c *provider.Client) { c.UserInfoSigned = true }})
	tokens := object(t, r.redeem(r.login(newBrowser(t), nil).Get("code")).body)
	if info := verifiedClaims(t, r, r.userinfo(tokens["access_token"].(string)).body); info["aud"] != "portal" || info["sub"] == "" {
		t.Errorf("got %v", info)
	}
}

// O-75: a key is published before it signs and after, and gone at its end; the
// tokens of every time verify with what is published then.
func TestKeysFollowTheirTimeTable(t *testing.T) {
	first, second := newClientKey(t, jose.ES256), newClientKey(t, jose.ES256)
	now := time.Now().Truncate(time.Second)
	keys, err := provider.NewKeys(
		provider.Key{Signer: first.key, Until: now.Add(50 * time.Hour)},
		provider.Key{Signer: second.key, Use: now.Add(48 * time.Hour)},
	)
	if err != nil {
		t.Fatal(err)
	}
	r := newRig(t, options{config: func(c *provider.Config) { c.Keys = keys }})
	for _, c := range []struct {
		after     time.Duration
		published []string
		signs     string
	}{
		{0, []string{first.thumbprint(), second.thumbprint()}, first.thumbprint()},
		{47 * time.Hour, []string{first.thumbprint(), second.thumbprint()}, first.thumbprint()},
		{48 * time.Hour, []string{first.thumbprint(), second.thumbprint()}, second.thumbprint()},
		{50 * time.Hour, []string{second.thumbprint()}, second.thumbprint()},
	} {
		r.clock.Add(now.Add(c.after).Sub(r.clock.Now()))
		var published []string
		for _, key := range object(t, newBrowser(t).get(r.server.URL+"/jwks").body)["keys"].([]any) {
			published = append(published, key.(map[string]any)["kid"].(string))
		}
		text := idToken(t, r.redeem(r.login(newBrowser(t), nil).Get("code")))
		jws, err := jose.ParseSignedCompact(text, []jose.SignatureAlgorithm{jose.ES256})
		if err != nil {
			t.Fatal(err)
		}
		verifiedClaims(t, r, text)
		if kid := jws.Signatures[0].Header.KeyID; kid != c.signs || !slices.Equal(published, c.published) {
			t.Errorf("after %s %s signs, published are %v", c.after, kid, published)
		}
	}
}

// S-05: keys may be replaced in a running provider.
func TestKeysCanBeReplaced(t *testing.T) {
	keys, err := provider.NewKeys(provider.Key{Signer: newClientKey(t, jose.ES256).key})
	if err != nil {
		t.Fatal(err)
	}
	r := newRig(t, options{config: func(c *provider.Config) { c.Keys = keys }})
	before := newBrowser(t).get(r.server.URL + "/jwks").body
	if err := keys.Replace(provider.Key{Signer: newClientKey(t, jose.ES256).key}); err != nil {
		t.Fatal(err)
	}
	if after := newBrowser(t).get(r.server.URL + "/jwks").body; after == before || strings.Contains(after, `"d"`) {
		t.Errorf("got %s", after)
	}
	for name, bad := range map[string][]provider.Key{
		"none":            nil,
		"only published":  {{Public: newClientKey(t, jose.ES256).key.Public()}},
		"wrong algorithm": {{Signer: newClientKey(t, jose.ES256).key, Algorithm: jose.PS256}},
		"no key at all":   {{}},
	} {
		if err := keys.Replace(bad...); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	verifiedClaims(t, r, idToken(t, r.redeem(r.login(newBrowser(t), nil).Get("code"))))
}
