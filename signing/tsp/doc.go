// Package tsp asks time-stamping authorities for tokens and judges tokens, after
// RFC 3161 with the certificate references of RFC 5816 and the profile of
// EN 319 422.
//
// A Token has passed every check that needs no trust anchor: its CMS verifies,
// the certificate it is bound to is meant for time-stamping and nothing else,
// and the time lies in the validity of that certificate. Whether the imprint is
// that of some data is asked with Verify; whether anybody relies on the
// authority is a question for a certificate path.
//
// github.com/digitorus/timestamp reads the same structures and is an oracle in
// the tests. It is not used for the verdict because it takes the signer from a
// position in the certificate set and leaves the extended key usage to the
// caller.
package tsp
