// Package smartid is the Smart-ID upstream (Estonia): an app signs our challenge
// after PIN1 (Smart-ID relying-party API 3.1, protocol ACSP_V2).
//
// The session belongs to nobody at first (device link): the citizen scans a code
// that changes every second, or opens the app on the same device, which brings the
// browser back. So nobody can be made to confirm what somebody else began
// elsewhere. Asking a known person's app by a notification is there for operators
// who want it and off by default.
//
//	smartid.go   configuration, methods, what is remembered
//	link.go      links, their authentication code, the verification code
//	proceed.go   beginning, polling, results
//	proof.go     what the app signed, and the certificate
//	callback.go  the way back from the app on the same device
//
// What comes back is believed only as far as the signature over our challenge and
// all parameters, the certificate's path, policies and revocation go. Left out:
// links between apps (App2App), and signing.
package smartid
