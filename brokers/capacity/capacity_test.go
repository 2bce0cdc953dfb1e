package capacity_test

import (
	"bufio"
	"errors"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"testing"
	"testing/fstest"
	"time"

	"github.com/eidbridge/eidbridge/brokers/capacity"
)

func TestPlanFitsIntoOpenFiles(t *testing.T) {
	want := capacity.Plan{Connections: 1000, Requests: 512, Monitors: 20}
	for _, row := range []struct {
		name            string
		files, database int
		plan            capacity.Plan
	}{
		{"no limit", 0, 16, want},
		{"more than enough", 100_000, 16, want},
		{"the usual limit", 1024, 16, capacity.Plan{Connections: 492, Requests: 369, Monitors: 20}},
		{"S-30 64 files", 64, 12, capacity.Plan{Connections: 14, Requests: 10, Monitors: 2}},
		{"fewer than the server needs", 16, 16, capacity.Plan{Connections: 4, Requests: 3, Monitors: 2}},
	} {
		if got := want.Within(row.files, row.database); got != row.plan {
			t.Errorf("%s: %+v, want %+v", row.name, got, row.plan)
		}
	}
	if n := capacity.Files(); n < 0 {
		t.Errorf("%d files", n)
	}
}

// S-30: visitors who hold their connections open keep nobody else out.
func TestIdleConnectionsMakeRoom(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "here") })}
	limited := capacity.Limit(l, 2, server)
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(limited) }()
	visit := func() (*bufio.Reader, net.Conn) {
		t.Helper()
		conn, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = conn.Close() }) // the server goes too
		if _, err := io.WriteString(conn, "GET / HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		in := bufio.NewReader(conn)
		resp, err := http.ReadResponse(in, nil)
		if err != nil {
			t.Fatal(err)
		}
		if body, err := io.ReadAll(resp.Body); err != nil || string(body) != "here" {
			t.Fatalf("%q, %v", body, err)
		}
		return in, conn
	}
	for range 10 { // each would be kept, with two places
		visit()
		if n := limited.Open(); n > 2 {
			t.Errorf("%d connections are open", n)
		}
	}
	if err := server.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; err != http.ErrServerClosed { //nolint:errorlint // as net/http documents it
		t.Errorf("serving ended with %v", err)
	}
}

// W-45: nobody but a proxy takes more places than a share of them.
func TestPeersHaveTheirShare(t *testing.T) {
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	limited := capacity.Limit(l, 100, &http.Server{ReadHeaderTimeout: time.Minute})
	defer func() { _ = limited.Close() }() // it ends Accept
	proxy := netip.MustParseAddr("127.0.0.1")
	limited.Share(2, func(peer netip.Addr) bool { return peer == proxy })
	accepted := make(chan net.Conn, 100)
	go func() {
		for {
			conn, err := limited.Accept()
			if err != nil {
				return
			}
			accepted <- conn
		}
	}()
	dial := func(from string) net.Conn {
		dialer := &net.Dialer{Timeout: time.Minute, LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}
		conn, err := dialer.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = conn.Close() }) // the other side may have
		return conn
	}
	let := func(from string) net.Conn {
		conn := dial(from)
		got := <-accepted
		if got.RemoteAddr().String() != conn.LocalAddr().String() {
			t.Fatalf("%s was let in, not %s", got.RemoteAddr(), conn.LocalAddr())
		}
		return got
	}
	refused := func(from string) {
		conn := dial(from)
		if err := conn.SetDeadline(time.Now().Add(time.Minute)); err != nil {
			t.Fatal(err)
		}
		if _, err := conn.Read(make([]byte, 1)); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("one more from %s: %v", from, err)
		}
	}
	first := let("127.1.0.2")
	let("127.1.0.2")
	refused("127.1.0.2")
	let("127.1.0.3") // somebody else
	for range 5 {
		let("127.0.0.1")
	}
	if open, n := limited.Open(), limited.Refused(); open != 8 && open != 9 || n != 1 { // one place waits for its visitor
		t.Errorf("%d connections are open, %d were refused", open, n)
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	_ = first.Close() // it counts once
	let("127.1.0.2")
	refused("127.1.0.2")
}

func TestMemoryOfTheControlGroup(t *testing.T) {
	file := func(text string) *fstest.MapFile { return &fstest.MapFile{Data: []byte(text)} }
	for _, row := range []struct {
		name   string
		system fstest.MapFS
		want   int64
	}{
		{"none", fstest.MapFS{}, 0},
		{"the second version", fstest.MapFS{"proc/self/cgroup": file("0::/app\n"), "sys/fs/cgroup/app/memory.max": file("268435456\n")}, 256 << 20},
		{"the second version, no limit", fstest.MapFS{"proc/self/cgroup": file("0::/app\n"), "sys/fs/cgroup/app/memory.max": file("max\n")}, 0},
		{"a group around it has less", fstest.MapFS{
			"proc/self/cgroup": file("0::/pod/app\n"), "sys/fs/cgroup/pod/memory.max": file("1048576\n"), "sys/fs/cgroup/pod/app/memory.max": file("2097152\n"),
		}, 1 << 20},
		{"the first version", fstest.MapFS{
			"proc/self/cgroup": file("5:cpu:/other\n4:memory:/app\n"), "sys/fs/cgroup/memory/app/memory.limit_in_bytes": file("268435456\n"),
			"sys/fs/cgroup/memory/memory.limit_in_bytes": file("9223372036854771712\n"),
		}, 256 << 20},
		{"the first version in a container", fstest.MapFS{
			"proc/self/cgroup": file("4:memory:/docker/0123\n"), "sys/fs/cgroup/memory/memory.limit_in_bytes": file("268435456\n"),
		}, 256 << 20},
		{"another controller", fstest.MapFS{"proc/self/cgroup": file("3:cpuset:/app\nbroken\n"), "sys/fs/cgroup/app/memory.max": file("1\n")}, 0},
	} {
		if got := capacity.GroupMemory(row.system); got != row.want {
			t.Errorf("%s: %d bytes, want %d", row.name, got, row.want)
		}
	}
}
