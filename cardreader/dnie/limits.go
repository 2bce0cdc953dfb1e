package dnie

import "time"

const (
	// block is how much one READ BINARY asks for, in bytes: 222 with the
	// objects of secure messaging fits one GET RESPONSE. Some readers break on
	// longer protected answers (OpenSC issue 2109).
	block = 0xDE
	// maxDirectory bounds a PKCS #15 directory file, in bytes. Those of the card
	// have 2,100.
	maxDirectory = 16 << 10
	// maxEntries bounds the objects of one directory.
	maxEntries = 32
	// maxCertificate bounds a certificate, packed or not, in bytes.
	maxCertificate = 64 << 10
	// maxComponent bounds the files with the chip's certificates, in bytes.
	maxComponent = 8 << 10
	// maxCardAccess bounds EF.CardAccess, in bytes.
	maxCardAccess = 4 << 10
	// maxIDESP bounds file 0006, in bytes; the number has nine characters.
	maxIDESP = 32
	// maxPath bounds a path in a directory: file identifiers below the MF.
	maxPath = 4
	// maxName bounds a part of the holder's name, in bytes.
	maxName = 256

	// RSA keys that the card can have: bits. The answer to the signature command
	// is as long, and a short APDU holds 256 bytes.
	minKeyBits, maxKeyBits = 1024, 2048

	// keyTimeout bounds a command with the holder's private key.
	keyTimeout = 30 * time.Second
)
