//go:build !cgo && !windows

package pcsc

import (
	"errors"
	"strings"
	"testing"

	"github.com/eidbridge/eidbridge/cardreader"
)

func TestWithoutCgoThereIsNoService(t *testing.T) {
	_, err := New().Readers(t.Context())
	if !errors.Is(err, cardreader.ErrNoService) || !strings.Contains(err.Error(), "CGO_ENABLED=0") {
		t.Errorf("Readers = %v", err)
	}
	if _, err = New().Connect(t.Context(), "a"); !errors.Is(err, cardreader.ErrNoService) {
		t.Errorf("Connect = %v", err)
	}
}
