package provider

import (
	"context"
	"crypto/rand"
	"log/slog"
	"strings"
)

// record writes one audit event. The attributes are ours: codes, identifiers of
// clients, upstreams and logins; never names, numbers, tokens, or text that came
// from outside.
func (p *Provider) record(ctx context.Context, event, reason string, attributes ...slog.Attr) {
	all := append([]slog.Attr{slog.String("event", event), slog.String("reason", reason)}, attributes...)
	p.cfg.Audit.LogAttrs(ctx, slog.LevelInfo, "audit", all...)
}

// reference is a number that the citizen can read to a help desk, and that finds
// the event in the audit log. It is no secret.
func reference() string {
	text := strings.ToUpper(rand.Text()[:2*referenceHalf])
	return text[:referenceHalf] + "-" + text[referenceHalf:]
}

// referenceHalf is the length of either half of a reference.
const referenceHalf = 5
