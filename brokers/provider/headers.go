package provider

import (
	"maps"
	"net/http"
	"net/url"
	"path"
	"strings"
)

// protect puts in front of all routes what holds for all of them: headers, the
// host, the path, and the number of requests at once.
func (p *Provider) protect(next http.Handler) http.Handler {
	slots := make(chan struct{}, p.cfg.InFlight)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		maps.Copy(w.Header(), p.headers)
		if !strings.EqualFold(r.Host, p.issuer.Host) {
			http.Error(w, "this server does not serve that host", http.StatusMisdirectedRequest)
			return
		}
		if clean := path.Clean(r.URL.Path); clean != r.URL.Path && clean+"/" != r.URL.Path {
			http.NotFound(w, r)
			return
		}
		select {
		case slots <- struct{}{}:
			defer func() { <-slots }()
		default:
			p.cfg.Shed()
			w.Header().Set("Retry-After", "2")
			http.Error(w, "too many requests at once", http.StatusServiceUnavailable)
			return
		}
		if !published(r.URL.Path) && p.cfg.Halted() != nil {
			w.Header().Set("Retry-After", "30")
			http.Error(w, "the service is halted; please try again later", http.StatusServiceUnavailable)
			return
		}
		if !published(r.URL.Path) && !p.byClients(r.URL.Path) {
			if retry, ok := p.cfg.Guard.Request(r.Context(), p.cfg.ClientAddress(r)); !ok {
				w.Header().Set("Retry-After", seconds(retry))
				http.Error(w, "too many requests; please try again in a moment", http.StatusTooManyRequests)
				return
			}
		}
		next.ServeHTTP(w, r)
	})
}

// published reports whether a path has the same document for everybody.
func published(path string) bool {
	return strings.Contains(path, "/.well-known/") || strings.HasSuffix(path, "/jwks") || strings.Contains(path, "/assets/")
}

// secureHeaders are the strictest; a handler loosens what it must, by setting a
// header anew.
func secureHeaders(secure bool) http.Header {
	h := http.Header{}
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-Frame-Options", "DENY")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Permissions-Policy", "camera=(), geolocation=(), microphone=()")
	h.Set("Content-Security-Policy", policy(false))
	if secure {
		h.Set("Strict-Transport-Security", "max-age=63072000; includeSubDomains")
	}
	return h
}

// policy is the content security policy of a page whose forms lead to the given
// origins, directly or by redirection, beside our own.
func policy(script bool, formOrigins ...string) string {
	directives := []string{
		"default-src 'none'", "style-src 'self'", "img-src 'self'", "base-uri 'none'", "frame-ancestors 'none'",
		"require-trusted-types-for 'script'", "form-action " + strings.Join(append([]string{"'self'"}, formOrigins...), " "),
	}
	if script {
		directives = append(directives, "script-src 'self'")
	}
	return strings.Join(directives, "; ")
}

// framing is the policy of a page without forms that loads frames from other
// origins.
func framing(origins []string) string {
	frames := "'none'"
	if len(origins) > 0 {
		frames = strings.Join(origins, " ")
	}
	return policy(false) + "; frame-src " + frames
}

// origin is the scheme and host of a URL, or empty if the URL has none or one
// that could break out of a header.
func origin(text string) string {
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || strings.ContainsAny(u.Host, " ;,'\"") {
		return ""
	}
	return u.Scheme + "://" + u.Host
}

// public marks a document that anybody may read from anywhere and keep a while.
func public(h http.Header) {
	h.Set("Cache-Control", "public, max-age=3600")
	h.Set("Access-Control-Allow-Origin", "*")
	h.Set("Cross-Origin-Resource-Policy", "cross-origin")
}
