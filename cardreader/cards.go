package cardreader

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/eidbridge/eidbridge/cardreader/apdu"
)

// Cards is what is inserted, seen through one service with a list of drivers.
// Its methods may be called from several goroutines; the service's transactions
// keep their commands apart.
type Cards struct {
	Service Service
	// Drivers are asked in order; the first that recognises the answer to
	// reset and opens the card is the card's.
	Drivers []Driver
	// Now is the time, for knowing that what was read from a card is a moment
	// old. Without it a card is looked at before every question to its holder.
	Now func() time.Time
	// WithoutPads takes every PIN from the program, for readers whose keys do
	// not work.
	WithoutPads bool
}

// Inserted is one slot with what its card shows without a PIN.
type Inserted struct {
	Reader      Reader
	Info        Info
	Credentials []Credential
	PINs        []PINStatus
	// Err says why the card could not be read, wholly or in part; nil for an
	// empty slot.
	Err error
}

// Selection narrows the credentials of all inserted cards. Empty fields do not.
type Selection struct {
	// Reader is a reader's full name.
	Reader string
	Usage  Usage
	// CertificateSHA256 is the digest of the DER certificate in hexadecimal;
	// case, colons and blanks do not matter.
	CertificateSHA256 string
}

// Found is a credential on an inserted card.
type Found struct {
	// Inserted holds at least the credential and the state of its PIN; what a
	// selection excludes may not have been read.
	Inserted   Inserted
	Credential Credential
	driver     Driver
	// origin is set by Sources.
	origin Source

	mu sync.Mutex
	// status is the state of the credential's PIN when it was seen.
	status PINStatus
	seen   time.Time
}

// AmbiguousError is a selection that fits several credentials. Which card signs
// is the holder's decision, so none of them is preferred.
type AmbiguousError struct {
	Candidates []*Found
}

func (e *AmbiguousError) Error() string {
	return fmt.Sprintf("%d certificates match: name a reader or a certificate", len(e.Candidates))
}

// List reads every slot, empty ones included. A card that cannot be read is in
// its slot's Err; the error is about the service as a whole.
func (c *Cards) List(ctx context.Context) ([]Inserted, error) {
	readers, err := c.Service.Readers(ctx)
	if err != nil {
		return nil, fmt.Errorf("listing readers: %w", err)
	}
	slots := make([]Inserted, 0, len(readers))
	for _, reader := range readers {
		slot, _ := c.read(ctx, reader, "")
		slots = append(slots, slot)
	}
	return slots, ctx.Err()
}

// Find returns the one credential that the selection fits. Otherwise the error
// tells what is missing: ErrNoReader, ErrNoCard, the reason why the only card
// cannot be read, ErrNoCredential; several are an *AmbiguousError.
func (c *Cards) Find(ctx context.Context, sel Selection) (*Found, error) {
	readers, err := c.Service.Readers(ctx)
	if err != nil {
		return nil, fmt.Errorf("listing readers: %w", err)
	}
	var candidates []*Found
	var unread error
	cards, seen := 0, 0
	for _, reader := range readers {
		if sel.Reader != "" && reader.Name != sel.Reader {
			continue
		}
		seen++
		if reader.State == ReaderEmpty {
			continue
		}
		slot, driver := c.read(ctx, reader, sel.Usage)
		if errors.Is(slot.Err, ErrNoCard) {
			continue
		}
		cards++
		if unread == nil {
			unread = slot.Err
		}
		for _, credential := range slot.Credentials {
			if sel.fits(credential) {
				candidates = append(candidates, c.found(slot, credential, driver))
			}
		}
	}
	switch {
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case len(candidates) == 1:
		return candidates[0], nil
	default:
		return nil, absent(candidates, len(readers), seen, cards, unread)
	}
}

func (s Selection) fits(c Credential) bool {
	if s.Usage != "" && s.Usage != c.Usage {
		return false
	}
	if s.CertificateSHA256 == "" {
		return true
	}
	want := strings.ToLower(strings.NewReplacer(":", "", " ", "").Replace(s.CertificateSHA256))
	sum := sha256.Sum256(c.Certificate.Raw)
	return want == hex.EncodeToString(sum[:])
}

func (c *Cards) found(slot Inserted, credential Credential, driver Driver) *Found {
	f := &Found{Inserted: slot, Credential: credential, driver: driver}
	if c.Now == nil {
		return f
	}
	for _, status := range slot.PINs {
		if status.ID == credential.PIN {
			f.remember(c.Now(), status)
		}
	}
	return f
}

// read opens the card of a slot and reads what it shows. With a usage it may
// leave out the credentials of the other.
func (c *Cards) read(ctx context.Context, reader Reader, usage Usage) (Inserted, Driver) {
	slot := Inserted{Reader: reader}
	slot.Err = present(reader)
	if slot.Err != nil || reader.State == ReaderEmpty {
		return slot, nil
	}
	slot.Err = ErrCardUnsupported
	// Decided without a connection: it saves powering a card of other people.
	for _, driver := range c.matching(reader.ATR) {
		if driver, slot.Err = bind(ctx, driver, reader); slot.Err != nil {
			return slot, nil
		}
		slot.Err = c.withCard(ctx, reader.Name, driver, func(ctx context.Context, s *session) error {
			return slot.read(ctx, s.Card, usage)
		})
		// Families share answers to reset; the next one may know the card.
		if !errors.Is(slot.Err, ErrCardUnsupported) {
			return slot, driver
		}
	}
	return slot, nil
}

// present tells why a slot with a card in it cannot be opened.
func present(reader Reader) error {
	switch reader.State {
	case ReaderMute:
		return ErrCardMute
	case ReaderExclusive:
		return ErrCardBusy
	default:
		return nil
	}
}

func (i *Inserted) read(ctx context.Context, card Card, usage Usage) (err error) {
	i.PINs, i.Credentials = nil, nil
	if i.Info, err = card.Info(ctx); err != nil {
		return fmt.Errorf("reading the document number: %w", err)
	}
	if selective, ok := card.(UsageSelective); ok && usage != "" {
		return i.readUsage(ctx, card, selective, usage)
	}
	if i.PINs, err = card.PINs(ctx); err != nil {
		return fmt.Errorf("reading the PIN counters: %w", err)
	}
	if i.Credentials, err = card.Credentials(ctx); err != nil {
		return fmt.Errorf("reading the certificates: %w", err)
	}
	return nil
}

// readUsage reads the credentials of one usage and the PINs that release them.
func (i *Inserted) readUsage(ctx context.Context, card Card, selective UsageSelective, usage Usage) (err error) {
	if i.Credentials, err = selective.CredentialsFor(ctx, usage); err != nil {
		return fmt.Errorf("reading the certificates: %w", err)
	}
	known := make(map[string]bool)
	for _, credential := range i.Credentials {
		if known[credential.PIN] {
			continue
		}
		known[credential.PIN] = true
		status, err := pinStatus(ctx, card, credential.PIN)
		if err != nil {
			return err
		}
		i.PINs = append(i.PINs, status)
	}
	return nil
}

// withCard opens the card in a reader, does read-only work on it and closes it
// without a reset. Work that another program's reset broke is done once more
// from the beginning: no PIN was sent.
func (c *Cards) withCard(ctx context.Context, reader string, d Driver, work func(context.Context, *session) error) error {
	err := c.once(ctx, reader, d, work)
	if errors.Is(err, ErrCardReset) {
		err = c.once(ctx, reader, d, work)
	}
	return err
}

func (c *Cards) once(ctx context.Context, reader string, d Driver, work func(context.Context, *session) error) error {
	conn, err := c.connect(ctx, reader)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(false) }()
	operation, cancel := context.WithTimeout(ctx, operationTimeout)
	defer cancel()
	opened, err := c.open(operation, conn, d)
	if err == nil {
		err = work(operation, opened)
	}
	if err == nil {
		opened.leave(operation)
	}
	return outcome(ctx, operation, err)
}

// Leaver is a Card that reading alone brings into a state in which other programs
// do not expect it, such as an open channel.
type Leaver interface {
	// Leave brings it back. It is called before a connection ends without a
	// reset; whether it works is of no consequence.
	Leave(ctx context.Context)
}

func (s *session) leave(ctx context.Context) {
	if leaver, ok := s.Card.(Leaver); ok {
		leaver.Leave(ctx)
	}
}

// outcome classifies the error of an operation. The operation's own deadline
// counts as a silent card, the caller's does not.
func outcome(ctx, operation context.Context, err error) error {
	if err != nil && operation.Err() != nil && ctx.Err() == nil {
		return fmt.Errorf("%w within %v: %w", ErrCardMute, operationTimeout, err)
	}
	return Classify(ctx, err)
}

func (c *Cards) connect(ctx context.Context, reader string) (Connection, error) {
	waiting, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	conn, err := c.Service.Connect(waiting, reader)
	switch {
	case err == nil:
		return conn, nil
	case errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil && !classified(err):
		return nil, fmt.Errorf("connecting: %w: %w", ErrCardBusy, err)
	default:
		return nil, fmt.Errorf("connecting: %w", err)
	}
}

// open checks that the driver still recognises the card, which may be another
// one than the reader listed.
func (c *Cards) open(ctx context.Context, conn Connection, d Driver) (*session, error) {
	if !d.Matches(conn.ATR()) {
		return nil, ErrCardChanged
	}
	card, err := d.Open(ctx, &metered{transport: conn})
	if err != nil {
		return nil, fmt.Errorf("opening the card: %w", err)
	}
	return &session{Card: card, connection: conn, withoutPad: c.WithoutPads}, nil
}

// metered bounds the number of commands of a connection and tells a card that
// left from one that answers nonsense.
type metered struct {
	transport Transport
	commands  int
}

func (m *metered) Transmit(ctx context.Context, command []byte) ([]byte, error) {
	if m.commands == maxCommands {
		return nil, fmt.Errorf("%w: more than %d commands in one operation", ErrCardProtocol, maxCommands)
	}
	m.commands++
	answer, err := m.transport.Transmit(ctx, command)
	if err == nil && len(answer) == 0 {
		// pcscd reports a card pulled during the command as an empty answer.
		return nil, ErrCardRemoved
	}
	return answer, err
}

// TakesExtended implements apdu.Extender for a transport that is one.
func (m *metered) TakesExtended(ctx context.Context) bool {
	e, ok := m.transport.(apdu.Extender)
	return ok && e.TakesExtended(ctx)
}
