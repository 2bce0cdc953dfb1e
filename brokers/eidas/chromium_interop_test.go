//go:build interop

package eidas

import (
	"context"
	"fmt"
	"html/template"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"

	"github.com/chromedp/cdproto/emulation"

	"github.com/eidbridge/eidbridge/brokers"
	"github.com/eidbridge/eidbridge/fixtures/chromium"
	emulator "github.com/eidbridge/eidbridge/fixtures/idps/eidas"
	"github.com/eidbridge/eidbridge/levels"
)

var onward = template.Must(template.New("").Parse(`<form method="post" action="{{.Location}}">{{range $name, $value := .Form}}<input type="hidden" name="{{$name}}" value="{{$value}}">{{end}}<button id="go">Go</button></form>`))

// TestInteropChromiumWalksTheNode goes through country, consent and password at the
// emulated node in two languages, with and without scripts.
func TestInteropChromiumWalksTheNode(t *testing.T) {
	for _, language := range []string{"es", "en"} {
		for _, scripts := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s scripts %v", language, scripts), func(t *testing.T) {
				mux := http.NewServeMux()
				site := httptest.NewServer(mux)
				t.Cleanup(site.Close)
				l := newLabAt(t, pairs().node, site.URL+"/upstream/eidas/")
				var mu sync.Mutex
				var last *brokers.Departure
				mux.HandleFunc("GET /start", func(w http.ResponseWriter, _ *http.Request) {
					d := start(t, l.u, "eidas", levels.Substantial)
					mu.Lock()
					last = d
					mu.Unlock()
					w.Header().Set("Content-Type", "text/html")
					if err := onward.Execute(w, d); err != nil {
						t.Error(err)
					}
				})
				mux.HandleFunc("POST /upstream/eidas/callback", func(w http.ResponseWriter, r *http.Request) {
					mu.Lock()
					d := last
					mu.Unlock()
					event, err := l.u.Finish(context.Background(), r, d)
					w.Header().Set("Content-Type", "text/html")
					if err != nil {
						fmt.Fprintf(w, `<p id="arrived">%s</p>`, template.HTMLEscapeString(err.Error()))
						return
					}
					fmt.Fprintf(w, `<p id="arrived">%s %s</p>`, event.Subject.Key, event.Assessment.Level)
				})
				ctx := chromium.Start(t, language)
				if !scripts {
					chromium.Run(t, ctx, "scripts off", emulation.SetScriptExecutionDisabled(true))
				}
				chromium.Run(t, ctx, "country", chromium.Open(site.URL+"/start"), chromium.Press("#go"), chromium.See(`html[lang="`+language+`"] #country`))
				chromium.Picture(t, ctx, "country")
				chromium.Run(t, ctx, "consent", chromium.Press(`form[action$="/country"] button`, chromium.Tick(`input[value="GR"]`)), chromium.See(`form[action$="/consent"]`))
				chromium.Picture(t, ctx, "consent")
				chromium.Run(t, ctx, "password", chromium.Press(`form[action$="/consent"] button`), chromium.See("#user"))
				chromium.Picture(t, ctx, "password")
				chromium.Run(t, ctx, "wrong password", chromium.Press("#password", chromium.Fill("#user", "GR-LAB-1"), chromium.Fill("#password", "wrong")), chromium.See(`.summary[role="alert"]`))
				chromium.Picture(t, ctx, "password-wrong")
				chromium.Run(t, ctx, "right password", chromium.Press("#password", chromium.Fill("#password", emulator.Password)), chromium.See("#return"))
				chromium.Picture(t, ctx, "return")
				var text string
				chromium.Run(t, ctx, "back", chromium.Press("#return"), chromium.Text("#arrived", &text))
				if text != "eidas:GR/ES/LAB-1 high" {
					t.Errorf("arrived with %q", text)
				}
			})
		}
	}
}
