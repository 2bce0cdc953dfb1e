// Package weakkeytest makes keys with the fingerprint of CVE-2017-15361, for tests
// of those who must refuse them.
package weakkeytest

import (
	"crypto/rand"
	"crypto/rsa"
	"io"
	"math/big"
)

// Key makes an RSA key of 2048 bits whose primes are k·M + 65537^a mod M, M the
// product of the primes up to 701 (the paper's 2048-bit M). It signs.
func Key(random io.Reader) (*rsa.PrivateKey, error) {
	m := big.NewInt(1)
	for n := int64(2); n <= 701; n++ {
		if prime := big.NewInt(n); prime.ProbablyPrime(10) {
			m.Mul(m, prime)
		}
	}
	one, e := big.NewInt(1), big.NewInt(65537)
	for {
		p, err := prime(random, m)
		if err != nil {
			return nil, err
		}
		q, err := prime(random, m)
		if err != nil {
			return nil, err
		}
		n := new(big.Int).Mul(p, q)
		phi := new(big.Int).Mul(new(big.Int).Sub(p, one), new(big.Int).Sub(q, one))
		d := new(big.Int).ModInverse(e, phi)
		if n.BitLen() != 2048 || d == nil || p.Cmp(q) == 0 {
			continue
		}
		key := &rsa.PrivateKey{PublicKey: rsa.PublicKey{N: n, E: 65537}, D: d, Primes: []*big.Int{p, q}}
		key.Precompute()
		return key, nil
	}
}

// prime searches a prime of 1024 bits of the form.
func prime(random io.Reader, m *big.Int) (*big.Int, error) {
	e := big.NewInt(65537)
	least := new(big.Int).Lsh(big.NewInt(3), 1022) // so that the product has 2048 bits
	low := new(big.Int).Div(least, m)
	span := new(big.Int).Sub(new(big.Int).Div(new(big.Int).Lsh(big.NewInt(1), 1024), m), low)
	for {
		a, err := rand.Int(random, m)
		if err != nil {
			return nil, err
		}
		k, err := rand.Int(random, span)
		if err != nil {
			return nil, err
		}
		p := new(big.Int).Exp(e, a, m)
		p.Add(p, k.Add(k, low).Mul(k, m))
		if p.BitLen() == 1024 && p.ProbablyPrime(20) {
			return p, nil
		}
	}
}
