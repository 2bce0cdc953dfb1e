package desktop

import "slices"

// State is where a request stands.
type State string

// The states, with the words of the agent's own API.
const (
	StateCreated          State = "created"
	StateWaitingDocuments State = "waiting_documents"
	StateWaitingCard      State = "waiting_card"
	StateWaitingConsent   State = "waiting_consent"
	StateWaitingPIN       State = "waiting_pin"
	StateSigning          State = "signing"
	StateDone             State = "done"

	// StateDeclined: the person said no.
	StateDeclined State = "declined"
	// StateCancelled: the one who asked took it back.
	StateCancelled State = "cancelled"
	// StateExpired: nobody answered in time.
	StateExpired State = "expired"
	// StateFailed: see the code.
	StateFailed State = "failed"
)

// States lists all states in the order of a request's life.
func States() []State {
	return []State{
		StateCreated, StateWaitingDocuments, StateWaitingCard, StateWaitingConsent,
		StateWaitingPIN, StateSigning, StateDone,
		StateDeclined, StateCancelled, StateExpired, StateFailed,
	}
}

// Final tells whether nothing follows.
func (s State) Final() bool {
	switch s {
	case StateDone, StateDeclined, StateCancelled, StateExpired, StateFailed:
		return true
	}
	return false
}

// MayBecome tells whether next may follow s: the one step forward, or an end. A
// request without documents to wait for skips that state, and one of several
// documents goes back for the next PIN.
func (s State) MayBecome(next State) bool {
	if s.Final() {
		return false
	}
	switch next {
	case StateDeclined, StateCancelled, StateExpired, StateFailed:
		return true
	}
	return slices.Contains(s.forward(), next)
}

func (s State) forward() []State {
	switch s {
	case StateCreated:
		return []State{StateWaitingDocuments, StateWaitingCard}
	case StateWaitingDocuments:
		return []State{StateWaitingCard}
	case StateWaitingCard:
		return []State{StateWaitingConsent}
	case StateWaitingConsent:
		return []State{StateWaitingPIN}
	case StateWaitingPIN:
		return []State{StateSigning}
	case StateSigning:
		return []State{StateDone, StateWaitingPIN}
	}
	return nil
}
