package admin

import (
	"errors"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/eidbridge/eidbridge/brokers"
	"github.com/eidbridge/eidbridge/brokers/provider"
	"github.com/eidbridge/eidbridge/levels"
)

var (
	// errStale is a form that was filled in over what somebody else changed.
	errStale = errors.New("changed in the meantime")
	// errNotSure is a removal that was not confirmed.
	errNotSure = errors.New("not confirmed")
)

// methodChoice is a login method that a client may be bound to.
type methodChoice struct {
	ID, Name string
	Ticked   bool
}

// methods lists the login methods, those of a client ticked.
func (c *console) methods(s *screen) []methodChoice {
	var list []methodChoice
	for _, u := range c.Upstreams {
		for _, m := range u.Methods() {
			name := m.Name[s.Lang]
			if name == "" {
				name = m.Name["en"]
			}
			list = append(list, methodChoice{m.ID, name, slices.Contains(s.Settings.Methods, m.ID)})
		}
	}
	return list
}

func (c *console) showClients(w http.ResponseWriter, r *http.Request, s *screen) {
	c.clientList(w, r, s, http.StatusOK)
}

func (c *console) clientList(w http.ResponseWriter, r *http.Request, s *screen, status int) {
	s.Title, s.Path, s.Methods = s.text("nav_clients"), "/clients", c.methods(s)
	list, err := c.Registry.List(r.Context())
	if err != nil {
		c.failed(w, r, s, err)
		return
	}
	s.Clients = list
	c.draw(w, status, "clients.html", s)
}

func (c *console) showClient(w http.ResponseWriter, r *http.Request, s *screen) {
	e, err := c.Registry.Show(r.Context(), r.PathValue("id"))
	if err != nil {
		c.failed(w, r, s, err)
		return
	}
	s.Settings = e.ClientSettings
	c.clientPage(w, s, e, http.StatusOK)
}

func (c *console) clientPage(w http.ResponseWriter, s *screen, e *Entry, status int) {
	s.Title, s.Client, s.Path = s.text("client_title", "ID", e.ID), e, "/clients/"+e.ID
	s.Seen, s.Methods = version(e), c.methods(s)
	c.draw(w, status, "client.html", s)
}

// version tells one state of a client from another.
func version(e *Entry) string { return strconv.FormatInt(e.ChangedAt.UnixNano(), 36) }

// fill takes over what a form says; settings that it does not show stay.
func fill(r *http.Request, s *provider.ClientSettings) (err error) {
	s.Name = strings.TrimSpace(r.PostFormValue("name"))
	s.RedirectURIs = strings.Fields(r.PostFormValue("redirect_uris"))
	s.PostLogout = strings.Fields(r.PostFormValue("post_logout_uris"))
	s.Scopes = strings.Fields(r.PostFormValue("scopes"))
	s.Resources = strings.Fields(r.PostFormValue("resources"))
	s.Methods = r.PostForm["methods"]
	s.BackChannel = strings.TrimSpace(r.PostFormValue("back_channel_logout_uri"))
	s.SingleSignOn = r.PostFormValue("single_sign_on") != ""
	s.Refresh = r.PostFormValue("refresh_tokens") != ""
	if s.MinLevel, err = levels.Parse(r.PostFormValue("min_level")); err != nil {
		return &InvalidError{err}
	}
	return nil
}

func (c *console) addClient(w http.ResponseWriter, r *http.Request, s *screen) {
	s.Settings.ID = strings.TrimSpace(r.PostFormValue("id"))
	err := fill(r, &s.Settings)
	if err == nil {
		s.Secret, err = c.Registry.Add(r.Context(), "console:"+s.Actor, s.Settings)
	}
	if err != nil {
		c.clientList(w, r, s, c.explain(r, s, err)) // with what was filled in
		return
	}
	s.Done = s.text("done_added", "ID", s.Settings.ID)
	s.Settings = provider.ClientSettings{}
	c.clientList(w, r, s, http.StatusOK)
}

// changeClient replaces what the form shows of a client, unless somebody else did in
// the meantime.
func (c *console) changeClient(w http.ResponseWriter, r *http.Request, s *screen) {
	id := r.PathValue("id")
	e, err := c.Registry.Show(r.Context(), id)
	if err != nil {
		c.failed(w, r, s, err)
		return
	}
	s.Settings = e.ClientSettings
	switch {
	case e.Origin != Operator:
		err = ErrConfigured
	case r.PostFormValue("seen") != version(e):
		err = errStale
	default:
		if err = fill(r, &s.Settings); err == nil {
			err = c.Registry.Change(r.Context(), "console:"+s.Actor, s.Settings)
		}
	}
	if err != nil {
		c.clientPage(w, s, e, c.explain(r, s, err))
		return
	}
	if e, err = c.Registry.Show(r.Context(), id); err != nil {
		c.failed(w, r, s, err)
		return
	}
	s.Done = s.text("done_change", "ID", id)
	c.clientPage(w, s, e, http.StatusOK)
}

func (c *console) actOn(w http.ResponseWriter, r *http.Request, s *screen) {
	id, actor, verb := r.PathValue("id"), "console:"+s.Actor, r.PathValue("verb")
	var err error
	switch verb {
	case "change":
		c.changeClient(w, r, s)
		return
	case "disable", "enable":
		err = c.Registry.Disable(r.Context(), actor, id, verb == "disable")
	case "secret":
		s.Secret, err = c.Registry.RotateSecret(r.Context(), actor, id)
	case "remove":
		if err = errNotSure; r.PostFormValue("sure") != "" {
			err = c.Registry.Remove(r.Context(), actor, id)
		}
	default:
		err = brokers.ErrNotFound
	}
	if err != nil {
		c.failed(w, r, s, err)
		return
	}
	s.Done = s.text("done_"+verb, "ID", id)
	c.clientList(w, r, s, http.StatusOK)
}
