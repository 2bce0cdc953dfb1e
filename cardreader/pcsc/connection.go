package pcsc

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/eidbridge/eidbridge/cardreader"
	"github.com/eidbridge/eidbridge/cardreader/apdu"
)

var errClosed = errors.New("card connection is closed")

// connection is a card under transaction. Its methods are for one goroutine.
type connection struct {
	service *Service
	reader  string
	session session
	handle  handle
	answer  []byte // to reset
	// broken is why nothing more may be sent.
	broken error
	// lost: a call was left behind and cleans up when it comes back.
	lost   bool
	closed bool
}

// open is the part of Connect that blocks.
func (c *connection) open() (err error) {
	if c.session, err = c.service.system.establish(); err != nil {
		return err
	}
	complete := false // stays so when the binding panics, too
	defer func() {
		if !complete {
			c.giveBack(false)
		}
	}()
	if c.handle, err = c.session.connect(c.reader); err != nil {
		return c.absent(err)
	}
	if p := c.handle.protocol(); p != protocolT0 && p != protocolT1 {
		return &Error{Op: "connect", Code: codeProtoMismatch}
	}
	err = c.handle.begin()
	for resets := 0; code(err) == codeResetCard && resets < maxResets; resets++ {
		// Another program reset the card between the two calls. One that signs much
		// does so again while a slow machine reconnects.
		if err = c.handle.reconnect(); err == nil {
			err = c.handle.begin()
		}
	}
	if err == nil {
		c.answer, err = c.handle.atr()
	}
	if err != nil {
		return c.absent(err)
	}
	if len(c.answer) == 0 || len(c.answer) > maxATR {
		return fmt.Errorf("%w: answer to reset of %d bytes", cardreader.ErrCardUnsupported, len(c.answer))
	}
	complete = true
	return nil
}

// giveBack ends what is open, once.
func (c *connection) giveBack(reset bool) {
	if c.handle != nil {
		// The reset comes with the end of the transaction: between the two calls
		// another program may already be at the card.
		err := c.handle.end(reset)
		_ = c.handle.disconnect(reset && err != nil)
		c.handle = nil
	}
	if c.session != nil {
		_ = c.session.release()
		c.session = nil
	}
}

// ATR implements cardreader.Connection.
func (c *connection) ATR() []byte { return c.answer }

// Transmit implements cardreader.Transport. After a failure the connection
// sends nothing more and repeats its error: the card's state is not known.
func (c *connection) Transmit(ctx context.Context, command []byte) ([]byte, error) {
	if c.broken != nil {
		return nil, c.broken
	}
	prepared, err := prepare(c.handle.protocol(), command)
	if err != nil {
		return nil, err
	}
	var answer []byte
	// A call that is left behind may have presented a PIN: hence its reset.
	c.lost, err = c.service.workers.do(ctx, func() (err error) {
		// The copy belongs to this goroutine, which may outlive the call.
		defer clear(prepared)
		answer, err = c.handle.transmit(prepared)
		return c.explain(answer, err)
	}, func() { c.giveBack(true) })
	if err != nil {
		c.broken = err
		return nil, err
	}
	return answer, nil
}

// explain tells a card that left from a line that failed. pcscd 1.9 answers the
// command during which a card is pulled with no bytes and no error, the next one
// with "not transacted". Where another program's end resets the card while this one
// connects, the service may forget the protocol that it has just told, and has no
// event about the reset for a handle that was not there yet.
func (c *connection) explain(answer []byte, err error) error {
	switch code(err) {
	case codeProtoMismatch:
		return fmt.Errorf("%w: %w", cardreader.ErrCardReset, err)
	case codeNotTransacted, codeCommError:
		if c.removed() {
			return fmt.Errorf("%w: %w", cardreader.ErrCardRemoved, &Error{Op: "transmit", Code: codeRemovedCard})
		}
		return err
	}
	switch {
	case err != nil:
		return err
	case len(answer) == 0:
		return &Error{Op: "transmit", Code: codeRemovedCard}
	case len(answer) > apdu.MaxResponse:
		return fmt.Errorf("%w: answer of %d bytes", cardreader.ErrCardProtocol, len(answer))
	default:
		return nil
	}
}

// absent tells an empty slot from a card that does not answer: for a moment after
// a card was pulled the service takes it for one that cannot be powered.
func (c *connection) absent(err error) error {
	switch code(err) {
	case codeUnresponsiveCard, codeUnpoweredCard, codeNotTransacted, codeCommError, codeNotReady:
		if c.removed() {
			return &Error{Op: "connect", Code: codeNoSmartcard}
		}
	}
	return err
}

// removed waits a moment for the service to notice.
func (c *connection) removed() bool {
	slots := []slot{{name: c.reader, known: statePresent}}
	c.service.leaving.Lock()
	defer c.service.leaving.Unlock()
	timeout := time.Duration(0) // the first answer is what the service thinks now
	// Other programs that come and go end a wait each: only the time bounds those.
	end := time.Now().Add(removalWaits * removalTimeout)
	for waits := 0; waits <= removalWaits && timeout >= 0; timeout = min(removalTimeout, time.Until(end)) {
		switch err := c.session.status(c.service.role("removal"), slots, timeout); {
		case err == nil && slots[0].now&statePresent == 0:
			return true
		case err == nil:
			slots[0].known = slots[0].now
		case code(err) == codeTimeout:
			waits++
		default:
			return false
		}
	}
	return false
}

// Close implements cardreader.Connection. A second call does nothing.
func (c *connection) Close(reset bool) error {
	if c.closed || c.lost {
		return nil
	}
	c.closed = true
	if errors.Is(c.broken, cardreader.ErrCardRemoved) {
		// Without power it has forgotten all; and after a failed reset pcscd 1.9
		// takes the slot for empty before it has noticed the removal itself, and
		// misses a card that is put in then.
		reset = false
	}
	c.broken = errClosed
	ctx, cancel := context.WithTimeout(context.Background(), closeTimeout)
	defer cancel()
	_, err := c.service.workers.do(ctx, func() error {
		c.giveBack(reset)
		return nil
	}, func() {})
	return err
}

// prepare copies a command in the form that the transmission protocol wants.
// Under T=0 the host leaves out the Le of case 4, and case 1 gets a P3 of zero
// (ISO/IEC 7816-3 12.2); under T=1 commands travel as they are.
func prepare(p protocol, command []byte) ([]byte, error) {
	parsed, err := apdu.ParseCommand(command)
	if err != nil {
		return nil, err
	}
	prepared := append(make([]byte, 0, len(command)+1), command...)
	if p != protocolT0 {
		return prepared, nil
	}
	if len(parsed.Data) > apdu.MaxShortData || parsed.Ne > apdu.MaxShortNe {
		return nil, fmt.Errorf("%w: extended length under T=0", apdu.ErrCommand)
	}
	switch parsed.Case() {
	case 1:
		return append(prepared, 0), nil
	case 4:
		return prepared[:len(prepared)-1], nil
	default:
		return prepared, nil
	}
}
