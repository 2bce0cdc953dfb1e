//go:build interop

package provider_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/rand"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"

	"github.com/eidbridge/eidbridge/brokers"
	"github.com/eidbridge/eidbridge/brokers/authcert"
	"github.com/eidbridge/eidbridge/brokers/provider"
	"github.com/eidbridge/eidbridge/brokers/store"
	"github.com/eidbridge/eidbridge/brokers/webeid"
	"github.com/eidbridge/eidbridge/fixtures/chromium"
	"github.com/eidbridge/eidbridge/fixtures/pki"
	"github.com/eidbridge/eidbridge/signing/fetch"
)

// extension stands for the content script of the Web eID extension: it answers
// the page's message as the page protocol says (agent-protocols 3.5), with a token
// that the test makes.
const extension = `addEventListener("message", ({ source, data }) => {
	if (source !== window || data?.action !== "web-eid:authenticate") return;
	window.asked = data;
	postMessage({ action: "web-eid:authenticate-ack" }, location.origin);
})`

// The card page speaks the Web eID page protocol: what an extension answers logs
// in, and a citizen who cancels can try again.
func TestInteropCardPageSpeaksToTheExtension(t *testing.T) {
	var country *pki.Country
	authority := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { country.Handler().ServeHTTP(w, r) }))
	t.Cleanup(authority.Close)
	var err error
	if country, err = pki.New(pki.Options{BaseURL: authority.URL}); err != nil {
		t.Fatal(err)
	}
	person, _ := pki.Citizen("60001019906")
	keys, err := country.EstonianCitizen(person)
	if err != nil {
		t.Fatal(err)
	}
	judge, err := authcert.New(authcert.Judge{
		Anchors: country.Roots(), Intermediates: country.Issuers(),
		Fetch: fetch.New(fetch.Options{Allow: []string{strings.TrimPrefix(authority.URL, "http://")}}),
	})
	if err != nil {
		t.Fatal(err)
	}
	portal := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		_, _ = w.Write([]byte(`<p id="arrived">back</p>`))
	}))
	t.Cleanup(portal.Close)
	for _, lang := range []string{"es", "et"} {
		t.Run(lang, func(t *testing.T) {
			r := newRig(t, options{
				client: func(c *provider.Client) {
					c.Methods, c.RedirectURIs = []string{"card"}, []string{portal.URL + "/callback"}
				},
				config: func(c *provider.Config) {
					card, err := webeid.New(webeid.Config{Origin: c.Issuer, Judge: judge, Replay: store.NewMemory()})
					if err != nil {
						t.Fatal(err)
					}
					c.Upstreams = []brokers.Upstream{card}
				},
			})
			ctx := chromium.Start(t, lang)
			chromium.Run(t, ctx, "card page", chromium.Open(r.server.URL+"/authorize?"+with(r.request(), "redirect_uri", portal.URL+"/callback").Encode()),
				chromium.See(`html[lang="`+lang+`"] #extension`), chromedp.Evaluate(extension, nil))
			var state, nonce string
			chromium.Run(t, ctx, "cancelled", chromium.Click("#extension"), chromium.Holds(`window.asked?.challengeNonce`), chromedp.Evaluate(`window.asked.challengeNonce`, &nonce),
				chromedp.Evaluate(`postMessage({action: "web-eid:authenticate-failure", error: {code: "ERR_WEBEID_USER_CANCELLED"}}, location.origin)`, nil),
				chromium.Holds(`document.getElementById("state").textContent === document.getElementById("card").dataset.cancelled`),
				chromium.See("#extension:enabled"), chromium.Text("#state", &state))
			if state == "" {
				t.Error("the page says nothing of the cancelled login")
			}
			sum := func(data []byte) []byte { h := crypto.SHA384.New(); h.Write(data); return h.Sum(nil) }
			digest := sum(append(sum([]byte(r.server.URL)), sum([]byte(nonce))...))
			key, ok := keys.Authentication.Key.(*ecdsa.PrivateKey)
			if !ok {
				t.Fatal("key of another kind")
			}
			a, b, err := ecdsa.Sign(rand.Reader, key, digest)
			if err != nil {
				t.Fatal(err)
			}
			token, err := json.Marshal(map[string]any{
				"action": "web-eid:authenticate-success", "unverifiedCertificate": keys.Authentication.Certificate.Raw, "algorithm": "ES384",
				"signature": append(a.FillBytes(make([]byte, 48)), b.FillBytes(make([]byte, 48))...), "format": "web-eid:1.0", "appVersion": "test",
			})
			if err != nil {
				t.Fatal(err)
			}
			chromium.Run(t, ctx, "token", chromedp.Evaluate(`window.asked = undefined`, nil), chromium.Click("#extension"), chromium.Holds(`window.asked !== undefined`),
				chromedp.Evaluate(`postMessage(`+string(token)+`, location.origin)`, nil), chromium.See("#arrived"))
			r.wantAudit(t, "login.authenticated/ok")
		})
	}
}
