// Package nationalid reads the identifiers that countries give to people and
// brings them into one canonical form: a canonical subject key is
// "<scheme>:<identifier>", and two keys name the same person only if they are
// equal, or where an operator declared a rule (Equivalence).
//
//	nif.go             Spain: DNI, NIE, tax numbers of organisations
//	bsn.go             Netherlands: citizen service number
//	personalcode.go    Estonia: isikukood
//	semantics.go       identifiers in certificates (ETSI EN 319 412-1 5.1)
//	equivalence.go     declared rules between schemes
//
// It reads and checks; it looks nothing up. Errors never contain the value,
// which is personal data.
package nationalid

import "errors"

// ErrIdentifier is an identifier that is not one of the register. It says
// nothing about the value.
var ErrIdentifier = errors.New("identifier is not one of its register")
