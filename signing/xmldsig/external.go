package xmldsig

import (
	"context"
	"crypto"
	"errors"
	"fmt"
	"hash"
	"io"
	"strings"

	"github.com/eidbridge/eidbridge/signing/c14n"
	"github.com/eidbridge/eidbridge/signing/xmltext"
)

// external computes the digest of something outside the document.
func external(ctx context.Context, o Options, t target, h crypto.Hash) Outcome {
	if o.Resolver == nil || strings.HasPrefix(t.uri, "#") {
		return Outcome{Err: fmt.Errorf("%w: %s", ErrNotFound, quoted(t.uri))}
	}
	if digester, ok := o.Resolver.(Digester); ok && t.raw {
		if digest, known := digester.Digest(ctx, t.uri, h); known {
			return Outcome{Digest: digest}
		}
	}
	if !h.Available() {
		return Outcome{Err: unaccepted("digest %s", h)}
	}
	state := h.New()
	s := &sink{target: t, hashes: map[crypto.Hash]hash.Hash{h: state}, pass: &pass{work: work{1 << 62}}}
	if err := externalOctets(ctx, o, t, s); err != nil {
		return Outcome{Err: err}
	}
	s.out.Digest = state.Sum(nil)
	return s.out
}

// externalOctets writes what a reference to something outside yields.
func externalOctets(ctx context.Context, o Options, t target, to io.Writer) error {
	if o.Resolver == nil || strings.HasPrefix(t.uri, "#") {
		return fmt.Errorf("%w: %s", ErrNotFound, quoted(t.uri))
	}
	in, err := o.Resolver.Open(ctx, t.uri)
	if err != nil {
		return err
	}
	defer in.Close()
	octets := &contextReader{ctx, in}
	switch {
	case t.raw:
		_, err = io.CopyBuffer(to, octets, make([]byte, 256<<10))
	case t.base64:
		decoder := &base64Writer{to: to}
		if _, err = io.CopyBuffer(decoder, octets, make([]byte, 64<<10)); err == nil {
			err = decoder.Close()
		}
	default:
		if t.own >= 0 || t.top {
			return untransformed("enveloped-signature transform of external data")
		}
		output := c14n.Output{Method: t.method, Prefixes: strings.Fields(t.prefixes), To: to}
		if t.all {
			output.Omit = c14n.ByName(Namespace, "Signature")
		}
		err = c14n.Write(octets, xmltext.Options{Limits: o.Limits}, output)
		var syntax *xmltext.Error
		if errors.As(err, &syntax) {
			err = fmt.Errorf("%w: external data is not XML: %w", ErrFormat, err)
		}
	}
	return err
}

type contextReader struct {
	ctx context.Context
	in  io.Reader
}

func (r *contextReader) Read(p []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	return r.in.Read(p)
}

// Octets writes what a reference of a signature digests. The document is read
// again.
func (d *Document) Octets(ctx context.Context, sig *Signature, r *Reference, to io.Writer) error {
	if r.Err != nil {
		return r.Err
	}
	t := r.target(start(sig), d.opts.XPointer)
	if t.kind == KindExternal {
		return externalOctets(ctx, d.opts, t, to)
	}
	// What is written is only good if it is what was digested before.
	copied := *d
	copied.digests = make(map[digestKey]Outcome)
	key := digestKey{t, r.Digest}
	if err := copied.copyPass(ctx, key, to); err != nil {
		return err
	}
	return copied.digests[key].Err
}
