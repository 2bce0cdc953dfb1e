//go:build unix && !linux

package pin

// protect has nothing to do: these systems have no per-page dump mark in x/sys.
func protect([]byte) {}
