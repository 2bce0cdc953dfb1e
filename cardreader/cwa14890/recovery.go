package cwa14890

import (
	"bytes"
	"crypto/rsa"
	"crypto/sha1" //nolint:gosec // CWA 14890-1 fixes SHA-1 for this handshake
	"crypto/subtle"
	"fmt"
	"math/big"

	"filippo.io/bigmod"
)

// Everything in this handshake has one size: RSA-1024 with exponent 65537.
const (
	keySize        = 128 // bytes
	hashSize       = sha1.Size
	publicExponent = 65537

	// The message representative of ISO/IEC 9796-2 with partial recovery:
	// 6A || recovered part || SHA-1 || BC.
	recoveredHeader  = 0x6A
	recoveredTrailer = 0xBC
	recoveredSize    = keySize - 2 - hashSize // bytes
)

// modulus is the public part of an RSA-1024 key.
type modulus struct {
	n *bigmod.Modulus
}

// newModulus takes 128 bytes, big endian, with the highest and lowest bit set.
func newModulus(raw []byte) (*modulus, error) {
	if len(raw) != keySize || raw[0]&0x80 == 0 || raw[keySize-1]&1 == 0 {
		return nil, fmt.Errorf("no RSA modulus of %d bits", 8*keySize)
	}
	n, err := bigmod.NewModulus(raw)
	if err != nil {
		return nil, err
	}
	return &modulus{n: n}, nil
}

// modulusOf takes only keys with exponent 65537.
func modulusOf(key *rsa.PublicKey) (*modulus, error) {
	if key == nil || key.N == nil || key.E != publicExponent || key.N.BitLen() != 8*keySize {
		return nil, fmt.Errorf("no RSA key of %d bits with exponent %d", 8*keySize, publicExponent)
	}
	return newModulus(key.N.FillBytes(make([]byte, keySize)))
}

func (m *modulus) bytes() []byte { return m.n.Nat().Bytes(m.n) }

func (m *modulus) publicKey() *rsa.PublicKey {
	return &rsa.PublicKey{N: new(big.Int).SetBytes(m.bytes()), E: publicExponent}
}

// power raises x, 128 bytes below the modulus and not zero, to an exponent.
func (m *modulus) power(x, exponent []byte) ([]byte, error) {
	value, err := bigmod.NewNat().SetBytes(x, m.n)
	if err != nil || len(x) != keySize || value.IsZero() == 1 {
		return nil, fmt.Errorf("value is outside of the RSA key's range")
	}
	return bigmod.NewNat().Exp(value, exponent, m.n).Bytes(m.n), nil
}

func (m *modulus) public(x []byte) ([]byte, error) {
	return m.power(x, []byte{0x01, 0x00, 0x01}) // 65537
}

// negate is N - x.
func (m *modulus) negate(x []byte) ([]byte, error) {
	value, err := bigmod.NewNat().SetBytes(x, m.n)
	if err != nil {
		return nil, err
	}
	zero := bigmod.NewNat().ExpandFor(m.n)
	return zero.Sub(value, m.n).Bytes(m.n), nil
}

// recover opens a signature and gives the part of the message that travels in
// it and the hash. Signers may store S or N - S (ISO/IEC 9796-2); negating
// the result serves both, the exponent being odd.
func (m *modulus) recover(signature []byte) (recovered, hash []byte, err error) {
	message, err := m.public(signature)
	if err != nil {
		return nil, nil, err
	}
	if !representative(message) {
		if message, err = m.negate(message); err != nil {
			return nil, nil, err
		}
	}
	if !representative(message) {
		return nil, nil, fmt.Errorf("signature does not open")
	}
	return message[1 : 1+recoveredSize], message[1+recoveredSize : keySize-1], nil
}

func representative(message []byte) bool {
	return message[0] == recoveredHeader && message[keySize-1] == recoveredTrailer
}

// sign makes the signature over recovered || rest, of which the 106 recovered
// bytes travel inside: the smaller of S and N - S.
func (m *modulus) sign(exponent, recovered, rest []byte) ([]byte, error) {
	hash := digest(recovered, rest)
	message := make([]byte, 0, keySize)
	message = append(message, recoveredHeader)
	message = append(message, recovered...)
	message = append(message, hash...)
	message = append(message, recoveredTrailer)
	defer clear(message)
	signature, err := m.power(message, exponent)
	if err != nil {
		return nil, err
	}
	other, err := m.negate(signature)
	if err != nil {
		return nil, err
	}
	if bytes.Compare(other, signature) < 0 {
		return other, nil
	}
	return signature, nil
}

// matches tells whether hash is the one over both parts of the message.
func matches(hash, recovered, rest []byte) bool {
	return subtle.ConstantTimeCompare(hash, digest(recovered, rest)) == 1
}

func digest(parts ...[]byte) []byte {
	h := sha1.New() //nolint:gosec // as above
	for _, part := range parts {
		_, _ = h.Write(part) // never fails
	}
	return h.Sum(nil)
}
