package servertls_test

import (
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/eidbridge/eidbridge/brokers/servertls"
)

// closing is a connection that notes its end.
type closing struct {
	net.Conn
	closed bool
}

func (c *closing) Close() error {
	c.closed = true
	return nil
}

// W-44: a connection ends when more than half of its requests are taken back, and only
// then, whenever those that are taken back began.
func TestEndResetsWeighsAllRequests(t *testing.T) {
	for name, row := range map[string]struct {
		proto        int
		answered     int // requests while the slow one is under way
		reset        int // of them, taken back
		slow, closed bool
	}{
		"a few":                               {2, 300, 100, false, false},
		"most":                                {2, 0, 101, false, true},
		"a tenth":                             {2, 900, 101, false, false},
		"a tenth, the first one at the last":  {2, 900, 101, true, false},
		"most, the first one at the last":     {2, 0, 100, true, true},
		"HTTP/1.1, where nothing is multiple": {1, 0, 200, false, false},
	} {
		t.Run(name, func(t *testing.T) {
			conn := &closing{}
			connection := servertls.ConnContext(t.Context(), conn)
			request := func(ctx context.Context, path string) *http.Request {
				r := httptest.NewRequest(http.MethodGet, path, nil).WithContext(ctx)
				r.ProtoMajor = row.proto
				return r
			}
			gone, leave := context.WithCancel(connection)
			leave()
			var handler http.Handler
			slow, end := context.WithCancel(connection)
			defer end()
			handler = servertls.EndResets(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path != "/slow" {
					return
				}
				for range row.answered {
					handler.ServeHTTP(w, request(connection, "/"))
				}
				for range row.reset {
					handler.ServeHTTP(w, request(gone, "/"))
				}
				if row.slow {
					end()
				}
			}))
			handler.ServeHTTP(httptest.NewRecorder(), request(slow, "/slow"))
			if conn.closed != row.closed {
				t.Errorf("closed: %v, want %v", conn.closed, row.closed)
			}
		})
	}
}
