//go:build !cgo

package pkcs11

import "io"

// Serve answers that modules cannot be loaded.
func Serve(_ io.Reader, out io.Writer) error {
	return writeAnswer(out, answer{Error: &failure{Kind: kindCgo}})
}
