package provider

import (
	"net/http"
	"slices"
	"strings"

	"github.com/eidbridge/eidbridge/brokers"
)

// Cookie names. Over https they carry the __Host- prefix, so that no neighbour
// domain and no plain http page can set them. Every login has a cookie of its
// own: its secret was never in the browser before the login began.
const (
	loginCookie   = "broker_login_"
	sessionCookie = "broker_session"
	deviceCookie  = "broker_device"
)

func (p *Provider) cookieName(name string) string {
	if p.secure {
		return "__Host-" + name
	}
	return name
}

func (p *Provider) setCookie(w http.ResponseWriter, name, value string, seconds int) {
	http.SetCookie(w, &http.Cookie{ //nolint:gosec // G124: Secure is off on plain http, which is for this machine only
		Name: p.cookieName(name), Value: value, Path: "/", MaxAge: seconds,
		Secure: p.secure, HttpOnly: true, SameSite: http.SameSiteLaxMode,
	})
}

// cookie reads a cookie that must be there once: a second one of the same name
// was put there by somebody else.
func (p *Provider) cookie(r *http.Request, name string) (string, bool) {
	found := r.CookiesNamed(p.cookieName(name))
	if len(found) != 1 || found[0].Value == "" {
		return "", false
	}
	return found[0].Value, true
}

// bindBrowser gives a new transaction its cookie. A browser with many pending
// logins loses the older ones.
func (p *Provider) bindBrowser(w http.ResponseWriter, r *http.Request, t *brokers.Transaction) error {
	secret, err := p.random(32)
	if err != nil {
		return err
	}
	prefix := p.cookieName(loginCookie)
	var pending []string
	for _, c := range r.Cookies() {
		if id, ok := strings.CutPrefix(c.Name, prefix); ok {
			pending = append(pending, id)
		}
	}
	if len(pending) >= maxLoginCookies {
		for _, id := range pending {
			p.setCookie(w, loginCookie+id, "", -1)
		}
	}
	t.BrowserHash = brokers.HashOf(secret)
	p.setCookie(w, loginCookie+t.ID, secret, int(p.cfg.Lifetimes.Login.Seconds()))
	return nil
}

// unbindBrowser takes the cookie of a login that is over from the browser, or, if
// this is the request that began it, does not give it.
func (p *Provider) unbindBrowser(w http.ResponseWriter, t *brokers.Transaction) {
	name := loginCookie + t.ID
	set := w.Header()["Set-Cookie"]
	kept := slices.DeleteFunc(set, func(c string) bool { return strings.HasPrefix(c, p.cookieName(name)+"=") })
	switch {
	case len(kept) == len(set):
		p.setCookie(w, name, "", -1)
	case len(kept) == 0:
		w.Header().Del("Set-Cookie")
	default:
		w.Header()["Set-Cookie"] = kept
	}
}

// sameBrowser reports whether the request comes from the browser that began the
// login.
func (p *Provider) sameBrowser(r *http.Request, t *brokers.Transaction) bool {
	secret, ok := p.cookie(r, loginCookie+t.ID)
	return ok && t.BrowserHash.Matches(secret)
}

// formToken is what a form of this login must carry. It is derived from the
// cookie, which the page itself does not show.
func (p *Provider) formToken(r *http.Request, t *brokers.Transaction) string {
	secret, _ := p.cookie(r, loginCookie+t.ID)
	text, err := brokers.HashOf("form\x00" + t.ID + "\x00" + secret).MarshalText()
	if err != nil {
		return ""
	}
	return string(text)
}
