package dnie_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/eidbridge/eidbridge/cardreader"
	"github.com/eidbridge/eidbridge/cardreader/dnie"
	"github.com/eidbridge/eidbridge/fixtures/cards"
)

// Threat C-50: a chip that does not lead to the root sees no PIN, whatever is
// asked of it.
func TestUntrustedChipSeesNoPIN(t *testing.T) {
	l := newLab(t)
	published, err := dnie.PublishedRoots()
	if err != nil {
		t.Fatal(err)
	}
	honest := l.spec[2].DNIe.Chip
	other := l.spec[1].DNIe.Chip
	chip := func(change func(*cards.ChipConfig)) func(*cards.Spec) {
		return func(s *cards.Spec) { change(&s.DNIe.Chip) }
	}
	for name, v := range map[string]struct {
		card   cards.Card
		driver func(*dnie.Driver)
	}{
		"lab chip under the published roots": {l.card(t, 2), func(d *dnie.Driver) { d.Roots = published }},
		"root of the other generation":       {l.card(t, 2), func(d *dnie.Driver) { d.Roots = l.roots[:1] }},
		"no root":                            {l.card(t, 2), func(d *dnie.Driver) { d.Roots = nil }},
		"chip certificate of another branch": {l.card(t, 2, chip(func(c *cards.ChipConfig) { c.Identity.Certificate = other.Identity.Certificate })), nil},
		"intermediate of another branch":     {l.card(t, 2, chip(func(c *cards.ChipConfig) { c.Intermediate = other.Intermediate })), nil},
		"chip certificate in both places":    {l.card(t, 2, chip(func(c *cards.ChipConfig) { c.Intermediate = honest.Identity.Certificate })), nil},
		"holder's certificate as the chip's": {l.card(t, 2, func(s *cards.Spec) { s.DNIe.Chip.Identity.Certificate = s.DNIe.Signature.Certificate }), nil},
		"certificate without the key":        {l.card(t, 2, chip(func(c *cards.ChipConfig) { c.Identity.Key = other.Identity.Key })), nil},
		"wrong signature":                    {l.card(t, 2, misbehaving(cards.MisbehaviourWrongSignature)), nil},
		"wrong hash":                         {l.card(t, 2, misbehaving(cards.MisbehaviourWrongHash)), nil},
		"over radio":                         {l.card(t, 2, contactless, misbehaving(cards.MisbehaviourWrongHash)), nil},
		"2.0":                                {l.card(t, 1, secondCard, misbehaving(cards.MisbehaviourWrongHash)), nil},
	} {
		d := newDesk(t, v.card, func(d *dnie.Driver) {
			if v.driver != nil {
				v.driver(d)
			}
		})
		err := d.sign(t, cardreader.UsageSignature)
		if !errors.Is(err, cardreader.ErrCardUntrusted) {
			t.Errorf("%s: %v, want ErrCardUntrusted", name, err)
		}
		if name == "no root" && (!errors.Is(err, dnie.ErrNoRoot) || !strings.Contains(err.Error(), "set the component root")) {
			t.Errorf("no root: %v", err)
		}
		list, _ := d.cards.List(t.Context())
		if len(list) != 1 || !errors.Is(list[0].Err, cardreader.ErrCardUntrusted) {
			t.Errorf("%s: listed as %+v", name, list)
		}
		if d.presented() != 0 || d.entry.asked != 0 || d.Count(0x2A) > 6 {
			t.Errorf("%s: %d PINs sent, %d questions", name, d.presented(), d.entry.asked)
		}
	}
}

// Threats C-51, C-52, C-53: nothing forged passes and nothing is repeated in
// clear.
func TestForgedAnswersEndTheChannel(t *testing.T) {
	l := newLab(t)
	for _, m := range []cards.Misbehaviour{
		cards.MisbehaviourWrongMAC, cards.MisbehaviourShortMAC, cards.MisbehaviourNoMAC, cards.MisbehaviourNoStatus,
		cards.MisbehaviourPlain, cards.MisbehaviourReplay, cards.MisbehaviourTrailing,
		cards.MisbehaviourDowngrade6982, cards.MisbehaviourDowngrade6987, cards.MisbehaviourDowngrade6988,
	} {
		for name, changes := range map[string][]func(*cards.Spec){"contact": nil, "radio": {contactless}} {
			d := newDesk(t, l.card(t, 2, append(changes, misbehaving(m))...))
			err := d.sign(t, cardreader.UsageSignature)
			if !errors.Is(err, cardreader.ErrCardProtocol) {
				t.Errorf("%s, %s: %v, want ErrCardProtocol", m, name, err)
			}
			if d.presented() > 0 {
				t.Errorf("%s, %s: a PIN was sent", m, name)
			}
			for _, c := range d.Commands() {
				if c[0]&0x0C == 0 && (c[1] == 0x20 || c[1] == 0x2A && c[3] == 0x9A) {
					t.Errorf("%s, %s: %X in clear", m, name, c[:4])
				}
			}
		}
	}
}

// Threat C-54, and a card that does not know its number.
func TestDishonestPACE(t *testing.T) {
	l := newLab(t)
	for _, m := range []cards.Misbehaviour{cards.MisbehaviourOffCurve, cards.MisbehaviourMirror, cards.MisbehaviourWrongToken} {
		d := newDesk(t, l.card(t, 2, contactless, misbehaving(m)))
		if err := d.sign(t, cardreader.UsageSignature); !errors.Is(err, cardreader.ErrCardProtocol) || d.presented() != 0 {
			t.Errorf("%s: %v", m, err)
		}
	}
}

// Threat C-17: another card under the same reader name between the search and the
// PIN.
func TestSwappedCardSeesNoPIN(t *testing.T) {
	l := newLab(t)
	other := l.card(t, 1)
	twin := l.card(t, 2, func(s *cards.Spec) {
		// The same files, another chip.
		s.DNIe.Chip.Serial = slices.Clone(s.DNIe.Chip.Serial)
		s.DNIe.Chip.Serial[6]++
	})
	for name, second := range map[string]cards.Card{"other holder": other, "other chip, same files": twin} {
		d := newDesk(t, l.card(t, 2))
		found := d.find(t, cardreader.UsageSignature)
		d.put(second)
		err := d.signWith(t, found)
		if !errors.Is(err, cardreader.ErrCardChanged) || d.presented() != 0 {
			t.Errorf("%s: %v, want ErrCardChanged", name, err)
		}
	}
	// Threat C-58: all public files and the chip's number, but not its key.
	clone := l.card(t, 2, func(s *cards.Spec) { s.DNIe.Chip.Identity.Key = l.spec[1].DNIe.Chip.Identity.Key })
	d := newDesk(t, l.card(t, 2))
	found := d.find(t, cardreader.UsageSignature)
	d.put(clone)
	if err := d.signWith(t, found); !errors.Is(err, cardreader.ErrCardUntrusted) || d.presented() != 0 {
		t.Errorf("clone: %v, want ErrCardUntrusted", err)
	}
}

// Whether a card protects the refusal of a PIN is not known: both are taken, and
// nothing else without protection.
func TestUnprotectedRefusalOfThePIN(t *testing.T) {
	l := newLab(t)
	after := func(answer string, first int) func(*cards.Spec) {
		return ruled(cards.Rule{Command: "0C20", First: first, Times: 1, Act: cards.ActReplace, Answer: answer})
	}
	// The counter is asked in the search and before the PIN; the PIN is third.
	d := newDesk(t, l.card(t, 2, after("63C2", 3)))
	refusal(t, d.sign(t, cardreader.UsageSignature), cardreader.PINWrong, 2)
	d = newDesk(t, l.card(t, 2, after("6983", 3)))
	refusal(t, d.sign(t, cardreader.UsageSignature), cardreader.PINBlocked, 0)
	d = newDesk(t, l.card(t, 2, after("9000", 3)))
	if err := d.sign(t, cardreader.UsageSignature); !errors.Is(err, cardreader.ErrCardProtocol) || d.Count(0x2A) != 2*2 {
		t.Errorf("success without protection: %v, %d PSO", err, d.Count(0x2A))
	}
	// A counter in clear ends the channel, and the signature opens another.
	for name, changes := range map[string][]func(*cards.Spec){"contact": nil, "radio": {contactless}} {
		d = newDesk(t, l.card(t, 2, append(changes, after("63C3", 2))...))
		if err := d.sign(t, cardreader.UsageSignature); err != nil || d.presented() != 1 || d.entry.canAsked > 1 {
			t.Errorf("%s, counter in clear: %v, %d VERIFY", name, err, d.presented())
		}
	}
}
