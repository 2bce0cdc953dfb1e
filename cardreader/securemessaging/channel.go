package securemessaging

import (
	"context"
	"fmt"
	"sync"

	"github.com/eidbridge/eidbridge/cardreader"
	"github.com/eidbridge/eidbridge/cardreader/apdu"
)

// Channel carries plain commands to a card under the protection of a session. It
// is a cardreader.Transport: commands go in plain, and answers come out complete
// and plain, with the status word that the card protected. Its methods may be
// called from several goroutines; exchanges never interleave.
type Channel struct {
	mu        sync.Mutex
	transport cardreader.Transport
	session   *Session // nil after the end
}

var _ cardreader.Transport = (*Channel)(nil)

// New opens a channel over t and takes over the session. When t is itself a
// Channel, the new one replaces it instead of nesting in it: the old keys are
// wiped, and the new channel speaks to the transport below. That is how a DNIe
// changes its keys, from PACE to its own channel and from PIN to user channel.
func New(t cardreader.Transport, s *Session) *Channel {
	if old, ok := t.(*Channel); ok {
		t = old.release()
	}
	return &Channel{transport: t, session: s}
}

// Transmit protects command, sends it, collects the answer and checks it. Errors:
// ErrClosed and ErrCommand when nothing was sent, a *LostError when the answer
// was not authentic, and the transport's own. After any but ErrCommand, and a
// ctx that was done before the start, the channel has ended.
func (c *Channel) Transmit(ctx context.Context, command []byte) ([]byte, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.session == nil {
		return nil, ErrClosed
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	wrapped, err := c.session.Wrap(command)
	if err != nil {
		return nil, err
	}
	answer, err := SendOnce(ctx, c.transport, wrapped)
	if err != nil {
		// The card's counter is not known any more.
		c.end()
		return nil, fmt.Errorf("secure channel: %w", err)
	}
	plain, err := c.session.Unwrap(answer)
	if err != nil {
		c.end()
		return nil, err
	}
	return plain, nil
}

// Close ends the channel and wipes its keys. The transport stays open. It may be
// called more than once.
func (c *Channel) Close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.end()
}

func (c *Channel) end() {
	if c.session != nil {
		c.session.Wipe()
		c.session = nil
	}
}

func (c *Channel) release() cardreader.Transport {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.end()
	return c.transport
}

// SendOnce sends an encoded command exactly once and collects its answer, status
// word included. A corrected length (6Cxx) is not followed: a protected command
// would be seen twice with the same counter, and neither a VERIFY nor a password
// token may be repeated because a card says so. GET RESPONSE goes outside of any
// protection. The errors are apdu.ErrProtocol and those of t.
func SendOnce(ctx context.Context, t cardreader.Transport, command []byte) ([]byte, error) {
	answer, err := t.Transmit(ctx, command)
	if err != nil {
		return nil, err
	}
	first, err := apdu.ParseResponse(answer)
	if err != nil {
		return nil, err
	}
	n, more := first.SW.More()
	if !more {
		return answer, nil
	}
	rest, err := apdu.Exchange(ctx, t, apdu.Command{INS: insGetResponse, Ne: n, Public: apdu.Public(ctx)})
	if err != nil {
		return nil, err
	}
	all := append(append(make([]byte, 0, len(first.Data)+len(rest.Data)+2), first.Data...), rest.Data...)
	return append(all, byte(rest.SW>>8), byte(rest.SW)), nil
}
