package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/net/http2"

	"github.com/eidbridge/eidbridge/brokers/capacity"
	"github.com/eidbridge/eidbridge/fixtures/freeport"
)

const (
	// crowd is how many connections are held open at once (W-45).
	crowd = 1000
	// pace is in how long a dripping visitor sends one more byte, which is far less than
	// any limit.
	pace = 200 * time.Millisecond
	// strangers and honest are addresses of this machine that no other test has ports of.
	strangers = "127.1.0.2"
	honest    = "127.2.0.2"
)

// sluggish keeps a server waiting in some way: begin sends what it sends at first, and
// after that drip comes byte by byte. It reads nothing but where reads says so.
type sluggish struct {
	name  string
	begin func(io.Writer) error
	drip  string
	reads bool
}

// says is who sends one text and then waits.
func says(text string) func(io.Writer) error {
	return func(w io.Writer) error {
		_, err := io.WriteString(w, text)
		return err
	}
}

// sluggishVisitors are the kinds of W-45 that HTTP/1.1 has.
func sluggishVisitors(host string) []sluggish {
	form := "POST /token HTTP/1.1\r\nHost: " + host + "\r\nContent-Type: application/x-www-form-urlencoded\r\n"
	long := strings.Repeat("a", 1<<10)
	return []sluggish{
		{"nothing", says(""), "", true},
		{"half a head", says("GET /jwks HTTP/1.1\r\nHost: "), "", true},
		{"a head byte by byte", says("GET /jwks HTTP/1.1\r\nHost: " + host + "\r\nX-A: "), long, true},
		{"half a body", says(form + "Content-Length: 100\r\n\r\na"), "", true},
		{"a body byte by byte", says(form + "Content-Length: 100000\r\n\r\n"), long, true},
		{"half a chunk", says(form + "Transfer-Encoding: chunked\r\n\r\n64\r\na"), "", true},
		{"chunks byte by byte", says(form + "Transfer-Encoding: chunked\r\n\r\n"), strings.Repeat("1\r\na\r\n", 200), true},
		{"one request, and then none", says("GET /jwks HTTP/1.1\r\nHost: " + host + "\r\n\r\n"), "", true},
		{"answers that are not taken", requests(host), "", false},
	}
}

// requests asks on and on for what fills the buffers between the two.
func requests(host string) func(io.Writer) error {
	many := []byte(strings.Repeat("GET /assets/style.css HTTP/1.1\r\nHost: "+host+"\r\n\r\n", 100))
	return func(w io.Writer) error {
		for {
			if _, err := w.Write(many); err != nil {
				return err
			}
		}
	}
}

// sluggishFrames are those that HTTP/2 has.
func sluggishFrames() []sluggish {
	frames := func(settings []http2.Setting, more func(*http2.Framer) error) func(io.Writer) error {
		return func(w io.Writer) error {
			var sent bytes.Buffer
			sent.WriteString(http2.ClientPreface)
			framer := http2.NewFramer(&sent, nil)
			if err := framer.WriteSettings(settings...); err != nil {
				return err
			}
			if err := more(framer); err != nil {
				return err
			}
			_, err := w.Write(sent.Bytes())
			return err
		}
	}
	request := func(method, path string, ends, whole bool) func(*http2.Framer) error {
		return func(f *http2.Framer) error {
			for stream := uint32(1); stream < 20; stream += 2 {
				// Literal fields that are never indexed, with names from the static table: RFC 7541 §6.2.3.
				field := func(index byte, value string) string { return string([]byte{0x10 | index, byte(len(value))}) + value }
				if err := f.WriteHeaders(http2.HeadersFrameParam{
					StreamID: stream, EndStream: ends, EndHeaders: whole,
					BlockFragment: []byte(field(2, method) + field(4, path) + field(7, "https") + field(1, "login.example")),
				}); err != nil || !whole {
					return err
				}
			}
			return nil
		}
	}
	return []sluggish{
		{"half a preface", says("PRI * HTTP/2.0\r\n\r\n"), "", true},
		{"no requests", frames(nil, func(*http2.Framer) error { return nil }), "", true},
		{"a head that goes on", frames(nil, request("GET", "/jwks", true, false)), "", true},
		{"no body", frames(nil, request("POST", "/token", false, true)), "", true},
		{"answers that there is no window for", frames([]http2.Setting{{ID: http2.SettingInitialWindowSize, Val: 0}}, request("GET", "/jwks", true, true)), "", true},
	}
}

// hold opens a connection from an address, keeps the server waiting on it, and returns
// once the server has ended it.
func (v sluggish) hold(t *testing.T, from, to string, config *tls.Config) {
	// Before it connects, a narrow buffer keeps the window small.
	narrow := func(_, _ string, c syscall.RawConn) error {
		return c.Control(func(fd uintptr) { _ = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_RCVBUF, 4<<10) })
	}
	dialer := &net.Dialer{Timeout: endurance, LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}, Control: narrow}
	plain, err := dialer.Dial("tcp", to)
	if err != nil {
		t.Errorf("%s: %v", v.name, err)
		return
	}
	defer plain.Close()
	_ = plain.SetDeadline(time.Now().Add(3 * endurance))
	conn := plain
	if config != nil {
		secured := tls.Client(plain, config)
		if secured.Handshake() != nil {
			return // refused, for there are so many already
		}
		conn = secured
	}
	ended := make(chan error, 1)
	if v.reads {
		go func() {
			_, err := io.Copy(io.Discard, conn)
			ended <- err
		}()
	}
	err = v.begin(conn)
	if !v.reads {
		ended <- err
	}
	ticks := time.NewTicker(pace)
	defer ticks.Stop()
	for rest := v.drip; ; {
		select {
		case err := <-ended:
			if late := net.Error(nil); errors.As(err, &late) && late.Timeout() {
				t.Errorf("%s: the connection is still there", v.name)
			}
			return
		case <-ticks.C:
			if rest != "" {
				_, _ = io.WriteString(conn, rest[:1]) // if it is closed, that is read
				rest = rest[1:]
			}
		}
	}
}

// besiege has a crowd of all kinds at an address at once, and somebody honest, who asks on
// and on until the last of them was ended and is answered each time.
func besiege(t *testing.T, to string, kinds []sluggish, secured func(sluggish) *tls.Config, ask func() int) {
	t.Helper()
	const others = 300 // files that the broker and the test have open beside
	size := crowd
	if files := capacity.Files(); files > 0 {
		size = min(size, (files-others)/2) // both ends are in this process
	}
	if size < len(kinds) {
		t.Fatalf("%d files may be open, which is no place for a crowd", capacity.Files())
	}
	var all sync.WaitGroup
	for i := range size {
		kind := kinds[i%len(kinds)]
		all.Go(func() { kind.hold(t, strangers, to, secured(kind)) })
	}
	gone := make(chan struct{})
	go func() {
		all.Wait()
		close(gone)
	}()
	answered := 0
	ticks := time.NewTicker(pace / 10)
	defer ticks.Stop()
	for over := false; !over; answered++ {
		if code := ask(); code != http.StatusOK {
			t.Errorf("an honest request meanwhile: %d", code)
		}
		select {
		case <-gone:
			over = true
		case <-ticks.C:
		}
	}
	t.Logf("%d connections were held open in %d ways; %d honest requests were answered meanwhile", size, len(kinds), answered)
}

// startImpatient is a broker that waits for nobody longer than for the head of a request.
func startImpatient(t *testing.T, path string) started {
	t.Helper()
	return startAs(t, func(ctx context.Context, said io.Writer) int {
		c, err := readConfig(path)
		if err == nil {
			short := usualPatience().head
			c.patience = patience{head: short, request: short, answer: short, idle: short}
			var log *slog.Logger
			if log, err = newLog(c.LogFormat, said); err == nil {
				err = serve(ctx, c, path, directory(filepath.Dir(path)), log, said, false)
			}
		}
		if err != nil {
			t.Errorf("serving: %v", err)
			return 1
		}
		return 0
	})
}

// W-45: a thousand who send or read slowly lose their connections in time, and others are
// answered meanwhile, although there is no place left until the first of them went.
func TestSlowVisitorsAreCutOff(t *testing.T) {
	config, address := filepath.Join(t.TempDir(), "c.toml"), freeport.Address(t)
	write(t, config, fmt.Sprintf("issuer = \"http://%s\"\nlisten = %q\n", address, address))
	startImpatient(t, config)
	besiege(t, address, sluggishVisitors(address), func(sluggish) *tls.Config { return nil }, honestly(t, address, nil, "http://"+address+"/jwks"))
}

// W-45 on the broker's own listener for https, over both protocols: one address has no more
// than its share of the places, so that others need not wait for one.
func TestSlowVisitorsOfHTTPSAreCutOff(t *testing.T) {
	s := prepareSecured(t)
	s.started = startImpatient(t, s.config)
	early := []sluggish{{"no hello", says(""), "", true}, {"half a hello", says("\x16\x03\x01\x02\x00\x01\x00"), "", true}}
	framed := sluggishFrames()
	besiege(t, s.address, slices.Concat(early, sluggishVisitors("login.example"), framed), func(v sluggish) *tls.Config {
		named := func(of []sluggish) bool {
			return slices.ContainsFunc(of, func(o sluggish) bool { return o.name == v.name })
		}
		if named(early) {
			return nil
		}
		config := s.tls("login.example")
		if config.NextProtos = []string{"http/1.1"}; named(framed) {
			config.NextProtos = []string{"h2"}
		}
		return config
	}, honestly(t, s.address, s.tls("login.example"), "https://login.example/jwks"))
	_, figures := get(t, "http://"+s.monitor+"/metrics")
	if !bytes.Contains(figures, []byte("\neidbroker_connections_refused ")) {
		t.Error("what came beyond the share is not counted")
	}
}

// honestly asks for an address, over a connection of its own each time, and says how that
// was answered.
func honestly(t *testing.T, to string, config *tls.Config, address string) func() int {
	t.Helper()
	dialer := &net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(honest)}}
	client := &http.Client{Timeout: 2 * endurance, Transport: &http.Transport{
		DisableKeepAlives: true, TLSClientConfig: config,
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return dialer.DialContext(ctx, network, to)
		},
	}}
	return func() int {
		resp, err := client.Get(address)
		if err != nil {
			t.Error(err)
			return 0
		}
		defer resp.Body.Close()
		if _, err := io.Copy(io.Discard, resp.Body); err != nil {
			t.Error(err)
		}
		return resp.StatusCode
	}
}
