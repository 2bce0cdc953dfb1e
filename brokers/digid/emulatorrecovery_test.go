package digid

import (
	"net/http"
	"strings"
	"testing"

	"github.com/eidbridge/eidbridge/brokers"
	emulator "github.com/eidbridge/eidbridge/fixtures/idps/digid"
	"github.com/eidbridge/eidbridge/levels"
)

// TestRecoveryAtTheEmulatorNeverRaisesALevel (W-15, emulator): at the broker's end, an app
// of another activation gives Midden's level where its predecessor gave Substantieel's,
// until it has read the identity document, and a password that was recovered gives no
// more than before.
func TestRecoveryAtTheEmulatorNeverRaisesALevel(t *testing.T) {
	l := newLaboratory(t)
	newest := func() string {
		t.Helper()
		sent := l.idp.Outbox()
		if len(sent) == 0 {
			t.Fatal("nothing was sent")
		}
		return sent[len(sent)-1].Code
	}
	reached := func(u brokers.Upstream, method, means, user string, asked levels.Level) levels.Level {
		t.Helper()
		b := newBrowser(t, l.home)
		d := l.depart(b, u, brokers.AuthenticationRequest{Method: method, Level: asked, ForceAuthn: true})
		l.walk(b, means, user)
		event, err := l.finish(b, u, d)
		if err != nil {
			t.Fatal(err)
		}
		return event.Assessment.Level
	}
	both := func(step, means, user string, want levels.Level) {
		t.Helper()
		for method, u := range map[string]brokers.Upstream{"digid-midden": l.direct, "digid4-midden": l.routed} {
			if got := reached(u, method, means, user, levels.Low); got != want {
				t.Errorf("%s, %s by %s: %s, want %s", step, method, means, got, want)
			}
		}
	}
	both("at first", "app", "lab-app", levels.Substantial)
	b := newBrowser(t, l.home)
	b.do(http.MethodGet, l.home+"/recover/app", nil)
	b.send("/recover/app/begin", "username", "lab-app", "password", emulator.LabPassword)
	b.send("/recover/app/letter", "code", newest())
	b.send("/recover/app/new", "new", emulator.LabPIN, "again", emulator.LabPIN)
	if !strings.Contains(b.page, `id="done"`) {
		t.Fatalf("not activated: %.1500s", b.page)
	}
	both("after another activation", "app", "lab-app", levels.Low)
	if got := reached(l.direct, "digid-substantieel", "app", "lab-app", levels.Substantial); got != levels.Substantial { // the walk shows the document
		t.Errorf("with the identity document: %s", got)
	}
	both("after the document", "app", "lab-app", levels.Substantial)

	b = newBrowser(t, l.home)
	b.do(http.MethodGet, l.home+"/recover/password", nil)
	b.send("/recover/password/begin", "username", "lab-basis", "bsn", l.persons["lab-basis"].BSN)
	b.send("/recover/password/letter", "code", newest())
	b.send("/recover/password/new", "new", emulator.LabPassword, "again", emulator.LabPassword)
	if !strings.Contains(b.page, `id="done"`) {
		t.Fatalf("not recovered: %.1500s", b.page)
	}
	if got := reached(l.direct, "digid-basis", "password", "lab-basis", levels.BelowLow); got != levels.BelowLow {
		t.Errorf("with a recovered password: %s", got)
	}
}
