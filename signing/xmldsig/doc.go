// Package xmldsig processes XML signatures (W3C XML Signature 1.1, RFC 6931):
// it finds the ds:Signature elements of a document, computes what their
// references digest, checks signature values, and builds new ds:Signature
// elements. What the signature means is decided above (package xades).
//
// A document is read as a stream. One pass of the tokenizer feeds every digest
// that is wanted, so memory depends on the signatures and not on the document.
// Which digests are wanted is known only after the signatures, which mostly
// stand at the end; Open therefore guesses them from a quick look at the bytes
// and reads a second time only where the guess was wrong. The guess decides what
// is computed, never what is believed.
//
// A reference is dereferenced in one of four ways and in no other: "" is the
// document without comments, "#id" the one element that has the identifier, an
// external URI what the caller's Resolver gives, and the two XPointer forms of
// the recommendation only where Options ask for them. Nothing is ever fetched.
// Transforms are a closed list: enveloped signature, the canonical forms,
// base64, and XPath expressions that are known word by word to remove signatures
// and nothing else. XSLT and any other XPath are refused with an error.
// Identifiers are the attributes Id, ID and id, xml:id, those that Options name;
// one that occurs twice identifies nothing.
//
// Results name the bytes of the document that were digested, so that a caller
// can go on with those and nothing else.
//
// # What is ours and what is of etree and goxmldsig
//
// Reading, canonical forms and reference processing are ours (xmltext, c14n and
// this package). github.com/beevik/etree builds the ds:Signature subtree, which
// is then spliced into the document as bytes: the rest of it stays as it was.
// github.com/russellhaering/goxmldsig checks in the tests what we make, where it
// can: one RSA reference, enveloped, few elements. It makes and judges nothing
// here, because it writes ECDSA values in DER, checks the first fitting reference
// only, and holds the document many times.
//
// Left out: RetrievalMethod and KeyInfoReference, keys without certificates,
// HMAC, DSA, XSLT, general XPath, the decryption transform.
package xmldsig
