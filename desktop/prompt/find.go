package prompt

import (
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/eidbridge/eidbridge/desktop"
)

// Find returns the path of the pinentry to use: the configured one, else the
// flavour of the running desktop, else the system's choice, else one for the
// terminal. Without any, the error is desktop.ErrNoPrompt. getenv is os.Getenv
// outside tests.
func Find(configured string, getenv func(string) string) (string, error) {
	if configured != "" {
		path, err := exec.LookPath(configured)
		if err != nil {
			return "", fmt.Errorf("%w: pinentry %s: %w", desktop.ErrNoPrompt, configured, err)
		}
		return filepath.Abs(path)
	}
	for _, name := range candidates(getenv) {
		// LookPath refuses to find programs in the current directory (L-60).
		path, err := exec.LookPath(name)
		if err == nil {
			return path, nil
		}
		if errors.Is(err, exec.ErrDot) {
			continue
		}
	}
	return "", fmt.Errorf("%w: no pinentry program is installed", desktop.ErrNoPrompt)
}

// candidates are the flavours, best first.
func candidates(getenv func(string) string) []string {
	var names []string
	if getenv("DISPLAY") != "" || getenv("WAYLAND_DISPLAY") != "" {
		names = []string{"pinentry-gnome3", "pinentry-qt", "pinentry-gtk-2"}
		if strings.Contains(strings.ToUpper(getenv("XDG_CURRENT_DESKTOP")), "KDE") {
			names = []string{"pinentry-qt", "pinentry-gnome3", "pinentry-gtk-2"}
		}
	}
	return append(names, "pinentry", "pinentry-curses", "pinentry-tty")
}
