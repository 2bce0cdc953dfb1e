package provider

import (
	"errors"
	"net/http"
	"net/url"

	"github.com/eidbridge/eidbridge/brokers"
)

// authenticate finds out which client asks, by the one method of its
// registration (RFC 6749 2.3).
func (p *Provider) authenticate(r *http.Request, params parameters) (*Client, *oauthError) {
	id, secret, method := params["client_id"], params["client_secret"], AuthNone
	if secret != "" {
		method = AuthPost
	}
	if header := r.Header.Values("Authorization"); len(header) > 0 {
		if len(header) > 1 || method == AuthPost {
			return nil, invalidRequest("two_methods", "more than one client authentication")
		}
		user, password, ok := r.BasicAuth()
		basicID, errID := url.QueryUnescape(user)
		basicSecret, errSecret := url.QueryUnescape(password)
		if !ok || errID != nil || errSecret != nil || (id != "" && id != basicID) {
			return nil, invalidClient("basic")
		}
		id, secret, method = basicID, basicSecret, AuthBasic
	}
	if id == "" {
		return nil, invalidClient("client_missing")
	}
	client, err := p.cfg.Clients.Client(r.Context(), id)
	if errors.Is(err, brokers.ErrNotFound) {
		client = &Client{Auth: AuthBasic} // compare all the same, against a hash of nothing known
	} else if err != nil {
		return nil, &oauthError{"temporarily_unavailable", "try again", "registry"}
	}
	matches := client.SecretHash.Matches(secret)
	switch {
	case client.ID == "":
		return nil, invalidClient("client_unknown")
	case client.Auth != method:
		return nil, invalidClient("wrong_method")
	case client.Auth != AuthNone && !matches:
		return nil, invalidClient("wrong_secret")
	}
	return client, nil
}
