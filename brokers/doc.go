// Package brokers goes from a national login to an OpenID Connect token.
//
// It holds the records that a login leaves (Transaction, AuthenticationEvent,
// Session) and the Upstream interface that each national scheme implements.
// Below it: saml (the strict service-provider core), one package per scheme,
// provider (the OpenID Provider), store, and pages.
//
// A level of assurance is never raised on the way: every step may only lower it
// or refuse.
package brokers
