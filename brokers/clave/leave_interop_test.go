//go:build interop

package clave

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"

	"github.com/eidbridge/eidbridge/brokers"
	"github.com/eidbridge/eidbridge/brokers/brokertest"
	"github.com/eidbridge/eidbridge/fixtures/chromium"
	emulator "github.com/eidbridge/eidbridge/fixtures/idps/clave"
)

// TestInteropChromiumLogsOutAndTheGatewayIsGone: the gateway dies while somebody logs out.
// The browser stands before nothing, but nobody is logged in any more; the broker leads on
// to the gateway again for an hour, and says after it that the session there may go on. In
// two languages, with and without scripts.
func TestInteropChromiumLogsOutAndTheGatewayIsGone(t *testing.T) {
	for _, language := range []string{"es", "en"} {
		for _, scripts := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s, scripts %t", language, scripts), func(t *testing.T) {
				var l *lab
				desk := brokertest.NewDesk(t, func(issuer string) []brokers.Upstream {
					l = newLabAt(t, issuer+"/upstream/clave/")
					return []brokers.Upstream{l.u}
				})
				ctx := chromium.Start(t, language)
				chromium.Run(t, ctx, "scripts", emulation.SetScriptExecutionDisabled(!scripts))
				picture := func(name string) { chromium.Picture(t, ctx, fmt.Sprintf("%s-scripts-%t", name, scripts)) }
				onward := func() {
					if !scripts {
						chromium.Run(t, ctx, "onward", chromium.Press("#onward button"))
					}
				}
				chromium.Run(t, ctx, "broker", chromium.Open(desk.AuthorizeURL("ui_locales", language)), chromium.Press(`button[value="clave/clave-permanente"]`))
				onward()
				chromium.Run(t, ctx, "log in", chromium.Press(`button[value="permanente"]`),
					chromium.Press("#password", chromium.Fill("#number", "99999018D"), chromium.Fill("#password", emulator.Password)), chromium.Press("#return"),
					chromium.Holds(fmt.Sprintf("location.href.startsWith(%q)", desk.Portal+"/callback")))

				chromium.Run(t, ctx, "log out", chromium.Open(strings.Replace(desk.LogoutURL(), "ui_locales=en", "ui_locales="+language, 1)), chromium.See(`button[value="end"]`))
				l.server.CloseClientConnections()
				l.server.Close()
				// The error page of a browser is nobody's, so it is only waited for.
				chromium.Run(t, ctx, "end", chromedp.ActionFunc(func(ctx context.Context) error {
					return chromedp.Evaluate(`document.querySelector('button[value="end"]').click()`, nil).Do(ctx)
				}))
				if !scripts {
					chromium.Run(t, ctx, "the broker leads on", chromium.See("#onward button"))
					picture("leaving")
					chromium.Run(t, ctx, "onward", chromedp.ActionFunc(func(ctx context.Context) error {
						return chromedp.Evaluate(`document.querySelector("#onward button").click()`, nil).Do(ctx)
					}))
				}
				chromium.Run(t, ctx, "nothing there", chromium.Holds(`location.protocol === "chrome-error:"`))

				address := leaving(t, ctx, desk.Issuer)
				chromium.Run(t, ctx, "is anybody logged in", chromium.Open(desk.SilentURL()), chromium.Holds(`location.href.includes("error=login_required")`))
				if !scripts {
					// Within the hour the way to the gateway is open again, should it be back.
					chromium.Run(t, ctx, "once more", chromium.Open(address), chromium.See(`html[lang="`+language+`"] #onward button`))
				}
				desk.Later(61 * time.Minute)
				var text string
				chromium.Run(t, ctx, "too late", chromium.Open(address), chromium.See(`html[lang="`+language+`"] p[role="alert"]`), chromium.Text("main", &text))
				picture("never-returned")
				if !strings.Contains(text, map[string]string{"es": "puede", "en": "may"}[language]) {
					t.Errorf("the page says:\n%s", text)
				}
				if log := desk.Log(); !strings.Contains(log, `"event":"upstream.logout_failed"`) || !strings.Contains(log, `"expired"`) || strings.Contains(log, `"event":"upstream.logout_done"`) {
					t.Errorf("log: %s", log)
				}
				chromium.Run(t, ctx, "nobody after it", chromium.Open(desk.SilentURL()), chromium.Holds(`location.href.includes("error=login_required")`))
			})
		}
	}
}

// leaving is the broker's address of the logout that a browser has begun: the name is in
// its cookie.
func leaving(t *testing.T, ctx context.Context, issuer string) string {
	t.Helper()
	var address string
	chromium.Run(t, ctx, "cookie of the logout", chromedp.ActionFunc(func(ctx context.Context) error {
		cookies, err := network.GetCookies().WithURLs([]string{issuer + "/logout/x"}).Do(ctx)
		if err != nil {
			return err
		}
		for _, c := range cookies {
			if _, id, found := strings.Cut(c.Name, "broker_logout_"); found {
				address = issuer + "/logout/" + id
				return nil
			}
		}
		return fmt.Errorf("no cookie of a logout among %d", len(cookies))
	}))
	return address
}
