package origins

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"strconv"
	"strings"
)

// ErrOrigin is an origin that no page of ours can have: not https and not a
// developer exception, opaque ("null"), or not in the form that browsers write.
var ErrOrigin = errors.New("origin is not acceptable")

// maxOrigin bounds an Origin header in bytes: scheme, a DNS name of 253, a port.
const maxOrigin = 300

// Origin is a web origin (RFC 6454 section 4): scheme, host and port. The zero
// value is no origin. Origins compare with ==.
type Origin struct {
	scheme, host string
	port         uint16
}

// Parse reads the value of an Origin header. It takes exactly the form that
// browsers serialise (RFC 6454 section 6.1): lower case, no default port, no
// path, punycode for other scripts. Anything else is somebody's trick, so it is
// refused and not repaired. Which schemes may ask is Rules' decision.
func Parse(header string) (Origin, error) {
	o, err := parse(header)
	if err != nil {
		return Origin{}, err
	}
	if o.String() != header {
		return Origin{}, fmt.Errorf("%w: not in canonical form", ErrOrigin)
	}
	return o, nil
}

// ParseSetting reads an origin that a person typed: a final slash, upper case and
// the default port are repaired.
func ParseSetting(s string) (Origin, error) {
	return parse(strings.ToLower(strings.TrimSuffix(strings.TrimSpace(s), "/")))
}

func parse(s string) (Origin, error) {
	if s == "" || len(s) > maxOrigin {
		return Origin{}, fmt.Errorf("%w: length", ErrOrigin)
	}
	u, err := url.Parse(s)
	if err != nil {
		return Origin{}, fmt.Errorf("%w: not a URL", ErrOrigin)
	}
	if u.Scheme != "https" && u.Scheme != "http" {
		return Origin{}, fmt.Errorf("%w: scheme", ErrOrigin)
	}
	if u.User != nil || u.Path != "" || u.RawQuery != "" || u.ForceQuery || u.Fragment != "" || u.Opaque != "" {
		return Origin{}, fmt.Errorf("%w: more than scheme, host and port", ErrOrigin)
	}
	host := u.Hostname()
	if !validHost(host) {
		return Origin{}, fmt.Errorf("%w: host", ErrOrigin)
	}
	port := defaultPort(u.Scheme)
	if p := u.Port(); p != "" {
		n, err := strconv.ParseUint(p, 10, 16)
		if err != nil || n == 0 {
			return Origin{}, fmt.Errorf("%w: port", ErrOrigin)
		}
		port = uint16(n)
	}
	return Origin{scheme: u.Scheme, host: host, port: port}, nil
}

// validHost takes lower-case DNS names in ASCII (RFC 1123 section 2.1, and the
// underscore that is seen in the wild) and IP addresses in their usual spelling.
func validHost(host string) bool {
	if ip := net.ParseIP(host); ip != nil {
		return ip.String() == host
	}
	if host == "" || len(host) > 253 {
		return false
	}
	for label := range strings.SplitSeq(host, ".") {
		if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' {
			return false
		}
		for _, c := range []byte(label) {
			if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' && c != '_' {
				return false
			}
		}
	}
	// A last label of digits is an address in one of its odd spellings.
	last := host[strings.LastIndexByte(host, '.')+1:]
	return last[0] < '0' || last[0] > '9'
}

func defaultPort(scheme string) uint16 {
	if scheme == "https" {
		return 443
	}
	return 80
}

// IsZero tells whether o is no origin.
func (o Origin) IsZero() bool { return o == Origin{} }

// Scheme is "https" or "http".
func (o Origin) Scheme() string { return o.scheme }

// Host is the DNS name in ASCII or the IP address, without port and brackets.
func (o Origin) Host() string { return o.host }

// String is the form that browsers write; empty for the zero value.
func (o Origin) String() string {
	if o.IsZero() {
		return ""
	}
	host := o.host
	if strings.Contains(host, ":") {
		host = "[" + host + "]"
	}
	if o.port != defaultPort(o.scheme) {
		host += ":" + strconv.FormatUint(uint64(o.port), 10)
	}
	return o.scheme + "://" + host
}

// MarshalText writes the canonical form.
func (o Origin) MarshalText() ([]byte, error) { return []byte(o.String()), nil }

// UnmarshalText reads the canonical form and nothing else.
func (o *Origin) UnmarshalText(text []byte) error {
	parsed, err := Parse(string(text))
	if err != nil {
		return err
	}
	*o = parsed
	return nil
}

// Rules say which origins may ask for a pairing at all. The zero value takes
// https only.
type Rules struct {
	// Developer lists exact origins that may be plain http: a portal under
	// development on this machine.
	Developer []Origin
}

// Acceptable tells whether a page of this origin may ask to be paired.
func (r Rules) Acceptable(o Origin) bool {
	if o.IsZero() {
		return false
	}
	if o.scheme == "https" {
		return true
	}
	for _, d := range r.Developer {
		if d == o {
			return true
		}
	}
	return false
}
