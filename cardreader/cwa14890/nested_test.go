package cwa14890

import (
	"bytes"
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"errors"
	"slices"
	"testing"

	"github.com/eidbridge/eidbridge/cardreader/apdu"
	"github.com/eidbridge/eidbridge/cardreader/securemessaging"
)

// contactless is a card of which the first commands come through a PACE channel.
// When the card's own keys take over, PACE ends for good.
type contactless struct {
	card     *card
	enc, mac []byte
	counter  [16]byte
	open     bool
	wrapped  [][]byte
}

func (c *contactless) Transmit(ctx context.Context, command []byte) ([]byte, error) {
	if !c.open {
		return c.card.Transmit(ctx, command)
	}
	c.wrapped = append(c.wrapped, bytes.Clone(command))
	c.counter[15]++
	block := must(aes.NewCipher(c.enc))
	objects := command[5 : 5+int(command[4])]
	n := len(objects) - 10
	plain := []byte{command[0] &^ 0x0C, command[1], command[2], command[3]}
	message := slices.Concat(c.counter[:], sixteen(command[:4]), objects[:n])
	if command[len(command)-1] != 0 || !bytes.Equal(must(securemessaging.CMAC(c.mac, sixteen(message)))[:8], objects[n+2:]) {
		return status(0x6988), nil
	}
	if objects[0] == 0x87 {
		at := 2
		if objects[1] == 0x81 {
			at = 3
		}
		data := bytes.Clone(objects[at+1 : n])
		cipher.NewCBCDecrypter(block, c.iv(block)).CryptBlocks(data, data)
		data = data[:bytes.LastIndexByte(data, 0x80)]
		plain = append(append(plain, byte(len(data))), data...)
	} else {
		plain = append(plain, objects[2])
	}
	answer := c.card.process(plain)
	c.counter[15]++
	var out []byte
	if end := len(answer) - 2; end > 0 {
		data := sixteen(answer[:end])
		cipher.NewCBCEncrypter(block, c.iv(block)).CryptBlocks(data, data)
		out = slices.Concat([]byte{0x87, 0x81, byte(len(data) + 1), 1}, data)
	}
	out = append(out, 0x99, 2, answer[len(answer)-2], answer[len(answer)-1])
	mac := must(securemessaging.CMAC(c.mac, sixteen(append(c.counter[:], out...))))
	if c.card.next != nil {
		c.card.session, c.card.next, c.open = c.card.next, nil, false
	}
	return slices.Concat(out, []byte{0x8E, 8}, mac[:8], status(0x9000)), nil
}

func (c *contactless) iv(block cipher.Block) []byte {
	iv := make([]byte, 16)
	block.Encrypt(iv, c.counter[:])
	return iv
}

func sixteen(data []byte) []byte {
	data = append(bytes.Clone(data), 0x80)
	return append(data, make([]byte, (16-len(data)%16)%16)...)
}

// The DNIe without contacts: PACE first, then the handshake inside of it, then
// its keys alone.
func TestEstablishReplacesPACE(t *testing.T) {
	l := newLab(t)
	card := newCard(l, rand.Reader, 8)
	card.t0 = false
	wire := &contactless{card: card, enc: bytes.Repeat([]byte{1}, 16), mac: bytes.Repeat([]byte{2}, 16), open: true}
	session, err := securemessaging.NewAES(wire.enc, wire.mac)
	if err != nil {
		t.Fatal(err)
	}
	pace := securemessaging.New(wire, session)
	pin, err := Establish(t.Context(), pace, l.options(t, RolePIN))
	if err != nil {
		t.Fatal(err)
	}
	if len(wire.wrapped) != 8 || wire.open || len(card.commands) != 0 {
		t.Errorf("%d commands inside PACE, still open: %v, %d outside", len(wire.wrapped), wire.open, len(card.commands))
	}
	if _, err := apdu.Do(t.Context(), pin, apdu.Command{INS: 0x20, Data: []byte("CRYPTOKI")}); err != nil {
		t.Errorf("VERIFY: %v", err)
	}
	if n := len(card.commands); n != 1 || card.commands[0][len(card.commands[0])-1] == 0 && int(card.commands[0][4]) != len(card.commands[0])-5 {
		t.Errorf("protected with other keys: %X", card.commands)
	}
	if _, err := pace.Transmit(t.Context(), unhex(t, "0084000008")); !errors.Is(err, securemessaging.ErrClosed) {
		t.Errorf("PACE channel after the change: got %v, want ErrClosed", err)
	}
	if _, err := Establish(t.Context(), pin, l.options(t, RoleUser)); err != nil {
		t.Errorf("user channel: %v", err)
	}
}
