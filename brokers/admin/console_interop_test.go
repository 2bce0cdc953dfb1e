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
	chromium.Run(t, ctx, "door", chromedp.Navigate(o.server.URL+"/"), chromedp.WaitVisible("#token"))
	look("sign-in")
	chromium.Run(t, ctx, "wrong token", chromedp.SendKeys("#token", "guess\r"), chromedp.WaitVisible(".problem"))
	look("wrong-token")
	chromium.Run(t, ctx, "sign in", chromedp.SendKeys("#token", o.operator+"\r"), chromedp.WaitVisible("#uris"))
	look("clients")
	chromium.Run(t, ctx, "add", chromedp.SendKeys("#id", "library"), chromedp.SendKeys("#uris", "https://library.example/cb"),
		chromedp.SetValue("#level", "substantial"), chromedp.Click("main form button"), chromedp.WaitVisible(".done"))
	look("added")
	chromium.Run(t, ctx, "client", chromedp.Navigate(o.server.URL+"/clients/library"), chromedp.WaitVisible("main dl", chromedp.ByQuery))
	look("client")
	chromium.Run(t, ctx, "change", chromedp.SendKeys("#name", "Library"), chromedp.Click(`input[value="fake-card"]`, chromedp.ByQuery),
		chromedp.Click(`form[action$="/change"] button`, chromedp.ByQuery), chromedp.WaitVisible(".done"))
	look("changed")
	chromium.Run(t, ctx, "outages", chromedp.Navigate(o.server.URL+"/outages"), chromedp.SetValue("#what", "fake/fake-card"),
		chromedp.SetValue("#until", "2026-11-28T15:00"), chromedp.Click(`form[action="/outages"] button`, chromedp.ByQuery), chromedp.WaitVisible(".done"))
	look("outages")
	for range 100 {
		o.guard.Failed(t.Context(), abuse.Secret, "2001:db8:1:2::/64", "portal")
	}
	chromium.Run(t, ctx, "bans", chromedp.Navigate(o.server.URL+"/bans"), chromedp.WaitVisible(".list form", chromedp.ByQuery))
	look("bans")
	chromium.Run(t, ctx, "lift", chromedp.Click(".list form button", chromedp.ByQuery), chromedp.WaitVisible(".done"))
	chromium.Run(t, ctx, "persons", chromedp.Navigate(o.server.URL+"/persons"), chromedp.SendKeys("#person", "nl-bsn:900029365\r"), chromedp.WaitVisible(".done"))
	look("persons")
	chromium.Run(t, ctx, "changes", chromedp.Navigate(o.server.URL+"/changes"), chromedp.WaitVisible("main ol", chromedp.ByQuery))
	look("changes")
	chromium.Run(t, ctx, "reference", chromedp.Navigate(o.server.URL+"/references"), chromedp.SendKeys("#code", "abcde fghij\r"), chromedp.WaitVisible("main ol", chromedp.ByQuery))
	look("reference")
	chromium.Run(t, ctx, "missing", chromedp.Navigate(o.server.URL+"/clients/nobody"), chromedp.WaitVisible(".problem"))
	look("missing")
	for _, language := range []string{"es", "et", "nl"} {
		chromium.Run(t, ctx, language, chromedp.Navigate(o.server.URL+"/clients/library"), chromedp.Click(`footer a[lang="`+language+`"]`, chromedp.ByQuery),
			chromedp.WaitVisible(`html[lang="`+language+`"] main dl`, chromedp.ByQuery))
		look("client-" + language)
	}
	// Without scripts, which the pages' own policy forbids anyway: axe-core looks first.
	chromium.Run(t, ctx, "no scripts", emulation.SetScriptExecutionDisabled(true), chromedp.Navigate(o.server.URL+"/outages"),
		chromedp.Click(".list form button", chromedp.ByQuery), chromedp.WaitVisible(".done"))
}
