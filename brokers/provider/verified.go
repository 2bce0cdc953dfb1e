package provider

import (
	"bytes"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/eidbridge/eidbridge/brokers"
	"github.com/eidbridge/eidbridge/levels"
)

// parseVerified reads a request for verified_claims: an object or a list of
// them, each with a verification and at least one claim.
func parseVerified(raw json.RawMessage) (json.RawMessage, error) {
	wrong := errors.New("verified_claims has the wrong form")
	if bytes.Equal(raw, []byte("null")) {
		return nil, wrong
	}
	if raw[0] != '[' {
		raw = slices.Concat([]byte("["), raw, []byte("]"))
	}
	var list []struct {
		Verification map[string]json.RawMessage `json:"verification"`
		Claims       map[string]json.RawMessage `json:"claims"`
	}
	if json.Unmarshal(raw, &list) != nil || len(list) == 0 || len(list) > maxKeys {
		return nil, wrong
	}
	for _, r := range list {
		if r.Verification == nil || len(r.Claims) == 0 || len(r.Claims) > maxListed {
			return nil, wrong
		}
	}
	return raw, nil
}

// verified answers a request for verified_claims: an object, a list of them if
// several requests could be met, or nil.
func (p *Provider) verified(c *Client, g *brokers.Grant, request json.RawMessage, now time.Time) any {
	var requests []struct {
		Verification map[string]any `json:"verification"`
		Claims       map[string]any `json:"claims"`
	}
	if len(request) == 0 || json.Unmarshal(request, &requests) != nil {
		return nil
	}
	full := p.verification(c, g)
	var answers []any
	for _, r := range requests {
		if _, asked := r.Verification["trust_framework"]; !asked { // it is always told
			r.Verification["trust_framework"] = nil
		}
		verification, ok := selected(r.Verification, full, now)
		if !ok {
			continue
		}
		claims := map[string]any{}
		for _, claim := range p.claims {
			wanted, asked := r.Claims[claim.name]
			if !asked || !claim.allowed(c.Scopes) {
				continue
			}
			if v := claim.value(&g.Event.Subject, now); v != nil {
				if kept, ok := selected(wanted, v, now); ok {
					claims[claim.name] = kept
				}
			}
		}
		if wanted, asked := r.Claims["represents"]; asked {
			if party := p.represents(c, &g.Event.Subject); party != nil {
				if kept, ok := selected(wanted, party.object(), now); ok {
					claims["represents"] = kept
				}
			}
		}
		if len(claims) > 0 {
			answers = append(answers, map[string]any{"verification": verification, "claims": claims})
		}
	}
	switch len(answers) {
	case 0:
		return nil
	case 1:
		return answers[0]
	}
	return answers
}

// verification is all that can honestly be said of how a login came about.
func (p *Provider) verification(c *Client, g *brokers.Grant) map[string]any {
	e, at := &g.Event, g.Event.AuthTime.UTC().Format(time.RFC3339)
	country := strings.ToLower(e.Subject.Country)
	v := map[string]any{
		"trust_framework": trustFramework(e), "time": at, "verification_process": p.receiptID(c, e),
		"evidence": []any{map[string]any{
			"type":          "electronic_record",
			"check_details": []any{map[string]any{"check_method": "auth", "organization": e.Upstream, "time": at, "check_id": "c1"}},
			"record": map[string]any{
				"type":   "eidas." + country + "." + e.Upstream,
				"source": map[string]any{"name": e.Upstream, "country_code": strings.ToUpper(country)},
			},
		}},
	}
	if g.Level >= levels.Low {
		v["assurance_level"] = g.Level.String()
	}
	return v
}

// trustFramework is "eidas" only for a means that is notified at the level that
// was reached; everything else is national.
func trustFramework(e *brokers.AuthenticationEvent) string {
	if e.Assessment.Notified {
		return "eidas"
	}
	return strings.ToLower(e.Subject.Country) + "_" + e.Upstream
}

// selected cuts a value down to what a request asks for, and reports whether the
// request's conditions hold (OpenID Connect for Identity Assurance 1.0, 6). Null
// asks for the member as it is.
func selected(request, value any, now time.Time) (any, bool) {
	switch asked := request.(type) {
	case nil:
		return value, true
	case []any:
		return selectedList(asked, value, now)
	case map[string]any:
		if _, ok := value.(map[string]any); !ok {
			return value, meets(asked, value, now)
		}
		out := map[string]any{}
		for name, inner := range asked {
			whole, there := value.(map[string]any)[name]
			if !there {
				if conditional(inner) {
					return nil, false
				}
				continue
			}
			part, ok := selected(inner, whole, now)
			if !ok {
				return nil, false
			}
			out[name] = part
		}
		if len(asked) == 0 {
			return value, true
		}
		return out, true
	}
	return nil, false
}

// selectedList keeps the entries of a list that one of the requests matches. The
// type of evidence is told always.
func selectedList(requests []any, value any, now time.Time) (any, bool) {
	list, ok := value.([]any)
	if !ok {
		return nil, false
	}
	var out []any
	for _, entry := range list {
		for _, r := range requests {
			kept, ok := selected(r, entry, now)
			if !ok {
				continue
			}
			if whole, isObject := entry.(map[string]any); isObject && whole["type"] != nil {
				kept.(map[string]any)["type"] = whole["type"]
			}
			out = append(out, kept)
			break
		}
	}
	return out, len(out) > 0
}

// conditional reports whether a request has a condition anywhere inside, which
// what is missing cannot meet.
func conditional(request any) bool {
	switch asked := request.(type) {
	case []any:
		return slices.ContainsFunc(asked, conditional)
	case map[string]any:
		for name, inner := range asked {
			if name == "value" || name == "values" || name == "max_age" || conditional(inner) {
				return true
			}
		}
	}
	return false
}

// meets checks the conditions on one value. "essential" is none.
func meets(asked map[string]any, value any, now time.Time) bool {
	text := func(v any) string {
		data, err := json.Marshal(v)
		if err != nil {
			return ""
		}
		return string(data)
	}
	if wanted, ok := asked["value"]; ok && text(wanted) != text(value) {
		return false
	}
	if list, ok := asked["values"]; ok {
		wanted, isList := list.([]any)
		if !isList || !slices.ContainsFunc(wanted, func(w any) bool { return text(w) == text(value) }) {
			return false
		}
	}
	if age, ok := asked["max_age"]; ok {
		seconds, isNumber := age.(float64)
		at, err := time.Parse(time.RFC3339, strings.Trim(text(value), `"`))
		if !isNumber || err != nil || now.Sub(at).Seconds() > seconds {
			return false
		}
	}
	return true
}
