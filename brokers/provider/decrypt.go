package provider

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/rsa"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"

	"github.com/go-jose/go-jose/v4"
)

// decryptionKey is a key for what clients encrypt for us.
type decryptionKey struct {
	private crypto.PrivateKey
	public  jose.JSONWebKey
	// algorithms are those of its kind.
	algorithms []jose.KeyAlgorithm
}

// decryptionKeys completes the keys of the configuration with IDs (RFC 7638).
func decryptionKeys(private []crypto.PrivateKey) ([]decryptionKey, error) {
	var keys []decryptionKey
	for _, p := range private {
		key := decryptionKey{private: p}
		switch p := p.(type) {
		case *rsa.PrivateKey:
			key.public.Key, key.algorithms = &p.PublicKey, []jose.KeyAlgorithm{jose.RSA_OAEP_256, jose.RSA_OAEP}
		case *ecdsa.PrivateKey:
			key.public.Key, key.algorithms = &p.PublicKey, []jose.KeyAlgorithm{jose.ECDH_ES, jose.ECDH_ES_A256KW}
		default:
			return nil, fmt.Errorf("provider: a decryption key is RSA or EC, not %T", p)
		}
		if !strongEnough(&key.public) {
			return nil, errors.New("provider: a decryption key is too small")
		}
		print, err := key.public.Thumbprint(crypto.SHA256)
		if err != nil {
			return nil, fmt.Errorf("provider: decryption key: %w", err)
		}
		key.public.KeyID, key.public.Use = base64.RawURLEncoding.EncodeToString(print), "enc"
		keys = append(keys, key)
	}
	return keys, nil
}

// decryptionAlgorithms are those of all keys.
func (p *Provider) decryptionAlgorithms() []jose.KeyAlgorithm {
	var list []jose.KeyAlgorithm
	for _, a := range keyAlgorithms() {
		for _, key := range p.decryption {
			for _, of := range key.algorithms {
				if of == a && (len(list) == 0 || list[len(list)-1] != a) {
					list = append(list, a)
				}
			}
		}
	}
	return list
}

// opened takes a request object out of its encryption, if it has one (RFC 9101 6.1):
// signed first, then encrypted. What is inside still has to be signed.
func (p *Provider) opened(text string) (string, error) {
	if len(p.decryption) == 0 || len(text) > maxJWT || strings.Count(text, ".") != 4 {
		return text, nil
	}
	jwe, err := jose.ParseEncryptedCompact(text, p.decryptionAlgorithms(), contentAlgorithms())
	if err != nil {
		return "", errors.New("JWE is malformed or of another algorithm")
	}
	if _, compressed := jwe.Header.ExtraHeaders["zip"]; compressed {
		return "", errors.New("JWE is compressed")
	}
	for _, key := range p.decryption {
		if jwe.Header.KeyID != "" && jwe.Header.KeyID != key.public.KeyID {
			continue
		}
		if inside, err := jwe.Decrypt(key.private); err == nil {
			return string(inside), nil
		}
	}
	return "", errors.New("JWE is for none of our keys")
}
