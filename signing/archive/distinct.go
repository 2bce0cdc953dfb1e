package archive

import (
	"fmt"
	"strings"

	"golang.org/x/text/unicode/norm"
)

// fold is the form in which names are compared: programs and file systems
// disagree about case and about composed letters.
func fold(name string) string {
	return strings.ToLower(norm.NFC.String(strings.TrimSuffix(name, "/")))
}

// SameName tells whether two names would be taken for one file somewhere.
func SameName(a, b string) bool { return fold(a) == fold(b) }

// checkDistinct refuses two entries of one name, and a file that is a folder too.
func checkDistinct(all []*File) error {
	seen := make(map[string]bool)
	for _, f := range all {
		key := fold(f.Name)
		if _, twice := seen[key]; twice {
			return fmt.Errorf("%w: %s is there twice", ErrName, quoted(f.Name))
		}
		seen[key] = strings.HasSuffix(f.Name, "/")
	}
	for _, f := range all {
		key := fold(f.Name)
		for i := strings.LastIndexByte(key, '/'); i > 0; i = strings.LastIndexByte(key[:i], '/') {
			if folder, there := seen[key[:i]]; there && !folder {
				return fmt.Errorf("%w: %s is a file and a folder", ErrName, quoted(f.Name[:min(i, len(f.Name))]))
			}
		}
	}
	return nil
}
