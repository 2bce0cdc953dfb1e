package cardreader

import (
	"context"
)

// Reader is one slot as the card service reports it. Names are UTF-8, at most
// 128 bytes, and may change with the port or the order of plugging: never store
// them.
type Reader struct {
	Name string
	// State says whether a card can be opened.
	State ReaderState
	// ATR is the answer to reset of the present card, at most 33 bytes; nil
	// when the slot is empty or the card is mute.
	ATR []byte
}

// ReaderState is what a user has to know about a slot before a card is opened.
type ReaderState string

// The states of a slot (PC/SC part 5, SCARD_STATE bits).
const (
	ReaderEmpty   ReaderState = "empty"
	ReaderPresent ReaderState = "present"
	// ReaderMute is a card that does not answer: dirty chip, upside down.
	ReaderMute ReaderState = "mute"
	// ReaderExclusive is a card that another program keeps for itself.
	ReaderExclusive ReaderState = "exclusive"
)

// Service is a way to reach readers: a PC/SC daemon, or the host side of the
// vpcd protocol on machines without one. Errors are those of this package
// (ErrNoService, ErrNoReader, ErrNoCard, ErrCardBusy, …).
type Service interface {
	// Readers lists the slots. An empty list is not an error.
	Readers(ctx context.Context) ([]Reader, error)
	// Connect opens a shared connection and begins a transaction. The card's
	// volatile state (selection, security environment, verified PINs) belongs
	// to no one until the first SELECT. No connection may be held while a
	// person types.
	Connect(ctx context.Context, reader string) (Connection, error)
}

// Watcher is a Service that reports what is plugged and inserted.
type Watcher interface {
	// Watch calls emit for every change until ctx ends, beginning with what is
	// there already, and returns ctx's error. A service that is not running is
	// waited for. emit is called from one goroutine and should return soon.
	Watch(ctx context.Context, emit func(Event)) error
}

// Event is one change of one slot.
type Event struct {
	Kind   EventKind
	Reader Reader
}

// EventKind is what happened to a slot.
type EventKind string

// The kinds. A card replaced between two looks is removed and inserted.
const (
	ReaderAdded   EventKind = "reader-added"
	ReaderRemoved EventKind = "reader-removed"
	CardInserted  EventKind = "card-inserted"
	CardRemoved   EventKind = "card-removed"
)

// Connection is a card under transaction.
type Connection interface {
	Transport
	// ATR is the answer to reset, read when the connection was made.
	ATR() []byte
	// Close ends the transaction. With reset the card loses its volatile
	// state, so that no other program inherits a verified PIN: use it after a
	// PIN was presented.
	Close(reset bool) error
}

// Transport exchanges one APDU with a card: a C-APDU in, data and status word
// out (ISO/IEC 7816-4). It is the only thing that a card driver needs, so the
// same driver runs over pcscd, over an emulated card in the same process, and
// over a recorded transcript. Implementations bound the answer to 65,538 bytes
// and the exchange by ctx; they do not interpret status words.
type Transport interface {
	Transmit(ctx context.Context, command []byte) ([]byte, error)
}
