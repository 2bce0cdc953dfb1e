package cardreader

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"math/big"
	"testing"
)

// guessableModulus is a modulus as the library of CVE-2017-15361 makes it: both
// primes are k·M + 65537^a mod M, M the product of small primes. It need not have
// prime factors for the test of its residues.
func guessableModulus(bits int) *big.Int {
	m := big.NewInt(1)
	for n := int64(2); n <= 701; n++ {
		if big.NewInt(n).ProbablyPrime(10) {
			m.Mul(m, big.NewInt(n))
		}
	}
	half := func(a int64) *big.Int {
		p := new(big.Int).Exp(big.NewInt(65537), big.NewInt(a), m)
		k := new(big.Int).Lsh(big.NewInt(1), uint(bits/2-m.BitLen()))
		return p.Add(p, k.Mul(k, m))
	}
	return new(big.Int).Mul(half(123456789), half(987654321))
}

// Threats C-30, C-36.
func TestWeakKeysAreNotAskedForSignatures(t *testing.T) {
	good, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	short, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	elliptical, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	exponent := func(e int) *rsa.PublicKey { return &rsa.PublicKey{N: good.N, E: e} }
	tests := []struct {
		name string
		key  any
		weak bool
	}{
		{"RSA-2048", &good.PublicKey, false},
		{"P-256", &elliptical.PublicKey, false},
		{"RSA-1024", &short.PublicKey, true},
		{"65,536 bits", &rsa.PublicKey{N: new(big.Int).Lsh(good.N, 63488), E: 65537}, true},
		{"exponent 1", exponent(1), true},
		{"exponent 3", exponent(3), true},
		{"even exponent", exponent(65538), true},
		{"C-36 guessable", &rsa.PublicKey{N: guessableModulus(2560), E: 65537}, true},
	}
	for _, test := range tests {
		if got := weakKey(test.key); got != test.weak {
			t.Errorf("%s: weak %v, want %v", test.name, got, test.weak)
		}
	}
}
