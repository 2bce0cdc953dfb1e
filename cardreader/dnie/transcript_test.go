package dnie

import (
	"bytes"
	"context"
	"crypto"
	"crypto/cipher"
	"crypto/des"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"math/big"
	"slices"
	"strings"
	"testing"

	"github.com/eidbridge/eidbridge/cardreader"
)

// The PIN travels byte for byte as in the vector, and the answer of the vector
// accepts it.
func TestVerifyOfTheHandshakeVector(t *testing.T) {
	v := newVector(t)
	wire, opened := open(t, v, append(v.opening(), exchange{
		"0C2000001D87110182FCBD886675C9C9578E012E3696372E8E0802B2A1514E137BA8", "990290008E08952594D63A99D2199000",
	}))
	c := opened.(*card)
	if err := c.secure(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := c.verify(t.Context(), secretOf(t, "CRYPTOKI")); err != nil {
		t.Fatal(err)
	}
	if wire.next != len(wire.exchanges) {
		t.Errorf("%d of %d exchanges", wire.next, len(wire.exchanges))
	}
}

// chipSide is the card's end of the vector's channel.
type chipSide struct {
	enc, mac cipher.Block
	chain    cipher.Block
	counter  uint64
}

func newChipSide(t *testing.T) *chipSide {
	t.Helper()
	triple := func(text string) cipher.Block {
		key := unhex(t, text)
		block, err := des.NewTripleDESCipher(append(key, key[:8]...))
		if err != nil {
			t.Fatal(err)
		}
		return block
	}
	chain, err := des.NewCipher(unhex(t, vectorMAC)[:8])
	if err != nil {
		t.Fatal(err)
	}
	return &chipSide{triple(vectorEncryption), triple(vectorMAC), chain, number(t, vectorCounter).Uint64()}
}

func fill(b []byte) []byte {
	b = append(bytes.Clone(b), 0x80)
	for len(b)%8 != 0 {
		b = append(b, 0)
	}
	return b
}

// seal is the checksum of a message with the next counter.
func (s *chipSide) seal(message []byte) []byte {
	s.counter++
	state := new(big.Int).SetUint64(s.counter).FillBytes(make([]byte, 8))
	s.chain.Encrypt(state, state)
	for i := 0; i < len(message); i += 8 {
		for j := range 8 {
			state[j] ^= message[i+j]
		}
		if i+8 < len(message) {
			s.chain.Encrypt(state, state)
		}
	}
	s.mac.Encrypt(state, state)
	return state
}

// unwrap checks a command and gives the plain one.
func (s *chipSide) unwrap(t *testing.T, command []byte) []byte {
	t.Helper()
	objects := command[5 : len(command)-10]
	want := s.seal(fill(append(fill(command[:4]), objects...)))
	if got := command[len(command)-8:]; !bytes.Equal(got, want) || int(command[4]) != len(command)-5 {
		t.Fatalf("%X: checksum or length is wrong", command)
	}
	plain := []byte{command[0] &^ 0x0C, command[1], command[2], command[3]}
	switch objects[0] {
	case 0x87:
		data := bytes.Clone(objects[3:])
		cipher.NewCBCDecrypter(s.enc, make([]byte, 8)).CryptBlocks(data, data)
		data = data[:bytes.LastIndexByte(data, 0x80)]
		plain = append(append(plain, byte(len(data))), data...)
	case 0x97:
		plain = append(plain, objects[2])
	}
	return plain
}

func (s *chipSide) wrap(sw string) string {
	status, _ := hex.DecodeString("9902" + sw)
	return hex.EncodeToString(status) + "8E08" + hex.EncodeToString(s.seal(fill(status))) + "9000"
}

// inside answers protected commands with the status words of a list and notes
// them in plain.
type inside struct {
	*recorded
	side     *chipSide
	statuses []string
	plain    []string
}

func (i *inside) Transmit(ctx context.Context, command []byte) ([]byte, error) {
	if i.next < len(i.exchanges) {
		return i.recorded.Transmit(ctx, command)
	}
	if len(i.statuses) == 0 {
		return nil, cardreader.ErrCardRemoved
	}
	i.plain = append(i.plain, strings.ToUpper(hex.EncodeToString(i.side.unwrap(i.t, command))))
	answer := i.side.wrap(i.statuses[0])
	i.statuses = i.statuses[1:]
	return unhex(i.t, answer), nil
}

func openInside(t *testing.T, statuses ...string) (*inside, *card) {
	t.Helper()
	v := newVector(t)
	i := &inside{
		recorded: &recorded{t: t, atr: unhex(t, "3B7F960000006A444E4965200101550421039000"), exchanges: v.opening()},
		side:     newChipSide(t), statuses: statuses,
	}
	opened, err := v.driver.Open(t.Context(), i)
	if err != nil {
		t.Fatal(err)
	}
	return i, opened.(*card)
}

func TestCounterIsAskedInsideTheChannel(t *testing.T) {
	for sw, want := range map[string]int{"63C3": 3, "63C1": 1, "63C0": 0, "6983": 0, "9000": 3} {
		i, c := openInside(t, sw)
		status, err := c.PIN(t.Context(), "PIN")
		if err != nil || status.TriesLeft != want || !slices.Equal(i.plain, []string{"0020000000"}) {
			t.Errorf("%s: %+v, %v after %q", sw, status, err, i.plain)
		}
	}
	_, c := openInside(t, "6F00")
	if _, err := c.PIN(t.Context(), "PIN"); !errors.Is(err, cardreader.ErrCardProtocol) {
		t.Errorf("6F00: %v", err)
	}
	if _, err := c.PIN(t.Context(), "PIN2"); !errors.Is(err, cardreader.ErrNoCredential) {
		t.Errorf("PIN2: %v", err)
	}
}

func TestEveryAnswerToVerifyHasItsMeaning(t *testing.T) {
	for sw, want := range map[string]cardreader.PINReason{
		"63C2": cardreader.PINWrong, "63C0": cardreader.PINBlocked, "6983": cardreader.PINBlocked, "6984": cardreader.PINBlocked, "6700": cardreader.PINFormat,
	} {
		i, c := openInside(t, sw)
		if err := c.secure(t.Context()); err != nil {
			t.Fatal(err)
		}
		err := c.verify(t.Context(), secretOf(t, "CRYPTOKI"))
		var refused *cardreader.PINError
		if !errors.As(err, &refused) || refused.Reason != want || !slices.Equal(i.plain, []string{"002000000843525950544F4B49"}) {
			t.Errorf("%s: %v after %q", sw, err, i.plain)
		}
	}
}

// The card's own form: 01, then both values after their lengths.
func TestPINChangeOfTheOpenDrivers(t *testing.T) {
	for sw, check := range map[string]func(error) bool{
		"9000": func(err error) bool { return err == nil },
		"6982": func(err error) bool { return errors.Is(err, cardreader.ErrNotOffered) },
		"6D00": func(err error) bool { return errors.Is(err, cardreader.ErrNotOffered) },
		"6A80": func(err error) bool { return err != nil && !errors.Is(err, cardreader.ErrNotOffered) },
		"63C2": func(err error) bool {
			var refused *cardreader.PINError
			return errors.As(err, &refused) && refused.Reason == cardreader.PINWrong && refused.TriesLeft == 2
		},
	} {
		i, c := openInside(t, "9000", sw)
		err := c.ChangePIN(t.Context(), "PIN", secretOf(t, "CRYPTOKI"), secretOf(t, "ANOTHER-PIN"))
		want := []string{"00A40000020000", "9024000016" + "0108" + "43525950544F4B49" + "0B" + "414E4F544845522D50494E"}
		if !check(err) || !slices.Equal(i.plain, want) {
			t.Errorf("%s: %v after %q", sw, err, i.plain)
		}
	}
	_, c := openInside(t)
	var refused *cardreader.PINError
	err := c.ChangePIN(t.Context(), "PIN", secretOf(t, "CRYPTOKI"), secretOf(t, "SHORT"))
	if !errors.As(err, &refused) || refused.Reason != cardreader.PINFormat {
		t.Errorf("short value: %v", err)
	}
}

// Threat C-06: a protected VERIFY or signature is not repeated, whatever length
// the card asks for.
func TestCorrectedLengthRepeatsNoSecret(t *testing.T) {
	i, c := openInside(t, "6C08", "9000", "9000")
	if err := c.secure(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := c.verify(t.Context(), secretOf(t, "CRYPTOKI")); err == nil || len(i.plain) != 1 {
		t.Errorf("%v after %q", err, i.plain)
	}
}

func TestDigestsThatTheCardDoesNotSign(t *testing.T) {
	v := newVector(t)
	card, opened := open(t, v, v.opening()[:1])
	sum := sha256.Sum256(nil)
	for _, digest := range [][]byte{nil, sum[:31], append(sum[:], 0)} {
		_, err := opened.Sign(t.Context(), cardreader.Credential{ID: "signature"}, secretOf(t, "CRYPTOKI"), crypto.SHA256, digest)
		if !errors.Is(err, cardreader.ErrDigest) {
			t.Errorf("%d bytes: %v", len(digest), err)
		}
	}
	if _, err := opened.Sign(t.Context(), cardreader.Credential{}, secretOf(t, "CRYPTOKI"), crypto.SHA1, sum[:20]); !errors.Is(err, cardreader.ErrDigest) {
		t.Errorf("SHA-1: %v", err)
	}
	if card.next != 1 {
		t.Errorf("%d commands", card.next)
	}
}
