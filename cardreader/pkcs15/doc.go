// Package pkcs15 drives cards that say themselves what they hold: it reads the
// directory files of PKCS #15 v1.1 and ISO/IEC 7816-15 and uses keys with the
// commands of ISO/IEC 7816-4 and 7816-8.
//
// What the standard leaves to the card is taken from the card where it says so:
// the algorithm byte of MANAGE SECURITY ENVIRONMENT from TokenInfo, the form of a
// PIN from the authentication object. A card that needs more (secure messaging,
// its own order of commands) can be listed and will not sign.
//
// It reads certificates by path or in place, and signs with RSA (PKCS #1 v1.5)
// and ECDSA on the NIST and Brainpool curves. It changes PINs and unblocks them.
// It leaves out data objects, public and secret keys, decryption, biometric and
// external authentication, and PINs that the card wants encrypted.
package pkcs15
