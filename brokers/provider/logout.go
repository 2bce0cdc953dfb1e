package provider

import (
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"slices"

	"github.com/eidbridge/eidbridge/brokers"
	"github.com/eidbridge/eidbridge/brokers/pages"
)

// leaving is a request to log out (OpenID Connect RP-Initiated Logout 1.0) after
// its checks.
type leaving struct {
	client *Client
	hint   *hinted
	// location is where the browser goes at the end, or empty: registered, and with
	// the state.
	location string
}

// logout ends the browser's session. A hint of that very session says that the
// relying party means it; without one the citizen is asked, since anybody can
// send a browser here (O-67).
func (p *Provider) logout(w http.ResponseWriter, r *http.Request) {
	params, err := readParameters(w, r, maxParameters)
	if err != nil {
		p.problem(w, r, http.StatusBadRequest, pages.BadRequest, "logout.refused", "parameters", nil)
		return
	}
	l, reason := p.leaving(r, params)
	if reason != "" {
		p.problem(w, r, http.StatusBadRequest, pages.BadRequest, "logout.refused", reason, nil)
		return
	}
	session := p.session(r)
	switch {
	case session == nil:
		p.left(w, r, params, l, nil, nil)
	case l.hint != nil && l.hint.SessionID != "" && l.hint.SessionID == p.sessionID(l.client, session.ID):
		p.leave(w, r, params, l, session)
	default:
		fields := map[string]string{"token": p.logoutToken(r)}
		for _, name := range []string{"id_token_hint", "client_id", "post_logout_redirect_uri", "state", "ui_locales"} {
			if params[name] != "" {
				fields[name] = params[name]
			}
		}
		w.Header().Set("Content-Security-Policy", policy(false, origin(l.location)))
		view := pages.Logout{Language: p.leavingLanguage(r, params), Action: p.url("logout", "confirm"), Fields: fields}
		p.page(w, http.StatusOK, func(out io.Writer) error { return p.pages.Logout(out, view) })
	}
}

// confirmLogout takes the citizen's answer. What was asked is checked anew.
func (p *Provider) confirmLogout(w http.ResponseWriter, r *http.Request) {
	params, err := readParameters(w, r, maxParameters+maxForm)
	site := r.Header.Get("Sec-Fetch-Site")
	if err != nil || site != "" && site != "same-origin" {
		p.problem(w, r, http.StatusBadRequest, pages.BadRequest, "logout.refused", "form", nil)
		return
	}
	l, reason := p.leaving(r, params)
	if reason != "" {
		p.problem(w, r, http.StatusBadRequest, pages.BadRequest, "logout.refused", reason, nil)
		return
	}
	session := p.session(r)
	switch {
	case session == nil:
		p.left(w, r, params, l, nil, nil)
	case !brokers.HashOf(p.logoutToken(r)).Matches(params["token"]):
		p.problem(w, r, http.StatusForbidden, pages.BadRequest, "logout.refused", "form_token", nil)
	case params["answer"] != "end":
		p.record(r.Context(), "logout.declined", "ok")
		if l.location == "" {
			p.problem(w, r, http.StatusOK, pages.Cancelled, "logout.declined", "page", nil)
			return
		}
		seeOther(w, r, l.location)
	default:
		p.leave(w, r, params, l, session)
	}
}

// leaving checks a request to log out. A reason means that nobody is redirected
// anywhere, and that nothing ends.
func (p *Provider) leaving(r *http.Request, params parameters) (l leaving, reason string) {
	id := params["client_id"]
	if text := params["id_token_hint"]; text != "" {
		hint, err := p.readHint(text)
		if err != nil {
			return l, "id_token_hint"
		}
		if id != "" && id != hint.Audience.names[0] {
			return l, "hint_of_other_client"
		}
		l.hint, id = hint, hint.Audience.names[0]
	}
	if id != "" {
		client, err := p.client(r.Context(), id)
		if err != nil {
			return l, "client_unknown"
		}
		l.client = client
	}
	uri := params["post_logout_redirect_uri"]
	switch {
	case uri == "":
		return l, ""
	case l.client == nil:
		return l, "client_missing"
	case !slices.Contains(l.client.PostLogoutURIs, uri):
		return l, "post_logout_redirect_uri"
	case len(params["state"]) > maxValue:
		return l, "state_too_long"
	}
	l.location = uri
	if params["state"] != "" {
		l.location = responseURL(uri, url.Values{"state": {params["state"]}})
	}
	return l, ""
}

func (p *Provider) leave(w http.ResponseWriter, r *http.Request, params parameters, l leaving, session *brokers.Session) {
	now := p.cfg.Now()
	list, err := p.cfg.Store.EndSession(r.Context(), session.CookieHash, now, now.Add(noticeLife))
	if err != nil {
		p.setCookie(w, sessionCookie, "", -1) // at least here nobody goes on with it (O-71)
		p.fault(w, r, "ending session", err, nil)
		return
	}
	p.record(r.Context(), "session.ended", "logout", slog.Int("participants", len(list)))
	p.wakeNotices()
	p.left(w, r, params, l, list, p.leaveUpstreams(w, r, p.leavingLanguage(r, params), l, session))
}

// left shows that the session has ended, or goes straight back to the relying party,
// by way of an upstream if there is one to leave. Clients that are told by the browser
// are loaded in frames.
func (p *Provider) left(w http.ResponseWriter, r *http.Request, params parameters, l leaving, list []brokers.Participant, away *brokers.Transaction) {
	if _, ok := p.cookie(r, sessionCookie); ok {
		p.setCookie(w, sessionCookie, "", -1)
	}
	view := pages.LoggedOut{Language: p.leavingLanguage(r, params), Location: l.location}
	var origins []string
	for _, part := range list {
		client, err := p.client(r.Context(), part.ClientID)
		if err != nil || client.FrontChannelLogoutURI == "" {
			continue
		}
		// OpenID Connect Front-Channel Logout 1.0, 2
		view.Frames = append(view.Frames, responseURL(client.FrontChannelLogoutURI, url.Values{"iss": {p.cfg.Issuer}, "sid": {part.SessionID}}))
		origins = append(origins, origin(client.FrontChannelLogoutURI))
	}
	switch {
	case away != nil && away.State == brokers.Leaving && len(view.Frames) == 0:
		p.onward(w, r, away, r.Method == http.MethodGet) // after a form a page in between
		return
	case away != nil && away.State == brokers.Leaving:
		view.Location, view.Onward = p.url("logout", away.ID), true
	case away != nil:
		view.Open = away.Open
	case l.location != "" && len(view.Frames) == 0:
		seeOther(w, r, l.location)
		return
	}
	p.loggedOut(w, view, origins)
}

func (p *Provider) leavingLanguage(r *http.Request, params parameters) string {
	locales, err := params.list("ui_locales")
	if err != nil {
		locales = nil
	}
	return p.language(r, &brokers.Transaction{Request: brokers.AuthorizationRequest{UILocales: locales}})
}

// logoutToken is what the form of the question must carry, derived from the
// session's cookie.
func (p *Provider) logoutToken(r *http.Request) string {
	secret, _ := p.cookie(r, sessionCookie)
	return brokers.HashOf("logout\x00" + secret).String()
}
