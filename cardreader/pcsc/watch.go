package pcsc

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/eidbridge/eidbridge/cardreader"
)

// pnpReader is the name under which new readers are announced (pcsc-lite,
// Windows; macOS does not know it).
const pnpReader = `\\?PnP?\Notification`

// Watch implements cardreader.Watcher. One Watch of a service runs at a time; a
// second one waits for the first.
func (s *Service) Watch(ctx context.Context, emit func(cardreader.Event)) error {
	s.watching.Lock()
	defer s.watching.Unlock()
	w := &watch{role: s.role("watch"), pnp: true, emit: emit, seen: make(map[string]slot)}
	for ctx.Err() == nil {
		// Whatever ended it, a new context is the remedy.
		_ = recovered(func() error { return w.session(ctx, s.system) })
		if ctx.Err() != nil {
			break
		}
		w.update(nil)
		pause(ctx, retryDelay)
	}
	return ctx.Err()
}

func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// watch is the state of one Watch.
type watch struct {
	role string
	// pnp: the service announces new readers.
	pnp  bool
	emit func(cardreader.Event)
	// seen holds the slots of the last look by name.
	seen map[string]slot
}

// session watches with one context until that fails or ctx ends.
func (w *watch) session(ctx context.Context, system system) error {
	session, err := system.establish()
	if err != nil {
		return err
	}
	defer func() { _ = session.release() }()
	// A cancellation that comes between two waits is seen at the end of the next,
	// after watchTimeout at the latest.
	stop := context.AfterFunc(ctx, func() { _ = session.cancel() })
	defer stop()
	var pnpState uint32
	for ctx.Err() == nil {
		slots, err := listSlots(session)
		if err != nil {
			return err
		}
		for i := range slots {
			slots[i].known = w.seen[slots[i].name].now
			slots[i].now, slots[i].atr = slots[i].known, w.seen[slots[i].name].atr
		}
		timeout := watchTimeout
		if w.lost(slots) {
			timeout = 0 // reported at once
		}
		asked := slots
		if w.pnp {
			asked = append(slices.Clip(slots), slot{name: pnpReader, known: pnpState})
		}
		if len(asked) == 0 {
			w.update(nil)
			pause(ctx, watchTimeout) // the call with no slots at all would fail
			continue
		}
		err = session.status(w.role, asked, timeout)
		if err != nil && code(err) != codeTimeout && code(err) != codeUnknownReader {
			return err
		}
		if err == nil && w.pnp {
			pnpState = asked[len(slots)].now
			w.pnp = pnpState&stateUnknown == 0
		}
		w.update(asked[:len(slots)])
	}
	return nil
}

// lost tells whether a reader of the last look is not listed any more.
func (w *watch) lost(listed []slot) bool {
	for name := range w.seen {
		if !slices.ContainsFunc(listed, func(s slot) bool { return s.name == name }) {
			return true
		}
	}
	return false
}

// update reports the differences to the last look.
func (w *watch) update(slots []slot) {
	now := make(map[string]slot, len(slots))
	for _, s := range slots {
		if _, ok := s.reader(); ok {
			now[s.name] = s
		}
	}
	for _, event := range changes(w.seen, now) {
		w.emit(event)
	}
	w.seen = now
}

// changes lists what happened between two looks: removals first, by name.
func changes(before, after map[string]slot) []cardreader.Event {
	var gone, come []cardreader.Event
	for name, old := range before {
		reader, _ := old.reader()
		current, still := after[name]
		if old.now&statePresent != 0 && (!still || current.now&statePresent == 0 || replaced(old, current)) {
			gone = append(gone, cardreader.Event{Kind: cardreader.CardRemoved, Reader: emptied(reader)})
		}
		if !still {
			gone = append(gone, cardreader.Event{Kind: cardreader.ReaderRemoved, Reader: emptied(reader)})
		}
	}
	for name, current := range after {
		reader, _ := current.reader()
		old, known := before[name]
		if !known {
			come = append(come, cardreader.Event{Kind: cardreader.ReaderAdded, Reader: reader})
		}
		if current.now&statePresent != 0 && (!known || old.now&statePresent == 0 || replaced(old, current)) {
			come = append(come, cardreader.Event{Kind: cardreader.CardInserted, Reader: reader})
		}
	}
	byName := func(a, b cardreader.Event) int { return cmp.Compare(a.Reader.Name, b.Reader.Name) }
	slices.SortStableFunc(gone, byName)
	slices.SortStableFunc(come, byName)
	return append(gone, come...)
}

// replaced compares the event counters: a card that was pulled and another put
// in between two looks leaves the state bits as they were.
func replaced(old, current slot) bool { return old.now>>16 != current.now>>16 }

func emptied(r cardreader.Reader) cardreader.Reader {
	return cardreader.Reader{Name: r.Name, State: cardreader.ReaderEmpty}
}
