//go:build cgo || windows

package pcsc

import (
	"errors"
	"time"

	"github.com/ebfe/scard"
)

func native() system { return winscard{} }

// winscard is the machine's PC/SC library through ebfe/scard.
type winscard struct{}

func (winscard) establish() (session, error) {
	ctx, err := scard.EstablishContext()
	if err != nil {
		return nil, failed("establish context", err)
	}
	return &scardSession{ctx: ctx}, nil
}

// failed keeps the code and gives the text up: it is the library's and differs
// from system to system.
func failed(op string, err error) error {
	if err == nil {
		return nil
	}
	var e scard.Error
	if errors.As(err, &e) {
		return &Error{Op: op, Code: uint32(e)}
	}
	return &Error{Op: op, Code: uint32(scard.ErrInternalError)}
}

type scardSession struct{ ctx *scard.Context }

func (s *scardSession) readers() ([]string, error) {
	names, err := s.ctx.ListReaders()
	return names, failed("list readers", err)
}

func (s *scardSession) status(role string, slots []slot, timeout time.Duration) error {
	if len(slots) == 0 {
		return nil // the binding would index an empty slice
	}
	states := make([]scard.ReaderState, len(slots))
	for i, slot := range slots {
		states[i] = scard.ReaderState{Reader: pinned(slot.name, role), CurrentState: scard.StateFlag(slot.known)}
	}
	if err := s.ctx.GetStatusChange(states, timeout); err != nil {
		return failed("get status", err)
	}
	for i := range slots {
		slots[i].now, slots[i].atr = uint32(states[i].EventState), states[i].Atr
	}
	return nil
}

func (s *scardSession) connect(reader string) (handle, error) {
	card, err := s.ctx.Connect(reader, scard.ShareShared, scard.ProtocolAny)
	if err != nil {
		return nil, failed("connect", err)
	}
	return &scardHandle{card: card}, nil
}

func (s *scardSession) cancel() error  { return failed("cancel", s.ctx.Cancel()) }
func (s *scardSession) release() error { return failed("release context", s.ctx.Release()) }

type scardHandle struct{ card *scard.Card }

func (h *scardHandle) protocol() protocol {
	switch h.card.ActiveProtocol() {
	case scard.ProtocolT0:
		return protocolT0
	case scard.ProtocolT1:
		return protocolT1
	default:
		return protocolOther
	}
}

func (h *scardHandle) begin() error { return failed("begin transaction", h.card.BeginTransaction()) }

func (h *scardHandle) reconnect() error {
	return failed("reconnect", h.card.Reconnect(scard.ShareShared, scard.ProtocolAny, scard.LeaveCard))
}

func (h *scardHandle) atr() ([]byte, error) {
	status, err := h.card.Status()
	if err != nil {
		return nil, failed("status", err)
	}
	return status.Atr, nil
}

func (h *scardHandle) transmit(command []byte) ([]byte, error) {
	answer, err := h.card.Transmit(command)
	return answer, failed("transmit", err)
}

func (h *scardHandle) control(number uint32, in []byte) ([]byte, error) {
	return h.controlCode(scard.CtlCode(uint16(number)), in)
}

func (h *scardHandle) controlCode(code uint32, in []byte) ([]byte, error) {
	out, err := h.card.Control(code, in)
	return out, failed("control", err)
}

func (h *scardHandle) end(reset bool) error {
	return failed("end transaction", h.card.EndTransaction(disposition(reset)))
}

func (h *scardHandle) disconnect(reset bool) error {
	return failed("disconnect", h.card.Disconnect(disposition(reset)))
}

func disposition(reset bool) scard.Disposition {
	if reset {
		return scard.ResetCard
	}
	return scard.LeaveCard
}
