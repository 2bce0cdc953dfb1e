//go:build interop

package admin_test

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"

	"github.com/eidbridge/eidbridge/brokers/abuse"
	"github.com/eidbridge/eidbridge/fixtures/chromium"
)

// TestInteropConsole walks the console in Chromium, adds a client, and has axe-core
// look at every page, as a phone and as a desk shows it.
func TestInteropConsole(t *testing.T) {
	install := exec.CommandContext(t.Context(), "npm", "ci", "--no-audit", "--no-fund", "--omit=dev")
	install.Dir = filepath.Join("..", "pages", "testdata", "axe")
	if out, err := install.CombinedOutput(); err != nil {
		t.Fatalf("npm ci: %v\n%s", err, out)
	}
	axe, err := os.ReadFile(filepath.Join(install.Dir, "node_modules", "axe-core", "axe.min.js"))
	if err != nil {
		t.Fatal(err)
	}
	o := newOffice(t)
	ctx := chromium.Start(t, "en")
	look := func(name string) {
		t.Helper()
		for _, width := range []int64{390, 1280} {
			var text string
			chromium.Run(t, ctx, name, chromedp.EmulateViewport(width, 900), chromedp.Evaluate(string(axe), nil),
				chromedp.Evaluate(`axe.run(document, {resultTypes: ["violations"]}).then(r => JSON.stringify(r.violations.map(v => [v.id, v.nodes[0].html])))`, &text,
					func(p *runtime.EvaluateParams) *runtime.EvaluateParams { return p.WithAwaitPromise(true) }))
			var found [][]string
			if err := json.Unmarshal([]byte(text), &found); err != nil {
				t.Fatal(err)
			}
			for _, f := range found {
				t.Errorf("%s at %d pixels: %v", name, width, f)
			}
		}
		chromium.Picture(t, ctx, name)
	}
	chromium.Run(t, ctx, "door", chromium.Open(o.server.URL+"/"), chromium.See("#token"))
	look("sign-in")
	chromium.Run(t, ctx, "wrong token", chromium.Press("#token", chromium.Fill("#token", "guess")), chromium.See(".problem"))
	look("wrong-token")
	chromium.Run(t, ctx, "sign in", chromium.Press("#token", chromium.Fill("#token", o.operator)), chromium.See("#uris"))
	look("clients")
	chromium.Run(t, ctx, "add", chromium.Press("main form button", chromium.Fill("#id", "library"), chromium.Fill("#uris", "https://library.example/cb"),
		chromium.Fill("#level", "substantial")), chromium.See(".done"))
	look("added")
	chromium.Run(t, ctx, "client", chromium.Open(o.server.URL+"/clients/library"), chromium.See("main dl"))
	look("client")
	chromium.Run(t, ctx, "change", chromium.Press(`form[action$="/change"] button`, chromium.Fill("#name", "Library"), chromium.Tick(`input[value="fake-card"]`)),
		chromium.See(".done"))
	look("changed")
	chromium.Run(t, ctx, "outages", chromium.Open(o.server.URL+"/outages"),
		chromium.Press(`form[action="/outages"] button`, chromium.Fill("#what", "fake/fake-card"), chromium.Fill("#until", "2026-11-28T15:00")), chromium.See(".done"))
	look("outages")
	for range 100 {
		o.guard.Failed(t.Context(), abuse.Secret, "2001:db8:1:2::/64", "portal")
	}
	chromium.Run(t, ctx, "bans", chromium.Open(o.server.URL+"/bans"), chromium.See(".list form"))
	look("bans")
	chromium.Run(t, ctx, "lift", chromium.Press(".list form button"), chromium.See(".done"))
	chromium.Run(t, ctx, "persons", chromium.Open(o.server.URL+"/persons"), chromium.Press("#person", chromium.Fill("#person", "nl-bsn:900029365")), chromium.See(".done"))
	look("persons")
	chromium.Run(t, ctx, "changes", chromium.Open(o.server.URL+"/changes"), chromium.See("main ol"))
	look("changes")
	chromium.Run(t, ctx, "reference", chromium.Open(o.server.URL+"/references"), chromium.Press("#code", chromium.Fill("#code", "abcde fghij")), chromium.See("main ol"))
	look("reference")
	chromium.Run(t, ctx, "missing", chromium.Open(o.server.URL+"/clients/nobody"), chromium.See(".problem"))
	look("missing")
	for _, language := range []string{"es", "et", "nl"} {
		chromium.Run(t, ctx, language, chromium.Open(o.server.URL+"/clients/library"), chromium.Press(`footer a[lang="`+language+`"]`),
			chromium.See(`html[lang="`+language+`"] main dl`))
		look("client-" + language)
	}
	// Without scripts, which the pages' own policy forbids anyway: axe-core looks first.
	chromium.Run(t, ctx, "no scripts", emulation.SetScriptExecutionDisabled(true), chromium.Open(o.server.URL+"/outages"),
		chromium.Press(".list form button"), chromium.See(".done"))
}
