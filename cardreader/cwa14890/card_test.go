package cwa14890

import (
	"bytes"
	"context"
	"crypto/cipher"
	"crypto/des"
	"crypto/sha1"
	"encoding/binary"
	"errors"
	"io"
	"math/big"
	"slices"
)

// card is the other side of the channel, written from the same document and
// sharing nothing with the code under test: T=0, one root, roles enforced.
type card struct {
	lab    *lab
	serial []byte // SN.ICC
	random io.Reader
	t0     bool // answers to commands with data wait for GET RESPONSE
	pin    string
	tries  int
	// wrongKey makes the chip sign with a key that is not in its certificate.
	wrongKey *rawKey

	keys         map[string]cardKey // by reference, 8 or 12 bytes
	selected     []byte             // reference of the key for the next certificate
	terminal     *cardKey
	rndIFD       []byte
	rndICC, kICC []byte
	waiting      []byte

	session, next *cardSession
	macLength     int

	commands [][]byte
	verifies int // VERIFY commands with data
}

type cardKey struct {
	n      *big.Int
	role   byte
	serial []byte
}

func newCard(l *lab, random io.Reader, macLength int) *card {
	return &card{
		lab: l, random: random, macLength: macLength, t0: true, pin: "CRYPTOKI", tries: 3,
		serial: must(io.ReadAll(hexReader(vectorChipSerial))), keys: map[string]cardKey{},
	}
}

var errEmptyCommand = errors.New("driver was given an empty command")

func (c *card) Transmit(_ context.Context, command []byte) ([]byte, error) {
	if len(command) < 4 {
		return nil, errEmptyCommand
	}
	c.commands = append(c.commands, bytes.Clone(command))
	if command[1] == 0xC0 {
		return c.fetch(int(command[4])), nil
	}
	var answer []byte
	if command[0]&0x0C != 0 {
		answer = c.secured(command)
	} else if c.session != nil {
		c.session = nil
		return status(0x6987), nil
	} else {
		answer = c.process(command)
	}
	if c.next != nil {
		c.session, c.next = c.next, nil
	}
	if c.t0 && len(command) > 5 && len(answer) > 2 {
		c.waiting = answer[:len(answer)-2]
		return []byte{0x61, byte(min(len(c.waiting), 256))}, nil
	}
	return answer, nil
}

func (c *card) fetch(le int) []byte {
	if le == 0 {
		le = 256
	}
	le = min(le, len(c.waiting))
	part := bytes.Clone(c.waiting[:le])
	c.waiting = c.waiting[le:]
	if len(c.waiting) > 0 {
		return append(part, 0x61, byte(min(len(c.waiting), 256)))
	}
	return append(part, 0x90, 0x00)
}

// process is a plain command, already without protection.
func (c *card) process(command []byte) []byte {
	var data []byte
	if len(command) > 5 {
		data = command[5 : 5+int(command[4])]
	}
	switch head := binary.BigEndian.Uint32(command); head {
	case 0x002281B6:
		c.selected = bytes.Clone(data[2:])
		return status(0x9000)
	case 0x002A00AE:
		return c.takeCertificate(data)
	case 0x0022C1A4:
		key, ok := c.keys[string(data[6:14])]
		if !ok || !bytes.Equal(data[14:], []byte{0x84, 2, 0x02, 0x1F}) {
			return status(0x6A88)
		}
		c.terminal = &key
		return status(0x9000)
	case 0x00880000:
		return c.internal(data)
	case 0x00840000:
		c.rndICC = c.take(8)
		return append(bytes.Clone(c.rndICC), 0x90, 0x00)
	case 0x00820000:
		return c.external(data)
	case 0x00200000:
		return c.verify(data)
	case 0x00B00000: // 300 bytes, so that a protected answer needs two fetches
		return append(bytes.Repeat([]byte{0xA5}, 300), 0x90, 0x00)
	}
	return status(0x6D00)
}

func (c *card) verify(data []byte) []byte {
	switch {
	case c.session == nil || c.session.role != 0x08:
		return status(0x6982)
	case len(data) == 0:
		return status(0x63C0 | uint16(c.tries))
	case c.tries == 0:
		return status(0x6983)
	}
	c.verifies++
	if string(data) != c.pin {
		c.tries--
		return status(0x63C0 | uint16(c.tries))
	}
	c.tries = 3
	return status(0x9000)
}

func (c *card) takeCertificate(raw []byte) []byte {
	issuer, ok := c.keys[string(c.selected)]
	switch {
	case bytes.Equal(c.selected, []byte{0x02, 0x0F}):
		issuer = cardKey{n: c.lab.root.n, role: 0x22}
	case !ok:
		return status(0x6A88)
	}
	if len(raw) < 150 || issuer.role != 0x22 {
		return status(0x6A80)
	}
	signature, rest := raw[8:136], raw[139:139+int(raw[138])]
	m := new(big.Int).Exp(new(big.Int).SetBytes(signature), big.NewInt(65537), issuer.n)
	message := m.FillBytes(make([]byte, 128))
	if message[0] != 0x6A || message[127] != 0xBC {
		message = m.Sub(issuer.n, m).FillBytes(make([]byte, 128))
	}
	content := append(bytes.Clone(message[1:107]), rest...)
	hash := sha1.Sum(content)
	if message[0] != 0x6A || message[127] != 0xBC || !bytes.Equal(hash[:], message[107:127]) {
		return status(0x6A80)
	}
	role := content[27]
	end := len(content) - 4
	c.keys[string(content[13:21])] = cardKey{
		n: new(big.Int).SetBytes(content[end-128 : end]), role: role, serial: bytes.Clone(content[13:21]),
	}
	return status(0x9000)
}

// internal is the chip's own proof.
func (c *card) internal(data []byte) []byte {
	if c.terminal == nil || len(data) != 16 || !bytes.Equal(data[8:], c.terminal.serial) {
		return status(0x6985)
	}
	key := c.lab.chip
	if c.wrongKey != nil {
		key = *c.wrongKey
	}
	c.rndIFD = bytes.Clone(data[:8])
	random := c.take(106)
	c.kICC = random[74:]
	hash := sha1.Sum(slices.Concat(random, data))
	message := slices.Concat([]byte{0x6A}, random, hash[:], []byte{0xBC})
	s := new(big.Int).Exp(new(big.Int).SetBytes(message), key.d, key.n)
	if other := new(big.Int).Sub(key.n, s); other.Cmp(s) < 0 {
		s = other
	}
	s.Exp(s, big.NewInt(65537), c.terminal.n)
	return append(s.FillBytes(make([]byte, 128)), 0x90, 0x00)
}

// external checks the terminal's proof and prepares the keys.
func (c *card) external(data []byte) []byte {
	if c.rndICC == nil || c.kICC == nil || len(data) != 128 {
		return status(0x6985)
	}
	s := new(big.Int).Exp(new(big.Int).SetBytes(data), c.lab.chip.d, c.lab.chip.n)
	m := new(big.Int).Exp(s, big.NewInt(65537), c.terminal.n)
	message := m.FillBytes(make([]byte, 128))
	if message[0] != 0x6A || message[127] != 0xBC {
		message = m.Sub(c.terminal.n, m).FillBytes(make([]byte, 128))
	}
	hash := sha1.Sum(slices.Concat(message[1:107], c.rndICC, c.serial))
	if message[0] != 0x6A || message[127] != 0xBC || !bytes.Equal(hash[:], message[107:127]) {
		return status(0x6300)
	}
	seed := make([]byte, 32)
	for i := range seed {
		seed[i] = c.kICC[i] ^ message[75+i]
	}
	enc, mac := sha1.Sum(append(bytes.Clone(seed), 0, 0, 0, 1)), sha1.Sum(append(bytes.Clone(seed), 0, 0, 0, 2))
	c.next = &cardSession{
		enc: enc[:16], mac: mac[:16], role: c.terminal.role, macLength: c.macLength,
		counter: binary.BigEndian.Uint64(append(bytes.Clone(c.rndICC[4:]), c.rndIFD[4:]...)),
	}
	c.rndICC, c.kICC, c.terminal, c.keys = nil, nil, nil, map[string]cardKey{}
	return status(0x9000)
}

func (c *card) take(n int) []byte {
	b := make([]byte, n)
	must(io.ReadFull(c.random, b))
	return b
}

func status(sw uint16) []byte { return []byte{byte(sw >> 8), byte(sw)} }

// cardSession is the card's side of secure messaging.
type cardSession struct {
	enc, mac  []byte
	counter   uint64
	macLength int
	role      byte
}

func triple(key []byte) cipher.Block {
	return must(des.NewTripleDESCipher(slices.Concat(key, key[:8])))
}

func (s *cardSession) checksum(message []byte) []byte {
	single := must(des.NewCipher(s.mac[:8]))
	message = slices.Concat(binary.BigEndian.AppendUint64(nil, s.counter), message)
	state := make([]byte, 8)
	for len(message) > 0 {
		for i := range state {
			state[i] ^= message[i]
		}
		message = message[8:]
		if len(message) == 0 {
			triple(s.mac).Encrypt(state, state)
		} else {
			single.Encrypt(state, state)
		}
	}
	return state[:s.macLength]
}

func padded(data []byte) []byte {
	data = append(bytes.Clone(data), 0x80)
	return append(data, make([]byte, (8-len(data)%8)%8)...)
}

// secured takes the protection off, processes and puts it on again.
func (c *card) secured(command []byte) []byte {
	s := c.session
	if s == nil {
		return status(0x6882)
	}
	s.counter++
	objects := command[5 : 5+int(command[4])]
	n := len(objects) - 2 - s.macLength
	header := append(bytes.Clone(command[:4]), 0x80, 0, 0, 0)
	want := s.checksum(append(header, padded(objects[:n])...))
	if objects[n] != 0x8E || int(objects[n+1]) != s.macLength || !bytes.Equal(want, objects[n+2:]) {
		c.session = nil
		return status(0x6988)
	}
	plain := []byte{command[0] &^ 0x0C, command[1], command[2], command[3]}
	rest := objects[:n]
	if len(rest) > 0 && rest[0] == 0x87 {
		size, at := int(rest[1]), 2
		if size == 0x81 {
			size, at = int(rest[2]), 3
		}
		data := bytes.Clone(rest[at+1 : at+size])
		cipher.NewCBCDecrypter(triple(s.enc), make([]byte, 8)).CryptBlocks(data, data)
		data = data[:bytes.LastIndexByte(data, 0x80)]
		plain = append(append(plain, byte(len(data))), data...)
		rest = rest[at+size:]
		if len(rest) > 0 { // 87 and 97 together
			c.session = nil
			return status(0x6988)
		}
	} else if len(rest) == 3 && rest[0] == 0x97 {
		plain = append(plain, rest[2])
	}
	return s.protect(c.process(plain))
}

func (s *cardSession) protect(answer []byte) []byte {
	s.counter++
	n := len(answer) - 2
	var objects []byte
	if n > 0 {
		data := padded(answer[:n])
		cipher.NewCBCEncrypter(triple(s.enc), make([]byte, 8)).CryptBlocks(data, data)
		switch size := len(data) + 1; {
		case size < 0x80:
			objects = append(objects, 0x87, byte(size), 1)
		case size < 0x100:
			objects = append(objects, 0x87, 0x81, byte(size), 1)
		default:
			objects = append(objects, 0x87, 0x82, byte(size>>8), byte(size), 1)
		}
		objects = append(objects, data...)
	}
	objects = append(objects, 0x99, 2, answer[n], answer[n+1])
	objects = append(objects, append([]byte{0x8E, byte(s.macLength)}, s.checksum(padded(objects))...)...)
	return append(objects, 0x90, 0x00)
}
