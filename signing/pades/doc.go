// Package pades signs PDF documents at the PAdES baseline levels B-B, B-T, B-LT
// and B-LTA (EN 319 142-1, ISO 32000-2 12.8), raises signed documents to higher
// levels, and verifies PDF signatures.
//
// Signing has three steps. Prepare reads the structure, decides what the new
// revision changes, and passes over the document once; it yields a Plan with
// the digest of the signed attributes. The key signs that digest, once. Complete
// writes the document again with the new revision behind it. Sign joins the
// three in a single pass over the source, and SignFile does so from file to
// file, with a check of the result before it is put in place. Memory does not
// grow with the document: only the new revisions are held.
//
// The levels above B-B need Services. A time-stamp over the signature value goes
// into the CMS, whose hole has room for it; validation data and document
// time-stamps are appended as revisions of their own. What cannot be reached is
// left for Extend, and the Result says so.
//
// Verify walks from the AcroForm fields to the signature dictionaries, demands
// the strict shape of ByteRange and Contents, checks the CMS, and looks at what
// later revisions did. Time-stamps are judged from the newest to the oldest, and
// certificates and their revocation as of the earliest time that they prove. Its
// answers are those of EN 319 102-1, with one simplification: validation data is
// taken at its word about the time it was issued, without a proof of existence
// of its own. Trusted lists are not examined, and the report says so.
//
// Before anybody signs, ScanDocument names what a document does by itself or
// hides; the plan honours seed values, field locks and certifications (12.7.5.5,
// 12.8.2), and is rehearsed against the earlier signatures while nothing has been
// signed. A file whose cross-reference chain is broken is rebuilt where nothing has
// to be guessed and nothing is missing, and refused otherwise. Documents that claim
// PDF/A or PDF/UA keep to it, also with a second visible mark.
//
// Commitment type, signature policy and roles are signed attributes of the CMS, which
// package attributes shares with CAdES. Left out are those that EN 319 142-1 6.3 leaves
// no room for beside the signature dictionary: signing time, signer location, content
// hints and references.
//
// # What is ours and what is of pdfsign
//
// The reader, the revision writer and the CMS are ours (packages pdf and cms), as
// are time-stamps (tsp), revocation and appearances. github.com/digitorus/pdfsign
// and its packages are oracles in the tests: its reader opens what we write, its
// extract package finds the same signed bytes, Verify reads what it signs, and
// digitorus/timestamp reads our tokens. They do not make or judge signatures here
// because pdfsign holds the document in memory several times, rebuilds the catalog
// and AcroForm and loses their entries, finds its place-holder by searching the
// text, may use the key a second time, and takes its verdict from the first
// certificate of the set; because its revocation package is about an attribute of
// Adobe's that PAdES forbids; and because its fonts and images know neither
// embedded subsets nor PDF/A.
package pades
