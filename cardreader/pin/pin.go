// Package pin holds a PIN between the person who typed it and the card that
// checks it.
//
// The secret lives in memory of its own: outside the garbage-collected heap,
// locked against swapping and left out of core dumps where the system offers
// that (mmap, mlock and MADV_DONTDUMP on Unix; plain memory elsewhere). It has
// no text form: every way of printing or marshalling a PIN gives a placeholder.
//
// What the package cannot do: hide the secret from a debugger or from other
// programs of the same user, or clean the buffers of the terminal, window or
// card library that it passes through.
package pin

import (
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"sync"
)

// ErrWiped is a PIN used after Wipe.
var ErrWiped = errors.New("PIN was wiped")

// ErrLength is a secret that is empty or longer than MaxLength.
var ErrLength = errors.New("PIN has an impossible length")

// MaxLength bounds a PIN in bytes. The longest of the supported cards is the
// DNIe's with 16; CAN and PUK values are shorter.
const MaxLength = 64

const placeholder = "[PIN]"

// PIN is one entry of a PIN, PUK or CAN. The zero value is a wiped one. Its
// methods may be called from several goroutines.
type PIN struct {
	mu      sync.Mutex
	memory  []byte // nil after Wipe
	length  int
	cleanup runtime.Cleanup
}

// New moves a secret into memory of its own. The argument is overwritten with
// zeros in every case, also when an error is returned.
func New(secret []byte) (*PIN, error) {
	defer clear(secret)
	if len(secret) == 0 || len(secret) > MaxLength {
		return nil, ErrLength
	}
	memory, err := allocate(MaxLength)
	if err != nil {
		return nil, fmt.Errorf("memory for the PIN: %w", err)
	}
	copy(memory, secret)
	p := &PIN{memory: memory, length: len(secret)}
	// Owners call Wipe; this is for the path on which one forgot.
	p.cleanup = runtime.AddCleanup(p, release, memory)
	return p, nil
}

// Use calls f with the secret. f must neither keep nor change the slice, and
// must not call methods of the same PIN. The error is f's, or ErrWiped.
func (p *PIN) Use(f func(secret []byte) error) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.memory == nil {
		return ErrWiped
	}
	return f(p.memory[:p.length:p.length])
}

// Len is the number of bytes, 0 after Wipe.
func (p *PIN) Len() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.length
}

// Wipe overwrites the secret and gives the memory back. It may be called more
// than once and on a nil PIN.
func (p *PIN) Wipe() {
	if p == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.memory == nil {
		return
	}
	p.cleanup.Stop()
	release(p.memory)
	p.memory, p.length = nil, 0
}

func (p *PIN) String() string { return placeholder }

// Format prints the placeholder for every verb.
func (p *PIN) Format(s fmt.State, _ rune) { _, _ = s.Write([]byte(placeholder)) }

// MarshalText gives the placeholder, for JSON, XML and flags alike.
func (p *PIN) MarshalText() ([]byte, error) { return []byte(placeholder), nil }

// LogValue gives the placeholder.
func (p *PIN) LogValue() slog.Value { return slog.StringValue(placeholder) }
