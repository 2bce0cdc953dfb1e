package outfile

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// Sweep removes what a program that was killed left beside a file that it was about to
// replace. What another program still writes is locked and stays. It returns how many
// there were; on systems without such locks it removes none.
func Sweep(out string) (int, error) {
	folder := filepath.Dir(out)
	entries, err := os.ReadDir(folder)
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return 0, nil
		}
		return 0, outputError(err)
	}
	swept := 0
	for _, e := range entries {
		number, ours := strings.CutPrefix(e.Name(), "."+filepath.Base(out)+".")
		number, named := strings.CutSuffix(number, ".part")
		if !ours || !named || strings.Trim(number, "0123456789") != "" || !e.Type().IsRegular() {
			continue
		}
		if removeAbandoned(filepath.Join(folder, e.Name())) {
			swept++
		}
	}
	return swept, nil
}
