package pace

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/asn1"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/eidbridge/eidbridge/cardreader"
	"github.com/eidbridge/eidbridge/cardreader/apdu"
	"github.com/eidbridge/eidbridge/cardreader/pin"
	"github.com/eidbridge/eidbridge/cardreader/securemessaging"
)

// script answers a fixed list and compares what it is sent.
type script struct {
	t     *testing.T
	steps [][2]string
	next  int
}

func (s *script) Transmit(_ context.Context, command []byte) ([]byte, error) {
	if s.next == len(s.steps) {
		return nil, fmt.Errorf("one command too many: %X", command)
	}
	step := s.steps[s.next]
	s.next++
	if want := unhex(s.t, step[0]); !bytes.Equal(command, want) {
		s.t.Errorf("command %d:\n got %X\nwant %X", s.next, command, want)
	}
	return unhex(s.t, step[1]), nil
}

// The worked example of ICAO Doc 9303-11 appendix G.1 and the first command
// after it.
func TestEstablishReproducesTheExample(t *testing.T) {
	infos, err := ParseCardAccess(unhex(t, "31143012060A04007F0007020204020202010202010D"))
	if err != nil || len(infos) != 1 {
		t.Fatalf("got %v, %v", infos, err)
	}
	info, err := Choose(infos)
	if err != nil {
		t.Fatal(err)
	}
	password, err := MRZ("T22000129", "640812", "101031")
	if err != nil {
		t.Fatal(err)
	}
	defer password.Wipe()
	card := &script{t: t, steps: [][2]string{
		{"0022C1A412800A04007F0007020204020283010184010D", "9000"},
		{"10860000027C0000", "7C12801095A3A016522EE98D01E76CB6B98B42C39000"},
		{
			"10860000457C438141047ACF3EFC982EC45565A4B155129EFBC74650DCBFA6362D896FC70262E0C2CC5E544552DCB6725218799115B55C9BAA6D9F6BC3A9618E70C25AF71777A9C4922D00",
			"7C43824104824FBA91C9CBE26BEF53A0EBE7342A3BF178CEA9F45DE0B70AA601651FBA3F5730D8C879AAA9C9F73991E61B58F4D52EB87A0A0C709A49DC63719363CCD13C549000",
		},
		{
			"10860000457C438341042DB7A64C0355044EC9DF190514C625CBA2CEA48754887122F3A5EF0D5EDD301C3556F3B3B186DF10B857B58F6A7EB80F20BA5DC7BE1D43D9BF850149FBB3646200",
			"7C438441049E880F842905B8B3181F7AF7CAA9F0EFB743847F44A306D2D28C1D9EC65DF6DB7764B22277A2EDDC3C265A9F018F9CB852E111B768B326904B59A0193776F0949000",
		},
		{"008600000C7C0A8508C2B0BD78D94BA86600", "7C0A86083ABB9674BCE93C089000"},
		{"0CA404001D8711011D75C8363A14ACA516C1DE24B08357668E0847E2D5CE090F139600", "6987"},
	}}
	channel, err := Establish(t.Context(), card, Options{
		Info: info, Password: password,
		Rand: bytes.NewReader(unhex(t, `7F4EF07B9EA82FD78AD689B38D0BC78CF21F249D953BC46F4C6E19259C010F99
			A73FB703AC1436A18E0CFA5ABB3F7BEC7A070E7A6788486BEE230C4A22762595`)),
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := channel.Transmit(t.Context(), unhex(t, "00A404000B4D61737465722E46696C65")); err == nil {
		t.Error("an unprotected answer was accepted")
	}
	if card.next != len(card.steps) {
		t.Errorf("%d of %d steps", card.next, len(card.steps))
	}
}

func variants() []Info {
	var infos []Info
	for _, suite := range []int{cipherAES128, cipherAES192, cipherAES256} {
		for _, parameter := range []int{parameterP256, parameterBrainpoolP256r1, parameterBrainpoolP384r1} {
			infos = append(infos, Info{OID: append(genericMapping(), suite), Version: 2, Parameter: parameter})
		}
	}
	return infos
}

// can is the password "123456" of the lab's card, or another.
func can(t testing.TB, digits string) *Password {
	t.Helper()
	p, err := pin.New([]byte(digits))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Wipe)
	password, err := CAN(p)
	if err != nil {
		t.Fatal(err)
	}
	return password
}

func TestEstablishOpensEveryVariant(t *testing.T) {
	for _, info := range variants() {
		card := newCard(info, "123456", rand.Reader)
		channel, err := Establish(t.Context(), card, Options{Info: info, Password: can(t, "123456")})
		if err != nil {
			t.Errorf("%v: %v", info, err)
			continue
		}
		for i := range 3 {
			text := []byte(fmt.Sprintf("command %d", i))
			data, err := apdu.Do(t.Context(), channel, apdu.Command{INS: 0xDA, Data: text, Ne: 256})
			if err != nil || !bytes.Equal(data, text) {
				t.Errorf("%v: echo %q, %v", info, data, err)
			}
		}
		if _, err := channel.Transmit(t.Context(), []byte{0x00, 0x44, 0x00, 0x00}); err != nil {
			t.Errorf("%v: bare header: %v", info, err)
		}
	}
}

// C-33: one call is one guess, whatever the card answers.
func TestC33WrongCANIsCountedOnce(t *testing.T) {
	card := newCard(DNIe(), "123456", rand.Reader)
	_, err := Establish(t.Context(), card, Options{Info: DNIe(), Password: can(t, "123457")})
	var refused *cardreader.PINError
	if !errors.As(err, &refused) || *refused != (cardreader.PINError{Reason: cardreader.PINWrong, PIN: "CAN", TriesLeft: -1}) {
		t.Errorf("got %v", err)
	}
	if card.attempts != 1 || card.tries != 9 || len(card.commands) != 5 {
		t.Errorf("%d attempts, %d tries left, %d commands", card.attempts, card.tries, len(card.commands))
	}
	if strings.Contains(fmt.Sprint(err), "123457") {
		t.Errorf("error holds the CAN: %v", err)
	}
	// The next user action works.
	if _, err := Establish(t.Context(), card, Options{Info: DNIe(), Password: can(t, "123456")}); err != nil {
		t.Errorf("right CAN: %v", err)
	}
}

// answering changes the answer to command number at.
type answering struct {
	next cardreader.Transport
	at   int
	edit func(answer []byte) []byte
	sent [][]byte
}

func (a *answering) Transmit(ctx context.Context, command []byte) ([]byte, error) {
	answer, err := a.next.Transmit(ctx, command)
	if err == nil && len(a.sent) == a.at {
		answer = a.edit(bytes.Clone(answer))
	}
	a.sent = append(a.sent, bytes.Clone(command))
	return answer, err
}

func TestTokenRefusalsAreReadAndNeverRepeated(t *testing.T) {
	for _, v := range []struct {
		answer string
		want   *cardreader.PINError // nil: a status error
	}{
		{"6300", &cardreader.PINError{Reason: cardreader.PINWrong, PIN: "CAN", TriesLeft: -1}},
		{"63C4", &cardreader.PINError{Reason: cardreader.PINWrong, PIN: "CAN", TriesLeft: 4}},
		{"63C0", &cardreader.PINError{Reason: cardreader.PINBlocked, PIN: "CAN"}},
		{"6983", &cardreader.PINError{Reason: cardreader.PINBlocked, PIN: "CAN"}},
		{"6982", nil},
		{"6C0C", nil}, // "other length, please": would be a second guess
		{"6A80", nil},
	} {
		wire := &answering{next: newCard(DNIe(), "123456", rand.Reader), at: 4, edit: func([]byte) []byte { return unhex(t, v.answer) }}
		_, err := Establish(t.Context(), wire, Options{Info: DNIe(), Password: can(t, "123456")})
		var refused *cardreader.PINError
		var status *apdu.StatusError
		switch {
		case v.want != nil && (!errors.As(err, &refused) || *refused != *v.want):
			t.Errorf("%s: got %v", v.answer, err)
		case v.want == nil && !errors.As(err, &status):
			t.Errorf("%s: got %v, want a status error", v.answer, err)
		}
		if len(wire.sent) != 5 {
			t.Errorf("%s: %d commands", v.answer, len(wire.sent))
		}
	}
}

// C-41: what the card says of the tries before it is asked.
func TestC41AnnouncedTriesAreHeeded(t *testing.T) {
	for _, v := range []struct {
		status   uint16
		accept   bool
		commands int
		check    func(error) bool
	}{
		{0x63C2, false, 5, func(err error) bool { return err == nil }},
		{0x63C1, false, 1, func(err error) bool { return errors.Is(err, ErrLastTry) }},
		{0x63C1, true, 5, func(err error) bool { return err == nil }},
		{0x63C0, true, 1, isBlocked},
		{0x6983, true, 1, isBlocked},
		{0x6A80, false, 1, func(err error) bool { return errors.Is(err, ErrUnsupported) }},
		{0x6A88, false, 1, func(err error) bool { return errors.Is(err, ErrUnsupported) }},
		{0x6985, false, 1, func(err error) bool {
			var status *apdu.StatusError
			return errors.As(err, &status) && status.SW == apdu.SWConditionsOfUse
		}},
	} {
		card := newCard(DNIe(), "123456", rand.Reader)
		card.announce = v.status
		_, err := Establish(t.Context(), card, Options{Info: DNIe(), Password: can(t, "123456"), AcceptLastTry: v.accept})
		if !v.check(err) || len(card.commands) != v.commands {
			t.Errorf("%04X, accepted %v: got %v after %d commands", v.status, v.accept, err, len(card.commands))
		}
	}
}

func isBlocked(err error) bool {
	var refused *cardreader.PINError
	return errors.As(err, &refused) && refused.Reason == cardreader.PINBlocked
}

// C-54: in both agreements, every bad point ends the run before anything that
// depends on it is sent.
func TestC54EstablishRefusesBadKeys(t *testing.T) {
	for _, info := range []Info{DNIe(), {OID: append(genericMapping(), cipherAES256), Version: 2, Parameter: parameterBrainpoolP384r1}} {
		d := dataBrainpoolP256r1()
		if info.Parameter == parameterBrainpoolP384r1 {
			d = dataBrainpoolP384r1()
		}
		for name, bad := range badPoints(d) {
			if info.Parameter != parameterBrainpoolP256r1 && name != "invalid curve" {
				continue // the parser's own test has the rest
			}
			for step, set := range []func(*card){
				func(c *card) { c.overrideMap = bad },
				func(c *card) { c.overEph = bad },
			} {
				card := newCard(info, "123456", rand.Reader)
				set(card)
				_, err := Establish(t.Context(), card, Options{Info: info, Password: can(t, "123456")})
				if !errors.Is(err, cardreader.ErrCardProtocol) {
					t.Errorf("%s in agreement %d: got %v, want ErrCardProtocol", name, step+1, err)
				}
				if len(card.commands) != 3+step {
					t.Errorf("%s in agreement %d: %d commands", name, step+1, len(card.commands))
				}
			}
		}
	}
}

// C-54: a card that reflects the terminal's own key.
func TestC54EstablishRefusesItsOwnKey(t *testing.T) {
	for _, at := range []int{2, 3} {
		wire := &answering{next: newCard(DNIe(), "123456", rand.Reader), at: at}
		reflect := &reflector{wire: wire, at: at}
		_, err := Establish(t.Context(), reflect, Options{Info: DNIe(), Password: can(t, "123456")})
		if !errors.Is(err, cardreader.ErrCardProtocol) || len(wire.sent) != at+1 {
			t.Errorf("step %d: got %v after %d commands", at, err, len(wire.sent))
		}
	}
}

type reflector struct {
	wire *answering
	at   int
}

func (r *reflector) Transmit(ctx context.Context, command []byte) ([]byte, error) {
	r.wire.edit = func([]byte) []byte {
		answer := append(bytes.Clone(command[5:5+int(command[4])]), 0x90, 0x00)
		answer[2]++ // 81 → 82, 83 → 84
		return answer
	}
	return r.wire.Transmit(ctx, command)
}

// C-01, C-23: each answer of the run, cut, padded, of another form.
func TestC23EstablishRefusesMalformedAnswers(t *testing.T) {
	for at := 1; at <= 4; at++ {
		for name, edit := range map[string]func([]byte) []byte{
			"status alone":  func([]byte) []byte { return []byte{0x90, 0x00} },
			"other tag":     func(a []byte) []byte { a[2] ^= 0x08; return a },
			"other outer":   func(a []byte) []byte { a[0] = 0x7D; return a },
			"length beyond": func(a []byte) []byte { a[1]++; return a },
			"inner length":  func(a []byte) []byte { a[3] += 2; return a },
			"one byte less": func(a []byte) []byte {
				a[1]--
				a[3]--
				return append(a[:len(a)-3], 0x90, 0x00)
			},
			"second object": func(a []byte) []byte {
				a[1] += 2
				return append(a[:len(a)-2], 0x8A, 0x00, 0x90, 0x00)
			},
			"trailing byte": func(a []byte) []byte { return append(a[:len(a)-2], 0x01, 0x90, 0x00) },
		} {
			wire := &answering{next: newCard(DNIe(), "123456", rand.Reader), at: at, edit: edit}
			channel, err := Establish(t.Context(), wire, Options{Info: DNIe(), Password: can(t, "123456")})
			if !errors.Is(err, cardreader.ErrCardProtocol) || channel != nil {
				t.Errorf("%s in step %d: got %v, want ErrCardProtocol", name, at, err)
			}
			if len(wire.sent) != at+1 {
				t.Errorf("%s in step %d: %d commands", name, at, len(wire.sent))
			}
		}
	}
}

func TestEstablishRefusesACardWithAWrongToken(t *testing.T) {
	card := newCard(DNIe(), "123456", rand.Reader)
	card.wrongToken = true
	if _, err := Establish(t.Context(), card, Options{Info: DNIe(), Password: can(t, "123456")}); !errors.Is(err, cardreader.ErrCardProtocol) {
		t.Errorf("got %v, want ErrCardProtocol", err)
	}
}

func TestEstablishToleratesAuthorityReferencesBesideTheToken(t *testing.T) {
	wire := &answering{next: newCard(DNIe(), "123456", rand.Reader), at: 4, edit: func(a []byte) []byte {
		a[1] += 5
		return append(a[:len(a)-2], 0x87, 0x03, 'L', 'A', 'B', 0x90, 0x00)
	}}
	if _, err := Establish(t.Context(), wire, Options{Info: DNIe(), Password: can(t, "123456")}); err != nil {
		t.Error(err)
	}
}

func TestEstablishRefusesANonceOfAWrongSize(t *testing.T) {
	for _, size := range []int{0, 15, 17, 48} {
		wire := &answering{next: newCard(DNIe(), "123456", rand.Reader), at: 1, edit: func([]byte) []byte {
			return append(append([]byte{0x7C, byte(size + 2), 0x80, byte(size)}, make([]byte, size)...), 0x90, 0x00)
		}}
		if _, err := Establish(t.Context(), wire, Options{Info: DNIe(), Password: can(t, "123456")}); !errors.Is(err, cardreader.ErrCardProtocol) {
			t.Errorf("%d bytes: got %v", size, err)
		}
	}
}

func TestEstablishRefusesIncompleteOptions(t *testing.T) {
	card := newCard(DNIe(), "123456", rand.Reader)
	if _, err := Establish(t.Context(), card, Options{Info: DNIe()}); !errors.Is(err, ErrOptions) {
		t.Errorf("no password: got %v", err)
	}
	for _, info := range []Info{
		{},
		{OID: asn1.ObjectIdentifier{0, 4, 0, 127, 0, 7, 2, 2, 4, 4, 2}, Version: 2, Parameter: 13}, // integrated mapping
		{OID: DNIe().OID, Version: 2, Parameter: 17},
		{OID: DNIe().OID, Version: 1, Parameter: 13},
	} {
		if _, err := Establish(t.Context(), card, Options{Info: info, Password: can(t, "123456")}); !errors.Is(err, ErrUnsupported) {
			t.Errorf("%v: got %v, want ErrUnsupported", info, err)
		}
	}
	p, err := pin.New([]byte("123456"))
	if err != nil {
		t.Fatal(err)
	}
	password, err := CAN(p)
	if err != nil {
		t.Fatal(err)
	}
	password.Wipe()
	if _, err := Establish(t.Context(), card, Options{Info: DNIe(), Password: password}); !errors.Is(err, pin.ErrWiped) {
		t.Errorf("wiped: got %v", err)
	}
	if card.attempts != 0 {
		t.Errorf("%d attempts", card.attempts)
	}
}

// C-51, C-52 for the AES profile: tampered, replayed, out of step.
func TestC51ChannelEndsWithTheFirstWrongAnswer(t *testing.T) {
	var previous []byte
	for _, v := range []struct {
		name string
		edit func(a []byte) []byte
	}{
		{"wrong MAC", func(a []byte) []byte { a[len(a)-3] ^= 1; return a }},
		{"changed data", func(a []byte) []byte { a[5] ^= 1; return a }},
		{"replayed answer", func([]byte) []byte { return previous }},
		{"no protection", func([]byte) []byte { return []byte{0x90, 0x00} }},
		{"cut object", func(a []byte) []byte { return append(a[:len(a)-6], 0x90, 0x00) }},
	} {
		card := newCard(DNIe(), "123456", rand.Reader)
		wire := &answering{next: card, at: 6, edit: v.edit}
		channel, err := Establish(t.Context(), wire, Options{Info: DNIe(), Password: can(t, "123456")})
		if err != nil {
			t.Fatal(err)
		}
		command := apdu.Command{INS: 0xDA, Data: []byte("same"), Ne: 256}
		if _, err := apdu.Do(t.Context(), channel, command); err != nil {
			t.Fatal(err)
		}
		previous = card.last
		var lost *securemessaging.LostError
		if _, err := apdu.Do(t.Context(), channel, command); !errors.As(err, &lost) {
			t.Errorf("%s: got %v, want a lost channel", v.name, err)
		}
		if _, err := apdu.Do(t.Context(), channel, command); !errors.Is(err, securemessaging.ErrClosed) {
			t.Errorf("%s: got %v, want ErrClosed", v.name, err)
		}
	}
	card := newCard(DNIe(), "123456", rand.Reader)
	channel, err := Establish(t.Context(), card, Options{Info: DNIe(), Password: can(t, "123456")})
	if err != nil {
		t.Fatal(err)
	}
	card.counter += 2
	var lost *securemessaging.LostError
	if _, err := channel.Transmit(t.Context(), []byte{0, 0xDA, 0, 0, 1, 'x'}); !errors.As(err, &lost) || lost.SW != 0x6988 {
		t.Errorf("counter out of step: got %v", err)
	}
}

// Old keys would open the channel to whoever saw them once.
func TestEstablishNeverUsesAPrivateKeyTwice(t *testing.T) {
	seen := map[string]bool{}
	for range 4 {
		card := newCard(DNIe(), "123456", bytes.NewReader(bytes.Repeat([]byte{0x11}, 80)))
		if _, err := Establish(t.Context(), card, Options{Info: DNIe(), Password: can(t, "123456")}); err != nil {
			t.Fatal(err)
		}
		seen[string(card.commands[2])] = true
		seen[string(card.commands[3])] = true
	}
	if len(seen) != 8 {
		t.Errorf("4 runs with %d different public keys, want 8", len(seen))
	}
}

func TestEstablishEndsWithTheTransport(t *testing.T) {
	for at := range 5 {
		wire := &failing{next: newCard(DNIe(), "123456", rand.Reader), at: at}
		_, err := Establish(t.Context(), wire, Options{Info: DNIe(), Password: can(t, "123456")})
		if !errors.Is(err, cardreader.ErrCardRemoved) {
			t.Errorf("step %d: got %v, want ErrCardRemoved", at, err)
		}
	}
	for _, n := range []int{0, 40} {
		card := newCard(DNIe(), "123456", rand.Reader)
		_, err := Establish(t.Context(), card, Options{
			Info: DNIe(), Password: can(t, "123456"), Rand: bytes.NewReader(bytes.Repeat([]byte{0x11}, n)),
		})
		if err == nil || card.attempts != 0 {
			t.Errorf("%d random bytes: got %v, %d attempts", n, err, card.attempts)
		}
	}
}

type failing struct {
	next cardreader.Transport
	at   int
}

func (f *failing) Transmit(ctx context.Context, command []byte) ([]byte, error) {
	if f.at == 0 {
		return nil, cardreader.ErrCardRemoved
	}
	f.at--
	return f.next.Transmit(ctx, command)
}
