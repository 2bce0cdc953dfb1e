package servertls

import (
	"context"
	"net"
	"net/http"
	"sync/atomic"
)

// maxResets is how many requests on one connection may be taken back before it ends, if
// those are more than half of all. A browser takes back what a visitor left early, which
// is a few in an hour.
const maxResets = 100

// resetsKey finds the requests of a connection in the context of each.
type resetsKey struct{}

// requests are those of one connection.
type requests struct {
	conn        net.Conn
	all, resets atomic.Int64
}

// ConnContext notes the connection that requests come over, for [EndResets]. It is an
// [http.Server.ConnContext].
func ConnContext(ctx context.Context, conn net.Conn) context.Context {
	return context.WithValue(ctx, resetsKey{}, &requests{conn: conn})
}

// EndResets ends connections of HTTP/2 whose requests are mostly taken back (RFC 9113
// §5.4.2, CVE-2023-44487): a request costs the server more than its reset costs the
// client, and what was taken back does not count against the number of streams.
func EndResets(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		of, _ := r.Context().Value(resetsKey{}).(*requests)
		if of == nil || r.ProtoMajor < 2 {
			next.ServeHTTP(w, r)
			return
		}
		of.all.Add(1)
		defer func() {
			if r.Context().Err() == nil {
				return
			}
			if resets := of.resets.Add(1); resets > maxResets && 2*resets > of.all.Load() {
				_ = of.conn.Close() // the client may have
			}
		}()
		next.ServeHTTP(w, r)
	})
}
