//go:build interop

package eidas

import (
	"fmt"
	"testing"

	"github.com/chromedp/cdproto/emulation"

	"github.com/eidbridge/eidbridge/brokers/brokertest"
	"github.com/eidbridge/eidbridge/fixtures/chromium"
	emulator "github.com/eidbridge/eidbridge/fixtures/idps/eidas"
	"github.com/eidbridge/eidbridge/levels"
)

// TestInteropChromiumWalksTheNode goes through country, consent and password at the
// emulated node in two languages, with and without scripts.
func TestInteropChromiumWalksTheNode(t *testing.T) {
	for _, language := range []string{"es", "en"} {
		for _, scripts := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s scripts %v", language, scripts), func(t *testing.T) {
				site := brokertest.NewDoorstep(t)
				l := newLabAt(t, pairs().node, site.Base("eidas"))
				site.Serve(t, l.u)
				ctx := chromium.Start(t, language)
				if !scripts {
					chromium.Run(t, ctx, "scripts off", emulation.SetScriptExecutionDisabled(true))
				}
				chromium.Run(t, ctx, "country", chromium.Open(site.Start("eidas", levels.Substantial)), chromium.Press("#go"), chromium.See(`html[lang="`+language+`"] #country`))
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
