// Package saml is a strict SAML 2.0 service provider: it makes signed
// authentication requests, resolves artifacts, reads metadata, and judges
// responses. It follows the OASIS documents SAML Core, Bindings, Profiles and
// Metadata 2.0 and XML Signature, narrowed to what national schemes send.
//
// An answer is judged in one direction only:
//
//	bytes → strict parser (no DOCTYPE, no instructions, budgets, unique IDs)
//	      → shape (known elements in schema order)
//	      → header (destination, issuer, request)
//	      → signature form, then signature value
//	      → the verified bytes, parsed again: nothing else is read afterwards
//	      → what is encrypted, opened only now and parsed as strictly
//	      → status, subject, conditions, statement
//
// Whatever is refused is a *brokers.RejectedError with a Reason. Keys come from
// metadata that was verified or trusted before, never from the message.
//
// Canonical XML is goxmldsig's; the rules around it and the signature values
// (RSA, RSA-PSS, ECDSA as XML Signature writes it) are this package's own.
//
// Signatures verify with RSA keys and with keys on P-256, P-384 and P-521 and on the
// Brainpool curves of 256, 384 and 512 bits, which eIDAS nodes may have. Ours are RSA
// or on a NIST curve.
//
// Encryption is XML Encryption 1.1 as eIDAS 1.2 to 1.4 and DigiD 4.x use it; see
// Decryption. It agrees on keys over the NIST curves alone: private keys on Brainpool
// curves would need arithmetic that takes the same time for every key.
//
// Left out: attribute queries, identity-provider-initiated login, encrypted
// attributes, logout over SOAP.
package saml
