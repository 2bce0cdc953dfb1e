package admin

import (
	"net/http"

	"github.com/eidbridge/eidbridge/brokers"
	"github.com/eidbridge/eidbridge/brokers/audit"
	"github.com/eidbridge/eidbridge/brokers/outages"
	"github.com/eidbridge/eidbridge/brokers/provider"
)

// maxChanges is how many changes are shown.
const maxChanges = 200

// listed makes of no list an empty one, which JSON writes as such.
func listed[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
}

func (a *api) listOutages(_ http.ResponseWriter, r *http.Request, _ string) (int, any, error) {
	err := a.Outages.Learn(r.Context()) // what another replica added a moment ago
	return http.StatusOK, map[string][]brokers.Outage{"outages": listed(a.Outages.At(a.Registry.Now()))}, err
}

func (a *api) addOutage(_ http.ResponseWriter, r *http.Request, actor string) (int, any, error) {
	var o brokers.Outage
	if err := readBody(r, &o, "an outage"); err != nil {
		return 0, nil, err
	}
	if err := outages.Known(a.Upstreams, o.Upstream, o.Method); err != nil {
		return 0, nil, err
	}
	id, err := a.Outages.Add(r.Context(), actor, o)
	return http.StatusCreated, map[string]string{"id": id}, err
}

func (a *api) liftOutage(_ http.ResponseWriter, r *http.Request, actor string) (int, any, error) {
	return http.StatusNoContent, nil, a.Outages.Lift(r.Context(), actor, r.PathValue("id"))
}

func (a *api) listBans(_ http.ResponseWriter, r *http.Request, _ string) (int, any, error) {
	list, err := a.Bans.Bans(r.Context())
	return http.StatusOK, map[string][]brokers.Ban{"bans": listed(list)}, err
}

func (a *api) liftBan(_ http.ResponseWriter, r *http.Request, actor string) (int, any, error) {
	return http.StatusNoContent, nil, a.Bans.Lift(r.Context(), actor, r.PathValue("id"))
}

// person is the body that says whose sessions end. It is in the body, so that no log
// of addresses has it.
type person struct {
	Person  string `json:"person"`
	Client  string `json:"client_id"`
	Subject string `json:"sub"`
}

func (a *api) endPerson(_ http.ResponseWriter, r *http.Request, actor string) (int, any, error) {
	var p person
	if err := readBody(r, &p, "a person"); err != nil {
		return 0, nil, err
	}
	ended, err := a.EndPerson(r.Context(), actor, provider.Person{Key: p.Person, Client: p.Client, Subject: p.Subject})
	return http.StatusOK, ended, err
}

func (a *api) changes(_ http.ResponseWriter, _ *http.Request, _ string) (int, any, error) {
	list, err := a.Changes(maxChanges)
	return http.StatusOK, map[string][]audit.Line{"changes": listed(list)}, err
}
