package localapi_test

import (
	"net"
	"testing"

	"github.com/eidbridge/eidbridge/desktop/localapi"
)

// L-09: an occupied port is skipped; when none is free, that is an error.
func TestListenTakesTheFirstFreePort(t *testing.T) {
	taken, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	port := taken.Addr().(*net.TCPAddr).Port
	if _, _, err := localapi.Listen(t.Context(), []int{port}); err == nil {
		t.Error("an occupied port was taken")
	}
	listeners, got, err := localapi.Listen(t.Context(), []int{port, 0})
	if err != nil || got == port || got == 0 {
		t.Errorf("port %d, %v", got, err)
	}
	for _, l := range listeners {
		if ip := l.Addr().(*net.TCPAddr).IP; !ip.IsLoopback() {
			t.Errorf("bound to %s", ip)
		}
		l.Close()
	}
}

func TestPortsAreBelowTheEphemeralRange(t *testing.T) {
	for _, p := range localapi.Ports() {
		if p < 1024 || p >= 49152 {
			t.Errorf("port %d", p)
		}
	}
}
