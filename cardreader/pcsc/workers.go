package pcsc

import (
	"context"
	"fmt"
	"sync/atomic"

	"github.com/eidbridge/eidbridge/cardreader"
)

// workers runs calls that cannot be interrupted.
type workers struct {
	abandoned atomic.Int32
}

// Fates of a call.
const (
	running int32 = iota
	finished
	abandoned
)

// do runs call in a goroutine and waits for it until ctx ends. A call that is
// left behind runs late when it comes back; what it wrote must not be looked at
// any more. A panic of the binding becomes an error.
func (w *workers) do(ctx context.Context, call func() error, late func()) (left bool, err error) {
	if err := ctx.Err(); err != nil {
		return false, err
	}
	if w.abandoned.Load() >= maxAbandoned {
		return false, fmt.Errorf("%w: %d calls to the card service do not return", cardreader.ErrCardBusy, maxAbandoned)
	}
	var fate atomic.Int32
	done := make(chan error, 1)
	go func() {
		err := recovered(call)
		if !fate.CompareAndSwap(running, finished) {
			_ = recovered(func() error { late(); return nil })
			w.abandoned.Add(-1)
			return
		}
		done <- err
	}()
	select {
	case err := <-done:
		return false, err
	case <-ctx.Done():
	}
	// Counted first, so that the worker never takes the count below zero.
	w.abandoned.Add(1)
	if fate.CompareAndSwap(running, abandoned) {
		return true, ctx.Err()
	}
	w.abandoned.Add(-1)
	return false, <-done
}

// recovered keeps a panic of the binding from ending the program: it indexes
// what the service returned.
func recovered(call func() error) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("%w: card service binding failed", cardreader.ErrCardProtocol)
		}
	}()
	return call()
}
