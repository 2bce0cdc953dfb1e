package ballast_test

import (
	"runtime"
	"testing"

	"github.com/eidbridge/eidbridge/brokers/ballast"
)

// With the ballast the collector runs less often over the same garbage.
func TestBallastDelaysCollections(t *testing.T) {
	collections := func() uint32 {
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		var garbage []byte
		for range 64 << 10 {
			garbage = make([]byte, 1<<10)
		}
		runtime.KeepAlive(garbage)
		runtime.ReadMemStats(&after)
		return after.NumGC - before.NumGC
	}
	without := collections()
	drop := ballast.Load()
	with := collections()
	drop()
	if with == 0 || 2*with > without {
		t.Errorf("%d collections without ballast, %d with it", without, with)
	}
}
