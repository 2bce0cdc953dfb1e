package brokertest

import (
	"fmt"
	"html/template"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"

	"github.com/eidbridge/eidbridge/brokers"
	"github.com/eidbridge/eidbridge/levels"
)

// Doorstep is a service provider that knows one upstream and no broker, for tests in
// which a real browser walks the pages of an emulator. It serves one login at a time.
type Doorstep struct {
	// Site is where a browser visits it.
	Site string
	mux  *http.ServeMux

	mu   sync.Mutex
	last *brokers.Departure
}

// NewDoorstep starts one, so that an upstream can be made for its address.
func NewDoorstep(t *testing.T) *Doorstep {
	t.Helper()
	d := &Doorstep{mux: http.NewServeMux()}
	server := httptest.NewServer(d.mux)
	t.Cleanup(server.Close)
	d.Site = server.URL
	return d
}

// Base is what the addresses of an upstream begin with.
func (d *Doorstep) Base(upstream string) string { return d.Site + "/upstream/" + upstream + "/" }

// Start is where a login begins: with the button "#go" of a page.
func (d *Doorstep) Start(method string, least levels.Level) string {
	return d.Site + "/start/" + method + "/" + least.String()
}

// Serve begins logins at an upstream and judges what comes back from it: the page's
// "#arrived" says who came at which level, or why nobody did.
func (d *Doorstep) Serve(t *testing.T, u brokers.Upstream) {
	t.Helper()
	away := template.Must(template.New("").Parse(`<form method="post" action="{{.Location}}">{{range $name, $value := .Form}}<input type="hidden" name="{{$name}}" value="{{$value}}">{{end}}<button id="go">Go</button></form>`))
	d.mux.HandleFunc("GET /start/{method}/{level}", func(w http.ResponseWriter, r *http.Request) {
		level, err := levels.Parse(r.PathValue("level"))
		if err != nil {
			t.Error(err)
		}
		departure, err := u.Start(r.Context(), brokers.AuthenticationRequest{Method: r.PathValue("method"), Level: level, RelayState: "k3v9q2ztk3v9q2zt"})
		if err != nil {
			t.Error(err)
			return
		}
		d.mu.Lock()
		d.last = departure
		d.mu.Unlock()
		w.Header().Set("Content-Type", "text/html")
		if err := away.Execute(w, departure); err != nil {
			t.Error(err)
		}
	})
	d.mux.HandleFunc("POST /upstream/"+u.ID()+"/callback", func(w http.ResponseWriter, r *http.Request) {
		d.mu.Lock()
		departure := d.last
		d.mu.Unlock()
		w.Header().Set("Content-Type", "text/html")
		event, err := u.Finish(r.Context(), r, departure)
		if err != nil {
			fmt.Fprintf(w, `<p id="arrived">%s</p>`, template.HTMLEscapeString(err.Error()))
			return
		}
		fmt.Fprintf(w, `<p id="arrived">%s %s</p>`, event.Subject.Key, event.Assessment.Level)
	})
}
