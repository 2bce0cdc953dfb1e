// Package vpcd is a reader without a card service: the host side of the
// protocol that vsmartcard's virtual reader driver (vpcd) speaks with an
// emulated card, here with the card listening and the host connecting.
//
// It serves tests, demonstrations and machines without pcscd. The protocol has
// neither authentication nor encryption, so only loopback addresses are
// accepted. Each message is a two-byte big-endian length and its payload; a
// payload of one byte is a control code. APDUs travel as they are, as under T=1;
// the driver's T=0 rules are left out.
package vpcd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/eidbridge/eidbridge/cardreader"
)

// Control codes (vsmartcard, vpcd.h).
const (
	powerOff = 0x00
	powerOn  = 0x01
	reset    = 0x02
	getATR   = 0x04
)

// Bounds.
const (
	// maxATR is the longest answer to reset (ISO/IEC 7816-3 8.2.1), in bytes.
	maxATR = 33
	// minCommand and maxCommand bound what is sent as an APDU: shorter would be
	// a control code, longer does not fit the length field.
	minCommand = 4
	maxCommand = 1<<16 - 1
	// dialTimeout bounds the connection; the address is on this machine.
	dialTimeout = 2 * time.Second
	// closeTimeout bounds the last messages of a connection.
	closeTimeout = time.Second
)

// ErrAddress is an address that is not a loopback one.
var ErrAddress = errors.New("emulated card must be at a loopback address")

// Service is one reader whose card listens at an address. It holds at most one
// connection at a time, as the driver does.
type Service struct {
	addr string
	// slot holds a token while nobody is connected.
	slot chan struct{}

	mu  sync.Mutex
	atr []byte // of the last card seen, for listings while it is in use
}

// New returns the reader for a card at host:port. Host is a loopback IP address
// or "localhost"; any other is ErrAddress on first use.
func New(addr string) *Service {
	s := &Service{addr: addr, slot: make(chan struct{}, 1)}
	s.slot <- struct{}{}
	return s
}

// name is the reader's name in listings.
func (s *Service) name() string { return "vpcd " + s.addr }

// Readers returns the one slot. It is empty while nothing listens.
func (s *Service) Readers(ctx context.Context) ([]cardreader.Reader, error) {
	reader := cardreader.Reader{Name: s.name(), State: cardreader.ReaderEmpty}
	select {
	case <-s.slot:
	default:
		// In use by ourselves: dialling would only queue behind it.
		reader.State, reader.ATR = cardreader.ReaderPresent, s.lastATR()
		if reader.ATR == nil {
			reader.State = cardreader.ReaderExclusive
		}
		return []cardreader.Reader{reader}, nil
	}
	defer s.free()
	c, err := s.dial(ctx)
	switch {
	case errors.Is(err, cardreader.ErrNoCard):
		return []cardreader.Reader{reader}, nil
	case err != nil:
		return nil, err
	}
	defer c.conn.Close()
	switch atr, err := c.power(ctx, getATR); {
	case err == nil:
		s.remember(atr)
		reader.State, reader.ATR = cardreader.ReaderPresent, atr
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case !errors.Is(err, cardreader.ErrCardRemoved):
		reader.State = cardreader.ReaderMute
	}
	return []cardreader.Reader{reader}, nil
}

// Connect powers the card and keeps others out until Close.
func (s *Service) Connect(ctx context.Context, reader string) (cardreader.Connection, error) {
	if reader != s.name() {
		return nil, cardreader.ErrReaderGone
	}
	select {
	case <-s.slot:
	case <-ctx.Done():
		return nil, fmt.Errorf("%w: %w", cardreader.ErrCardBusy, ctx.Err())
	}
	c, err := s.dial(ctx)
	if err != nil {
		s.free()
		return nil, err
	}
	if c.atr, err = c.power(ctx, powerOn, getATR); err != nil {
		_ = c.conn.Close()
		s.free()
		if errors.Is(err, cardreader.ErrCardRemoved) {
			err = cardreader.ErrNoCard
		}
		return nil, err
	}
	s.remember(c.atr)
	return c, nil
}

func (s *Service) dial(ctx context.Context) (*connection, error) {
	addr, err := loopback(s.addr)
	if err != nil {
		return nil, err
	}
	dialer := net.Dialer{Timeout: dialTimeout}
	conn, err := dialer.DialContext(ctx, "tcp", addr)
	if err != nil {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		return nil, fmt.Errorf("%w: nothing listens at %s", cardreader.ErrNoCard, addr)
	}
	return &connection{service: s, conn: conn}, nil
}

// loopback resolves nothing: a name could point anywhere.
func loopback(addr string) (string, error) {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return "", fmt.Errorf("%w: %w", ErrAddress, err)
	}
	if host == "localhost" {
		host = "127.0.0.1"
	}
	ip, err := netip.ParseAddr(host)
	if err != nil || !ip.IsLoopback() {
		return "", fmt.Errorf("%w: %q", ErrAddress, host)
	}
	return net.JoinHostPort(host, port), nil
}

func (s *Service) free() { s.slot <- struct{}{} }

func (s *Service) lastATR() []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.atr
}

func (s *Service) remember(atr []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.atr = atr
}

// connection is one powered card.
type connection struct {
	service *Service
	conn    net.Conn
	atr     []byte
	// broken is why nothing more may be sent.
	broken error
	closed sync.Once
}

// ATR implements cardreader.Connection.
func (c *connection) ATR() []byte { return c.atr }

// Transmit implements cardreader.Transport. After a failure nothing more is
// sent: an answer that arrives late would be taken for the next one's.
func (c *connection) Transmit(ctx context.Context, command []byte) ([]byte, error) {
	switch {
	case c.broken != nil:
		return nil, c.broken
	case len(command) < minCommand || len(command) > maxCommand:
		return nil, fmt.Errorf("%w: command of %d bytes", cardreader.ErrCardProtocol, len(command))
	}
	answer, err := c.exchange(ctx, command, true)
	c.broken = err
	return answer, err
}

// Close implements cardreader.Connection. Power off or not, the next Connect
// powers on; the reset is for a card that is shared with others meanwhile.
func (c *connection) Close(withReset bool) error {
	c.closed.Do(func() {
		ctx, cancel := context.WithTimeout(context.Background(), closeTimeout)
		defer cancel()
		if withReset && c.broken == nil {
			_, _ = c.exchange(ctx, []byte{reset}, false)
		}
		_, _ = c.exchange(ctx, []byte{powerOff}, false)
		_ = c.conn.Close()
		c.service.free()
	})
	return nil
}

// power sends control codes; the last must be getATR, the only one with an
// answer.
func (c *connection) power(ctx context.Context, codes ...byte) ([]byte, error) {
	var atr []byte
	for _, code := range codes {
		var err error
		if atr, err = c.exchange(ctx, []byte{code}, code == getATR); err != nil {
			return nil, err
		}
	}
	if len(atr) > maxATR {
		return nil, fmt.Errorf("%w: answer to reset of %d bytes", cardreader.ErrCardProtocol, len(atr))
	}
	return atr, nil
}

// exchange writes one message and reads its answer, if there is one, within
// ctx.
func (c *connection) exchange(ctx context.Context, payload []byte, answered bool) ([]byte, error) {
	if deadline, ok := ctx.Deadline(); ok {
		_ = c.conn.SetDeadline(deadline)
	} else {
		_ = c.conn.SetDeadline(time.Time{})
	}
	stop := context.AfterFunc(ctx, func() { _ = c.conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	answer, err := c.roundTrip(payload, answered)
	switch {
	case err == nil:
		return answer, nil
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case errors.Is(err, context.DeadlineExceeded) || isTimeout(err):
		return nil, context.DeadlineExceeded
	default:
		// A closed connection is how a card leaves.
		return nil, fmt.Errorf("%w: %w", cardreader.ErrCardRemoved, err)
	}
}

func (c *connection) roundTrip(payload []byte, answered bool) ([]byte, error) {
	// One write for both parts: two would meet delayed acknowledgements.
	message := make([]byte, 0, 2+len(payload))
	message = append(message, byte(len(payload)>>8), byte(len(payload)))
	message = append(message, payload...)
	defer clear(message)
	if _, err := c.conn.Write(message); err != nil {
		return nil, err
	}
	if !answered {
		return nil, nil
	}
	var length [2]byte
	if _, err := io.ReadFull(c.conn, length[:]); err != nil {
		return nil, err
	}
	answer := make([]byte, int(length[0])<<8|int(length[1]))
	if len(answer) == 0 {
		return nil, io.EOF
	}
	_, err := io.ReadFull(c.conn, answer)
	return answer, err
}

func isTimeout(err error) bool {
	var network net.Error
	return errors.As(err, &network) && network.Timeout()
}
