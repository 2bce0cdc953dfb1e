package securemessaging

import (
	"crypto/aes"
	"crypto/cipher"
	"fmt"
)

// CMAC is the AES-CMAC of a message (RFC 4493; NIST SP 800-38B for 24 and 32
// byte keys), 16 bytes. PACE makes its authentication tokens with it. The error
// is ErrKeys.
func CMAC(key, message []byte) ([]byte, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrKeys, err)
	}
	return cmac(block, message), nil
}

// cmac follows RFC 4493 2.4.
func cmac(block cipher.Block, message []byte) []byte {
	subkey := make([]byte, aes.BlockSize)
	block.Encrypt(subkey, subkey)
	double(subkey) // K1, for a message of whole blocks

	last := make([]byte, aes.BlockSize)
	n := (len(message) - 1) / aes.BlockSize * aes.BlockSize
	if len(message) == 0 {
		n = 0
	}
	if copy(last, message[n:]) < aes.BlockSize {
		last[len(message)-n] = 0x80
		double(subkey) // K2, for a padded message
	}
	xor(last, subkey)

	state := make([]byte, aes.BlockSize)
	for i := 0; i < n; i += aes.BlockSize {
		xor(state, message[i:i+aes.BlockSize])
		block.Encrypt(state, state)
	}
	xor(state, last)
	block.Encrypt(state, state)
	return state
}

// double multiplies by x in GF(2^128), without a branch on the key (RFC 4493
// 2.3).
func double(b []byte) {
	var carry byte
	for i := len(b) - 1; i >= 0; i-- {
		next := b[i] >> 7
		b[i] = b[i]<<1 | carry
		carry = next
	}
	b[len(b)-1] ^= 0x87 & -carry
}
