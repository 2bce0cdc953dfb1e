//go:build interop

package provider_test

import (
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"

	"github.com/eidbridge/eidbridge/brokers"
	"github.com/eidbridge/eidbridge/brokers/abuse"
	"github.com/eidbridge/eidbridge/brokers/brokertest"
	"github.com/eidbridge/eidbridge/brokers/provider"
	"github.com/eidbridge/eidbridge/brokers/store"
	"github.com/eidbridge/eidbridge/fixtures/chromium"
	"github.com/eidbridge/eidbridge/levels"
)

// W-13, W-14: in Chromium the page of a proof of work leads on by itself, with scripts
// by working and without them by waiting or by its button; both end at the methods.
func TestInteropChallengeInChromium(t *testing.T) {
	methods := []brokers.Method{
		{ID: "a", Level: levels.High, Name: map[string]string{"en": "One"}},
		{ID: "b", Level: levels.High, Name: map[string]string{"en": "Two"}},
	}
	// Long enough for a slow machine to look at the page that waits.
	const wait = 8 * time.Second
	var guard *abuse.Guard
	r := newRig(t, options{upstream: &brokertest.Upstream{Offered: methods}, config: func(c *provider.Config) {
		var err error
		if guard, err = abuse.New(abuse.Settings{ChallengeAbove: 1, Wait: wait}, abuse.Options{Strikes: store.NewMemory(), Key: make([]byte, 32)}); err != nil {
			t.Fatal(err)
		}
		c.Guard = guard
	}})
	figure := func(name string) float64 {
		for _, f := range guard.Figures() {
			if f.Name == "eidbroker_abuse_"+name {
				return f.Value()
			}
		}
		t.Fatalf("no figure %s", name)
		return 0
	}
	address := r.server.URL + "/authorize?" + r.request().Encode()
	ctx := chromium.Start(t, "en")
	r.authorize(newBrowser(t)) // the one that is free; a minute later there is another, which a browser that starts slowly would get
	begun := time.Now()
	chromium.Run(t, ctx, "with scripts", chromium.Open(address), chromium.See("ul.methods"))
	if figure("proofs") != 1 || figure("waits") != 0 {
		t.Errorf("with scripts: %v proofs, %v waits", figure("proofs"), figure("waits"))
	}
	t.Logf("with scripts it took %s", time.Since(begun))

	r.authorize(newBrowser(t)) // free or not, the next is not
	begun = time.Now()
	chromium.Run(t, ctx, "without scripts", emulation.SetScriptExecutionDisabled(true), chromium.Open(address), chromium.See("a.button"))
	chromium.Picture(t, ctx, "challenge-without-scripts")
	chromium.Run(t, ctx, "waited", chromium.See("ul.methods"))
	if figure("proofs") != 1 || figure("waits") != 1 || time.Since(begun) < wait {
		t.Errorf("without scripts: %v proofs, %v waits, after %s", figure("proofs"), figure("waits"), time.Since(begun))
	}
}
