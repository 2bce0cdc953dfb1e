//go:build unix

package outfile

import (
	"errors"
	"os"
	"syscall"
)

// SyncFolder makes what happened to the names in a folder durable.
func SyncFolder(name string) error {
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
