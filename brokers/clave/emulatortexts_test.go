package clave

import (
	"net/http"
	"net/http/httptest"
	"testing"

	emulator "github.com/eidbridge/eidbridge/fixtures/idps/clave"
	"github.com/eidbridge/eidbridge/levels"
)

// TestTextMessagesOfTheEmulatorHaveABudget (W-08, emulator): logins that are
// begun again and again send a person three messages in a quarter of an hour.
func TestTextMessagesOfTheEmulatorHaveABudget(t *testing.T) {
	l := newLab(t)
	for i := range 5 {
		l.begin(t, "clave-permanente-sms", levels.Substantial)
		l.step(t, "method", "method", "permanente")
		l.step(t, "permanente", "number", "99999018D", "password", emulator.Password)
		if got, want := len(l.gateway.Outbox()), min(i+1, 3); got != want {
			t.Errorf("login %d: %d messages, want %d", i+1, got, want)
		}
	}
	// A test suite logs in more often, and says so.
	l.gateway.Control().Handler().ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodPost, "/_control/reset", nil))
	l.begin(t, "clave-permanente-sms", levels.Substantial)
	l.step(t, "method", "method", "permanente")
	l.step(t, "permanente", "number", "99999018D", "password", emulator.Password)
	if got := len(l.gateway.Outbox()); got != 4 {
		t.Errorf("after a reset: %d messages, want 4", got)
	}
}
