package weakkey_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"math/big"
	"testing"

	"github.com/eidbridge/eidbridge/signing/weakkey"
	"github.com/eidbridge/eidbridge/signing/weakkey/weakkeytest"
)

// C-36: the fingerprint is found, also with its exponents at random, and never in
// keys that are made well.
func TestGuessable(t *testing.T) {
	elliptical, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	keys := map[string]struct {
		key  crypto.PublicKey
		want bool
	}{"P-256": {&elliptical.PublicKey, false}, "none": {nil, false}}
	for _, bits := range []int{2048, 3072} {
		key, err := rsa.GenerateKey(rand.Reader, bits)
		if err != nil {
			t.Fatal(err)
		}
		keys["RSA"+big.NewInt(int64(bits)).String()] = struct {
			key  crypto.PublicKey
			want bool
		}{&key.PublicKey, false}
	}
	guessable, err := weakkeytest.Key(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	if err := guessable.Validate(); err != nil {
		t.Fatal(err)
	}
	keys["guessable"] = struct {
		key  crypto.PublicKey
		want bool
	}{&guessable.PublicKey, true}
	for name, c := range keys {
		if got := weakkey.Guessable(c.key); got != c.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}
