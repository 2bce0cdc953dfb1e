//go:build unix && cgo

package host

import (
	"fmt"
	"os"
	"path/filepath"
	"syscall"
)

// checkModule refuses a module that somebody else could have put there: the file,
// behind all links, and its folder belong to root or to this user, and nobody else
// may write to them.
func checkModule(path string) (string, error) {
	file, err := filepath.EvalSymlinks(path)
	if err != nil {
		return "", err
	}
	for _, place := range []string{file, filepath.Dir(file)} {
		info, err := os.Stat(place)
		if err != nil {
			return "", err
		}
		if place == file && !info.Mode().IsRegular() {
			return "", fmt.Errorf("%s is not a file", file)
		}
		owner, ok := info.Sys().(*syscall.Stat_t)
		if !ok || owner.Uid != 0 && int(owner.Uid) != os.Geteuid() || info.Mode().Perm()&0o022 != 0 {
			return "", fmt.Errorf("somebody else may write to %s", place)
		}
	}
	return file, nil
}
