package securemessaging

import (
	"crypto/cipher"
	"crypto/des" //nolint:gosec // CWA 14890-1 fixes two-key 3DES
	"fmt"
)

// desSuite is 3DES in CBC mode with IV 0, and the retail MAC (ISO/IEC 9797-1
// algorithm 3) with the counter as its first block (CWA 14890-1 clause 9).
type desSuite struct {
	enc   cipher.Block // 3DES with the encryption key
	final cipher.Block // 3DES with the MAC key, for the last block
	chain cipher.Block // single DES with the first half of the MAC key
}

// NewDES makes a session of the CWA 14890 profile. enc and mac are two-key 3DES
// keys of 16 bytes, counter is the send sequence counter before the first
// command, 8 bytes; all are copied. macLength is 4 (DNIe 1.x and 2.0) or 8 (3.0
// and later). The error is ErrKeys.
func NewDES(enc, mac, counter []byte, macLength int) (*Session, error) {
	if len(enc) != 16 || len(mac) != 16 || len(counter) != des.BlockSize {
		return nil, fmt.Errorf("%w: %d, %d and %d bytes", ErrKeys, len(enc), len(mac), len(counter))
	}
	if macLength != 4 && macLength != 8 {
		return nil, fmt.Errorf("%w: MAC of %d bytes", ErrKeys, macLength)
	}
	triple := func(key []byte) (cipher.Block, []byte, error) {
		// Two-key 3DES: K3 = K1.
		three := append(append(make([]byte, 0, 24), key...), key[:8]...)
		block, err := des.NewTripleDESCipher(three) //nolint:gosec // as above
		return block, three, err
	}
	encBlock, encKey, err := triple(enc)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrKeys, err)
	}
	macBlock, macKey, err := triple(mac)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrKeys, err)
	}
	chain, err := des.NewCipher(macKey[:8]) //nolint:gosec // as above
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrKeys, err)
	}
	return &Session{
		suite:   &desSuite{enc: encBlock, final: macBlock, chain: chain},
		profile: profile{macLength: macLength, bareHeaderPadded: true},
		counter: append([]byte(nil), counter...),
		keys:    [][]byte{encKey, macKey},
	}, nil
}

func (s *desSuite) blockSize() int { return des.BlockSize }

func (s *desSuite) encrypt(_, data []byte) {
	cipher.NewCBCEncrypter(s.enc, make([]byte, des.BlockSize)).CryptBlocks(data, data) //nolint:gosec // IV 0 is fixed by CWA 14890-1
}

func (s *desSuite) decrypt(_, data []byte) {
	cipher.NewCBCDecrypter(s.enc, make([]byte, des.BlockSize)).CryptBlocks(data, data)
}

func (s *desSuite) mac(counter, message []byte) []byte {
	state := make([]byte, des.BlockSize)
	s.chain.Encrypt(state, counter)
	for len(message) > des.BlockSize {
		xor(state, message[:des.BlockSize])
		s.chain.Encrypt(state, state)
		message = message[des.BlockSize:]
	}
	xor(state, message)
	s.final.Encrypt(state, state)
	return state
}

func xor(dst, src []byte) {
	for i := range src {
		dst[i] ^= src[i]
	}
}
