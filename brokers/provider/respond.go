package provider

import (
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"strings"

	"github.com/eidbridge/eidbridge/brokers"
	"github.com/eidbridge/eidbridge/brokers/pages"
)

// responseModes are the ways of an answer to the relying party: in the query, by
// a form (OAuth 2.0 Form Post Response Mode), and each as a signed JWT (JARM).
func responseModes() []string {
	return []string{"query", "form_post", "jwt", "query.jwt", "form_post.jwt"}
}

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
// the only place that redirects, and its targets are four: our own pages, an
// upstream's departure, a registered redirect URI, and a registered address
// after logout.
func seeOther(w http.ResponseWriter, r *http.Request, target string) {
	http.Redirect(w, r, target, http.StatusSeeOther) //nolint:gosec // G710: see above; O-01, O-10 and O-68 test it
}

// answer sends the browser back to the relying party, naming ourselves (RFC
// 9207).
func (p *Provider) answer(w http.ResponseWriter, r *http.Request, request *brokers.AuthorizationRequest, response url.Values) {
	response.Set("iss", p.cfg.Issuer)
	if request.State != "" {
		response.Set("state", request.State)
	}
	mode, signed := strings.CutSuffix(request.ResponseMode, "jwt")
	if signed {
		token, err := p.signedResponse(r, request, response)
		if err != nil {
			p.fault(w, r, "signing answer", err, nil)
			return
		}
		response = url.Values{"response": {token}}
	}
	if strings.TrimSuffix(mode, ".") != "form_post" {
		seeOther(w, r, responseURL(request.RedirectURI, response))
		return
	}
	fields := map[string]string{}
	for name := range response {
		fields[name] = response.Get(name)
	}
	w.Header().Set("Content-Security-Policy", policy(true, origin(request.RedirectURI)))
	view := pages.Onward{Language: p.language(r, &brokers.Transaction{Request: *request}), Location: request.RedirectURI, Fields: fields, Back: true}
	p.page(w, http.StatusOK, func(out io.Writer) error { return p.pages.Onward(out, view) })
}

// signedResponse is the answer as a JWT (JARM 4.1).
func (p *Provider) signedResponse(r *http.Request, request *brokers.AuthorizationRequest, response url.Values) (string, error) {
	client, err := p.client(r.Context(), request.ClientID)
	if err != nil {
		return "", err
	}
	now := p.cfg.Now()
	claims := map[string]any{}
	for name := range response {
		claims[name] = response.Get(name)
	}
	claims["iss"], claims["aud"], claims["exp"] = p.cfg.Issuer, client.ID, numericDate(now.Add(p.cfg.Lifetimes.Login))
	return p.cfg.Keys.sign(client.SigningAlgorithm, typeJWT, claims, now)
}

// deny tells the relying party of an error.
func (p *Provider) deny(w http.ResponseWriter, r *http.Request, request *brokers.AuthorizationRequest, e *oauthError) {
	p.record(r.Context(), "authorization.denied", e.reason,
		slog.String("client", request.ClientID), slog.String("code", e.code))
	p.answer(w, r, request, url.Values{"error": {e.code}, "error_description": {e.description}})
}
