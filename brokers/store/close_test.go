package store_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/eidbridge/eidbridge/brokers/store"
)

// A database that was closed is one file, with nothing beside it that would have to be
// copied or moved along.
func TestClosingLeavesOneFile(t *testing.T) {
	dir := t.TempDir()
	s, err := store.OpenSQLite(t.Context(), filepath.Join(dir, "broker.db"))
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	found, err := os.ReadDir(dir)
	if err != nil || len(found) != 1 {
		t.Errorf("there are %v, %v", found, err)
	}
}
