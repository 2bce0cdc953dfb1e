// Package origins knows which web pages may talk to the agent: it reads origins
// (RFC 6454), and keeps the pairings that a person has approved, with their
// scopes and the hash of their token.
//
// A token never replaces consent: it says who asks, and a person still decides
// on every signature. Blocking of origins and permission for a day are left to
// later versions.
package origins
