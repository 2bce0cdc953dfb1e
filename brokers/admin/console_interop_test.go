//go:build interop

package admin_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

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
	byKeyboard(t, ctx, o)
	// Without scripts, which the pages' own policy forbids anyway: axe-core looks first.
	chromium.Run(t, ctx, "no scripts", emulation.SetScriptExecutionDisabled(true), chromium.Open(o.server.URL+"/outages"),
		chromium.Press(".list form button"), chromium.See(".done"))
}

// byKeyboard puts something out of order, lifts that, and signs out, in Spanish and with
// keys alone: each control is reached with Tab, shows that it is, and does its work.
func byKeyboard(t *testing.T, ctx context.Context, o *office) {
	t.Helper()
	to := func(selector string) chromedp.Action {
		return chromedp.ActionFunc(func(ctx context.Context) error {
			const most = 60
			for range most {
				if err := chromedp.KeyEvent(kb.Tab).Do(ctx); err != nil {
					return err
				}
				var found, shown bool
				if err := chromedp.Evaluate(`document.activeElement.matches(`+strconv.Quote(selector)+`)`, &found).Do(ctx); err != nil || !found {
					if err != nil {
						return err
					}
					continue
				}
				if err := chromedp.Evaluate(`getComputedStyle(document.activeElement).outlineStyle === "solid"`, &shown).Do(ctx); err != nil {
					return err
				}
				if !shown {
					return fmt.Errorf("nothing shows that %s has the focus", selector)
				}
				return nil
			}
			return fmt.Errorf("Tab does not lead to %s", selector)
		})
	}
	enter := chromedp.KeyEvent(kb.Enter)
	chromium.Run(t, ctx, "keys: language", chromium.Open(o.server.URL+"/clients"), chromium.See("#uris"), to(`a[lang="es"]`), enter, chromium.See(`html[lang="es"] #uris`))
	chromium.Run(t, ctx, "keys: outages", to(`a[href="/outages"]`), enter, chromium.See("#what"))
	chromium.Run(t, ctx, "keys: out of order", to("#what"), chromedp.KeyEvent("fake/fake-p"), to(`form[action="/outages"] button`), enter, chromium.See(`.done`, `.list button`))
	chromium.Picture(t, ctx, "keys-outages")
	chromium.Run(t, ctx, "keys: lifted", to(".list button"), enter, chromium.Holds(`location.pathname.endsWith("/lift") && document.querySelector(".done") !== null`))
	chromium.Run(t, ctx, "keys: client", chromium.Open(o.server.URL+"/clients/library"), chromium.See("#uris"), to(`form[action$="/disable"] button`), enter, chromium.Holds(`location.pathname.endsWith("/disable") && document.querySelector(".done") !== null`))
	chromium.Picture(t, ctx, "keys-disabled")
	chromium.Run(t, ctx, "keys: sign out", to("header button"), enter, chromium.See("#token"))
	chromium.Run(t, ctx, "keys: sign in", to("#token"), chromedp.KeyEvent(o.operator), enter, chromium.See("#uris"))
}
