package provider

import (
	"encoding/json"
	"errors"
	"strings"

	"github.com/go-jose/go-jose/v4"

	"github.com/eidbridge/eidbridge/brokers"
)

// hinted is what an ID token of ours, brought back as a hint, says.
type hinted struct {
	Issuer    string   `json:"iss"`
	Subject   string   `json:"sub"`
	Audience  audience `json:"aud"`
	SessionID string   `json:"sid"`
}

// readHint checks an id_token_hint: an ID token that we signed, for any client.
// It may have expired, and its key may have been retired.
func (p *Provider) readHint(text string) (*hinted, error) {
	s, err := parseStatement(text, signatureAlgorithms(), "jwt")
	if err != nil {
		return nil, err
	}
	var keys []jose.JSONWebKey
	for _, key := range *p.cfg.Keys.current.Load() {
		keys = append(keys, key.jwk)
	}
	if err := s.verify(keys); err != nil {
		return nil, err
	}
	var h hinted
	if err := json.Unmarshal(s.payload, &h); err != nil {
		return nil, errors.New("hint is malformed")
	}
	if h.Issuer != p.cfg.Issuer || !h.Audience.single || h.Subject == "" {
		return nil, errors.New("hint is no ID token of ours")
	}
	return &h, nil
}

// propose puts the methods that a login_hint names in front of all others: if it
// names one that is on offer, only that is offered. Any other hint says nothing
// to us.
func propose(offers []offer, hint string) []offer {
	for _, o := range offers {
		if o.named(hint) {
			return []offer{o}
		}
	}
	return offers
}

// named reports whether a login_hint names the method.
func (o offer) named(hint string) bool {
	return hint != "" && (strings.EqualFold(hint, o.method.ID) || strings.EqualFold(hint, o.value()))
}

// evident reports whether there is nothing to choose, so that the page would only be
// in the way. Who finds a single method because others are out of order is told so.
func (p *Provider) evident(c *Client, r *brokers.AuthorizationRequest, offers []offer) bool {
	return len(offers) == 1 && (offers[0].named(r.Hint) || len(p.offers(c, r)) == 1)
}
