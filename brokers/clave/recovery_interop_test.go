//go:build interop

package clave

import (
	"testing"

	"github.com/chromedp/cdproto/emulation"

	"github.com/eidbridge/eidbridge/fixtures/chromium"
	emulator "github.com/eidbridge/eidbridge/fixtures/idps/clave"
	"github.com/eidbridge/eidbridge/levels"
)

// TestInteropChromiumRecovers walks the recovery of a password by each way, and that of the
// app, in both languages without scripts, from the pages of a login that lead there (W-15).
func TestInteropChromiumRecovers(t *testing.T) {
	const person, fresh = "99999018D", "Nueva-2026"
	for _, language := range []string{"es", "en"} {
		t.Run(language, func(t *testing.T) {
			l, site := visited(t)
			ctx := chromium.Start(t, language)
			chromium.Run(t, ctx, "scripts off", emulation.SetScriptExecutionDisabled(true))
			begin := func(kind, way string) {
				t.Helper()
				chromium.Run(t, ctx, kind+" by "+way, chromium.Open(l.home()+"/recover/"+kind), chromium.See(`html[lang="`+language+`"] #contrast`),
					chromium.Press("main button", chromium.Fill("#number", person), chromium.Fill("#contrast", "2030-06-15"), chromium.Tick("#way-"+way)),
					chromium.See(`form[action$="/`+way+`"]`))
				chromium.Picture(t, ctx, "recover-"+kind+"-"+way)
			}
			code := func(code string) {
				t.Helper()
				chromium.Run(t, ctx, "code", chromium.Press("main button", chromium.Fill("#code", code)))
			}
			renew := func(fresh string) {
				t.Helper()
				chromium.Run(t, ctx, "anew", chromium.See("#new"), chromium.Press("main button", chromium.Fill("#new", fresh), chromium.Fill("#again", fresh)), chromium.See("#done"))
			}
			for _, row := range []struct{ choice, kind string }{{"permanente", "password"}, {"movil", "device"}} {
				chromium.Run(t, ctx, "link to "+row.kind, chromium.Open(site.Start("clave-"+row.choice, levels.Low)), chromium.Press("#go"),
					chromium.Press(`button[value="`+row.choice+`"]`), chromium.See(`a[href="/recover/`+row.kind+`"]`))
			}
			chromium.Run(t, ctx, "first page", chromium.Open(l.home()+"/recover/password"), chromium.See("#way"))
			chromium.Picture(t, ctx, "recover-password")

			begin("password", "code")
			code("wrong")
			chromium.Run(t, ctx, "wrong code", chromium.See(`#code[aria-invalid="true"]`))
			chromium.Picture(t, ctx, "recover-code-wrong")
			code("LAB-018-ACTIVA")
			chromium.Run(t, ctx, "text message", chromium.See(`form[action$="/sms"]`))
			chromium.Picture(t, ctx, "recover-sms")
			code(l.lastCode(t))
			chromium.Run(t, ctx, "new password", chromium.See("#new"))
			chromium.Picture(t, ctx, "recover-new")
			renew(fresh)
			chromium.Picture(t, ctx, "recover-done")

			begin("password", "certificate")
			chromium.Run(t, ctx, "card", chromium.Press("main button", chromium.Tick(`input[value="card `+person+`"]`), chromium.Fill("#pin", emulator.CardPIN)))
			renew(fresh)

			begin("password", "movil")
			chromium.Run(t, ctx, "not confirmed", chromium.Press("#look"), chromium.See(`.summary[role="alert"]`))
			l.gateway.Phones().Answer(l.gateway.Phones().Waiting(person)[0].ID, emulator.AppPIN, false)
			chromium.Run(t, ctx, "confirmed", chromium.Press("#look"))
			renew(fresh)

			begin("device", "permanente")
			chromium.Run(t, ctx, "password", chromium.Press("main button", chromium.Fill("#password", fresh)), chromium.See("#code"))
			code(l.lastCode(t))
			chromium.Run(t, ctx, "new PIN", chromium.See("#new"))
			chromium.Picture(t, ctx, "recover-new-pin")
			renew("4321")

			begin("device", "letter")
			code(l.lastCode(t))
			chromium.Run(t, ctx, "text message", chromium.See(`form[action$="/sms"]`))
			code(l.lastCode(t))
			renew("5432")
			chromium.Run(t, ctx, "outbox", chromium.Open(l.home()+"/lab/outbox"), chromium.See(".messages"))
			chromium.Picture(t, ctx, "recover-outbox")
		})
	}
}
