package xades_test

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/eidbridge/eidbridge/signing/xmldsig"
)

// files gives external references from memory.
type files map[string]string

func (f files) Open(_ context.Context, uri string) (io.ReadCloser, error) {
	content, ok := f[uri]
	if !ok {
		return nil, fmt.Errorf("%w: no file %q", xmldsig.ErrNotFound, uri)
	}
	return io.NopCloser(strings.NewReader(content)), nil
}
