package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/eidbridge/eidbridge/fixtures/freeport"
)

// A probe for desynchronisation (W-41): visitors behind one proxy share its connections
// to the broker, and one of them sends a request with two ends. The other then asks for
// something plain. What must not happen is that the other is answered for something
// that it did not ask, or that the broker sees a request which the proxy did not send
// as one. The latter shows by the header that the proxy puts into each.

const (
	// marked is what an attacker wants to be taken for a request.
	marked = "/assets/style.css?marked"
	// asked is what victims ask for.
	asked = "/jwks"
	// proxyMark is the header that each proxy adds.
	proxyMark = "X-Forwarded-For"
	// hesitation is how long an attacker waits for an answer of a proxy before the victims
	// come: a request that the proxy waits for the end of has none.
	hesitation = 300 * time.Millisecond
	// endurance is for whatever has to come.
	endurance = time.Minute
)

// probe attacks a proxy at an address, through which a recorder is reached.
type probe struct {
	address  string
	tls      *tls.Config // nil where there is plain HTTP
	host     string
	recorder *recorder
	want     []byte // what victims get
	// answers says that the proxy answers whatever comes, or closes the connection: the
	// victims come after that, however long it takes, and so find what was left for them.
	answers bool
}

// dial connects to the proxy, over TLS with the one protocol.
func (p *probe) dial(t *testing.T, protocol string) net.Conn {
	t.Helper()
	dialer := &net.Dialer{Timeout: endurance}
	conn, err := dialer.Dial("tcp", p.address)
	if err == nil && p.tls != nil {
		config := p.tls.Clone()
		config.NextProtos = []string{protocol}
		secured := tls.Client(conn, config)
		if conn, err = secured, secured.HandshakeContext(t.Context()); err == nil && secured.ConnectionState().NegotiatedProtocol != protocol {
			err = fmt.Errorf("the proxy does not speak %s", protocol)
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	return conn
}

// victims asks, over a connection of their own, what has one right answer. It says
// what was wrong.
func (p *probe) victims(t *testing.T) []string {
	t.Helper()
	conn := p.dial(t, "http/1.1")
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(endurance)); err != nil {
		t.Fatal(err)
	}
	var wrong []string
	in := bufio.NewReader(conn)
	for range 2 {
		target := asked + "?" + rand.Text()
		fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: %s\r\n\r\n", target, p.host)
		resp, err := http.ReadResponse(in, nil)
		var body []byte
		if err == nil {
			body, err = io.ReadAll(resp.Body)
		}
		switch {
		case err != nil:
			return append(wrong, "a victim got no answer: "+err.Error())
		case resp.StatusCode != http.StatusOK || p.want != nil && !bytes.Equal(body, p.want):
			wrong = append(wrong, fmt.Sprintf("a victim was answered by %d %.60q", resp.StatusCode, body))
		case !p.recorder.saw(target):
			wrong = append(wrong, "a victim was answered, but its request never came")
		}
		p.want = body
		if resp.Close {
			return wrong
		}
	}
	return wrong
}

// attack has victims come while what somebody sent is being answered, and after that
// one left. It says what went wrong, and what the attacker was answered.
func (p *probe) attack(t *testing.T, protocol string, send func(net.Conn) error, answer func(net.Conn) (string, error)) (wrong []string, got string) {
	t.Helper()
	before := p.recorder.unmarked()
	conn := p.dial(t, protocol)
	defer conn.Close()
	if err := conn.SetWriteDeadline(time.Now().Add(endurance)); err != nil {
		t.Fatal(err)
	}
	patience := hesitation
	if p.answers {
		patience = endurance
	}
	if err := conn.SetReadDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	if err := send(conn); err != nil {
		got = "refused while it was sent" // closed, which is an answer
	} else if got, err = answer(conn); err != nil && got == "" {
		got = "no answer"
	}
	wrong = p.victims(t)
	_ = conn.Close() // the proxy may have done so
	wrong = append(wrong, p.victims(t)...)
	for _, one := range p.recorder.unmarked()[len(before):] {
		wrong = append(wrong, "what the proxy did not send as a request was answered: "+one)
	}
	return wrong, got
}

// attackPlain sends bytes as HTTP/1.1.
func (p *probe) attackPlain(t *testing.T, raw string) ([]string, string) {
	t.Helper()
	raw = strings.ReplaceAll(raw, "@", p.host)
	return p.attack(t, "http/1.1", func(conn net.Conn) error {
		_, err := io.WriteString(conn, raw)
		return err
	}, func(conn net.Conn) (string, error) {
		in, codes := bufio.NewReader(conn), []string{}
		for {
			resp, err := http.ReadResponse(in, nil)
			if err == nil {
				_, err = io.Copy(io.Discard, resp.Body)
			}
			if err != nil {
				return strings.Join(codes, " "), err
			}
			codes = append(codes, strconv.Itoa(resp.StatusCode))
			if in.Buffered() == 0 && resp.StatusCode >= 200 {
				return strings.Join(codes, " "), nil
			}
		}
	})
}

// recorder passes on all that a proxy sends to a server, and reads along as net/http
// reads, which takes more than the broker does. A request is one that the server took
// if it answered it.
type recorder struct {
	listener net.Listener
	server   string

	mu       sync.Mutex
	along    []*io.PipeWriter // of each connection requests and answers
	targets  map[string]int   // of the requests that came
	strange  []string         // those that were answered and lack the mark
	requests int
}

func record(t *testing.T, server string) *recorder {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r := &recorder{listener: l, server: server, targets: map[string]int{}}
	var passing sync.WaitGroup
	passing.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			stop := context.AfterFunc(t.Context(), func() { _ = conn.Close() }) // at the end of the test
			passing.Go(func() {
				defer stop()
				r.pass(conn)
			})
		}
	})
	t.Cleanup(func() {
		_ = l.Close() // once
		passing.Wait()
	})
	return r
}

// pass serves one connection of the proxy.
func (r *recorder) pass(proxy net.Conn) {
	defer proxy.Close()
	server, err := (&net.Dialer{Timeout: endurance}).Dial("tcp", r.server)
	if err != nil {
		return
	}
	defer server.Close()
	requests, copied := io.Pipe()
	answers, copiedBack := io.Pipe()
	r.mu.Lock()
	r.along = append(r.along, copied, copiedBack)
	r.mu.Unlock()
	var all sync.WaitGroup
	came := make(chan *http.Request, 1000)
	all.Go(func() {
		r.read(requests, came)
		_, _ = io.Copy(io.Discard, requests) // what is no request is passed on too
	})
	all.Go(func() {
		r.readAnswers(answers, came, copied)
		_, _ = io.Copy(io.Discard, answers)
	})
	all.Go(func() {
		_, _ = io.Copy(proxy, io.TeeReader(server, copiedBack)) // either may be gone
		_ = proxy.Close()
		_ = copiedBack.Close() // a pipe; it cannot fail
	})
	_, _ = io.Copy(server, io.TeeReader(proxy, copied))
	_ = server.Close()
	_ = copied.Close()
	all.Wait()
}

// read notes each request that begins.
func (r *recorder) read(from io.Reader, came chan<- *http.Request) {
	defer close(came)
	in := bufio.NewReader(patient{from})
	for {
		request, err := http.ReadRequest(in)
		if err != nil {
			return
		}
		r.mu.Lock()
		r.requests++
		r.targets[request.RequestURI]++
		r.mu.Unlock()
		select {
		case came <- request:
		default:
			return // a thousand unanswered ones are no proxy's
		}
		if _, err := io.Copy(io.Discard, request.Body); err != nil {
			return
		}
	}
}

// readAnswers notes which requests were answered that no proxy sent. An answer to what
// is no request, as far as it was read, can only be a refusal.
func (r *recorder) readAnswers(from io.Reader, came <-chan *http.Request, requests *io.PipeWriter) {
	in := bufio.NewReader(patient{from})
	for {
		if _, err := in.Peek(1); err != nil {
			return
		}
		_, _ = requests.Write(nil) // what is answered was passed on before, and is now noted
		var request *http.Request
		select {
		case request = <-came:
		default:
		}
		for {
			resp, err := http.ReadResponse(in, request)
			if err != nil {
				return
			}
			if resp.StatusCode/100 == 1 && resp.StatusCode != http.StatusSwitchingProtocols {
				continue
			}
			what := ""
			if request == nil && (!resp.Close || resp.StatusCode < 400) {
				what = "none"
			} else if request != nil && request.Header.Get(proxyMark) == "" {
				what = request.Method + " " + request.RequestURI
			}
			if what != "" {
				r.mu.Lock()
				r.strange = append(r.strange, what)
				r.mu.Unlock()
			}
			if _, err := io.Copy(io.Discard, resp.Body); err != nil {
				return
			}
			break
		}
	}
}

// settle returns once what was passed on is noted: a write of nothing is taken by a
// reader that has done with all before.
func (r *recorder) settle() {
	r.mu.Lock()
	along := slices.Clone(r.along)
	r.mu.Unlock()
	for _, pipe := range along {
		_, _ = pipe.Write(nil) // it may be closed
	}
}

// patient reads on after nothing, of which bufio bears a hundred.
type patient struct{ from io.Reader }

func (p patient) Read(b []byte) (int, error) {
	for {
		if n, err := p.from.Read(b); n > 0 || err != nil {
			return n, err
		}
	}
}

// saw says whether a request came.
func (r *recorder) saw(target string) bool {
	r.settle()
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.targets[target] > 0
}

// unmarked are the requests that were answered and that no proxy sent as such.
func (r *recorder) unmarked() []string {
	r.settle()
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.strange)
}

// plainAttacks are requests of HTTP/1.1 with two ends, by what they are called.
func plainAttacks() map[string]string {
	const (
		smuggled = "GET " + marked + " HTTP/1.1\r\nHost: @\r\n\r\n"
		post     = "POST /token HTTP/1.1\r\nHost: @\r\nContent-Type: application/x-www-form-urlencoded\r\n"
		get      = "GET /jwks HTTP/1.1\r\nHost: @\r\n"
		glued    = "GET " + marked + " HTTP/1.1\r\nX-Rest: " // the next request's line is its header
	)
	// @ stands for the host, which is as long as login.example wherever it counts.
	length := func(body string) int { return len(strings.ReplaceAll(body, "@", "login.example")) }
	chunkOf := func(body string) string { return fmt.Sprintf("%x\r\n%s\r\n0\r\n\r\n", length(body), body) }
	list := map[string]string{}
	for name, coding := range map[string]string{
		"a coding":                     "Transfer-Encoding: chunked\r\n",
		"a blank before the colon":     "Transfer-Encoding : chunked\r\n",
		"a tab before the colon":       "Transfer-Encoding\t: chunked\r\n",
		"a tab after the colon":        "Transfer-Encoding:\tchunked\r\n",
		"a vertical tab":               "Transfer-Encoding: \x0bchunked\r\n",
		"an unknown coding":            "Transfer-Encoding: xchunked\r\n",
		"identity first":               "Transfer-Encoding: identity, chunked\r\n",
		"chunked, identity":            "Transfer-Encoding: chunked, identity\r\n",
		"chunked twice":                "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
		"chunked, then another":        "Transfer-Encoding: chunked\r\nTransfer-Encoding: cow\r\n",
		"another, then chunked":        "Transfer-Encoding: cow\r\nTransfer-Encoding: chunked\r\n",
		"capitals":                     "TRANSFER-ENCODING: CHUNKED\r\n",
		"a bare LF before":             "X-A: b\nTransfer-Encoding: chunked\r\n",
		"a bare CR before":             "X-A: b\rTransfer-Encoding: chunked\r\n",
		"a folded line":                "X-A: b\r\n Transfer-Encoding: chunked\r\n",
		"the coding on a folded line":  "Transfer-Encoding:\r\n chunked\r\n",
		"quotation marks":              "Transfer-Encoding: \"chunked\"\r\n",
		"a NUL":                        "Transfer-Encoding: chunked\x00\r\n",
		"an underscore":                "Transfer_Encoding: chunked\r\n",
		"a header of this hop":         "Transfer-Encoding: chunked\r\nConnection: Transfer-Encoding\r\n",
		"a length of this hop":         "Transfer-Encoding: chunked\r\nConnection: Content-Length\r\n",
		"an upgrade":                   "Transfer-Encoding: chunked\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n",
		"an expectation":               "Transfer-Encoding: chunked\r\nExpect: 100-continue\r\n",
		"a byte that is no ASCII":      "Transfer-Encoding: chunked\xff\r\n",
		"a coding with a parameter":    "Transfer-Encoding: chunked;q=1\r\n",
		"an empty list element":        "Transfer-Encoding: ,chunked\r\n",
		"two, the first one is hidden": " Transfer-Encoding: chunked\r\nTransfer-Encoding: x\r\n",
	} {
		body := "0\r\n\r\n" + smuggled
		list["CL.TE "+name] = fmt.Sprintf("%s%sContent-Length: %d\r\n\r\n%s", post, coding, length(body), body)
		list["TE.CL "+name] = fmt.Sprintf("%s%sContent-Length: 4\r\n\r\n%s", post, coding, chunkOf(smuggled))
	}
	prefix := "0\r\n\r\n" + glued
	list["CL.TE whose rest is the next request"] = fmt.Sprintf("%sTransfer-Encoding: chunked\r\nContent-Length: %d\r\n\r\n%s", post, length(prefix), prefix)
	for name, fields := range map[string]string{
		"two lengths, the first one long":  fmt.Sprintf("Content-Length: %d\r\nContent-Length: 0\r\n", length(smuggled)),
		"two lengths, the first one short": fmt.Sprintf("Content-Length: 0\r\nContent-Length: %d\r\n", length(smuggled)),
		"a list of lengths":                fmt.Sprintf("Content-Length: 0, %d\r\n", length(smuggled)),
		"a length with a sign":             fmt.Sprintf("Content-Length: +%d\r\n", length(smuggled)),
		"a length with a blank":            fmt.Sprintf("Content-Length: 0 %d\r\n", length(smuggled)),
		"a length in hexadecimal":          fmt.Sprintf("Content-Length: 0x%x\r\n", length(smuggled)),
		"a length after a bare LF":         fmt.Sprintf("X-A: b\nContent-Length: %d\r\n", length(smuggled)),
		"a length before a blank colon":    fmt.Sprintf("Content-Length : %d\r\n", length(smuggled)),
		"a length on a folded line":        fmt.Sprintf("X-A: b\r\n Content-Length: %d\r\n", length(smuggled)),
		"a length with an underscore":      fmt.Sprintf("Content_Length: %d\r\n", length(smuggled)),
		"a length of this hop":             fmt.Sprintf("Content-Length: %d\r\nConnection: Content-Length\r\n", length(smuggled)),
		"a length that overflows":          "Content-Length: 18446744073709551616\r\n",
		"a length and an expectation":      fmt.Sprintf("Content-Length: %d\r\nExpect: 100-continue\r\n", length(smuggled)),
		"an expectation that is folded":    fmt.Sprintf("Content-Length: %d\r\nExpect:\r\n 100-continue\r\n", length(smuggled)),
	} {
		list["POST "+name] = post + fields + "\r\n" + smuggled
		list["GET "+name] = get + fields + "\r\n" + smuggled
	}
	chunked := post + "Transfer-Encoding: chunked\r\n\r\n"
	for name, body := range map[string]string{
		"a size that ends in LF":               "0\n\r\n" + smuggled,
		"LF alone after the last chunk":        "0\r\n\n" + smuggled,
		"an extension that ends in LF":         "2;\nxx\r\n0\r\n\r\n" + smuggled,
		"an extension across a line":           "2;a\nxx\r\n" + chunkOf(smuggled),
		"an extension with CR":                 "2;a\rxx\r\n" + chunkOf(smuggled),
		"an extension in quotation marks":      "2;a=\"\r\nxx\r\n0\r\n\r\n" + smuggled,
		"an extension that looks like an end":  "2;a=0\r\nxx\r\n0\r\n\r\n" + smuggled,
		"a size with 0x":                       "0x2\r\nxx\r\n0\r\n\r\n" + smuggled,
		"a size with a sign":                   "+0\r\n\r\n" + smuggled,
		"a size that overflows":                "10000000000000000\r\n\r\n" + smuggled,
		"a size with a blank":                  "0 \r\n\r\n" + smuggled,
		"a chunk with two bytes more":          "2\r\nxxyy0\r\n\r\n" + smuggled,
		"a chunk that ends in LF":              "2\r\nxx\n0\r\n\r\n" + smuggled,
		"a length as trailer":                  fmt.Sprintf("0\r\nContent-Length: %d\r\n\r\n%s", length(smuggled), smuggled),
		"a coding as trailer":                  "0\r\nTransfer-Encoding: chunked\r\n\r\n" + smuggled,
		"a trailer that ends in LF":            "0\r\nX-A: b\n\r\n" + smuggled,
		"a trailer that looks like a request":  "0\r\nGET " + marked + " HTTP/1.1\r\nHost: @\r\n\r\n",
		"a trailer with a blank before colon":  "0\r\nX-A : b\r\n\r\n" + smuggled,
		"a folded trailer":                     "0\r\nX-A: b\r\n c\r\n\r\n" + smuggled,
		"an end without its empty line":        "0\r\n" + smuggled,
		"a size of zeros":                      "00000000000000000000\r\n\r\n" + smuggled,
		"a size that is empty":                 "\r\n\r\n" + smuggled,
		"a semicolon without a size":           ";\r\n\r\n" + smuggled,
		"a chunk whose end is the smuggled":    "1\r\nx" + smuggled,
		"a trailer of the name of the visitor": "0\r\n" + proxyMark + ": 192.0.2.1\r\n\r\n" + smuggled,
	} {
		list["chunks "+name] = chunked + body
	}
	for name, raw := range map[string]string{
		"an absolute form of another host":  "GET http://evil.example" + marked + " HTTP/1.1\r\nHost: @\r\n\r\n",
		"an absolute form and two hosts":    "GET http://@/jwks HTTP/1.1\r\nHost: @\r\nHost: evil.example\r\n\r\n",
		"a request line that ends in LF":    "GET /jwks HTTP/1.1\nHost: @\r\n\r\n" + smuggled,
		"LF alone everywhere":               "GET /jwks HTTP/1.1\nHost: @\n\n" + smuggled,
		"a length after an empty LF line":   fmt.Sprintf("POST /token HTTP/1.1\r\nHost: @\r\n\nContent-Length: %d\r\n\r\n%s", length(smuggled), smuggled),
		"a request line with three blanks":  "GET /jwks HTTP/1.1 GET " + marked + " HTTP/1.1\r\nHost: @\r\n\r\n",
		"a line end in the path":            "GET /jwks%0d%0aX:%20y HTTP/1.1\r\nHost: @\r\n\r\n" + smuggled,
		"HTTP/0.9":                          "GET " + marked + "\r\n\r\n",
		"HTTP/1.0 with chunks":              "POST /token HTTP/1.0\r\nHost: @\r\nConnection: keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + smuggled,
		"HTTP/1.0 with length and chunks":   fmt.Sprintf("POST /token HTTP/1.0\r\nHost: @\r\nConnection: keep-alive\r\nTransfer-Encoding: chunked\r\nContent-Length: %d\r\n\r\n0\r\n\r\n%s", 5+length(smuggled), smuggled),
		"HTTP/1.2 with length and chunks":   fmt.Sprintf("POST /token HTTP/1.2\r\nHost: @\r\nTransfer-Encoding: chunked\r\nContent-Length: %d\r\n\r\n0\r\n\r\n%s", 5+length(smuggled), smuggled),
		"a length with HEAD":                fmt.Sprintf("HEAD /jwks HTTP/1.1\r\nHost: @\r\nContent-Length: %d\r\n\r\n%s", length(smuggled), smuggled),
		"a length with OPTIONS":             fmt.Sprintf("OPTIONS * HTTP/1.1\r\nHost: @\r\nContent-Length: %d\r\n\r\n%s", length(smuggled), smuggled),
		"a tunnel":                          "CONNECT @:443 HTTP/1.1\r\nHost: @\r\n\r\n" + smuggled,
		"a web socket":                      get + "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n" + smuggled,
		"a body shorter than its length":    post + "Content-Length: 500\r\n\r\n" + smuggled,
		"a header without a colon":          get + "Content-Length\r\n\r\n" + smuggled,
		"a header of no name":               get + ": x\r\n\r\n" + smuggled,
		"the preface of HTTP/2":             "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + smuggled,
		"an expectation of something else":  post + fmt.Sprintf("Expect: y 100-continue\r\nContent-Length: %d\r\n\r\n%s", length(smuggled), smuggled),
		"a method that hides a request":     "GET\t" + marked + "\tHTTP/1.1\r\nHost: @\r\n\r\n",
		"a NUL in a header":                 get + "X-A: b\x00\r\nContent-Length: 5\r\n\r\nhello" + smuggled,
		"Unicode line ends in a header":     get + "X-A: b\xe2\x80\xa8Content-Length: 5\xc2\x85\r\n\r\n" + smuggled,
		"a length within a quoted string":   get + "X-A: \"b\r\nContent-Length: 0\"\r\n\r\n" + smuggled,
		"an empty line before, then a body": "\r\n\r\n" + post + "Content-Length: 5\r\n\r\nhello" + smuggled,
	} {
		list["request "+name] = raw
	}
	return list
}

// W-41: what the probe finds. A proxy that goes by the length and passes both on, before
// a server that goes by the chunks, as net/http does by itself, has visitors mixed up,
// and so has the pair the other way round; the broker has not even behind such proxies.
func TestDesyncProbeFindsBadProxies(t *testing.T) {
	attacks := plainAttacks()
	dir := t.TempDir()
	config, address := dir+"/c.toml", freeport.Address(t)
	write(t, config, "issuer = \"https://login.example\"\nlisten = \""+address+"\"\n")
	start(t, "--config", config)
	byChunks, byLength := serveByChunks(t), serveByLength(t)
	for name, c := range map[string]struct {
		server    string
		byLength  bool // of the proxy
		attack    string
		desync    bool
		unmarked  bool
		forbidden string
	}{
		"length before chunks":           {byChunks, true, "CL.TE a coding", true, true, ""},
		"length before chunks, glued":    {byChunks, true, "CL.TE whose rest is the next request", true, false, ""},
		"chunks before length":           {byLength, false, "TE.CL a coding", true, false, ""},
		"two that go by the chunks":      {byChunks, false, "CL.TE a coding", false, false, ""},
		"length before the broker":       {address, true, "CL.TE a coding", false, false, "200"},
		"length before the broker, glue": {address, true, "CL.TE whose rest is the next request", false, false, "200"},
		"chunks before the broker":       {address, false, "TE.CL a coding", false, false, "200"},
	} {
		t.Run(name, func(t *testing.T) {
			r := record(t, c.server)
			p := &probe{address: serveBadProxy(t, r.listener.Addr().String(), c.byLength), host: "login.example", recorder: r, answers: true}
			if wrong := p.victims(t); len(wrong) > 0 {
				t.Fatalf("before anything was done: %v", wrong)
			}
			wrong, got := p.attackPlain(t, attacks[c.attack])
			if (len(wrong) > 0) != c.desync {
				t.Errorf("found %q, want a desync %v; the attacker got %s", wrong, c.desync, got)
			}
			unmarked := slices.ContainsFunc(wrong, func(s string) bool { return strings.HasPrefix(s, "what the proxy") })
			if unmarked != c.unmarked && c.server != byLength { // which reads otherwise than the recorder
				t.Errorf("a request that the proxy did not send: %v, want %v; found %q", unmarked, c.unmarked, wrong)
			}
			if c.forbidden != "" && strings.Contains(got, c.forbidden) {
				t.Errorf("the attacker got %s", got)
			}
		})
	}
}

// serveBadProxy is a proxy with keep-alive connections that goes by the length or by the
// chunks, whatever else there is, and passes on all that it was sent.
func serveBadProxy(t *testing.T, server string, byLength bool) string {
	t.Helper()
	pool := make(chan *upstream, 10)
	return serveConnections(t, func(client net.Conn) {
		in := bufio.NewReader(client)
		if first, _ := in.Peek(3); string(first) == "PRI" {
			_ = badGateway(client, in, pool, server) // whatever it is, the connection ends
			return
		}
		for {
			head, body, err := readMessage(in, byLength)
			if err != nil {
				return
			}
			line, fields, _ := strings.Cut(head, "\r\n")
			u, err := takeFrom(pool, server)
			if err != nil {
				return
			}
			fmt.Fprintf(u.conn, "%s\r\n%s: 192.0.2.1\r\n%s%s", line, proxyMark, fields, body)
			resp, err := http.ReadResponse(u.in, nil)
			if err != nil {
				_ = u.conn.Close() // it is of no use
				return
			}
			var answer bytes.Buffer
			if err := resp.Write(&answer); err != nil {
				return
			}
			if resp.Close {
				_ = u.conn.Close() // the server did
			} else {
				pool <- u
			}
			if _, err := client.Write(answer.Bytes()); err != nil || resp.Close {
				return // such an answer ends with the connection
			}
		}
	})
}

// upstream is a connection to a server.
type upstream struct {
	conn net.Conn
	in   *bufio.Reader
}

// takeFrom takes a connection that was used before, or makes one.
func takeFrom(pool <-chan *upstream, server string) (*upstream, error) {
	select {
	case u := <-pool:
		return u, nil
	default:
	}
	conn, err := (&net.Dialer{Timeout: endurance}).Dial("tcp", server)
	if err != nil {
		return nil, err
	}
	return &upstream{conn, bufio.NewReader(conn)}, nil
}

// readMessage reads a head, to its empty line, and a body by one of its two ends.
func readMessage(in *bufio.Reader, byLength bool) (head, body string, err error) {
	length, chunked := 0, false
	for !strings.HasSuffix(head, "\r\n\r\n") {
		line, err := in.ReadString('\n')
		if err != nil {
			return "", "", err
		}
		head += line
		name, value, _ := strings.Cut(strings.TrimSpace(line), ": ")
		switch {
		case strings.EqualFold(name, "Content-Length"):
			if length, err = strconv.Atoi(value); err != nil {
				return "", "", err
			}
		case strings.EqualFold(name, "Transfer-Encoding"):
			chunked = true
		}
	}
	if byLength || !chunked {
		raw := make([]byte, length)
		_, err := io.ReadFull(in, raw)
		return head, string(raw), err
	}
	for !strings.HasSuffix(body, "\r\n0\r\n\r\n") && body != "0\r\n\r\n" {
		line, err := in.ReadString('\n')
		if err != nil {
			return "", "", err
		}
		body += line
	}
	return head, body, nil
}

// serveByChunks is net/http as it is, which answers by the path.
func serveByChunks(t *testing.T) string {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body) // as an application reads it
		_, _ = io.WriteString(w, r.URL.Path)
	}))
	t.Cleanup(server.Close)
	return server.Listener.Addr().String()
}

// serveByLength is a server that knows no chunks and answers by the path.
func serveByLength(t *testing.T) string {
	t.Helper()
	return serveConnections(t, func(conn net.Conn) {
		in := bufio.NewReader(conn)
		for {
			head, _, err := readMessage(in, true)
			if err != nil {
				return
			}
			_, rest, _ := strings.Cut(head, " ")
			path, _, _ := strings.Cut(rest, " ")
			path, _, _ = strings.Cut(path, "?")
			fmt.Fprintf(conn, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(path), path)
		}
	})
}

// serveConnections serves each connection until the end of the test.
func serveConnections(t *testing.T, serve func(net.Conn)) string {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() }) // once
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			context.AfterFunc(t.Context(), func() { _ = conn.Close() }) // it may be closed
			go func() {
				defer conn.Close()
				serve(conn)
			}()
		}
	}()
	return l.Addr().String()
}
