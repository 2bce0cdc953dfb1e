package dnie_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"errors"
	"net"
	"testing"

	"github.com/eidbridge/eidbridge/cardreader"
	"github.com/eidbridge/eidbridge/cardreader/cardtest"
	"github.com/eidbridge/eidbridge/cardreader/cwa14890"
	"github.com/eidbridge/eidbridge/cardreader/dnie"
	"github.com/eidbridge/eidbridge/cardreader/pace"
	"github.com/eidbridge/eidbridge/cardreader/pin"
	"github.com/eidbridge/eidbridge/cardreader/vpcd"
	"github.com/eidbridge/eidbridge/fixtures/cards"
)

func TestListShowsTheCardWithoutAPIN(t *testing.T) {
	l := newLab(t)
	for name, card := range map[string]cards.Card{
		"3.0 over contact":   l.card(t, 2),
		"3.0 over radio":     l.card(t, 2, contactless),
		"3.0, old keys":      l.card(t, 1),
		"2.0 over contact":   l.card(t, 1, secondCard),
		"plain certificates": l.card(t, 2, func(s *cards.Spec) { s.DNIe.Container = cards.ContainerPlain }),
	} {
		d := newDesk(t, card)
		list, err := d.cards.List(t.Context())
		if err != nil || len(list) != 1 || list[0].Err != nil {
			t.Errorf("%s: %+v, %v", name, list, err)
			continue
		}
		slot := list[0]
		if slot.Info.Family != "DNIe" || len(slot.Info.DocumentNumber) != 9 {
			t.Errorf("%s: %+v", name, slot.Info)
		}
		if len(slot.Credentials) != 2 || slot.Credentials[0].ID != "authentication" || slot.Credentials[1].ID != "signature" ||
			slot.Credentials[0].Usage != cardreader.UsageAuthentication || slot.Credentials[1].Usage != cardreader.UsageSignature {
			t.Errorf("%s: %+v", name, slot.Credentials)
		}
		if len(slot.PINs) != 1 || slot.PINs[0].TriesLeft != 3 || slot.PINs[0].MinLength != 8 || slot.PINs[0].MaxLength != 16 {
			t.Errorf("%s: %+v", name, slot.PINs)
		}
		if d.presented() != 0 || d.entry.asked != 0 {
			t.Errorf("%s: a PIN was used", name)
		}
	}
}

func TestSignsWithBothKeysAndEveryHash(t *testing.T) {
	l := newLab(t)
	for name, card := range map[string]cards.Card{
		"3.0 over contact": l.card(t, 2),
		"3.0 over radio":   l.card(t, 2, contactless),
		"3.0, old keys":    l.card(t, 1),
		"2.0 over contact": l.card(t, 1, secondCard),
	} {
		d := newDesk(t, card)
		signatures := 0
		for _, usage := range []cardreader.Usage{cardreader.UsageAuthentication, cardreader.UsageSignature} {
			found := d.find(t, usage)
			for _, hash := range []crypto.Hash{crypto.SHA256, crypto.SHA384, crypto.SHA512} {
				h := hash.New()
				_, _ = h.Write([]byte("a document"))
				value, err := d.cards.Signer(t.Context(), found, d.entry).Sign(rand.Reader, h.Sum(nil), hash)
				if err != nil {
					t.Fatalf("%s, %s, %v: %v", name, usage, hash, err)
				}
				key := found.Credential.Certificate.PublicKey.(*rsa.PublicKey)
				if err := rsa.VerifyPKCS1v15(key, hash, h.Sum(nil), value); err != nil {
					t.Errorf("%s, %s, %v: %v", name, usage, hash, err)
				}
				signatures++
			}
		}
		for _, c := range d.Commands() {
			if bytes.Contains(c, []byte(citizenPIN)) {
				t.Errorf("C-53: %s: %X shows the PIN", name, c[:2])
			}
		}
		// Threat C-33: one PIN and one signature command for each entry. Threat
		// C-44: a reset after each.
		if d.presented() != signatures || d.entry.asked != signatures || d.Resets() != signatures {
			t.Errorf("%s: %d signatures with %d VERIFY, %d questions, %d resets", name, signatures, d.presented(), d.entry.asked, d.Resets())
		}
	}
}

func TestLabTerminalsOpenTheCardOfTheirRoot(t *testing.T) {
	l := newLab(t)
	d := newDesk(t, l.card(t, 2), func(d *dnie.Driver) { d.KeySets = l.sets })
	if err := d.sign(t, cardreader.UsageSignature); err != nil {
		t.Error(err)
	}
}

// The signature that follows a search reads no file of the card: the handshake
// shows that the chip is the same.
func TestSignatureAfterASearchReadsNothing(t *testing.T) {
	l := newLab(t)
	for name, card := range map[string]cards.Card{"contact": l.card(t, 2), "radio": l.card(t, 2, contactless)} {
		d := newDesk(t, card)
		found := d.find(t, cardreader.UsageSignature)
		cold, coldBytes := len(d.Commands()), d.Received()
		d.put(card)
		if err := d.signWith(t, found); err != nil {
			t.Fatal(err)
		}
		if n := d.Count(0xB0); n != 0 {
			t.Errorf("%s: %d READ BINARY", name, n)
		}
		if n := d.Count(0xA4); n != 1 {
			t.Errorf("%s: %d SELECT", name, n)
		}
		t.Logf("%s: search %d commands, %d bytes; signature %d commands", name, cold, coldBytes, len(d.Commands()))
		if d.entry.canAsked > 1 {
			t.Errorf("%s: asked %d times for the access number", name, d.entry.canAsked)
		}
	}
}

func TestWrongPINTellsTheTriesThatAreLeft(t *testing.T) {
	l := newLab(t)
	for name, changes := range map[string][]func(*cards.Spec){
		"3.0": nil, "2.0": {secondCard}, "radio": {contactless},
	} {
		generation := 2
		if name == "2.0" {
			generation = 1
		}
		d := newDesk(t, l.card(t, generation, changes...))
		d.entry.pin = "WRONG-PIN"
		for left := 2; left >= 0; left-- {
			err := d.sign(t, cardreader.UsageSignature)
			if d.entry.status.TriesLeft != left+1 {
				t.Errorf("%s: asked with %d tries, want %d", name, d.entry.status.TriesLeft, left+1)
			}
			if left > 0 {
				refusal(t, err, cardreader.PINWrong, left)
			} else {
				refusal(t, err, cardreader.PINBlocked, 0)
			}
		}
		// Threat C-42: blocked, so nobody is asked and nothing is sent.
		sent, asked := d.presented(), d.entry.asked
		refusal(t, d.sign(t, cardreader.UsageSignature), cardreader.PINBlocked, 0)
		if d.presented() != sent || d.entry.asked != asked || sent != 3 {
			t.Errorf("%s: %d VERIFY, then %d; %d questions, then %d", name, sent, d.presented(), asked, d.entry.asked)
		}
	}
}

// Threat C-41: whoever asks for the PIN knows that it is the last try.
func TestLastTryIsKnownBeforeTheQuestion(t *testing.T) {
	d := newDesk(t, newLab(t).card(t, 2, tries(1)))
	if err := d.sign(t, cardreader.UsageSignature); err != nil || d.entry.status.TriesLeft != 1 {
		t.Errorf("%+v, %v", d.entry.status, err)
	}
}

// Threat C-43: what the card would refuse anyway never gets there.
func TestMalformedPINIsNotSent(t *testing.T) {
	card := newLab(t).card(t, 2)
	for _, entry := range []string{"SHORT12", "SEVENTEEN-LETTERS", "WITH A BLANK", "NEWLINE\nX", "ΟΚΤΩΟΚΤΩ", "NUL\x00NUL\x00"} {
		d := newDesk(t, card)
		d.entry.pin = entry
		refusal(t, d.sign(t, cardreader.UsageSignature), cardreader.PINFormat, 3)
		if d.presented() != 0 {
			t.Errorf("%q was sent", entry)
		}
	}
}

// The number on the card points at one generation of keys, and the card knows the
// other: one more attempt with it, before any PIN.
func TestOtherGenerationIsTriedOnce(t *testing.T) {
	l := newLab(t)
	misled := l.card(t, 1, func(s *cards.Spec) {
		s.DNIe.Holder.DocumentNumber = "BMP999999"
		s.DNIe.Chip.Roots = nil
	})
	d := newDesk(t, misled)
	if err := d.sign(t, cardreader.UsageSignature); err != nil {
		t.Fatal(err)
	}
	// The search is wrong once, and nothing later is.
	refused := 0
	for i, c := range d.Commands() {
		if c[1] == 0x2A && c[3] == 0xAE && i > 0 {
			refused++
		}
	}
	if refused != 1+2+2+2 {
		t.Errorf("%d certificates of terminals shown", refused)
	}

	d = newDesk(t, l.card(t, 2, misbehaving(cards.MisbehaviourWrongGeneration)))
	err := d.sign(t, cardreader.UsageSignature)
	if !errors.Is(err, cwa14890.ErrGeneration) || !errors.Is(err, cardreader.ErrCardProtocol) || d.presented() != 0 {
		t.Errorf("card that knows neither: %v", err)
	}
	// The search gives the certificate, and the signature asks the card again.
	if n := d.Count(0x2A); n != 2*2 {
		t.Errorf("%d certificates shown, want one of each generation twice", n)
	}
}

func TestWrongAccessNumberIsNeverSentAgain(t *testing.T) {
	l := newLab(t)
	d := newDesk(t, l.card(t, 2, contactless))
	d.entry.can = "654321"
	_, err := d.cards.Find(t.Context(), cardreader.Selection{Usage: cardreader.UsageSignature})
	var refused *cardreader.PINError
	if !errors.As(err, &refused) || refused.PIN != "CAN" || refused.Reason != cardreader.PINWrong {
		t.Fatalf("got %v, want a refused CAN", err)
	}
	if n := d.Count(0x86); n != 4 || d.entry.canAsked != 1 {
		t.Errorf("%d steps of PACE, %d questions", n, d.entry.canAsked)
	}

	// A driver that is bound to the number keeps quiet from then on.
	bound, err := d.driver.Bind(t.Context(), cardreader.Reader{Name: cardtest.Name, ATR: d.card.ATR()})
	if err != nil {
		t.Fatal(err)
	}
	for attempt := range 3 {
		conn, err := d.Connect(t.Context(), cardtest.Name)
		if err != nil {
			t.Fatal(err)
		}
		_, err = bound.Open(t.Context(), conn)
		if !errors.As(err, &refused) || refused.PIN != "CAN" {
			t.Errorf("attempt %d: %v", attempt, err)
		}
		_ = conn.Close(true)
	}
	if n := d.Count(0x86); n != 8 {
		t.Errorf("%d steps of PACE, want one run", n)
	}
}

func TestAccessNumberIsNeeded(t *testing.T) {
	l := newLab(t)
	d := newDesk(t, l.card(t, 2, contactless), func(d *dnie.Driver) { d.CAN = nil })
	if _, err := d.cards.Find(t.Context(), cardreader.Selection{}); !errors.Is(err, dnie.ErrNoAccessNumber) {
		t.Errorf("got %v, want ErrNoAccessNumber", err)
	}
	d = newDesk(t, l.card(t, 2, contactless))
	d.entry.err = errors.New("nobody there")
	if _, err := d.cards.Find(t.Context(), cardreader.Selection{}); !errors.Is(err, d.entry.err) {
		t.Errorf("got %v", err)
	}
	d.entry.err, d.entry.can = nil, "12345"
	var refused *cardreader.PINError
	if _, err := d.cards.Find(t.Context(), cardreader.Selection{}); !errors.As(err, &refused) || refused.Reason != cardreader.PINFormat {
		t.Errorf("five digits: %v", err)
	}
	if d.Count(0x22) != 0 || d.Count(0x86) != 0 {
		t.Error("PACE was begun")
	}
}

func TestLastAccessNumberNeedsAYes(t *testing.T) {
	l := newLab(t)
	rule := cards.Rule{Command: "0022C1A4", Times: 1, Act: cards.ActReplace, Answer: "63C1"}
	d := newDesk(t, l.card(t, 2, contactless, ruled(rule)))
	if err := d.sign(t, cardreader.UsageSignature); !errors.Is(err, pace.ErrLastTry) || d.Count(0x86) != 0 {
		t.Errorf("got %v, want ErrLastTry", err)
	}
	d = newDesk(t, l.card(t, 2, contactless, ruled(rule)), func(d *dnie.Driver) { d.AcceptLastAccessNumber = true })
	if err := d.sign(t, cardreader.UsageSignature); err != nil {
		t.Error(err)
	}
}

// Reading ends with the card in clear, for programs that know nothing of this
// one, and without a reset that would disturb them.
func TestReadingLeavesNoChannelBehind(t *testing.T) {
	l := newLab(t)
	for name, changes := range map[string][]func(*cards.Spec){"contact": nil, "radio": {contactless}} {
		d := newDesk(t, l.card(t, 2, changes...))
		for range 2 {
			list, err := d.cards.List(t.Context())
			if err != nil || len(list) != 1 || list[0].Err != nil || d.Resets() != 0 {
				t.Fatalf("%s: %+v, %v, %d resets", name, list, err, d.Resets())
			}
			if answer := d.card.Transmit(append([]byte{0x00, 0xA4, 0x04, 0x00, 0x0B}, "Master.File"...)); answer[0] != 0x61 && answer[0] != 0x6F {
				t.Errorf("%s: another program's SELECT gets %X", name, answer)
			}
		}
	}
}

// A channel that another program left open closes with the first command in
// clear, which is sent again.
func TestChannelOfAnotherProgramDoesNotStopThisOne(t *testing.T) {
	l := newLab(t)
	for _, sw := range []string{"6982", "6985", "6987", "6988", "6688"} {
		for command, changes := range map[string][]func(*cards.Spec){"00A40400": nil, "0022C1A4": {contactless}} {
			rule := cards.Rule{Command: command, Times: 1, Act: cards.ActRefuse, Answer: sw}
			d := newDesk(t, l.card(t, 2, append(changes, ruled(rule))...))
			if err := d.sign(t, cardreader.UsageSignature); err != nil || d.entry.canAsked > 1 {
				t.Errorf("%s to %s: %v", sw, command, err)
			}
		}
	}
}

func TestPersonalDataComesFromTheDirectory(t *testing.T) {
	l := newLab(t)
	d := newDesk(t, l.card(t, 2))
	data, err := d.cards.PersonalData(t.Context(), cardreader.Selection{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	holder := l.spec[2].DNIe.Holder
	want := cardreader.PersonalData{
		Surname: holder.Surname, GivenNames: holder.GivenNames, PersonalCode: holder.PersonalCode, DocumentNumber: holder.DocumentNumber,
	}
	if *data != want {
		t.Errorf("got %+v, want %+v", *data, want)
	}
	if d.Count(0x88) != 0 {
		t.Error("personal data needs no channel")
	}
}

// Threat C-39: what the card says of its counter is shown as it is.
func TestCounterThatLies(t *testing.T) {
	l := newLab(t)
	for shown, want := range map[int]int{15: 15, 1: 1, 0: 0} {
		d := newDesk(t, l.card(t, 2, func(s *cards.Spec) { s.Faults.ShownTries = &shown }))
		list, _ := d.cards.List(t.Context())
		if len(list) != 1 || len(list[0].PINs) != 1 || list[0].PINs[0].TriesLeft != want {
			t.Errorf("%d shown: %+v", shown, list)
		}
	}
}

// keypad enters two values.
type keypad struct{ old, replacement string }

func (k keypad) ChangePIN(context.Context, cardreader.PINChangeRequest) (*pin.PIN, *pin.PIN, error) {
	old, err := pin.New([]byte(k.old))
	if err != nil {
		return nil, nil, err
	}
	replacement, err := pin.New([]byte(k.replacement))
	return old, replacement, err
}

func TestPINChangeThatTheCardKeepsForThePolice(t *testing.T) {
	l := newLab(t)
	d := newDesk(t, l.card(t, 2))
	err := d.cards.ChangePIN(t.Context(), cardreader.Selection{}, "PIN", keypad{citizenPIN, "ANOTHERPIN"})
	if !errors.Is(err, cardreader.ErrNotOffered) {
		t.Errorf("got %v, want ErrNotOffered", err)
	}
	if err := d.cards.UnblockPIN(t.Context(), cardreader.Selection{}, "PIN", keypad{citizenPIN, "ANOTHERPIN"}); !errors.Is(err, cardreader.ErrNotOffered) {
		t.Errorf("unblocking: %v, want ErrNotOffered", err)
	}
	if d.Count(0x24) != 1 || d.Count(0x2C) != 0 {
		t.Errorf("%d CHANGE, %d UNBLOCK", d.Count(0x24), d.Count(0x2C))
	}
	if err := d.sign(t, cardreader.UsageSignature); err != nil {
		t.Errorf("old PIN afterwards: %v", err)
	}
}

// The same without a card service: a reader of its own over loopback.
func TestSignsOverTheVirtualReader(t *testing.T) {
	l := newLab(t)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = cards.Listen(ctx, listener, l.card(t, 2))
	}()
	t.Cleanup(func() { cancel(); <-done })
	d := &desk{entry: &typed{pin: citizenPIN}}
	d.cards = &cardreader.Cards{Service: vpcd.New(listener.Addr().String()), Drivers: []cardreader.Driver{dnie.Driver{Roots: l.roots}}}
	for _, usage := range []cardreader.Usage{cardreader.UsageAuthentication, cardreader.UsageSignature} {
		if err := d.sign(t, usage); err != nil {
			t.Errorf("%s: %v", usage, err)
		}
	}
}
