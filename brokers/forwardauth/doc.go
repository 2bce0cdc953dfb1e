// Package forwardauth lets a proxy ask the broker who a visitor is, so that static
// sites and old applications behind it need no code for logging in.
//
// A site is a client of the broker's OpenID Provider like any other; this package
// is its relying party. The proxy sends everything below /_eidbridge/ of the site
// to the broker, and asks one of these before it serves anything else:
//
//	/_eidbridge/auth    200 with the headers below, or 401 (nginx: auth_request)
//	/_eidbridge/verify  200, or for a visitor who may log in 302 to /_eidbridge/start
//	                    (Caddy: forward_auth, Traefik: forwardAuth)
//	/_eidbridge/start   begins a login and remembers where the visitor wanted to go
//	/_eidbridge/callback  where the provider returns to
//	/_eidbridge/logout  forgets the visitor (POST), and ends the session at the broker
//
// The answer carries Remote-User (the pairwise subject), Remote-Level (the eIDAS
// level of assurance: low, substantial, high), Remote-Acr, Remote-Auth-Time and,
// where the site's scopes have them, Remote-Name. The proxy must set these headers
// from the answer, so that nobody else can.
//
// What is known of a visitor is in a cookie of the site, sealed so that it can be
// neither read nor made elsewhere; nothing is stored. It lives for minutes: then
// the browser passes by the provider again, which answers from its session without
// asking, or asks because the session ended or the level has aged.
package forwardauth
