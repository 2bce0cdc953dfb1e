package pcsc

import (
	"bytes"
	"sync"
	"time"
)

// fakeSystem is a PC/SC service in memory. Its fields may be set before use;
// everything else goes through its methods.
type fakeSystem struct {
	mu       sync.Mutex
	changed  *sync.Cond
	names    []string
	states   map[string]slot
	down     uint32 // return code of establish, 0 is running
	lists    func(n int) ([]string, error)
	listed   int
	statuses int
	sessions int // open ones
	handle   *fakeHandle
	connects func() error
	pnp      bool
	// impatient: waits for a change end at once, in vain.
	impatient bool
	// looks may change slots ahead of the n-th look at them.
	looks   func(n int)
	cancels int
}

func newFakeSystem() *fakeSystem {
	f := &fakeSystem{states: make(map[string]slot), pnp: true}
	f.changed = sync.NewCond(&f.mu)
	return f
}

// set changes slots from a test.
func (f *fakeSystem) set(change func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change()
	f.changed.Broadcast()
}

func (f *fakeSystem) establish() (session, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.down != 0 {
		return nil, &Error{Op: "establish context", Code: f.down}
	}
	f.sessions++
	return &fakeSession{f: f}, nil
}

func (f *fakeSystem) open() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.sessions
}

type fakeSession struct {
	f         *fakeSystem
	names     int // last listed
	cancelled bool
}

func (s *fakeSession) readers() ([]string, error) {
	s.f.mu.Lock()
	defer s.f.mu.Unlock()
	s.f.listed++
	s.names = len(s.f.names)
	if s.f.lists != nil {
		return s.f.lists(s.f.listed)
	}
	if s.f.down != 0 {
		return nil, &Error{Op: "list readers", Code: s.f.down}
	}
	if len(s.f.names) == 0 {
		return nil, &Error{Op: "list readers", Code: codeNoReaders}
	}
	return s.f.names, nil
}

// status waits for a change as the real call does, without its time limit: the
// test ends a wait by changing something.
func (s *fakeSession) status(_ string, slots []slot, timeout time.Duration) error {
	if len(slots) == 0 {
		panic("index out of range") // as the binding does
	}
	s.f.mu.Lock()
	defer s.f.mu.Unlock()
	s.f.statuses++
	if s.f.looks != nil {
		s.f.looks(s.f.statuses)
	}
	for {
		if s.f.down != 0 {
			return &Error{Op: "get status", Code: s.f.down}
		}
		changed := false
		for i := range slots {
			if slots[i].name == pnpReader {
				if !s.f.pnp {
					slots[i].now = stateUnknown
				}
				changed = changed || !s.f.pnp && slots[i].known != stateUnknown || s.f.pnp && s.names != len(s.f.names)
				continue
			}
			current, ok := s.f.states[slots[i].name]
			if !ok {
				return &Error{Op: "get status", Code: codeUnknownReader}
			}
			slots[i].now, slots[i].atr = current.now, current.atr
			changed = changed || slots[i].known != current.now
		}
		switch {
		case changed:
			return nil
		case s.cancelled:
			return &Error{Op: "get status", Code: 0x80100002}
		case timeout == 0, s.f.impatient:
			return &Error{Op: "get status", Code: codeTimeout}
		}
		s.f.changed.Wait()
	}
}

func (s *fakeSession) connect(string) (handle, error) {
	if s.f.connects != nil {
		if err := s.f.connects(); err != nil {
			return nil, err
		}
	}
	return s.f.handle, nil
}

func (s *fakeSession) cancel() error {
	s.f.mu.Lock()
	defer s.f.mu.Unlock()
	s.cancelled = true
	s.f.cancels++
	s.f.changed.Broadcast()
	return nil
}

func (s *fakeSession) release() error {
	s.f.mu.Lock()
	defer s.f.mu.Unlock()
	s.f.sessions--
	return nil
}

// fakeHandle is a card. Hooks replace what it does by itself.
type fakeHandle struct {
	mu       sync.Mutex
	active   protocol
	reset    []byte
	atrs     func() ([]byte, error)
	begins   func(n int) error
	begun    int
	sends    func(command []byte) ([]byte, error)
	log      []string
	commands [][]byte
	// controls answers a control code; numbers are those of functions.
	controls   func(code uint32, in []byte) ([]byte, error)
	controlled [][]byte
}

func newFakeHandle() *fakeHandle {
	return &fakeHandle{active: protocolT1, reset: []byte{0x3B, 0x00}}
}

func (h *fakeHandle) note(what string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.log = append(h.log, what)
}

func (h *fakeHandle) notes() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.log
}

func (h *fakeHandle) protocol() protocol { return h.active }

func (h *fakeHandle) begin() error {
	h.mu.Lock()
	h.begun++
	n := h.begun
	h.mu.Unlock()
	if h.begins != nil {
		if err := h.begins(n); err != nil {
			return err
		}
	}
	h.note("begin")
	return nil
}

func (h *fakeHandle) reconnect() error { h.note("reconnect"); return nil }

func (h *fakeHandle) atr() ([]byte, error) {
	if h.atrs != nil {
		return h.atrs()
	}
	return h.reset, nil
}

func (h *fakeHandle) transmit(command []byte) ([]byte, error) {
	h.mu.Lock()
	h.commands = append(h.commands, bytes.Clone(command))
	h.mu.Unlock()
	if h.sends != nil {
		return h.sends(command)
	}
	return []byte{0x90, 0}, nil
}

func (h *fakeHandle) control(number uint32, in []byte) ([]byte, error) {
	return h.controlCode(number, in)
}

func (h *fakeHandle) controlCode(code uint32, in []byte) ([]byte, error) {
	h.mu.Lock()
	h.controlled = append(h.controlled, bytes.Clone(in))
	h.mu.Unlock()
	if h.controls == nil {
		return nil, &Error{Op: "control", Code: 0x8010001F} // unsupported
	}
	return h.controls(code, in)
}

func (h *fakeHandle) end(reset bool) error {
	h.note(map[bool]string{true: "end with reset", false: "end"}[reset])
	return nil
}

func (h *fakeHandle) disconnect(reset bool) error {
	h.note(map[bool]string{true: "disconnect with reset", false: "disconnect"}[reset])
	return nil
}
