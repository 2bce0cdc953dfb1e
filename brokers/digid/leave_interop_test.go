//go:build interop

package digid

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"

	"github.com/eidbridge/eidbridge/brokers"
	"github.com/eidbridge/eidbridge/brokers/brokertest"
	"github.com/eidbridge/eidbridge/fixtures/chromium"
	emulator "github.com/eidbridge/eidbridge/fixtures/idps/digid"
)

// TestInteropChromiumLogsOutAndDigiDIsGone: DigiD dies while somebody logs out, in either
// generation. The browser stands before nothing, but nobody is logged in any more, and
// after an hour the broker says that the session there may go on.
func TestInteropChromiumLogsOutAndDigiDIsGone(t *testing.T) {
	for method, language := range map[string]string{"digid/digid-midden": "nl", "digid4/digid4-midden": "en"} {
		t.Run(method, func(t *testing.T) {
			var l *laboratory
			desk := brokertest.NewDesk(t, func(issuer string) []brokers.Upstream {
				l = newLaboratoryAt(t, issuer+"/upstream/digid/", issuer+"/upstream/digid4/")
				return []brokers.Upstream{l.direct, l.routed}
			})
			ctx := chromium.Start(t, language)
			chromium.Run(t, ctx, "broker", chromium.Open(desk.AuthorizeURL("ui_locales", language)), chromium.Press(`button[value="`+method+`"]`), chromium.Press(`button[value="password"]`))
			chromium.Run(t, ctx, "password", chromium.Press("#password", chromium.Fill("#username", "lab-alles"), chromium.Fill("#password", emulator.LabPassword)), chromium.See("#code"))
			sent := l.idp.Outbox()
			chromium.Run(t, ctx, "code", chromium.Press("#code", chromium.Fill("#code", sent[len(sent)-1].Code)), chromium.Holds(fmt.Sprintf("location.href.startsWith(%q)", desk.Portal+"/callback")))

			chromium.Run(t, ctx, "log out", chromium.Open(strings.Replace(desk.LogoutURL(), "ui_locales=en", "ui_locales="+language, 1)), chromium.See(`button[value="end"]`))
			l.front.CloseClientConnections()
			l.front.Close()
			// The error page of a browser is nobody's, so it is only waited for.
			chromium.Run(t, ctx, "end", chromedp.Evaluate(`document.querySelector('button[value="end"]').click()`, nil))
			chromium.Run(t, ctx, "nothing there", chromium.Holds(`location.protocol === "chrome-error:"`))
			address := leaving(t, ctx, desk.Issuer)
			chromium.Run(t, ctx, "is anybody logged in", chromium.Open(desk.SilentURL()), chromium.Holds(`location.href.includes("error=login_required")`))

			desk.Later(61 * time.Minute)
			var text string
			chromium.Run(t, ctx, "too late", chromium.Open(address), chromium.See(`html[lang="`+language+`"] p[role="alert"]`), chromium.Text("main", &text))
			chromium.Picture(t, ctx, "never-returned")
			if !strings.Contains(text, map[string]string{"nl": "kan", "en": "may"}[language]) {
				t.Errorf("the page says:\n%s", text)
			}
			if log := desk.Log(); !strings.Contains(log, `"event":"upstream.logout_failed"`) || !strings.Contains(log, `"expired"`) || strings.Contains(log, `"event":"upstream.logout_done"`) {
				t.Errorf("log: %s", log)
			}
		})
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
