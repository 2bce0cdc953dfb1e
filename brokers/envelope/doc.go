// Package envelope encrypts records at rest, in two storeys.
//
// A record is sealed under a data key, a data key is wrapped by a master key.
// Data keys lie wrapped beside the records they seal and are replaced every day;
// the master key lies elsewhere: in a file of the broker's host (Local) or in a
// key management service (package kms). A new master key therefore re-wraps a
// few data keys and touches no record, and destroying an old data key destroys
// what every backup holds under it.
//
// Records are sealed with XChaCha20-Poly1305 (draft-irtf-cfrg-xchacha-03), whose
// nonces of 192 random bits do not repeat even where a machine is cloned or
// restored. The name of the record (table, column, key and revision) is
// associated data, so that a record cannot take the place of another one or of a
// later version of itself.
//
// What stays readable in a database are keys of rows (random identifiers and
// SHA-256 of codes and tokens), states and times.
package envelope
