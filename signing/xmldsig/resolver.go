package xmldsig

import (
	"context"
	"crypto"
	"io"
	"net/url"
	"strings"
)

// Resolver gives the octets of external references. It gets the URI as written,
// empty for a reference without one, of which only the caller can know what it
// means, and must not go by it to places that the caller did not mean: no network, no
// files of the machine.
type Resolver interface {
	// Open returns the octets, or an error that matches ErrNotFound where there
	// are none. The caller closes.
	Open(ctx context.Context, uri string) (io.ReadCloser, error)
}

// Digester is a Resolver that may know digests already, as one that hashed a
// container while reading it does.
type Digester interface {
	Resolver
	// Digest returns the digest of the octets; ok is false if it is not known.
	Digest(ctx context.Context, uri string, hash crypto.Hash) (digest []byte, ok bool)
}

// NameURI writes the name of a file, relative and with slashes, as a URI reference.
func NameURI(name string) string {
	parts := strings.Split(name, "/")
	for i, p := range parts {
		parts[i] = strings.ReplaceAll(url.PathEscape(p), "+", "%2B")
	}
	return strings.Join(parts, "/")
}
