// Package oidcup is the upstream that speaks OpenID Connect: TARA of Estonia,
// schemes after the manner of FranceConnect, and any other.
//
// It goes through coreos/go-oidc and golang.org/x/oauth2, and checks by itself what
// they leave to the caller: nonce, at_hash, acr, azp, auth_time, amr, times and
// lifetime, members that are there twice; it opens encrypted ID tokens, pushes
// requests, signs client assertions and reads user information. Keys and discovery
// are fetched here, bounded, seldom, and kept when a later answer is worse.
//
//	config.go     what an operator says
//	metadata.go   discovery, refreshed; keys.go the key set
//	start.go      the authorization request, pushed or not
//	finish.go     the callback, and the code for tokens
//	idtoken.go    checks of the ID token; strict.go its form; encryption.go
//	subject.go    who it is, by kind of upstream; userinfo.go
//
// It follows OpenID Connect Core 1.0, RFC 6749, RFC 7523, RFC 7636, RFC 9126,
// RFC 9207, the advice of RFC 9700, and for TARA its technical specification 1.21.
// Left out: DPoP and mutual TLS towards an upstream, and logout.
package oidcup
