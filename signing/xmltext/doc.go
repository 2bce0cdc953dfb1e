// Package xmltext reads XML 1.0 as a stream of tokens that know where they
// stand in the source. It is the reader under canonical XML and XML
// signatures, where a parser that forgives, or that two programs understand
// differently, is an attack.
//
// It follows XML 1.0 (fifth edition) and Namespaces in XML 1.0 (third edition)
// and is strict: undeclared prefixes, attributes that share an expanded name,
// text beside the document element, a second document element, references
// nobody declared and characters outside the Char production end the reading
// with a typed error that carries the byte offset. Line ends and attribute
// values arrive normalised (XML 1.0 sections 2.11 and 3.3.3).
//
// The tokens of a document follow each other without gaps: the first starts at
// byte 0, each starts where the one before ended, the last ends with the
// source. So a caller can splice bytes in, or cut an element out, and leave
// everything else as it was. Character data comes in pieces; tags, comments
// and processing instructions come whole and are bounded. Memory therefore
// depends on the depth of the document and on its longest tag, not on its
// length. What a token points at is valid until the next call of Next.
//
// A document type declaration is refused unless the caller accepts its
// internal subset. Then declared attribute types and defaults apply, and
// references to entities that are plain text are replaced; an external subset
// is never read and nothing is ever fetched.
//
// Encodings: UTF-8, UTF-16 with a byte order mark, ISO-8859-1, -2 and -15,
// windows-1250 and -1252, and US-ASCII.
//
// Left out: XML 1.1, parameter entities, entities that hold markup, validation,
// xml:base resolution, XInclude.
package xmltext
