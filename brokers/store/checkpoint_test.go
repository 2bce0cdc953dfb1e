package store_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/eidbridge/eidbridge/brokers"
	"github.com/eidbridge/eidbridge/brokers/store"
)

// The write-ahead log is begun anew although somebody reads all the time: then it grows
// no more. How soon is a question of the disk.
func TestSQLiteLogStaysShort(t *testing.T) {
	const writers, each, rounds = 8, 100, 40
	path := filepath.Join(t.TempDir(), "broker.db")
	s, err := store.OpenSQLite(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	reading, stop := context.WithCancel(t.Context())
	var readers, all sync.WaitGroup
	readers.Go(func() {
		for reading.Err() == nil {
			if _, err := s.Session(t.Context(), brokers.HashOf("nobody"), time.Now()); !errors.Is(err, brokers.ErrNotFound) {
				t.Error(err)
			}
		}
	})
	text := strings.Repeat("x", 1200)
	end := time.Now().Add(time.Hour)
	write := func(round int) {
		for w := range writers {
			all.Go(func() {
				for i := range each {
					id := fmt.Sprint(round, "-", w, "-", i)
					if err := s.IssueCode(t.Context(), &brokers.Issuing{
						Login: &brokers.Transaction{ID: id, Unkept: true}, Code: brokers.HashOf(id),
						Grant:   &brokers.Grant{ID: id, CodeExpiresAt: end, Session: id, Request: brokers.AuthorizationRequest{State: text}},
						Session: &brokers.Session{ID: id, CookieHash: brokers.HashOf("cookie of " + id), ExpiresAt: end, Events: []brokers.AuthenticationEvent{{ID: text}}},
					}); err != nil {
						t.Error(err)
						return
					}
				}
			})
		}
		all.Wait()
	}
	size := func() int64 {
		log, err := os.Stat(path + "-wal")
		if err != nil {
			t.Fatal(err)
		}
		return log.Size()
	}
	round := 0
	for before := int64(-1); size() != before; round++ {
		if round == rounds {
			t.Fatalf("the log has %d MB and grows", size()>>20)
		}
		before = size()
		write(round)
	}
	stop()
	readers.Wait()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(path + "-wal"); !os.IsNotExist(err) {
		t.Errorf("the log outlives the store: %v", err)
	}
	again, err := store.OpenSQLite(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := again.Close(); err != nil {
			t.Error(err)
		}
	}()
	for w := range writers {
		if _, err := again.Session(t.Context(), brokers.HashOf(fmt.Sprint("cookie of ", round-1, "-", w, "-", each-1)), time.Now()); err != nil {
			t.Error(err)
		}
	}
}
