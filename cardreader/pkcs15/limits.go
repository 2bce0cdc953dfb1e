package pkcs15

import "time"

// Bounds of what a card may say about itself.
const (
	// maxDirectory bounds one directory file in bytes.
	maxDirectory = 1 << 15
	// maxDirectories bounds how many directory files are read, all kinds.
	maxDirectories = 16
	// maxEntries bounds the objects of one directory file.
	maxEntries = 64
	// maxCertificate bounds a certificate in bytes.
	maxCertificate = 1 << 15
	// maxText bounds a label or serial number in bytes.
	maxText = 64
	// maxPath is the longest path in bytes: eight levels.
	maxPath = 16
	// maxPIN bounds a PIN in characters.
	maxPIN = 32
	// block is how much one READ BINARY asks for, in bytes: less than 256, for
	// readers that break on long answers.
	block = 0xE0
	// keyTimeout bounds a command with a private key.
	keyTimeout = 30 * time.Second
)
