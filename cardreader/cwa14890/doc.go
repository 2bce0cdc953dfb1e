// Package cwa14890 opens the secure channel of cards that follow CWA 14890-1
// clause 8: device authentication with RSA-1024 and SHA-1, in which chip and
// terminal prove their keys to each other and agree on 3DES session keys. The
// Spanish DNIe is the card that uses it.
//
// The way to a channel, each step only reachable through the one before:
//
//	ParseKeySets / PublishedKeySets   the terminal's keys, checked on reading
//	KeySet.Terminal(role)             the key of one channel
//	Trust.VerifyChip(6020, 601F)      the chip's key, from a verified chain
//	Establish(ctx, transport, …)      *securemessaging.Channel
//
// The channel proves the card to the terminal. It does not prove the terminal to
// the card: the private keys of the DNIe's terminals are published with the open
// drivers. That is also why the terminal's random numbers carry the secrecy of
// the PIN alone.
//
// PublishedKeySets holds what those drivers publish, private exponents included:
// constants of the protocol that identify nobody. ParseKeySets reads the same
// form from another source, such as a laboratory's root.
//
// RSA is computed with filippo.io/bigmod (BSD; the arithmetic of crypto/rsa),
// since the standard library offers neither ISO/IEC 9796-2 signatures nor the
// bare operation, and math/big is not constant time.
//
// Left out: reading the chip's files and serial number, and the choice between
// PIN and user channel, which are the driver's; the elliptic-curve variants of
// EN 419 212.
package cwa14890
