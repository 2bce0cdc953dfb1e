package framing

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/iotest"
	"time"
)

// told is a connection that says what it was made of.
type told struct {
	net.Conn
	from io.Reader
}

func (t *told) Read(p []byte) (int, error) { return t.from.Read(p) }

const post = "POST /token HTTP/1.1\r\nHost: a\r\n"

// W-41: requests that can be read in two ways, and beside each the nearest that cannot.
// A server gets a request, and then either another or a refusal; it matters not into
// how many pieces the network cuts them.
func TestAmbiguousRequestsAreRefused(t *testing.T) {
	for name, c := range map[string]struct {
		request string
		want    []int // the answers
	}{
		"plain":                         {"GET /a HTTP/1.1\r\nHost: a\r\n\r\n", []int{200}},
		"two":                           {"GET /a HTTP/1.1\r\nHost: a\r\n\r\nGET /b HTTP/1.1\r\nHost: a\r\n\r\n", []int{200, 200}},
		"a body":                        {post + "Content-Length: 5\r\n\r\nhelloGET /b HTTP/1.1\r\nHost: a\r\n\r\n", []int{200, 200}},
		"a body that looks like a head": {post + "Content-Length: 40\r\n\r\nX: y\nTransfer-Encoding: chunked\r\n\r\n 12345GET /b HTTP/1.1\r\nHost: a\r\n\r\n", []int{200, 200}},
		"chunks":                        {post + "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nA\r\n0123456789\r\n0\r\n\r\nGET /b HTTP/1.1\r\nHost: a\r\n\r\n", []int{200, 200}},
		"chunks in capitals":            {post + "TRANSFER-ENCODING:\tCHUNKED \r\n\r\n0\r\n\r\nGET /b HTTP/1.1\r\nHost: a\r\n\r\n", []int{200, 200}},
		"a chunk extension":             {post + "Transfer-Encoding: chunked\r\n\r\n5;a=\"b\"\r\nhello\r\n0\r\n\r\nGET /b HTTP/1.1\r\nHost: a\r\n\r\n", []int{200, 200}},
		"a trailer":                     {post + "Transfer-Encoding: chunked\r\nTrailer: X-A\r\n\r\n0\r\nX-A: b\r\n\r\nGET /b HTTP/1.1\r\nHost: a\r\n\r\n", []int{200, 200}},
		"HTTP/1.0":                      {"GET /a HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\n\r\nGET /b HTTP/1.0\r\n\r\n", []int{200, 200}},

		"length and chunks":                  {post + "Content-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nG", []int{400}},
		"chunks and length":                  {post + "Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n5c\r\nGET /b HTTP/1.1\r\n", []int{400}},
		"chunks and a length of nothing":     {post + "Transfer-Encoding: chunked\r\ncontent-length: 0\r\n\r\n0\r\n\r\n", []int{400}},
		"after a good one":                   {"GET /a HTTP/1.1\r\nHost: a\r\n\r\n" + post + "Content-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nG", []int{200, 400}},
		"the same length twice":              {post + "Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello", []int{400}},
		"a length in hexadecimal":            {post + "Content-Length: 0x5\r\n\r\nhello", []int{400}},
		"a length that does not fit":         {post + "Content-Length: 18446744073709551621\r\n\r\nhello", []int{400}},
		"no length":                          {post + "Content-Length:\r\n\r\n", []int{400}},
		"the same coding twice":              {post + "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", []int{400}},
		"a list of codings":                  {post + "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", []int{400}},
		"a coding after a vertical tab":      {post + "Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n", []int{400}},
		"a coding in quotation marks":        {post + "Transfer-Encoding: \"chunked\"\r\n\r\n0\r\n\r\n", []int{400}},
		"a coding in HTTP/1.0":               {"POST /token HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", []int{400}},
		"a blank before the colon":           {post + "Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n", []int{400}},
		"a folded coding":                    {post + "X-A: b\r\n Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", []int{400}},
		"a coding on a folded line":          {post + "Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n", []int{400}},
		"a line that ends in LF":             {post + "X-A: b\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", []int{400}},
		"a request line that ends in LF":     {"GET /a HTTP/1.1\nHost: a\r\n\r\n", []int{400}},
		"a head that ends in LF":             {"GET /a HTTP/1.1\r\nHost: a\r\n\n", []int{400}},
		"CR within a line":                   {post + "X-A: b\rTransfer-Encoding: chunked\r\n\r\n", []int{400}},
		"CR before the line end":             {post + "X-A: b\r\r\n\r\n", []int{400}},
		"an empty line first":                {"\r\nGET /a HTTP/1.1\r\nHost: a\r\n\r\n", []int{400}},
		"a line without a colon":             {post + "chunked\r\n\r\n", []int{400}},
		"a chunk size that ends in LF":       {post + "Transfer-Encoding: chunked\r\n\r\n5\nhello\r\n0\r\n\r\n", []int{400}},
		"a chunk size with a sign":           {post + "Transfer-Encoding: chunked\r\n\r\n+5\r\nhello\r\n0\r\n\r\n", []int{400}},
		"a chunk size with 0x":               {post + "Transfer-Encoding: chunked\r\n\r\n0x5\r\nhello\r\n0\r\n\r\n", []int{400}},
		"a chunk size that does not fit":     {post + "Transfer-Encoding: chunked\r\n\r\n10000000000000005\r\nhello\r\n0\r\n\r\n", []int{400}},
		"a chunk size and a blank":           {post + "Transfer-Encoding: chunked\r\n\r\n5 \r\nhello\r\n0\r\n\r\n", []int{400}},
		"a chunk extension that ends in LF":  {post + "Transfer-Encoding: chunked\r\n\r\n5;a\nhello\r\n0\r\n\r\n", []int{400}},
		"a chunk extension with CR":          {post + "Transfer-Encoding: chunked\r\n\r\n5;a\rb\r\nhello\r\n0\r\n\r\n", []int{400}},
		"a long chunk extension":             {post + "Transfer-Encoding: chunked\r\n\r\n5;" + strings.Repeat("a", 300) + "\r\nhello\r\n0\r\n\r\n", []int{400}},
		"a chunk that is longer than it is":  {post + "Transfer-Encoding: chunked\r\n\r\n5\r\nhelloXX0\r\n\r\n", []int{400}},
		"a chunk that ends in LF":            {post + "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\n0\r\n\r\n", []int{400}},
		"a trailer that ends in LF":          {post + "Transfer-Encoding: chunked\r\n\r\n0\r\nX-A: b\n\r\n", []int{400}},
		"a folded trailer":                   {post + "Transfer-Encoding: chunked\r\n\r\n0\r\nX-A: b\r\n c\r\n\r\n", []int{400}},
		"a length as trailer":                {post + "Transfer-Encoding: chunked\r\n\r\n0\r\nContent-Length: 60\r\n\r\nGET /b HTTP/1.1\r\nHost: a\r\n\r\n", []int{400}},
		"a coding as trailer":                {post + "Transfer-Encoding: chunked\r\n\r\n0\r\nTransfer-Encoding: x\r\n\r\n", []int{400}},
		"an end of chunks that ends in LF":   {post + "Transfer-Encoding: chunked\r\n\r\n0\n\n", []int{400}},
		"a length of a blank between digits": {post + "Content-Length: 1 0\r\n\r\n0123456789", []int{400}},
	} {
		t.Run(name, func(t *testing.T) {
			for cut, from := range map[string]io.Reader{"whole": strings.NewReader(c.request), "byte by byte": iotest.OneByteReader(strings.NewReader(c.request))} {
				if got := answers(t, from); !slices.Equal(got, c.want) {
					t.Errorf("%s: answers %v, want %v", cut, got, c.want)
				}
			}
		})
	}
}

// answers has net/http serve a connection until it closes it.
func answers(t *testing.T, from io.Reader) []int {
	t.Helper()
	ours, theirs := net.Pipe()
	defer ours.Close()
	server := &http.Server{ReadHeaderTimeout: time.Minute, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, err := io.Copy(io.Discard, r.Body); err != nil {
			w.WriteHeader(http.StatusBadRequest)
		}
	})}
	l := &once{conn: &told{theirs, from}, closed: make(chan struct{})}
	go func() { _ = server.Serve(Listener(l)) }() // it ends with the listener
	defer func() { _ = server.Close() }()         // its one connection has ended
	var list []int
	in := bufio.NewReader(ours)
	for {
		resp, err := http.ReadResponse(in, nil)
		if err != nil {
			if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
				return list
			}
			t.Fatal(err)
		}
		if _, err := io.Copy(io.Discard, resp.Body); err != nil {
			t.Fatal(err)
		}
		list = append(list, resp.StatusCode)
		if resp.Close { // it takes half a second
			return list
		}
	}
}

// once accepts one connection.
type once struct {
	conn   net.Conn
	closed chan struct{}
}

func (o *once) Accept() (net.Conn, error) {
	if o.conn != nil {
		conn := o.conn
		o.conn = nil
		return conn, nil
	}
	<-o.closed
	return nil, net.ErrClosed
}

func (o *once) Close() error {
	select {
	case <-o.closed:
	default:
		close(o.closed)
	}
	return nil
}

func (o *once) Addr() net.Addr { return &net.TCPAddr{} }

// FuzzTracker holds whatever is let pass against the parser of net/http: both see the
// same requests begin, and nothing is changed but by a refusal at the end.
func FuzzTracker(f *testing.F) {
	for _, seed := range []string{
		"GET /a HTTP/1.1\r\nHost: a\r\n\r\nGET /b HTTP/1.1\r\nHost: a\r\n\r\n",
		post + "Content-Length: 5\r\n\r\nhelloGET /b HTTP/1.1\r\nHost: a\r\n\r\n",
		post + "Transfer-Encoding: chunked\r\n\r\n5;x\r\nhello\r\n0\r\nX-A: b\r\n\r\nGET /b HTTP/1.1\r\nHost: a\r\n\r\n",
		post + "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
		post + "Transfer-Encoding: chunked\r\n\r\n5\nhello\r\n0\r\n\r\n",
	} {
		f.Add([]byte(seed), 7)
	}
	f.Fuzz(func(t *testing.T, input []byte, cut int) {
		c := &conn{Conn: &told{from: bytes.NewReader(input)}}
		passed, err := io.ReadAll(&pieces{c, 1 + (cut&0x7fffffff)%64})
		if err != nil {
			t.Fatal(err)
		}
		whole := bytes.TrimSuffix(passed, []byte(refusal))
		if !c.refused {
			whole = passed
		}
		if !bytes.HasPrefix(input, whole) || !c.refused && len(whole) != len(input) {
			t.Fatalf("%q became %q", input, passed)
		}
		in := bufio.NewReader(bytes.NewReader(passed))
		for n := 1; ; n++ {
			r, err := http.ReadRequest(in)
			if err != nil {
				return // whatever the tracker would have made of it, the connection ends here
			}
			if n > c.tracker.requests {
				t.Fatalf("net/http sees request %d where the tracker saw %d: %q", n, c.tracker.requests, passed)
			}
			if strings.Contains(r.Proto, "2") {
				return // its end is not looked for
			}
			read, err := io.Copy(io.Discard, r.Body)
			if err != nil {
				return
			}
			if length := r.Header.Get("Content-Length"); length != "" && length != strconv.FormatInt(read, 10) && strings.TrimLeft(length, "0") != strconv.FormatInt(read, 10) && read != 0 {
				t.Fatalf("length %s, read %d", length, read)
			}
			if in.Buffered() == 0 && !c.refused && n != c.tracker.requests {
				t.Fatalf("net/http saw %d requests where the tracker saw %d: %q", n, c.tracker.requests, passed)
			}
		}
	})
}

// pieces reads little at a time.
type pieces struct {
	from io.Reader
	size int
}

func (p *pieces) Read(b []byte) (int, error) { return p.from.Read(b[:min(len(b), p.size)]) }

// BenchmarkTracker is what reading along costs a connection.
func BenchmarkTracker(b *testing.B) {
	request := []byte(post + "User-Agent: Mozilla/5.0 (X11; Linux x86_64)\r\nAccept: text/html,application/xhtml+xml\r\nX-Forwarded-For: 192.0.2.7\r\nCookie: " + strings.Repeat("a", 400) + "\r\nContent-Length: 300\r\n\r\n" + strings.Repeat("b", 300))
	b.SetBytes(int64(len(request)))
	var t tracker
	for b.Loop() {
		if t.follow(request) != len(request) {
			b.Fatal("refused")
		}
	}
}
