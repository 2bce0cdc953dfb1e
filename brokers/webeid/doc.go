// Package webeid is the card login: a card in the citizen's own reader proves who
// its holder is, by a Web eID authentication token (format 1.0) that the Web eID
// extension or a paired eidagent makes over our origin and nonce.
//
// The nonce has 256 random bits, lives for two minutes in one login of one browser,
// and is used up before the token is looked at. Then: form, certificate (path,
// validity, purpose, policies, revocation), and the signature over
// H(H(origin) ‖ H(nonce)) with our own origin, whatever the page said. Nobody is
// anybody before all of it holds (Web eID token specification, relying party
// checks).
//
// Which cards there are is a table: a policy or issuer leads to a scheme and class
// of the mapping, which gives the level. A certificate of a trusted authority that is
// in no row reaches substantial at most; one of any other authority is refused.
//
// Left out: format 1.1 of telephones, and revocation lists of the authorities
// themselves, which are pinned.
package webeid
