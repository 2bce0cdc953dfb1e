package fetch

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"sync"
	"syscall"
	"testing"

	"golang.org/x/net/dns/dnsmessage"
)

// names is a name server that gives each question about a name the next of its answers,
// the last one for ever.
type names struct {
	mutex   sync.Mutex
	answers [][]netip.Addr
	asked   int // questions for addresses of version 4
}

// serve answers on a socket until it is closed.
func (n *names) serve(socket net.PacketConn) {
	buf := make([]byte, 1500)
	for {
		size, from, err := socket.ReadFrom(buf)
		if err != nil {
			return
		}
		if answer := n.answer(buf[:size]); answer != nil {
			_, _ = socket.WriteTo(answer, from)
		}
	}
}

func (n *names) answer(question []byte) []byte {
	var m dnsmessage.Message
	if m.Unpack(question) != nil || len(m.Questions) != 1 {
		return nil
	}
	m.Response, m.Authoritative, m.Additionals = true, true, nil
	q := m.Questions[0]
	if q.Type != dnsmessage.TypeA {
		packed, _ := m.Pack()
		return packed
	}
	n.mutex.Lock()
	defer n.mutex.Unlock()
	n.asked++
	for _, a := range n.answers[min(n.asked, len(n.answers))-1] {
		m.Answers = append(m.Answers, dnsmessage.Resource{
			Header: dnsmessage.ResourceHeader{Name: q.Name, Type: dnsmessage.TypeA, Class: dnsmessage.ClassINET}, // TTL 0
			Body:   &dnsmessage.AResource{A: a.As4()},
		})
	}
	packed, _ := m.Pack()
	return packed
}

// questions is how many there were.
func (n *names) questions() int {
	n.mutex.Lock()
	defer n.mutex.Unlock()
	return n.asked
}

// errStopped ends connections that may be made, before anything leaves this machine.
var errStopped = errors.New("stopped by the test")

// TestNamesMayChangeTheirAddress (P-78, DNS rebinding): a name that led outside when it
// was looked at first and leads inside at the next look-up reaches nothing inside. There
// is one look-up for each connection, and the address judged is the one connected to.
func TestNamesMayChangeTheirAddress(t *testing.T) {
	inside := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("a request went to this machine") }))
	defer inside.Close()
	_, port, _ := net.SplitHostPort(inside.Listener.Addr().String())
	outside, loopback, private := netip.MustParseAddr("198.41.0.4"), netip.MustParseAddr("127.0.0.1"), netip.MustParseAddr("10.0.0.1")
	for _, row := range []struct {
		name    string
		answers [][]netip.Addr
		// want is of each fetch: whether it is forbidden, else the addresses that
		// connections were made to.
		want [][]string
	}{
		{"outside, then inside", [][]netip.Addr{{outside}, {loopback}}, [][]string{{outside.String()}, nil, nil}},
		{"inside, then outside", [][]netip.Addr{{loopback}, {outside}}, [][]string{nil, {outside.String()}}},
		{"outside, then the network", [][]netip.Addr{{outside}, {private}}, [][]string{{outside.String()}, nil}},
		{"both at once", [][]netip.Addr{{loopback, outside}}, [][]string{{outside.String()}}},
		{"inside twice", [][]netip.Addr{{loopback, private}}, [][]string{nil}},
	} {
		t.Run(row.name, func(t *testing.T) {
			socket, err := net.ListenPacket("udp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = socket.Close() }()
			server := &names{answers: row.answers}
			go server.serve(socket)
			var mutex sync.Mutex
			var connected []string
			c := New(Options{Dialer: &net.Dialer{
				Resolver: &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
					return new(net.Dialer).DialContext(ctx, "udp", socket.LocalAddr().String())
				}},
				Control: func(_, address string, _ syscall.RawConn) error {
					host, _, _ := net.SplitHostPort(address)
					mutex.Lock()
					defer mutex.Unlock()
					connected = append(connected, host)
					return errStopped
				},
			}})
			for i, want := range row.want {
				mutex.Lock()
				connected = nil
				mutex.Unlock()
				_, err := c.Get(t.Context(), "http://rebinding.example.:"+port+"/", 10)
				if errors.Is(err, ErrForbidden) == (want != nil) && len(row.answers[0]) == 1 || err == nil {
					t.Errorf("fetch %d: %v", i, err)
				}
				mutex.Lock()
				if !slices.Equal(connected, want) {
					t.Errorf("fetch %d: connections to %v, want %v", i, connected, want)
				}
				mutex.Unlock()
				if n := server.questions(); n != i+1 {
					t.Errorf("fetch %d: %d look-ups", i, n)
				}
			}
		})
	}
}
