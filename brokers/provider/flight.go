package provider

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/eidbridge/eidbridge/brokers"
)

const (
	// maxSteps bounds the steps that are kept of a login, maxCode a value in one.
	maxSteps = 32
	maxCode  = 64
	// flightLife is how long they can be looked up.
	flightLife = 14 * 24 * time.Hour
	// strangersPerMinute bounds the references that one address can have kept that
	// belong to no login, maxStrangers the addresses that can in a minute.
	strangersPerMinute = 30
	maxStrangers       = 1000
)

// flightHandle is where the steps behind a reference are kept among the receipts. No
// ID of a receipt has a slash.
const flightHandle = "flight/"

// codes are the attributes of events that steps keep: words of ours and of the
// configuration. What is not listed is not kept, so that nothing about a person
// can get there.
func codes() []string {
	return []string{"client", "upstream", "method", "asked", "least", "level", "rule", "policy", "rules", "code", "failed"}
}

// note records an event of a login: in the audit log, and as a step that is kept
// with the login's next change.
func (p *Provider) note(ctx context.Context, t *brokers.Transaction, event, reason string, attributes ...slog.Attr) {
	p.record(ctx, event, reason, append([]slog.Attr{slog.String("login", t.ID)}, attributes...)...)
	p.addStep(t, event, reason, attributes)
}

func (p *Provider) addStep(t *brokers.Transaction, event, reason string, attributes []slog.Attr) {
	if len(t.Steps) < maxSteps {
		t.Steps = append(t.Steps, p.step(event, reason, attributes))
	}
}

// step is an event without anything but codes.
func (p *Provider) step(event, reason string, attributes []slog.Attr) brokers.Step {
	s := brokers.Step{At: p.cfg.Now().UTC().Truncate(time.Millisecond), Event: event, Reason: reason}
	for _, a := range attributes {
		value := a.Value.String()
		if !slices.Contains(codes(), a.Key) || len(value) > maxCode {
			continue
		}
		if s.Codes == nil {
			s.Codes = map[string]string{}
		}
		s.Codes[a.Key] = value
	}
	return s
}

// keepFlight keeps the steps behind the reference that a page shows: those of the
// login, if it is known, and the last one. That it cannot be kept stops nobody.
func (p *Provider) keepFlight(r *http.Request, ref string, t *brokers.Transaction, event, reason string, attributes []slog.Attr) {
	f := brokers.Flight{Reference: ref}
	if t != nil {
		f.Client, f.Steps = t.Request.ClientID, slices.Clone(t.Steps)
	} else if !p.strangers.allow(p.cfg.ClientAddress(r), p.cfg.Now()) {
		return
	}
	f.Steps = append(f.Steps, p.step(event, reason, attributes))
	text, err := json.Marshal(f)
	if err == nil {
		const patience = 2 * time.Second
		ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), patience)
		defer cancel()
		err = p.cfg.Store.SaveReceipt(ctx, flightHandle+ref, text, p.cfg.Now().Add(flightLife))
	}
	if err != nil {
		p.cfg.Log.WarnContext(r.Context(), "steps behind a reference were not kept", "ref", ref, "error", err)
	}
}

// LoadFlight finds the steps behind a reference as people write it, in any case and
// with any blanks, or brokers.ErrNotFound.
func LoadFlight(ctx context.Context, store Documents, text string, now time.Time) (*brokers.Flight, error) {
	plain := strings.NewReplacer("-", "", " ", "").Replace(strings.ToUpper(text))
	if len(plain) != 2*referenceHalf || strings.Trim(plain, "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567") != "" {
		return nil, brokers.ErrNotFound
	}
	kept, err := store.Receipt(ctx, flightHandle+plain[:referenceHalf]+"-"+plain[referenceHalf:], now)
	if err != nil {
		return nil, err
	}
	f := new(brokers.Flight)
	if err := json.Unmarshal(kept, f); err != nil {
		return nil, fmt.Errorf("steps of %s: %w", plain, err)
	}
	return f, nil
}

// strangers counts, in one minute after another, what addresses have kept. The zero
// value is ready.
type strangers struct {
	mu     sync.Mutex
	minute int64
	counts map[string]int
}

func (s *strangers) allow(address string, now time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if minute := now.Unix() / 60; minute != s.minute || s.counts == nil {
		s.minute, s.counts = minute, map[string]int{}
	}
	if s.counts[address] == 0 && len(s.counts) >= maxStrangers {
		return false
	}
	s.counts[address]++
	return s.counts[address] <= strangersPerMinute
}
