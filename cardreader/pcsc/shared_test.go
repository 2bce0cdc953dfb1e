//go:build cgo

package pcsc_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/eidbridge/eidbridge/cardreader"
	"github.com/eidbridge/eidbridge/cardreader/cardtest"
	"github.com/eidbridge/eidbridge/fixtures/cards"
	"github.com/eidbridge/eidbridge/fixtures/holders"
	"github.com/eidbridge/eidbridge/fixtures/needs"
	"github.com/eidbridge/eidbridge/fixtures/pcscd"
)

// signingVariable makes the test binary a program that signs that many times and
// ends.
const signingVariable = "EIDBRIDGE_TEST_SIGNATURES"

// signingProgram is the other program at the card.
func signingProgram() {
	n, err := strconv.Atoi(os.Getenv(signingVariable))
	if err != nil {
		return
	}
	busy, err := twoSigners(context.Background(), n)
	fmt.Printf("%d signatures, %d times busy, %v\n", n, busy, err)
	if err != nil {
		os.Exit(1)
	}
	os.Exit(0)
}

// twoSigners make n signatures with one key each of the same card, and tell how
// often the card was in use for too long.
func twoSigners(ctx context.Context, n int) (busy int, err error) {
	var wait sync.WaitGroup
	var mu sync.Mutex
	for i, usage := range []cardreader.Usage{cardreader.UsageAuthentication, cardreader.UsageSignature} {
		entry := []string{"1234", "12345"}[i]
		wait.Go(func() {
			waited, failed := signTimes(ctx, usage, entry, n/2)
			mu.Lock()
			defer mu.Unlock()
			busy, err = busy+waited, errors.Join(err, failed)
		})
	}
	wait.Wait()
	return busy, err
}

func signTimes(ctx context.Context, usage cardreader.Usage, entry string, n int) (busy int, err error) {
	c := everyDriver()
	var found *cardreader.Found
	for done := 0; done < n; {
		if found == nil {
			found, err = c.Find(ctx, cardreader.Selection{Usage: usage})
		}
		if err == nil {
			digest := sha256.Sum256([]byte(fmt.Sprint(usage, done)))
			// The facade verifies each value with the certificate's key.
			_, err = c.Signer(ctx, found, cardtest.Typed(entry)).Sign(nil, digest[:], crypto.SHA256)
		}
		switch {
		case err == nil:
			done++
		case errors.Is(err, cardreader.ErrCardBusy):
			busy++
		default:
			return busy, fmt.Errorf("%s, signature %d: %w", usage, done, err)
		}
	}
	return busy, nil
}

// shareTheCard lets this program and another one, with two signers each, make n
// signatures together.
func shareTheCard(t *testing.T, n int) {
	stack := needs.PCSCD(t, pcscd.Options{})
	before := runtime.NumGoroutine()
	spec := holders.Card(t, cards.KindEstEID)
	insert(t, stack, spec)
	ctx, cancel := context.WithTimeout(t.Context(), time.Duration(n)*time.Second+time.Minute)
	defer cancel()
	other := exec.CommandContext(ctx, "/proc/self/exe")
	other.Env = append(os.Environ(), signingVariable+"="+strconv.Itoa(n/2))
	var said bytes.Buffer
	other.Stdout, other.Stderr = &said, &said
	began := time.Now()
	if err := other.Start(); err != nil {
		t.Fatal(err)
	}
	busy, err := twoSigners(ctx, n/2)
	if failed := other.Wait(); err != nil || failed != nil {
		t.Fatalf("own signers: %v; other program: %v, it said %q", err, failed, said.String())
	}
	t.Logf("%d signatures by two programs in %v, own signers waited in vain %d times; the other: %s",
		n, time.Since(began).Round(time.Millisecond), busy, strings.TrimSpace(said.String()))
	slots, err := everyDriver().List(t.Context())
	if err != nil || slots[0].Err != nil {
		t.Fatalf("List = %+v, %v", slots, err)
	}
	for _, status := range slots[0].PINs {
		if status.TriesLeft != 3 {
			t.Errorf("%s has %d tries left", status.ID, status.TriesLeft)
		}
	}
	leak(t, before)
}

// Threats C-18, C-19, C-22: two programs with two signers each share a card.
func TestTwoProgramsShareACard(t *testing.T) { shareTheCard(t, 40) }
