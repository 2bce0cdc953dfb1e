package pkcs11

import "time"

// Bounds of what a module may do and say.
const (
	// listTimeout bounds reading all tokens, signTimeout one login and signature;
	// a slow card needs up to 30 s for its key. padTimeout is the latter with a
	// PIN typed at the reader.
	listTimeout = 30 * time.Second
	signTimeout = 60 * time.Second
	padTimeout  = 90 * time.Second
	// endPatience is how long the process may take to end after its answer.
	endPatience = time.Second

	// maxSlots bounds the tokens that are read, maxCertificates those of one
	// token, maxCertificate the bytes of each.
	maxSlots        = 16
	maxCertificates = 32
	maxCertificate  = 32 << 10
	// maxKeyID bounds a CKA_ID, maxText a label, in bytes.
	maxKeyID = 256
	maxText  = 128
	// maxSignature is that of RSA with 8192 bits.
	maxSignature = 1024
	// maxAnswer bounds all that the process prints, chatter of the module
	// included. It holds maxSlots tokens with a few certificates each.
	maxAnswer = 8 << 20
	// maxRequest bounds the request line.
	maxRequest = 64 << 10
	// maxMemory is what the process may allocate, in bytes.
	maxMemory = 2 << 30
)
