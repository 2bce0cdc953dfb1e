package admin

import (
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/eidbridge/eidbridge/brokers"
	"github.com/eidbridge/eidbridge/brokers/outages"
	"github.com/eidbridge/eidbridge/brokers/provider"
)

// errTime is a time that cannot be read.
var errTime = errors.New("not a time")

// outageRow is an outage as the page lists it.
type outageRow struct {
	ID, What, Kind, From, Until string
}

func rowOf(s *screen, o brokers.Outage) outageRow {
	row := outageRow{ID: o.ID, What: o.Upstream, Kind: "outage", From: s.text("from_now"), Until: s.text("until_lifted")}
	if o.Method != "" {
		row.What += "/" + o.Method
	}
	switch {
	case o.Automatic:
		row.Kind = "pause"
	case o.Planned:
		row.Kind = "maintenance"
	case o.ID == "":
		row.Kind = "configuration"
	}
	if !o.From.IsZero() {
		row.From = moment(o.From)
	}
	if !o.Until.IsZero() {
		row.Until = moment(o.Until)
	}
	return row
}

func (c *console) showOutages(w http.ResponseWriter, r *http.Request, s *screen) {
	c.outagePage(w, r, s, http.StatusOK)
}

func (c *console) outagePage(w http.ResponseWriter, r *http.Request, s *screen, status int) {
	s.Title = s.text("nav_outages")
	if err := c.Outages.Learn(r.Context()); err != nil {
		c.failed(w, r, s, err)
		return
	}
	for _, o := range c.Outages.At(c.Registry.Now()) {
		s.Outages = append(s.Outages, rowOf(s, o))
	}
	for _, u := range c.Upstreams {
		s.Choices = append(s.Choices, u.ID())
		for _, m := range u.Methods() {
			s.Choices = append(s.Choices, u.ID()+"/"+m.ID)
		}
	}
	c.draw(w, status, "outages.html", s)
}

// timeOf reads what a field for date and time sends; nothing is zero.
func timeOf(text string) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	for _, layout := range []string{"2006-01-02T15:04", "2006-01-02T15:04:05"} {
		if t, err := time.Parse(layout, text); err == nil {
			return t, nil
		}
	}
	return time.Time{}, errTime
}

func (c *console) addOutageForm(w http.ResponseWriter, r *http.Request, s *screen) {
	what := r.PostFormValue("what")
	o := brokers.Outage{Limit: brokers.Limit{Planned: r.PostFormValue("planned") != ""}}
	o.Upstream, o.Method, _ = strings.Cut(what, "/")
	var errFrom, errUntil error
	o.From, errFrom = timeOf(r.PostFormValue("from"))
	o.Until, errUntil = timeOf(r.PostFormValue("until"))
	err := errors.Join(errFrom, errUntil)
	if err == nil {
		err = outages.Known(c.Upstreams, o.Upstream, o.Method)
	}
	if err == nil {
		_, err = c.Outages.Add(r.Context(), "console:"+s.Actor, o)
	}
	if err != nil {
		c.outagePage(w, r, s, c.explain(r, s, err))
		return
	}
	s.Done = s.text("done_outage", "What", what)
	c.outagePage(w, r, s, http.StatusOK)
}

func (c *console) liftOutageForm(w http.ResponseWriter, r *http.Request, s *screen) {
	if err := c.Outages.Lift(r.Context(), "console:"+s.Actor, r.PathValue("id")); err != nil {
		c.outagePage(w, r, s, c.explain(r, s, err))
		return
	}
	s.Done = s.text("done_lift")
	c.outagePage(w, r, s, http.StatusOK)
}

func (c *console) showBans(w http.ResponseWriter, r *http.Request, s *screen) {
	c.banPage(w, r, s, http.StatusOK)
}

func (c *console) banPage(w http.ResponseWriter, r *http.Request, s *screen, status int) {
	s.Title = s.text("nav_bans")
	var err error
	if s.Bans, err = c.Bans.Bans(r.Context()); err != nil {
		c.failed(w, r, s, err)
		return
	}
	c.draw(w, status, "bans.html", s)
}

func (c *console) liftBanForm(w http.ResponseWriter, r *http.Request, s *screen) {
	if err := c.Bans.Lift(r.Context(), "console:"+s.Actor, r.PathValue("id")); err != nil {
		c.banPage(w, r, s, c.explain(r, s, err))
		return
	}
	s.Done = s.text("done_lift")
	c.banPage(w, r, s, http.StatusOK)
}

func (c *console) showPersons(w http.ResponseWriter, _ *http.Request, s *screen) {
	s.Title = s.text("nav_persons")
	c.draw(w, http.StatusOK, "persons.html", s)
}

// endPersonForm does not show again what was filled in: it is somebody's number.
func (c *console) endPersonForm(w http.ResponseWriter, r *http.Request, s *screen) {
	s.Title = s.text("nav_persons")
	ended, err := c.EndPerson(r.Context(), "console:"+s.Actor, provider.Person{
		Key: strings.TrimSpace(r.PostFormValue("person")), Client: strings.TrimSpace(r.PostFormValue("client")), Subject: strings.TrimSpace(r.PostFormValue("sub")),
	})
	if err != nil {
		c.draw(w, c.explain(r, s, err), "persons.html", s)
		return
	}
	s.Done = s.text("done_ended", "Sessions", ended.Sessions, "Grants", ended.Grants)
	c.draw(w, http.StatusOK, "persons.html", s)
}

func (c *console) showChanges(w http.ResponseWriter, r *http.Request, s *screen) {
	s.Title = s.text("nav_changes")
	var err error
	if s.Changes, err = c.Changes(maxChanges); err != nil {
		c.failed(w, r, s, err)
		return
	}
	c.draw(w, http.StatusOK, "changes.html", s)
}
