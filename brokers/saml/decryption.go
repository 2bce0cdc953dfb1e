package saml

import (
	"crypto"
	"crypto/aes"
	"crypto/cipher"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"errors"
	"fmt"
	"io"

	josecipher "github.com/go-jose/go-jose/v4/cipher"
)

// Decryption opens what an identity provider encrypted for us: AES-GCM under
// RSA-OAEP or under ECDH-ES with ConcatKDF and AES key wrap (XML Encryption 1.1).
// RSA 1.5 is never accepted. The zero value opens nothing.
type Decryption struct {
	// Keys are ours, the one in force first. Keep the previous one beside it for
	// as long as identity providers may still have the old metadata; at most 4.
	Keys []DecryptionKey
	// Recipient is our entity identifier. Keys that name another one are passed
	// over.
	Recipient string
	// Required refuses assertions in the clear.
	Required bool
	// CBC allows AES-CBC, but only where a verified signature covers the cipher
	// text: CBC tells an attacker too much about texts that he may change
	// (threat X-71).
	CBC bool
}

// DecryptionKey is a private key, which may be in an HSM.
type DecryptionKey struct {
	// Certificate has the public half and goes into our metadata.
	Certificate *x509.Certificate

	decrypter crypto.Decrypter
	exchanger ecdh.KeyExchanger
}

// NewDecryptionKey takes an RSA key of 2048 bits or more (a crypto.Decrypter), or
// an ECDH key on P-256, P-384 or P-521 (*ecdsa.PrivateKey or ecdh.KeyExchanger),
// with its certificate.
func NewDecryptionKey(key crypto.PrivateKey, certificate *x509.Certificate) (DecryptionKey, error) {
	if certificate == nil {
		return DecryptionKey{}, errors.New("decryption key without certificate")
	}
	if elliptic, ok := key.(*ecdsa.PrivateKey); ok {
		exchanger, err := elliptic.ECDH()
		if err != nil {
			return DecryptionKey{}, fmt.Errorf("decryption key: %w", err)
		}
		key = exchanger
	}
	k := DecryptionKey{Certificate: certificate}
	var ours bool
	switch key := key.(type) {
	case ecdh.KeyExchanger:
		k.exchanger = key
		if public, ok := certificate.PublicKey.(*ecdsa.PublicKey); ok {
			other, err := public.ECDH()
			ours = err == nil && key.PublicKey().Equal(other)
		}
	case crypto.Decrypter:
		k.decrypter = key
		public, ok := key.Public().(*rsa.PublicKey)
		if !ok || public.N.BitLen() < minRSABits {
			return DecryptionKey{}, errors.New("decryption key is not an RSA key of 2048 bits or more")
		}
		ours = public.Equal(certificate.PublicKey)
	default:
		return DecryptionKey{}, errors.New("decryption key is neither RSA nor elliptic")
	}
	if !ours {
		return DecryptionKey{}, errors.New("certificate is not of the decryption key")
	}
	return k, nil
}

// errDecryption is the one outcome of everything that fails after a key was
// used (threats 0.4, X-71).
func errDecryption() error { return reject(ReasonDecryption, "cannot be decrypted") }

// open decrypts. covered says that a verified signature is over the cipher text.
func (d *Decryption) open(s *sealed, covered bool) ([]byte, error) {
	if s.method.cbc && (!d.CBC || !covered) {
		return nil, encryptionForm("content encryption is not authenticated")
	}
	for _, sent := range s.keys {
		if sent.recipient != "" && d.Recipient != "" && sent.recipient != d.Recipient {
			continue
		}
		for _, key := range d.candidates(sent) {
			if plaintext, ok := s.try(sent, key); ok {
				return plaintext, nil
			}
		}
	}
	return nil, errDecryption()
}

// candidates are the keys of the kind that was used: the one that is named, or
// else all.
func (d *Decryption) candidates(sent sealedKey) []DecryptionKey {
	var fitting []DecryptionKey
	for _, k := range d.Keys {
		if (sent.agreement != nil) != (k.exchanger != nil) {
			continue
		}
		if sent.keyName != "" && sent.keyName == keyName(k.Certificate) {
			return []DecryptionKey{k}
		}
		fitting = append(fitting, k)
	}
	return fitting
}

// try goes the whole way whether the key opens or not, so that the two failures
// take the same time.
func (s *sealed) try(sent sealedKey, key DecryptionKey) ([]byte, bool) {
	content, err := sent.unwrap(key, s.method.size)
	opened := err == nil && len(content) == s.method.size
	if !opened {
		content = make([]byte, s.method.size)
	}
	plaintext, err := s.method.decrypt(content, s.ciphertext)
	return plaintext, opened && err == nil
}

// unwrap returns the content key, of size bytes if all is well.
func (k *sealedKey) unwrap(key DecryptionKey, size int) ([]byte, error) {
	if k.agreement == nil {
		return key.decrypter.Decrypt(rand.Reader, k.ciphertext, &rsa.OAEPOptions{Hash: k.digest, MGFHash: k.mask, Label: k.label})
	}
	if k.agreement.originator.Curve() != key.exchanger.Curve() || len(k.ciphertext) != size+8 {
		return nil, errDecryption()
	}
	shared, err := key.exchanger.ECDH(k.agreement.originator)
	if err != nil {
		return nil, err
	}
	wrapping := make([]byte, k.wrapSize)
	if _, err := io.ReadFull(josecipher.NewConcatKDF(k.agreement.hash, shared, k.agreement.info, nil, nil, nil, nil), wrapping); err != nil {
		return nil, err
	}
	block, err := aes.NewCipher(wrapping)
	if err != nil {
		return nil, err
	}
	return josecipher.KeyUnwrap(block, k.ciphertext)
}

// decrypt opens a cipher text: the initialization vector stands in front, the
// tag of GCM at the end.
func (m cipherMethod) decrypt(key, ciphertext []byte) ([]byte, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	if m.cbc {
		return decryptCBC(block, ciphertext)
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		return nil, err
	}
	if len(ciphertext) < aead.NonceSize()+aead.Overhead() {
		return nil, errDecryption()
	}
	return aead.Open(nil, ciphertext[:aead.NonceSize()], ciphertext[aead.NonceSize():], nil)
}

// decryptCBC takes the padding off of which only the last byte is defined (XML
// Encryption 1.1 section 5.2.1).
func decryptCBC(block cipher.Block, ciphertext []byte) ([]byte, error) {
	if len(ciphertext) < 2*aes.BlockSize || len(ciphertext)%aes.BlockSize != 0 {
		return nil, errDecryption()
	}
	plaintext := make([]byte, len(ciphertext)-aes.BlockSize)
	cipher.NewCBCDecrypter(block, ciphertext[:aes.BlockSize]).CryptBlocks(plaintext, ciphertext[aes.BlockSize:])
	padding := int(plaintext[len(plaintext)-1])
	if padding < 1 || padding > aes.BlockSize {
		return nil, errDecryption()
	}
	return plaintext[:len(plaintext)-padding], nil
}

// decrypted opens an EncryptedAssertion or EncryptedID and parses what is in it,
// which has to be one element of a name. The namespaces of context hold inside
// (XML Encryption 1.1 section 4.4).
func (j *judgement) decrypted(e, context *element, covered bool, local string) (*element, error) {
	if len(j.Decryption.Keys) == 0 {
		return nil, reject(ReasonEncryption, "no key to decrypt with")
	}
	s, err := readSealed(e)
	if err != nil {
		return nil, err
	}
	plaintext, err := j.Decryption.open(s, covered || j.Lenient.CBC)
	if err != nil {
		return nil, err
	}
	inner, err := j.parser(j.Limits).parseInside(plaintext, context.inScope())
	if err != nil || !inner.is(assertionNS, local) {
		return nil, errDecryption()
	}
	return inner, checkShape(inner, j.Lenient)
}
