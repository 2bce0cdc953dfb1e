package localapi

import (
	"mime"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/eidbridge/eidbridge/desktop/origins"
)

// guard is the first thing a message meets. It refuses what no page of an
// acceptable origin and no tool of the user sends, and gives the origin to what
// is left; the zero origin is one of the user's own tools.
func (d *Door) guard(w http.ResponseWriter, r *http.Request) (origins.Origin, *problem) {
	h := w.Header()
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
	h.Set("Vary", "Origin")
	// A name that was made to resolve to 127.0.0.1 shows here (L-01), and so does
	// a proxy's request line (L-02).
	if r.URL.IsAbs() || r.URL.Host != "" || !d.hosts[r.Host] {
		return origins.Origin{}, newProblem(codeHostMismatch, "")
	}
	// Browsers send bodies with a length. Refusing the rest closes the door to
	// games with two framings (L-18).
	if len(r.TransferEncoding) > 0 || r.ContentLength < 0 {
		h.Set("Connection", "close")
		return origins.Origin{}, invalid("The body must have a Content-Length.")
	}
	if !fetched(r.Header) {
		return origins.Origin{}, newProblem(codeOriginNotAllowed, "")
	}
	values := r.Header.Values("Origin")
	if len(values) == 0 {
		if r.Method == http.MethodGet && r.URL.Path == pathInfo && !fromBrowser(r.Header) {
			return origins.Origin{}, nil
		}
		return origins.Origin{}, newProblem(codeOriginNotAllowed, "")
	}
	if len(values) > 1 {
		return origins.Origin{}, newProblem(codeOriginNotAllowed, "")
	}
	origin, err := origins.Parse(values[0])
	if err != nil || !d.Rules.Acceptable(origin) {
		return origins.Origin{}, newProblem(codeOriginNotAllowed, "")
	}
	if !d.Store.Approved(origin) && !underPairings(r.URL.Path) {
		return origins.Origin{}, newProblem(codeOriginNotAllowed, "")
	}
	h.Set("Access-Control-Allow-Origin", origin.String())
	h.Set("Access-Control-Expose-Headers", "Retry-After")
	return origin, nil
}

// fetched tells whether what the browser says of the message, if anything, is a
// CORS fetch by a script (Fetch Metadata): no navigation, form, image, frame.
func fetched(h http.Header) bool {
	allowed := map[string][]string{
		"Sec-Fetch-Mode": {"cors"},
		"Sec-Fetch-Dest": {"empty"},
		"Sec-Fetch-Site": {"cross-site", "same-site", "same-origin"},
	}
	for name, values := range allowed {
		for _, v := range h.Values(name) {
			if !slices.Contains(values, v) {
				return false
			}
		}
	}
	return true
}

// fromBrowser notices a browser that leaves out Origin: a same-origin or no-cors
// GET. There are no pages of ours on this port.
func fromBrowser(h http.Header) bool {
	for _, name := range []string{"Sec-Fetch-Mode", "Sec-Fetch-Site", "Sec-Fetch-Dest", "Referer", "Cookie"} {
		if h.Get(name) != "" {
			return true
		}
	}
	return false
}

func underPairings(path string) bool {
	return path == pathPairings || strings.HasPrefix(path, pathPairings+"/")
}

// preflight answers a CORS preflight (Fetch standard 3.2.2). It says nothing that
// depends on the path's being there.
func preflight(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Access-Control-Allow-Methods", "GET, POST, DELETE")
	h.Set("Access-Control-Allow-Headers", "authorization, content-type, idempotency-key")
	h.Set("Access-Control-Max-Age", strconv.Itoa(int(preflightAge.Seconds())))
	h.Add("Vary", "Access-Control-Request-Private-Network")
	// Chromium before Local Network Access asked so (Private Network Access).
	if r.Header.Get("Access-Control-Request-Private-Network") == "true" {
		h.Set("Access-Control-Allow-Private-Network", "true")
	}
	w.WriteHeader(http.StatusNoContent)
}

// isJSON tells whether the body is declared as JSON in UTF-8. Anything a form can
// send is not, so that a browser asks before it sends (threat 4).
func isJSON(h http.Header) bool {
	values := h.Values("Content-Type")
	if len(values) != 1 {
		return false
	}
	mediaType, parameters, err := mime.ParseMediaType(values[0])
	if err != nil || mediaType != "application/json" {
		return false
	}
	for name, value := range parameters {
		if name != "charset" || !strings.EqualFold(value, "utf-8") {
			return false
		}
	}
	return true
}

// bearer reads the token (RFC 6750 section 2.1).
func bearer(h http.Header) string {
	values := h.Values("Authorization")
	if len(values) != 1 {
		return ""
	}
	scheme, token, ok := strings.Cut(values[0], " ")
	if !ok || !strings.EqualFold(scheme, "Bearer") || len(token) > maxToken {
		return ""
	}
	return token
}
