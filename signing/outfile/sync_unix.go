//go:build unix

package outfile

import (
	"errors"
	"os"
	"syscall"
)

// syncDir makes a new name in a directory durable.
func syncDir(name string) error {
	dir, err := os.Open(name)
	if err != nil {
		return err
	}
	defer dir.Close()
	// Some file systems cannot sync a directory; their names are durable or
	// nothing can be done about it.
	if err := dir.Sync(); err != nil && !errors.Is(err, syscall.EINVAL) && !errors.Is(err, syscall.ENOTSUP) {
		return err
	}
	return nil
}
