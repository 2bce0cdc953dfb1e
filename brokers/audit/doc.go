// Package audit keeps the record of what a broker did, so that nobody can change
// it unnoticed: neither a visitor by what they send, nor an operator with an
// editor.
//
// The record is a file of JSON lines. Each line carries a number, a time, and the
// SHA-256 of the line before together with itself, so that an edited, removed,
// inserted or reordered line breaks the chain where it stands. Every 1,000 lines
// or 60 seconds a checkpoint is signed (Ed25519 as a JWS, RFC 8037): whoever keeps
// checkpoints elsewhere, as the log on standard error does, notices a record that
// was rewritten as a whole or cut at its end, and two histories told to two
// auditors.
//
// Lines are written whole and at once, before what they tell is answered, and
// reach the disk with each checkpoint: they survive the death of the process, and
// a power cut takes a minute at most. A replica has a file of its own. A file that
// grows beyond its bound is closed with a checkpoint and the next one continues
// the chain.
//
// What is told is the caller's business: codes and identifiers of clients, logins
// and methods, never a person.
package audit
