package provider

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/eidbridge/eidbridge/brokers"
	"github.com/eidbridge/eidbridge/levels"
)

// Receipt explains to one client how the level of a login was reached. It says
// nothing about who logged in, and verifies offline with our published keys.
type Receipt struct {
	Issuer   string `json:"iss"`
	Audience string `json:"aud"`
	IssuedAt int64  `json:"iat"`
	EventID  string `json:"event_id"`
	AuthTime int64  `json:"auth_time"`
	ACR      string `json:"acr"`
	Upstream string `json:"upstream"`
	Method   string `json:"method"`
	// Assessment has the upstream's value, the rule, the ceilings and the version of
	// the policy.
	Assessment levels.Assessment `json:"assessment"`
	// Rules are the names of the operator's rules that applied, and RulesVersion is
	// that of all of them, whether any applied or not.
	Rules        []string `json:"rules,omitempty"`
	RulesVersion string   `json:"rules_version,omitempty"`
	// Level is what was answered, Required the least that had to be reached.
	Level    levels.Level `json:"level"`
	Required levels.Level `json:"required"`
	// Explanation says the same in English sentences.
	Explanation []string `json:"explanation"`
}

// receiptID names an event to one client. Two clients cannot tell that theirs
// name the same login (O-65).
func (p *Provider) receiptID(c *Client, e *brokers.AuthenticationEvent) string {
	return p.derive(c, "", "", "event", c.ID, e.ID)
}

// keepReceipt makes the receipt of a login and keeps it.
func (p *Provider) keepReceipt(ctx context.Context, c *Client, t *brokers.Transaction, level levels.Level, applied []string, now time.Time) error {
	acr, err := p.acr(c, level)
	if err != nil {
		return err
	}
	r := Receipt{
		Issuer: p.cfg.Issuer, Audience: c.ID, IssuedAt: numericDate(now), EventID: p.receiptID(c, t.Event),
		AuthTime: numericDate(t.Event.AuthTime), ACR: acr, Upstream: t.Event.Upstream, Method: t.Event.Method,
		Assessment: t.Event.Assessment, Rules: applied, RulesVersion: p.cfg.Policy.Version(), Level: level, Required: t.Request.Requirement.Least(),
	}
	r.Explanation = r.explain()
	signed, err := p.cfg.Keys.sign(c.SigningAlgorithm, typeReceipt, r, now)
	if err != nil {
		return err
	}
	return p.cfg.Store.SaveReceipt(ctx, r.EventID, []byte(signed), now.Add(p.cfg.Lifetimes.Receipt))
}

func (r *Receipt) explain() []string {
	a := r.Assessment
	lines := []string{
		fmt.Sprintf("The login was by %s of %s.", r.Method, r.Upstream),
		fmt.Sprintf("It answered %q, which rule %s of policy %s takes for %s.", a.Value, a.Rule, a.PolicyVersion, a.Asserted),
	}
	for _, c := range a.Ceilings {
		lines = append(lines, fmt.Sprintf("The ceiling of %s is %s.", c.Source, c.Max))
	}
	if a.Notified {
		lines = append(lines, "The means is notified at this level: "+a.OfficialJournal+".")
	}
	if r.RulesVersion != "" {
		applied := "none applied"
		if len(r.Rules) > 0 {
			applied = strings.Join(r.Rules, ", ") + " applied"
		}
		lines = append(lines, fmt.Sprintf("Of the operator's rules, version %s, %s.", r.RulesVersion, applied))
	}
	return append(lines, fmt.Sprintf("The result is %s; the request required %s; the answer is %s, said as %s.", a.Level, r.Required, r.Level, r.ACR))
}

// VerifyReceipt checks a receipt with the keys that the broker published, and
// that its sentences follow from its values. It asks nobody. An old receipt needs
// an old set of keys.
func VerifyReceipt(text string, keys jose.JSONWebKeySet) (*Receipt, error) {
	s, err := parseStatement(strings.TrimSpace(text), signatureAlgorithms(), typeReceipt)
	if err != nil {
		return nil, fmt.Errorf("receipt: %w", err)
	}
	if id := s.jws.Signatures[0].Header.KeyID; len(keys.Key(id)) == 0 {
		return nil, fmt.Errorf("receipt: it is signed by the key %q, which is not in the set", id)
	}
	if err := s.verify(keys.Keys); err != nil {
		return nil, fmt.Errorf("receipt: %w", err)
	}
	r := new(Receipt)
	if err := json.Unmarshal(s.payload, r); err != nil {
		return nil, fmt.Errorf("receipt: %w", err)
	}
	a := r.Assessment
	for _, c := range a.Ceilings {
		a.Asserted = min(a.Asserted, c.Max)
	}
	if a.Level > a.Asserted || r.Level > a.Level || r.Level < r.Required {
		return nil, errors.New("receipt: its level does not follow from its values")
	}
	if !slices.Equal(r.Explanation, r.explain()) {
		return nil, errors.New("receipt: its sentences do not follow from its values; another version of the program may have made it")
	}
	return r, nil
}

// showReceipt gives a receipt to whoever knows its ID, which only the client
// was told.
func (p *Provider) showReceipt(w http.ResponseWriter, r *http.Request) {
	id := r.PathValue("id")
	if strings.Contains(id, "/") { // what else is kept there is for operators
		id = ""
	}
	signed, err := p.cfg.Store.Receipt(r.Context(), id, p.cfg.Now())
	if errors.Is(err, brokers.ErrNotFound) {
		p.record(r.Context(), "receipt.refused", "unknown")
		http.NotFound(w, r)
		return
	}
	if err != nil {
		problem := p.storeProblem(r.Context(), "loading receipt", err)
		p.json(w, problem.status(), errorResponse{Error: problem.code})
		return
	}
	w.Header().Set("Content-Type", "application/jwt")
	_, _ = w.Write(signed) // a JWT of ours, and its type says so; the reader may be gone
}
