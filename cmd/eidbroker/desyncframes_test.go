package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// framedAttack is a request of HTTP/2 as a client should not send it.
type framedAttack struct {
	fields   [][2]string
	body     string
	trailers [][2]string
}

// framedAttacks are requests of HTTP/2 that could be another number of requests once
// they are HTTP/1.1.
func framedAttacks() map[string]framedAttack {
	const smuggled = "GET " + marked + " HTTP/1.1\r\nHost: login.example\r\n\r\n"
	post := func(body string, more ...[2]string) framedAttack {
		fields := [][2]string{{":method", "POST"}, {":scheme", "https"}, {":authority", "login.example"}, {":path", "/token"}, {"content-type", "application/x-www-form-urlencoded"}}
		return framedAttack{fields: append(fields, more...), body: body}
	}
	with := func(name, value string) framedAttack {
		a := post("")
		for i := range a.fields {
			if a.fields[i][0] == name {
				a.fields[i][1] = value
				return a
			}
		}
		a.fields = append(a.fields, [2]string{name, value})
		return a
	}
	long := strconv.Itoa(len(smuggled))
	list := map[string]framedAttack{
		"h2.CL nothing":                 post(smuggled, [2]string{"content-length", "0"}),
		"h2.CL less":                    post("hello"+smuggled, [2]string{"content-length", "5"}),
		"h2.CL more":                    post(smuggled, [2]string{"content-length", "500"}),
		"h2.CL without a body":          post("", [2]string{"content-length", long}),
		"h2.CL twice":                   post(smuggled, [2]string{"content-length", "0"}, [2]string{"content-length", long}),
		"h2.CL a list":                  post(smuggled, [2]string{"content-length", "0, " + long}),
		"h2.CL a sign":                  post(smuggled, [2]string{"content-length", "+0"}),
		"h2.CL capitals":                post(smuggled, [2]string{"Content-Length", "0"}),
		"h2.TE":                         post("0\r\n\r\n"+smuggled, [2]string{"transfer-encoding", "chunked"}),
		"h2.TE and a length":            post("0\r\n\r\n"+smuggled, [2]string{"transfer-encoding", "chunked"}, [2]string{"content-length", strconv.Itoa(5 + len(smuggled))}),
		"h2.TE with a connection":       post("0\r\n\r\n"+smuggled, [2]string{"connection", "transfer-encoding"}, [2]string{"transfer-encoding", "chunked"}),
		"h2.TE in a blank name":         post("0\r\n\r\n"+smuggled, [2]string{"transfer-encoding ", "chunked"}),
		"h2.TE behind a line end":       post("0\r\n\r\n"+smuggled, [2]string{"x-a", "b\r\nTransfer-Encoding: chunked"}),
		"h2.TE behind LF":               post("0\r\n\r\n"+smuggled, [2]string{"x-a", "b\nTransfer-Encoding: chunked"}),
		"h2.TE in a name":               post("0\r\n\r\n"+smuggled, [2]string{"x-a: b\r\ntransfer-encoding", "chunked"}),
		"h2.TE in a name with a colon":  post("0\r\n\r\n"+smuggled, [2]string{"transfer-encoding: chunked\r\nx", "a"}),
		"h2 a request in a value":       with("x-a", "b\r\n\r\n"+smuggled),
		"h2 a request in the path":      with(":path", "/jwks HTTP/1.1\r\nHost: login.example\r\n\r\nGET "+marked),
		"h2 a blank in the path":        with(":path", marked+" HTTP/1.1"),
		"h2 a request in the method":    with(":method", "GET "+marked+" HTTP/1.1\r\nHost: login.example\r\n\r\nPOST"),
		"h2 a request in the authority": with(":authority", "login.example\r\n\r\n"+smuggled),
		"h2 a request in the scheme":    with(":scheme", "https://login.example"+marked+" HTTP/1.1\r\n\r\n"),
		"h2 another host beside":        with("host", "evil.example"),
		"h2 an absolute path":           with(":path", "http://evil.example"+marked),
		"h2 an expectation":             post(smuggled, [2]string{"expect", "100-continue"}, [2]string{"content-length", "0"}),
		"h2 an upgrade":                 post(smuggled, [2]string{"upgrade", "h2c"}, [2]string{"connection", "upgrade"}),
		"h2 a NUL":                      with("x-a", "b\x00c"),
		"h2 no path":                    with(":path", ""),
		"h2 a pseudo-header twice":      with(":authority ", "evil.example"),
	}
	a := post("hello", [2]string{"content-length", "5"})
	a.trailers = [][2]string{{"content-length", "0"}, {"transfer-encoding", "chunked"}}
	list["h2 trailers that name a length"] = a
	a.trailers = [][2]string{{":path", marked}}
	list["h2 trailers with a path"] = a
	a.trailers = [][2]string{{"x-a", "b\r\n\r\n" + smuggled}}
	list["h2 trailers with a request"] = a
	return list
}

// attackFramed sends frames that no well-behaved client sends.
func (p *probe) attackFramed(t *testing.T, a framedAttack) ([]string, string) {
	t.Helper()
	return p.attack(t, http2.NextProtoTLS, func(conn net.Conn) error { return sendFrames(conn, a) }, readFrames)
}

func sendFrames(conn net.Conn, a framedAttack) error {
	if _, err := io.WriteString(conn, http2.ClientPreface); err != nil {
		return err
	}
	framer := http2.NewFramer(conn, conn)
	framer.AllowIllegalWrites = true
	var block bytes.Buffer
	encoder := hpack.NewEncoder(&block)
	write := func(fields [][2]string, last bool) error {
		block.Reset()
		for _, f := range fields {
			if err := encoder.WriteField(hpack.HeaderField{Name: f[0], Value: f[1]}); err != nil {
				return err
			}
		}
		return framer.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: block.Bytes(), EndHeaders: true, EndStream: last})
	}
	if err := errors.Join(framer.WriteSettings(), write(a.fields, a.body == "" && a.trailers == nil)); err != nil {
		return err
	}
	if a.body != "" {
		if err := framer.WriteData(1, a.trailers == nil, []byte(a.body)); err != nil {
			return err
		}
	}
	if a.trailers != nil {
		return write(a.trailers, true)
	}
	return nil
}

// readFrames reads to the end of the answer.
func readFrames(conn net.Conn) (string, error) {
	framer := http2.NewFramer(conn, conn)
	framer.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	got := ""
	for {
		frame, err := framer.ReadFrame()
		if err != nil {
			return got, err
		}
		switch f := frame.(type) {
		case *http2.MetaHeadersFrame:
			if status := f.PseudoValue("status"); status != "" {
				got = status
			}
		case *http2.RSTStreamFrame, *http2.GoAwayFrame:
			return strings.TrimSpace(got + " reset"), nil
		}
		if frame.Header().StreamID == 1 && frame.Header().Flags.Has(http2.FlagDataEndStream) {
			return got, nil
		}
	}
}

// badGateway is a proxy that makes of each request over HTTP/2 one of HTTP/1.1 with the
// very same fields, and of no other protocol.
func badGateway(client io.Writer, in *bufio.Reader, pool chan *upstream, server string) error {
	if _, err := io.CopyN(io.Discard, in, int64(len(http2.ClientPreface))); err != nil {
		return err
	}
	framer := http2.NewFramer(client, in)
	decoder := hpack.NewDecoder(4096, nil)
	var method, path, fields, body string
	for last := false; !last; {
		frame, err := framer.ReadFrame()
		if err != nil {
			return err
		}
		switch f := frame.(type) {
		case *http2.HeadersFrame:
			list, err := decoder.DecodeFull(f.HeaderBlockFragment())
			if err != nil {
				return err
			}
			for _, one := range list {
				switch one.Name {
				case ":method":
					method = one.Value
				case ":path":
					path = one.Value
				case ":authority":
					fields += "Host: " + one.Value + "\r\n"
				case ":scheme":
				default:
					fields += one.Name + ": " + one.Value + "\r\n"
				}
			}
			last = f.StreamEnded()
		case *http2.DataFrame:
			body += string(f.Data())
			last = f.StreamEnded()
		}
	}
	u, err := takeFrom(pool, server)
	if err != nil {
		return err
	}
	fmt.Fprintf(u.conn, "%s %s HTTP/1.1\r\n%s: 192.0.2.1\r\n%s\r\n%s", method, path, proxyMark, fields, body)
	resp, err := http.ReadResponse(u.in, nil)
	if err != nil {
		return err
	}
	if _, err := io.Copy(io.Discard, resp.Body); err != nil {
		return err
	}
	pool <- u
	var block bytes.Buffer
	if err := hpack.NewEncoder(&block).WriteField(hpack.HeaderField{Name: ":status", Value: strconv.Itoa(resp.StatusCode)}); err != nil {
		return err
	}
	return errors.Join(framer.WriteSettings(), framer.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: block.Bytes(), EndHeaders: true, EndStream: true}))
}

// W-41: the probe finds a proxy that passes lengths, codings and line ends of HTTP/2 on
// as they are. No server can tell that those were not two requests.
func TestDesyncProbeFindsBadGateways(t *testing.T) {
	attacks := framedAttacks()
	server := serveByChunks(t)
	for _, name := range []string{"h2.CL nothing", "h2.CL less", "h2.TE", "h2.TE behind a line end", "h2 a request in the path"} {
		t.Run(name, func(t *testing.T) {
			r := record(t, server)
			p := &probe{address: serveBadProxy(t, r.listener.Addr().String(), true), host: "login.example", recorder: r, answers: true}
			if wrong := p.victims(t); len(wrong) > 0 {
				t.Fatalf("before anything was done: %v", wrong)
			}
			if wrong, got := p.attackFramed(t, attacks[name]); len(wrong) == 0 {
				t.Errorf("nothing was found; the attacker got %s", got)
			}
		})
	}
	r := record(t, server)
	p := &probe{address: serveBadProxy(t, r.listener.Addr().String(), true), host: "login.example", recorder: r, answers: true}
	plain := framedAttack{fields: [][2]string{{":method", "POST"}, {":scheme", "https"}, {":authority", "login.example"}, {":path", "/token"}, {"content-length", "5"}}, body: "hello"}
	if wrong, got := p.attackFramed(t, plain); len(wrong) > 0 || got != "200" {
		t.Errorf("an honest request: %s, %q", got, wrong)
	}
}
