//go:build interop

package clave

import (
	"fmt"
	"testing"

	"github.com/chromedp/cdproto/emulation"

	"github.com/eidbridge/eidbridge/brokers/brokertest"
	"github.com/eidbridge/eidbridge/fixtures/chromium"
	emulator "github.com/eidbridge/eidbridge/fixtures/idps/clave"
	eidasnode "github.com/eidbridge/eidbridge/fixtures/idps/eidas"
	"github.com/eidbridge/eidbridge/levels"
)

// visited is a service provider that a browser can visit.
func visited(t *testing.T) (*lab, *brokertest.Doorstep) {
	t.Helper()
	site := brokertest.NewDoorstep(t)
	l := newLabAtNode(t, site.Base("clave"))
	site.Serve(t, l.u)
	return l, site
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
				begin := func(method string, level levels.Level, choice string) {
					chromium.Run(t, ctx, method, chromium.Open(site.Start(method, level)), chromium.Press("#go"),
						chromium.See(`html[lang="`+language+`"] button[value="`+choice+`"]`))
					look("choice")
					chromium.Run(t, ctx, choice, chromium.Press(`button[value="`+choice+`"]`), chromium.See(`form[action$="/`+choice+`"]`))
					look(choice)
				}
				arrive := func(want string) {
					var text string
					chromium.Run(t, ctx, "return", chromium.See("#return"))
					look("return")
					chromium.Run(t, ctx, "back", chromium.Press("#return"), chromium.Text("#arrived", &text))
					if text != want {
						t.Errorf("arrived with %q, want %q", text, want)
					}
				}
				begin("clave-permanente", levels.Low, "permanente")
				chromium.Run(t, ctx, "wrong password", chromium.Press("#password", chromium.Fill("#number", person), chromium.Fill("#password", "wrong")), chromium.See(`.summary[role="alert"]`))
				look("permanente-wrong")
				chromium.Run(t, ctx, "password", chromium.Press("#password", chromium.Fill("#password", emulator.Password)))
				arrive("es-nif:" + person + " low")

				begin("clave-permanente-sms", levels.Substantial, "permanente")
				chromium.Run(t, ctx, "password", chromium.Press("#password", chromium.Fill("#number", person), chromium.Fill("#password", emulator.Password)), chromium.See("#code"))
				look("sms")
				chromium.Run(t, ctx, "code", chromium.Press("#code", chromium.Fill("#code", l.lastCode(t))))
				arrive("es-nif:" + person + " substantial")

				begin("clave-pin", levels.Substantial, "pin")
				chromium.Run(t, ctx, "pin", chromium.Press("#contrast", chromium.Fill("#number", person), chromium.Fill("#contrast", "2030-06-15")), chromium.See("#code"))
				look("pincode")
				chromium.Run(t, ctx, "code", chromium.Press("#code", chromium.Fill("#code", l.lastCode(t))))
				arrive("es-nif:" + person + " substantial")

				answer := func(owner string) {
					waiting := l.gateway.Phones().Waiting(owner)
					if len(waiting) == 0 {
						t.Fatalf("app of %q has nothing", owner)
					}
					var shown string
					chromium.Run(t, ctx, "number", chromium.Text("#shown", &shown))
					if waiting[0].Code != shown {
						t.Fatalf("page shows %q, app has %+v", shown, waiting)
					}
					l.gateway.Phones().Scan(waiting[0].ID, person)
					l.gateway.Phones().Answer(waiting[0].ID, emulator.AppPIN, false)
					chromium.Run(t, ctx, "confirmed", chromium.Press("#look"))
					arrive("es-nif:" + person + " substantial")
				}
				begin("clave-movil", levels.Substantial, "movil")
				chromium.Run(t, ctx, "movil", chromium.Press("#contrast", chromium.Fill("#number", person), chromium.Fill("#contrast", "2030-06-15")), chromium.See("#shown"))
				look("wait")
				answer(person)

				begin("clave-movil", levels.Substantial, "movil")
				answer("")

				// The telephone that the code leads to, in its own language.
				begin("clave-movil", levels.Substantial, "movil")
				chromium.Run(t, ctx, "telephone", chromium.Press("#scan"), chromium.See(`html[lang="`+language+`"] #pin`), chromium.Write(chromium.Tick(`input[value="`+person+`"]`)))
				look("telephone")
				chromium.Run(t, ctx, "wrong PIN", chromium.Press("#pin", chromium.Fill("#pin", "0000")), chromium.See("#pin-error"))
				look("telephone-wrong")
				chromium.Run(t, ctx, "PIN", chromium.Press("#pin", chromium.Fill("#pin", emulator.AppPIN)), chromium.See("#result"))

				begin("clave-permanente", levels.Low, "permanente")
				chromium.Run(t, ctx, "expired password", chromium.Press("#password", chromium.Fill("#number", "Z0000000M"), chromium.Fill("#password", emulator.Password)), chromium.See("#new"))
				look("change")
				chromium.Run(t, ctx, "too simple", chromium.Press("#new", chromium.Fill("#new", "simple")), chromium.See(`.summary[role="alert"]`))
				look("change-wrong")
				chromium.Run(t, ctx, "new password", chromium.Press("#again", chromium.Fill("#new", "Otra-2026"), chromium.Fill("#again", "Otra-2026")))
				arrive("es-nif:Z0000000M low")

				begin("clave-certificado", levels.Substantial, "certificate")
				chromium.Run(t, ctx, "certificate", chromium.Press("#pin", chromium.Tick(`input[value="software 12345678Z"]`)))
				arrive("es-nif:12345678Z substantial")

				begin("clave-dnie", levels.High, "certificate")
				chromium.Run(t, ctx, "card", chromium.Press("#pin", chromium.Tick(`input[value="card 12345678Z"]`), chromium.Fill("#pin", emulator.CardPIN)))
				arrive("es-nif:12345678Z high")

				chromium.Run(t, ctx, "eidas", chromium.Open(site.Start("clave-eidas", levels.High)), chromium.Press("#go"),
					chromium.Press(`button[value="eidas"]`), chromium.See("#node"))
				look("node")
				chromium.Run(t, ctx, "country", chromium.Press("#node"), chromium.See(`html[lang="`+language+`"] #country`), chromium.Press(`form[action$="/country"] button`, chromium.Tick(`input[value="EE"]`)),
					chromium.Press(`form[action$="/consent"] button`),
					chromium.Press("#password", chromium.Fill("#user", "EE-60001019906"), chromium.Fill("#password", eidasnode.Password)), chromium.Press("#return"),
					chromium.See(`form[action*="/upstream/clave/"] #return`))
				arrive("eidas:EE/ES/60001019906 high")
			})
		}
	}
}
