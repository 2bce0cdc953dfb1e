// Package tracing tells a collector of traces (OpenTelemetry, OTLP over HTTP with
// JSON) which steps a request took and how long: the request, the verbs of the
// store, and what was asked of an upstream.
//
// A span says the route and not the address, which names logins; verbs and not what
// they were given; upstreams and methods by the names of the configuration. Nothing
// of a person, no token and no error text is in any of them.
//
// Spans wait in a bounded queue and are sent in batches beside the work. When the
// collector is slow or gone they are dropped, and no login notices.
//
// Left out: the exporter of OpenTelemetry itself, which links gRPC for the few lines
// that are here, metrics and logs, and trace headers towards upstreams: foreign
// states are not told how we work.
package tracing
