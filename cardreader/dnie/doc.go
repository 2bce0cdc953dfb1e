// Package dnie drives the Spanish identity card: DNIe 3.0 and 4.0 over contact
// and over radio, and the older 1.x and 2.0, which differ in parameters.
//
// Everything that carries a PIN or a signature travels inside the card's secure
// channel (CWA 14890-1, package cwa14890), and the channel opens only for a chip
// that proved itself: root, file 6020, file 601F, then the chip's own signature
// over a challenge. A chip that does not is cardreader.ErrCardUntrusted and sees
// no PIN. Over radio the whole runs after PACE with the number printed on the
// card (package pace).
//
//	read IDESP, directories, certificates      plain, or under PACE
//	serial number, 6020, 601F, handshake       PIN channel
//	tries left, VERIFY                         in it
//	handshake again with the other terminal    user channel, keys replaced
//	MSE SET, PSO COMPUTE DIGITAL SIGNATURE     in it
//
// DNIe 1.x and 2.0 have the second handshake's channel alone.
//
// The Driver is a cardreader.Binder. What it returns remembers the chip that was
// proved, so that the signature after a search reads no file again: the handshake
// shows that the chip is the same.
//
// The card's layout and commands are those that two open drivers agree on
// (OpenSC card-dnie.c and cwa-dnie.c, jmulticard card/dnie) together with ISO/IEC
// 7816-4, -8 and 7816-15 (PKCS #15). No part of it was tried on a real card.
//
// Left out: the ICAO data groups, unblocking, which is done at the kiosks of the
// police alone, decryption, the raw RSA command, and the certificates of the
// first cards (1.0), which are readable after a PIN only.
package dnie
