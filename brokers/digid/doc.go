// Package digid is the DigiD upstream (Netherlands), generation 3.x: SAML 2.0
// with the AuthnRequest by redirect and the answer by artifact, which is resolved
// over mutual TLS. It follows the DigiD SAML interface specification as the
// public DigiD source implements it.
//
// The generation 4.x (routing service, encrypted identifiers, representation)
// and single logout are not here.
package digid
