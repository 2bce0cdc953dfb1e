package pkcs15

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"github.com/eidbridge/eidbridge/cardreader/apdu"
	"github.com/eidbridge/eidbridge/cardreader/iso7816"
	"github.com/eidbridge/eidbridge/cardreader/tlv"
)

// files selects and reads files of one card.
type files struct {
	transport apdu.Transmitter
	// application is the absolute path of the application's directory, nil when
	// it was selected by its identifier and has none that is known.
	application []byte
	identifier  []byte
	// at is the directory that is selected, as an absolute path; nil when that is
	// not known. inside: it is the application's.
	at     []byte
	inside bool
	// form is the first way of selecting that the card takes.
	form int
}

// Parameters of SELECT (ISO/IEC 7816-4 tables 63 and 64).
const (
	byIdentifier   = 0x00
	byChildEF      = 0x02
	byName         = 0x04
	byPathFromRoot = 0x08
	byPathFromHere = 0x09

	answerFCP = 0x04
	answerFCI = 0x00
	noAnswer  = 0x0C
)

// masterFile is the path of the MF.
const masterFile = "\x3F\x00"

// normal is the absolute path of a file, or a relative one when the application
// has no path.
func (f *files) normal(file []byte) []byte {
	if len(file) >= 2 && string(file[:2]) == masterFile || f.application == nil {
		return file
	}
	return append(bytes.Clone(f.application), file...)
}

// selectFile returns the control parameters of a file. The card keeps its way of
// being asked: paths with FCP, paths with FCI, or one identifier after another.
func (f *files) selectFile(ctx context.Context, file []byte) ([]byte, error) {
	file = f.normal(file)
	for ; ; f.form++ {
		answer, err := f.selectBy(ctx, f.form, file)
		if err == nil || f.form == formSteps || !unknownForm(err) {
			return answer, err
		}
	}
}

// The forms of selection, from the cheapest.
const (
	formFCP = iota
	formFCI
	formSteps
)

// unknownForm tells a command that the card does not know from a file that it
// does not have.
func unknownForm(err error) bool {
	var status *apdu.StatusError
	if !errors.As(err, &status) {
		return false
	}
	switch status.SW {
	case 0x6A86, 0x6A81, 0x6B00, 0x6D00, apdu.SWWrongLength, 0x6A87, 0x6A80:
		return true
	default:
		return false
	}
}

func (f *files) selectBy(ctx context.Context, form int, file []byte) ([]byte, error) {
	absolute := len(file) >= 2 && string(file[:2]) == masterFile
	if !absolute {
		if err := f.enter(ctx); err != nil {
			return nil, err
		}
	}
	if form == formSteps {
		return f.steps(ctx, file)
	}
	command := apdu.Command{INS: iso7816.Select, P1: byChildEF, P2: answerFCP, Data: file, Ne: apdu.MaxShortNe}
	switch {
	case absolute && len(file) == 2:
		command.P1 = byIdentifier
	case absolute:
		command.P1, command.Data = byPathFromRoot, file[2:]
	case len(file) > 2:
		command.P1 = byPathFromHere
	}
	if form == formFCI {
		command.P2 = answerFCI
	}
	answer, err := f.do(ctx, command)
	f.moved(file, absolute, err)
	return answer, err
}

// moved notes which directory is selected after file was.
func (f *files) moved(file []byte, absolute bool, err error) {
	if !absolute && len(file) == 2 {
		return // an EF of the application
	}
	f.at, f.inside = nil, false
	if err == nil && absolute && len(file) >= 4 {
		// A directory's own files and the directory itself; which of them the
		// last identifier is shows when the next file is asked for.
		f.at = file[:len(file)-2]
	}
}

func (f *files) steps(ctx context.Context, file []byte) (answer []byte, err error) {
	f.at, f.inside = nil, false
	for i := 0; i < len(file); i += 2 {
		answer, err = f.do(ctx, apdu.Command{
			INS: iso7816.Select, P1: byIdentifier, P2: answerFCI, Data: file[i : i+2], Ne: apdu.MaxShortNe,
		})
		if err != nil {
			return nil, err
		}
	}
	return answer, nil
}

// enter selects the application when it has a name alone.
func (f *files) enter(ctx context.Context) error {
	if f.inside {
		return nil
	}
	if f.identifier == nil {
		return malformed("relative path without an application")
	}
	return f.selectName(ctx, f.identifier)
}

func (f *files) selectName(ctx context.Context, identifier []byte) error {
	f.at, f.inside = nil, false
	command := apdu.Command{INS: iso7816.Select, P1: byName, P2: noAnswer, Data: identifier}
	_, err := f.do(ctx, command)
	if unknownForm(err) {
		command.P2, command.Ne = answerFCI, apdu.MaxShortNe
		_, err = f.do(ctx, command)
	}
	f.inside = err == nil
	return err
}

// enterDirectory selects a directory unless a file in it was the last one. A card
// that does not let it be selected keeps what is.
func (f *files) enterDirectory(ctx context.Context, file []byte) error {
	file = f.normal(file)
	if len(file) == 0 || bytes.Equal(file, f.at) || f.inside && bytes.Equal(file, f.application) {
		return nil
	}
	_, err := f.selectFile(ctx, file)
	var status *apdu.StatusError
	if errors.As(err, &status) {
		return nil
	}
	if err == nil {
		f.at = file
	}
	return err
}

func (f *files) do(ctx context.Context, command apdu.Command) ([]byte, error) {
	command.Public = true
	return apdu.Do(ctx, f.transport, command)
}

// read is the content of a file, or of a part of it, at most limit bytes.
func (f *files) read(ctx context.Context, p path, limit int) ([]byte, error) {
	control, err := f.selectFile(ctx, p.file)
	if err != nil {
		return nil, err
	}
	blocks := iso7816.Blocks{Size: block}
	if p.length >= 0 {
		if p.length > limit {
			return nil, malformed(fmt.Sprintf("%d bytes", p.length))
		}
		return blocks.Read(ctx, f.transport, p.offset, p.length)
	}
	size, err := iso7816.FileSize(control)
	switch {
	case errors.Is(err, tlv.ErrNotFound) && p.offset == 0:
		return blocks.ReadToEnd(ctx, f.transport, limit)
	case err != nil:
		return nil, err
	case size < p.offset || size-p.offset > limit:
		return nil, malformed(fmt.Sprintf("file of %d bytes", size))
	}
	return blocks.Read(ctx, f.transport, p.offset, size-p.offset)
}
