package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"time"

	"github.com/eidbridge/eidbridge/fixtures/cards"
	"github.com/eidbridge/eidbridge/fixtures/pki"
)

const (
	// controlTimeout bounds one command, making RSA keys included.
	controlTimeout = 60 * time.Second
	// maxControl bounds a command in bytes; faults may replace files of a card.
	maxControl = 8 << 20
)

// control is where eidlab card serve takes commands: one JSON object in, one out.
type (
	controlRequest struct {
		Slot int `json:"slot"`
		// Insert is nil to remove.
		Insert *order `json:"insert,omitempty"`
	}
	controlReply struct {
		Done  string `json:"done,omitempty"`
		Error string `json:"error,omitempty"`
	}
)

// inserting is a card on its way into a slot.
type inserting struct {
	slot   int
	spec   cards.Spec
	holder pki.Person
}

func prepare(country *pki.Country, o order, slot int) (*inserting, error) {
	spec, holder, err := o.spec(country)
	if err != nil {
		return nil, err
	}
	return &inserting{slot: slot, spec: spec, holder: holder}, nil
}

func (i *inserting) String() string {
	return fmt.Sprintf("%s of %s %s in reader %d", i.spec.Kind, i.holder.GivenName, i.holder.Surnames(), i.slot)
}

// defaultControl is the socket of a program that was not told another one.
func defaultControl() string {
	dir := os.Getenv("XDG_RUNTIME_DIR")
	if dir == "" {
		dir = os.TempDir()
	}
	return filepath.Join(dir, fmt.Sprintf("eidlab-card-%d", os.Getuid()))
}

// control opens the socket. One that a program which is gone left behind is
// replaced.
func (c *serveCommand) control(ctx context.Context) (net.Listener, string, error) {
	path := c.Control
	if path == "" {
		path = defaultControl()
	}
	listener, err := (&net.ListenConfig{}).Listen(ctx, "unix", path)
	if err != nil {
		if conn, dialErr := (&net.Dialer{Timeout: time.Second}).DialContext(ctx, "unix", path); dialErr == nil {
			conn.Close()
			return nil, "", fmt.Errorf("another eidlab card serve uses %s: choose a socket with --control", path)
		}
		info, statErr := os.Lstat(path)
		if statErr != nil || info.Mode().Type() != fs.ModeSocket {
			return nil, "", err
		}
		if err := os.Remove(path); err != nil {
			return nil, "", err
		}
		listener, err = (&net.ListenConfig{}).Listen(ctx, "unix", path)
	}
	if err != nil {
		return nil, "", err
	}
	return listener, path, os.Chmod(path, 0o600)
}

// cardDesk carries out commands, one at a time.
type cardDesk struct {
	country *pki.Country
	slots   readers
}

func (d *cardDesk) serve(ctx context.Context, l net.Listener) {
	stop := context.AfterFunc(ctx, func() { l.Close() })
	defer stop()
	for {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		d.answer(ctx, conn)
		conn.Close()
	}
}

func (d *cardDesk) answer(ctx context.Context, conn net.Conn) {
	_ = conn.SetDeadline(time.Now().Add(controlTimeout))
	var request controlRequest
	if err := json.NewDecoder(io.LimitReader(conn, maxControl)).Decode(&request); err != nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, controlTimeout)
	defer cancel()
	done, err := d.carryOut(ctx, request)
	reply := controlReply{Done: done}
	if err != nil {
		reply = controlReply{Error: err.Error()}
	}
	_ = json.NewEncoder(conn).Encode(reply)
}

func (d *cardDesk) carryOut(ctx context.Context, r controlRequest) (string, error) {
	if r.Insert == nil {
		if err := d.slots.remove(ctx, r.Slot); err != nil {
			return "", err
		}
		return fmt.Sprintf("Reader %d is empty.", r.Slot), nil
	}
	card, err := prepare(d.country, *r.Insert, r.Slot)
	if err != nil {
		return "", err
	}
	if err := d.slots.insert(ctx, r.Slot, card.spec); err != nil {
		return "", err
	}
	return "Inserted: " + card.String() + ".", nil
}

// aim says which program and reader a command is for.
type aim struct {
	Slot    int    `help:"Which reader, counted from 0." default:"0"`
	Control string `help:"Socket of eidlab card serve." env:"EIDLAB_CARD" placeholder:"PATH" type:"path"`
}

// send gives a command to the running program.
func (a aim) send(ctx context.Context, insert *order, s streams) error {
	path := a.Control
	if path == "" {
		path = defaultControl()
	}
	conn, err := (&net.Dialer{Timeout: 5 * time.Second}).DialContext(ctx, "unix", path)
	if err != nil {
		return fmt.Errorf("no eidlab card serve answers at %s: start one, or name its socket with --control (%w)", path, err)
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	_ = conn.SetDeadline(time.Now().Add(controlTimeout))
	if err := json.NewEncoder(conn).Encode(controlRequest{Slot: a.Slot, Insert: insert}); err != nil {
		return err
	}
	var reply controlReply
	if err := json.NewDecoder(io.LimitReader(conn, maxControl)).Decode(&reply); err != nil {
		return fmt.Errorf("eidlab card serve gave no answer: %w", err)
	}
	if reply.Error != "" {
		return errors.New(reply.Error)
	}
	_, err = fmt.Fprintln(s.out, reply.Done)
	return err
}

type insertCommand struct {
	choice
	aim
}

// Run returns when pcscd has the card.
func (c *insertCommand) Run(ctx context.Context, s streams) error {
	o, err := c.order()
	if err != nil {
		return err
	}
	return c.send(ctx, &o, s)
}

type removeCommand struct{ aim }

// Run returns when pcscd tells its clients that the reader is empty.
func (c *removeCommand) Run(ctx context.Context, s streams) error { return c.send(ctx, nil, s) }
