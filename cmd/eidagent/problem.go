package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"

	"github.com/eidbridge/eidbridge/cardreader"
	"github.com/eidbridge/eidbridge/cardreader/advisory"
	"github.com/eidbridge/eidbridge/cardreader/dnie"
	"github.com/eidbridge/eidbridge/cardreader/pin"
	"github.com/eidbridge/eidbridge/cardreader/pkcs11"
	"github.com/eidbridge/eidbridge/cardreader/pkcs12"
	"github.com/eidbridge/eidbridge/desktop"
	"github.com/eidbridge/eidbridge/desktop/prompt"
	"github.com/eidbridge/eidbridge/signing"
	"github.com/eidbridge/eidbridge/signing/archive"
	"github.com/eidbridge/eidbridge/signing/asic"
	"github.com/eidbridge/eidbridge/signing/cms"
	"github.com/eidbridge/eidbridge/signing/facturae"
	"github.com/eidbridge/eidbridge/signing/pades"
	"github.com/eidbridge/eidbridge/signing/pdf"
	"github.com/eidbridge/eidbridge/signing/xmltext"
)

// Exit codes, the same for all commands.
const (
	exitDone          = 0
	exitOther         = 1
	exitUsage         = 2
	exitReader        = 3 // no reader service or reader
	exitCard          = 4 // no card, or removed
	exitPINWrong      = 5
	exitPINBlocked    = 6
	exitRefused       = 7 // refused or timed out
	exitDocument      = 8 // document refused
	exitShort         = 9 // signed, below the level asked for
	exitFailed        = 10
	exitIndeterminate = 11
)

// problem is an error with its exit code, a sentence and the next steps. An empty
// message prints nothing.
type problem struct {
	exit    int
	message string
	hints   []string
}

func (p *problem) Error() string { return p.message }

// explain finds sentence, next step and exit code for an error.
func explain(err error) *problem {
	if p, ok := errors.AsType[*problem](err); ok {
		return p
	}
	if e, ok := errors.AsType[*cardreader.PINError](err); ok {
		return explainPIN(e)
	}
	if e, ok := errors.AsType[*advisory.ForbiddenError](err); ok {
		return &problem{exit: exitRefused, message: e.Error() + ": nothing was signed", hints: []string{
			"The administrator's key policy says so. The PIN was not asked for. Use another card, or ask the card's issuer for a new one.",
		}}
	}
	if p := explainDocument(err); p != nil {
		return p
	}
	if e, ok := errors.AsType[*cardreader.AmbiguousError](err); ok {
		return explainChoice(e)
	}
	if e, ok := errors.AsType[*cardreader.AmbiguousReaderError](err); ok {
		return explainReaders(e)
	}
	for _, row := range causes() {
		if errors.Is(err, row.err) {
			return &problem{exit: row.exit, message: row.message, hints: row.hints}
		}
	}
	return &problem{exit: exitOther, message: err.Error()}
}

// cause is an error that always means the same.
type cause struct {
	err     error
	exit    int
	message string
	hints   []string
}

// again goes with what may have been chance.
const again = "Nothing was signed. Run the command again."

func causes() []cause {
	return slices.Concat(readerCauses(), cardCauses(), tokenCauses(), personCauses())
}

// readerCauses are about PC/SC, readers and what is in them.
func readerCauses() []cause {
	return []cause{
		{cardreader.ErrNoService, exitReader, "the smart-card service (pcscd) is not running", []string{
			"Start it: sudo systemctl start pcscd.socket, or sudo pcscd where there is no systemd.",
			"If it is not installed: sudo apt install pcscd.",
		}},
		{cardreader.ErrNoReader, exitReader, "no smart-card reader is connected", []string{
			"Plug in a reader and run the command again.",
			"If it is plugged in, its driver may be missing: sudo apt install libccid.",
		}},
		{cardreader.ErrReaderGone, exitReader, "the smart-card reader is not there, or was unplugged", []string{
			"Plug it in again; eidagent cards shows the readers and their names.",
		}},
		{cardreader.ErrNoCard, exitCard, "no card is in the reader", []string{
			"Insert your identity card, chip first, and run the command again.",
		}},
		{cardreader.ErrCardRemoved, exitCard, "the card was removed half-way", []string{
			again, "Leave the card in the reader until the command has ended.",
		}},
		{cardreader.ErrCardChanged, exitCard, "another card was inserted half-way", []string{
			again, "The PIN was not sent to the other card.",
		}},
		{cardreader.ErrCardMute, exitCard, "the card does not answer", []string{
			"Take it out, wipe the chip, insert it chip first, and try again.",
		}},
	}
}

// cardCauses are about the card itself.
func cardCauses() []cause {
	return []cause{
		{cardreader.ErrCardUnsupported, exitOther, "the card is not of a supported kind", []string{
			"Supported: Estonian, Finnish and Latvian cards, the Spanish DNIe, cards with a PKCS #15 directory. eidagent cards shows what is inserted.",
			"Others may work through OpenSC or the issuer's own module: --pkcs11 MODULE.",
		}},
		{cardreader.ErrCardBusy, exitOther, "another program is using the card", []string{
			"Close browsers and other card programs, then try again.",
		}},
		{cardreader.ErrCardReset, exitOther, "another program disturbed the card", []string{
			again, "Close browsers and other card programs.",
		}},
		{cardreader.ErrCardProtocol, exitOther, "the card answered in a way it should not", []string{
			again, "If it happens again, please report it with what eidagent card diagnose --save FILE writes.",
		}},
		{cardreader.ErrCardUntrusted, exitOther, "the card's chip did not prove that it is genuine", []string{
			"The PIN was not sent. Do not use this card; ask its issuer.",
		}},
		{cardreader.ErrNotOffered, exitOther, "the card or token does not offer this", []string{
			"eidagent card info shows what it is. The issuer's own program may be able to do it.",
		}},
		{cardreader.ErrNoCredential, exitOther, "the card holds no matching signature certificate", []string{
			"eidagent cards lists the certificates.",
		}},
		{desktop.ErrCertificateExpired, exitOther, "the card's signature certificate is not valid today", []string{
			"Renew the card or its certificates; eidagent cards shows the dates.",
		}},
		{dnie.ErrNoAccessNumber, exitRefused, "the card is read without contact, and nobody can be asked for the number printed on it", []string{
			"Use a terminal or pinentry, --pin-fd with the number as first line, or a reader with contacts.",
		}},
	}
}

// tokenCauses are about modules and key files.
func tokenCauses() []cause {
	return []cause{
		{pkcs11.ErrPath, exitUsage, "the PKCS #11 module is in an unsafe place", []string{
			"Name it by its absolute path. The file and its folders must be writable for you and the administrator alone.",
		}},
		{pkcs11.ErrModule, exitUsage, "the PKCS #11 module cannot be loaded", []string{
			"Check the path and that it is for this computer's processor. OpenSC's: /usr/lib/x86_64-linux-gnu/opensc-pkcs11.so (package opensc-pkcs11).",
		}},
		{pkcs11.ErrCgo, exitOther, "this build of eidagent cannot load PKCS #11 modules", []string{
			"Build it with CGO_ENABLED=1.",
		}},
		{pkcs12.ErrMalformed, exitUsage, "the file is no PKCS #12 file, or a damaged one", []string{
			"Download or export it again.",
		}},
		{pkcs12.ErrUnsupported, exitUsage, "the key file is of a kind that cannot be used", []string{
			"Export it again from the program that holds the key, with a password and the certificate.",
		}},
	}
}

// personCauses are about what the person did or can be asked.
func personCauses() []cause {
	return []cause{
		{desktop.ErrMismatch, exitPINWrong, "the two entries of the new PIN differ: nothing was changed", []string{
			"The card was not asked, so no try was used. Run the command again.",
		}},
		{pin.ErrLength, exitPINWrong, "the entry is too long for a PIN", []string{
			"The card was not asked, so no try was used. Run the command again.",
		}},
		{desktop.ErrDeclined, exitRefused, "refused: nothing was signed", nil},
		{desktop.ErrCancelled, exitRefused, "cancelled: nothing was signed", nil},
		{context.Canceled, exitRefused, "cancelled: nothing was signed", nil},
		{desktop.ErrTimeout, exitRefused, "no answer in time: nothing was signed", []string{"Run the command again."}},
		{desktop.ErrNoPrompt, exitRefused, "there is no way to ask you", []string{
			"Run it in a terminal, install a pinentry program (sudo apt install pinentry-gnome3), or use --pin-fd.",
			"The last try of a PIN needs a yes in a terminal or pinentry; --pin-fd cannot give it.",
		}},
		{errNoData, exitOther, "there is no folder for journal and pairings", []string{
			"Name one with --data, or set HOME.",
		}},
	}
}

func explainPIN(e *cardreader.PINError) *problem {
	if e.PIN == pkcs12.PasswordID {
		return &problem{exit: exitPINWrong, message: "the password of the key file is wrong: nothing was signed", hints: []string{
			"A file counts no tries. Run the command again.",
		}}
	}
	left := ""
	switch {
	case e.TriesLeft == 1:
		left = "One try is left. After another wrong entry the PIN is blocked."
	case e.TriesLeft > 1:
		left = fmt.Sprintf("%d tries are left.", e.TriesLeft)
	}
	var p *problem
	switch e.Reason {
	case cardreader.PINBlocked:
		return blocked(e.PIN)
	case cardreader.PINUnchanged:
		p = &problem{exit: exitPINWrong, message: e.PIN + " was not changed: the new value is the old one", hints: []string{
			"Choose another value.",
		}}
	case cardreader.PINCancelled:
		return &problem{exit: exitRefused, message: "cancelled at the reader: nothing was signed"}
	case cardreader.PINTimeout:
		return &problem{exit: exitRefused, message: "nothing was typed at the reader in time: nothing was signed"}
	case cardreader.PINDiffers:
		return &problem{exit: exitPINWrong, message: "the two entries of the new PIN differ: nothing was changed", hints: []string{
			"The card was not asked, so no try was used. Run the command again.",
		}}
	case cardreader.PINFormat:
		p = &problem{exit: exitPINWrong, message: e.PIN + " has the wrong length or characters", hints: []string{
			"The card was not asked, so no try was used. eidagent card pin status shows the rule.",
		}}
	case cardreader.PINMustChange:
		p = &problem{exit: exitOther, message: e.PIN + " must be changed before its first use", hints: []string{
			"Set your own PIN, then try again: eidagent card pin change " + e.PIN,
		}}
	default:
		if e.TriesLeft == 0 {
			return blocked(e.PIN)
		}
		p = &problem{exit: exitPINWrong, message: e.PIN + " is wrong: nothing was signed", hints: []string{
			"Run the command again with the right PIN. Signatures take PIN2, not PIN1.",
		}}
	}
	if left != "" {
		p.hints = append(p.hints, left)
	}
	return p
}

func blocked(name string) *problem {
	if name == "PUK" {
		return &problem{exit: exitPINBlocked, message: "the PUK is blocked", hints: []string{
			"The issuer's service point gives out new codes.",
		}}
	}
	return &problem{exit: exitPINBlocked, message: name + " is blocked", hints: []string{
		"Unblock it with the PUK from the envelope that came with the card: eidagent card pin unblock " + name,
		"A DNIe is unblocked at the kiosk of a police station.",
		"Without the PUK, the issuer's service point gives out new codes.",
	}}
}

// isContainerError tells whether a container was refused for what it is.
func isContainerError(err error) bool {
	for _, sentinel := range []error{
		asic.ErrNotContainer, asic.ErrFormat, archive.ErrFormat, archive.ErrLimit, archive.ErrName, archive.ErrEncrypted, archive.ErrAmbiguous, archive.ErrCorrupt,
	} {
		if errors.Is(err, sentinel) {
			return true
		}
	}
	return false
}

// explainDocument is about the document and the output, nil for other errors.
func explainDocument(err error) *problem {
	for _, explain := range []func(error) *problem{explainOutput, explainInvoice, explainContainer, explainPDF, explainRefusal, explainFile} {
		if p := explain(err); p != nil {
			return p
		}
	}
	return nil
}

// explainOutput is about what was to be written.
func explainOutput(err error) *problem {
	switch {
	case errors.Is(err, context.Canceled): // whatever it was that did not come to its end
		return nil
	case errors.Is(err, signing.ErrCheck):
		return &problem{exit: exitOther, message: err.Error(), hints: []string{
			"The original is unchanged and nothing was put in place. Please report this; the fault is the program's or the disk's.",
		}}
	case errors.Is(err, pades.ErrExists):
		return &problem{exit: exitOther, message: "the output file exists already", hints: []string{
			"Name another one with --out, or let it be replaced with --force.",
		}}
	case errors.Is(err, pades.ErrOutput):
		message := err.Error()
		if failed, ok := errors.AsType[*fs.PathError](err); ok { // its path is a temporary one
			message = fmt.Sprintf("the folder %s cannot be written to: %v", filepath.Dir(failed.Path), failed.Err)
		}
		return &problem{exit: exitOther, message: message, hints: []string{
			"The original is unchanged. Name another place with --out.",
		}}
	}
	return nil
}

// explainContainer is about containers and messages.
func explainContainer(err error) *problem {
	_, isXML := errors.AsType[*xmltext.Error](err)
	switch {
	case errors.Is(err, asic.ErrSigned):
		return &problem{exit: exitDocument, message: "the container is signed, so its files stay as they are", hints: []string{
			"Take the files out with eidagent container extract, and make a new container of them.",
		}}
	case errors.Is(err, asic.ErrNoFile):
		return &problem{exit: exitUsage, message: err.Error(), hints: []string{"eidagent container list shows what is in it."}}
	case isContainerError(err):
		return &problem{exit: exitDocument, message: err.Error(), hints: []string{
			"Ask its sender for another copy. Do not repair it: that can change what is signed.",
		}}
	case errors.Is(err, cms.ErrFormat), errors.Is(err, cms.ErrLimit), isXML:
		return &problem{exit: exitDocument, message: err.Error()}
	}
	return nil
}

func explainInvoice(err error) *problem {
	if schema, ok := errors.AsType[*facturae.SchemaError](err); ok {
		return &problem{exit: exitDocument, message: fmt.Sprintf("the invoice does not keep to the schema of FacturaE at byte %d, %s: %s", schema.Offset, schema.Path, schema.Problem), hints: []string{
			"Correct it in the program that made it: receivers refuse such an invoice. To sign it as any other XML: --format xades",
		}}
	}
	if errors.Is(err, facturae.ErrSigned) {
		return &problem{exit: exitDocument, message: "the invoice is signed already", hints: []string{"An invoice has one signature."}}
	}
	return nil
}

func explainPDF(err error) *problem {
	broken, isBroken := errors.AsType[*pdf.FormatError](err)
	limit, isLimit := errors.AsType[*pdf.LimitError](err)
	switch {
	case errors.Is(err, pdf.ErrNotPDF):
		return &problem{exit: exitDocument, message: "the file is not a PDF", hints: []string{
			"Only PDF documents have the ending .pdf. Export the document as PDF first, or rename it.",
		}}
	case errors.Is(err, pdf.ErrEncrypted):
		return &problem{exit: exitDocument, message: "the PDF is encrypted", hints: []string{
			"Give its password with --password-fd, or run the command in a terminal to be asked for it.",
		}}
	case isBroken:
		return &problem{exit: exitDocument, message: broken.Error(), hints: []string{
			"Open it in the program that made it and save it again, or repair it: qpdf in.pdf out.pdf",
		}}
	case isLimit:
		return &problem{exit: exitDocument, message: limit.Error(), hints: []string{
			"A document of a usual program stays far below it: the file is damaged, or made to overwhelm programs. Get it once more from where it came from.",
		}}
	}
	return nil
}

// explainRefusal is about documents that would be harmed, or do harm.
func explainRefusal(err error) *problem {
	refused, ok := errors.AsType[*pades.RefusedError](err)
	if !ok {
		return nil
	}
	p := &problem{exit: exitDocument, message: "the document cannot be signed: " + refused.Why}
	switch {
	case refused.Code == signing.RefusedUnsigned:
		p.message, p.hints = refused.Why, []string{refused.Advice}
	case refused.Code == signing.RefusedEarlier:
		p.hints = []string{
			"Put the document into a container with --format asic-e, sign it where it is with --format xades --packaging detached, or sign the signature with --countersign 1.",
			"A document whose first signature is made with --parallel takes more beside it.",
		}
	case refused.Code == signing.RefusedTooLarge:
		p.hints = []string{"Sign it where it is with --format xades --packaging detached, or put it into a container with --format asic-e."}
	case refused.Advice != "":
		p.hints = []string{refused.Advice}
	}
	if refused.Code == pades.RefusedVisible {
		p.hints = append(p.hints, "The options for it: --mark-text, --mark-picture, --mark-size WxH, --mark-font FILE")
	}
	if refused.Code == pades.RefusedPermission {
		p.hints = append(p.hints, "The owner's password is read from a descriptor: --password-fd 3 3<password.txt")
	}
	if refused.Code == signing.RefusedUnsafe {
		p.hints = append(p.hints, "What it does can change what is shown: eidagent scan prints where. If you want it signed all the same: --allow-active")
	}
	return p
}

// explainFile is about opening and reading the input.
func explainFile(err error) *problem {
	missing, isMissing := errors.AsType[*fs.PathError](err)
	switch {
	case errors.Is(err, pades.ErrSourceChanged):
		return &problem{exit: exitDocument, message: "the file was changed while it was being signed", hints: []string{
			"Nothing was signed. Close the program that writes to it and try again.",
		}}
	case isMissing && errors.Is(err, fs.ErrNotExist):
		return &problem{exit: exitUsage, message: "there is no file " + missing.Path}
	case isMissing && errors.Is(err, fs.ErrPermission):
		return &problem{exit: exitOther, message: "not allowed to open " + missing.Path}
	}
	return nil
}

func explainChoice(e *cardreader.AmbiguousError) *problem {
	p := &problem{exit: exitUsage, message: "several certificates could sign", hints: []string{
		"Choose with --reader NAME or --certificate SHA256 among:",
	}}
	for _, f := range e.Candidates {
		sum := sha256.Sum256(f.Credential.Certificate.Raw)
		p.hints = append(p.hints, "  "+prompt.Quote(f.Inserted.Reader.Name, 128)+"  "+hex.EncodeToString(sum[:]))
	}
	return p
}

func explainReaders(e *cardreader.AmbiguousReaderError) *problem {
	p := &problem{exit: exitUsage, message: "several cards are inserted", hints: []string{
		"Choose a reader with --reader NAME among:",
	}}
	for _, r := range e.Readers {
		p.hints = append(p.hints, "  "+prompt.Quote(r.Name, 128))
	}
	return p
}
