package desktop_test

import (
	"context"
	"errors"
	"sync"
	"testing"

	"github.com/eidbridge/eidbridge/desktop"
)

func TestQuestionsOfSeveralAskersTakeTurns(t *testing.T) {
	p := &fakePrompter{}
	in := desktop.InTurn(p)
	if _, ok := in.(desktop.ReaderPrompter); ok {
		t.Error("a prompter that cannot point to a reader became one that can")
	}
	var asking sync.WaitGroup
	for range 20 {
		asking.Go(func() { _ = in.Pairing(t.Context(), desktop.PairingQuestion{}) })
		asking.Go(func() { _ = in.Approve(t.Context(), desktop.Consent{}) })
		asking.Go(func() {
			if secret, err := in.Secret(t.Context(), desktop.SecretQuestion{}); err == nil {
				secret.Wipe()
			}
		})
	}
	asking.Wait()
	if p.most != 1 {
		t.Errorf("%d questions at the same time", p.most)
	}
}

func TestQuestionThatWaitsForItsTurnEndsWithItsContext(t *testing.T) {
	p := &padPrompter{fakePrompter: &fakePrompter{}}
	in := desktop.InTurn(p)
	done, err := in.(desktop.ReaderPrompter).AtReader(t.Context(), desktop.Consent{})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := in.Confirm(ctx, desktop.Confirmation{}); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	done()
	if err := in.Confirm(t.Context(), desktop.Confirmation{}); err != nil || p.done != 1 {
		t.Errorf("%v, taken away %d", err, p.done)
	}
}
