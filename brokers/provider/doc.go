// Package provider is the OpenID Provider: from a relying party's authorization
// request, by way of an upstream, to tokens.
//
// One login takes this way, and each step is a file:
//
//	POST /par                 par.go         a request, from the relying party itself
//	GET /authorize            authorize.go   request checked, level resolved
//	                          requestobject.go  pushed or signed requests unwrapped
//	GET /login/{id}           login.go       the citizen picks a method
//	POST /login/{id}          login.go       off to the upstream
//	… /login/{id}/dialog      conversation.go  or on our own pages, with a device or card
//	POST /login/{id}/cancel   login.go       back to the relying party, with an error
//	… /upstream/{u}/callback  callback.go    the answer, checked once; then the code
//	GET /resume/{id}          resume.go      if it was posted: right browser? then the code
//	POST /token               token.go       code and verifier for tokens
//	                          refresh.go     refresh token for tokens
//	GET /userinfo             userinfo.go    what the citizen's data are
//	GET /receipts/{id}        receipt.go     how a level was reached
//	GET /logout               logout.go      the end of the session
//	                          notices.go     relying parties are told of it
//	GET /logout/{id}          leave.go       off to the upstream's logout, and back
//	… /upstream/{u}/logout    leave.go       the upstream's answer
//	POST /upstream/{u}/notice leave.go       it tells of logouts elsewhere
//	POST /introspect, /revoke introspect.go  what a token is; its end
//
// An upstream that is brokers.Immediate may know by the authorization request who is
// there; then the answer to that request is the code.
//
// State lives in the store, so that each request may reach another replica.
// Nothing is redirected before client and redirect URI are known good; after
// that, errors go to the relying party.
//
// Every endpoint for clients goes through endpoint.go and authenticate.go; what
// binds tokens to keys is in binding.go and certificate.go.
//
// It follows OpenID Connect Core 1.0, RFC 6749, RFC 7636 (S256 only), RFC 7009,
// RFC 7662, RFC 8414, RFC 8705, RFC 9101, RFC 9126, RFC 9207, RFC 9449, JARM,
// OpenID Connect RP-Initiated, Back-Channel and Front-Channel Logout 1.0, and the
// advice of RFC 9700; verified_claims (verified.go) follow OpenID Connect for
// Identity Assurance 1.0. Devices without a browser follow RFC 8628 (device.go),
// clients that register themselves RFC 7591 and RFC 7592 (registration.go). The
// profiles FAPI 2.0 and OpenID NLGov are switches of a client
// (clientsecurity.go). Access tokens are opaque or JWTs (RFC 9068) and are meant for
// the resources that a request names (RFC 8707, resource.go); the services that have
// these may ask about them (resourceserver.go), signed if they like (RFC 9701). It
// knows the authorization code flow only.
package provider
