// Package weakkey tells public keys whose private half can be computed, although
// their length says otherwise.
//
// It knows one family: RSA keys of the library of CVE-2017-15361, which made the
// keys of many identity cards until 2017. It is a leaf and does no more than
// arithmetic.
package weakkey

import (
	"crypto"
	"crypto/rsa"
	"math/big"
)

// primes are those whose residues are looked at.
func primes() []int64 {
	return []int64{
		3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41, 43, 47, 53, 59, 61, 67, 71, 73, 79, 83, 89, 97, 101, 103, 107,
		109, 113, 127, 131, 137, 139, 149, 151, 157, 163, 167,
	}
}

// Guessable reports whether a key carries the fingerprint of CVE-2017-15361
// (Nemec and others, "The Return of Coppersmith's Attack", ACM CCS 2017, section
// 2): primes of the form k·M + 65537^a mod M make a modulus that is a power of
// 65537 modulo every small prime. Another key does so by chance once in about
// 2^27. Keys that are no RSA keys are never guessable.
func Guessable(key crypto.PublicKey) bool {
	k, ok := key.(*rsa.PublicKey)
	if !ok {
		return false
	}
	var rest, modulus big.Int
	for _, prime := range primes() {
		want := rest.Mod(k.N, modulus.SetInt64(prime)).Int64()
		power, found := int64(1), false
		for range prime {
			found = found || power == want
			power = power * 65537 % prime
		}
		if !found {
			return false
		}
	}
	return true
}
