package digid

import (
	"context"
	"crypto/rand"
	"crypto/x509"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/eidbridge/eidbridge/brokers"
	emulator "github.com/eidbridge/eidbridge/fixtures/idps/digid"
	"github.com/eidbridge/eidbridge/levels"
)

// TestLoginAtTheEmulator walks the pages of the laboratory's DigiD, which shares
// no code with this package: metadata fetched and pinned, request by redirect,
// password and text message, artifact over mutual TLS.
func TestLoginAtTheEmulator(t *testing.T) {
	front, back := httptest.NewUnstartedServer(nil), httptest.NewUnstartedServer(nil)
	persons, err := emulator.Persons(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	var u *Upstream
	idp, err := emulator.New(emulator.Options{
		BaseURL:        "http://" + front.Listener.Addr().String(),
		BackchannelURL: "https://" + strings.Replace(back.Listener.Addr().String(), "127.0.0.1", "localhost", 1),
		SigningKey:     pairs().idp.tls(), Persons: persons, Clock: time.Now, Random: rand.Reader,
		SPMetadata: func(context.Context, string) ([]byte, error) { return u.Metadata() },
	})
	if err != nil {
		t.Fatal(err)
	}
	front.Config.Handler, back.Config.Handler = idp.FrontChannel(), idp.BackChannel()
	back.TLS = emulator.BackChannelTLS(pairs().channel.tls())
	front.Start()
	back.StartTLS()
	t.Cleanup(front.Close)
	t.Cleanup(back.Close)

	const local = "http://localhost:8181/upstream/digid/"
	c := testConfig(newTestIdP(t))
	c.EntityID, c.ACSURL, c.Clock = local+"metadata", local+"callback", time.Now
	c.Metadata, c.MetadataURL = nil, front.URL+"/saml/idp/metadata"
	c.MetadataCertificates = []*x509.Certificate{pairs().idp.cert}
	if u, err = New(c); err != nil {
		t.Fatal(err)
	}
	d, err := u.Start(context.Background(), brokers.AuthenticationRequest{Method: "digid-midden", Level: levels.Low, ForceAuthn: true, RelayState: "handle"})
	if err != nil {
		t.Fatal(err)
	}
	b := newBrowser(t, front.URL)
	b.do(http.MethodGet, d.Location, nil)
	b.step("method", "method", "password")
	b.step("password", "username", persons[0].UserName, "password", emulator.LabPassword)
	sent := idp.Outbox()
	if len(sent) == 0 {
		t.Fatalf("no text message was sent; page: %.300s", b.page)
	}
	b.step("sms", "code", sent[len(sent)-1].Code)
	if b.left == nil {
		t.Fatalf("browser did not come back; page: %.300s", b.page)
	}
	event, err := u.Finish(context.Background(), httptest.NewRequest(http.MethodGet, b.left.String(), nil), stored(t, d))
	if err != nil {
		t.Fatal(err)
	}
	if event.Subject.Key != "nl-bsn:"+persons[0].BSN || event.Assessment.Level != levels.Low || !slices.Equal(event.AMR, []string{"mfa"}) {
		t.Errorf("event = %+v", event)
	}
	event, err = u.Finish(context.Background(), httptest.NewRequest(http.MethodGet, b.left.String(), nil), d)
	wantRejected(t, event, err, reasonArtifact, brokers.CategoryTimeout)
}

// browser follows redirects until one leaves the identity provider.
type browser struct {
	t      *testing.T
	client *http.Client
	home   string
	page   string
	left   *url.URL
}

func newBrowser(t *testing.T, home string) *browser {
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	b := &browser{t: t, home: home}
	b.client = &http.Client{Jar: jar, CheckRedirect: func(r *http.Request, _ []*http.Request) error {
		if !strings.HasPrefix(r.URL.String(), home) {
			b.left = r.URL
			return http.ErrUseLastResponse
		}
		return nil
	}}
	return b
}

func (b *browser) do(method, location string, form url.Values) {
	b.t.Helper()
	r, err := http.NewRequest(method, location, strings.NewReader(form.Encode()))
	if err != nil {
		b.t.Fatal(err)
	}
	if form != nil {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	response, err := b.client.Do(r)
	if err != nil {
		b.t.Fatal(err)
	}
	defer response.Body.Close()
	page, err := io.ReadAll(response.Body)
	if err != nil {
		b.t.Fatal(err)
	}
	b.page = string(page)
}

// step sends the form of the login at hand with its token.
func (b *browser) step(action string, pairs ...string) {
	b.t.Helper()
	login := regexp.MustCompile(`/login/([0-9a-f]+)/`).FindStringSubmatch(b.page)
	token := regexp.MustCompile(`name="csrf" value="([^"]+)"`).FindStringSubmatch(b.page)
	if login == nil || token == nil {
		b.t.Fatalf("before %s: no form on the page: %.500s", action, b.page)
	}
	form := url.Values{"csrf": {token[1]}}
	for i := 0; i < len(pairs); i += 2 {
		form.Set(pairs[i], pairs[i+1])
	}
	b.do(http.MethodPost, b.home+"/login/"+login[1]+"/"+action, form)
}
