// Package localapi is the door for web pages: JSON over HTTP on the loopback
// addresses, version 1. It translates between HTTP and desktop.Service and
// decides nothing: consent, PIN and order are the service's.
//
// What is served now: information, pairing, and one signature request with one
// document or one login. Uploads, event streams, status and certificates are left
// to later versions and answer 404 or format_unsupported.
//
// # The door
//
// Host must be exactly 127.0.0.1:port, localhost:port or [::1]:port, or the
// answer is 421. Every request carries an Origin, save GET /v1/info from the
// user's own tools. Where a browser says what it does (Sec-Fetch-Mode,
// Sec-Fetch-Dest), it must be a CORS fetch. Bodies are application/json with a
// known length. There are no cookies. CORS headers name the exact origin, and
// only where the origin may read the answer: an approved origin everywhere, any
// https or developer origin under /v1/pairings.
//
// # Pairing
//
//	POST /v1/pairings
//	{"origin_name":"Lab portal","scopes":["sign"]}
//	202 {"id":"…","state":"pending","compare_code":"K7M2PX","expires_at":"2026-…Z"}
//
// The page shows compare_code, the native prompt shows the same code, the
// person compares.
//
//	GET /v1/pairings/{id}?wait=25          (same Origin, no token)
//	200 {"id":"…","state":"pending","expires_at":"…"}
//	200 {"id":"…","state":"approved","scopes":["sign"],"token":"…","expires_at":"…"}
//	200 {"id":"…","state":"denied"}
//
// The token is handed out once; later answers leave it out. It goes into
// "Authorization: Bearer …", is bound to the origin and lives for 30 days from
// its last use.
//
//	DELETE /v1/pairings/{id}               (token, or the pending pairing's Origin)
//	204
//
// # Signing
//
//	POST /v1/requests                      (token with scope sign, Idempotency-Key)
//	{"kind":"sign","expires_in":300,"locale":"nl",
//	 "sign":{"documents":[{"n":1,"name":"contract.pdf","media_type":"application/pdf",
//	                       "size":12345,"digest":{"alg":"SHA-256","value":"<b64url>"},
//	                       "content":"inline","data":"<b64url>"}],
//	         "output":{"format":"pades","level":"B-B"}},
//	 "display":{"purpose":"Rental contract","reference":"2026/17"}}
//	201 {"id":"…","state":"created","seq":1,"links":{"self":"/v1/requests/…"}}
//
// size and digest may be left out; when present they must match. base64url is
// taken with and without padding. output.visible lets the signature show:
//
//	{"page":1,"rect":[50,50,250,114],"text":"Signed by {name}\n{time}"}
//
// with a page from 1, left, bottom, right and top in points on the page as it is
// displayed, and a text whose places are {name}, {id} (masked), {issuer}, {time},
// {reason}, {place} and {level}. The person sees the text with the question; what does
// not fit is format_unsupported. The credential member narrows the choice:
// usage "sign", issuer_country, qualified, certificate_sha256.
//
//	GET /v1/requests/{id}?wait=25&seq=3
//	200 {"id":"…","state":"waiting_pin","seq":4,"detail":{"card":"present","tries_left":3,"document":1,"of":1}}
//	200 {"id":"…","state":"failed","seq":6,"detail":{…},
//	     "error":{"type":"…","code":"pin_wrong","title":"…","detail":"…","retry":true,"tries_left":2}}
//	200 {"id":"…","state":"done","seq":7,"certificate":"<b64 DER>","chain":["<b64 DER>"],
//	     "sign":[{"n":1,"signed":"/v1/requests/…/documents/1/signed",
//	              "signature_algorithm":"ECDSA-SHA384",
//	              "signed_digest":{"alg":"SHA-256","value":"<b64url>"}}],
//	     "audit":{"time":"…","origin":"https://…","consent":"shown","agent_version":"…"}}
//
// With wait the answer comes at the next change, at the end of the wait, or at
// once when the state is final or later than seq. States: created,
// waiting_documents, waiting_card, waiting_consent, waiting_pin, signing, done;
// declined, cancelled, expired, failed. A page that drops a waiting GET and does
// not come back within five seconds has gone: its request is cancelled.
//
//	GET /v1/requests/{id}/documents/1/signed
//	200 application/pdf
//	DELETE /v1/requests/{id}
//	204
//
// # Login
//
//	POST /v1/requests                      (token with scope authenticate, Idempotency-Key)
//	{"kind":"authenticate","expires_in":120,"locale":"nl",
//	 "authenticate":{"nonce":"<44 to 128 characters>","format":"web-eid:1.0"}}
//	201 …
//	GET /v1/requests/{id}?wait=25&seq=1
//	200 {"id":"…","state":"done","seq":6,"certificate":"…","chain":[],
//	     "authenticate":{"unverifiedCertificate":"<b64 DER>","algorithm":"ES384",
//	                     "signature":"<b64>","format":"web-eid:1.0","appVersion":"…"},
//	     "audit":{…}}
//
// What the authentication key signs is H(H(origin) ‖ H(nonce)), with the origin that
// the browser gave and the hash of the algorithm: nothing that a page could choose.
//
// Errors are application/problem+json (RFC 9457) with the members type, code,
// title, status, detail and retry; problems.md explains each code.
package localapi
