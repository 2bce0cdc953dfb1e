package pades_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"strings"
	"testing"

	"github.com/eidbridge/eidbridge/fixtures/pdfs"
	"github.com/eidbridge/eidbridge/signing"
	"github.com/eidbridge/eidbridge/signing/pades"
)

// completed signs a plan and returns the signed document.
func completed(t *testing.T, plan *pades.Plan, file []byte, cred signing.Credential) []byte {
	t.Helper()
	_, digest := plan.Digest()
	value, err := cred.Signer.Sign(rand.Reader, digest, plan.SignerOpts())
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := plan.Complete(t.Context(), bytes.NewReader(file), &out, value); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// TestCheckFindsWhatIsWrong spoils a right output in every way that its check is there
// to find (P-52).
func TestCheckFindsWhatIsWrong(t *testing.T) {
	file, cred := pdfs.Contract(), citizen(t)
	complete := func(o pades.Options) (*pades.Plan, []byte) {
		t.Helper()
		o.SigningTime = signedAt
		plan, err := pades.Prepare(t.Context(), bytes.NewReader(file), int64(len(file)), cred, o)
		if err != nil {
			t.Fatal(err)
		}
		return plan, completed(t, plan, file, cred)
	}
	plan, right := complete(pades.Options{})
	_, other := complete(pades.Options{Reason: "another one"})
	hole := len(file) + plan.HoleStart
	at := func(offset int) func([]byte) []byte {
		return func(b []byte) []byte { b[offset] ^= 1; return b }
	}
	for _, row := range []struct {
		name  string
		spoil func([]byte) []byte
		fine  bool
	}{
		{"nothing", func(b []byte) []byte { return b }, true},
		{"a byte of the document", at(len(file) / 2), false},
		{"the first byte", at(0), false},
		{"a byte of the new revision", at(len(file) + plan.HoleStart - 1), false},
		{"a byte behind the hole", at(len(file) + plan.HoleEnd + 1), false},
		{"the last byte", at(len(right) - 1), false},
		{"a digit of the signature", at(hole + len(bytes.TrimRight(right[hole:len(file)+plan.HoleEnd], "0>")) - 2), false},
		{"no digit in the hole", func(b []byte) []byte { b[hole+1] = 'x'; return b }, false},
		{"an empty hole", func(b []byte) []byte {
			copy(b[hole+1:], strings.Repeat("0", plan.HoleEnd-plan.HoleStart-2))
			return b
		}, false},
		{"another signature", func([]byte) []byte { return other }, false},
		{"cut off", func(b []byte) []byte { return b[:len(b)-1] }, false},
		{"longer", func(b []byte) []byte { return append(b, '\n') }, false},
		{"no signature", func([]byte) []byte { return file }, false},
	} {
		t.Run(row.name, func(t *testing.T) {
			err := plan.Check(t.Context(), bytes.NewReader(file), bytes.NewReader(row.spoil(bytes.Clone(right))))
			if row.fine && err != nil || !row.fine && !errors.Is(err, pades.ErrCheck) {
				t.Errorf("got %v", err)
			}
		})
	}
	t.Run("nobody waits for it", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		err := plan.Check(ctx, bytes.NewReader(file), bytes.NewReader(right))
		if !errors.Is(err, context.Canceled) || errors.Is(err, pades.ErrCheck) {
			t.Errorf("got %v", err)
		}
	})
	t.Run("a plan whose revision breaks the file", func(t *testing.T) {
		bad := *plan
		bad.Tail = bytes.Replace(plan.Tail, []byte("startxref\n"), []byte("startxref\n1"), 1)
		bad.Tail = bad.Tail[:len(plan.Tail)]
		spoiled := append(bytes.Clone(file), bad.Tail...)
		copy(spoiled[hole:], right[hole:len(file)+plan.HoleEnd])
		if err := bad.Check(t.Context(), bytes.NewReader(file), bytes.NewReader(spoiled)); !errors.Is(err, pades.ErrCheck) {
			t.Errorf("got %v", err)
		}
	})
}
