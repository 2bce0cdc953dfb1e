package pcsc

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/eidbridge/eidbridge/cardreader"
)

// Service is the machine's PC/SC service. It implements cardreader.Service and
// cardreader.Watcher. Its methods may be called from several goroutines.
type Service struct {
	system  system
	workers workers
	// Slot states are asked for under these, one each at a time: the binding
	// keeps the C strings of a call alive by reader name and role.
	listing, watching, leaving sync.Mutex
}

// New returns the service. Nothing is opened before it is used, so an absent
// service is told by the first call, as cardreader.ErrNoService.
func New() *Service { return &Service{system: native()} }

// role names the slot-state calls of one purpose of this service.
func (s *Service) role(purpose string) string { return fmt.Sprintf("%s %p", purpose, s) }

// Readers implements cardreader.Service. No card is powered or connected.
func (s *Service) Readers(ctx context.Context) ([]cardreader.Reader, error) {
	ctx, cancel := context.WithTimeout(ctx, listTimeout)
	defer cancel()
	var found []cardreader.Reader
	_, err := s.workers.do(ctx, func() (err error) {
		found, err = s.list()
		return err
	}, func() {})
	if err != nil {
		return nil, err
	}
	return found, nil
}

func (s *Service) list() ([]cardreader.Reader, error) {
	session, err := s.system.establish()
	if err != nil {
		return nil, err
	}
	defer func() { _ = session.release() }()
	for attempt := 1; ; attempt++ {
		found, err := s.look(session)
		if err == nil || attempt == maxListings || !changedMeanwhile(err) {
			return found, err
		}
	}
}

func changedMeanwhile(err error) bool {
	return code(err) == codeInsufficientBuffer || code(err) == codeUnknownReader
}

func (s *Service) look(session session) ([]cardreader.Reader, error) {
	slots, err := listSlots(session)
	if err != nil || len(slots) == 0 {
		return nil, err
	}
	s.listing.Lock()
	err = session.status(s.role("list"), slots, 0)
	s.listing.Unlock()
	if err != nil && code(err) != codeTimeout {
		return nil, err
	}
	var found []cardreader.Reader
	for _, slot := range slots {
		if reader, ok := slot.reader(); ok {
			found = append(found, reader)
		}
	}
	return found, nil
}

// listSlots drops names that cannot be passed back: empty, too long, or a
// second time the same.
func listSlots(session session) ([]slot, error) {
	names, err := session.readers()
	if err != nil {
		if code(err) == codeNoReaders {
			return nil, nil
		}
		return nil, err
	}
	var slots []slot
	seen := make(map[string]bool)
	for _, name := range names {
		if name == "" || len(name) > maxName || seen[name] || len(slots) == maxReaders {
			continue
		}
		seen[name] = true
		slots = append(slots, slot{name: name})
	}
	return slots, nil
}

// Connect implements cardreader.Service: a shared connection under a
// transaction. While another program holds one it waits at most ten seconds,
// then ErrCardBusy.
func (s *Service) Connect(ctx context.Context, reader string) (cardreader.Connection, error) {
	waiting, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	c := &connection{service: s, reader: reader}
	_, err := s.workers.do(waiting, c.open, func() { c.giveBack(false) })
	switch {
	case err == nil:
		return c, nil
	case errors.Is(err, context.DeadlineExceeded):
		return nil, fmt.Errorf("%w: no turn within %v", cardreader.ErrCardBusy, connectTimeout)
	default:
		return nil, err
	}
}

func asError(err error) *Error {
	var e *Error
	if errors.As(err, &e) {
		return e
	}
	return nil
}
