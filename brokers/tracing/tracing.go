package tracing

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/sdk/resource"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"

	"github.com/eidbridge/eidbridge/brokers"
	"github.com/eidbridge/eidbridge/brokers/provider"
	"github.com/eidbridge/eidbridge/brokers/served"
)

const (
	// maxQueue bounds the spans that wait, maxBatch those that are sent at once.
	maxQueue = 4096
	maxBatch = 512
	// sendEvery is how long a span waits at most, sendTimeout how long the collector
	// may take, closeTimeout how long the last spans may take at the end.
	sendEvery    = 5 * time.Second
	sendTimeout  = 5 * time.Second
	closeTimeout = 2 * time.Second
)

// Options are where traces go.
type Options struct {
	// Endpoint is the collector's address for traces, such as
	// "https://collector.example/v1/traces". Plain http is for collectors that want no
	// headers, or on this machine.
	Endpoint string
	// Headers are sent along, such as Authorization.
	Headers http.Header
	// Sample is the share of requests that are traced, 0 to 1, where no proxy has
	// decided.
	Sample float64
	// Service is our name there, default "eidbroker".
	Service string
	// Log takes what goes wrong with the collector, once a minute.
	Log *slog.Logger
	// Batch is default 5 s.
	Batch time.Duration
	// Closing is how long the last spans may take in Close, default 2 s.
	Closing time.Duration
}

// Tracer makes spans. The nil Tracer makes none.
type Tracer struct {
	provider *sdk.TracerProvider
	tracer   trace.Tracer
	closing  time.Duration
}

// New checks the options. It asks nobody.
func New(o Options) (*Tracer, error) {
	u, err := url.Parse(o.Endpoint)
	switch {
	case err != nil || u.Host == "" || u.User != nil || u.Scheme != "https" && u.Scheme != "http":
		return nil, fmt.Errorf("tracing: endpoint %q is no http address", o.Endpoint)
	case u.Scheme == "http" && len(o.Headers) > 0 && !provider.IsLoopback(u.Hostname()):
		return nil, errors.New("tracing: headers go to an https endpoint only")
	case !(o.Sample >= 0 && o.Sample <= 1):
		return nil, fmt.Errorf("tracing: the share of requests is between 0 and 1, not %v", o.Sample)
	}
	if o.Service == "" {
		o.Service = "eidbroker"
	}
	if o.Batch == 0 {
		o.Batch = sendEvery
	}
	if o.Closing == 0 {
		o.Closing = closeTimeout
	}
	exporter := &exporter{endpoint: o.Endpoint, headers: o.Headers, log: o.Log, client: &http.Client{
		Timeout: sendTimeout, Transport: &http.Transport{MaxIdleConnsPerHost: 1, IdleConnTimeout: time.Minute},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
	p := sdk.NewTracerProvider(
		sdk.WithSampler(sdk.ParentBased(sdk.TraceIDRatioBased(o.Sample))),
		sdk.WithResource(resource.NewSchemaless(attribute.String("service.name", o.Service))),
		sdk.WithBatcher(exporter, sdk.WithMaxQueueSize(maxQueue), sdk.WithMaxExportBatchSize(maxBatch),
			sdk.WithBatchTimeout(o.Batch), sdk.WithExportTimeout(sendTimeout)),
	)
	return &Tracer{p, p.Tracer("github.com/eidbridge/eidbridge"), o.Closing}, nil
}

// Close sends what waits, if that can be done soon.
func (t *Tracer) Close(ctx context.Context) {
	if t == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), t.closing)
	defer cancel()
	_ = t.provider.Shutdown(ctx) // what cannot be sent is lost, as always
}

// Handler makes a span of each request. Whose traces we go on with (W3C Trace
// Context), the caller says: strangers could tie together what is not.
func (t *Tracer) Handler(next http.Handler, trusted func(*http.Request) bool) http.Handler {
	if t == nil {
		return next
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx := r.Context()
		if trusted(r) {
			ctx = propagation.TraceContext{}.Extract(ctx, propagation.HeaderCarrier(r.Header))
		}
		ctx, span := t.tracer.Start(ctx, "request", trace.WithSpanKind(trace.SpanKindServer))
		defer span.End()
		r = r.WithContext(ctx)
		answer := served.Record(w)
		next.ServeHTTP(answer, r)
		method, route := served.Method(r, "_OTHER"), served.Route(r)
		span.SetName(method + " " + route)
		span.SetAttributes(attribute.String("http.request.method", method), attribute.String("http.route", route), attribute.Int("http.response.status_code", answer.Status))
		if answer.Status >= http.StatusInternalServerError {
			span.SetStatus(codes.Error, "")
		}
	})
}

// Step begins a span inside the current one. Attributes are pairs of name and value
// that name no person; the function that ends it takes how it went.
func (t *Tracer) Step(ctx context.Context, name string, attributes ...string) (context.Context, func(error)) {
	if t == nil {
		return ctx, func(error) {}
	}
	ctx, span := t.tracer.Start(ctx, name, trace.WithSpanKind(trace.SpanKindClient))
	for i := 0; i+1 < len(attributes); i += 2 {
		span.SetAttributes(attribute.String(attributes[i], attributes[i+1]))
	}
	return ctx, func(err error) {
		outcome := outcomeOf(err)
		span.SetAttributes(attribute.String("outcome", outcome))
		if outcome == "error" {
			span.SetStatus(codes.Error, "")
		}
		span.End()
	}
}

// outcomeOf is a word for how something went: the text of an error could say more
// than anybody should read.
func outcomeOf(err error) string {
	var rejected *brokers.RejectedError
	switch {
	case err == nil:
		return "ok"
	case errors.Is(err, brokers.ErrNotFound):
		return "not_found"
	case errors.Is(err, brokers.ErrConflict):
		return "conflict"
	case errors.Is(err, brokers.ErrReplayed):
		return "replayed"
	case errors.Is(err, brokers.ErrCancelled):
		return "cancelled"
	case errors.As(err, &rejected):
		return "rejected"
	}
	return "error"
}
