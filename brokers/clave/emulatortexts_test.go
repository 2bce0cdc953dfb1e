package clave

import (
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
}
