package capacity

import (
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
)

// KeepAlives says whether connections are kept after an answer, as http.Server does.
type KeepAlives interface{ SetKeepAlivesEnabled(on bool) }

// Listener accepts so many connections at once. Further ones wait in the queue of the
// operating system, where they cost nothing.
type Listener struct {
	net.Listener
	slots  chan struct{}
	closed chan struct{}
	once   sync.Once
	server KeepAlives
	// crowded is set while no connection is kept.
	crowded atomic.Bool

	// each is how many places one peer may have, 0 for all of them; exempt peers may.
	each    int
	exempt  func(netip.Addr) bool
	mu      sync.Mutex
	peers   map[netip.Prefix]int
	refused atomic.Int64
}

// Limit keeps a listener to so many connections. When all are taken, the server that they
// are for keeps none after its answer, and closes those without a request, until no more
// than half are taken: a proxy that holds connections open would else keep everybody
// else out.
func Limit(l net.Listener, most int, server KeepAlives) *Listener {
	return &Listener{Listener: l, slots: make(chan struct{}, max(1, most)), closed: make(chan struct{}), server: server}
}

// Share keeps each peer to so many places: what it opens beyond is closed at once, so that
// nobody who holds connections open by sending or reading slowly takes them all (threats
// W-45). A peer is an address, of IPv6 the 56 bits that a household has. Those that exempt
// reports may have all, as a proxy must. It is called before the first Accept.
func (l *Listener) Share(each int, exempt func(netip.Addr) bool) {
	l.each, l.exempt, l.peers = max(1, each), exempt, map[netip.Prefix]int{}
}

// Refused is how many connections were closed because their peer had its share.
func (l *Listener) Refused() int64 { return l.refused.Load() }

// Open is how many connections there are.
func (l *Listener) Open() int { return len(l.slots) }

// Accept waits for a place, then for a connection whose peer has not had its share.
func (l *Listener) Accept() (net.Conn, error) {
	if len(l.slots) == cap(l.slots) {
		l.crowd(true)
	}
	select {
	case l.slots <- struct{}{}:
	case <-l.closed:
		return nil, net.ErrClosed
	}
	for {
		conn, err := l.Listener.Accept()
		if err != nil {
			<-l.slots
			return nil, err
		}
		from, known := l.peer(conn)
		if !known || l.enter(from) {
			return &limited{Conn: conn, leave: sync.OnceFunc(func() {
				if known {
					l.part(from)
				}
				l.leave()
			})}, nil
		}
		l.refused.Add(1)
		_ = conn.Close() // nothing was said on it
	}
}

// peer is who a connection is counted for, if it is.
func (l *Listener) peer(conn net.Conn) (netip.Prefix, bool) {
	if l.each == 0 {
		return netip.Prefix{}, false
	}
	from, err := netip.ParseAddrPort(conn.RemoteAddr().String())
	if err != nil {
		return netip.Prefix{}, false // no network of addresses
	}
	address := from.Addr().Unmap().WithZone("")
	if l.exempt(address) {
		return netip.Prefix{}, false
	}
	const household = 56
	bits := address.BitLen()
	if address.Is6() {
		bits = household
	}
	prefix, err := address.Prefix(bits)
	return prefix, err == nil
}

// enter counts a connection, unless its peer has its share.
func (l *Listener) enter(from netip.Prefix) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.peers[from] >= l.each {
		return false
	}
	l.peers[from]++
	return true
}

// part counts a connection no longer.
func (l *Listener) part(from netip.Prefix) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.peers[from]--; l.peers[from] <= 0 {
		delete(l.peers, from)
	}
}

// Close ends Accept as well.
func (l *Listener) Close() error {
	l.once.Do(func() { close(l.closed) })
	return l.Listener.Close()
}

func (l *Listener) leave() {
	<-l.slots
	if len(l.slots) <= cap(l.slots)/2 {
		l.crowd(false)
	}
}

// crowd tells the server, which closes connections meanwhile, whose places come back
// here. So nothing is held; who tells it last tells it what is true.
func (l *Listener) crowd(now bool) {
	if !l.crowded.CompareAndSwap(!now, now) {
		return
	}
	for told := !now; told != now; now = l.crowded.Load() {
		told = now
		l.server.SetKeepAlivesEnabled(!told)
	}
}

// limited is a connection that has a place.
type limited struct {
	net.Conn
	leave func()
}

// Close gives the place back.
func (c *limited) Close() error {
	defer c.leave()
	return c.Conn.Close()
}
