//go:build !unix

package pkcs11

import (
	"fmt"
	"os"
	"path/filepath"
)

// checkPath wants an absolute path to a file. Access lists are not examined here:
// keep modules where only administrators write.
func checkPath(path string) (string, error) {
	if !filepath.IsAbs(path) {
		return "", fmt.Errorf("%w: its path is not absolute", ErrPath)
	}
	info, err := os.Stat(path)
	if err != nil {
		return "", fmt.Errorf("%w: %w", ErrModule, err)
	}
	if !info.Mode().IsRegular() {
		return "", fmt.Errorf("%w: it is not a file", ErrModule)
	}
	return path, nil
}
