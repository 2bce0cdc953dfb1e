package loadtarget

import (
	"net/http"

	"github.com/eidbridge/eidbridge/brokers/metrics"
	"github.com/eidbridge/eidbridge/brokers/store"
)

// figuresPath tells figures for Prometheus, those of the process among them.
const figuresPath = "/load-target/metrics"

// bounded is a store that may have to let go of records.
type bounded interface{ Figures() store.MemoryFigures }

// figures are those of the process, and those of memory storage.
func figures(state any) (http.Handler, error) {
	m := metrics.New()
	memory, ok := state.(bounded)
	if !ok {
		return m.Handler(), nil
	}
	for _, f := range []struct {
		name, help string
		value      func(store.MemoryFigures) int
	}{
		{"eidbroker_memory_bytes", "Bytes of records in memory storage.", func(f store.MemoryFigures) int { return f.Bytes }},
		{"eidbroker_memory_bound_bytes", "Most bytes of records in memory storage.", func(f store.MemoryFigures) int { return f.Bound }},
		{"eidbroker_memory_ended", "Sessions and grants that ended for want of memory.", func(f store.MemoryFigures) int { return f.Ended }},
		{"eidbroker_memory_dropped", "Records of no more use that went for want of memory.", func(f store.MemoryFigures) int { return f.Dropped }},
		{"eidbroker_memory_refused", "Records that were refused for want of memory.", func(f store.MemoryFigures) int { return f.Refused }},
	} {
		if err := m.Register(f.name, f.help, func() float64 { return float64(f.value(memory.Figures())) }); err != nil {
			return nil, err
		}
	}
	return m.Handler(), nil
}
