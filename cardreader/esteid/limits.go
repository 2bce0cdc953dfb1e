package esteid

import "time"

const (
	// maxFile bounds a certificate file in bytes. READ BINARY has 15 bits for
	// the offset (ISO/IEC 7816-4 11.3.3); real certificates have 1,100 bytes.
	maxFile = 1 << 15
	// maxDocumentNumber bounds EF D003 in bytes; the number has nine characters.
	maxDocumentNumber = 32
	// block is how much one READ BINARY asks for, in bytes. The Cosmo X card
	// fails with more behind Alcor AU9540 and AU9560 readers (DigiDoc4 pull
	// request 1340).
	block = 0xC0
	// keyTimeout bounds a command with a private key.
	keyTimeout = 30 * time.Second
)
