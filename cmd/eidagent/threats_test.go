//go:build linux

package main

import (
	"testing"

	"github.com/eidbridge/eidbridge/fixtures/cards"
)

// Threat C-55: another program, or an app behind a scheme that it shares with the
// agent, cannot have a card session opened. No address does anything, and what the
// person does not agree to reaches the card as reading alone.
func TestCardSessionStartsFromTheAgentsOwnQuestionOnly(t *testing.T) {
	spec, err := described(cards.KindEstEID, cards.Honest)
	if err != nil {
		t.Fatal(err)
	}
	card, err := spec.New()
	if err != nil {
		t.Fatal(err)
	}
	seen := cards.Record(card, nil)
	address := listen(t.Cleanup, t.Fatalf, seen)
	d := newDesk(t)
	for _, url := range []string{
		"eidbridge://sign?document=https://example.org/a.pdf", "afirma://sign?op=sign", "web-eid://auth", "eid://127.0.0.1:24727/eID-Client",
		"https://sede.example.es/sign",
	} {
		d.run(exitUsage, nil, "--vpcd", address, url)
	}
	if n := len(seen.Exchanges()); n != 0 {
		t.Errorf("%d exchanges with the card", n)
	}
	c := d.command("--vpcd", address, "sign", "contract.pdf")
	d.refuse(c)
	if got := c.ProcessState.ExitCode(); got != exitRefused {
		t.Errorf("exit code is %d", got)
	}
	log := seen.Exchanges()
	if withPIN(log) != 0 || cards.Count(log, "2A") != 0 || cards.Count(log, "B0") == 0 {
		t.Errorf("%d VERIFY, %d signatures, %d reads", withPIN(log), cards.Count(log, "2A"), cards.Count(log, "B0"))
	}
}
