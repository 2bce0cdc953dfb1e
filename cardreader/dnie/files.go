package dnie

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/eidbridge/eidbridge/cardreader"
	"github.com/eidbridge/eidbridge/cardreader/apdu"
	"github.com/eidbridge/eidbridge/cardreader/iso7816"
	"github.com/eidbridge/eidbridge/cardreader/tlv"
)

// Instructions beyond those of iso7816, and parameters of SELECT.
const (
	insSerial = 0xB8 // class 90
	claMaker  = 0x90

	selectFile   = 0x00 // by file identifier, below the current DF
	selectByName = 0x04
)

// masterFile is the name of the MF.
const masterFile = "Master.File"

// Files of the card (OpenSC pkcs15-dnie.c, card-dnie.c; jmulticard Dnie). A path
// is a list of identifiers below the MF.
type path []uint16

func pathIDESP() path        { return path{0x0006} }
func pathPIN() path          { return path{0x0000} }
func pathChip() path         { return path{0x601F} }
func pathIntermediate() path { return path{0x6020} }
func pathObjects() path      { return path{0x5015, 0x5031} } // ODF
func pathPrivateKeys() path  { return path{0x5015, 0x6001} } // PrKDF
func pathCertificates() path { return path{0x5015, 0x6004} } // CDF
func pathCardAccess() path   { return path{0x011C} }

// serial is SN.ICC: 00 and the seven bytes of the chip's number.
type serial [8]byte

// exchange sends a command through whatever channel is open.
func (c *card) exchange(ctx context.Context, command apdu.Command) (apdu.Response, error) {
	return apdu.Exchange(ctx, c.transport, command)
}

func (c *card) do(ctx context.Context, command apdu.Command) ([]byte, error) {
	return apdu.Do(ctx, c.transport, command)
}

// selectMaster selects the MF, which the handshake starts from and every path.
func (c *card) selectMaster(ctx context.Context) error {
	c.at = nil
	_, err := c.do(ctx, apdu.Command{
		INS: iso7816.Select, P1: selectByName, Data: []byte(masterFile), Ne: apdu.MaxShortNe, Public: true, Unread: true,
	})
	if err == nil {
		c.at = path{}
	}
	return err
}

// toMaster selects the MF unless that is where the card is.
func (c *card) toMaster(ctx context.Context) error {
	if c.at != nil && len(c.at) == 0 {
		return nil
	}
	return c.selectMaster(ctx)
}

// selectPath walks to a file, from the DF that is selected or else from the MF,
// and returns its control information.
func (c *card) selectPath(ctx context.Context, p path) ([]byte, error) {
	folder, file := p[:len(p)-1], p[len(p)-1]
	if c.at == nil || !slices.Equal(c.at, folder) {
		if err := c.toMaster(ctx); err != nil {
			return nil, err
		}
		c.at = nil
		for _, id := range folder {
			if _, err := c.selectID(ctx, id, true); err != nil {
				return nil, err
			}
		}
		c.at = slices.Clone(folder)
	}
	return c.selectID(ctx, file, false)
}

// selectID selects a file; unread leaves its control information where it is.
func (c *card) selectID(ctx context.Context, id uint16, unread bool) ([]byte, error) {
	return c.do(ctx, apdu.Command{
		INS: iso7816.Select, P1: selectFile, Data: []byte{byte(id >> 8), byte(id)}, Ne: apdu.MaxShortNe, Public: true, Unread: unread,
	})
}

// Control information: 6F { 84 name, 85 proprietary }, the latter type, file
// identifier (2), size (2), access bytes.
const (
	tagControl     tlv.Tag = 0x6F
	tagProprietary tlv.Tag = 0x85
)

// fileSize reads a file's size from its control information, in bytes.
func fileSize(control []byte, limit int) (int, error) {
	value, err := tlv.Find(control, tagControl, tagProprietary)
	if err != nil {
		return 0, fmt.Errorf("file control information: %w", err)
	}
	const sizeAt = 3
	if len(value) < sizeAt+2 {
		return 0, fmt.Errorf("%w: file control information of %d bytes", iso7816.ErrContent, len(value))
	}
	size := int(value[sizeAt])<<8 | int(value[sizeAt+1])
	if size == 0 || size > limit {
		return 0, fmt.Errorf("%w: file of %d bytes, at most %d", iso7816.ErrContent, size, limit)
	}
	return size, nil
}

// read reads a file of at most limit bytes. With enough it ends as soon as that
// says yes to what is there: directories are padded to twice their content. What
// it reads is personal, so it is not marked Public.
func (c *card) read(ctx context.Context, p path, limit int, enough func([]byte) bool) ([]byte, error) {
	control, err := c.selectPath(ctx, p)
	if err != nil {
		return nil, err
	}
	size, err := fileSize(control, min(limit, iso7816.MaxFile))
	if err != nil {
		return nil, err
	}
	content := make([]byte, 0, min(size, 4*block))
	for len(content) < size && (enough == nil || !enough(content)) {
		part, err := iso7816.Blocks{Size: block}.Read(ctx, c.transport, len(content), min(block, size-len(content)))
		if err != nil {
			return nil, err
		}
		content = append(content, part...)
	}
	return content, nil
}

// absent is a file that the card does not have or does not show.
func absent(err error) bool {
	var status *apdu.StatusError
	return errors.As(err, &status) &&
		(status.SW == apdu.SWFileNotFound || status.SW == apdu.SWSecurityNotSatisfied)
}

// missing is a file that the card does not have.
func missing(err error) bool {
	var status *apdu.StatusError
	return errors.As(err, &status) && status.SW == apdu.SWFileNotFound
}

// readIDESP reads the support number. A card that does not show it has an empty
// one.
func (c *card) readIDESP(ctx context.Context) (string, error) {
	if c.idesp != nil {
		return *c.idesp, nil
	}
	raw, err := c.read(ctx, pathIDESP(), maxIDESP, nil)
	number := ""
	switch {
	case err == nil:
		if number, err = parseIDESP(raw); err != nil {
			return "", err
		}
	case !absent(err):
		return "", err
	}
	c.idesp = &number
	return number, nil
}

// parseIDESP takes letters and digits alone: the number is shown to people and
// compared between connections.
func parseIDESP(raw []byte) (string, error) {
	n := len(raw)
	for n > 0 && (raw[n-1] == 0 || raw[n-1] == ' ') {
		n--
	}
	if n == 0 || n > maxIDESP {
		return "", fmt.Errorf("%w: document number of %d characters", iso7816.ErrContent, n)
	}
	for _, b := range raw[:n] {
		if (b < '0' || b > '9') && (b < 'A' || b > 'Z') {
			return "", fmt.Errorf("%w: document number with other characters", iso7816.ErrContent)
		}
	}
	return string(raw[:n]), nil
}

// readSerial asks for the chip's number.
func (c *card) readSerial(ctx context.Context) (serial, error) {
	var s serial
	number, err := c.do(ctx, apdu.Command{CLA: claMaker, INS: insSerial, Ne: len(s) - 1, Public: true})
	if err != nil {
		return s, fmt.Errorf("chip's number: %w", err)
	}
	if len(number) != len(s)-1 {
		return s, fmt.Errorf("%w: chip's number of %d bytes", cardreader.ErrCardProtocol, len(number))
	}
	copy(s[1:], number)
	return s, nil
}
