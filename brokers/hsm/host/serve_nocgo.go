//go:build !cgo

package host

import (
	"io"

	"github.com/eidbridge/eidbridge/brokers/hsm/internal/wire"
)

// Serve answers that modules cannot be loaded.
func Serve(in io.Reader, out io.Writer) error {
	var r wire.Request
	if err := wire.Read(wire.Reader(in), &r); err != nil {
		return err
	}
	return wire.Write(out, wire.Answer{ID: r.ID, Error: &wire.Failure{Kind: wire.Module, Detail: "this program was built without cgo, which modules need"}})
}
