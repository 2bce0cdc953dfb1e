package esteid_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/sha512"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/eidbridge/eidbridge/cardreader"
	"github.com/eidbridge/eidbridge/cardreader/apdu"
	"github.com/eidbridge/eidbridge/cardreader/esteid"
	"github.com/eidbridge/eidbridge/cardreader/pin"
	"github.com/eidbridge/eidbridge/cardreader/tlv"
)

func open(t testing.TB, c cardreader.Transport) cardreader.Card {
	t.Helper()
	card, err := esteid.Driver{}.Open(context.Background(), c)
	if err != nil {
		t.Fatal(err)
	}
	return card
}

func secret(t testing.TB, digits string) *pin.PIN {
	t.Helper()
	p, err := pin.New([]byte(digits))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Wipe)
	return p
}

func TestMatchesTheWholeAnswerToReset(t *testing.T) {
	tests := []struct {
		name, atr string
		want      bool
	}{
		{"IDEMIA Cosmo 8", "3BDB960080B1FE451F830012233F536549440F9000F1", true},
		{"IDEMIA Cosmo X", "3BDC960080B1FE451F830012233F54654944320F9000C3", true},
		{"Thales 2025", "3BFF9600008031FE438031B85365494464B085051012233F1D", false},
		{"Latvian card of the same maker", "3BDB960080B1FE451F830012428F536549440F900020", false},
		{"C-10 empty", "", false},
		{"C-10 a start of it", "3BDB960080B1FE451F830012233F", false},
		{"C-10 longer than 33 bytes", "3BDB960080B1FE451F830012233F536549440F9000F1" + strings.Repeat("00", 40), false},
	}
	for _, test := range tests {
		if got := (esteid.Driver{}).Matches(unhex(test.atr)); got != test.want {
			t.Errorf("%s: %v, want %v", test.name, got, test.want)
		}
	}
}

func TestCardTellsAllItShowsWithoutAPIN(t *testing.T) {
	fake := newCard(t)
	fake.tries[0x85] = 2
	card := open(t, fake)
	info, err := card.Info(t.Context())
	if want := (cardreader.Info{Family: "EstEID 2018", DocumentNumber: "NS0010001"}); err != nil || info != want {
		t.Errorf("Info = %+v, %v", info, err)
	}
	credentials, err := card.Credentials(t.Context())
	if err != nil || len(credentials) != 2 ||
		credentials[0].Usage != cardreader.UsageAuthentication || !bytes.Equal(credentials[0].Certificate.Raw, fake.files["ADF13401"]) ||
		credentials[1].Usage != cardreader.UsageSignature || !bytes.Equal(credentials[1].Certificate.Raw, fake.files["ADF2341F"]) {
		t.Errorf("Credentials = %d, %v", len(credentials), err)
	}
	pins, err := card.PINs(t.Context())
	want := []cardreader.PINStatus{
		{ID: "PIN1", TriesLeft: 3, TriesMax: 3, MinLength: 4, MaxLength: 12, Class: pin.Digits},
		{ID: "PIN2", TriesLeft: 2, TriesMax: 3, MinLength: 5, MaxLength: 12, Class: pin.Digits},
		{ID: "PUK", TriesLeft: 3, TriesMax: 3, MinLength: 8, MaxLength: 12, Class: pin.Digits},
	}
	if err != nil || fmt.Sprint(pins) != fmt.Sprint(want) {
		t.Errorf("PINs = %+v, %v", pins, err)
	}
	if fake.instruction(0x20) != 0 {
		t.Error("C-40: reading the counters sent VERIFY")
	}
}

func TestSignFitsEveryHash(t *testing.T) {
	message := []byte("a document")
	sum256, sum384, sum512 := sha256.Sum256(message), sha512.Sum384(message), sha512.Sum512(message)
	for _, test := range []struct {
		hash   crypto.Hash
		digest []byte
		onCard []byte
	}{
		{crypto.SHA256, sum256[:], append(make([]byte, 16), sum256[:]...)},
		{crypto.SHA384, sum384[:], sum384[:]},
		{crypto.SHA512, sum512[:], sum512[:48]},
	} {
		for _, id := range []string{"authentication", "signature"} {
			fake := newCard(t)
			card := open(t, fake)
			credential, err := card.(cardreader.Selective).Credential(t.Context(), id)
			if err != nil {
				t.Fatal(err)
			}
			number := map[string]string{"authentication": "1234", "signature": "12345"}[id]
			signature, err := card.Sign(t.Context(), credential, secret(t, number), test.hash, test.digest)
			if err != nil || !ecdsa.VerifyASN1(credential.Certificate.PublicKey.(*ecdsa.PublicKey), test.digest, signature) {
				t.Errorf("%s with %v: %v", id, test.hash, err)
			}
			last, err := apdu.ParseCommand(fake.sent[len(fake.sent)-1])
			if err != nil || !bytes.Equal(last.Data, test.onCard) {
				t.Errorf("%s with %v: card got %X", id, test.hash, last.Data)
			}
		}
	}
}

func TestSignRefusesDigestsOfOtherLengths(t *testing.T) {
	fake := newCard(t)
	card := open(t, fake)
	before := len(fake.sent)
	for _, n := range []int{0, 31, 33, 48} {
		_, err := card.Sign(t.Context(), cardreader.Credential{ID: "signature"}, secret(t, "12345"), crypto.SHA256, make([]byte, n))
		if !errors.Is(err, cardreader.ErrDigest) {
			t.Errorf("%d bytes: %v, want ErrDigest", n, err)
		}
	}
	if _, err := card.Sign(t.Context(), cardreader.Credential{ID: "other"}, secret(t, "12345"), crypto.SHA256, make([]byte, 32)); !errors.Is(err, cardreader.ErrNoCredential) {
		t.Errorf("unknown key: %v", err)
	}
	if len(fake.sent) != before {
		t.Error("the card was asked")
	}
}

// Threat C-43: nothing is sent for a PIN that the card would refuse.
func TestSignChecksThePINBeforeTheCard(t *testing.T) {
	fake := newCard(t)
	card := open(t, fake)
	before := len(fake.sent)
	for _, entered := range []string{"1234", "1234567890123", "1234a", "12345\n", "1234\x00"} {
		_, err := card.Sign(t.Context(), cardreader.Credential{ID: "signature"}, secret(t, entered), crypto.SHA256, make([]byte, 32))
		var refused *cardreader.PINError
		if !errors.As(err, &refused) || refused.Reason != cardreader.PINFormat || strings.Contains(err.Error(), entered) {
			t.Errorf("%d characters: %v", len(entered), err)
		}
	}
	if len(fake.sent) != before || fake.tries[0x85] != 3 {
		t.Error("the card was asked")
	}
}

// Threats C-07, C-33, C-39, C-42: what every status word of VERIFY means, and
// that it ends there.
func TestVerifyGivesEveryStatusWordItsMeaning(t *testing.T) {
	p := secret(t, "12345")
	for sw := range 1 << 16 {
		verified, signed := 0, 0
		card := open(t, answers(func(command []byte) []byte {
			switch command[1] {
			case 0x20:
				verified++
				return []byte{byte(sw >> 8), byte(sw)}
			case 0x2A:
				signed++
				return unhex("6985")
			case 0xC0:
				return unhex("6F00")
			}
			return unhex("9000")
		}))
		_, err := card.Sign(t.Context(), cardreader.Credential{ID: "signature"}, p, crypto.SHA256, make([]byte, 32))
		var refused *cardreader.PINError
		errors.As(err, &refused)
		var want cardreader.PINReason
		switch {
		case sw == 0x63C0, sw == 0x6983, sw == 0x6984:
			want = cardreader.PINBlocked
		case sw&0xFFF0 == 0x63C0:
			want = cardreader.PINWrong
			if refused != nil && refused.TriesLeft != sw&0xF {
				t.Fatalf("%04X: %d tries left", sw, refused.TriesLeft)
			}
		case sw == 0x6700, sw == 0x6A80:
			want = cardreader.PINFormat
		}
		switch {
		case want != "" && (refused == nil || refused.Reason != want):
			t.Fatalf("%04X: %v, want %s", sw, err, want)
		case want == "" && (refused != nil || !errors.Is(err, cardreader.ErrCardProtocol)):
			t.Fatalf("%04X: %v, want ErrCardProtocol", sw, err)
		}
		if wantSigned := map[bool]int{true: 1}[sw == 0x9000]; verified != 1 || signed != wantSigned {
			t.Fatalf("%04X: %d VERIFY and %d signatures", sw, verified, signed)
		}
	}
}

// answers is a card as a function.
type answers func(command []byte) []byte

func (f answers) Transmit(_ context.Context, command []byte) ([]byte, error) { return f(command), nil }

// Threat C-07 for the other commands: no status word but 9000 goes on.
func TestEveryOtherCommandGoesOnOnlyAfterSuccess(t *testing.T) {
	p := secret(t, "12345")
	for _, ins := range []byte{0xA4, 0x22, 0x2A} {
		for sw := range 1 << 16 {
			if sw == 0x9000 {
				continue
			}
			after, hit := 0, false
			selects := 0
			card := open(t, answers(func(command []byte) []byte {
				if command[1] == 0xC0 {
					return unhex("6F00")
				}
				if hit && command[1] != ins {
					after++
				}
				if command[1] == 0xA4 {
					selects++
				}
				if command[1] == ins && (ins != 0xA4 || selects == 2) {
					hit = true
					return []byte{byte(sw >> 8), byte(sw)}
				}
				return unhex("9000")
			}))
			_, err := card.Sign(t.Context(), cardreader.Credential{ID: "signature"}, p, crypto.SHA256, make([]byte, 32))
			if !errors.Is(err, cardreader.ErrCardProtocol) || after != 0 {
				t.Fatalf("INS %02X answered %04X: %v and %d more commands", ins, sw, err, after)
			}
		}
	}
}

func TestOpenRefusesACardWithoutTheApplication(t *testing.T) {
	for _, sw := range []string{"6A82", "6D00", "6E00", "6985"} {
		_, err := esteid.Driver{}.Open(t.Context(), answers(func([]byte) []byte { return unhex(sw) }))
		var status *apdu.StatusError
		if !errors.Is(err, cardreader.ErrCardUnsupported) || !errors.As(err, &status) {
			t.Errorf("%s: %v, want ErrCardUnsupported", sw, err)
		}
	}
}

// Threats C-23, C-24, C-25: control parameters that lie about the file.
func TestCredentialRefusesLyingControlParameters(t *testing.T) {
	deep := []byte{0x80, 0x01, 0x10}
	for range 40 {
		deep = tlv.Append(nil, 0x62, deep)
	}
	tests := []struct{ name, fcp string }{
		{"C-25 size 0", "6204 80020000"},
		{"C-25 size 2^31", "6206 800480000000"},
		{"C-25 size 2^32-1", "6206 8004FFFFFFFF"},
		{"C-25 size of 9 bytes", "620B 8009010000000000000000"},
		{"C-25 one above the limit", "6205 8003008001"},
		{"C-25 no size", "6202 8000"},
		{"C-23 length beyond the data", "6210 80020407"},
		{"C-23 indefinite length", "6280 800204070000"},
		{"C-23 tag without end", "1FFFFFFFFF"},
		{"C-23 no template", "8002 0407"},
		{"C-23 nothing", ""},
		{"C-24 nested 40 levels", fmt.Sprintf("%X", deep)},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			fake := newCard(t)
			fake.interfere = func(_ int, command []byte) ([]byte, bool, error) {
				return append(unhex(test.fcp), 0x90, 0), command[1] == 0xA4 && command[2] == 9, nil
			}
			credentials, err := open(t, fake).Credentials(t.Context())
			if !errors.Is(err, cardreader.ErrCardProtocol) || len(credentials) != 0 {
				t.Errorf("%d credentials, %v; want ErrCardProtocol", len(credentials), err)
			}
		})
	}
}

// Threat C-26 and C-30: file contents that are no certificate.
func TestCredentialRefusesOddFileContents(t *testing.T) {
	good := newCard(t)
	p256, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der := good.files["ADF2341F"]
	tests := []struct {
		name    string
		content []byte
	}{
		{"a trailing byte", append(bytes.Clone(der), 0)},
		{"two certificates", append(bytes.Clone(der), der...)},
		{"a certificate cut off", der[:len(der)-1]},
		{"zeros", make([]byte, 500)},
		{"as long as a file can be", bytes.Repeat([]byte{0x30}, 1<<15)},
		{"a key on another curve", certificateFor(t, &p256.PublicKey, p256)},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			fake := newCard(t)
			fake.files["ADF2341F"] = test.content
			credentials, err := open(t, fake).Credentials(t.Context())
			if !errors.Is(err, cardreader.ErrCardProtocol) {
				t.Errorf("Credentials = %v, want ErrCardProtocol", err)
			}
			if len(credentials) != 1 || credentials[0].ID != "authentication" {
				t.Error("the other certificate is hidden")
			}
			if strings.Contains(err.Error(), "38001085718") {
				t.Errorf("error shows the holder: %v", err)
			}
		})
	}
}

// Threat C-26: a card that gives nothing for ever.
func TestReadingEndsWhenNothingComes(t *testing.T) {
	fake := newCard(t)
	fake.interfere = func(_ int, command []byte) ([]byte, bool, error) {
		return unhex("9000"), command[1] == 0xB0, nil
	}
	_, err := open(t, fake).Credentials(t.Context())
	if !errors.Is(err, cardreader.ErrCardProtocol) || fake.instruction(0xB0) != 2 {
		t.Errorf("%v after %d READ BINARY", err, fake.instruction(0xB0))
	}
}

func TestInfoRefusesOddDocumentNumbers(t *testing.T) {
	for _, number := range []string{"", "NS001\x1b[2J", "ns0010001", "N 0010001", "ÕÕ0010001", "NS00100012"} {
		fake := newCard(t)
		fake.number = number
		if info, err := open(t, fake).Info(t.Context()); !errors.Is(err, cardreader.ErrCardProtocol) {
			t.Errorf("%q: %+v, %v; want ErrCardProtocol", number, info, err)
		}
	}
}

// Threat C-32: every answer of the whole script cut at every length.
func TestShortenedAnswersAreRefused(t *testing.T) {
	whole := func(fake *fakeCard) error {
		card, err := esteid.Driver{}.Open(t.Context(), fake)
		if err != nil {
			return err
		}
		if _, err = card.Info(t.Context()); err != nil {
			return err
		}
		if _, err = card.PINs(t.Context()); err != nil {
			return err
		}
		credential, err := card.(cardreader.Selective).Credential(t.Context(), "signature")
		if err != nil {
			return err
		}
		digest := sha256.Sum256([]byte("x"))
		signature, err := card.Sign(t.Context(), credential, secret(t, "12345"), crypto.SHA256, digest[:])
		if err == nil && !ecdsa.VerifyASN1(credential.Certificate.PublicKey.(*ecdsa.PublicKey), digest[:], signature) {
			err = errors.New("signature does not verify")
		}
		return err
	}
	fake := newCard(t)
	if err := whole(fake); err != nil {
		t.Fatal(err)
	}
	steps := len(fake.sent)
	for step := 1; step <= steps; step++ {
		for cut := 1; cut <= 40; cut++ {
			short := &fakeCard{
				number: fake.number, keys: fake.keys, files: fake.files, pins: fake.pins,
				tries: map[byte]int{0x01: 3, 0x85: 3, 0x02: 3},
			}
			shorter := false
			short.interfere = func(n int, command []byte) ([]byte, bool, error) {
				if n != step {
					return nil, false, nil
				}
				full := short.answer(command)
				data := len(full) - 2
				shorter = data >= cut
				return append(full[:max(0, data-cut)], 0x90, 0), true, nil
			}
			if err := whole(short); shorter && err == nil && !isRead(short.sent[step-1]) {
				t.Errorf("command %d (%X) cut by %d bytes was taken", step, short.sent[step-1][:4], cut)
			}
		}
	}
}

// isRead: a short block of READ BINARY is followed by the rest.
func isRead(command []byte) bool { return command[1] == 0xB0 }

func FuzzAnswers(f *testing.F) {
	f.Add([]byte("\x62\x04\x80\x02\x04\x07\x90\x00"), []byte("\x04\x09NS0010001\x90\x00"))
	f.Add(unhex("701EBF81051AA0189A01039B0103A1108C06F3000073FF009C06F3000073FF009000"), unhex("63C2"))
	p, err := pin.New([]byte("12345"))
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, a, b []byte) {
		n := 0
		card, err := esteid.Driver{}.Open(t.Context(), answers(func(command []byte) []byte {
			n++
			switch {
			case n == 1 || command[1] == 0x22:
				return []byte{0x90, 0}
			case n%2 == 0:
				return a
			default:
				return b
			}
		}))
		if err != nil {
			t.Fatal(err)
		}
		_, info := card.Info(t.Context())
		_, pins := card.PINs(t.Context())
		_, credentials := card.Credentials(t.Context())
		_, signed := card.Sign(t.Context(), cardreader.Credential{ID: "signature"}, p, crypto.SHA256, make([]byte, 32))
		for _, err := range []error{info, pins, credentials, signed} {
			var refused *cardreader.PINError
			if err != nil && !errors.Is(err, cardreader.ErrCardProtocol) && !errors.As(err, &refused) {
				t.Fatalf("error without a meaning: %v", err)
			}
		}
	})
}
