package xmldsig

import "time"

// What a document may cost. The limits of the tokenizer (xmltext.Limits) come on
// top.
const (
	maxSignatures = 100
	maxReferences = 1000 // of a signature or manifest
	maxTransforms = 5    // of a reference
	// maxSignature bounds the bytes of all ds:Signature elements, which are held
	// in memory with what they envelop.
	maxSignature = 64 << 20
	// maxElements bounds the elements of a ds:Signature that are held as a tree.
	maxElements = 100_000
	// maxContexts bounds what the signatures inherit from their ancestors, bytes.
	maxContexts = 8 << 20
	// maxValue bounds a signature value, bytes.
	maxValue = 8 << 10
	// Octets that all references together may yield: a multiple of the document,
	// and at least minWork.
	workFactor = 8
	minWork    = 64 << 20
	// maxCandidates bounds what the guess looks at.
	maxCandidates = 16
)

// DefaultTime bounds one pass over a document of unknown origin.
const DefaultTime = 20 * time.Second
