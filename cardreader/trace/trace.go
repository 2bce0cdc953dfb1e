// Package trace writes what goes over the line to cards, for people who look for
// a fault. PINs, keys and personal data are not in it by construction: data of a
// command and its answer is written only when the code that made the command
// declared it harmless (apdu.Command.Public). Nothing is recognised and removed
// afterwards. What stays of the others is header, lengths and status word.
//
// It leaves out what readers are asked with control commands, and never writes
// what is typed on a reader's keys.
package trace

import (
	"context"
	"fmt"
	"io"
	"strconv"
	"sync"
	"time"

	"github.com/eidbridge/eidbridge/cardreader"
	"github.com/eidbridge/eidbridge/cardreader/apdu"
)

// Log is one trace. Its methods may be called from several goroutines; a line is
// written at once.
type Log struct {
	now func() time.Time

	mu  sync.Mutex
	out io.Writer
}

// New writes to out, with the time of day from now. A line that cannot be written
// is lost: a full disk must not keep a card from signing.
func New(out io.Writer, now func() time.Time) *Log { return &Log{out: out, now: now} }

func (l *Log) line(reader, format string, arguments ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	text := fmt.Sprintf("%s %s ", l.now().UTC().Format("15:04:05.000"), quoted(reader))
	_, _ = io.WriteString(l.out, text+fmt.Sprintf(format, arguments...)+"\n")
}

// maxName is how much of a reader's name is written, in characters.
const maxName = 64

// quoted makes a name harmless: it comes from whatever is plugged in.
func quoted(name string) string {
	if runes := []rune(name); len(runes) > maxName {
		name = string(runes[:maxName])
	}
	return strconv.QuoteToASCII(name)
}

// Service returns s with every connection traced. It watches if s does.
func (l *Log) Service(s cardreader.Service) cardreader.Service {
	traced := &service{Service: s, log: l}
	if w, ok := s.(cardreader.Watcher); ok {
		return &watching{service: traced, Watcher: w}
	}
	return traced
}

type service struct {
	cardreader.Service
	log *Log
}

type watching struct {
	*service
	cardreader.Watcher
}

func (s *service) Readers(ctx context.Context) ([]cardreader.Reader, error) {
	readers, err := s.Service.Readers(ctx)
	for _, r := range readers {
		s.log.line(r.Name, "%s ATR %X", r.State, r.ATR)
	}
	if err != nil {
		s.log.line("", "readers: %v", err)
	}
	return readers, err
}

func (s *service) Connect(ctx context.Context, reader string) (cardreader.Connection, error) {
	began := s.log.now()
	c, err := s.Service.Connect(ctx, reader)
	if err != nil {
		s.log.line(reader, "connect: %v", err)
		return nil, err
	}
	s.log.line(reader, "connect ATR %X %v", c.ATR(), s.log.since(began))
	return &connection{Connection: c, log: s.log, reader: reader}, nil
}

func (l *Log) since(began time.Time) time.Duration {
	return l.now().Sub(began).Round(100 * time.Microsecond)
}

type connection struct {
	cardreader.Connection
	log    *Log
	reader string
}

func (c *connection) Transmit(ctx context.Context, command []byte) ([]byte, error) {
	public := apdu.Public(ctx)
	c.log.line(c.reader, "> %s", shown(command, public))
	began := c.log.now()
	answer, err := c.Connection.Transmit(ctx, command)
	if err != nil {
		c.log.line(c.reader, "< %v %v", err, c.log.since(began))
		return answer, err
	}
	c.log.line(c.reader, "< %s %v", shownAnswer(answer, public), c.log.since(began))
	return answer, nil
}

// shown is the command with the data of a public one alone.
func shown(command []byte, public bool) string {
	parsed, err := apdu.ParseCommand(command)
	if err != nil {
		return fmt.Sprintf("[%d bytes]", len(command))
	}
	parsed.Public = public
	return fmt.Sprint(parsed)
}

func shownAnswer(answer []byte, public bool) string {
	parsed, err := apdu.ParseResponse(answer)
	switch {
	case err != nil:
		return fmt.Sprintf("[%d bytes]", len(answer))
	case len(parsed.Data) == 0:
		return parsed.SW.String()
	case public:
		return fmt.Sprintf("%X %s", parsed.Data, parsed.SW)
	default:
		return fmt.Sprintf("[%d bytes] %s", len(parsed.Data), parsed.SW)
	}
}

func (c *connection) Close(reset bool) error {
	err := c.Connection.Close(reset)
	what := "close"
	if reset {
		what = "close with reset"
	}
	if err != nil {
		c.log.line(c.reader, "%s: %v", what, err)
	} else {
		c.log.line(c.reader, "%s", what)
	}
	return err
}

// PINPad implements cardreader.PINPadProvider for a connection that is one.
func (c *connection) PINPad(ctx context.Context) (cardreader.PINPad, error) {
	provider, ok := c.Connection.(cardreader.PINPadProvider)
	if !ok {
		return nil, nil
	}
	pad, err := provider.PINPad(ctx)
	switch {
	case err != nil:
		c.log.line(c.reader, "reader's keys: %v", err)
	case pad != nil:
		c.log.line(c.reader, "reader has keys")
	}
	return pad, err
}
