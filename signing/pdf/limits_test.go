package pdf

import (
	"bytes"
	"context"
	"errors"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/eidbridge/eidbridge/fixtures/pdfs"
)

// TestHostileFilesEndInTime (P-60 to P-74): a typed error or a harmless reading,
// in bounded time and little memory. The bound has room for a loaded machine and
// the race detector; without them no file takes a tenth of a second.
func TestHostileFilesEndInTime(t *testing.T) {
	for _, s := range pdfs.Malformed() {
		t.Run(s.Name, func(t *testing.T) {
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			begin := time.Now()
			err := readEverything(s.Data, Limits{})
			took := time.Since(begin)
			runtime.ReadMemStats(&after)
			var format *FormatError
			var limit *LimitError
			ignored := err == nil && strings.HasPrefix(s.Name, "P-63 size") // the size is not needed for reading
			if !ignored && !errors.Is(err, ErrNotPDF) && !errors.Is(err, ErrMissing) && !errors.As(err, &format) && !errors.As(err, &limit) {
				t.Errorf("got %v", err)
			}
			if took > 5*time.Second {
				t.Errorf("took %s", took)
			}
			if used := int64(after.TotalAlloc - before.TotalAlloc); used > 128<<20 {
				t.Errorf("allocated %d MiB", used>>20)
			}
		})
	}
}

// TestLimitsOneOver goes over each ceiling by one.
func TestLimitsOneOver(t *testing.T) {
	for _, c := range []struct {
		name          string
		within, above Limits
		file          []byte
	}{
		{"sections", Limits{Sections: 11}, Limits{Sections: 10}, pdfs.PrevChain(10)},
		{"objects", Limits{Objects: 5}, Limits{Objects: 4}, pdfs.Classic()},
		{"object number", Limits{ObjectNumber: 5}, Limits{ObjectNumber: 4}, pdfs.Classic()},
		{"nesting", Limits{Depth: 3}, Limits{Depth: 2}, pdfs.Classic()},
		{"fields", Limits{Fields: 2}, Limits{Fields: 1}, pdfs.Form()},
		{"bytes of an object", Limits{ObjectBytes: 256}, Limits{ObjectBytes: 32}, pdfs.Classic()},
		{"inflated bytes", Limits{InflateBytes: 4096}, Limits{InflateBytes: 16}, pdfs.CompressedObjects()},
		{"stream bytes", Limits{StreamBytes: 4096}, Limits{StreamBytes: 16}, pdfs.CompressedObjects()},
	} {
		t.Run(c.name, func(t *testing.T) {
			if err := readEverything(c.file, c.within); err != nil {
				t.Errorf("at the limit: %v", err)
			}
			var limit *LimitError
			if err := readEverything(c.file, c.above); !errors.As(err, &limit) {
				t.Errorf("over it: %v", err)
			}
		})
	}
	t.Run("default number of sections", func(t *testing.T) {
		var limit *LimitError
		if err := readEverything(pdfs.PrevChain(DefaultLimits().Sections), Limits{}); !errors.As(err, &limit) {
			t.Errorf("got %v", err)
		}
	})
}

func TestOpenEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	file := pdfs.Classic()
	d, err := Open(ctx, bytes.NewReader(file), int64(len(file)), Limits{})
	if err != nil {
		t.Fatal(err)
	}
	cancel()
	if _, err := d.Object(Ref{Number: 1}); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}
