// Package xades signs XML documents and other files at the XAdES baseline levels
// B-B, B-T, B-LT and B-LTA (EN 319 132-1), raises signatures to higher levels,
// and verifies them.
//
// Signing has three steps, as in package pades. Prepare reads the document once,
// digests what is to be signed, and yields a Plan with the canonical
// ds:SignedInfo; PrepareObjects does so for files that stay where they are. The
// key signs, once. Complete writes the document with the ds:Signature spliced in
// as bytes: everything else stays as it was. Sign joins the three, and SignFile
// does so from file to file, with a check of the result before it is put in
// place.
//
// A signature is enveloped (inside the document, or about parts of it by
// identifier), enveloping (the data inside ds:Object), or detached (beside the
// data). Countersign signs the value of another signature.
//
// The levels above B-B are unsigned properties of the signature. They are spliced
// in as well; Extend never writes again what was there.
//
// Verify finds every signature of a document, checks references, value and the
// binding of the certificate, and has package validation judge path, revocation
// and time-stamps, from the newest to the oldest. Its answers are those of
// EN 319 102-1 with the simplification said there.
//
// Left out: SignedAssertions, certified roles, evidence records, and the
// properties that hold references to validation data instead of the data; those
// are read over. A signature policy is named in the report, not applied.
package xades

// Namespaces of XAdES.
const (
	Namespace    = "http://uri.etsi.org/01903/v1.3.2#"
	Namespace141 = "http://uri.etsi.org/01903/v1.4.1#"
	namespaceEN  = "http://uri.etsi.org/19132/v1.1.1#"
)

// Types of references (EN 319 132-1 4.3.1, 5.2.7.3).
const (
	typeSignedProperties = "http://uri.etsi.org/01903#SignedProperties"
	typeCountersigned    = "http://uri.etsi.org/01903#CountersignedSignature"
)
