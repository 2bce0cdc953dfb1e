package tracing_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/eidbridge/eidbridge/brokers"
	"github.com/eidbridge/eidbridge/brokers/brokertest"
	"github.com/eidbridge/eidbridge/brokers/store"
	"github.com/eidbridge/eidbridge/brokers/tracing"
)

// span is what a collector reads of one.
type span struct {
	TraceID, SpanID, ParentSpanID, Name string
	Kind                                int
	StartTimeUnixNano, EndTimeUnixNano  string
	Attributes                          []struct {
		Key   string
		Value struct{ StringValue, IntValue string }
	}
	Status struct{ Code int }
}

func (s span) get(key string) string {
	for _, a := range s.Attributes {
		if a.Key == key {
			return a.Value.StringValue + a.Value.IntValue
		}
	}
	return ""
}

// collector takes OTLP over HTTP.
type collector struct {
	*httptest.Server
	mu      sync.Mutex
	raw     bytes.Buffer
	spans   []span
	headers http.Header
}

func newCollector(t *testing.T) *collector {
	t.Helper()
	c := &collector{}
	c.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil || r.Method != http.MethodPost || r.URL.Path != "/v1/traces" || r.Header.Get("Content-Type") != "application/json" {
			t.Errorf("%s %s %v: %v", r.Method, r.URL, r.Header, err)
		}
		var request struct {
			ResourceSpans []struct {
				ScopeSpans []struct{ Spans []span }
			}
		}
		if err := json.Unmarshal(body, &request); err != nil {
			t.Error(err)
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		c.raw.Write(body)
		c.headers = r.Header.Clone()
		for _, resource := range request.ResourceSpans {
			for _, scope := range resource.ScopeSpans {
				c.spans = append(c.spans, scope.Spans...)
			}
		}
		_, _ = io.WriteString(w, "{}")
	}))
	t.Cleanup(c.Close)
	return c
}

func (c *collector) tracer(t *testing.T, sample float64) *tracing.Tracer {
	t.Helper()
	tracer, err := tracing.New(tracing.Options{
		Endpoint: c.URL + "/v1/traces", Headers: http.Header{"Authorization": {"Bearer collector"}}, Sample: sample, Log: slog.New(slog.DiscardHandler),
		Closing: time.Minute, // what is asked is what arrives, not how soon
	})
	if err != nil {
		t.Fatal(err)
	}
	return tracer
}

const parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

// A request, what it asked of the store, and how that went; canaries in everything
// that a request brings are nowhere (I-5).
func TestSpansOfARequest(t *testing.T) {
	c := newCollector(t)
	tracer := c.tracer(t, 1)
	kept := tracer.Store(store.NewMemory())
	mux := http.NewServeMux()
	mux.HandleFunc("POST /login/{id}", func(w http.ResponseWriter, r *http.Request) {
		if _, err := kept.Transaction(r.Context(), "canary-id", time.Now()); !errors.Is(err, brokers.ErrNotFound) {
			t.Error(err)
		}
		_, end := tracer.Step(r.Context(), "upstream start", "upstream", "land")
		end(errors.New("canary-error"))
		w.WriteHeader(http.StatusBadGateway)
	})
	handler := tracer.Handler(mux, func(r *http.Request) bool { return r.Header.Get("Trusted") != "" })
	for _, trusted := range []string{"", "yes"} {
		r := httptest.NewRequest(http.MethodPost, "/login/canary-path?canary-query=1", strings.NewReader("canary-body"))
		r.Header = http.Header{"Traceparent": {parent}, "Trusted": {trusted}, "Cookie": {"a=canary-cookie"}, "User-Agent": {"canary-agent"}, "Authorization": {"canary-token"}, "Tracestate": {"a=canary-state"}, "Baggage": {"a=canary-baggage"}}
		handler.ServeHTTP(httptest.NewRecorder(), r)
	}
	handler.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("BREW", "/canary-none", nil))
	tracer.Close(t.Context())
	if strings.Contains(c.raw.String(), "canary") {
		t.Errorf("a canary is in %s", c.raw.String())
	}
	if c.headers.Get("Authorization") != "Bearer collector" {
		t.Errorf("headers %v", c.headers)
	}
	byName := map[string][]span{}
	for _, s := range c.spans {
		byName[s.Name] = append(byName[s.Name], s)
		if s.StartTimeUnixNano == "" || s.EndTimeUnixNano < s.StartTimeUnixNano || len(s.TraceID) != 32 || len(s.SpanID) != 16 {
			t.Errorf("span %+v", s)
		}
	}
	requests, verbs, starts := byName["POST /login/{id}"], byName["store Transaction"], byName["upstream start"]
	if len(requests) != 2 || len(verbs) != 2 || len(starts) != 2 || len(byName["_OTHER none"]) != 1 || len(c.spans) != 7 {
		t.Fatalf("spans %+v", c.spans)
	}
	for i, s := range requests {
		if s.Kind != 2 || s.Status.Code != 2 || s.get("http.response.status_code") != "502" || s.get("http.route") != "/login/{id}" {
			t.Errorf("request %+v", s)
		}
		if verbs[i].ParentSpanID != s.SpanID || verbs[i].TraceID != s.TraceID || verbs[i].get("outcome") != "not_found" || verbs[i].Status.Code != 0 {
			t.Errorf("verb %+v in %+v", verbs[i], s)
		}
		if starts[i].ParentSpanID != s.SpanID || starts[i].get("upstream") != "land" || starts[i].get("outcome") != "error" || starts[i].Status.Code != 2 {
			t.Errorf("upstream %+v", starts[i])
		}
	}
	// Only who is trusted decides to which trace a request belongs.
	if requests[0].TraceID == "0af7651916cd43dd8448eb211c80319c" || requests[0].ParentSpanID != "" {
		t.Errorf("a stranger's trace goes on: %+v", requests[0])
	}
	if requests[1].TraceID != "0af7651916cd43dd8448eb211c80319c" || requests[1].ParentSpanID != "b7ad6b7169203331" {
		t.Errorf("a proxy's trace does not: %+v", requests[1])
	}
}

func TestSampling(t *testing.T) {
	for sample, want := range map[float64][2]int{0: {0, 0}, 1: {2000, 2000}, 0.25: {350, 650}} {
		c := newCollector(t)
		tracer := c.tracer(t, sample)
		handler := tracer.Handler(http.NotFoundHandler(), func(*http.Request) bool { return false })
		for range 2000 {
			handler.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/", nil))
		}
		tracer.Close(t.Context())
		if n := len(c.spans); n < want[0] || n > want[1] {
			t.Errorf("of 2000 requests %d were traced at %v", n, sample)
		}
	}
}

// A collector that never answers, or is not there, holds nobody up.
func TestDeadCollector(t *testing.T) {
	hold := make(chan struct{})
	hanging := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		select {
		case <-hold:
		case <-r.Context().Done():
		}
	}))
	t.Cleanup(hanging.Close)
	t.Cleanup(func() { close(hold) })
	gone := httptest.NewServer(http.NotFoundHandler())
	gone.Close()
	for _, address := range []string{hanging.URL, gone.URL} {
		var log brokertest.Buffer
		tracer, err := tracing.New(tracing.Options{Endpoint: address, Sample: 1, Log: slog.New(slog.NewTextHandler(&log, nil)), Batch: time.Millisecond})
		if err != nil {
			t.Fatal(err)
		}
		handler := tracer.Handler(http.NotFoundHandler(), func(*http.Request) bool { return false })
		begun := time.Now()
		for range 20_000 {
			handler.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/", nil))
		}
		if took := time.Since(begun); took > 30*time.Second {
			t.Errorf("%s: 20,000 requests took %v", address, took)
		}
		begun = time.Now()
		tracer.Close(t.Context())
		if took := time.Since(begun); took > 30*time.Second {
			t.Errorf("%s: closing took %v", address, took)
		}
		// The one that hangs may not have been given up yet.
		if n := strings.Count(log.String(), "traces were not sent"); n > 1 || address == gone.URL && n != 1 {
			t.Errorf("%s: %d complaints, want one a minute: %s", address, n, log.String())
		}
	}
}

func TestOptionsAreChecked(t *testing.T) {
	secret := http.Header{"Authorization": {"x"}}
	for _, o := range []tracing.Options{
		{Endpoint: ""},
		{Endpoint: "collector:4318"},
		{Endpoint: "ftp://collector/"},
		{Endpoint: "https://me@collector/"},
		{Endpoint: "http://collector/", Headers: secret},
		{Endpoint: "https://collector/", Sample: 1.5},
		{Endpoint: "https://collector/", Sample: -1},
	} {
		if _, err := tracing.New(o); err == nil {
			t.Errorf("%+v is taken", o)
		}
	}
	for _, o := range []tracing.Options{{Endpoint: "http://collector/"}, {Endpoint: "https://collector/", Headers: secret, Sample: 1}, {Endpoint: "http://localhost:4318/", Headers: secret}} {
		tracer, err := tracing.New(o)
		if err != nil {
			t.Errorf("%+v: %v", o, err)
			continue
		}
		tracer.Close(t.Context())
	}
}

// Without a tracer nothing is in the way.
func TestNoTracer(t *testing.T) {
	var none *tracing.Tracer
	s := store.NewMemory()
	if none.Store(s) != any(s) {
		t.Error("the store is wrapped")
	}
	ctx, end := none.Step(context.Background(), "x")
	end(nil)
	if ctx != context.Background() {
		t.Error("the context is another")
	}
	handler := http.NewServeMux()
	if fmt.Sprintf("%p", none.Handler(handler, nil)) != fmt.Sprintf("%p", handler) {
		t.Error("the handler is wrapped")
	}
	none.Close(context.Background())
}
