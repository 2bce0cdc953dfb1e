package esteid2025

import (
	"crypto"
	"fmt"

	"github.com/eidbridge/eidbridge/cardreader"
	"github.com/eidbridge/eidbridge/cardreader/iso7816"
	"github.com/eidbridge/eidbridge/cardreader/pin"
)

// Parameters of ISO/IEC 7816-4 and 7816-8.
const (
	selectByName   = 0x04 // application identifier
	selectFromRoot = 0x08 // path from the MF
	answerFCP      = 0x04
	noAnswer       = 0x0C

	setForComputation = 0x41
	templateDST       = 0xB6 // digital signature
	templateCT        = 0xB8 // confidentiality
)

// application is the identifier of PKCS #15 (A000000063 and "PKCS-15").
const application = "\xA0\x00\x00\x00\x63PKCS-15"

// answerToReset is the model's; the version bytes of Finland4 are zero here.
func answerToReset(m Model) []byte {
	switch m {
	case Finland3:
		return []byte("\x3B\x7F\x96\x00\x00\x80\x31\xB8\x65\xB0\x85\x04\x02\x1B\x12\x00\xF6\x82\x90\x00")
	case Finland4:
		return []byte("\x3B\x7F\x96\x00\x00\x80\x31\xB8\x65\xB0\x85\x05\x00\x00\x12\x24\x60\x82\x90\x00")
	default:
		return []byte("\x3B\xFF\x96\x00\x00\x80\x31\xFE\x43\x80\x31\xB8\x53\x65\x49\x44\x64\xB0\x85\x05\x10\x12\x23\x3F\x1D")
	}
}

// Paths of the Estonian card.
const (
	pathPersonalData   = "\xDF\xDD"
	pathDocumentNumber = "\xDF\xDD\x50\x07"
)

// key is a private key with its certificate.
type key struct {
	id    string
	usage cardreader.Usage
	pin   string
	// certificate is the path from the MF.
	certificate string
	reference   byte
	scheme      scheme
}

// scheme is what a key makes.
type scheme struct {
	// size is the length of the curve's field in bytes, 0 for RSA.
	size int
	// algorithm is the low half of the algorithm byte.
	algorithm byte
	// hashes lists what the key is known to sign.
	hashes []crypto.Hash
}

// The schemes: 4 is ECDSA, 5 is RSASSA-PSS, with the hash in the high half. Only
// SHA-256 is recorded for RSASSA-PSS.
func ecdsaOn(size int) scheme {
	return scheme{size: size, algorithm: 0x04, hashes: []crypto.Hash{crypto.SHA256, crypto.SHA384, crypto.SHA512}}
}

func rsaPSS() scheme { return scheme{algorithm: 0x05, hashes: []crypto.Hash{crypto.SHA256}} }

func (s scheme) pss() bool { return s.size == 0 }

// identifier is the algorithm byte for a hash; false when it is not offered.
func (s scheme) identifier(hash crypto.Hash) (byte, bool) {
	for _, h := range s.hashes {
		if h == hash {
			return map[crypto.Hash]byte{crypto.SHA256: 0x40, crypto.SHA384: 0x50, crypto.SHA512: 0x60}[hash] | s.algorithm, true
		}
	}
	return 0, false
}

// keys are the two of a model, as open drivers and the recordings have them.
func keys(m Model) []key {
	authentication := key{id: "authentication", usage: cardreader.UsageAuthentication, pin: "PIN1", reference: 0x01, scheme: ecdsaOn(48)}
	signature := key{id: "signature", usage: cardreader.UsageSignature, pin: "PIN2", scheme: ecdsaOn(48)}
	switch m {
	case Finland3:
		authentication.certificate, authentication.scheme = "\x43\x31", rsaPSS()
		signature.certificate, signature.reference, signature.scheme = "\x50\x16\x43\x35", 0x03, ecdsaOn(32)
	case Finland4:
		authentication.certificate = "\x43\x31"
		signature.certificate, signature.reference = "\x50\x16\x43\x32", 0x02
	default:
		authentication.certificate = "\xAD\xF1\x34\x11"
		signature.certificate, signature.reference = "\xAD\xF2\x34\x21", 0x05
	}
	return []key{authentication, signature}
}

func (c *card) keyByID(id string) (key, error) {
	for _, k := range c.keys {
		if k.id == id {
			return k, nil
		}
	}
	return key{}, fmt.Errorf("%w: no key %q", cardreader.ErrNoCredential, id)
}

// reference is a PIN or PUK.
type reference struct {
	id     string
	number byte
	min    int
	max    int // tries
}

const idPUK = "PUK"

// references are the model's. The PUK of the Finnish cards has another number in
// every generation and is left out.
func references(m Model) []reference {
	if m != Estonia {
		return []reference{{id: "PIN1", number: 0x11, min: 4, max: 5}, {id: "PIN2", number: 0x82, min: 6, max: 5}}
	}
	return []reference{
		{id: "PIN1", number: 0x81, min: 4, max: 3},
		{id: "PIN2", number: 0x82, min: 5, max: 3},
		{id: idPUK, number: 0x83, min: 8, max: 3},
	}
}

func (c *card) referenceByID(id string) (reference, error) {
	for _, r := range c.references {
		if r.id == id {
			return r, nil
		}
	}
	return reference{}, fmt.Errorf("%w: no %q", cardreader.ErrNoCredential, id)
}

// A PIN is filled up with zeros to twelve bytes, which is thereby the longest.
const (
	pinBlock = 12
	pinPad   = 0x00
)

func (r reference) rule() pin.Rule { return pin.Rule{Min: r.min, Max: pinBlock, Class: pin.Digits} }

func (r reference) atPad() iso7816.PadPIN {
	return iso7816.PadPIN{ID: r.id, Reference: r.number, Rule: r.rule(), Block: pinBlock, Pad: pinPad}
}
