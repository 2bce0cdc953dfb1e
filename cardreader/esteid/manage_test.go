package esteid_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdh"
	"crypto/rand"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/eidbridge/eidbridge/cardreader"
	"github.com/eidbridge/eidbridge/cardreader/apdu"
	"github.com/eidbridge/eidbridge/cardreader/esteid"
	"github.com/eidbridge/eidbridge/cardreader/pin"
)

// typed is a PINChangeSource that enters two values and checks the rules of
// asking.
type typed struct {
	t                    testing.TB
	service              *service
	checked, replacement string
	during               func()
	asked                int
	last                 cardreader.PINChangeRequest
	given                []*pin.PIN
}

func (e *typed) ChangePIN(_ context.Context, r cardreader.PINChangeRequest) (*pin.PIN, *pin.PIN, error) {
	e.asked++
	e.last = r
	if n := e.service.opened(); n != 0 {
		e.t.Errorf("%d connections held while a person types", n)
	}
	if e.during != nil {
		e.during()
	}
	a, err := pin.New([]byte(e.checked))
	if err != nil {
		return nil, nil, err
	}
	b, err := pin.New([]byte(e.replacement))
	e.given = []*pin.PIN{a, b}
	return a, b, err
}

// manage runs an operation and checks what holds whatever its outcome.
func (b *bench) manage(t *testing.T, e *typed, operation func(context.Context, cardreader.Selection, string, cardreader.PINChangeSource) error, id string) error {
	t.Helper()
	e.t, e.service = t, b.service
	before := b.card.instruction(0x20) + b.card.instruction(0x24)
	err := operation(t.Context(), cardreader.Selection{}, id, e)
	if n := b.service.opened(); n != 0 {
		t.Errorf("%d connections left open", n)
	}
	tried := b.card.instruction(0x20) + b.card.instruction(0x24) - before
	if tried > e.asked || tried > 1 {
		t.Errorf("C-33: %d entries, %d commands that use up a try", e.asked, tried)
	}
	if tried > 0 && b.card.resets == 0 {
		t.Error("C-44: the card was not reset after a PIN")
	}
	for _, p := range e.given {
		if p.Len() != 0 {
			t.Error("C-46: an entry was not wiped")
		}
	}
	if err != nil && (strings.Contains(err.Error(), e.checked) || strings.Contains(err.Error(), e.replacement)) {
		t.Errorf("C-45: error %q", err)
	}
	return err
}

func TestChangeReplacesEveryPIN(t *testing.T) {
	for id, want := range map[string]struct {
		reference byte
		old       string
	}{"PIN1": {0x01, "1234"}, "PIN2": {0x85, "12345"}, "PUK": {0x02, "12345678"}} {
		b := newBench(t)
		e := &typed{checked: want.old, replacement: "87654321"}
		if err := b.manage(t, e, b.cards.ChangePIN, id); err != nil || b.card.pins[want.reference] != "87654321" {
			t.Errorf("%s: %v, card has %q", id, err, b.card.pins[want.reference])
		}
		if e.last.Operation != cardreader.PINChange || e.last.Checked.ID != id || e.last.Target.ID != id || e.last.Card.DocumentNumber != "NS0010001" {
			t.Errorf("asked with %+v", e.last)
		}
	}
}

func TestChangeEndsInTheReasonOfTheRefusal(t *testing.T) {
	tests := []struct {
		name             string
		old, replacement string
		tries            int
		want             cardreader.PINError
		sent             bool
	}{
		{"wrong", "4321", "5678", 3, cardreader.PINError{Reason: cardreader.PINWrong, PIN: "PIN1", TriesLeft: 2}, true},
		{"C-41 wrong on the last try", "4321", "5678", 1, cardreader.PINError{Reason: cardreader.PINBlocked, PIN: "PIN1"}, true},
		{"C-42 blocked before", "1234", "5678", 0, cardreader.PINError{Reason: cardreader.PINBlocked, PIN: "PIN1"}, false},
		{"C-43 old one too short", "123", "5678", 3, cardreader.PINError{Reason: cardreader.PINFormat, PIN: "PIN1", TriesLeft: 3}, false},
		{"C-43 new one too long", "1234", "1234567890123", 3, cardreader.PINError{Reason: cardreader.PINFormat, PIN: "PIN1", TriesLeft: 3}, false},
		{"C-43 new one with a letter", "1234", "567x", 3, cardreader.PINError{Reason: cardreader.PINFormat, PIN: "PIN1", TriesLeft: 3}, false},
		{"unchanged", "1234", "1234", 3, cardreader.PINError{Reason: cardreader.PINUnchanged, PIN: "PIN1", TriesLeft: 3}, false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			b := newBench(t)
			b.card.tries[0x01] = test.tries
			err := b.manage(t, &typed{checked: test.old, replacement: test.replacement}, b.cards.ChangePIN, "PIN1")
			var refused *cardreader.PINError
			if !errors.As(err, &refused) || *refused != test.want {
				t.Errorf("ChangePIN = %v", err)
			}
			if sent := b.card.instruction(0x24) != 0; sent != test.sent || b.card.pins[0x01] != "1234" {
				t.Errorf("sent %v, card has %q", sent, b.card.pins[0x01])
			}
		})
	}
}

func TestUnblockGivesAllTriesBack(t *testing.T) {
	for id, reference := range map[string]byte{"PIN1": 0x01, "PIN2": 0x85} {
		b := newBench(t)
		b.card.tries[reference] = 0
		e := &typed{checked: "12345678", replacement: "54321"}
		if err := b.manage(t, e, b.cards.UnblockPIN, id); err != nil || b.card.tries[reference] != 3 || b.card.pins[reference] != "54321" {
			t.Errorf("%s: %v, %d tries", id, err, b.card.tries[reference])
		}
		if e.last.Operation != cardreader.PINUnblock || e.last.Checked.ID != "PUK" || e.last.Target.ID != id || e.last.Target.TriesLeft != 0 {
			t.Errorf("asked with %+v", e.last)
		}
	}
	b := newBench(t)
	var refused *cardreader.PINError
	err := b.manage(t, &typed{checked: "00000000", replacement: "54321"}, b.cards.UnblockPIN, "PIN1")
	if !errors.As(err, &refused) || *refused != (cardreader.PINError{Reason: cardreader.PINWrong, PIN: "PUK", TriesLeft: 2}) || b.card.instruction(0x2C) != 0 {
		t.Errorf("wrong PUK: %v", err)
	}
	b.card.tries[0x02] = 0
	e := &typed{checked: "12345678", replacement: "54321"}
	if err = b.manage(t, e, b.cards.UnblockPIN, "PIN1"); !errors.As(err, &refused) || refused.Reason != cardreader.PINBlocked || e.asked != 0 {
		t.Errorf("blocked PUK: %v after %d questions", err, e.asked)
	}
	if err = b.manage(t, e, b.cards.UnblockPIN, "PUK"); !errors.Is(err, cardreader.ErrNotOffered) {
		t.Errorf("unblocking the PUK: %v", err)
	}
	if err = b.manage(t, e, b.cards.ChangePIN, "PIN9"); !errors.Is(err, cardreader.ErrNoCredential) {
		t.Errorf("unknown PIN: %v", err)
	}
}

// Threats C-17 and C-18 for management.
func TestManagementLeavesAnotherCardAlone(t *testing.T) {
	b := newBench(t)
	other := newCard(t)
	other.number = "NS0010002"
	e := &typed{checked: "1234", replacement: "5678", during: func() { b.service.insert(other) }}
	if err := b.manage(t, e, b.cards.ChangePIN, "PIN1"); !errors.Is(err, cardreader.ErrCardChanged) || other.instruction(0x24) != 0 {
		t.Errorf("swapped: %v", err)
	}
	b = newBench(t)
	e = &typed{checked: "1234", replacement: "5678", during: func() { b.card.tries[0x01] = 2 }}
	if err := b.manage(t, e, b.cards.ChangePIN, "PIN1"); !errors.Is(err, cardreader.ErrCardBusy) || b.card.instruction(0x24) != 0 {
		t.Errorf("a try used meanwhile: %v", err)
	}
	b = newBench(t)
	b.card.interfere = func(_ int, command []byte) ([]byte, bool, error) {
		return nil, command[1] == 0x24, map[bool]error{true: cardreader.ErrCardReset}[command[1] == 0x24]
	}
	if err := b.manage(t, &typed{checked: "1234", replacement: "5678"}, b.cards.ChangePIN, "PIN1"); !errors.Is(err, cardreader.ErrCardReset) {
		t.Errorf("reset at the change: %v", err)
	}
}

// Threat C-07 for CHANGE REFERENCE DATA and RESET RETRY COUNTER.
func TestChangeTakesOnlyOneStatusForSuccess(t *testing.T) {
	old, replacement := secret(t, "12345678"), secret(t, "87654321")
	for sw := range 1 << 16 {
		n := 0
		answer := func(ins byte) answers {
			return func(command []byte) []byte {
				switch command[1] {
				case ins:
					n++
					return []byte{byte(sw >> 8), byte(sw)}
				case 0xC0:
					return unhex("6F00")
				}
				return unhex("9000")
			}
		}
		err := open(t, answer(0x24)).(cardreader.PINChanger).ChangePIN(t.Context(), "PIN1", old, replacement)
		var refused *cardreader.PINError
		if (err == nil) != (sw == 0x9000) || err != nil && !errors.As(err, &refused) && !errors.Is(err, cardreader.ErrCardProtocol) {
			t.Fatalf("CHANGE %04X: %v", sw, err)
		}
		err = open(t, answer(0x2C)).(cardreader.PINUnblocker).UnblockPIN(t.Context(), "PIN1", old, replacement)
		if (err == nil) != (sw == 0x9000) || err != nil && !errors.Is(err, cardreader.ErrCardProtocol) {
			t.Fatalf("RESET %04X: %v", sw, err)
		}
		if n != 2 {
			t.Fatalf("%04X: %d commands, want 2", sw, n)
		}
	}
}

func TestPersonalDataIsWhatIsPrintedOnTheCard(t *testing.T) {
	b := newBench(t)
	data, err := b.cards.PersonalData(t.Context(), cardreader.Selection{}, nil)
	want := cardreader.PersonalData{
		Surname: "LAB", GivenNames: "PERSON ÕUNA", Sex: "M", Citizenship: "EST", Birthdate: "1980-01-08", Birthplace: "EST",
		PersonalCode: "38001085718", DocumentNumber: "NS0010001", Expiry: "2030-08-13",
	}
	if err != nil || *data != want {
		t.Errorf("PersonalData = %+v, %v", data, err)
	}
	if b.card.instruction(0x20) != 0 || b.card.resets != 0 {
		t.Error("a PIN was sent")
	}
	if lastDay := time.Date(2030, 8, 13, 23, 0, 0, 0, time.UTC); data.Expired(lastDay) || !data.Expired(lastDay.Add(2*time.Hour)) {
		t.Error("the card is valid to the end of its last day")
	}
}

// Threat C-31, and records that are not there or in another form.
func TestPersonalDataTakesWhatCanBeShown(t *testing.T) {
	tests := []struct {
		name, record, content string
		want                  string // of the whole, empty is ErrCardProtocol
	}{
		{"empty record", "5002", "\x00", "{LAB  M EST 1980-01-08 EST 38001085718 NS0010001 2030-08-13}"},
		{"blanks around", "5001", "  LAB  ", "{LAB PERSON ÕUNA M EST 1980-01-08 EST 38001085718 NS0010001 2030-08-13}"},
		{"no day of birth", "5005", "00 00 1980 EST", "{LAB PERSON ÕUNA M EST 1980-01-08  38001085718 NS0010001 2030-08-13}"},
		{"short date", "5008", "13 08", "{LAB PERSON ÕUNA M EST 1980-01-08 EST 38001085718 NS0010001 }"},
		{"control character", "5001", "LAB\x1b[2J", ""},
		{"right to left", "5001", "LAB\u202eBAL", ""},
		{"zero width", "5001", "LAB\u200bBAL", ""},
		{"not UTF-8", "5001", "LAB\xff", ""},
	}
	for _, test := range tests {
		b := newBench(t)
		b.card.records[test.record] = []byte(test.content)
		data, err := b.cards.PersonalData(t.Context(), cardreader.Selection{}, nil)
		switch {
		case test.want == "" && !errors.Is(err, cardreader.ErrCardProtocol):
			t.Errorf("%s: %v, want ErrCardProtocol", test.name, err)
		case test.want != "" && (err != nil || fmt.Sprint(*data) != test.want):
			t.Errorf("%s: %v, %v", test.name, data, err)
		}
	}
	b := newBench(t)
	delete(b.card.records, "5003")
	b.card.records["5005"] = nil
	b.card.records["5006"] = []byte("60001010010")
	if data, err := b.cards.PersonalData(t.Context(), cardreader.Selection{}, nil); err != nil || data.Sex != "" || data.Birthdate != "2000-01-01" {
		t.Errorf("absent records: %+v, %v", data, err)
	}
}

func TestAgreeComputesTheSharedSecretOnTheCard(t *testing.T) {
	b := newBench(t)
	b.entry.secret = "1234"
	found, err := b.cards.Find(t.Context(), cardreader.Selection{Usage: cardreader.UsageAuthentication})
	if err != nil {
		t.Fatal(err)
	}
	peer, err := ecdh.P384().GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	shared, err := b.cards.Agree(t.Context(), found, b.entry, peer.PublicKey())
	own, _ := b.card.keys[0x81].PublicKey.ECDH()
	want, _ := peer.ECDH(own)
	if err != nil || !bytes.Equal(shared, want) || b.entry.last.Purpose != cardreader.PurposeAgree || b.card.instruction(0x20) != 1 {
		t.Errorf("Agree = %d bytes, %v", len(shared), err)
	}
	other, err := ecdh.P256().GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	card := open(t, b.card).(cardreader.Agreer)
	if _, err := card.Agree(t.Context(), found.Credential, secret(t, "1234"), other.PublicKey()); !errors.Is(err, cardreader.ErrNoCredential) {
		t.Errorf("peer on P-256: %v", err)
	}
	if _, err := card.Agree(t.Context(), cardreader.Credential{ID: "signature"}, secret(t, "12345"), peer.PublicKey()); !errors.Is(err, cardreader.ErrNotOffered) {
		t.Errorf("signature key: %v", err)
	}
}

// What each step of a signature sends: nothing that it could do without.
func TestSignatureSendsNoCommandMoreThanNeeded(t *testing.T) {
	b := newBench(t)
	now := time.Unix(1_800_000_000, 0)
	b.cards.Now = func() time.Time { return now }
	sent := func() string {
		var names []string
		for _, raw := range b.card.sent {
			command, err := apdu.ParseCommand(raw)
			if err != nil {
				t.Fatal(err)
			}
			name := map[byte]string{0xA4: "SELECT", 0xB0: "READ", 0xCB: "TRIES", 0x22: "MSE", 0x20: "VERIFY", 0x2A: "SIGN"}[command.INS]
			if n := len(names); n > 0 && name == "READ" && strings.HasPrefix(names[n-1], "READ") {
				names[n-1] += "+"
				continue
			}
			names = append(names, name)
		}
		b.card.sent = nil
		return strings.Join(names, " ")
	}
	found := b.find(t)
	if got := sent(); got != "SELECT SELECT READ SELECT READ++++ SELECT TRIES" {
		t.Errorf("find sends %s", got)
	}
	const act = "SELECT SELECT READ SELECT TRIES MSE VERIFY SIGN"
	for _, step := range []struct {
		name string
		wait time.Duration
		want string
	}{
		{"at once", 0, act},
		{"again at once", time.Second, act},
		{"later", time.Minute, "SELECT SELECT READ SELECT TRIES " + act},
	} {
		now = now.Add(step.wait)
		if _, err := b.sign(t, t.Context(), found); err != nil {
			t.Fatal(err)
		}
		if got := sent(); got != step.want {
			t.Errorf("%s: signing sends %s", step.name, got)
		}
	}
	b.entry.secret = "00000"
	now = now.Add(time.Minute)
	var refused *cardreader.PINError
	if _, err := b.sign(t, t.Context(), found); !errors.As(err, &refused) {
		t.Fatal(err)
	}
	if _, err := b.sign(t, t.Context(), found); !errors.As(err, &refused) || b.entry.last.Status.TriesLeft != 2 {
		t.Errorf("after a wrong PIN the source was told of %d tries, %v", b.entry.last.Status.TriesLeft, err)
	}
}

// padReader is a service whose reader has keys of its own.
type padReader struct {
	*service
	keys *keys
}

func (p padReader) Connect(ctx context.Context, reader string) (cardreader.Connection, error) {
	c, err := p.service.Connect(ctx, reader)
	if err != nil {
		return nil, err
	}
	return padConnection{c.(*connection), p.keys}, nil
}

type padConnection struct {
	*connection
	keys *keys
}

func (c padConnection) PINPad(context.Context) (cardreader.PINPad, error) {
	if c.keys.absent {
		return nil, nil
	}
	c.keys.card = c.connection
	return c.keys, nil
}

// keys types digits into the command as a reader does.
type keys struct {
	card    *connection
	digits  string
	sw      uint16 // the reader's own answer
	absent  bool
	entries []cardreader.PadEntry
}

func (k *keys) CanChange() bool { return false }

func (k *keys) Verify(ctx context.Context, e cardreader.PadEntry) (uint16, error) {
	k.entries = append(k.entries, e)
	if k.sw != 0 {
		return k.sw, nil
	}
	command := bytes.Clone(e.Command)
	copy(command[5:], k.digits)
	answer, err := k.card.Transmit(ctx, command)
	if err != nil {
		return 0, err
	}
	return uint16(answer[0])<<8 | uint16(answer[1]), nil
}

func (k *keys) Change(context.Context, cardreader.PadEntry) (uint16, error) { return 0x6404, nil }

// prompter is a source that can point to the reader.
type prompter struct {
	*entry
	hints, ended int
	err          error
}

func (p *prompter) EnterAtReader(_ context.Context, r cardreader.PINRequest) (func(), error) {
	p.hints++
	p.last = r
	if n := p.service.opened(); n != 0 {
		p.t.Errorf("%d connections held at the hint", n)
	}
	return func() { p.ended++ }, p.err
}

func TestPINIsTypedAtAReaderWithKeys(t *testing.T) {
	tests := []struct {
		name   string
		digits string
		sw     uint16
		want   cardreader.PINReason
		tries  int
	}{
		{"right", "12345", 0, "", 3},
		{"wrong", "99999", 0, cardreader.PINWrong, 2},
		{"cancelled", "", 0x6401, cardreader.PINCancelled, 3},
		{"no entry in time", "", 0x6400, cardreader.PINTimeout, 3},
		{"too short", "", 0x6403, cardreader.PINFormat, 3},
		{"refused by the firmware", "", 0x6404, "protocol", 3},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			b := newBench(t)
			k := &keys{digits: test.digits, sw: test.sw}
			b.cards.Service = padReader{b.service, k}
			p := &prompter{entry: b.entry}
			_, err := b.cards.Signer(t.Context(), b.find(t), p).Sign(nil, digest(), crypto.SHA256)
			var refused *cardreader.PINError
			switch {
			case test.want == "" && err != nil:
				t.Errorf("Sign = %v", err)
			case test.want == "protocol" && !errors.Is(err, cardreader.ErrCardProtocol):
				t.Errorf("Sign = %v", err)
			case test.want != "" && test.want != "protocol" && (!errors.As(err, &refused) || refused.Reason != test.want):
				t.Errorf("Sign = %v", err)
			}
			if b.entry.asked != 0 || p.hints != 1 || p.ended != 1 || len(k.entries) != 1 || b.card.tries[0x85] != test.tries {
				t.Errorf("%d questions, %d hints, %d entries, %d tries", b.entry.asked, p.hints, len(k.entries), b.card.tries[0x85])
			}
			want := cardreader.PadEntry{Command: unhex("002000850CFFFFFFFFFFFFFFFFFFFFFFFF"), Min: 5, Max: 12}
			if fmt.Sprint(k.entries[0]) != fmt.Sprint(want) {
				t.Errorf("entry %+v", k.entries[0])
			}
			if b.service.opened() != 0 || b.card.resets != 1 {
				t.Errorf("%d connections open, %d resets", b.service.opened(), b.card.resets)
			}
		})
	}
}

func TestReaderWithKeysIsUsedOnlyWhereTheProgramCanSaySo(t *testing.T) {
	b := newBench(t)
	k := &keys{}
	b.cards.Service = padReader{b.service, k}
	if _, err := b.sign(t, t.Context(), b.find(t)); err != nil || len(k.entries) != 0 || b.entry.asked != 1 {
		t.Errorf("source without a hint: %v, %d entries", err, len(k.entries))
	}
	b = newBench(t)
	b.cards.Service = padReader{b.service, &keys{absent: true}}
	p := &prompter{entry: b.entry}
	if _, err := b.cards.Signer(t.Context(), b.find(t), p).Sign(nil, digest(), crypto.SHA256); err != nil || p.hints != 0 || b.entry.asked != 1 {
		t.Errorf("reader without keys: %v, %d hints", err, p.hints)
	}
	b = newBench(t)
	b.cards.Service = padReader{b.service, &keys{}}
	refusal := errors.New("holder said no")
	p = &prompter{entry: b.entry, err: refusal}
	if _, err := b.cards.Signer(t.Context(), b.find(t), p).Sign(nil, digest(), crypto.SHA256); !errors.Is(err, refusal) || b.card.instruction(0x20) != 0 {
		t.Errorf("refused at the hint: %v", err)
	}
}

func TestLatvianCardsHaveTheirOwnDriver(t *testing.T) {
	latvia := esteid.Driver{Country: esteid.Latvia}
	for _, atr := range []string{"3BDB960080B1FE451F830012428F536549440F900020", "3BDC960080B1FE451F830012428F54654944320F900012"} {
		if !latvia.Matches(unhex(atr)) || (esteid.Driver{}).Matches(unhex(atr)) {
			t.Errorf("%s: not the Latvian driver's alone", atr)
		}
	}
	if latvia.Matches(atr2018) || latvia.Name() != "Latvian eID" {
		t.Error("the Latvian driver takes Estonian cards")
	}
}
