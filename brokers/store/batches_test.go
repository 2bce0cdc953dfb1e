package store_test

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/eidbridge/eidbridge/brokers"
)

// Writings that share a commit hold or fail each by itself.
func TestWritingsThatShareACommitAreIndependent(t *testing.T) {
	s := open(t, filepath.Join(t.TempDir(), "broker.db"))
	ctx, now := context.Background(), time.Now()
	taken := &brokers.Transaction{ID: "taken", State: brokers.Authenticated, ExpiresAt: now.Add(time.Hour)}
	if err := s.SaveTransaction(ctx, taken); err != nil {
		t.Fatal(err)
	}
	cancelled, cancel := context.WithCancel(ctx)
	cancel()
	errs := make([]error, 200)
	var all sync.WaitGroup
	for i := range errs {
		all.Go(func() {
			id := fmt.Sprint("login ", i)
			switch i % 4 {
			case 0: // a statement that fails
				errs[i] = s.SaveTransaction(ctx, taken)
			case 1: // several statements of which the last fails
				errs[i] = s.IssueCode(ctx, &brokers.Issuing{
					Login: &brokers.Transaction{ID: "taken", State: brokers.Completed}, From: brokers.Authenticated, Code: brokers.HashOf(id),
					Grant: &brokers.Grant{Session: "no such session"},
				})
			case 2:
				errs[i] = s.SaveTransaction(cancelled, &brokers.Transaction{ID: id, ExpiresAt: now.Add(time.Hour)})
			default:
				errs[i] = s.SaveTransaction(ctx, &brokers.Transaction{ID: id, ExpiresAt: now.Add(time.Hour)})
			}
		})
	}
	all.Wait()
	for i, err := range errs {
		want := []error{brokers.ErrConflict, brokers.ErrConflict, context.Canceled, nil}[i%4]
		if !errors.Is(err, want) {
			t.Errorf("writing %d: %v, want %v", i, err, want)
		}
		if _, err := s.Transaction(ctx, fmt.Sprint("login ", i), now); (err == nil) != (i%4 == 3) {
			t.Errorf("writing %d is there: %v", i, err)
		}
	}
	if got, err := s.Transaction(ctx, "taken", now); err != nil || got.State != brokers.Authenticated {
		t.Errorf("a step of a writing that failed was kept: %+v, %v", got, err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := s.SaveTransaction(ctx, &brokers.Transaction{ID: "late"}); err == nil {
		t.Error("a closed store wrote")
	}
}
