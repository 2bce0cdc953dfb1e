package ballast_test

import (
	"runtime"
	"runtime/metrics"
	"testing"

	"github.com/eidbridge/eidbridge/brokers/ballast"
)

// With the ballast the collector waits for that much more.
func TestBallastDelaysCollections(t *testing.T) {
	goal := func() uint64 {
		runtime.GC()
		sample := []metrics.Sample{{Name: "/gc/heap/goal:bytes"}}
		metrics.Read(sample)
		return sample[0].Value.Uint64()
	}
	without := goal()
	drop := ballast.Load()
	with := goal()
	drop()
	if with < without+(6<<20) {
		t.Errorf("the collector waits for %d bytes without ballast, for %d with it", without, with)
	}
	if after := goal(); after >= with {
		t.Errorf("the ballast stays: %d bytes", after)
	}
}
