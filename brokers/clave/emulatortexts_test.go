package clave

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	emulator "github.com/eidbridge/eidbridge/fixtures/idps/clave"
	"github.com/eidbridge/eidbridge/levels"
)

// control asks the gateway's control API.
func (l *lab) control(t *testing.T, name string) string {
	t.Helper()
	w := httptest.NewRecorder()
	l.gateway.Control().Handler().ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/_control/"+name, nil))
	return w.Body.String()
}

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
	if spent := l.control(t, "texts"); !strings.Contains(spent, `"sent":3,`) || !strings.Contains(spent, `"denied":2`) { // W-07
		t.Errorf("figures: %s", spent)
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
