// Package hsm signs with keys that never leave a hardware security module, reached
// through a PKCS #11 module (OASIS PKCS #11 Cryptographic Token Interface 2.40).
//
// A module is foreign code that needs cgo and has the rights of its process, and may
// crash or hang. It therefore lives in a program of its own (cmd/eidhsm), which the
// broker starts and talks to over two pipes:
//
//	Token ── starts eidhsm, names module, token and keys ──> host.Serve: one login,
//	  <── public keys, then signatures, several at once ──┘   some sessions
//
// The program reads the PIN itself, so the broker never holds it. If the program
// ends, a signature is late, or the token is gone, the program is ended and another
// one is started until the same keys are back; signatures wait a while for that.
// A PIN that was refused is never tried again.
//
// Left out: making keys (the maker's tools do that), keys that want the PIN for
// each signature, and decryption.
package hsm
