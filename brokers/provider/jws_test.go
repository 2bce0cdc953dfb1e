package provider_test

import (
	"crypto"
	"encoding/json"
	"io"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/eidbridge/eidbridge/brokers/provider"
)

// Numbers of an ECDSA signature that are shorter than the curve keep their width
// (RFC 7518 3.4): of 600 one in 256 begins with a zero.
func TestSignaturesHaveTheWidthOfTheirKey(t *testing.T) {
	for algorithm, size := range map[jose.SignatureAlgorithm]int{jose.ES256: 64, jose.ES384: 96} {
		k := newClientKey(t, algorithm)
		keys, err := provider.NewKeys(provider.Key{Signer: k.key})
		if err != nil {
			t.Fatal(err)
		}
		for range 600 {
			token, err := provider.Sign(keys, algorithm, map[string]string{"sub": "somebody"}, time.Now())
			if err != nil {
				t.Fatal(err)
			}
			jws, err := jose.ParseSignedCompact(token, []jose.SignatureAlgorithm{algorithm})
			if err != nil {
				t.Fatal(err)
			}
			if n := len(jws.Signatures[0].Signature); n != size {
				t.Fatalf("%s: a signature of %d bytes", algorithm, n)
			}
			payload, err := jws.Verify(k.key.Public())
			if err != nil {
				t.Fatalf("%s: %v", algorithm, err)
			}
			var claims map[string]string
			if err := json.Unmarshal(payload, &claims); err != nil || claims["sub"] != "somebody" {
				t.Fatalf("%s: %s", algorithm, payload)
			}
			if h := jws.Signatures[0].Protected; h.Algorithm != string(algorithm) || h.KeyID == "" || h.ExtraHeaders["typ"] != "JWT" {
				t.Fatalf("header %+v", h)
			}
		}
	}
}

// strangeSigner says of itself to be a key, and signs something else.
type strangeSigner struct {
	crypto.Signer
	signature []byte
}

func (s strangeSigner) Sign(io.Reader, []byte, crypto.SignerOpts) ([]byte, error) {
	return s.signature, nil
}

func TestMalformedSignaturesAreNotSent(t *testing.T) {
	for name, signature := range map[string][]byte{
		"empty":            {},
		"fixed width":      make([]byte, 64),
		"one number":       {0x30, 3, 2, 1, 1},
		"three numbers":    {0x30, 9, 2, 1, 1, 2, 1, 1, 2, 1, 1},
		"a negative":       {0x30, 6, 2, 1, 0x80, 2, 1, 1},
		"text after it":    {0x30, 6, 2, 1, 1, 2, 1, 1, 0},
		"longer than P256": append(append([]byte{0x30, 38, 2, 33, 1}, make([]byte, 32)...), 2, 1, 1),
	} {
		keys, err := provider.NewKeys(provider.Key{Signer: strangeSigner{newClientKey(t, jose.ES256).key, signature}})
		if err != nil {
			t.Fatal(err)
		}
		if token, err := provider.Sign(keys, jose.ES256, map[string]string{}, time.Now()); err == nil {
			t.Errorf("%s: %s", name, token)
		}
	}
}
