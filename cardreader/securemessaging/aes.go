package securemessaging

import (
	"crypto/aes"
	"crypto/cipher"
	"fmt"
)

// aesMACLength is fixed by ICAO Doc 9303-11 9.8.
const aesMACLength = 8

// aesSuite is AES in CBC mode with the encrypted counter as IV, and CMAC over
// counter and message (ICAO Doc 9303-11 9.8).
type aesSuite struct {
	enc, check cipher.Block
}

// NewAES makes a session of the ICAO profile. enc and mac are AES keys of 16, 24
// or 32 bytes and equal length; they are copied. The send sequence counter
// starts at zero. The error is ErrKeys.
func NewAES(enc, mac []byte) (*Session, error) {
	if len(enc) != len(mac) {
		return nil, fmt.Errorf("%w: %d and %d bytes", ErrKeys, len(enc), len(mac))
	}
	encKey, macKey := append([]byte(nil), enc...), append([]byte(nil), mac...)
	encBlock, err := aes.NewCipher(encKey)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrKeys, err)
	}
	macBlock, err := aes.NewCipher(macKey)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrKeys, err)
	}
	return &Session{
		suite:   &aesSuite{enc: encBlock, check: macBlock},
		profile: profile{macLength: aesMACLength, leWithData: true, outerLe: true},
		counter: make([]byte, aes.BlockSize),
		keys:    [][]byte{encKey, macKey},
	}, nil
}

func (s *aesSuite) blockSize() int { return aes.BlockSize }

func (s *aesSuite) iv(counter []byte) []byte {
	iv := make([]byte, aes.BlockSize)
	s.enc.Encrypt(iv, counter)
	return iv
}

func (s *aesSuite) encrypt(counter, data []byte) {
	cipher.NewCBCEncrypter(s.enc, s.iv(counter)).CryptBlocks(data, data)
}

func (s *aesSuite) decrypt(counter, data []byte) {
	cipher.NewCBCDecrypter(s.enc, s.iv(counter)).CryptBlocks(data, data)
}

func (s *aesSuite) mac(counter, message []byte) []byte {
	return cmac(s.check, append(append(make([]byte, 0, len(counter)+len(message)), counter...), message...))
}
