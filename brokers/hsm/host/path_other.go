//go:build !unix && cgo

package host

import "path/filepath"

// checkModule finds the module's file.
func checkModule(path string) (string, error) { return filepath.EvalSymlinks(path) }
