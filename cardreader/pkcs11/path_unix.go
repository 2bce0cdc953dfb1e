//go:build unix

package pkcs11

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// checkPath returns the file behind path when nobody but root and this user can
// put another one there (threats C-56): the file itself, its folder and all
// folders above it belong to one of the two and are not writable for others. A
// folder above in which everybody may make entries but only remove his own
// (sticky, as /tmp) passes.
func checkPath(path string) (string, error) {
	if !filepath.IsAbs(path) {
		return "", fmt.Errorf("%w: its path is not absolute", ErrPath)
	}
	real, err := filepath.EvalSymlinks(path)
	if err != nil {
		return "", fmt.Errorf("%w: %w", ErrModule, err)
	}
	info, err := os.Stat(real)
	if err != nil {
		return "", fmt.Errorf("%w: %w", ErrModule, err)
	}
	if !info.Mode().IsRegular() {
		return "", fmt.Errorf("%w: it is not a file", ErrModule)
	}
	if err := outOfReach(real, info, false); err != nil {
		return "", err
	}
	for dir, direct := filepath.Dir(real), true; ; dir, direct = filepath.Dir(dir), false {
		info, err := os.Stat(dir)
		if err != nil {
			return "", fmt.Errorf("%w: %w", ErrPath, err)
		}
		if err := outOfReach(dir, info, !direct); err != nil {
			return "", err
		}
		if dir == filepath.Dir(dir) {
			return real, nil
		}
	}
}

func outOfReach(path string, info fs.FileInfo, stickyPasses bool) error {
	owner, ok := info.Sys().(*syscall.Stat_t)
	if !ok || owner.Uid != 0 && int(owner.Uid) != os.Geteuid() {
		return fmt.Errorf("%w: %s belongs to another user", ErrPath, path)
	}
	const others = 0o022
	if info.Mode().Perm()&others == 0 || stickyPasses && info.Mode()&fs.ModeSticky != 0 {
		return nil
	}
	return fmt.Errorf("%w: other users may write to %s", ErrPath, path)
}
