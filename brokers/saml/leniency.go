package saml

// Leniency relaxes single rules. A login uses the zero value. It is there to
// judge recorded messages of other systems, which break one rule or another
// without being forged.
type Leniency struct {
	// SHA1 and ShortKeys allow RSA-SHA1, SHA-1 digests and RSA of 1024 bits.
	SHA1, ShortKeys bool
	// CertificateDates allows trusted certificates outside their validity.
	CertificateDates bool
	// ForeignKeyInfo ignores a certificate in the message that is not a trusted
	// one. (It is never a source of keys.)
	ForeignKeyInfo bool
	// EmptyURI allows Reference URI="" if the signed element is the root.
	EmptyURI bool
	// Canonicalizations allows inclusive canonical XML, named or implied, and the
	// forms with comments besides exclusive canonicalization.
	Canonicalizations bool
	// ElementOrder allows children in any order, a misplaced signature included
	// unless it is one that SHA1 allows.
	ElementOrder bool
	// Comments reads past comments, so that values are read in full across them.
	Comments bool
	// ForeignAttributes allows attributes of namespaces other than xml and xsi.
	ForeignAttributes bool
	// OffsetTimes allows times with a zone offset.
	OffsetTimes bool
	// Advice allows an Advice element, which is not looked into.
	Advice bool
	// StructuredValues allows attribute values with child elements; they are read
	// as empty, but for a NameID.
	StructuredValues bool
	// Profile allows what the web browser profile leaves to the parties or what
	// products forget: no Destination, no Issuer on an unsigned response,
	// identifiers that are no NCName, confirmations without end or with one far
	// away, or with a beginning, which then counts, several confirmations of which
	// one fits, confirmations that name who presents the assertion, a declaration or
	// a reference to one in place of a context class, attribute statements without
	// attributes, blanks around audiences and issuers, issuers of another format,
	// and statements about decisions.
	Profile bool
	// CBC opens AES-CBC although no verified signature covers the cipher text:
	// nobody learns from one recorded message what an oracle tells.
	CBC bool
	// EitherSigned asks for a signature on the response or on the assertion
	// instead of what Expectation.Signed says.
	EitherSigned bool

	// AnyIssuer, AnyAudience, AnyRecipient and AnyRequest leave the comparison out
	// for what the judge was not told; response and assertion name one issuer all
	// the same. AnyTime ignores all validity periods.
	AnyIssuer, AnyAudience, AnyRecipient, AnyRequest, AnyTime bool
}

// Recorded is the leniency for judging messages from archives and from other
// projects' tests: everything that does not decide whether the message was
// forged. What is known about the exchange is set to be compared by the caller.
func Recorded() Leniency {
	return Leniency{
		SHA1: true, ShortKeys: true, CertificateDates: true, ForeignKeyInfo: true,
		EmptyURI: true, Canonicalizations: true, ElementOrder: true, Comments: true,
		ForeignAttributes: true, OffsetTimes: true, Advice: true, StructuredValues: true,
		Profile: true, CBC: true, EitherSigned: true,
		AnyIssuer: true, AnyRecipient: true, AnyRequest: true,
	}
}
