package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/eidbridge/eidbridge/fixtures/cards"
	"github.com/eidbridge/eidbridge/fixtures/pcscd"
)

// readers are slots that cards come into and leave.
type readers interface {
	insert(ctx context.Context, slot int, spec cards.Spec) error
	remove(ctx context.Context, slot int) error
	// describe says how programs find the readers, env as variables.
	describe() string
	env() []string
	// ended receives when the readers are gone by themselves.
	ended() <-chan error
	stop() error
}

// readers opens the ones that the options name.
func (c *serveCommand) readers(ctx context.Context) (readers, error) {
	switch {
	case c.Own:
		stack, err := pcscd.Start(ctx, pcscd.Options{})
		if err != nil {
			return nil, err
		}
		return newOwnReaders(stack), nil
	case c.Listen != "":
		listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", c.Listen)
		if err != nil {
			return nil, err
		}
		// The port may have been left to the system; the reader is empty until a
		// card listens there.
		address := listener.Addr().String()
		listener.Close()
		return &directReaders{lives: newLives(), address: address}, nil
	}
	return newSystemReaders(ctx, c.VPCD)
}

// ownReaders are those of a pcscd of the program's own.
type ownReaders struct {
	stack *pcscd.Stack
	end   chan error
}

func newOwnReaders(stack *pcscd.Stack) *ownReaders {
	r := &ownReaders{stack: stack, end: make(chan error, 1)}
	go func() {
		<-stack.Ended()
		r.end <- errors.New("pcscd ended by itself")
	}()
	return r
}

func (r *ownReaders) insert(ctx context.Context, slot int, spec cards.Spec) error {
	return r.stack.InsertSlot(ctx, slot, spec)
}

func (r *ownReaders) remove(ctx context.Context, slot int) error {
	return r.stack.RemoveSlot(ctx, slot)
}

func (r *ownReaders) describe() string {
	return fmt.Sprintf("PC/SC programs find %s by the variable below.\n", strings.Join(pcscd.Readers(), " and "))
}

func (r *ownReaders) env() []string       { return r.stack.Env() }
func (r *ownReaders) ended() <-chan error { return r.end }
func (r *ownReaders) stop() error         { return r.stack.Stop() }

// lives are cards that are served from this process, by slot.
type lives struct {
	mu    sync.Mutex
	slots map[int]*life
	end   chan error
}

type life struct {
	cancel context.CancelFunc
	done   chan struct{}
}

func newLives() *lives { return &lives{slots: make(map[int]*life), end: make(chan error, 1)} }

// begin serves a card until it is removed, or leaves by itself as a fault asks.
func (l *lives) begin(ctx context.Context, slot int, spec cards.Spec, serve func(context.Context, cards.Card) error) error {
	card, err := spec.New()
	if err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if old := l.slots[slot]; old != nil {
		select {
		case <-old.done:
		default:
			return fmt.Errorf("there is a card in reader %d", slot)
		}
	}
	// The card stays longer than the command that inserts it.
	serving, cancel := context.WithCancel(context.WithoutCancel(ctx))
	now := &life{cancel: cancel, done: make(chan struct{})}
	l.slots[slot] = now
	go func() {
		defer close(now.done)
		if err := serve(serving, card); err != nil && serving.Err() == nil && !errors.Is(err, cards.ErrRemoved) {
			select {
			case l.end <- err:
			default:
			}
		}
	}()
	return nil
}

func (l *lives) remove(_ context.Context, slot int) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if now := l.slots[slot]; now != nil {
		now.cancel()
		<-now.done
		delete(l.slots, slot)
	}
	return nil
}

func (l *lives) ended() <-chan error { return l.end }

func (l *lives) stop() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	for slot, now := range l.slots {
		now.cancel()
		<-now.done
		delete(l.slots, slot)
	}
	return nil
}

// systemReaders are those of the system's pcscd.
type systemReaders struct {
	*lives
	host string
	port int
	wake net.Conn
}

func newSystemReaders(ctx context.Context, address string) (*systemReaders, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	number, err := strconv.Atoi(port)
	if err != nil {
		return nil, fmt.Errorf("port %q is no number", port)
	}
	r := &systemReaders{lives: newLives(), host: host, port: number}
	dialer := net.Dialer{Timeout: 2 * time.Second}
	if wake, err := dialer.DialContext(ctx, "unix", systemSocket); err == nil {
		r.wake = wake
	}
	conn, err := dialer.DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("no virtual reader answers at %s: install vsmartcard-vpcd and restart pcscd, or use --own-pcscd (%w)", address, err), r.stop())
	}
	conn.Close()
	return r, nil
}

func (r *systemReaders) insert(ctx context.Context, slot int, spec cards.Spec) error {
	if slot < 0 || slot >= pcscd.Slots {
		return fmt.Errorf("there is no reader %d", slot)
	}
	return r.begin(ctx, slot, spec, func(ctx context.Context, card cards.Card) error {
		if spec.Shared {
			go pcscd.Share(ctx, systemSocket, pcscd.Readers()[slot])
		}
		return cards.Insert(ctx, net.JoinHostPort(r.host, strconv.Itoa(r.port+slot)), card)
	})
}

func (r *systemReaders) describe() string {
	return fmt.Sprintf("The virtual readers of the system's pcscd are at %s. Ctrl-C takes all cards out.\n", net.JoinHostPort(r.host, strconv.Itoa(r.port)))
}

func (r *systemReaders) env() []string { return nil }

func (r *systemReaders) stop() error {
	err := r.lives.stop()
	if r.wake != nil {
		r.wake.Close()
	}
	return err
}

// directReaders is one reader without pcscd.
type directReaders struct {
	*lives
	address string
}

func (r *directReaders) insert(ctx context.Context, slot int, spec cards.Spec) error {
	if slot != 0 {
		return errors.New("without pcscd there is reader 0 alone")
	}
	if spec.Shared {
		return errors.New("without pcscd no other program can share the card")
	}
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", r.address)
	if err != nil {
		return err
	}
	err = r.begin(ctx, slot, spec, func(ctx context.Context, card cards.Card) error {
		return cards.Listen(ctx, listener, card)
	})
	if err != nil {
		listener.Close()
	}
	return err
}

func (r *directReaders) describe() string {
	return fmt.Sprintf("Serving. Try:\neidagent --vpcd %s cards\n", r.address)
}

func (r *directReaders) env() []string { return nil }
