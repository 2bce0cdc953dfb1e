// Package served tells what became of a request, in words of ours alone: the route
// that matched, the method, and the status. Figures and traces are made of these, so
// that nothing that a visitor sends becomes a label or a name.
package served

import (
	"net/http"
	"strings"
)

// Recorder passes an answer on and keeps its status.
type Recorder struct {
	http.ResponseWriter
	// Status is http.StatusOK until another one was written.
	Status int
}

// Record begins to keep the status of what is written to w.
func Record(w http.ResponseWriter) *Recorder {
	return &Recorder{ResponseWriter: w, Status: http.StatusOK}
}

// WriteHeader keeps the status.
func (r *Recorder) WriteHeader(status int) {
	r.Status = status
	r.ResponseWriter.WriteHeader(status)
}

// Unwrap lets http.ResponseController reach the connection.
func (r *Recorder) Unwrap() http.ResponseWriter { return r.ResponseWriter }

// Route is the pattern that matched a request without its method, "none" for what
// matched no pattern. It is known once http.ServeMux has served the request.
func Route(r *http.Request) string {
	pattern := r.Pattern
	if _, path, found := strings.Cut(pattern, " "); found {
		pattern = path
	}
	if pattern == "" {
		return "none"
	}
	return pattern
}

// Method is the method of a request, and another word for one that nobody knows, such
// as "_OTHER" (OpenTelemetry HTTP conventions).
func Method(r *http.Request, other string) string {
	switch r.Method {
	case http.MethodGet, http.MethodPost, http.MethodHead, http.MethodPut, http.MethodDelete, http.MethodOptions:
		return r.Method
	}
	return other
}
