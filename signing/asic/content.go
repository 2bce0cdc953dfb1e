package asic

import (
	"context"
	"fmt"
	"io"
	"net/url"

	"github.com/eidbridge/eidbridge/signing"
	"github.com/eidbridge/eidbridge/signing/xmldsig"
)

// resolving gives the data files by the references of signatures.
type resolving interface {
	Open(ctx context.Context, uri string) (io.ReadCloser, error)
}

// contents gives files that are being put into a container.
type contents map[string]signing.Content

// Open implements xmldsig.Resolver.
func (c contents) Open(_ context.Context, uri string) (io.ReadCloser, error) {
	name, err := url.PathUnescape(uri)
	if err == nil && c[name] != nil {
		return c[name].Open()
	}
	return nil, fmt.Errorf("%w: %+q", xmldsig.ErrNotFound, uri)
}

// opened is one of the files as content.
type opened struct {
	ctx   context.Context //nolint:containedctx // signing.Content has no room for it
	files resolving
	name  string
}

// Open implements signing.Content.
func (o opened) Open() (io.ReadCloser, error) { return o.files.Open(o.ctx, xmldsig.NameURI(o.name)) }
