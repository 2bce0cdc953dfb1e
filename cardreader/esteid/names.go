package esteid

import (
	"fmt"

	"github.com/eidbridge/eidbridge/cardreader"
	"github.com/eidbridge/eidbridge/cardreader/pin"
)

// Instructions and parameters of ISO/IEC 7816-4 and 7816-8.
const (
	insVerify               = 0x20
	insManageSecurity       = 0x22
	insPerformSecurity      = 0x2A
	insInternalAuthenticate = 0x88
	insSelect               = 0xA4
	insReadBinary           = 0xB0
	insGetData              = 0xCB

	selectFile     = 0x02 // EF under the current DF
	selectByName   = 0x04 // application identifier
	selectPathHere = 0x09 // path from the current DF
	answerFCP      = 0x04 // return file control parameters
	noAnswer       = 0x0C

	setForComputation = 0x41 // MSE SET, computation (ISO/IEC 7816-4 11.5.11)
	templateAT        = 0xA4 // authentication
	templateDST       = 0xB6 // digital signature
)

// Answers to reset of the IDEMIA Cosmo 8.1/8.2 card (December 2018 on) and of
// the Cosmo X card ("v2", about 2022 on). Both carry country 233 and "SeID".
func answersToReset() [][]byte {
	return [][]byte{
		[]byte("\x3B\xDB\x96\x00\x80\xB1\xFE\x45\x1F\x83\x00\x12\x23\x3F\x53\x65\x49\x44\x0F\x90\x00\xF1"),
		[]byte("\x3B\xDC\x96\x00\x80\xB1\xFE\x45\x1F\x83\x00\x12\x23\x3F\x54\x65\x49\x44\x32\x0F\x90\x00\xC3"),
	}
}

// mainApplication is the MF under its application identifier (TD-ID1-Chip-App).
func mainApplication() []byte {
	return []byte("\xA0\x00\x00\x00\x77\x01\x08\x00\x07\x00\x00\xFE\x00\x00\x01\x00")
}

// authenticationApplication is ADF1, "AWP" in TD-ID1-Chip-App: E828BD080F
// followed by the text F2 "POT AWP".
func authenticationApplication() []byte {
	return []byte("\xE8\x28\xBD\x08\x0F\xF2\x50\x4F\x54\x20\x41\x57\x50")
}

// signatureApplication is ADF2, whose identifier is plain text.
func signatureApplication() []byte { return []byte("QSCD Application") }

// fileDocumentNumber is EF D003 of the main application: a DER OCTET STRING
// with the number in ASCII, as OpenSC's card-esteid2018.c reads it.
const fileDocumentNumber = "\xD0\x03"

// key is a private key with its certificate.
type key struct {
	id    string
	usage cardreader.Usage
	pin   string
	// certificate is the path of the certificate below the main application.
	certificate string
	application func() []byte
	// MSE SET: the template and its data, algorithm (80) and key (84).
	template    byte
	environment string
	// The signature command.
	ins, p1, p2 byte
}

// keys are the two of the card (TD-ID1-Chip-App): 81 in ADF1, algorithm 04 is
// ECDSA over a given value; 9F in ADF2, algorithm 54 is ECDSA with a SHA-384
// value.
func keys() []key {
	return []key{
		{
			id: "authentication", usage: cardreader.UsageAuthentication, pin: "PIN1",
			certificate: "\xAD\xF1\x34\x01", application: authenticationApplication,
			template: templateAT, environment: "\x80\x01\x04\x84\x01\x81",
			ins: insInternalAuthenticate,
		},
		{
			id: "signature", usage: cardreader.UsageSignature, pin: "PIN2",
			certificate: "\xAD\xF2\x34\x1F", application: signatureApplication,
			template: templateDST, environment: "\x80\x01\x54\x84\x01\x9F",
			ins: insPerformSecurity, p1: 0x9E, p2: 0x9A,
		},
	}
}

func keyByID(id string) (key, error) {
	for _, k := range keys() {
		if k.id == id {
			return k, nil
		}
	}
	return key{}, fmt.Errorf("%w: no key %q", cardreader.ErrNoCredential, id)
}

// reference is a PIN or PUK: P2 of VERIFY, and its low four bits in GET DATA.
type reference struct {
	id          string
	number      byte
	min         int
	application func() []byte // nil is the main application
}

// references lists PIN1, PUK and PIN2 (TD-ID1-Chip-App), in the order that needs
// the fewest selections. Bit 8 of PIN2's number makes it local to ADF2, which
// has to be selected first.
func references() []reference {
	return []reference{
		{id: "PIN1", number: 0x01, min: 4},
		{id: "PUK", number: 0x02, min: 8},
		{id: "PIN2", number: 0x85, min: 5, application: signatureApplication},
	}
}

func referenceByID(id string) (reference, error) {
	for _, r := range references() {
		if r.id == id {
			return r, nil
		}
	}
	return reference{}, fmt.Errorf("%w: no %q", cardreader.ErrNoCredential, id)
}

// pinBlock is the length of a padded PIN in bytes and thereby the longest PIN.
const pinBlock = 12

func (r reference) rule() pin.Rule {
	return pin.Rule{Min: r.min, Max: pinBlock, Class: pin.Digits}
}
