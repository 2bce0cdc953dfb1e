package provider

import (
	"log/slog"
	"net/http"
	"net/url"
	"strings"

	"github.com/eidbridge/eidbridge/brokers"
)

// responseURL appends parameters to a redirect URI and leaves its own query as
// it is (RFC 6749 4.1.2). The URI has been checked to be registered.
func responseURL(redirectURI string, response url.Values) string {
	separator := "?"
	if strings.Contains(redirectURI, "?") {
		separator = "&"
	}
	return redirectURI + separator + response.Encode()
}

// seeOther redirects with 303, which never repeats a form (RFC 9700 4.12). It is
// the only place that redirects, and its targets are three: our own pages, an
// upstream's departure, and a registered redirect URI.
func seeOther(w http.ResponseWriter, r *http.Request, target string) {
	http.Redirect(w, r, target, http.StatusSeeOther) //nolint:gosec // G710: see above; O-01 and O-10 test it
}

// answer sends the browser back to the relying party, naming ourselves (RFC
// 9207).
func (p *Provider) answer(w http.ResponseWriter, r *http.Request, request *brokers.AuthorizationRequest, response url.Values) {
	response.Set("iss", p.cfg.Issuer)
	if request.State != "" {
		response.Set("state", request.State)
	}
	seeOther(w, r, responseURL(request.RedirectURI, response))
}

// deny tells the relying party of an error.
func (p *Provider) deny(w http.ResponseWriter, r *http.Request, request *brokers.AuthorizationRequest, e *oauthError) {
	p.record(r.Context(), "authorization.denied", e.reason,
		slog.String("client", request.ClientID), slog.String("code", e.code))
	p.answer(w, r, request, url.Values{"error": {e.code}, "error_description": {e.description}})
}
