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
// Encryption is XML Encryption 1.1 as eIDAS 1.2 to 1.4 and DigiD 4.x use it; see
// Decryption. Curves are those of NIST: the standard library has no Brainpool.
//
// Left out: attribute queries, identity-provider-initiated login, encrypted
// attributes, logout over SOAP.
package saml
