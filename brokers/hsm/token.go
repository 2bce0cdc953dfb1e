package hsm

import (
	"context"
	"crypto"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/eidbridge/eidbridge/brokers/hsm/internal/wire"
)

const (
	// firstPause and longestPause are between tries to open the token again.
	firstPause   = 200 * time.Millisecond
	longestPause = 15 * time.Second
	// lookEvery is how often the token is asked whether it still signs.
	lookEvery = 10 * time.Second
)

// Token is an open token. It may be used by several goroutines.
type Token struct {
	program  string
	settings Settings
	public   []crypto.PublicKey
	log      *slog.Logger
	close    context.CancelFunc
	done     chan struct{}

	mu sync.Mutex
	// current is the process that signs; nil while there is none, which err explains.
	current *process
	err     error
	// changed is closed when one of the two changes.
	changed chan struct{}
}

// Open opens a token: it tries its PIN once. The program is that of cmd/eidhsm.
// ctx bounds the opening alone.
func Open(ctx context.Context, program string, s Settings, log *slog.Logger) (*Token, error) {
	if err := s.complete(); err != nil {
		return nil, err
	}
	first, err := startProcess(ctx, program, &s)
	if err != nil {
		return nil, err
	}
	alive, end := context.WithCancel(context.WithoutCancel(ctx))
	t := &Token{
		program: program, settings: s, public: first.public, log: log, close: end, done: make(chan struct{}),
		current: first, changed: make(chan struct{}),
	}
	go t.keep(alive, first)
	return t, nil
}

// Close ends the program. Signatures fail from then on.
func (t *Token) Close() {
	t.close()
	<-t.done
}

// Err says why the token does not sign, or nil while it does.
func (t *Token) Err() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.err
}

// Signer is the key of an index of Settings.Keys: ECDSA on P-256 or P-384, RSA or
// Ed25519. Every signature is checked before it is handed out.
func (t *Token) Signer(i int) (crypto.Signer, error) {
	key := &signer{token: t, index: i, public: t.public[i]}
	return key, key.check()
}

func (t *Token) set(p *process, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.current, t.err = p, err
	close(t.changed)
	t.changed = make(chan struct{})
}

// keep has a process run until ctx ends, or the PIN is refused.
func (t *Token) keep(ctx context.Context, p *process) {
	defer close(t.done)
	for {
		t.watch(ctx, p)
		if ctx.Err() != nil {
			p.stop(fmt.Errorf("%w: it was closed", ErrGone))
			t.set(nil, p.reason())
			return
		}
		t.set(nil, p.reason())
		t.log.WarnContext(ctx, "the token of signing keys is gone", "token", t.settings.Token, "error", p.reason())
		if p = t.again(ctx); p == nil {
			return
		}
		t.set(p, nil)
		t.log.InfoContext(ctx, "the token of signing keys is back", "token", t.settings.Token)
	}
}

// watch returns when the process or ctx has ended. It looks now and then whether the
// token still signs: a token that nobody uses is not missed otherwise.
func (t *Token) watch(ctx context.Context, p *process) {
	ticker := time.NewTicker(lookEvery)
	defer ticker.Stop()
	for {
		select {
		case <-p.ended:
			return
		case <-ctx.Done():
			return
		case <-ticker.C:
			key := &signer{token: t, public: t.public[0]}
			_, _ = p.sign(ctx, &t.settings, key.trial()) // a failure ends the process
		}
	}
}

// again opens the token until that succeeds; nil if it never will. Wherever the PIN
// is wrong it was the last try: it is the operator's to correct.
func (t *Token) again(ctx context.Context) *process {
	for pause := firstPause; ; pause = min(2*pause, longestPause) {
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(pause):
		}
		p, err := startProcess(ctx, t.program, &t.settings)
		if err == nil && !t.same(p) {
			p.stop(fmt.Errorf("%w: another key is in its place", ErrKey))
			err = p.reason()
		}
		if err == nil {
			return p
		}
		t.set(nil, err)
		if errors.Is(err, ErrPIN) || errors.Is(err, ErrPINSpent) {
			t.log.ErrorContext(ctx, "the token of signing keys stays closed until the configuration is read again", "token", t.settings.Token, "error", err)
			<-ctx.Done()
			return nil
		}
	}
}

// same reports whether a process has the keys of the beginning: they are published.
func (t *Token) same(p *process) bool {
	for i, key := range p.public {
		known, ok := t.public[i].(interface{ Equal(crypto.PublicKey) bool })
		if !ok || !known.Equal(key) {
			return false
		}
	}
	return true
}

// sign waits for a process and has it sign; once more if it ended meanwhile.
func (t *Token) sign(ctx context.Context, r wire.Request) ([]byte, error) {
	var failure error
	for range 2 {
		p, err := t.process(ctx)
		if err != nil {
			return nil, errors.Join(failure, err)
		}
		value, err := p.sign(ctx, &t.settings, r)
		if err == nil || errors.Is(err, ErrRefused) {
			return value, err
		}
		failure = err
		<-p.ended
	}
	return nil, failure
}

// process waits for one that has not ended.
func (t *Token) process(ctx context.Context) (*process, error) {
	for {
		t.mu.Lock()
		p, why, changed := t.current, t.err, t.changed
		t.mu.Unlock()
		if p != nil {
			select {
			case <-p.ended: // and will be replaced
			default:
				return p, nil
			}
		}
		select {
		case <-changed:
		case <-t.done:
			return nil, fmt.Errorf("%w: it was closed", ErrGone)
		case <-ctx.Done():
			return nil, errors.Join(why, ErrGone)
		}
	}
}
