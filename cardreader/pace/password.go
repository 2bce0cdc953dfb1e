package pace

import (
	"crypto/sha1" //nolint:gosec // fixed by ICAO Doc 9303-11 9.7.1 for AES-128
	"crypto/sha256"
	"fmt"
	"strings"

	"github.com/eidbridge/eidbridge/cardreader"
	"github.com/eidbridge/eidbridge/cardreader/pin"
)

// Passwords as a card numbers them (ICAO Doc 9303-11 4.4.4.1, tag 83).
const (
	referenceMRZ = 0x01
	referenceCAN = 0x02
)

// Counters of the key derivation (ICAO Doc 9303-11 9.7.1).
const (
	derivesEncryption = 1
	derivesMAC        = 2
	derivesPassword   = 3
)

// Password is what person and card both know.
type Password struct {
	name      string
	reference byte
	secret    *pin.PIN
}

// CAN is the card access number, six digits printed on the front. p stays the
// caller's and has to live until Establish returns. A number of another form is a
// *cardreader.PINError with PINFormat: no try is wasted on it.
func CAN(p *pin.PIN) (*Password, error) {
	const name = "CAN"
	if err := (pin.Rule{Min: 6, Max: 6, Class: pin.Digits}).Check(p); err != nil {
		return nil, &cardreader.PINError{Reason: cardreader.PINFormat, PIN: name, TriesLeft: -1}
	}
	return &Password{name: name, reference: referenceCAN, secret: p}, nil
}

// MRZ is the password from the machine readable zone: document number (at most
// nine characters), dates of birth and expiry (YYMMDD), all as printed, without
// check digits. The caller wipes the password. Wrong characters are a
// *cardreader.PINError with PINFormat.
func MRZ(document, birth, expiry string) (*Password, error) {
	const name = "MRZ"
	refused := &cardreader.PINError{Reason: cardreader.PINFormat, PIN: name, TriesLeft: -1}
	const documentSize, dateSize = 9, 6
	if len(document) == 0 || len(document) > documentSize || len(birth) != dateSize || len(expiry) != dateSize {
		return nil, refused
	}
	document += strings.Repeat("<", documentSize-len(document))
	var information []byte
	for _, text := range []string{document, birth, expiry} {
		digit, ok := checkDigit(text)
		if !ok {
			return nil, refused
		}
		information = append(append(information, text...), digit)
	}
	defer clear(information)
	seed := sha1.Sum(information) //nolint:gosec // ICAO Doc 9303-11 9.7.3
	secret, err := pin.New(seed[:])
	if err != nil {
		return nil, fmt.Errorf("memory for the password: %w", err)
	}
	return &Password{name: name, reference: referenceMRZ, secret: secret}, nil
}

// checkDigit weighs the characters 7, 3, 1 (ICAO Doc 9303-3 4.9).
func checkDigit(text string) (digit byte, ok bool) {
	sum := 0
	for i := range len(text) {
		c, value := text[i], 0
		switch {
		case c >= '0' && c <= '9':
			value = int(c - '0')
		case c >= 'A' && c <= 'Z':
			value = int(c-'A') + 10
		case c != '<':
			return 0, false
		}
		sum += value * []int{7, 3, 1}[i%3]
	}
	return byte('0' + sum%10), true
}

// Wipe overwrites the password. One made by CAN is the caller's PIN.
func (p *Password) Wipe() { p.secret.Wipe() }

// key is Kπ, with which the card encrypts its nonce.
func (p *Password) key(size int) (key []byte, err error) {
	err = p.secret.Use(func(secret []byte) error {
		key = derive(secret, derivesPassword, size)
		return nil
	})
	return key, err
}

// derive is the key derivation function: SHA-1 for keys of 16 bytes, SHA-256 for
// longer ones, over the secret and a counter (ICAO Doc 9303-11 9.7.1).
func derive(secret []byte, counter byte, size int) []byte {
	input := append(append(make([]byte, 0, len(secret)+4), secret...), 0, 0, 0, counter)
	defer clear(input)
	if size <= 16 {
		sum := sha1.Sum(input) //nolint:gosec // as above
		return sum[:size]
	}
	sum := sha256.Sum256(input)
	return sum[:size]
}
