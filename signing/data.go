package signing

// SignedData is something that a signature is about.
type SignedData struct {
	// URI is the reference as the signature has it.
	URI string `json:"uri"`
	// Integrity says whether it is what was signed.
	Integrity Integrity `json:"integrity"`
	// Element names the element of the document that is covered; empty for the
	// whole document and for a file beside it.
	Element string `json:"element,omitempty"`
	// Start and End delimit in the document what is covered, bytes; both are 0 for a
	// file beside it. Omitted are the stretches in between that are not: signatures.
	Start   int64      `json:"start,omitempty"`
	End     int64      `json:"end,omitempty"`
	Omitted [][2]int64 `json:"omitted,omitempty"`
	// MimeType is the signer's word about the type.
	MimeType string `json:"mime_type,omitempty"`
	// Manifest says that the signature covers it through a manifest.
	Manifest bool `json:"manifest,omitempty"`
}

// Whole tells whether the data is the whole document, less signatures.
func (d *SignedData) Whole() bool { return d.End > 0 && d.Element == "" }
