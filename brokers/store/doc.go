// Package store keeps what a login leaves between two requests: transactions,
// grants, sessions, and the assertions that were used.
//
// It offers verbs, not tables. Each verb is one atomic statement or one database
// transaction, so that what may happen once happens once, whichever replica or
// browser asks; there is no read, check, save. The interface of the verbs is
// provider.Store, where it is used, and the contract suite that every
// implementation passes is in brokertest.
//
// Codes, tokens and cookies are known here only as SHA-256. Records are opaque
// blobs beside the few columns that verbs compare, encrypted where the database is
// opened WithMasters. There are three
// implementations: Memory, for tests and load targets, which keeps within a bound by
// ending the sessions that were unused the longest, SQLite for one machine, and Postgres
// for several replicas. The last two share their statements.
package store
