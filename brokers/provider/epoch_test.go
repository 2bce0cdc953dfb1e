package provider_test

import (
	"net/http"
	"net/url"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/eidbridge/eidbridge/brokers/provider"
)

// S-33: after a backup was put back, what clients signed before counts no more, for as
// long as such things live: they may have been used after the backup was made.
func TestStatementsOfAnEarlierEpoch(t *testing.T) {
	k := newClientKey(t, jose.ES256)
	r := newRig(t, options{client: keyedClient(k), config: func(c *provider.Config) { c.Since = c.Now() }})
	ask := func(claims claimSet) int {
		return r.call("/introspect", url.Values{"token": {"x"}}, assertion(k.sign(changed(r.assertionClaims(), claims), nil))...).StatusCode
	}
	now := r.clock.Now()
	for name, c := range map[string]struct {
		claims claimSet
		want   int
	}{
		"S-33 an assertion of before": {claimSet{"iat": now.Add(-time.Minute).Unix()}, http.StatusUnauthorized},
		"S-33 one without a time":     {claimSet{"iat": nil}, http.StatusUnauthorized},
		"S-33 one of afterwards":      {nil, http.StatusOK},
	} {
		if got := ask(c.claims); got != c.want {
			t.Errorf("%s: %d", name, got)
		}
	}
	r.clock.Add(6 * time.Minute)
	if got := ask(claimSet{"iat": nil}); got != http.StatusOK {
		t.Errorf("when all of before have ended: %d", got)
	}

	proofs := newRig(t, options{config: func(c *provider.Config) { c.Since = c.Now() }})
	for name, c := range map[string]struct {
		age  time.Duration
		want int
	}{"S-33 a proof of before": {30 * time.Second, http.StatusBadRequest}, "S-33 a proof of afterwards": {0, http.StatusOK}} {
		proof := k.proof(proofs, "POST", "/token", claimSet{"iat": proofs.clock.Now().Add(-c.age).Unix()}, nil)
		if a := proofs.send("POST", "/token", codeForm(proofs.login(newBrowser(t), nil).Get("code")), "DPoP", proof); a.StatusCode != c.want {
			t.Errorf("%s: %d %s", name, a.StatusCode, a.body)
		}
	}
}
