package pace

import (
	"bytes"
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/asn1"
	"encoding/binary"
	"errors"
	"io"
	"math/big"
	"slices"
)

// card is the other side of PACE, written from the same documents with plain big
// numbers and affine coordinates; it shares only the constants of the curves.
type card struct {
	curve    affine
	oid      []byte // DER with tag and length
	keySize  int
	password string
	random   io.Reader

	// attempts counts the tokens that were judged; tries is what is left.
	attempts, tries int
	announce        uint16 // answer to MSE SET when it is not 9000

	stage                int
	nonce                []byte
	base                 *xy
	own, other           []byte
	enc, mac             []byte
	open                 bool
	counter              uint64
	commands             [][]byte
	overrideMap, overEph []byte // public keys sent instead of honest ones
	wrongToken           bool
	last                 []byte // the last protected answer
}

type xy struct{ x, y *big.Int }

// affine is a curve; nil is infinity.
type affine struct {
	p, a, b, n *big.Int
	g          *xy
	size       int
}

func affineOf(d curveData) affine {
	number := func(text string) *big.Int {
		v, _ := new(big.Int).SetString(text, 16)
		return v
	}
	return affine{
		p: number(d.p), a: number(d.a), b: number(d.b), n: number(d.order),
		g: &xy{number(d.x), number(d.y)}, size: len(d.p) / 2,
	}
}

func (c affine) add(p, q *xy) *xy {
	if p == nil {
		return q
	}
	if q == nil {
		return p
	}
	var slope *big.Int
	if p.x.Cmp(q.x) == 0 {
		if new(big.Int).Mod(new(big.Int).Add(p.y, q.y), c.p).Sign() == 0 {
			return nil
		}
		slope = new(big.Int).Mul(p.x, p.x)
		slope.Mul(slope, big.NewInt(3)).Add(slope, c.a)
		slope.Mul(slope, new(big.Int).ModInverse(new(big.Int).Lsh(p.y, 1), c.p))
	} else {
		dx := new(big.Int).Mod(new(big.Int).Sub(q.x, p.x), c.p)
		slope = new(big.Int).Mul(new(big.Int).Sub(q.y, p.y), new(big.Int).ModInverse(dx, c.p))
	}
	x := new(big.Int).Mul(slope, slope)
	x.Sub(x, p.x).Sub(x, q.x).Mod(x, c.p)
	y := new(big.Int).Mul(slope, new(big.Int).Sub(p.x, x))
	y.Sub(y, p.y).Mod(y, c.p)
	return &xy{x, y}
}

func (c affine) multiply(k *big.Int, p *xy) *xy {
	var r *xy
	for i := k.BitLen() - 1; i >= 0; i-- {
		r = c.add(r, r)
		if k.Bit(i) == 1 {
			r = c.add(r, p)
		}
	}
	return r
}

func (c affine) bytes(p *xy) []byte {
	return slices.Concat([]byte{4}, p.x.FillBytes(make([]byte, c.size)), p.y.FillBytes(make([]byte, c.size)))
}

func (c affine) point(raw []byte) *xy {
	return &xy{new(big.Int).SetBytes(raw[1 : 1+c.size]), new(big.Int).SetBytes(raw[1+c.size:])}
}

func newCard(info Info, password string, random io.Reader) *card {
	data := map[int]curveData{12: dataP256(), 13: dataBrainpoolP256r1(), 16: dataBrainpoolP384r1()}[info.Parameter]
	oid, _ := asn1.Marshal(info.OID)
	return &card{
		curve: affineOf(data), oid: oid, password: password, random: random, tries: 10,
		keySize: map[int]int{2: 16, 3: 24, 4: 32}[info.OID[len(info.OID)-1]],
	}
}

func (c *card) hash(counter byte, secret []byte) []byte {
	input := append(bytes.Clone(secret), 0, 0, 0, counter)
	if c.keySize == 16 {
		sum := sha1.Sum(input)
		return sum[:16]
	}
	sum := sha256.Sum256(input)
	return sum[:c.keySize]
}

func (c *card) take(n int) []byte {
	b := make([]byte, n)
	if _, err := io.ReadFull(c.random, b); err != nil {
		panic(err)
	}
	return b
}

func sw(v uint16) []byte { return []byte{byte(v >> 8), byte(v)} }

func (c *card) Transmit(_ context.Context, command []byte) ([]byte, error) {
	if len(command) < 5 {
		return nil, errors.New("short command")
	}
	c.commands = append(c.commands, bytes.Clone(command))
	switch {
	case command[0]&0x0C != 0 && c.open:
		return c.secured(command), nil
	case c.open:
		c.open = false
		return sw(0x6987), nil
	case bytes.HasPrefix(command, []byte{0x00, 0x22, 0xC1, 0xA4}):
		c.stage = 1
		want := slices.Concat([]byte{0x80}, c.oid[1:])
		if !bytes.HasPrefix(command[5:], want) {
			return sw(0x6A80), nil
		}
		if c.announce != 0 {
			return sw(c.announce), nil
		}
		return sw(0x9000), nil
	case command[1] == 0x86 && (c.stage < 4) == (command[0] == 0x10):
		return c.authenticate(command[5 : 5+int(command[4])]), nil
	}
	return sw(0x6982), nil
}

func template(tag byte, value []byte) []byte {
	return slices.Concat([]byte{0x7C, byte(2 + len(value)), tag, byte(len(value))}, value, sw(0x9000))
}

func (c *card) authenticate(data []byte) []byte {
	c.stage++
	switch c.stage {
	case 2:
		c.nonce = c.take(max(16, c.keySize/16*16+c.keySize%16*2)) // 16 or 32
		block, _ := aes.NewCipher(c.hash(3, []byte(c.password)))
		z := bytes.Clone(c.nonce)
		cipher.NewCBCEncrypter(block, make([]byte, 16)).CryptBlocks(z, z)
		return template(0x80, z)
	case 3:
		shared, own := c.exchange(c.curve.g, data[4:])
		c.base = c.curve.add(c.curve.multiply(new(big.Int).SetBytes(c.nonce), c.curve.g), shared)
		if c.overrideMap != nil {
			own = c.overrideMap
		}
		return template(0x82, own)
	case 4:
		shared, own := c.exchange(c.base, data[4:])
		c.own, c.other = own, bytes.Clone(data[4:])
		x := shared.x.FillBytes(make([]byte, c.curve.size))
		c.enc, c.mac = c.hash(1, x), c.hash(2, x)
		if c.overEph != nil {
			own = c.overEph
		}
		return template(0x84, own)
	case 5:
		c.stage = 0
		c.attempts++
		if !bytes.Equal(data[4:], c.token(c.own)) {
			c.tries--
			return sw(0x6300)
		}
		c.open, c.counter = true, 0
		token := c.token(c.other)
		if c.wrongToken {
			token[7] ^= 1
		}
		return template(0x86, token)
	}
	return sw(0x6985)
}

// exchange draws a key of the curve's size and agrees with the terminal's.
func (c *card) exchange(base *xy, other []byte) (*xy, []byte) {
	k := new(big.Int).SetBytes(c.take(c.curve.size))
	k.Mod(k, c.curve.n)
	return c.curve.multiply(k, c.curve.point(other)), c.curve.bytes(c.curve.multiply(k, base))
}

func (c *card) token(public []byte) []byte {
	content := slices.Concat(c.oid, []byte{0x86, byte(len(public))}, public)
	return c.checksum(slices.Concat([]byte{0x7F, 0x49, byte(len(content))}, content))[:8]
}

// checksum is CMAC with big-number doubling.
func (c *card) checksum(message []byte) []byte {
	block, _ := aes.NewCipher(c.mac)
	state := make([]byte, 16)
	block.Encrypt(state, state)
	double := func(b []byte) []byte {
		v := new(big.Int).Lsh(new(big.Int).SetBytes(b), 1)
		if v.Bit(128) == 1 {
			v.SetBit(v, 128, 0).Xor(v, big.NewInt(0x87))
		}
		return v.FillBytes(make([]byte, 16))
	}
	subkey := double(state)
	if len(message) == 0 || len(message)%16 != 0 {
		subkey = double(subkey)
		message = padded(message)
	} else {
		message = bytes.Clone(message)
	}
	for i := range subkey {
		message[len(message)-16+i] ^= subkey[i]
	}
	out := make([]byte, len(message))
	cipher.NewCBCEncrypter(block, make([]byte, 16)).CryptBlocks(out, message)
	return out[len(out)-16:]
}

func padded(data []byte) []byte {
	data = append(bytes.Clone(data), 0x80)
	return append(data, make([]byte, (16-len(data)%16)%16)...)
}

func (c *card) counterBytes() []byte {
	return binary.BigEndian.AppendUint64(make([]byte, 8), c.counter)
}

func (c *card) cbc() (cipher.Block, []byte) {
	block, _ := aes.NewCipher(c.enc)
	iv := make([]byte, 16)
	block.Encrypt(iv, c.counterBytes())
	return block, iv
}

// secured serves VERIFY (data, no answer) and anything with an Le (echoes the
// header), under protection.
func (c *card) secured(command []byte) []byte {
	c.counter++
	objects := command[5 : 5+int(command[4])]
	n := len(objects) - 10
	message := c.counterBytes()
	if n > 0 {
		message = slices.Concat(message, padded(command[:4]), objects[:n])
	} else {
		message = append(message, command[:4]...)
	}
	// The padding is part of the message here, before CMAC's own.
	if !bytes.Equal(c.checksum(padded(message))[:8], objects[n+2:]) || command[len(command)-1] != 0 {
		c.open = false
		return sw(0x6988)
	}
	var answer []byte
	if n > 0 && objects[0] == 0x87 {
		data := bytes.Clone(objects[3 : 2+int(objects[1])])
		block, iv := c.cbc()
		cipher.NewCBCDecrypter(block, iv).CryptBlocks(data, data)
		answer = data[:bytes.LastIndexByte(data, 0x80)]
	}
	c.counter++
	var out []byte
	if len(answer) > 0 { // echo what was understood
		data := padded(answer)
		block, iv := c.cbc()
		cipher.NewCBCEncrypter(block, iv).CryptBlocks(data, data)
		out = slices.Concat([]byte{0x87, byte(len(data) + 1), 1}, data)
	}
	out = append(out, 0x99, 2, 0x90, 0x00)
	mac := c.checksum(padded(append(c.counterBytes(), out...)))[:8]
	c.last = slices.Concat(out, []byte{0x8E, 8}, mac, sw(0x9000))
	return c.last
}
