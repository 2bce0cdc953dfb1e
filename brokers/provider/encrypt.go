package provider

import (
	"context"
	"crypto/ecdsa"
	"crypto/rsa"
	"errors"
	"fmt"
	"slices"

	"github.com/go-jose/go-jose/v4"
)

// Encryption is how something is encrypted for a client. The zero value is not
// at all.
type Encryption struct {
	// Key is the algorithm for the key: RSA-OAEP-256, RSA-OAEP, ECDH-ES or
	// ECDH-ES+A256KW.
	Key jose.KeyAlgorithm
	// Content is the algorithm for the content, default A256GCM; A128CBC-HS256 is
	// for old clients.
	Content jose.ContentEncryption
}

func keyAlgorithms() []jose.KeyAlgorithm {
	return []jose.KeyAlgorithm{jose.RSA_OAEP_256, jose.ECDH_ES, jose.ECDH_ES_A256KW, jose.RSA_OAEP}
}

func contentAlgorithms() []jose.ContentEncryption {
	return []jose.ContentEncryption{jose.A256GCM, jose.A128CBC_HS256}
}

func (e Encryption) check(c *Client) error {
	switch {
	case e == Encryption{}:
		return nil
	case !slices.Contains(keyAlgorithms(), e.Key):
		return fmt.Errorf("unknown key encryption %q", e.Key)
	case e.Content != "" && !slices.Contains(contentAlgorithms(), e.Content):
		return fmt.Errorf("unknown content encryption %q", e.Content)
	}
	if c.JWKSURI != "" {
		return nil // they may change at any time
	}
	_, err := e.recipient(c)
	return err
}

// recipient is the client's first key that fits.
func (e Encryption) recipient(c *Client) (jose.JSONWebKey, error) {
	rsaKey := e.Key == jose.RSA_OAEP || e.Key == jose.RSA_OAEP_256
	for _, key := range c.Keys {
		_, isRSA := key.Key.(*rsa.PublicKey)
		_, isEC := key.Key.(*ecdsa.PublicKey)
		if key.Use != "sig" && (rsaKey && isRSA || !rsaKey && isEC) {
			return key, nil
		}
	}
	return jose.JSONWebKey{}, errors.New("the client has no key for its encryption")
}

// seal encrypts what was made for a client, if it wants that. What is inside is
// a signed JWT (RFC 7519 5.2) or plain JSON.
func (p *Provider) seal(ctx context.Context, c *Client, e Encryption, inside string, isJWT bool) (string, error) {
	if e == (Encryption{}) {
		return inside, nil
	}
	key, err := e.recipient(p.withKeys(ctx, c))
	if err != nil {
		return "", err
	}
	content := e.Content
	if content == "" {
		content = jose.A256GCM
	}
	options := (&jose.EncrypterOptions{}).WithType(typeJWT)
	if isJWT {
		options = options.WithContentType("JWT")
	}
	encrypter, err := jose.NewEncrypter(content, jose.Recipient{Algorithm: e.Key, Key: key.Key, KeyID: key.KeyID}, options)
	if err != nil {
		return "", fmt.Errorf("encrypting: %w", err)
	}
	jwe, err := encrypter.Encrypt([]byte(inside))
	if err != nil {
		return "", fmt.Errorf("encrypting: %w", err)
	}
	return jwe.CompactSerialize()
}
