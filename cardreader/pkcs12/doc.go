// Package pkcs12 uses the keys of a file: PKCS #12 (RFC 7292) as certificate
// authorities such as the Spanish FNMT issue and browsers export them, and PEM
// for tests.
//
// Read are files protected by a password with an HMAC over SHA-1 or SHA-2,
// encrypted with PBES2 (AES or 3DES under PBKDF2, RFC 8018) or the older 3DES and
// RC2 schemes of RFC 7292 appendix C, in DER or BER. The decoder is the project's
// own for three reasons: the password stays a *pin.PIN, every iteration count is
// bounded before work begins, and files with several keys are read.
//
// Left out: integrity and privacy by public key, PBMAC1 (RFC 9579), nested safes,
// CRLs and secrets. The key is in this process's memory while the source is open:
// a card protects it better.
package pkcs12
