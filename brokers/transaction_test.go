package brokers_test

import (
	"encoding/json"
	"slices"
	"testing"
	"time"

	"github.com/eidbridge/eidbridge/brokers"
)

func states() []brokers.State {
	return []brokers.State{brokers.Choosing, brokers.Departed, brokers.Returning, brokers.Authenticated, brokers.Completed, brokers.Abandoned, brokers.Leaving, brokers.Left}
}

// The machine of the package comment, written out.
func TestLoginTakesOnlyTheStepsOfItsMachine(t *testing.T) {
	allowed := map[brokers.State][]brokers.State{
		brokers.Choosing:      {brokers.Departed, brokers.Abandoned},
		brokers.Departed:      {brokers.Departed, brokers.Returning, brokers.Abandoned},
		brokers.Returning:     {brokers.Authenticated, brokers.Completed, brokers.Choosing, brokers.Abandoned},
		brokers.Authenticated: {brokers.Completed, brokers.Choosing, brokers.Abandoned},
		brokers.Leaving:       {brokers.Leaving, brokers.Left},
	}
	now := time.Unix(1, 0)
	for _, from := range append(states(), "unheard of") {
		for _, to := range append(states(), "unheard of") {
			tx := &brokers.Transaction{State: from}
			left, err := tx.Step(to, now)
			if want := slices.Contains(allowed[from], to); (err == nil) != want {
				t.Errorf("%s to %s: %v, want allowed %t", from, to, err, want)
			}
			if err == nil && (left != from || tx.State != to || !tx.UpdatedAt.Equal(now)) || err != nil && tx.State != from {
				t.Errorf("%s to %s left %s at %s", from, to, left, tx.State)
			}
		}
		if from.Final() != (len(allowed[from]) == 0 && from != "unheard of") {
			t.Errorf("%s is final: %t", from, from.Final())
		}
	}
}

func TestOnlyDepartedLoginsAwaitAnAnswer(t *testing.T) {
	tx := &brokers.Transaction{Departure: &brokers.Departure{Request: brokers.AuthenticationRequest{RelayState: "r"}}}
	for _, s := range states() {
		tx.State = s
		if got := tx.RelayState(); (got == "r") != (s == brokers.Departed) {
			t.Errorf("at %s the relay state is %q", s, got)
		}
	}
	if got := (&brokers.Transaction{State: brokers.Departed}).RelayState(); got != "" {
		t.Errorf("without departure the relay state is %q", got)
	}
}

func TestHashIsWrittenAndReadAlike(t *testing.T) {
	h := brokers.HashOf("secret")
	text, err := json.Marshal(h)
	var back brokers.Hash
	if err != nil || json.Unmarshal(text, &back) != nil || back != h || len(text) != 45 {
		t.Errorf("%s, %v", text, err)
	}
	if !h.Matches("secret") || h.Matches("secret ") || h.Matches("") || (brokers.Hash{}).Matches("") {
		t.Error("a hash matches the wrong secret")
	}
	for _, wrong := range []string{`""`, `"AAAA"`, `"` + string(text[1:44]) + `="`, `7`} {
		if json.Unmarshal([]byte(wrong), &back) == nil {
			t.Errorf("%s was read", wrong)
		}
	}
}
