package provider

import (
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"time"
)

// limiter allows so many events a minute for each address, with a burst of the
// same number. It remembers a bounded number of addresses: when there are more,
// it forgets all, which favours the many over the one.
type limiter struct {
	perMinute float64
	mu        sync.Mutex
	buckets   map[string]bucket
}

type bucket struct {
	tokens float64
	at     time.Time
}

const maxBuckets = 50_000

func newLimiter(perMinute int) *limiter {
	return &limiter{perMinute: float64(perMinute), buckets: map[string]bucket{}}
}

func (l *limiter) allow(address string, now time.Time) bool {
	if l.perMinute <= 0 {
		return true
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	b, ok := l.buckets[address]
	if !ok {
		if len(l.buckets) >= maxBuckets {
			clear(l.buckets)
		}
		b = bucket{tokens: l.perMinute, at: now}
	}
	if passed := now.Sub(b.at); passed > 0 {
		b.tokens = min(l.perMinute, b.tokens+passed.Minutes()*l.perMinute)
		b.at = now
	}
	allowed := b.tokens >= 1
	if allowed {
		b.tokens--
	}
	l.buckets[address] = b
	return allowed
}

// giveBack undoes one allow.
func (l *limiter) giveBack(address string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if b, ok := l.buckets[address]; ok {
		b.tokens = min(l.perMinute, b.tokens+1)
		l.buckets[address] = b
	}
}

// PeerAddress is the address of the connection's other end, IPv6 shortened to
// the /56 that one household has.
func PeerAddress(r *http.Request) string {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return r.RemoteAddr
	}
	return household(host)
}

func household(host string) string {
	ip, err := netip.ParseAddr(host)
	if err != nil {
		return host
	}
	ip = ip.Unmap().WithZone("")
	if ip.Is4() {
		return ip.String()
	}
	prefix, err := ip.Prefix(56)
	if err != nil {
		return ip.String()
	}
	return prefix.String()
}

// ForwardedAddress reads X-Forwarded-For where the peer is a trusted proxy: the
// right-most address that is not itself trusted. Anybody else's header is
// ignored.
func ForwardedAddress(trusted []netip.Prefix) func(*http.Request) string {
	isTrusted := func(host string) bool {
		ip, err := netip.ParseAddr(host)
		if err != nil {
			return false
		}
		for _, t := range trusted {
			if t.Contains(ip.Unmap()) {
				return true
			}
		}
		return false
	}
	return func(r *http.Request) string {
		host, _, err := net.SplitHostPort(r.RemoteAddr)
		if err != nil || !isTrusted(host) {
			return PeerAddress(r)
		}
		hops := splitHops(r.Header.Values("X-Forwarded-For"))
		for i := len(hops) - 1; i >= 0; i-- {
			if _, err := netip.ParseAddr(hops[i]); err != nil {
				break
			}
			host = hops[i]
			if !isTrusted(host) {
				break
			}
		}
		return household(host)
	}
}

func splitHops(headers []string) []string {
	var hops []string
	for _, h := range headers {
		for hop := range strings.SplitSeq(h, ",") {
			hops = append(hops, strings.TrimSpace(hop))
		}
	}
	return hops
}
