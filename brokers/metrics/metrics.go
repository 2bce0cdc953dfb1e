// Package metrics counts what a broker does, for Prometheus.
//
// Events are those of the audit log: every one is counted by its event and reason,
// which are words of ours, so nothing that a visitor sends becomes a label.
// Requests are counted and timed by route, method and class of status, with the
// pattern of the route in place of the path. What it serves has no personal data,
// but tells how much a service is used: it is for the operator's network only.
package metrics

import (
	"context"
	"log/slog"
	"net/http"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/eidbridge/eidbridge/brokers/served"
)

// maxEvents bounds the combinations of event and reason that are counted apart.
// There are about a hundred; a reason that is one too many is counted as "other".
const maxEvents = 400

// Metrics is one registry.
type Metrics struct {
	registry *prometheus.Registry
	events   *prometheus.CounterVec
	seconds  *prometheus.HistogramVec
	inFlight prometheus.Gauge
	shed     prometheus.Counter
	seen     chan map[[2]string]bool
}

// New makes an empty registry, with the figures of the Go runtime and the process.
func New() *Metrics {
	m := &Metrics{
		registry: prometheus.NewRegistry(),
		events: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "eidbroker_events_total", Help: "Audit events by event and reason.",
		}, []string{"event", "reason"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "eidbroker_request_seconds", Help: "Requests by route, method and class of status.",
			Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10},
		}, []string{"route", "method", "status"}),
		inFlight: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "eidbroker_requests_in_flight", Help: "Requests that are being served.",
		}),
		shed: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "eidbroker_requests_shed_total", Help: "Requests that were turned away because as many were being served as may be.",
		}),
		seen: make(chan map[[2]string]bool, 1),
	}
	m.seen <- map[[2]string]bool{}
	m.registry.MustRegister(m.events, m.seconds, m.inFlight, m.shed,
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

// Register adds a figure that is asked for when it is read, such as the number of
// addresses that are banned.
func (m *Metrics) Register(name, help string, value func() float64) error {
	return m.registry.Register(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, value))
}

// Handler serves the figures in the text format.
func (m *Metrics) Handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{Registry: m.registry})
}

// Event counts an audit event.
func (m *Metrics) Event(event, reason string) {
	seen := <-m.seen
	key := [2]string{event, reason}
	if !seen[key] {
		if len(seen) >= maxEvents {
			key = [2]string{"other", "other"}
		}
		seen[key] = true
	}
	m.seen <- seen
	m.events.WithLabelValues(key[0], key[1]).Inc()
}

// Shed counts a request that was turned away under load.
func (m *Metrics) Shed() { m.shed.Inc() }

// Count wraps the handler of audit events.
func (m *Metrics) Count(next slog.Handler) slog.Handler { return &counter{m, next} }

type counter struct {
	metrics *Metrics
	next    slog.Handler
}

func (c *counter) Enabled(context.Context, slog.Level) bool { return true }

func (c *counter) Handle(ctx context.Context, r slog.Record) error {
	var event, reason string
	r.Attrs(func(a slog.Attr) bool {
		switch a.Key {
		case "event":
			event = a.Value.String()
		case "reason":
			reason = a.Value.String()
		}
		return event == "" || reason == ""
	})
	if event != "" {
		c.metrics.Event(event, reason)
	}
	return c.next.Handle(ctx, r)
}

func (c *counter) WithAttrs(list []slog.Attr) slog.Handler {
	return &counter{c.metrics, c.next.WithAttrs(list)}
}

func (c *counter) WithGroup(name string) slog.Handler {
	return &counter{c.metrics, c.next.WithGroup(name)}
}

// Observe times the requests that a handler serves. A handler that matches
// patterns, as http.ServeMux does, leaves the pattern in the request.
func (m *Metrics) Observe(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		m.inFlight.Inc()
		defer m.inFlight.Dec()
		begun := time.Now()
		answer := served.Record(w)
		next.ServeHTTP(answer, r)
		m.seconds.WithLabelValues(served.Route(r), served.Method(r, "other"), strconv.Itoa(answer.Status/100)+"xx").
			Observe(time.Since(begun).Seconds())
	})
}
