package audit

import (
	"context"
	"log/slog"
)

// Handler lets a slog.Logger write audit events: the attributes "event" and
// "reason" of a record, or its message where it has no event, and all others.
func (l *Log) Handler() slog.Handler { return &handler{log: l} }

type handler struct {
	log   *Log
	fixed []slog.Attr
}

// Enabled takes all levels.
func (h *handler) Enabled(context.Context, slog.Level) bool { return true }

// Handle writes a record.
func (h *handler) Handle(_ context.Context, r slog.Record) error {
	event, reason := r.Message, ""
	list := h.fixed[:len(h.fixed):len(h.fixed)]
	r.Attrs(func(a slog.Attr) bool {
		switch a.Key {
		case "event":
			event = a.Value.String()
		case "reason":
			reason = a.Value.String()
		default:
			list = append(list, a)
		}
		return true
	})
	return h.log.Record(event, reason, list...)
}

// WithAttrs adds attributes to all records.
func (h *handler) WithAttrs(list []slog.Attr) slog.Handler {
	return &handler{log: h.log, fixed: append(h.fixed[:len(h.fixed):len(h.fixed)], list...)}
}

// WithGroup is of no use here: names of attributes stay as they are.
func (h *handler) WithGroup(string) slog.Handler { return h }
