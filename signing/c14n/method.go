package c14n

import (
	"errors"
	"fmt"
	"slices"
)

// Errors a caller may want to tell apart; errors.Is finds them.
var (
	// ErrMethod: an algorithm identifier that names no canonical form.
	ErrMethod = errors.New("unknown canonicalization method")
	// ErrNotFound: an Output selects an element that the document has not.
	ErrNotFound = errors.New("no such element")
	// ErrAmbiguous: an Output selects more than one element.
	ErrAmbiguous = errors.New("more than one such element")
	// ErrEmpty: an Output holds no node at all.
	ErrEmpty = errors.New("nothing selected")
	// ErrRelativeNamespace: a relative URI as namespace name, which has no
	// canonical form (Canonical XML 1.0 section 1.3).
	ErrRelativeNamespace = errors.New("relative namespace name")
	// ErrLimit: more than the package holds for inherited attributes.
	ErrLimit = errors.New("limit exceeded")
)

// Method is a canonical form. Its value is the algorithm identifier.
type Method string

// The canonical forms, RFC 3741, Canonical XML 1.0 and 1.1.
const (
	Inclusive10             Method = "http://www.w3.org/TR/2001/REC-xml-c14n-20010315"
	Inclusive10WithComments Method = "http://www.w3.org/TR/2001/REC-xml-c14n-20010315#WithComments"
	Inclusive11             Method = "http://www.w3.org/2006/12/xml-c14n11"
	Inclusive11WithComments Method = "http://www.w3.org/2006/12/xml-c14n11#WithComments"
	Exclusive10             Method = "http://www.w3.org/2001/10/xml-exc-c14n#"
	Exclusive10WithComments Method = "http://www.w3.org/2001/10/xml-exc-c14n#WithComments"
)

// Methods lists the canonical forms.
func Methods() []Method {
	return []Method{
		Inclusive10, Inclusive10WithComments, Inclusive11, Inclusive11WithComments,
		Exclusive10, Exclusive10WithComments,
	}
}

// ParseMethod finds the canonical form of an algorithm identifier. Any other
// identifier is an ErrMethod.
func ParseMethod(uri string) (Method, error) {
	if m := Method(uri); slices.Contains(Methods(), m) {
		return m, nil
	}
	return "", fmt.Errorf("%w: %q", ErrMethod, uri)
}

// Comments says whether the form keeps comments.
func (m Method) Comments() bool {
	return m == Inclusive10WithComments || m == Inclusive11WithComments || m == Exclusive10WithComments
}

// Exclusive says whether the form is that of Exclusive XML Canonicalization.
func (m Method) Exclusive() bool {
	return m == Exclusive10 || m == Exclusive10WithComments
}

func (m Method) version11() bool {
	return m == Inclusive11 || m == Inclusive11WithComments
}

// WithoutComments is the form that differs in leaving comments out.
func (m Method) WithoutComments() Method {
	switch m {
	case Inclusive10WithComments:
		return Inclusive10
	case Inclusive11WithComments:
		return Inclusive11
	case Exclusive10WithComments:
		return Exclusive10
	}
	return m
}
