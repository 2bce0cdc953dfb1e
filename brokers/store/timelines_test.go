package store_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/eidbridge/eidbridge/brokers/store"
)

// S-27: what was seen before the last start counts. A server with an older timeline is
// refused, one of another system is not compared, and a file that says nothing stops the
// start.
func TestTimelineIsRemembered(t *testing.T) {
	connection, file := schema(t), filepath.Join(t.TempDir(), "timeline")
	changes := 0
	visit := func() (int, error) {
		s, err := store.OpenPostgres(context.Background(), connection, 2, store.WithTimelines(file, func(int, int, error) { changes++ }))
		if err != nil {
			return 0, err
		}
		return s.Timeline(), s.Close()
	}
	whole := file
	file = filepath.Join(t.TempDir(), "nowhere", "timeline")
	if n, err := visit(); n != 1 || err != nil || changes != 1 {
		t.Errorf("S-27 without a place for the file: timeline %d, %v, told %d times", n, err, changes)
	}
	file = whole
	if n, err := visit(); n != 1 || err != nil {
		t.Fatalf("S-27 timeline %d, %v", n, err)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	system, _, _ := strings.Cut(string(text), " ")
	for _, row := range []struct {
		name, file, problem string
		changes             int
	}{
		{"the same again", string(text), "", 0},
		{"an older one was seen", system + " 0\n", "", 0},
		{"a newer one was seen", system + " 5\n", "timeline is older", 0},
		{"another system", "7 5\n", "", 1},
		{"nonsense", "nonsense\n", "has to be a system", 0},
		{"half written", "", "has to be a system", 0},
	} {
		changes = 0
		if err := os.WriteFile(file, []byte(row.file), 0o600); err != nil {
			t.Fatal(err)
		}
		n, err := visit()
		switch {
		case row.problem == "" && (err != nil || n != 1):
			t.Errorf("S-27 %s: timeline %d, %v", row.name, n, err)
		case row.problem != "" && (err == nil || !strings.Contains(err.Error(), row.problem)):
			t.Errorf("S-27 %s: %v, want %q", row.name, err, row.problem)
		}
		if changes != row.changes {
			t.Errorf("S-27 %s: told of %d changes", row.name, changes)
		}
		after, err := os.ReadFile(file)
		if row.problem == "" && (err != nil || string(after) != string(text)) || row.problem != "" && string(after) != row.file {
			t.Errorf("S-27 %s: the file says %q, %v", row.name, after, err)
		}
	}
}
