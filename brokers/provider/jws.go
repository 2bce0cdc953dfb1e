package provider

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"errors"
	"fmt"

	"github.com/go-jose/go-jose/v4"
	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"
)

// jwsHeader is the protected header of all tokens of a type by a key, as it stands
// in front of them: a token is one signature then, and nothing else that costs. No
// value has a character that JSON escapes.
func jwsHeader(algorithm jose.SignatureAlgorithm, key, kind string) string {
	header := fmt.Sprintf(`{"alg":%q,"kid":%q,"typ":%q}`, algorithm, key, kind)
	return base64.RawURLEncoding.EncodeToString([]byte(header)) + "."
}

// compact is the compact serialization (RFC 7515 3.1) of a payload of a type, signed
// by whatever holds the key.
func (k *readyKey) compact(kind string, payload []byte) (string, error) {
	header, ok := k.headers[kind]
	if !ok {
		return "", fmt.Errorf("no token is a %s", kind)
	}
	const usual = 1 + 86 // a point and a signature of 64 bytes
	text := make([]byte, 0, len(header)+base64.RawURLEncoding.EncodedLen(len(payload))+usual)
	text = base64.RawURLEncoding.AppendEncode(append(text, header...), payload)
	signature, err := k.sign(text)
	if err != nil {
		return "", err
	}
	return string(base64.RawURLEncoding.AppendEncode(append(text, '.'), signature)), nil
}

// sign makes a signature value as RFC 7518 3 and RFC 8037 3.1 want it.
func (k *readyKey) sign(text []byte) ([]byte, error) {
	hash := crypto.SHA256
	var options crypto.SignerOpts = hash
	switch k.Algorithm {
	case jose.EdDSA: // hashes by itself
		return k.Signer.Sign(rand.Reader, text, crypto.Hash(0))
	case jose.ES384:
		hash = crypto.SHA384
		options = hash
	case jose.PS256:
		options = &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash, Hash: hash}
	default:
	}
	h := hash.New()
	h.Write(text)
	signature, err := k.Signer.Sign(rand.Reader, h.Sum(nil), options)
	if public, ok := k.Public.(*ecdsa.PublicKey); ok && err == nil {
		return fixedWidth(signature, (public.Params().BitSize+7)/8)
	}
	return signature, err
}

// fixedWidth turns the two numbers of an ECDSA signature from DER, as crypto.Signer
// gives them, into octets of the curve's size (RFC 7518 3.4).
func fixedWidth(der []byte, size int) ([]byte, error) {
	input, sequence := cryptobyte.String(der), cryptobyte.String{}
	var r, s []byte
	if !input.ReadASN1(&sequence, asn1.SEQUENCE) || !input.Empty() || !sequence.ReadASN1Integer(&r) || !sequence.ReadASN1Integer(&s) ||
		!sequence.Empty() || len(r) > size || len(s) > size {
		return nil, errors.New("the signer's ECDSA signature is malformed")
	}
	out := make([]byte, 2*size)
	copy(out[size-len(r):], r)
	copy(out[2*size-len(s):], s)
	return out, nil
}
