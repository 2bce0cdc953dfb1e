package hsm

import (
	"context"
	"crypto"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"time"

	"github.com/eidbridge/eidbridge/brokers/hsm/internal/wire"
)

const (
	// openPatience bounds loading a module and logging in, signPatience one signature
	// with its waiting for a session, endPatience the end of the program.
	openPatience = 30 * time.Second
	signPatience = 10 * time.Second
	endPatience  = 2 * time.Second
)

// process is one run of the program, with the token open. It ends at the first
// thing that goes wrong with the token.
type process struct {
	command *exec.Cmd
	public  []crypto.PublicKey

	writing sync.Mutex
	out     io.WriteCloser

	mu      sync.Mutex
	waiting map[uint64]chan wire.Answer
	last    uint64
	err     error

	// ended is closed once nothing more will be answered; err says why.
	ended chan struct{}
}

// startProcess starts the program and opens the token.
func startProcess(ctx context.Context, program string, s *Settings) (*process, error) {
	if _, err := os.Stat(program); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrProgram, err)
	}
	in, theirOut, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	theirIn, out, err := os.Pipe()
	if err != nil {
		return nil, errors.Join(err, in.Close(), theirOut.Close())
	}
	// It outlives the call that starts it.
	command := exec.Command(program)                   //nolint:noctx // stop ends it
	command.ExtraFiles = []*os.File{theirIn, theirOut} // wire.Requests, wire.Answers
	command.Env = environment(os.Environ())
	err = command.Start()
	_, _ = theirIn.Close(), theirOut.Close()
	if err != nil {
		_, _ = in.Close(), out.Close()
		return nil, fmt.Errorf("%w: %w", ErrProgram, err)
	}
	p := &process{command: command, out: out, waiting: map[uint64]chan wire.Answer{}, ended: make(chan struct{})}
	go p.listen(in)
	opened, cancel := context.WithTimeout(ctx, openPatience)
	defer cancel()
	answer, err := p.call(opened, wire.Request{Open: s.opening()})
	if err == nil && answer.Error != nil {
		err = s.meaning(answer.Error)
	}
	if err == nil {
		err = p.keys(answer.Public, len(s.Keys))
	}
	if err != nil {
		p.stop(err)
		return nil, err
	}
	return p, nil
}

// environment is what a module may need, without what is the broker's own.
func environment(all []string) []string {
	var kept []string
	for _, variable := range all {
		name, _, _ := strings.Cut(variable, "=")
		if !strings.HasPrefix(name, "AWS_") && !strings.HasPrefix(name, "PG") && name != "NOTIFY_SOCKET" && name != "LISTEN_FDS" {
			kept = append(kept, variable)
		}
	}
	return kept
}

func (p *process) keys(encoded [][]byte, want int) error {
	if len(encoded) != want {
		return fmt.Errorf("%w: %d public keys instead of %d", ErrGone, len(encoded), want)
	}
	for _, der := range encoded {
		key, err := x509.ParsePKIXPublicKey(der)
		if err != nil {
			return fmt.Errorf("%w: public key: %w", ErrGone, err)
		}
		p.public = append(p.public, key)
	}
	return nil
}

// listen hands on answers until there are no more.
func (p *process) listen(in io.ReadCloser) {
	defer in.Close()
	lines := wire.Reader(in)
	for {
		var a wire.Answer
		if err := wire.Read(lines, &a); err != nil {
			p.stop(fmt.Errorf("%w: its program ended: %w", ErrGone, err))
			return
		}
		p.mu.Lock()
		waiting := p.waiting[a.ID]
		delete(p.waiting, a.ID)
		p.mu.Unlock()
		if waiting != nil {
			waiting <- a // it has room for one
		}
	}
}

// call asks for something and waits for the answer. What is not answered in time
// ends the process.
func (p *process) call(ctx context.Context, r wire.Request) (wire.Answer, error) {
	answer := make(chan wire.Answer, 1)
	p.mu.Lock()
	p.last++
	r.ID = p.last
	p.waiting[r.ID] = answer
	p.mu.Unlock()
	p.writing.Lock()
	err := wire.Write(p.out, r)
	p.writing.Unlock()
	if err != nil {
		p.stop(fmt.Errorf("%w: %w", ErrGone, err))
		return wire.Answer{}, p.reason()
	}
	select {
	case a := <-answer:
		return a, nil
	case <-p.ended:
		return wire.Answer{}, p.reason()
	case <-ctx.Done():
		err := fmt.Errorf("%w in time: %w", ErrGone, ctx.Err())
		p.stop(err)
		return wire.Answer{}, err
	}
}

// sign makes one signature.
func (p *process) sign(ctx context.Context, s *Settings, r wire.Request) ([]byte, error) {
	limited, cancel := context.WithTimeout(ctx, signPatience)
	defer cancel()
	a, err := p.call(limited, r)
	if err != nil {
		return nil, err
	}
	if a.Error == nil {
		return a.Signature, nil
	}
	err = s.meaning(a.Error)
	if !errors.Is(err, ErrRefused) {
		// Many modules find a token again only after they were loaded anew.
		p.stop(err)
	}
	return nil, err
}

// reason is why the process ended.
func (p *process) reason() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.err
}

// stop ends the process, once.
func (p *process) stop(reason error) {
	p.mu.Lock()
	if p.err != nil {
		p.mu.Unlock()
		return
	}
	p.err = reason
	close(p.ended)
	p.mu.Unlock()
	_ = p.out.Close() // it ends by itself when nothing more can be asked
	go func() {
		timer := time.AfterFunc(endPatience, func() { _ = p.command.Process.Kill() })
		defer timer.Stop()
		_ = p.command.Wait() // how it ends does not matter
	}()
}
