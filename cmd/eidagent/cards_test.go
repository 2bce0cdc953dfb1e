//go:build linux

package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/eidbridge/eidbridge/fixtures/cards"
	"github.com/eidbridge/eidbridge/fixtures/needs"
	"github.com/eidbridge/eidbridge/fixtures/pcscd"
)

// Two kinds of cards in a real pcscd: one is chosen, managed and signed with, by
// its driver and through OpenSC's module.
func TestCardCommandsOverPCSCD(t *testing.T) {
	stack := needs.PCSCD(t, pcscd.Options{})
	d := newDesk(t, stack.Env()...)
	spec, err := cardSpec(0, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := stack.Insert(t.Context(), spec); err != nil {
		t.Fatal(err)
	}
	second, err := described(cards.KindEstEID2025, cards.Honest)
	if err != nil {
		t.Fatal(err)
	}
	if err := stack.InsertSlot(t.Context(), 1, second); err != nil {
		t.Fatal(err)
	}
	entries := func(lines ...string) *strings.Reader { return strings.NewReader(strings.Join(lines, "\n") + "\n") }

	// C-59: nothing is preferred among two cards.
	d.wants(d.run(exitUsage, nil, "card", "info"), "several cards are inserted", "Virtual PCD 00 00", "Virtual PCD 00 01")
	d.wants(d.run(exitUsage, entries(pin2), "sign", "--pin-fd", "0", "contract.pdf"), "several certificates could sign")
	d.wants(d.run(exitDone, nil, "card", "info", "--reader", "00 01"), "EstEID 2025")

	first := []string{"--reader", "00 00"}
	d.run(exitDone, entries(pin2, "24681357", "24681357"), append([]string{"card", "pin", "change", "PIN2", "--pin-fd", "0"}, first...)...)
	for range 2 {
		d.run(-1, entries("99999999"), append([]string{"sign", "--pin-fd", "0", "--out", "x.pdf", "contract.pdf"}, first...)...)
	}
	d.wants(d.run(exitDone, nil, append([]string{"card", "pin", "status"}, first...)...), "PIN2  1 of 3 tries left")
	d.run(exitDone, entries("12345678", pin2, pin2), append([]string{"card", "pin", "unblock", "PIN2", "--pin-fd", "0"}, first...)...)
	d.run(exitDone, entries(pin2), append([]string{"sign", "--pin-fd", "0", "contract.pdf"}, first...)...)
	d.wants(d.run(exitDone, nil, append([]string{"card", "data", "--yes"}, first...)...), "60001019906")
	report := d.run(exitDone, nil, "card", "diagnose")
	d.wants(report, "EstEID 2018", "EstEID 2025", "Virtual PCD 00 01")
	if strings.Contains(report, "60001019906") {
		t.Error("the report holds the personal code")
	}

	// The same card through OpenSC, which does not know the one of 2025.
	if err := stack.RemoveSlot(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	module := needs.File(t, "/usr/lib/*/opensc-pkcs11.so", "opensc-pkcs11")
	d.wants(d.run(exitDone, nil, "--pkcs11", module, "cards"), "PKCS #11", "MARI-LIIS")
	d.run(exitDone, entries(pin2), "--pkcs11", module, "sign", "--pin-fd", "0", "--out", "module.pdf", "contract.pdf")
	d.wants(d.run(exitIndeterminate, nil, "verify", "--json", "module.pdf"), `"integrity": "INTACT"`)
	d.wants(d.run(exitPINWrong, entries("99999"), "--pkcs11", module, "sign", "--pin-fd", "0", "--out", "x.pdf", "contract.pdf"), "PIN2 is wrong")
	d.wants(d.run(exitDone, nil, "card", "pin", "status"), "PIN2  2 of 3 tries left")
	d.nothing("x.pdf")
	if _, err := os.Stat(filepath.Join(d.dir, "module.pdf")); err != nil {
		t.Error(err)
	}
	d.hides(pin2)
}
