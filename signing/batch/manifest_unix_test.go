//go:build unix

package batch_test

import (
	"errors"
	"path/filepath"
	"testing"

	"github.com/eidbridge/eidbridge/signing/batch"
)

// A manifest is for one program at a time.
func TestManifestIsInUse(t *testing.T) {
	name := filepath.Join(t.TempDir(), batch.ManifestName)
	m := openManifest(t, name)
	if _, err := batch.OpenManifest(name); !errors.Is(err, batch.ErrInUse) {
		t.Errorf("%v", err)
	}
	if err := m.Close(); err != nil {
		t.Fatal(err)
	}
	openManifest(t, name)
}
