// Package levels is the vocabulary of assurance: how sure one may be that the
// person who logged in is who they seem to be.
//
// It holds the canonical scale (Level), the table that maps what national
// schemes assert onto it (Mapping), the words in which others speak of the same
// thing (vocabularies), what a login has to reach (Requirement), and the account
// of how a level was reached (Assessment). The scale follows Commission
// Implementing Regulation (EU) 2015/1502; the rows are data, each with its
// source, in mapping.json.
//
// One rule governs everything here: a level is never raised. Every operation
// returns the level it was given, a lower one, or an error.
//
// The package is pure: no clock, no network, no files. It does not know which
// software asserts a level or whether an assertion is genuine.
package levels
