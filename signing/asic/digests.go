package asic

import (
	"context"
	"crypto"
	"errors"
	"fmt"
	"io"
	"net/url"
	"strings"

	"golang.org/x/text/unicode/norm"

	"github.com/eidbridge/eidbridge/signing"
	"github.com/eidbridge/eidbridge/signing/archive"
	"github.com/eidbridge/eidbridge/signing/xmldsig"
)

// digests remembers the digests of one file.
type digests map[crypto.Hash][]byte

// digest returns a digest of a data file, reading it if that was not done yet.
func (f *File) digest(ctx context.Context, hashes ...crypto.Hash) (digests, error) {
	var missing []crypto.Hash
	for _, h := range hashes {
		if f.digests[h] == nil && h.Available() {
			missing = append(missing, h)
		}
	}
	if len(missing) == 0 {
		return f.digests, nil
	}
	found, _, err := signing.Digests(ctx, f, missing...)
	if err != nil {
		return nil, fmt.Errorf("reading %q: %w", f.Name, err)
	}
	if f.digests == nil {
		f.digests = make(digests)
	}
	for h, d := range found {
		f.digests[h] = d
	}
	return f.digests, nil
}

// resolver gives the files of a container to signatures, by the references in
// them. It never leaves the container. seen collects what was asked for.
type resolver struct {
	c    *Container
	seen map[string]bool
}

// Open implements xmldsig.Resolver.
func (r *resolver) Open(_ context.Context, uri string) (io.ReadCloser, error) {
	f := r.c.refer(uri)
	if f == nil {
		return nil, fmt.Errorf("%w: the container has no file %+q", xmldsig.ErrNotFound, uri)
	}
	r.seen[f.Name] = true
	return f.Open()
}

// Digest implements xmldsig.Digester.
func (r *resolver) Digest(ctx context.Context, uri string, hash crypto.Hash) ([]byte, bool) {
	f := r.c.refer(uri)
	if f == nil {
		return nil, false
	}
	r.seen[f.Name] = true
	data := r.c.File(f.Name)
	if data == nil {
		return nil, false
	}
	found, err := data.digest(ctx, hash)
	return found[hash], err == nil && found[hash] != nil
}

// refer finds the file that a reference names: as it is written, with escapes
// taken off (RFC 3986 2.1), with "+" for a blank as forms have it, which some
// programs wrote, or with letters composed, since some systems take names apart.
func (c *Container) refer(uri string) *archive.File {
	names := []string{uri}
	if decoded, err := url.PathUnescape(uri); err == nil {
		names = append(names, decoded)
	}
	if decoded, err := url.QueryUnescape(uri); err == nil {
		names = append(names, decoded)
	}
	for _, name := range names {
		if f := c.find(strings.TrimPrefix(strings.TrimPrefix(name, "./"), "/")); f != nil {
			return f
		}
	}
	for _, name := range names {
		composed := norm.NFC.String(name)
		for _, f := range c.zip.Files {
			if norm.NFC.String(f.Name) == composed {
				return f
			}
		}
	}
	return nil
}

// corrupt tells whether reading failed because of the container itself.
func corrupt(err error) bool {
	return errors.Is(err, archive.ErrCorrupt) || errors.Is(err, archive.ErrFormat)
}
