package provider

import (
	"net"
	"net/http"
	"net/netip"
	"strings"
)

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
	isTrusted := func(host string) bool { return within(host, trusted) }
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

// FromTrusted reports whether requests come from one of these networks at once, as
// those of our own proxies do.
func FromTrusted(trusted []netip.Prefix) func(*http.Request) bool {
	return func(r *http.Request) bool {
		host, _, err := net.SplitHostPort(r.RemoteAddr)
		return err == nil && within(host, trusted)
	}
}

func within(host string, networks []netip.Prefix) bool {
	ip, err := netip.ParseAddr(host)
	if err != nil {
		return false
	}
	for _, n := range networks {
		if n.Contains(ip.Unmap()) {
			return true
		}
	}
	return false
}
