// Package iso7816 is what card families have in common above single commands:
// reading a file in blocks, PIN blocks and the meaning of VERIFY's status words,
// and the forms of a signature value.
//
// It follows ISO/IEC 7816-4 (files, status words), 7816-8 (signature commands)
// and PKCS #1. It leaves out everything that a family decides: paths, references,
// algorithm bytes, the order of commands.
package iso7816

import "errors"

// ErrContent is a file whose content cannot be used. Drivers tell it as
// cardreader.ErrCardProtocol.
var ErrContent = errors.New("unusable file content")

// Instructions (ISO/IEC 7816-4 table 4, 7816-8 table 2).
const (
	Verify                = 0x20
	ManageSecurity        = 0x22
	ChangeReferenceData   = 0x24
	PerformSecurity       = 0x2A
	ResetRetryCounter     = 0x2C
	InternalAuthenticate  = 0x88
	Select                = 0xA4
	ReadBinaryInstruction = 0xB0
	GetData               = 0xCB
)

// MaxFile bounds a file in bytes: READ BINARY has 15 bits for the offset
// (ISO/IEC 7816-4 11.3.3).
const MaxFile = 1 << 15
