package provider

import (
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/eidbridge/eidbridge/brokers"
)

// resourceParameter names a service that an access token is meant for (RFC 8707 2). It
// alone may be there several times.
const resourceParameter = "resource"

// resourceSeparator keeps several resources in one parameter. No parameter has a
// control character, so that it is in none of them.
const resourceSeparator = "\n"

func invalidTarget(reason string) *oauthError {
	return &oauthError{code: "invalid_target", description: "the resource is malformed or not for this client", reason: reason}
}

// checkResource wants an absolute URI without fragment (RFC 8707 2), written as it will
// be compared: byte by byte.
func checkResource(text string) error {
	u, err := url.Parse(text)
	if err != nil || !u.IsAbs() || strings.Contains(text, "#") || u.User != nil || u.String() != text || len(text) > maxRedirectURI || !isText(text) {
		return fmt.Errorf("access tokens are for absolute URIs without fragment (RFC 8707), not %q", text)
	}
	return nil
}

func checkResources(list []string) error {
	if len(list) > maxListed {
		return fmt.Errorf("there are more than %d resources", maxListed)
	}
	for _, text := range list {
		if err := checkResource(text); err != nil {
			return err
		}
	}
	return nil
}

// resources are those that a request names, each once. Names of services that we do not
// know are refused by who knows what may be asked for.
func (p parameters) resources() ([]string, *oauthError) {
	if p[resourceParameter] == "" {
		return nil, nil
	}
	var list []string
	for text := range strings.SplitSeq(p[resourceParameter], resourceSeparator) {
		switch {
		case len(list) == maxListed:
			return nil, invalidTarget("resource_flood")
		case checkResource(text) != nil:
			return nil, invalidTarget("resource_malformed")
		case !slices.Contains(list, text):
			list = append(list, text)
		}
	}
	return list, nil
}

// resourceClaim is what a request object says of resources: one, or a list
// (RFC 8707 2). Other claims of it are no list.
func resourceClaim(raw json.RawMessage) (string, bool) {
	var list []string
	if json.Unmarshal(raw, &list) != nil {
		return "", false
	}
	for _, text := range list {
		if !isText(text) {
			return "", false
		}
	}
	return strings.Join(list, resourceSeparator), true
}

// parseResources reads where the access tokens of a grant are to be used. A client may
// name its registered resources and no others.
func parseResources(c *Client, params parameters, request *brokers.AuthorizationRequest) *oauthError {
	asked, problem := params.resources()
	if problem != nil {
		return problem
	}
	for _, resource := range asked {
		if !slices.Contains(c.Resources, resource) && !slices.Contains(c.AccessTokenAudience, resource) {
			return invalidTarget("resource_unregistered")
		}
	}
	request.Resources = asked
	return nil
}

// granted are the audiences that access tokens of a grant may have: what the request
// named, or else what the client is registered with, or else us.
func (p *Provider) granted(c *Client, g *brokers.Grant) []string {
	switch {
	case len(g.Request.Resources) > 0:
		return g.Request.Resources
	case len(c.AccessTokenAudience) > 0:
		return c.AccessTokenAudience
	}
	return []string{p.cfg.Issuer}
}

// audienceOf are the services that a token is meant for, at most those of its grant.
func (p *Provider) audienceOf(c *Client, g *brokers.Grant, token *brokers.Token) []string {
	if len(token.Resources) > 0 {
		return token.Resources
	}
	return p.granted(c, g)
}

// mayReach refuses resources that were not granted: a token request makes the audience
// smaller and never larger (RFC 8707 2.2).
func (p *Provider) mayReach(c *Client, g *brokers.Grant, resources []string) *oauthError {
	granted := p.granted(c, g)
	for _, resource := range resources {
		if !slices.Contains(granted, resource) {
			return invalidTarget("resource_not_granted")
		}
	}
	return nil
}

// reaches reports whether a token may be used with us, that is, for userinfo. One that
// was asked for other services alone is not: whoever it is sent to could read with it
// what is meant for the portal (RFC 8707 3).
func (p *Provider) reaches(g *brokers.Grant, token *brokers.Token) bool {
	named := token.Resources
	if len(named) == 0 {
		named = g.Request.Resources
	}
	return len(named) == 0 || slices.Contains(named, p.cfg.Issuer)
}

// audienceClaim writes one name as a string and several as a list (RFC 7519 4.1.3).
func audienceClaim(names []string) any {
	if len(names) == 1 {
		return names[0]
	}
	return names
}
