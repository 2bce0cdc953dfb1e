// Package c14n writes the canonical form of XML, over which XML signatures are
// computed: Canonical XML 1.0 and 1.1 and Exclusive XML Canonicalization 1.0,
// each with and without comments.
//
// It works on the tokens of signing/xmltext as they come, so a document of any
// length takes memory for its depth only, and several forms of several parts
// (each to a digest of its own) come out of one pass:
//
//	source bytes -> xmltext.Reader -> Canonicalizer -+-> Output -> io.Writer
//	                                                 +-> Output -> io.Writer
//
// An Output is the whole document or the subtree of one element, less the
// subtrees that are left out (the enveloped signature). The canonical form of
// a subtree depends on its ancestors for namespaces and, in the inclusive
// forms, for attributes such as xml:lang; the Canonicalizer remembers those.
// For an element that is not in a document yet, or was cut out of it, a
// Context carries them.
//
// Any other node-set can be given as a Filter, a function that is asked for
// every node. Left out: evaluating XPath, which decides such node-sets in XML
// signatures, and XSLT.
package c14n
