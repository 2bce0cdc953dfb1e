package securemessaging

import (
	"crypto/subtle"
	"fmt"

	"github.com/eidbridge/eidbridge/cardreader/apdu"
	"github.com/eidbridge/eidbridge/cardreader/tlv"
)

// Data objects of secure messaging (ISO/IEC 7816-4 clause 10).
const (
	tagCryptogram tlv.Tag = 0x87 // padding indicator and encrypted data
	tagLe         tlv.Tag = 0x97
	tagStatus     tlv.Tag = 0x99
	tagMAC        tlv.Tag = 0x8E

	// paddedISO is the padding indicator for 80 00… (ISO/IEC 7816-4 clause 10).
	paddedISO = 0x01

	// secureClass marks a command whose header enters the MAC (ISO/IEC 7816-4
	// 5.4.1, bits 3 and 4 of CLA).
	secureClass = 0x0C

	insGetResponse = 0xC0
	headerSize     = 4
)

// suite is the cryptography of a profile. Data is a multiple of blockSize and
// changed in place; the counter is the one of the message.
type suite interface {
	blockSize() int
	encrypt(counter, data []byte)
	decrypt(counter, data []byte)
	// mac is the checksum over the counter and a padded message, uncut.
	mac(counter, message []byte) []byte
}

// profile is what CWA 14890 and ICAO 9303 do differently around the same data
// objects.
type profile struct {
	macLength int
	// leWithData sends tags 87 and 97 together. A DNIe 3.0 answers 6988 to it,
	// so that with CWA 14890 a command with data carries no Le.
	leWithData bool
	// bareHeaderPadded pads the header also when no data object follows it.
	bareHeaderPadded bool
	// outerLe ends the protected command with Le 00.
	outerLe bool
}

// Session is the state of one secure channel: keys and send sequence counter. It
// serves the terminal's side and is not safe for concurrent use.
type Session struct {
	suite   suite // nil after the end
	profile profile
	counter []byte
	keys    [][]byte
}

// Wrap protects a plain command APDU and advances the counter. The error is
// ErrCommand, which leaves the session as it was, or ErrClosed.
func (s *Session) Wrap(command []byte) ([]byte, error) {
	if s.suite == nil {
		return nil, ErrClosed
	}
	c, err := apdu.ParseCommand(command)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrCommand, err)
	}
	if c.Ne > apdu.MaxShortNe || c.CLA&secureClass != 0 || c.INS == insGetResponse {
		return nil, fmt.Errorf("%w: class %02X, instruction %02X, %d bytes expected", ErrCommand, c.CLA, c.INS, c.Ne)
	}
	block := s.suite.blockSize()
	withLe := c.Ne > 0 && (s.profile.leWithData || len(c.Data) == 0)
	if s.wrappedSize(len(c.Data), withLe) > maxWrapped {
		return nil, fmt.Errorf("%w: %d data bytes", ErrCommand, len(c.Data))
	}
	s.advance()
	header := []byte{c.CLA | secureClass, c.INS, c.P1, c.P2}
	objects := make([]byte, 0, maxWrapped)
	if len(c.Data) > 0 {
		cryptogram := append(make([]byte, 0, 1+len(c.Data)+block), paddedISO)
		cryptogram = pad(append(cryptogram, c.Data...), 1, block)
		s.suite.encrypt(s.counter, cryptogram[1:])
		objects = tlv.Append(objects, tagCryptogram, cryptogram)
	}
	if withLe {
		objects = tlv.Append(objects, tagLe, []byte{byte(c.Ne)}) // 256 becomes 00
	}
	mac := s.suite.mac(s.counter, s.commandInput(header, objects))
	objects = tlv.Append(objects, tagMAC, mac[:s.profile.macLength])

	wrapped := append(header, byte(len(objects)))
	wrapped = append(wrapped, objects...)
	if s.profile.outerLe {
		wrapped = append(wrapped, 0)
	}
	return wrapped, nil
}

// wrappedSize is the length of the data objects of a command with n data bytes.
func (s *Session) wrappedSize(n int, withLe bool) int {
	size := 2 + s.profile.macLength
	if n > 0 {
		block := s.suite.blockSize()
		content := 1 + n/block*block + block
		size += 2 + content
		if content >= 0x80 {
			size++ // a length field of two bytes
		}
	}
	if withLe {
		size += 3
	}
	return size
}

// commandInput is what the MAC of a command covers, padded to full blocks.
func (s *Session) commandInput(header, objects []byte) []byte {
	block := s.suite.blockSize()
	input := append(make([]byte, 0, headerSize+len(objects)+2*block), header...)
	if len(objects) > 0 || s.profile.bareHeaderPadded {
		input = pad(input, 0, block)
	}
	start := len(input)
	input = append(input, objects...)
	if start == headerSize {
		start = 0 // the bare header is itself the end of the message
	}
	return pad(input, start, block)
}

// Unwrap checks a protected answer, status word included, and gives the plain
// one: data and the status word that the card protected. Any failure ends the
// session and is a *LostError.
func (s *Session) Unwrap(answer []byte) ([]byte, error) {
	if s.suite == nil {
		return nil, ErrClosed
	}
	plain, err := s.unwrap(answer)
	if err != nil {
		s.Wipe()
		return nil, err
	}
	return plain, nil
}

func (s *Session) unwrap(answer []byte) ([]byte, error) {
	if len(answer) > maxAnswer {
		return nil, &LostError{}
	}
	r, err := apdu.ParseResponse(answer)
	if err != nil {
		return nil, &LostError{}
	}
	if len(r.Data) == 0 {
		return nil, &LostError{SW: r.SW}
	}
	// The checksum is the last object: nothing may stand outside of it.
	n := len(r.Data) - 2 - s.profile.macLength
	if n <= 0 || tlv.Tag(r.Data[n]) != tagMAC || int(r.Data[n+1]) != s.profile.macLength {
		return nil, &LostError{}
	}
	s.advance()
	objects, received := r.Data[:n], r.Data[n+2:]
	block := s.suite.blockSize()
	mac := s.suite.mac(s.counter, pad(append(make([]byte, 0, n+block), objects...), 0, block))
	if subtle.ConstantTimeCompare(mac[:s.profile.macLength], received) != 1 {
		return nil, &LostError{}
	}
	return s.open(objects, r.SW)
}

// open reads the authentic objects of an answer: an optional cryptogram, then
// the status, nothing else.
func (s *Session) open(objects []byte, outer apdu.StatusWord) ([]byte, error) {
	elements, err := tlv.Parse(objects)
	if err != nil || len(elements) == 0 || len(elements) > 2 {
		return nil, &LostError{}
	}
	status := elements[len(elements)-1]
	if status.Tag != tagStatus || len(status.Value) != 2 {
		return nil, &LostError{}
	}
	// The outer word is outside of the checksum: it may say "look inside" or
	// repeat what is inside, and is not believed otherwise.
	inner := apdu.StatusWord(status.Value[0])<<8 | apdu.StatusWord(status.Value[1])
	if outer != apdu.SWSuccess && outer != inner {
		return nil, &LostError{}
	}
	if len(elements) == 1 {
		return append([]byte(nil), status.Value...), nil
	}
	cryptogram := elements[0]
	block := s.suite.blockSize()
	if cryptogram.Tag != tagCryptogram || len(cryptogram.Value) < 1+block ||
		(len(cryptogram.Value)-1)%block != 0 || cryptogram.Value[0] != paddedISO {
		return nil, &LostError{}
	}
	data := append(make([]byte, 0, len(cryptogram.Value)+2), cryptogram.Value[1:]...)
	s.suite.decrypt(s.counter, data)
	data, ok := unpad(data, block)
	if !ok {
		return nil, &LostError{}
	}
	return append(data, status.Value...), nil
}

// Wipe ends the session and overwrites its keys. It may be called more than once.
func (s *Session) Wipe() {
	for _, key := range s.keys {
		clear(key)
	}
	clear(s.counter)
	s.suite, s.keys = nil, nil
}

// advance adds one to the counter, big endian, before each message.
func (s *Session) advance() {
	for i := len(s.counter) - 1; i >= 0; i-- {
		s.counter[i]++
		if s.counter[i] != 0 {
			return
		}
	}
}

// pad appends 80 00… until the bytes from start on fill whole blocks (ISO/IEC
// 9797-1 padding method 2). At least one byte is added.
func pad(data []byte, start, block int) []byte {
	data = append(data, 0x80)
	for (len(data)-start)%block != 0 {
		data = append(data, 0)
	}
	return data
}

// unpad takes the padding away again. It is at most one block long.
func unpad(data []byte, block int) ([]byte, bool) {
	for i := len(data) - 1; i >= 0 && i >= len(data)-block; i-- {
		switch data[i] {
		case 0:
		case 0x80:
			return data[:i], true
		default:
			return nil, false
		}
	}
	return nil, false
}
