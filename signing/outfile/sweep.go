package outfile

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// Sweep removes what a program that was killed left beside outputs that it was about
// to put in place. What another program still writes is locked and stays. It returns
// how many there were; on systems without such locks it removes none.
func Sweep(outs ...string) (int, error) {
	folders := make(map[string]map[string]bool)
	for _, out := range outs {
		folder := filepath.Dir(out)
		if folders[folder] == nil {
			folders[folder] = make(map[string]bool)
		}
		folders[folder][filepath.Base(out)] = true
	}
	swept := 0
	for folder, names := range folders {
		n, err := sweepFolder(folder, names)
		swept += n
		if err != nil {
			return swept, err
		}
	}
	return swept, nil
}

func sweepFolder(folder string, outs map[string]bool) (swept int, err error) {
	entries, err := os.ReadDir(folder)
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return 0, nil
		}
		return 0, outputError(err)
	}
	for _, e := range entries {
		if outs[outputOf(e.Name())] && e.Type().IsRegular() && removeAbandoned(filepath.Join(folder, e.Name())) {
			swept++
		}
	}
	return swept, nil
}

// outputOf is the output that a file with such a name would become: out of
// ".out.123.part". It is empty for other names.
func outputOf(name string) string {
	hidden, ours := strings.CutPrefix(name, ".")
	stem, part := strings.CutSuffix(hidden, ".part")
	out := strings.TrimRight(stem, "0123456789")
	if !ours || !part || out == stem || !strings.HasSuffix(out, ".") {
		return ""
	}
	return out[:len(out)-1]
}
