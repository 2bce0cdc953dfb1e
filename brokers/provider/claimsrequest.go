package provider

import (
	"bytes"
	"encoding/json"
	"errors"

	"github.com/eidbridge/eidbridge/brokers"
)

// acrRequest is what the claims parameter says of acr in the ID token.
type acrRequest struct {
	essential bool
	values    []string
}

// claimMember is the value of one claim in a claims request (OpenID Connect
// Core 5.5.1). Values may be of any JSON type.
type claimMember struct {
	Essential bool              `json:"essential"`
	Value     json.RawMessage   `json:"value"`
	Values    []json.RawMessage `json:"values"`
}

// accepted returns the acceptable values as compact JSON.
func (m *claimMember) accepted() ([]string, error) {
	all := m.Values
	if m.Value != nil {
		all = append(all, m.Value)
	}
	if len(all) > maxListed {
		return nil, errors.New("too many values for a claim")
	}
	var texts []string
	for _, raw := range all {
		var compact bytes.Buffer
		if err := json.Compact(&compact, raw); err != nil {
			return nil, err
		}
		texts = append(texts, compact.String())
	}
	return texts, nil
}

// parseClaims reads the claims parameter. Claims that we do not know are ignored
// whatever their shape; a claim that we know must have the right one, since
// dropping it silently could drop a requirement.
func parseClaims(text string) (brokers.ClaimsRequest, acrRequest, error) {
	var request brokers.ClaimsRequest
	var acr acrRequest
	if text == "" {
		return request, acr, nil
	}
	if len(text) > maxClaims {
		return request, acr, errors.New("claims is too long")
	}
	if err := checkJSON([]byte(text), maxClaimsDepth); err != nil {
		return request, acr, err
	}
	var top map[string]json.RawMessage
	if err := json.Unmarshal([]byte(text), &top); err != nil || top == nil {
		return request, acr, errors.New("claims is not an object")
	}
	for place, raw := range top {
		var err error
		switch place {
		case "id_token":
			request.IDToken, request.VerifiedIDToken, err = parsePlace(place, raw, &acr)
		case "userinfo":
			request.UserInfo, request.VerifiedUserInfo, err = parsePlace(place, raw, nil)
		}
		if err != nil {
			return request, acr, err
		}
	}
	return request, acr, nil
}

// parsePlace reads what is asked for in one of the two places: the claims with the
// values that will do, nil if there are none, and verified claims. A claim acr goes
// into acr, where the place has one.
func parsePlace(place string, raw json.RawMessage, acr *acrRequest) (claims map[string][]string, verified json.RawMessage, err error) {
	var members map[string]json.RawMessage
	if err := json.Unmarshal(raw, &members); err != nil {
		return nil, nil, errors.New(place + " is not an object")
	}
	for name, raw := range members {
		if name == "verified_claims" {
			if verified, err = parseVerified(raw); err != nil {
				return nil, nil, err
			}
			continue
		}
		isACR := acr != nil && name == "acr"
		if !isACR && name != "sub" && !isPersonClaim(name) {
			continue
		}
		var member claimMember
		if err := json.Unmarshal(raw, &member); err != nil {
			return nil, nil, errors.New("a claim is neither null nor an object of the right form")
		}
		values, err := member.accepted()
		if err != nil {
			return nil, nil, err
		}
		if isACR {
			acr.ask(member.Essential, values)
			continue
		}
		if claims == nil {
			claims = map[string][]string{}
		}
		claims[name] = values
	}
	return claims, verified, nil
}

// ask takes values in JSON; what is no text is asked for, and unknown.
func (a *acrRequest) ask(essential bool, values []string) {
	a.essential = essential
	for _, v := range values {
		var word string
		if json.Unmarshal([]byte(v), &word) != nil {
			word = ""
		}
		a.values = append(a.values, word)
	}
}
