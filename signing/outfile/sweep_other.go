//go:build !unix

package outfile

import "os"

// claim does nothing where files have no such locks.
func claim(*os.File) {}

// removeAbandoned cannot tell what is abandoned, and leaves it.
func removeAbandoned(string) bool { return false }
