// Package cms builds and reads the SignedData of the Cryptographic Message
// Syntax (RFC 5652) as CAdES and PAdES baselines use it: one signer, detached
// content, signed attributes bound to the signing certificate (RFC 5035) and to
// the algorithms (RFC 6211).
//
// Building has two phases, so that the key can be elsewhere. A Template yields
// the signed attributes, whose digest is signed, then assembles the message
// around the value; its size is known beforehand.
//
// Parse is strict DER, with indefinite lengths allowed in ContentInfo,
// SignedData and its direct fields because some signers stream those. Everything received keeps its
// bytes: Append writes a parsed message as it was, and a signature is verified
// over the attributes as received. The signer is the certificate that the
// signing-certificate attribute and the signer identifier name, never the one
// in some position of the set, which is unordered and unsigned.
//
// Left out: certificate paths, revocation, time-stamps (kept as unsigned
// attributes), countersignatures, encapsulating signatures on the writing side,
// Brainpool curves on the writing side, and Ed448 on the reading side, which the
// standard library cannot verify.
package cms
