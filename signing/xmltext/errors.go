package xmltext

import (
	"errors"
	"fmt"
)

// Reasons for which a document is refused. An *Error wraps one of them.
var (
	// ErrSyntax: not well-formed XML 1.0.
	ErrSyntax = errors.New("not well-formed")
	// ErrNamespace: not namespace-well-formed (Namespaces in XML 1.0 section 7).
	ErrNamespace = errors.New("not namespace-well-formed")
	// ErrEncoding: an encoding that is not read here, or bytes that are not
	// in the encoding the document declares.
	ErrEncoding = errors.New("encoding")
	// ErrDoctype: a document type declaration where none is accepted.
	ErrDoctype = errors.New("document type declaration not accepted")
	// ErrEntity: an entity that is not plain text or that is not at hand.
	ErrEntity = errors.New("entity not accepted")
	// ErrLimit: larger than the limits of the reader.
	ErrLimit = errors.New("limit exceeded")
)

// Error says where and why reading ended.
type Error struct {
	Offset  int64  // bytes from the start of the source to what is wrong
	Problem string // lower case, quotes at most a name of the document
	Reason  error  // one of the Err values of this package
}

// Error names reason, offset and problem.
func (e *Error) Error() string {
	return fmt.Sprintf("XML %v at byte %d: %s", e.Reason, e.Offset, e.Problem)
}

// Unwrap gives the reason.
func (e *Error) Unwrap() error { return e.Reason }

// fault is an error inside the bytes at hand: at counts from the start of the
// token that is being read.
type fault struct {
	at      int
	reason  error
	problem string
}

func (f *fault) Error() string { return f.problem }

func syntax(at int, problem string) error {
	return &fault{at: at, reason: ErrSyntax, problem: problem}
}

func misused(at int, problem string) error {
	return &fault{at: at, reason: ErrNamespace, problem: problem}
}

func excess(at int, what string, limit int64) error {
	return &fault{at: at, reason: ErrLimit, problem: fmt.Sprintf("more than %d %s", limit, what)}
}

// errMore is the scanners' way of asking for more bytes of the source.
var errMore = errors.New("more input needed")
