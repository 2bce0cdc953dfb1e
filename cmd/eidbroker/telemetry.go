package main

import (
	"fmt"
	"log/slog"
	"net/http"
	"strings"

	"golang.org/x/net/http/httpguts"

	"github.com/eidbridge/eidbridge/brokers/tracing"
)

// telemetryConfig is where traces go.
type telemetryConfig struct {
	Endpoint    string  `toml:"endpoint"`
	Sample      float64 `toml:"sample"`
	HeadersFile string  `toml:"headers_file"`
	Service     string  `toml:"service"`
}

// tracer makes the tracer; nil without an endpoint.
func (c config) tracer(dir directory, log *slog.Logger) (*tracing.Tracer, error) {
	t := c.Telemetry
	if t.Endpoint == "" {
		return nil, nil
	}
	headers := http.Header{}
	if t.HeadersFile != "" {
		text, err := readSecret(dir.file(t.HeadersFile), false, nil)
		if err != nil {
			return nil, fmt.Errorf("headers_file: %w", err)
		}
		for line := range strings.Lines(string(text)) {
			if strings.TrimSpace(line) == "" {
				continue
			}
			name, value, found := strings.Cut(line, ":")
			value = strings.TrimSpace(value)
			if !found || !httpguts.ValidHeaderFieldName(name) || !httpguts.ValidHeaderFieldValue(value) {
				return nil, fmt.Errorf("headers_file: %s has a line that is no header", t.HeadersFile) // the line may be a secret
			}
			headers.Add(name, value)
		}
	}
	return tracing.New(tracing.Options{Endpoint: t.Endpoint, Headers: headers, Sample: t.Sample, Service: t.Service, Log: log})
}
