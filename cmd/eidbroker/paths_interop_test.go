//go:build interop

package main

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/eidbridge/eidbridge/brokers/forwardauth"
	"github.com/eidbridge/eidbridge/brokers/framing"
	"github.com/eidbridge/eidbridge/brokers/loadtarget"
	"github.com/eidbridge/eidbridge/brokers/store"
)

// tricks are ways to write a path that two programs may read as two paths (W-48). X is the
// path without its slash.
func tricks() []string {
	return []string{
		"//X", "///X", "/./X", "/x/../X", "/x//../X", "/../X", "/..//X", "/%2e/X", "/%2e%2e/X", "/x/%2e%2e/X", "/x%2f..%2fX", "/..%2fX", "/%2fX", "/%5cX",
		"/x/..%5cX", "/;/X", "/;x=1/X", "/X;x", "/X;.css", "/x/..;/X", "/X/", "/X/.", "/X/x/..", "/X.", "/X%2e", "/X%20", "/X%00", "/X%00.css", "/X%09", "/X%0a",
		"/X%23", "/X%3f", "/X/%2e%2e/X", "/X%252e", "/%25252e/X", "/%c0%ae/X", "/%u002e/X", "/X\\", "/\\X", "/x/..\\X",
	}
}

// throughBroker are those that try to look like what the proxy sends to the broker.
func throughBroker() []string {
	return []string{
		"/_eidbridge/../X", "/_eidbridge//../X", "/_eidbridge/%2e%2e/X", "/_eidbridge/..%2fX", "/_eidbridge%2f..%2fX", "/_eidbridge/..;/X", "/_eidbridge/;/../X",
		"/_eidbridge/auth/../../X", "/_eidbridge/verify/%2e%2e/%2e%2e/X", "/_EIDBRIDGE/../X", "/_eidbridge/X", "/_eidbridge;/../X", "//_eidbridge/../X",
		"/./_eidbridge/../X", "/%5feidbridge/../X", "/_eidbridge/./X", "/_eidbridge/auth", "/_eidbridge/verify", "/_eidbridge/callback/../../X", "/_eidbridge\\..\\X",
	}
}

// ask sends a request line as it stands and says what it was answered, 0 for nothing.
func (p *probe) ask(t *testing.T, path string, headers ...string) int {
	t.Helper()
	conn := p.dial(t, "http/1.1")
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(endurance)); err != nil {
		t.Fatal(err)
	}
	fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n%s\r\n", path, p.host, strings.Join(headers, ""))
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		return 0
	}
	_ = resp.Body.Close() // the connection ends
	return resp.StatusCode
}

// framed sends a path over HTTP/2.
func framed(t *testing.T, client *http.Client, host, path string, headers http.Header) int {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://"+host+"/", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.URL.Opaque = path // which becomes :path as it stands
	if strings.HasPrefix(path, "//") {
		r.URL.Opaque = "https://" + host + path // or it is taken for a host
	}
	maps.Copy(r.Header, headers)
	resp, err := client.Do(r)
	if err != nil {
		return 0
	}
	_ = resp.Body.Close() // what it says is not asked
	return resp.StatusCode
}

// dialing is a client whose connections for a host go to an address, over HTTP/2 if it
// is framed.
func dialing(t *testing.T, host, address string, trust *x509.CertPool, framed bool) *http.Client {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	transport := &http.Transport{
		TLSClientConfig: &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: trust},
		DialContext: func(ctx context.Context, network, to string) (net.Conn, error) {
			if name, _, err := net.SplitHostPort(to); err == nil && name == host {
				to = address // Apache sends back to the port that it listens at
			}
			return (&net.Dialer{}).DialContext(ctx, network, to)
		},
	}
	if framed {
		transport.Protocols = new(http.Protocols)
		transport.Protocols.SetHTTP2(true)
	}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Jar: jar, Timeout: endurance, Transport: transport}
}

// stays keeps a client from following.
func stays(c *http.Client) *http.Client {
	c.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return c
}

// TestInteropBrokerAndProxiesReadTheSamePath is W-48 for the broker's own paths: behind
// each proxy of the guide what is no path of the broker as it is written is none, and where
// a proxy puts a path right before it passes it on, proxy and broker mean the same one.
func TestInteropBrokerAndProxiesReadTheSamePath(t *testing.T) {
	for program := range proxies() {
		t.Run(program, func(t *testing.T) {
			t.Parallel()
			broker, _ := startBehind(t)
			r := record(t, broker)
			address, trust := beforeBroker(r.listener.Addr().String()).start(t, program)
			p := &probe{address: address, host: "login.example", recorder: r, tls: &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: trust, ServerName: "login.example"}}
			until(t, func() bool { return reachable(p) })
			client := stays(dialing(t, p.host, address, trust, true))
			tried, served := 0, 0
			for _, path := range []string{"jwks", ".well-known/openid-configuration", "assets/style.css", "device"} {
				if code, over2 := p.ask(t, "/"+path), framed(t, client, p.host, "/"+path, nil); code != http.StatusOK || over2 != http.StatusOK {
					t.Fatalf("/%s itself: %d, over HTTP/2 %d", path, code, over2)
				}
				for _, trick := range append(tricks(), "/"+strings.ToUpper(path)) {
					written := strings.ReplaceAll(trick, "X", path)
					for protocol, send := range map[string]func() int{
						"HTTP/1.1": func() int { return p.ask(t, written) },
						"HTTP/2":   func() int { return framed(t, client, p.host, written, nil) },
					} {
						before := r.count("/" + path)
						code := send()
						tried++
						if code != http.StatusOK {
							if code >= 500 && code != http.StatusNotImplemented {
								t.Errorf("%s %s: %d", protocol, written, code)
							}
							continue
						}
						if served++; r.count("/"+path) == before {
							t.Errorf("%s %s: the broker serves what it was not asked for in its own words", protocol, written)
						}
					}
				}
			}
			t.Logf("%d paths: %d were put right by the proxy, the others were refused", tried, served)
		})
	}
}

// count is how often a target came.
func (r *recorder) count(target string) int {
	r.settle()
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.targets[target]
}

// protected is an application that must see nobody who did not log in.
type protected struct {
	server *httptest.Server
	mu     sync.Mutex
	seen   []string // path and headers of each request
	wrong  []string
	user   string // who may come, once that is known
}

// forgery is what a visitor says to be.
const forgery = "forged"

func protect(t *testing.T) *protected {
	t.Helper()
	p := &protected{}
	p.server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.seen = append(p.seen, r.RequestURI)
		var about []string
		for name, values := range r.Header {
			if strings.HasPrefix(strings.ToLower(name), "remote") {
				about = append(about, values...)
			}
		}
		who := r.Header.Values("Remote-User")
		if len(who) != 1 || who[0] == "" || p.user != "" && who[0] != p.user || slices.Contains(about, forgery) {
			p.wrong = append(p.wrong, fmt.Sprintf("%s as %q", r.RequestURI, about))
		}
		if p.user == "" && len(who) == 1 {
			p.user = who[0]
		}
		_, _ = io.WriteString(w, "the archive")
	}))
	t.Cleanup(p.server.Close)
	return p
}

// took is what came since it was asked the last time, and what should not have.
func (p *protected) took() (seen, wrong []string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	seen, wrong, p.seen, p.wrong = p.seen, p.wrong, nil, nil
	return seen, wrong
}

// startForSites is a provider that lets everybody log in, and the site of the guide.
func startForSites(t *testing.T, site string) (address string, client loadtarget.Client) {
	t.Helper()
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address = listener.Addr().String()
	secrets, err := loadtarget.NewSecrets()
	if err != nil {
		t.Fatal(err)
	}
	target, err := loadtarget.New(loadtarget.Options{
		Issuer: "http://" + address, Store: store.NewMemory(), Secrets: secrets, RedirectURIs: []string{site + forwardauth.Prefix + "callback"}, Now: time.Now,
	})
	if err != nil {
		t.Fatal(err)
	}
	client = target.Describe().Client
	sites, err := forwardauth.New(forwardauth.Config{
		Issuer: "http://" + address, Provider: target, Secret: []byte(strings.Repeat("k", 32)), Log: slog.New(slog.DiscardHandler),
		Sites: []forwardauth.Site{{Origin: site, ClientID: client.ID, ClientSecret: client.Secret}},
	})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if sites.Serves(r) {
			sites.ServeHTTP(w, r)
			return
		}
		target.ServeHTTP(w, r)
	}))
	_ = server.Listener.Close() // the issuer has another address
	server.Listener = framing.Listener(listener)
	server.Start()
	t.Cleanup(server.Close)
	return address, client
}

// TestInteropPathsGetNobodyPastTheProxy is W-48 for sites: however a stranger writes a
// path, the application behind each proxy of the guide sees nothing of it, and whoever
// logged in is who the broker says, whatever the headers claim.
func TestInteropPathsGetNobodyPastTheProxy(t *testing.T) {
	const host = "archive.example"
	for program := range proxies() {
		t.Run(program, func(t *testing.T) {
			t.Parallel()
			broker, client := startForSites(t, "https://"+host)
			site := protect(t)
			g := guide{file: "SITES.md", host: host, replace: []string{
				"127.0.0.1:8181", broker, "127.0.0.1:8080", strings.TrimPrefix(site.server.URL, "http://"), "https://login.example", "http://" + broker,
				"OIDCClientID archive", "OIDCClientID " + client.ID, "THE-SECRET", client.Secret, "THE-PASSPHRASE", "passphrase-of-the-test",
			}}
			if program == "haproxy" {
				g.beside = "lua"
			}
			address, trust := g.start(t, program)
			p := &probe{address: address, host: host, tls: &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: trust, ServerName: host}}
			until(t, func() bool { return p.ask(t, "/") != 0 })
			names := []string{"Remote-User", "Remote-Level", "Remote-Name", "Remote_User", "REMOTE-USER", "remote-acr", "Remote_Level"}
			claims, claimed := []string{}, http.Header{}
			for _, name := range names {
				claims = append(claims, name+": "+forgery+"\r\n")
				claimed[name] = []string{forgery}
			}
			answers := map[int]int{}
			stranger := stays(dialing(t, host, address, trust, true))
			all := slices.Concat([]string{"/X"}, tricks(), throughBroker())
			for _, trick := range all {
				for _, path := range []string{"index.html", "secret/page"} {
					written := strings.ReplaceAll(trick, "X", path)
					for _, code := range []int{p.ask(t, written, claims...), framed(t, stranger, host, written, claimed)} {
						answers[code]++
					}
					if seen, _ := site.took(); len(seen) > 0 {
						t.Errorf("a stranger at %s: the application sees %q", written, seen)
					}
				}
			}
			t.Logf("a stranger was answered %v", answers)

			// Somebody who logs in comes to what they wanted.
			citizen := dialing(t, host, address, trust, false)
			wanted, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://"+host+"/secret/page?x=1", nil)
			if err != nil {
				t.Fatal(err)
			}
			wanted.Header.Set("Accept", "text/html") // Apache sends programs nowhere
			resp, err := citizen.Do(wanted)
			if err != nil {
				t.Fatal(err)
			}
			text, err := io.ReadAll(resp.Body)
			_ = resp.Body.Close() // it was read
			seen, wrong := site.took()
			if err != nil || string(text) != "the archive" || resp.Request.URL.Hostname() != host || resp.Request.URL.RequestURI() != "/secret/page?x=1" || len(seen) == 0 || len(wrong) > 0 {
				t.Fatalf("%v: %s %.200q at %s; the application saw %q, wrong %q", err, resp.Status, text, resp.Request.URL, seen, wrong)
			}
			claims = append(claims, "Cookie: "+cookies(t, citizen, host)+"\r\n")
			for _, trick := range all {
				p.ask(t, strings.ReplaceAll(trick, "X", "secret/page"), claims...)
			}
			if seen, wrong = site.took(); len(seen) == 0 || len(wrong) > 0 {
				t.Errorf("of %d requests of one who logged in the application saw these as somebody else's: %q", len(seen), wrong)
			}
		})
	}
}

// cookies are what a client has for a host.
func cookies(t *testing.T, client *http.Client, host string) string {
	t.Helper()
	var all []string
	for _, cookie := range client.Jar.Cookies(&url.URL{Scheme: "https", Host: host, Path: "/"}) {
		all = append(all, cookie.Name+"="+cookie.Value)
	}
	if len(all) == 0 {
		t.Fatal("no cookie")
	}
	return strings.Join(all, "; ")
}
