package pkcs12

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/des"  //nolint:gosec // what the files use
	"crypto/sha1" //nolint:gosec // what the files use
	"crypto/sha256"
	"crypto/sha512"
	"encoding/asn1"
	"fmt"
	"hash"

	"golang.org/x/crypto/cryptobyte"
	cryptobyte_asn1 "golang.org/x/crypto/cryptobyte/asn1"
	"golang.org/x/crypto/pbkdf2"
)

// password is the entry in the two forms that the schemes want.
type password struct {
	utf8 []byte // PBES2
	bmp  []byte // UTF-16BE with two zero bytes at the end (RFC 7292 B.1)
	// work is what is left of maxWork.
	work int
}

func (p *password) wipe() {
	clear(p.utf8)
	clear(p.bmp)
}

// spend takes the iterations of one derivation from the bound.
func (p *password) spend(iterations int) error {
	if iterations < 1 || iterations > maxIterations || iterations > p.work {
		return fmt.Errorf("%w: too many iterations", ErrMalformed)
	}
	p.work -= iterations
	return nil
}

// Purposes of a derived key (RFC 7292 B.3).
const (
	purposeKey = 1
	purposeIV  = 2
	purposeMAC = 3
)

// derive is RFC 7292 B.2 for hashes whose block is block bytes.
func derive(newHash func() hash.Hash, password, salt []byte, iterations int, purpose byte, size int) []byte {
	h := newHash()
	block := h.BlockSize()
	diversifier := make([]byte, block)
	for i := range diversifier {
		diversifier[i] = purpose
	}
	state := append(repeated(salt, block), repeated(password, block)...)
	defer clear(state)
	var out []byte
	for {
		h.Reset()
		h.Write(diversifier)
		h.Write(state)
		a := h.Sum(nil)
		for range iterations - 1 {
			h.Reset()
			h.Write(a)
			a = h.Sum(a[:0])
		}
		out = append(out, a...)
		if len(out) >= size {
			return out[:size]
		}
		addOne(state, repeated(a, block)[:block])
	}
}

// repeated is s again and again up to a multiple of block bytes.
func repeated(s []byte, block int) []byte {
	if len(s) == 0 {
		return nil
	}
	out := make([]byte, (len(s)+block-1)/block*block)
	for i := range out {
		out[i] = s[i%len(s)]
	}
	return out
}

// addOne adds b + 1 to each block of state, as numbers modulo its size.
func addOne(state, b []byte) {
	for ; len(state) >= len(b); state = state[len(b):] {
		carry := 1
		for i := len(b) - 1; i >= 0; i-- {
			sum := int(state[i]) + int(b[i]) + carry
			state[i], carry = byte(sum), sum>>8
		}
	}
}

func hashes() map[string]func() hash.Hash {
	return map[string]func() hash.Hash{
		"1.3.14.3.2.26":          sha1.New,
		"2.16.840.1.101.3.4.2.1": sha256.New,
		"2.16.840.1.101.3.4.2.2": sha512.New384,
		"2.16.840.1.101.3.4.2.3": sha512.New,
		// HMAC with them, as PBKDF2's pseudo-random function (RFC 8018 B.1).
		"1.2.840.113549.2.7":  sha1.New,
		"1.2.840.113549.2.9":  sha256.New,
		"1.2.840.113549.2.10": sha512.New384,
		"1.2.840.113549.2.11": sha512.New,
	}
}

// readAlgorithm reads an AlgorithmIdentifier; parameters is empty when absent.
func readAlgorithm(s *cryptobyte.String) (oid string, parameters cryptobyte.String, ok bool) {
	var algorithm cryptobyte.String
	var id asn1.ObjectIdentifier
	if !s.ReadASN1(&algorithm, cryptobyte_asn1.SEQUENCE) || !algorithm.ReadASN1ObjectIdentifier(&id) {
		return "", nil, false
	}
	return id.String(), algorithm, true
}

// decrypt opens data encrypted under an algorithm of RFC 7292 appendix C or
// PBES2. The caller clears the result.
func (p *password) decrypt(oid string, parameters cryptobyte.String, data []byte) ([]byte, error) {
	var mode cipher.BlockMode
	var err error
	switch oid {
	case "1.2.840.113549.1.12.1.3": // pbeWithSHAAnd3-KeyTripleDES-CBC
		mode, err = p.older(parameters, 24, des.NewTripleDESCipher)
	case "1.2.840.113549.1.12.1.5": // pbeWithSHAAnd128BitRC2-CBC
		mode, err = p.older(parameters, 16, rc2Cipher)
	case "1.2.840.113549.1.12.1.6": // pbeWithSHAAnd40BitRC2-CBC
		mode, err = p.older(parameters, 5, rc2Cipher)
	case "1.2.840.113549.1.5.13":
		mode, err = p.pbes2(parameters)
	default:
		err = fmt.Errorf("%w: encryption %s", ErrUnsupported, oid)
	}
	if err != nil {
		return nil, err
	}
	size := mode.BlockSize()
	if len(data) == 0 || len(data)%size != 0 {
		return nil, fmt.Errorf("%w: encrypted data", ErrMalformed)
	}
	plain := make([]byte, len(data))
	mode.CryptBlocks(plain, data)
	padding := int(plain[len(plain)-1])
	if padding < 1 || padding > size {
		clear(plain)
		return nil, fmt.Errorf("%w: padding", ErrMalformed)
	}
	for _, b := range plain[len(plain)-padding:] {
		if int(b) != padding {
			clear(plain)
			return nil, fmt.Errorf("%w: padding", ErrMalformed)
		}
	}
	return plain[:len(plain)-padding], nil
}

func rc2Cipher(key []byte) (cipher.Block, error) { return newRC2(key), nil }

// older is the schemes of RFC 7292 appendix C, all with SHA-1.
func (p *password) older(parameters cryptobyte.String, keySize int, newCipher func([]byte) (cipher.Block, error)) (cipher.BlockMode, error) {
	var sequence, salt cryptobyte.String
	var iterations int
	if !parameters.ReadASN1(&sequence, cryptobyte_asn1.SEQUENCE) ||
		!sequence.ReadASN1(&salt, cryptobyte_asn1.OCTET_STRING) || len(salt) > maxSalt ||
		!sequence.ReadASN1Integer(&iterations) {
		return nil, fmt.Errorf("%w: parameters of the encryption", ErrMalformed)
	}
	if err := p.spend(iterations); err != nil {
		return nil, err
	}
	key := derive(sha1.New, p.bmp, salt, iterations, purposeKey, keySize)
	defer clear(key)
	block, err := newCipher(key)
	if err != nil {
		return nil, err
	}
	return cipher.NewCBCDecrypter(block, derive(sha1.New, p.bmp, salt, iterations, purposeIV, block.BlockSize())), nil
}

// pbes2 is RFC 8018 6.2 with PBKDF2 and a CBC cipher.
func (p *password) pbes2(parameters cryptobyte.String) (cipher.BlockMode, error) {
	malformed := fmt.Errorf("%w: parameters of PBES2", ErrMalformed)
	var sequence cryptobyte.String
	if !parameters.ReadASN1(&sequence, cryptobyte_asn1.SEQUENCE) {
		return nil, malformed
	}
	kdf, kdfParameters, ok := readAlgorithm(&sequence)
	if !ok {
		return nil, malformed
	}
	if kdf != "1.2.840.113549.1.5.12" {
		return nil, fmt.Errorf("%w: key derivation %s", ErrUnsupported, kdf)
	}
	scheme, schemeParameters, ok := readAlgorithm(&sequence)
	if !ok {
		return nil, malformed
	}
	keySize, newCipher := 0, aes.NewCipher
	switch scheme {
	case "2.16.840.1.101.3.4.1.2":
		keySize = 16
	case "2.16.840.1.101.3.4.1.22":
		keySize = 24
	case "2.16.840.1.101.3.4.1.42":
		keySize = 32
	case "1.2.840.113549.3.7":
		keySize, newCipher = 24, des.NewTripleDESCipher
	default:
		return nil, fmt.Errorf("%w: encryption %s", ErrUnsupported, scheme)
	}
	key, err := p.pbkdf2(kdfParameters, keySize)
	if err != nil {
		return nil, err
	}
	defer clear(key)
	block, err := newCipher(key)
	if err != nil {
		return nil, err
	}
	var iv cryptobyte.String
	if !schemeParameters.ReadASN1(&iv, cryptobyte_asn1.OCTET_STRING) || len(iv) != block.BlockSize() {
		return nil, malformed
	}
	return cipher.NewCBCDecrypter(block, iv), nil
}

// pbkdf2 reads PBKDF2-params (RFC 8018 A.2) and derives.
func (p *password) pbkdf2(parameters cryptobyte.String, keySize int) ([]byte, error) {
	var sequence, salt cryptobyte.String
	var iterations, length int
	if !parameters.ReadASN1(&sequence, cryptobyte_asn1.SEQUENCE) ||
		!sequence.ReadASN1(&salt, cryptobyte_asn1.OCTET_STRING) || len(salt) > maxSalt ||
		!sequence.ReadASN1Integer(&iterations) {
		return nil, fmt.Errorf("%w: parameters of PBKDF2", ErrMalformed)
	}
	if sequence.PeekASN1Tag(cryptobyte_asn1.INTEGER) && (!sequence.ReadASN1Integer(&length) || length != keySize) {
		return nil, fmt.Errorf("%w: key length of PBKDF2", ErrMalformed)
	}
	function := sha1.New
	if !sequence.Empty() {
		oid, _, ok := readAlgorithm(&sequence)
		if !ok {
			return nil, fmt.Errorf("%w: parameters of PBKDF2", ErrMalformed)
		}
		if function, ok = hashes()[oid]; !ok {
			return nil, fmt.Errorf("%w: hash %s", ErrUnsupported, oid)
		}
	}
	if err := p.spend(iterations); err != nil {
		return nil, err
	}
	return pbkdf2.Key(p.utf8, salt, iterations, keySize, function), nil
}
