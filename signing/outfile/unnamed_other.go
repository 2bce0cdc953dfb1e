//go:build !linux

package outfile

import (
	"errors"
	"os"
)

// openUnnamed would make a file without a name.
func openUnnamed(string) *os.File { return nil }

// linkUnnamed would give it one.
func linkUnnamed(*os.File, string) error { return errors.ErrUnsupported }
