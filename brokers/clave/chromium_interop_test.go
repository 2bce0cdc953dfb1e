//go:build interop

package clave

import (
	"context"
	"fmt"
	"html/template"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"

	"github.com/eidbridge/eidbridge/brokers"
	"github.com/eidbridge/eidbridge/fixtures/chromium"
	emulator "github.com/eidbridge/eidbridge/fixtures/idps/clave"
	eidasnode "github.com/eidbridge/eidbridge/fixtures/idps/eidas"
	"github.com/eidbridge/eidbridge/levels"
)

var onward = template.Must(template.New("").Parse(`<form method="post" action="{{.Location}}">{{range $name, $value := .Form}}<input type="hidden" name="{{$name}}" value="{{$value}}">{{end}}<button id="go">Go</button></form>`))

// visited is a service provider that a browser can visit: /start/METHOD begins a
// login, the callback judges the answer and says who came at which level.
func visited(t *testing.T) (*lab, string) {
	t.Helper()
	mux := http.NewServeMux()
	site := httptest.NewServer(mux)
	t.Cleanup(site.Close)
	l := newLabAtNode(t, site.URL+"/upstream/clave/")
	var mu sync.Mutex
	var last *brokers.Departure
	mux.HandleFunc("GET /start/{method}/{level}", func(w http.ResponseWriter, r *http.Request) {
		level, err := levels.Parse(r.PathValue("level"))
		if err != nil {
			t.Error(err)
		}
		d := start(t, l.u, request(r.PathValue("method"), level))
		mu.Lock()
		last = d
		mu.Unlock()
		w.Header().Set("Content-Type", "text/html")
		if err := onward.Execute(w, d); err != nil {
			t.Error(err)
		}
	})
	mux.HandleFunc("POST /upstream/clave/callback", func(w http.ResponseWriter, r *http.Request) {
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
	return l, site.URL
}

// TestInteropChromiumWalksEveryMethod walks every method of the emulated gateway
// in two languages, with and without scripts, and looks at each page as a phone
// and as a desk shows it.
func TestInteropChromiumWalksEveryMethod(t *testing.T) {
	const person = "99999018D"
	for _, language := range []string{"es", "en"} {
		for _, scripts := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s scripts %v", language, scripts), func(t *testing.T) {
				l, site := visited(t)
				ctx := chromium.Start(t, language)
				if !scripts {
					chromium.Run(t, ctx, "scripts off", emulation.SetScriptExecutionDisabled(true))
				}
				seen := map[string]bool{}
				look := func(name string) {
					if !seen[name] {
						seen[name] = true
						chromium.Picture(t, ctx, name)
					}
				}
				begin := func(method, level, choice string) {
					chromium.Run(t, ctx, method, chromedp.Navigate(site+"/start/"+method+"/"+level), chromedp.Click("#go"),
						chromedp.WaitVisible(`html[lang="`+language+`"] button[value="`+choice+`"]`))
					look("choice")
					chromium.Run(t, ctx, choice, chromedp.Click(`button[value="`+choice+`"]`), chromedp.WaitVisible(`form[action$="/`+choice+`"]`))
					look(choice)
				}
				arrive := func(want string) {
					var text string
					chromium.Run(t, ctx, "return", chromedp.WaitVisible("#return"))
					look("return")
					chromium.Run(t, ctx, "back", chromedp.Click("#return"), chromedp.WaitVisible("#arrived"), chromedp.Text("#arrived", &text))
					if text != want {
						t.Errorf("arrived with %q, want %q", text, want)
					}
				}
				begin("clave-permanente", "low", "permanente")
				chromium.Run(t, ctx, "wrong password", chromedp.SendKeys("#number", person), chromedp.SendKeys("#password", "wrong\r"), chromedp.WaitVisible(`.summary[role="alert"]`))
				look("permanente-wrong")
				chromium.Run(t, ctx, "password", chromedp.SendKeys("#password", emulator.Password+"\r"))
				arrive("es-nif:" + person + " low")

				begin("clave-permanente-sms", "substantial", "permanente")
				chromium.Run(t, ctx, "password", chromedp.SendKeys("#number", person), chromedp.SendKeys("#password", emulator.Password+"\r"), chromedp.WaitVisible("#code"))
				look("sms")
				chromium.Run(t, ctx, "code", chromedp.SendKeys("#code", l.lastCode(t)+"\r"))
				arrive("es-nif:" + person + " substantial")

				begin("clave-pin", "substantial", "pin")
				chromium.Run(t, ctx, "pin", chromedp.SendKeys("#number", person), chromedp.SendKeys("#contrast", "2030-06-15\r"), chromedp.WaitVisible("#code"))
				look("pincode")
				chromium.Run(t, ctx, "code", chromedp.SendKeys("#code", l.lastCode(t)+"\r"))
				arrive("es-nif:" + person + " substantial")

				answer := func(owner string) {
					waiting := l.gateway.Phones().Waiting(owner)
					if len(waiting) == 0 {
						t.Fatalf("app of %q has nothing", owner)
					}
					var shown string
					chromium.Run(t, ctx, "number", chromedp.Text("#shown", &shown))
					if waiting[0].Code != strings.TrimSpace(shown) {
						t.Fatalf("page shows %q, app has %+v", shown, waiting)
					}
					l.gateway.Phones().Scan(waiting[0].ID, person)
					l.gateway.Phones().Answer(waiting[0].ID, emulator.AppPIN, false)
					chromium.Run(t, ctx, "confirmed", chromedp.Click("#look"))
					arrive("es-nif:" + person + " substantial")
				}
				begin("clave-movil", "substantial", "movil")
				chromium.Run(t, ctx, "movil", chromedp.SendKeys("#number", person), chromedp.SendKeys("#contrast", "2030-06-15\r"), chromedp.WaitNotPresent("#contrast"), chromedp.WaitVisible("#shown"))
				look("wait")
				answer(person)

				begin("clave-movil", "substantial", "movil")
				answer("")

				// The telephone that the code leads to, in its own language.
				begin("clave-movil", "substantial", "movil")
				chromium.Run(t, ctx, "telephone", chromedp.Click("#scan"), chromedp.WaitVisible(`html[lang="`+language+`"] #pin`), chromedp.Click(`input[value="`+person+`"]`))
				look("telephone")
				chromium.Run(t, ctx, "wrong PIN", chromedp.SendKeys("#pin", "0000\r"), chromedp.WaitVisible("#pin-error"))
				look("telephone-wrong")
				chromium.Run(t, ctx, "PIN", chromedp.SendKeys("#pin", emulator.AppPIN+"\r"), chromedp.WaitVisible("#result"))

				begin("clave-permanente", "low", "permanente")
				chromium.Run(t, ctx, "expired password", chromedp.SendKeys("#number", "Z0000000M"), chromedp.SendKeys("#password", emulator.Password+"\r"), chromedp.WaitVisible("#new"))
				look("change")
				chromium.Run(t, ctx, "too simple", chromedp.SendKeys("#new", "simple\r"), chromedp.WaitVisible(`.summary[role="alert"]`))
				look("change-wrong")
				chromium.Run(t, ctx, "new password", chromedp.SendKeys("#new", "Otra-2026"), chromedp.SendKeys("#again", "Otra-2026\r"))
				arrive("es-nif:Z0000000M low")

				begin("clave-certificado", "substantial", "certificate")
				chromium.Run(t, ctx, "certificate", chromedp.Click(`input[value="software 12345678Z"]`), chromedp.SendKeys("#pin", "\r"))
				arrive("es-nif:12345678Z substantial")

				begin("clave-dnie", "high", "certificate")
				chromium.Run(t, ctx, "card", chromedp.Click(`input[value="card 12345678Z"]`), chromedp.SendKeys("#pin", emulator.CardPIN+"\r"))
				arrive("es-nif:12345678Z high")

				chromium.Run(t, ctx, "eidas", chromedp.Navigate(site+"/start/clave-eidas/high"), chromedp.Click("#go"), chromedp.WaitVisible(`button[value="eidas"]`),
					chromedp.Click(`button[value="eidas"]`), chromedp.WaitVisible("#node"))
				look("node")
				chromium.Run(t, ctx, "country", chromedp.Click("#node"), chromedp.WaitVisible(`html[lang="`+language+`"] #country`), chromedp.Click(`input[value="EE"]`), chromedp.Click(`form[action$="/country"] button`),
					chromedp.WaitVisible(`form[action$="/consent"]`), chromedp.Click(`form[action$="/consent"] button`), chromedp.WaitVisible("#user"),
					chromedp.SendKeys("#user", "EE-60001019906"), chromedp.SendKeys("#password", eidasnode.Password+"\r"), chromedp.WaitVisible("#return"), chromedp.Click("#return"),
					chromedp.WaitVisible(`form[action*="/upstream/clave/"] #return`))
				arrive("eidas:EE/ES/60001019906 high")
			})
		}
	}
}
