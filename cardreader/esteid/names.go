package esteid

import (
	"fmt"

	"github.com/eidbridge/eidbridge/cardreader"
	"github.com/eidbridge/eidbridge/cardreader/iso7816"
	"github.com/eidbridge/eidbridge/cardreader/pin"
)

// Instructions and parameters of ISO/IEC 7816-4 and 7816-8.
const (
	insVerify               = iso7816.Verify
	insManageSecurity       = iso7816.ManageSecurity
	insChange               = iso7816.ChangeReferenceData
	insPerformSecurity      = iso7816.PerformSecurity
	insReset                = iso7816.ResetRetryCounter
	insInternalAuthenticate = iso7816.InternalAuthenticate
	insSelect               = iso7816.Select
	insGetData              = iso7816.GetData

	selectFile     = 0x02 // EF under the current DF
	selectByName   = 0x04 // application identifier
	selectPathHere = 0x09 // path from the current DF
	answerFCP      = 0x04 // return file control parameters
	noAnswer       = 0x0C

	setForComputation = 0x41 // MSE SET, computation (ISO/IEC 7816-4 11.5.11)
	templateAT        = 0xA4 // authentication
	templateDST       = 0xB6 // digital signature
	templateCT        = 0xB8 // confidentiality
)

// answersToReset are those of IDEMIA's Cosmo 8.1/8.2 card (Estonia: December
// 2018 on) and of the Cosmo X card ("v2", about 2022 on). The Estonian ones carry
// country 233, the Latvian 428; all say "eID".
func answersToReset(c Country) [][]byte {
	if c == Latvia {
		return [][]byte{
			[]byte("\x3B\xDB\x96\x00\x80\xB1\xFE\x45\x1F\x83\x00\x12\x42\x8F\x53\x65\x49\x44\x0F\x90\x00\x20"),
			[]byte("\x3B\xDC\x96\x00\x80\xB1\xFE\x45\x1F\x83\x00\x12\x42\x8F\x54\x65\x49\x44\x32\x0F\x90\x00\x12"),
		}
	}
	return [][]byte{
		[]byte("\x3B\xDB\x96\x00\x80\xB1\xFE\x45\x1F\x83\x00\x12\x23\x3F\x53\x65\x49\x44\x0F\x90\x00\xF1"),
		[]byte("\x3B\xDC\x96\x00\x80\xB1\xFE\x45\x1F\x83\x00\x12\x23\x3F\x54\x65\x49\x44\x32\x0F\x90\x00\xC3"),
	}
}

// application is one of the card's three.
type application int

const (
	elsewhere application = iota
	mainApplication
	authenticationApplication
	signatureApplication
)

// identifier is the application identifier (TD-ID1-Chip-App): the MF under its
// own name, ADF1 as E828BD080F and "POT AWP", ADF2 as plain text.
func (a application) identifier() []byte {
	switch a {
	case authenticationApplication:
		return []byte("\xE8\x28\xBD\x08\x0F\xF2\x50\x4F\x54\x20\x41\x57\x50")
	case signatureApplication:
		return []byte("QSCD Application")
	default:
		return []byte("\xA0\x00\x00\x00\x77\x01\x08\x00\x07\x00\x00\xFE\x00\x00\x01\x00")
	}
}

func (a application) String() string {
	switch a {
	case authenticationApplication:
		return "authentication application"
	case signatureApplication:
		return "signature application"
	default:
		return "main application"
	}
}

// Files of the main application. The document number is a DER OCTET STRING in
// ASCII, as OpenSC's card-esteid2018.c reads it; the personal data are records
// below DF 5000.
const (
	fileDocumentNumber = "\xD0\x03"
	pathMain           = "\x3F\x00"
	pathPersonalData   = "\x3F\x00\x50\x00"
)

// key is a private key with its certificate.
type key struct {
	id    string
	usage cardreader.Usage
	pin   string
	// certificate is the path of the certificate below the main application.
	certificate string
	application application
	// MSE SET: the template, and algorithm (80) and key (84) as its data.
	template  byte
	algorithm byte
	reference byte
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
			template: templateAT, algorithm: 0x04, reference: 0x81,
			ins: insInternalAuthenticate,
		},
		{
			id: "signature", usage: cardreader.UsageSignature, pin: "PIN2",
			certificate: "\xAD\xF2\x34\x1F", application: signatureApplication,
			template: templateDST, algorithm: 0x54, reference: 0x9F,
			ins: insPerformSecurity, p1: 0x9E, p2: 0x9A,
		},
	}
}

func (c *card) keyByID(id string) (key, error) {
	for _, k := range c.keys {
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
	application application
}

// references lists PIN1, PUK and PIN2 (TD-ID1-Chip-App), in the order that needs
// the fewest selections. Bit 8 of PIN2's number makes it local to ADF2, which
// has to be selected first.
func references() []reference {
	return []reference{
		{id: "PIN1", number: 0x01, min: 4, application: mainApplication},
		{id: idPUK, number: 0x02, min: 8, application: mainApplication},
		{id: "PIN2", number: 0x85, min: 5, application: signatureApplication},
	}
}

const idPUK = "PUK"

func (c *card) referenceByID(id string) (reference, error) {
	for _, r := range c.references {
		if r.id == id {
			return r, nil
		}
	}
	return reference{}, fmt.Errorf("%w: no %q", cardreader.ErrNoCredential, id)
}

// A PIN is filled up with FF to twelve bytes, which is thereby the longest.
const (
	pinBlock = 12
	pinPad   = 0xFF
)

func (r reference) rule() pin.Rule {
	return pin.Rule{Min: r.min, Max: pinBlock, Class: pin.Digits}
}

func (r reference) atPad() iso7816.PadPIN {
	return iso7816.PadPIN{ID: r.id, Reference: r.number, Rule: r.rule(), Block: pinBlock, Pad: pinPad}
}
