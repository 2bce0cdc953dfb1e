package metrics_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/eidbridge/eidbridge/brokers/metrics"
)

func figures(t *testing.T, m *metrics.Metrics) string {
	t.Helper()
	w := httptest.NewRecorder()
	m.Handler().ServeHTTP(w, httptest.NewRequestWithContext(context.Background(), http.MethodGet, "/metrics", nil))
	return w.Body.String()
}

func want(t *testing.T, text string, lines ...string) {
	t.Helper()
	for _, line := range lines {
		if !strings.Contains(text, line+"\n") {
			t.Errorf("no line %q in\n%s", line, text)
		}
	}
}

func TestEventsAreCountedAndHandedOn(t *testing.T) {
	m := metrics.New()
	var out strings.Builder
	log := slog.New(m.Count(slog.NewTextHandler(&out, nil)))
	for range 3 {
		log.Info("audit", "event", "login.begun", "reason", "ok", "login", "secret-id")
	}
	log.Info("audit", "reason", "loa.too_low", "event", "login.refused")
	log.Info("something else")
	want(t, figures(t, m),
		`eidbroker_events_total{event="login.begun",reason="ok"} 3`,
		`eidbroker_events_total{event="login.refused",reason="loa.too_low"} 1`)
	if got := strings.Count(out.String(), "\n"); got != 5 {
		t.Errorf("%d records were handed on", got)
	}
	if strings.Contains(figures(t, m), "secret-id") {
		t.Error("an attribute became a figure")
	}
}

// Whoever invents reasons fills no memory.
func TestEventsAreBounded(t *testing.T) {
	m := metrics.New()
	for i := range 5000 {
		m.Event("login.refused", fmt.Sprint("reason", i))
	}
	if got := strings.Count(figures(t, m), "eidbroker_events_total{"); got > 401 {
		t.Errorf("%d series", got)
	}
	want(t, figures(t, m), `eidbroker_events_total{event="other",reason="other"} 4600`)
}

func TestRequestsAreTimedByRoute(t *testing.T) {
	m := metrics.New()
	mux := http.NewServeMux()
	mux.HandleFunc("GET /login/{id}", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusFound) })
	mux.HandleFunc("POST /token", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "ok") })
	h := m.Observe(mux)
	for _, r := range [][2]string{{"GET", "/login/1"}, {"GET", "/login/2"}, {"POST", "/token"}, {"BREW", "/pot"}, {"GET", "/a/b/c"}} {
		h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequestWithContext(context.Background(), r[0], r[1], nil))
	}
	m.Shed()
	want(t, figures(t, m),
		`eidbroker_request_seconds_count{method="GET",route="/login/{id}",status="3xx"} 2`,
		`eidbroker_request_seconds_count{method="POST",route="/token",status="2xx"} 1`,
		`eidbroker_request_seconds_count{method="other",route="none",status="4xx"} 1`,
		`eidbroker_requests_in_flight 0`,
		`eidbroker_requests_shed_total 1`)
}

func TestRegisterAsksWhenItIsRead(t *testing.T) {
	m, value := metrics.New(), 1.0
	if err := m.Register("eidbroker_bans", "Addresses that are banned.", func() float64 { return value }); err != nil {
		t.Fatal(err)
	}
	value = 7
	want(t, figures(t, m), "eidbroker_bans 7")
	if err := m.Register("eidbroker_bans", "Twice.", func() float64 { return 0 }); err == nil {
		t.Error("a figure was registered twice")
	}
}
