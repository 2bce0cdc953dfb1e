package provider

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"

	"github.com/eidbridge/eidbridge/brokers"
)

// requestURI begins the names of pushed requests (RFC 9126 2.2). No other URI is
// ever looked at, so nothing is ever fetched.
const requestURI = "urn:ietf:params:oauth:request_uri:"

func invalidRequestURI(reason string) *oauthError {
	return &oauthError{code: "invalid_request_uri", description: "the request_uri is unknown, used or expired", reason: reason}
}

func invalidRequestObject(reason, description string) *oauthError {
	return &oauthError{code: "invalid_request_object", description: description, reason: reason}
}

// resolve puts a pushed request or a request object in the place of the
// parameters. What came beside it does not count (RFC 9101 6.3).
func (p *Provider) resolve(ctx context.Context, c *Client, params parameters) (parameters, brokers.Hash, *oauthError) {
	switch {
	case params["request_uri"] != "" && params["request"] != "":
		return nil, brokers.Hash{}, invalidRequest("request_twice", "request and request_uri exclude each other")
	case params["request_uri"] != "":
		return p.pushedRequest(ctx, c, params["request_uri"])
	case c.RequirePushed:
		return nil, brokers.Hash{}, invalidRequest("not_pushed", "this client has to push its requests")
	}
	inner, problem := p.unwrap(ctx, c, params, false)
	return inner, brokers.Hash{}, problem
}

// pushedRequest loads what was pushed. It may be opened more than once, since
// browsers prefetch and reload, until a code has been issued.
func (p *Provider) pushedRequest(ctx context.Context, c *Client, uri string) (parameters, brokers.Hash, *oauthError) {
	if !strings.HasPrefix(uri, requestURI) {
		return nil, brokers.Hash{}, &oauthError{code: "request_uri_not_supported", description: "only a request_uri that we gave out is supported", reason: "request_uri_foreign"}
	}
	handle := brokers.HashOf(uri)
	pushed, err := p.cfg.Store.Pushed(ctx, handle, p.cfg.Now())
	switch {
	case errors.Is(err, brokers.ErrNotFound):
		return nil, brokers.Hash{}, invalidRequestURI("request_uri_unknown")
	case err != nil:
		return nil, brokers.Hash{}, p.storeProblem(ctx, "loading pushed request", err)
	case pushed.ClientID != c.ID:
		return nil, brokers.Hash{}, invalidRequestURI("request_uri_of_other_client")
	}
	return pushed.Parameters, handle, nil
}

// unwrap reads the request object, if there is one, into parameters.
func (p *Provider) unwrap(ctx context.Context, c *Client, params parameters, once bool) (parameters, *oauthError) {
	text := params["request"]
	if text == "" {
		if c.RequireSigned {
			return nil, invalidRequest("not_signed", "this client has to sign its requests")
		}
		return params, nil
	}
	text, err := p.opened(text)
	if err != nil {
		return nil, invalidRequestObject("request_object_encrypted", "the request object cannot be decrypted")
	}
	s, err := parseStatement(text, c.algorithms(), "", "jwt", "oauth-authz-req+jwt")
	if err != nil {
		return nil, invalidRequestObject("request_object_malformed", "the request object is malformed or of another algorithm")
	}
	if p.verifiedByClient(ctx, c, s) != nil {
		return nil, invalidRequestObject("request_object_signature", "the request object is signed by no registered key")
	}
	var claims registered
	if json.Unmarshal(s.payload, &claims) != nil {
		return nil, invalidRequestObject("request_object_malformed", "the request object is malformed")
	}
	if problem := p.checkRequestObject(c, &claims); problem != nil {
		return nil, problem
	}
	inner, problem := objectParameters(s.payload)
	switch {
	case problem != nil:
		return nil, problem
	case inner["request"] != "" || inner["request_uri"] != "":
		return nil, invalidRequestObject("request_object_nested", "a request object holds no other")
	case inner["client_id"] != "" && inner["client_id"] != c.ID:
		return nil, invalidRequestObject("request_object_client", "the request object is of another client")
	}
	inner["client_id"] = c.ID
	if once && claims.ID != "" && p.beforeEpoch(claims.madeAt(), requestLife+clientSkew) {
		return nil, invalidRequestObject("request_object_epoch", "the request object is too old")
	}
	if once && claims.ID != "" {
		until := p.cfg.Now().Add(requestLife + clientSkew)
		err := p.cfg.Store.UseAssertionID(ctx, "request:"+c.ID, claims.ID, until)
		if errors.Is(err, brokers.ErrReplayed) {
			return nil, invalidRequestObject("request_object_replayed", "the request object was used before")
		}
		if err != nil {
			return nil, p.storeProblem(ctx, "using request object", err)
		}
	}
	return inner, nil
}

// checkRequestObject checks who made a request object, for whom and when. One
// that has to be there also has to say how long it is good for.
func (p *Provider) checkRequestObject(c *Client, claims *registered) *oauthError {
	now := p.cfg.Now()
	switch {
	case claims.Issuer != c.ID:
		return invalidRequestObject("request_object_issuer", "the issuer of the request object is not the client")
	case claims.Subject == c.ID: // RFC 9101 10.8: it could be an assertion
		return invalidRequestObject("request_object_subject", "the request object has the client as subject")
	case !slices.Contains(claims.Audience.names, p.cfg.Issuer):
		return invalidRequestObject("request_object_audience", "the request object is not meant for us")
	case claims.current(now) != nil, len(claims.ID) > maxID:
		return invalidRequestObject("request_object_time", "the request object is not valid now")
	case c.RequireSigned && (claims.Expiry == nil || claims.NotBefore == nil):
		return invalidRequestObject("request_object_time", "the request object needs exp and nbf")
	case claims.NotBefore != nil && claims.NotBefore.Before(now.Add(-requestLife)),
		c.RequireSigned && claims.Expiry.After(claims.NotBefore.Add(requestLife)):
		return invalidRequestObject("request_object_time", "the request object is good for more than an hour")
	}
	return nil
}

// objectParameters turns the claims of a request object into parameters, so that
// they go the same way as those of a query: numbers as digits, objects as JSON.
func objectParameters(payload []byte) (parameters, *oauthError) {
	malformed := invalidRequestObject("request_object_claims", "a claim of the request object is malformed")
	var claims map[string]json.RawMessage
	if json.Unmarshal(payload, &claims) != nil {
		return nil, malformed
	}
	params := parameters{}
	for name, raw := range claims {
		switch name {
		case "iss", "aud", "exp", "nbf", "iat", "jti", "sub":
			continue
		}
		if list, ok := resourceClaim(raw); ok && name == resourceParameter {
			if list != "" {
				params[name] = list
			}
			continue
		}
		var text string
		if json.Unmarshal(raw, &text) != nil {
			var compact bytes.Buffer
			if json.Compact(&compact, raw) != nil {
				return nil, malformed
			}
			text = compact.String()
		}
		if !isText(name) || !isText(text) {
			return nil, malformed
		}
		if text != "" && text != "null" {
			params[name] = text
		}
	}
	return params, nil
}
