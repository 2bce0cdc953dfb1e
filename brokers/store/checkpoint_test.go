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

// The write-ahead log is begun anew although somebody reads all the time: without,
// these writings would leave 100 MB of it.
func TestSQLiteLogStaysShort(t *testing.T) {
	const writers, each, most = 8, 500, 40 << 20
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
	for w := range writers {
		all.Go(func() {
			for i := range each {
				id := fmt.Sprint(w, "-", i)
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
	stop()
	readers.Wait()
	log, err := os.Stat(path + "-wal")
	if err != nil {
		t.Fatal(err)
	}
	if log.Size() > most {
		t.Errorf("the log has %d MB", log.Size()>>20)
	}
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
		if _, err := again.Session(t.Context(), brokers.HashOf(fmt.Sprint("cookie of ", w, "-", each-1)), time.Now()); err != nil {
			t.Error(err)
		}
	}
}
