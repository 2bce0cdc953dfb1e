//go:build interop

package pages_test

import (
	"bytes"
	"encoding/json"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"

	"github.com/eidbridge/eidbridge/fixtures/chromium"
)

// finding is a rule of axe-core that a page breaks.
type finding struct {
	ID     string `json:"id"`
	Impact string `json:"impact"`
	Nodes  []struct {
		HTML    string `json:"html"`
		Summary string `json:"failureSummary"`
	} `json:"nodes"`
}

// TestInteropAxeFindsNothing has axe-core look at every page in every language, as a
// phone and as a desk shows it (WCAG 2.2 AA and its best practices). Scripts are left
// out, so that no page leaves before it was looked at.
func TestInteropAxeFindsNothing(t *testing.T) {
	install := exec.CommandContext(t.Context(), "npm", "ci", "--no-audit", "--no-fund", "--omit=dev")
	install.Dir = filepath.Join("testdata", "axe")
	if out, err := install.CombinedOutput(); err != nil {
		t.Fatalf("npm ci: %v\n%s", err, out)
	}
	axe, err := os.ReadFile(filepath.Join(install.Dir, "node_modules", "axe-core", "axe.min.js"))
	if err != nil {
		t.Fatal(err)
	}
	p := newPages(t)
	soon := regexp.MustCompile(`http-equiv="refresh" content="[0-9]+;`)
	const run = `axe.run(document, {iframes: false, resultTypes: ["violations"]}).then(r => JSON.stringify(r.violations))`
	for _, lang := range p.Languages() {
		t.Run(lang, func(t *testing.T) {
			list := samples(p, lang)
			looked := 0
			mux := http.NewServeMux()
			mux.Handle("GET /op/assets/style.css", p.Assets())
			mux.Handle("GET /op/assets/icon.svg", p.Assets())
			mux.HandleFunc("GET /op/assets/{script}", func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Content-Type", "text/javascript") })
			mux.HandleFunc("GET /page/{name}", func(w http.ResponseWriter, r *http.Request) {
				var page bytes.Buffer
				if err := list[r.PathValue("name")](&page); err != nil {
					http.Error(w, err.Error(), http.StatusInternalServerError)
					return
				}
				// A page that goes on at once could not be looked at, nor one that goes on before
				// a slow machine has looked.
				text := strings.Replace(page.String(), `http-equiv="refresh" content="0;`, `name="left-out" content="0;`, 1)
				text = soon.ReplaceAllString(text, `http-equiv="refresh" content="3600;`)
				w.Header().Set("Content-Type", "text/html; charset=utf-8")
				_, _ = w.Write([]byte(text)) // the browser waits for it
			})
			server := httptest.NewServer(mux)
			defer server.Close()
			names := slices.DeleteFunc(slices.Sorted(maps.Keys(list)), func(name string) bool {
				return strings.HasPrefix(name, "notice-") && name != "notice-refused" // their texts are those of problems
			})
			ctx := chromium.Start(t, lang)
			for _, name := range names {
				for _, width := range []int64{390, 1280} {
					var text string
					chromium.Run(t, ctx, name, chromedp.EmulateViewport(width, 900), chromium.Open(server.URL+"/page/"+name), chromium.See("main"),
						chromedp.Evaluate(string(axe), nil), chromedp.Evaluate(run, &text, awaits))
					var found []finding
					if err := json.Unmarshal([]byte(text), &found); err != nil {
						t.Fatalf("%s: %v", name, err)
					}
					looked++
					for _, f := range found {
						if f.ID == "meta-refresh" && slices.Contains(passing(), name) {
							continue
						}
						t.Errorf("%s at %d pixels: %s (%s): %.400s %.400s", name, width, f.ID, f.Impact, f.Nodes[0].HTML, f.Nodes[0].Summary)
					}
				}
			}
			t.Logf("%d pages were looked at", looked)
		})
	}
}

func awaits(p *runtime.EvaluateParams) *runtime.EvaluateParams { return p.WithAwaitPromise(true) }

// passing are pages that lead on by themselves after some seconds, and have to (WCAG
// 2.2, 2.2.1: essential). One says only that an answer is being checked; the other
// waits for services to end their own logins and has a link that does the same.
func passing() []string { return []string{"waiting", "logged-out", "logged-out-onward"} }
