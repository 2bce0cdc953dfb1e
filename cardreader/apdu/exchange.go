// Package apdu is the command layer of ISO/IEC 7816-4: command and response
// APDUs in short and extended form, status words, GET RESPONSE and corrected
// lengths, command chaining.
//
// It is a leaf: it knows a card as anything with a Transmit method. It leaves
// out secure messaging, logical channels, and everything that only one card
// family does.
package apdu

import (
	"context"
	"fmt"
)

// Transmitter carries one encoded command to a card and brings back data and
// status word.
type Transmitter interface {
	Transmit(ctx context.Context, command []byte) ([]byte, error)
}

// Do exchanges a command and returns the answer's data. Any final status word
// other than 9000 is a *StatusError.
func Do(ctx context.Context, t Transmitter, c Command) ([]byte, error) {
	r, err := Exchange(ctx, t, c)
	if err != nil {
		return nil, err
	}
	if !r.SW.OK() {
		return nil, &StatusError{CLA: c.CLA, INS: c.INS, P1: c.P1, P2: c.P2, SW: r.SW}
	}
	return r.Data, nil
}

// Exchange sends one command and returns the final answer, whatever its status
// word. It collects 61xx with GET RESPONSE and follows one 6Cxx, with every
// transmission protocol, since cards and virtual readers use them under T=1 as
// well. What does not fit a short command is sent in the extended form where t is
// an Extender that says yes, and otherwise, or when the card refuses the length
// (6700) all the same, by command chaining and 61xx.
//
// A short command without Ne is never sent a second time: a VERIFY must not be
// repeated because a card says so.
func Exchange(ctx context.Context, t Transmitter, c Command) (Response, error) {
	if len(c.Data) > MaxShortData || c.Ne > MaxShortNe {
		if e, ok := t.(Extender); ok && e.TakesExtended(ctx) {
			r, err := collect(ctx, t, c)
			if err != nil || r.SW != SWWrongLength {
				return r, err
			}
		}
		c.Ne = min(c.Ne, MaxShortNe)
	}
	parts := Chain(c)
	for _, part := range parts[:len(parts)-1] {
		r, err := send(ctx, t, part)
		if err != nil {
			return Response{}, err
		}
		if !r.SW.OK() {
			return Response{SW: r.SW}, nil
		}
	}
	return collect(ctx, t, parts[len(parts)-1])
}

// collect is one link of the chain with its 61xx and 6Cxx.
func collect(ctx context.Context, t Transmitter, c Command) (Response, error) {
	var data []byte
	corrected := false
	next := c
	for step := 0; step <= MaxSteps; step++ {
		r, err := send(ctx, t, next)
		if err != nil {
			return Response{}, err
		}
		if n, ok := r.SW.Exact(); ok && next.Ne > 0 {
			if corrected {
				return Response{}, fmt.Errorf("%w: length corrected twice", ErrProtocol)
			}
			corrected = true
			next.Ne = n
			continue
		}
		if len(data)+len(r.Data) > MaxData {
			return Response{}, fmt.Errorf("%w: more than %d bytes", ErrProtocol, MaxData)
		}
		data = append(data, r.Data...)
		n, ok := r.SW.More()
		if !ok {
			return Response{Data: data, SW: r.SW}, nil
		}
		if c.Unread {
			return Response{SW: SWSuccess}, nil
		}
		// ISO/IEC 7816-4 7.6.1; class 00 also after secure messaging.
		next = Command{INS: 0xC0, Ne: n, Public: c.Public, Timeout: c.Timeout}
	}
	return Response{}, fmt.Errorf("%w: more than %d GET RESPONSE", ErrProtocol, MaxSteps)
}

// send is one command and one answer, without interpretation of the status.
func send(ctx context.Context, t Transmitter, c Command) (Response, error) {
	raw, err := c.Append(make([]byte, 0, headerSize+1+len(c.Data)+1))
	if err != nil {
		return Response{}, err
	}
	if !c.Public {
		defer clear(raw)
	}
	timeout := c.Timeout
	if timeout == 0 {
		timeout = DefaultTimeout
	}
	ctx, cancel := context.WithTimeout(withPublic(ctx, c.Public), timeout)
	defer cancel()
	answer, err := t.Transmit(ctx, raw)
	if err != nil {
		return Response{}, err
	}
	r, err := ParseResponse(answer)
	if err != nil {
		return Response{}, err
	}
	// Some cards return file control information nobody asked for; a short
	// answer's worth of it is tolerated and ignored by the callers.
	limit := c.Ne
	if limit == 0 {
		limit = MaxShortNe
	}
	if len(r.Data) > limit {
		return Response{}, fmt.Errorf("%w: %d bytes where %d were asked", ErrProtocol, len(r.Data), limit)
	}
	return r, nil
}

type publicKey struct{}

func withPublic(ctx context.Context, public bool) context.Context {
	return context.WithValue(ctx, publicKey{}, public)
}

// Public tells a Transmitter whether it may show the data of the exchange that
// ctx belongs to. Without a mark from this package the answer is no.
func Public(ctx context.Context) bool {
	public, _ := ctx.Value(publicKey{}).(bool)
	return public
}
