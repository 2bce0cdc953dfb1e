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

// TestHostileFilesEndInTime (P-60, P-62 to P-70, P-73, P-74): the outcome that the
// row of the threats names, in bounded time and little memory. The bound has room for
// a loaded machine and the race detector; without them no file takes a tenth of a
// second.
func TestHostileFilesEndInTime(t *testing.T) {
	for _, s := range pdfs.Malformed() {
		t.Run(s.Name, func(t *testing.T) {
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			begin := time.Now()
			err := readEverything(s.Data, Limits{})
			took := time.Since(begin)
			runtime.ReadMemStats(&after)
			for try := 0; try < 3 && took > 5*time.Second; try++ { // the machine may have other things to do
				begin = time.Now()
				_ = readEverything(s.Data, Limits{})
				took = min(took, time.Since(begin))
			}
			if got, want := outcome(err), hostile(s.Name); got != want {
				t.Errorf("%s, want %s: %v", got, want, err)
			}
			if took > 5*time.Second {
				t.Errorf("took %s", took)
			}
			// More than was ever held at once.
			if used := int64(after.TotalAlloc - before.TotalAlloc); used > 64<<20 {
				t.Errorf("allocated %d MiB", used>>20)
			}
		})
	}
}

// outcome is the kind of an error.
func outcome(err error) string {
	var format *FormatError
	var limit *LimitError
	switch {
	case err == nil:
		return "read"
	case errors.As(err, &limit):
		return "limit"
	case errors.As(err, &format), errors.Is(err, ErrNotPDF):
		return "malformed"
	}
	return "other"
}

// hostile is the outcome that a file of pdfs.Malformed is to have.
func hostile(name string) string {
	switch name {
	case "P-60 open brackets": // they take no room, and none is closed
		return "malformed"
	case "P-63 size 10^12", "P-63 size -1": // ignored: the size is not needed for reading
		return "read"
	case "P-64 subsection at -5":
		return "malformed"
	case "P-66 a hundred thousand sections", "P-68 inflating xref stream":
		return "limit"
	case "P-74 generation 65536", "P-74 real with exponent": // no such thing in the format
		return "malformed"
	}
	switch name[:len("P-60")] {
	case "P-60", "P-63", "P-64", "P-74":
		return "limit"
	}
	return "malformed"
}

// TestNestingEndsAtItsLimit (P-60): a hundred values in each other are read, one more
// is not, and brackets in strings nest as deep as they like.
func TestNestingEndsAtItsLimit(t *testing.T) {
	for _, row := range []struct{ name, open, close string }{{"arrays", "[", "]"}, {"dictionaries", "<< /A ", ">>"}} {
		for depth, want := range map[int]string{99: "read", 100: "read", 101: "limit", 1_000: "limit", 1_000_000: "limit"} {
			_, err := parseObject(strings.Repeat(row.open, depth) + strings.Repeat(row.close, depth))
			if row.open != "[" && want == "read" {
				_, err = parseObject(strings.Repeat(row.open, depth) + "1" + strings.Repeat(row.close, depth))
			}
			if got := outcome(err); got != want {
				t.Errorf("%d %s: %s, want %s: %v", depth, row.name, got, want, err)
			}
		}
	}
	deep := strings.Repeat("(", 1_000_000) + strings.Repeat(")", 1_000_000)
	if o, err := parseObject(deep); err != nil || o.Kind() != String || len(o.Raw()) != len(deep) {
		t.Errorf("brackets in a string: %v", err)
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
