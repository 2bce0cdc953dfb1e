// Package pace opens a contactless card with a short password that is printed on
// it: Password Authenticated Connection Establishment (ICAO Doc 9303-11 clause
// 4.4, BSI TR-03110) with generic mapping over elliptic curves. The result is a
// channel with AES secure messaging; who does not know the password learns
// nothing from listening and has one guess for each run.
//
//	ParseCardAccess(EF.CardAccess) → Choose      what the card offers, or DNIe()
//	CAN(pin) or MRZ(document, birth, expiry)     the password
//	Establish(ctx, transport, …)                 *securemessaging.Channel
//
// Curves are P-256, brainpoolP256r1 and brainpoolP384r1; ciphers AES-128, -192
// and -256 with CMAC. That covers the DNIe and what current passports and
// identity cards offer.
//
// The curve arithmetic is small and our own. Generic mapping adds and multiplies
// points on three curves, of which crypto/elliptic knows one, crypto/ecdh offers
// no addition, and the Go libraries for Brainpool curves compute with math/big.
// The mapping point depends on the password, so the time it takes must not:
// addition follows complete formulas without special cases, over
// filippo.io/bigmod (BSD; the constant-time arithmetic of the standard library).
//
// Left out: integrated and chip authentication mapping, Diffie-Hellman without
// curves, 3DES, PACE with a PIN or PUK, and reading files.
package pace
