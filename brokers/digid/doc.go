// Package digid is the DigiD upstream (Netherlands) in its two generations.
//
// Upstream is 3.x: SAML 2.0 with the AuthnRequest by redirect and the answer by
// artifact, which is resolved over mutual TLS. It follows the DigiD SAML interface
// specification as the public DigiD source implements it.
//
// Routed is 4.x, by way of a routing service (eID SAML 4.4 and 4.5, ST-SAML 1.0):
// requests are posted and name a service of the catalogue instead of a level,
// identifiers come encrypted, and somebody may act for another.
//
// Both can log out at DigiD (brokers.Leaver); Upstream is also told of logouts at
// other services of its federation (brokers.Notified).
//
// Left out: polymorphic identifiers, service clusters.
package digid
