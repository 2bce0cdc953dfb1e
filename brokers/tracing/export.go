package tracing

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strconv"
	"sync"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	sdk "go.opentelemetry.io/otel/sdk/trace"
)

// complainEvery bounds how often a collector is complained about.
const complainEvery = time.Minute

// exporter sends spans as OTLP/HTTP with JSON (OpenTelemetry protocol 1.x): IDs in
// hexadecimal, times as text.
type exporter struct {
	endpoint string
	headers  http.Header
	client   *http.Client
	log      *slog.Logger

	mu        sync.Mutex
	complaint time.Time
}

type (
	otlpValue struct {
		Text   *string `json:"stringValue,omitempty"`
		Number *string `json:"intValue,omitempty"`
		Truth  *bool   `json:"boolValue,omitempty"`
	}
	otlpAttribute struct {
		Key   string    `json:"key"`
		Value otlpValue `json:"value"`
	}
	otlpStatus struct {
		Code int `json:"code,omitempty"`
	}
	otlpSpan struct {
		Trace      string          `json:"traceId"`
		Span       string          `json:"spanId"`
		Parent     string          `json:"parentSpanId,omitempty"`
		Name       string          `json:"name"`
		Kind       int             `json:"kind"`
		Begun      string          `json:"startTimeUnixNano"`
		Ended      string          `json:"endTimeUnixNano"`
		Attributes []otlpAttribute `json:"attributes,omitempty"`
		Status     otlpStatus      `json:"status"`
	}
	otlpScope struct {
		Scope struct {
			Name string `json:"name"`
		} `json:"scope"`
		Spans []otlpSpan `json:"spans"`
	}
	otlpResource struct {
		Resource struct {
			Attributes []otlpAttribute `json:"attributes"`
		} `json:"resource"`
		Scopes []otlpScope `json:"scopeSpans"`
	}
	otlpRequest struct {
		Resources []otlpResource `json:"resourceSpans"`
	}
)

func attributesOf(list []attribute.KeyValue) []otlpAttribute {
	var out []otlpAttribute
	for _, kv := range list {
		a := otlpAttribute{Key: string(kv.Key)}
		switch kv.Value.Type() {
		case attribute.INT64:
			text := strconv.FormatInt(kv.Value.AsInt64(), 10)
			a.Value.Number = &text
		case attribute.BOOL:
			truth := kv.Value.AsBool()
			a.Value.Truth = &truth
		default:
			text := kv.Value.String()
			a.Value.Text = &text
		}
		out = append(out, a)
	}
	return out
}

func spanOf(s sdk.ReadOnlySpan) otlpSpan {
	out := otlpSpan{
		Trace: s.SpanContext().TraceID().String(), Span: s.SpanContext().SpanID().String(), Name: s.Name(), Kind: int(s.SpanKind()),
		Begun: strconv.FormatInt(s.StartTime().UnixNano(), 10), Ended: strconv.FormatInt(s.EndTime().UnixNano(), 10), Attributes: attributesOf(s.Attributes()),
	}
	if s.Parent().SpanID().IsValid() {
		out.Parent = s.Parent().SpanID().String()
	}
	switch s.Status().Code { // numbered otherwise there
	case codes.Ok:
		out.Status.Code = 1
	case codes.Error:
		out.Status.Code = 2
	}
	return out
}

// ExportSpans sends a batch. It never fails: there is nobody who could do better.
func (e *exporter) ExportSpans(ctx context.Context, spans []sdk.ReadOnlySpan) error {
	if len(spans) == 0 {
		return nil
	}
	var r otlpResource
	r.Resource.Attributes = attributesOf(spans[0].Resource().Attributes())
	scope := otlpScope{}
	scope.Scope.Name = spans[0].InstrumentationScope().Name
	for _, s := range spans {
		scope.Spans = append(scope.Spans, spanOf(s))
	}
	r.Scopes = []otlpScope{scope}
	body, err := json.Marshal(otlpRequest{[]otlpResource{r}})
	if err == nil {
		err = e.send(ctx, body)
	}
	if err != nil {
		e.complain(ctx, err, len(spans))
	}
	return nil
}

func (e *exporter) send(ctx context.Context, body []byte) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, e.endpoint, bytes.NewReader(body))
	if err != nil {
		return err
	}
	for name, values := range e.headers {
		req.Header[name] = values
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := e.client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, 64<<10)) // so that the connection is used again
	if resp.StatusCode/100 != 2 {
		return fmt.Errorf("the collector answered %d", resp.StatusCode)
	}
	return nil
}

func (e *exporter) complain(ctx context.Context, err error, lost int) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if now := time.Now(); now.Sub(e.complaint) >= complainEvery {
		e.complaint = now
		e.log.WarnContext(ctx, "traces were not sent", "spans", lost, "error", err)
	}
}

// Shutdown has nothing to end.
func (e *exporter) Shutdown(context.Context) error { return nil }
