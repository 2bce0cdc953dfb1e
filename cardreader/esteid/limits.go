package esteid

import "time"

const (
	// maxDocumentNumber bounds EF D003 in bytes; the number has nine characters.
	maxDocumentNumber = 32
	// maxDirectory bounds a directory file in bytes; the recorded ones have 16.
	maxDirectory = 1 << 10
	// block is how much one READ BINARY asks for, in bytes. The Cosmo X card
	// fails with more behind Alcor AU9540 and AU9560 readers (DigiDoc4 pull
	// request 1340).
	block = 0xC0
	// keyTimeout bounds a command with a private key.
	keyTimeout = 30 * time.Second
)
