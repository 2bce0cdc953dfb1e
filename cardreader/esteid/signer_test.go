package esteid_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/eidbridge/eidbridge/cardreader"
	"github.com/eidbridge/eidbridge/cardreader/esteid"
	"github.com/eidbridge/eidbridge/cardreader/pin"
)

// bench is everything that one signature needs.
type bench struct {
	card    *fakeCard
	service *service
	cards   *cardreader.Cards
	entry   *entry
}

func newBench(t testing.TB) *bench {
	card := newCard(t)
	s := &service{name: "Fake Reader 00", card: card}
	return &bench{
		card:    card,
		service: s,
		cards:   &cardreader.Cards{Service: s, Drivers: []cardreader.Driver{esteid.Driver{}}},
		entry:   &entry{t: t, service: s, secret: "12345"},
	}
}

func (b *bench) find(t testing.TB) *cardreader.Found {
	t.Helper()
	found, err := b.cards.Find(context.Background(), cardreader.Selection{Usage: cardreader.UsageSignature})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func digest() []byte {
	sum := sha256.Sum256([]byte("a document"))
	return sum[:]
}

// sign finds the signature key and signs once, and checks what holds whatever
// the outcome: no connection left open, at most one VERIFY and one signature for
// at most one entry, the PIN wiped and in no error.
func (b *bench) sign(t testing.TB, ctx context.Context, found *cardreader.Found) ([]byte, error) {
	t.Helper()
	verified, signed := b.card.instruction(0x20), b.card.instruction(0x2A)
	signature, err := b.cards.Signer(ctx, found, b.entry).Sign(rand.Reader, digest(), crypto.SHA256)
	if n := b.service.opened(); n != 0 {
		t.Errorf("%d connections left open", n)
	}
	verified, signed = b.card.instruction(0x20)-verified, b.card.instruction(0x2A)-signed
	if verified > b.entry.asked || verified > 1 || signed > verified {
		t.Errorf("C-33: %d entries, %d VERIFY, %d signatures", b.entry.asked, verified, signed)
	}
	if b.entry.given != nil && b.entry.given.Len() != 0 {
		t.Error("C-46: the PIN was not wiped")
	}
	if verified > 0 && b.card.resets == 0 {
		t.Error("C-44: the card was not reset after a PIN")
	}
	if err != nil && (signature != nil || strings.Contains(err.Error(), b.entry.secret)) {
		t.Errorf("signature %X, error %q", signature, err)
	}
	return signature, err
}

func TestSignerAsksOnceAndSignsOnce(t *testing.T) {
	b := newBench(t)
	found := b.find(t)
	signature, err := b.sign(t, t.Context(), found)
	if err != nil {
		t.Fatal(err)
	}
	key, ok := b.cards.Signer(t.Context(), found, b.entry).Public().(*ecdsa.PublicKey)
	if !ok || !key.Equal(&b.card.keys[0x9F].PublicKey) || !ecdsa.VerifyASN1(key, digest(), signature) {
		t.Error("signature does not verify")
	}
	if b.entry.asked != 1 || b.card.instruction(0x20) != 1 || b.card.instruction(0x2A) != 1 || b.card.resets != 1 {
		t.Errorf("%d entries, %d VERIFY, %d signatures, %d resets", b.entry.asked, b.card.instruction(0x20), b.card.instruction(0x2A), b.card.resets)
	}
	want := cardreader.PINRequest{Card: found.Inserted.Info, Reader: "Fake Reader 00", Credential: found.Credential, Status: found.Inserted.PINs[0]}
	if fmt.Sprint(b.entry.last) != fmt.Sprint(want) {
		t.Errorf("asked with %+v", b.entry.last)
	}
}

func TestAuthenticationKeySignsWithPIN1(t *testing.T) {
	b := newBench(t)
	b.entry.secret = "1234"
	found, err := b.cards.Find(t.Context(), cardreader.Selection{Usage: cardreader.UsageAuthentication})
	if err != nil {
		t.Fatal(err)
	}
	signature, err := b.cards.Signer(t.Context(), found, b.entry).Sign(nil, digest(), crypto.SHA256)
	if err != nil || !ecdsa.VerifyASN1(&b.card.keys[0x81].PublicKey, digest(), signature) {
		t.Errorf("Sign = %v", err)
	}
	if b.card.instruction(0x88) != 1 || b.card.instruction(0x2A) != 0 || b.entry.last.Status.ID != "PIN1" {
		t.Error("the other key or PIN was used")
	}
}

// Threat C-33: a wrong PIN ends it, with the tries that the card counts.
func TestWrongPINIsNeverRepeated(t *testing.T) {
	b := newBench(t)
	b.entry.secret = "54321"
	_, err := b.sign(t, t.Context(), b.find(t))
	var refused *cardreader.PINError
	if !errors.As(err, &refused) || *refused != (cardreader.PINError{Reason: cardreader.PINWrong, PIN: "PIN2", TriesLeft: 2}) {
		t.Errorf("Sign = %v", err)
	}
	if b.entry.asked != 1 || b.card.instruction(0x20) != 1 || b.card.tries[0x85] != 2 {
		t.Errorf("%d entries, %d VERIFY, %d tries left", b.entry.asked, b.card.instruction(0x20), b.card.tries[0x85])
	}
}

// Threats C-41, C-42: the source learns of the last try, and is not asked for a
// blocked PIN.
func TestTriesLeftDecideBeforeAsking(t *testing.T) {
	b := newBench(t)
	b.card.tries[0x85] = 1
	if _, err := b.sign(t, t.Context(), b.find(t)); err != nil || b.entry.last.Status.TriesLeft != 1 {
		t.Errorf("last try: %v, source was told %d", err, b.entry.last.Status.TriesLeft)
	}

	b = newBench(t)
	b.card.tries[0x85] = 1
	b.entry.secret = "99999"
	_, err := b.sign(t, t.Context(), b.find(t))
	var refused *cardreader.PINError
	if !errors.As(err, &refused) || refused.Reason != cardreader.PINBlocked || refused.TriesLeft != 0 {
		t.Errorf("last try was wrong: %v", err)
	}

	b.entry.asked = 0
	before := b.card.instruction(0x20)
	_, err = b.sign(t, t.Context(), b.find(t))
	if !errors.As(err, &refused) || refused.Reason != cardreader.PINBlocked || b.entry.asked != 0 || b.card.instruction(0x20) != before {
		t.Errorf("blocked: %v after %d entries", err, b.entry.asked)
	}
}

// Threat C-43.
func TestPINOfWrongFormNeverReachesTheCard(t *testing.T) {
	for _, entered := range []string{"1234", "1234567890123", "12a45", "12345\n"} {
		b := newBench(t)
		b.entry.secret = entered
		found := b.find(t)
		connects := b.service.connects
		_, err := b.sign(t, t.Context(), found)
		var refused *cardreader.PINError
		if !errors.As(err, &refused) || refused.Reason != cardreader.PINFormat || refused.TriesLeft != 3 {
			t.Errorf("%q: %v", entered, err)
		}
		if b.card.instruction(0x20) != 0 || b.service.connects != connects+1 {
			t.Errorf("%q: %d VERIFY, %d connections", entered, b.card.instruction(0x20), b.service.connects-connects)
		}
	}
}

func TestRefusalAtThePromptSendsNoPIN(t *testing.T) {
	refusal := errors.New("holder pressed cancel")
	b := newBench(t)
	b.entry.err = refusal
	if _, err := b.sign(t, t.Context(), b.find(t)); !errors.Is(err, refusal) || b.card.instruction(0x20) != 0 {
		t.Errorf("Sign = %v with %d VERIFY", err, b.card.instruction(0x20))
	}

	b = newBench(t)
	ctx, cancel := context.WithCancel(t.Context())
	b.entry.during = cancel
	if _, err := b.sign(t, ctx, b.find(t)); !errors.Is(err, context.Canceled) || b.card.instruction(0x20) != 0 {
		t.Errorf("cancelled at the prompt: %v with %d VERIFY", err, b.card.instruction(0x20))
	}
}

// Threat C-17: another card, or the same document with another certificate, does
// not see the PIN.
func TestSwappedCardSeesNoPIN(t *testing.T) {
	tests := []struct {
		name string
		swap func(b *bench, other *fakeCard)
	}{
		{"another document number", func(_ *bench, other *fakeCard) { other.number = "NS0010002" }},
		{"another certificate", func(b *bench, other *fakeCard) { other.number = b.card.number }},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			b := newBench(t)
			other := newCard(t)
			test.swap(b, other)
			b.entry.during = func() { b.service.insert(other) }
			_, err := b.sign(t, t.Context(), b.find(t))
			if !errors.Is(err, cardreader.ErrCardChanged) || other.instruction(0x20) != 0 || b.card.instruction(0x20) != 0 {
				t.Errorf("Sign = %v; the other card got %d VERIFY", err, other.instruction(0x20))
			}
		})
	}

	b := newBench(t)
	found := b.find(t)
	other := newCard(t)
	other.number = "NS0010002"
	b.service.insert(other)
	if _, err := b.sign(t, t.Context(), found); !errors.Is(err, cardreader.ErrCardChanged) || b.entry.asked != 0 {
		t.Errorf("swapped before the prompt: %v after %d entries", err, b.entry.asked)
	}
}

func TestTryUsedByOthersMeanwhileEndsIt(t *testing.T) {
	b := newBench(t)
	b.entry.during = func() { b.card.tries[0x85] = 1 }
	if _, err := b.sign(t, t.Context(), b.find(t)); !errors.Is(err, cardreader.ErrCardBusy) || b.card.instruction(0x20) != 0 {
		t.Errorf("Sign = %v with %d VERIFY", err, b.card.instruction(0x20))
	}
}

func TestRemovalAtThePromptIsARemovedCard(t *testing.T) {
	b := newBench(t)
	b.entry.during = func() { b.service.insert(nil) }
	if _, err := b.sign(t, t.Context(), b.find(t)); !errors.Is(err, cardreader.ErrCardRemoved) {
		t.Errorf("Sign = %v, want ErrCardRemoved", err)
	}
}

// Threats C-01, C-02, C-03, C-15, C-16: each fault at each command of the script.
func TestFaultsAtEveryCommand(t *testing.T) {
	clean := newBench(t)
	found := clean.find(t)
	before := len(clean.card.sent)
	if _, err := clean.sign(t, t.Context(), found); err != nil {
		t.Fatal(err)
	}
	steps := len(clean.card.sent) - before
	tests := []struct {
		name   string
		answer []byte
		err    error
		want   error
	}{
		{"C-01 one byte", []byte{0x90}, nil, cardreader.ErrCardProtocol},
		{"C-02 no byte and no error", nil, nil, cardreader.ErrCardRemoved},
		{"C-03 silence", nil, context.DeadlineExceeded, cardreader.ErrCardMute},
		{"C-04 too many bytes", make([]byte, 300), nil, cardreader.ErrCardProtocol},
		{"C-14 service stopped", nil, cardreader.ErrNoService, cardreader.ErrNoService},
		{"C-15 reader unplugged", nil, cardreader.ErrReaderGone, cardreader.ErrReaderGone},
		{"C-16 card removed", nil, cardreader.ErrCardRemoved, cardreader.ErrCardRemoved},
		{"error without a meaning", []byte{0x6F, 0}, nil, cardreader.ErrCardProtocol},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			for step := 1; step <= steps; step++ {
				b := newBench(t)
				found := b.find(t)
				offset := len(b.card.sent)
				b.card.interfere = func(n int, _ []byte) ([]byte, bool, error) {
					return test.answer, n == offset+step, test.err
				}
				if test.err != nil {
					b.card.interfere = func(n int, _ []byte) ([]byte, bool, error) {
						if n == offset+step {
							return nil, true, test.err
						}
						return nil, false, nil
					}
				}
				_, err := b.sign(t, t.Context(), found)
				want := test.want
				command := b.card.sent[offset+step-1]
				if test.name == "error without a meaning" && command[1] == 0xA4 && command[2] == 4 && bytes.HasSuffix(command, unhex("00000100")) && opensCard(b.card.sent[offset:offset+step]) {
					want = cardreader.ErrCardUnsupported
				}
				if !errors.Is(err, want) {
					t.Errorf("command %d (%X…): %v, want %v", step, command[:4], err, want)
				}
				if len(b.card.sent) != offset+step {
					t.Errorf("command %d: %d more were sent", step, len(b.card.sent)-offset-step)
				}
			}
		})
	}
}

// opensCard: the last command is the first of its connection. Each connection
// begins with the main application and the document number.
func opensCard(sent [][]byte) bool {
	if len(sent) == 1 {
		return true
	}
	previous := sent[len(sent)-2]
	return previous[1] == 0xCB
}

// Threats C-18, C-21: a reset by another program begins the work again as long
// as no PIN was sent, and ends it afterwards.
func TestResetByAnotherProgram(t *testing.T) {
	clean := newBench(t)
	found := clean.find(t)
	before := len(clean.card.sent)
	if _, err := clean.sign(t, t.Context(), found); err != nil {
		t.Fatal(err)
	}
	script := clean.card.sent[before:]
	for step, command := range script {
		b := newBench(t)
		found := b.find(t)
		offset := len(b.card.sent)
		b.card.interfere = func(n int, _ []byte) ([]byte, bool, error) {
			if n == offset+step+1 {
				return nil, true, cardreader.ErrCardReset
			}
			return nil, false, nil
		}
		_, err := b.sign(t, t.Context(), found)
		inSigning := step >= len(script)-3 // MSE, VERIFY, signature
		if inSigning != errors.Is(err, cardreader.ErrCardReset) || inSigning == (err == nil) {
			t.Errorf("reset at command %d (%X…): %v", step+1, command[:4], err)
		}
		if b.entry.asked != 1 {
			t.Errorf("reset at command %d: asked %d times", step+1, b.entry.asked)
		}
	}

	b := newBench(t)
	found = b.find(t)
	n := 0
	b.card.interfere = func(int, []byte) ([]byte, bool, error) { n++; return nil, true, cardreader.ErrCardReset }
	if _, err := b.sign(t, t.Context(), found); !errors.Is(err, cardreader.ErrCardReset) || n != 2 {
		t.Errorf("reset without end: %v after %d commands", err, n)
	}
}

// Threats C-34, C-35, C-58: nothing leaves that the certificate does not verify.
func TestSignaturesAreVerifiedBeforeTheyAreHandedOut(t *testing.T) {
	other, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	raw := func(key *ecdsa.PrivateKey, value []byte) []byte {
		r, s, err := ecdsa.Sign(rand.Reader, key, value)
		if err != nil {
			t.Fatal(err)
		}
		return append(r.FillBytes(make([]byte, 48)), s.FillBytes(make([]byte, 48))...)
	}
	tests := []struct {
		name   string
		answer func(b *bench) []byte
	}{
		{"empty", func(*bench) []byte { return nil }},
		{"all zero", func(*bench) []byte { return make([]byte, 96) }},
		{"r is zero", func(b *bench) []byte {
			v := raw(b.card.keys[0x9F], digest())
			clear(v[:48])
			return v
		}},
		{"s is zero", func(b *bench) []byte {
			v := raw(b.card.keys[0x9F], digest())
			clear(v[48:])
			return v
		}},
		{"too short", func(b *bench) []byte { return raw(b.card.keys[0x9F], digest())[:95] }},
		{"too long", func(b *bench) []byte { return append(raw(b.card.keys[0x9F], digest()), 0) }},
		{"DER instead of r and s", func(b *bench) []byte {
			der, _ := ecdsa.SignASN1(rand.Reader, b.card.keys[0x9F], digest())
			return der
		}},
		{"another key", func(*bench) []byte { return raw(other, digest()) }},
		{"the authentication key", func(b *bench) []byte { return raw(b.card.keys[0x81], digest()) }},
		{"another digest", func(b *bench) []byte { return raw(b.card.keys[0x9F], make([]byte, 48)) }},
		{"all FF", func(*bench) []byte { return bytes.Repeat([]byte{0xFF}, 96) }},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			b := newBench(t)
			b.card.interfere = func(_ int, command []byte) ([]byte, bool, error) {
				return append(test.answer(b), 0x90, 0), command[1] == 0x2A, nil
			}
			if _, err := b.sign(t, t.Context(), b.find(t)); !errors.Is(err, cardreader.ErrCardProtocol) {
				t.Errorf("Sign = %v, want ErrCardProtocol", err)
			}
		})
	}
}

// Threat C-60: cancelled while the card works, the late value is discarded.
func TestLateSignatureIsDiscarded(t *testing.T) {
	b := newBench(t)
	ctx, cancel := context.WithCancel(t.Context())
	b.card.interfere = func(_ int, command []byte) ([]byte, bool, error) {
		if command[1] != 0x2A {
			return nil, false, nil
		}
		answer := b.card.answer(command)
		cancel()
		return answer, true, nil
	}
	if _, err := b.sign(t, ctx, b.find(t)); !errors.Is(err, context.Canceled) {
		t.Errorf("Sign = %v, want Canceled", err)
	}
}

// Threat C-26: one byte at a time is cut off at a thousand commands.
func TestOperationEndsAfterTooManyCommands(t *testing.T) {
	b := newBench(t)
	b.card.files["ADF2341F"] = make([]byte, 5000)
	b.card.interfere = func(_ int, command []byte) ([]byte, bool, error) {
		return unhex("009000"), command[1] == 0xB0 && b.card.df == "ADF2", nil
	}
	slots, err := b.cards.List(t.Context())
	if err != nil || len(slots) != 1 || !errors.Is(slots[0].Err, cardreader.ErrCardProtocol) {
		t.Fatalf("List = %+v, %v", slots, err)
	}
	if n := len(b.card.sent); n != 1000 {
		t.Errorf("%d commands, want 1000", n)
	}
}

func TestSignRefusesOptionsItCannotKeep(t *testing.T) {
	b := newBench(t)
	signer := b.cards.Signer(t.Context(), b.find(t), b.entry)
	tests := []struct {
		name   string
		digest []byte
		opts   crypto.SignerOpts
	}{
		{"no options", digest(), nil},
		{"no hash", digest(), crypto.Hash(0)},
		{"SHA-1", make([]byte, 20), crypto.SHA1},
		{"a digest that is too short", digest()[:31], crypto.SHA256},
		{"a digest of another hash", digest(), crypto.SHA384},
		{"RSA-PSS", digest(), &rsa.PSSOptions{Hash: crypto.SHA256}},
	}
	for _, test := range tests {
		if _, err := signer.Sign(nil, test.digest, test.opts); !errors.Is(err, cardreader.ErrDigest) {
			t.Errorf("%s: %v, want ErrDigest", test.name, err)
		}
	}
	if b.entry.asked != 0 {
		t.Error("the holder was asked")
	}
}

func TestSourceWithoutAPINIsAnError(t *testing.T) {
	b := newBench(t)
	signer := b.cards.Signer(t.Context(), b.find(t), silent{})
	if _, err := signer.Sign(nil, digest(), crypto.SHA256); !errors.Is(err, pin.ErrWiped) {
		t.Errorf("Sign = %v", err)
	}
}

type silent struct{}

func (silent) PIN(context.Context, cardreader.PINRequest) (*pin.PIN, error) { return nil, nil }
