//go:build interop

package eidas

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/webauthn"
	"github.com/chromedp/chromedp"

	"github.com/eidbridge/eidbridge/brokers/brokertest"
	"github.com/eidbridge/eidbridge/fixtures/chromium"
	emulator "github.com/eidbridge/eidbridge/fixtures/idps/eidas"
	"github.com/eidbridge/eidbridge/levels"
)

// passkeySite is a service provider whose visitors go to a node with a name.
type passkeySite struct {
	*lab
	start string
}

func newPasskeySite(t *testing.T) *passkeySite {
	t.Helper()
	site := brokertest.NewDoorstep(t)
	s := &passkeySite{start: site.Start("eidas", levels.Substantial)}
	s.lab = newLabWith(t, func(o *emulator.Options, c *Config) {
		o.BaseURL = strings.Replace(o.BaseURL, "127.0.0.1", "localhost", 1)
		c.EntityID, c.ACSURL = site.Base("eidas")+"metadata", site.Base("eidas")+"callback"
	})
	s.home = strings.Replace(s.home, "127.0.0.1", "localhost", 1)
	site.Serve(t, s.u)
	return s
}

// authenticator plugs a virtual one in (Chrome DevTools Protocol, WebAuthn).
func authenticator(t *testing.T, ctx context.Context, verifies bool) webauthn.AuthenticatorID {
	t.Helper()
	var id webauthn.AuthenticatorID
	chromium.Run(t, ctx, "authenticator", webauthn.Enable(), chromedp.ActionFunc(func(ctx context.Context) (err error) {
		id, err = webauthn.AddVirtualAuthenticator(&webauthn.VirtualAuthenticatorOptions{
			Protocol: webauthn.AuthenticatorProtocolCtap2, Transport: webauthn.AuthenticatorTransportInternal,
			HasResidentKey: true, HasUserVerification: true, IsUserVerified: verifies, AutomaticPresenceSimulation: true,
		}).Do(ctx)
		return err
	}))
	return id
}

// enrol logs in at the lab's page of apps and passkeys, as it takes the level that a
// passkey gives (W-15), and stands before the button that makes one.
func (s *passkeySite) enrol(t *testing.T, ctx context.Context, language string) {
	t.Helper()
	chromium.Run(t, ctx, "page of passkeys", chromium.Open(s.home+"/lab/enrol/"+keymaker), chromium.See(`html[lang="`+language+`"] #code`))
	chromium.Picture(t, ctx, "enrol-login")
	chromium.Run(t, ctx, "password alone", chromium.Press(`form[action$="/login"] button`, chromium.Fill("#password", emulator.Password)), chromium.See("#too-low"))
	chromium.Picture(t, ctx, "enrol-too-low")
	chromium.Run(t, ctx, "begin again", network.ClearBrowserCookies(), chromium.Open(s.home+"/lab/enrol/"+keymaker),
		chromium.Press(`form[action$="/login"] button`, chromium.Fill("#password", emulator.Password), chromium.Fill("#code", s.node.Code(keymaker))),
		chromium.See(`form[data-passkey="create"] button`))
}

// toMeans goes from the service to the choice of means in the country of passkeys.
func (s *passkeySite) toMeans(t *testing.T, ctx context.Context, language string) {
	t.Helper()
	chromium.Run(t, ctx, "country", chromedp.Navigate(s.start), chromedp.Click("#go"), chromedp.WaitVisible(`html[lang="`+language+`"] #country`))
	chromium.Run(t, ctx, "consent", chromedp.Click(`input[value="XB"]`), chromedp.Click(`form[action$="/country"] button`), chromedp.WaitVisible(`form[action$="/consent"]`))
	chromium.Run(t, ctx, "means", chromedp.Click(`form[action$="/consent"] button`), chromedp.WaitVisible(`button[value="passkey"]`))
}

// TestInteropChromiumLogsInWithAPasskey makes a passkey at the lab's page and logs in
// with it, in two languages, by the browser's own authenticator.
func TestInteropChromiumLogsInWithAPasskey(t *testing.T) {
	for _, language := range []string{"es", "en"} {
		t.Run(language, func(t *testing.T) {
			s := newPasskeySite(t)
			ctx := chromium.Start(t, language)
			device := authenticator(t, ctx, true)
			s.enrol(t, ctx, language)
			chromium.Picture(t, ctx, "enrol")
			chromium.Run(t, ctx, "make a passkey", chromedp.Click(`form[data-passkey="create"] button`), chromedp.WaitVisible(`.note[role="status"]`))
			chromium.Picture(t, ctx, "enrolled")
			for try := range int64(2) { // the counter goes up
				s.toMeans(t, ctx, language)
				chromium.Picture(t, ctx, "means")
				chromium.Run(t, ctx, "passkey", chromedp.Click(`button[value="passkey"]`), chromedp.WaitVisible(`form[data-passkey="get"] button`))
				chromium.Picture(t, ctx, "passkey")
				var text string
				chromium.Run(t, ctx, "use it", chromedp.Click(`form[data-passkey="get"] button`), chromedp.WaitVisible("#return"))
				chromium.Run(t, ctx, "back", chromedp.Click("#return"), chromedp.WaitVisible("#arrived"), chromedp.Text("#arrived", &text))
				if text != "eidas:XB/ES/LAB-6 substantial" {
					t.Errorf("arrived with %q", text)
				}
				chromium.Run(t, ctx, "counter", chromedp.ActionFunc(func(ctx context.Context) error {
					keys, err := webauthn.GetCredentials(device).Do(ctx)
					if err != nil {
						return err
					}
					if len(keys) != 1 || !keys[0].IsResidentCredential || keys[0].RpID != "localhost" || keys[0].SignCount < try+2 {
						return fmt.Errorf("passkeys of the device: %+v", keys)
					}
					return nil
				}))
			}
		})
	}
}

// TestInteropChromiumWithoutAPasskey: a user who is not verified, a device without a
// passkey, and a browser without scripts get no further with it, and are offered the
// app's code.
func TestInteropChromiumWithoutAPasskey(t *testing.T) {
	t.Run("user is not verified", func(t *testing.T) {
		s := newPasskeySite(t)
		ctx := chromium.Start(t, "en")
		device := authenticator(t, ctx, true)
		s.enrol(t, ctx, "en")
		chromium.Run(t, ctx, "make a passkey", chromedp.Click(`form[data-passkey="create"] button`), chromedp.WaitVisible(`.note[role="status"]`))
		s.toMeans(t, ctx, "en")
		chromium.Run(t, ctx, "passkey", chromedp.Click(`button[value="passkey"]`), chromedp.WaitVisible(`form[data-passkey="get"] button`))
		chromium.Run(t, ctx, "no verification", webauthn.SetUserVerified(device, false), chromedp.Click(`form[data-passkey="get"] button`),
			chromium.Holds(`document.querySelector("form[data-passkey] [role=status]").textContent !== ""`))
		chromium.Picture(t, ctx, "failed")
		chromium.Run(t, ctx, "verified after all", webauthn.SetUserVerified(device, true), chromedp.Click(`form[data-passkey="get"] button`), chromedp.WaitVisible("#return"))
	})
	t.Run("no scripts", func(t *testing.T) {
		s := newPasskeySite(t)
		ctx := chromium.Start(t, "es")
		chromium.Run(t, ctx, "scripts off", emulation.SetScriptExecutionDisabled(true))
		s.toMeans(t, ctx, "es")
		chromium.Run(t, ctx, "passkey", chromedp.Click(`button[value="passkey"]`), chromedp.WaitVisible(`.scriptless`), chromedp.WaitNotVisible(`form[data-passkey] button`))
		chromium.Picture(t, ctx, "scriptless")
		chromium.Run(t, ctx, "another way", chromedp.Click(`form[action$="/method"] button`), chromedp.WaitVisible(`button[value="code"]`))
		chromium.Run(t, ctx, "app", chromedp.Click(`button[value="code"]`), chromedp.WaitVisible("#user"))
		chromium.Run(t, ctx, "password", chromedp.SendKeys("#user", keymaker), chromedp.SendKeys("#password", emulator.Password+"\r"), chromedp.WaitVisible("#code"))
		chromium.Picture(t, ctx, "code")
		chromium.Run(t, ctx, "code", chromedp.SendKeys("#code", s.node.Code(keymaker)+"\r"), chromedp.WaitVisible("#return"))
		var text string
		chromium.Run(t, ctx, "back", chromedp.Click("#return"), chromedp.WaitVisible("#arrived"), chromedp.Text("#arrived", &text))
		if text != "eidas:XB/ES/LAB-6 substantial" {
			t.Errorf("arrived with %q", text)
		}
	})
}
