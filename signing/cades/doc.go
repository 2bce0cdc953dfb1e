// Package cades signs any file at the CAdES baseline levels B-B, B-T, B-LT and
// B-LTA (EN 319 122-1, RFC 5652), with the content inside the message or beside
// it, adds signers and countersignatures, raises levels, and verifies.
//
// Signing has three steps, as in the other formats. Prepare reads the content
// once and yields a Plan with the digest of the signed attributes. The key signs
// that digest, once. Complete writes the message, with the content inside copied
// as a stream: memory does not grow with it, and the length is known beforehand,
// so that the output is DER. Sign joins the three.
//
// Levels are raised on the message without its content: a signature-time-stamp,
// validation data in certificates and crls, and an archive-time-stamp-v3 with
// its ats-hash-index-v3. Earlier signers keep every byte; sets are kept in DER
// order.
//
// Verify takes the signer from the signing-certificate attribute, judges
// time-stamps from the newest to the oldest, and counts countersignatures as
// signatures. Archive time-stamps of version 2 are judged too, and prove times, but
// make no level of today; evidence records and long-term-validation attributes are
// not read. A message with one of version 2 is not extended.
package cades
