package pdf

import (
	"errors"
	"fmt"
)

// Errors that a caller decides on.
var (
	// ErrNotPDF: there is no PDF header where ISO 32000-2 7.5.2 and Annex C
	// allow one, or the file is too short to hold one.
	ErrNotPDF = errors.New("not a PDF file")
	// ErrEncrypted: what was asked for is inside an encrypted part of the file,
	// and the password is not the right one, or the encryption of a kind that is
	// not known.
	ErrEncrypted = errors.New("the PDF is encrypted")
	// ErrMissing: the object asked for is not in the file. ISO 32000-2 7.3.10
	// makes a reference to it the null object; Resolve does that, Object does not.
	ErrMissing = errors.New("no such object")
)

// FormatError says which rule of ISO 32000-2 the file breaks and where.
type FormatError struct {
	Offset int64 // in bytes from the start of the file, -1 when inside a compressed object
	What   string
}

// Error returns the offence with its place.
func (e *FormatError) Error() string {
	if e.Offset < 0 {
		return "malformed PDF: " + e.What
	}
	return fmt.Sprintf("malformed PDF at byte %d: %s", e.Offset, e.What)
}

// LimitError says which ceiling of Limits the file goes over.
type LimitError struct {
	What  string
	Limit int64
}

// Error returns the ceiling with its value.
func (e *LimitError) Error() string {
	return fmt.Sprintf("PDF goes over a limit: %s (at most %d)", e.What, e.Limit)
}

func malformed(offset int64, format string, args ...any) error {
	return &FormatError{Offset: offset, What: fmt.Sprintf(format, args...)}
}
