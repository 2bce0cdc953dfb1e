package capacity

import (
	"net"
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
}

// Limit keeps a listener to so many connections. When all are taken, the server that they
// are for keeps none after its answer, and closes those without a request, until no more
// than half are taken: a proxy that holds connections open would else keep everybody
// else out.
func Limit(l net.Listener, most int, server KeepAlives) *Listener {
	return &Listener{Listener: l, slots: make(chan struct{}, max(1, most)), closed: make(chan struct{}), server: server}
}

// Open is how many connections there are.
func (l *Listener) Open() int { return len(l.slots) }

// Accept waits for a place, then for a connection.
func (l *Listener) Accept() (net.Conn, error) {
	if len(l.slots) == cap(l.slots) {
		l.crowd(true)
	}
	select {
	case l.slots <- struct{}{}:
	case <-l.closed:
		return nil, net.ErrClosed
	}
	conn, err := l.Listener.Accept()
	if err != nil {
		<-l.slots
		return nil, err
	}
	return &limited{Conn: conn, leave: sync.OnceFunc(l.leave)}, nil
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
