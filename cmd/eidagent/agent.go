package main

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/eidbridge/eidbridge/cardreader"
	"github.com/eidbridge/eidbridge/desktop"
	"github.com/eidbridge/eidbridge/desktop/journal"
	"github.com/eidbridge/eidbridge/desktop/prompt"
)

// dataDir returns the folder of journal and pairings and makes it if need be (XDG
// Base Directory Specification, XDG_DATA_HOME).
func (p *program) dataDir() (string, error) {
	dir := p.Data
	if dir == "" {
		base := os.Getenv("XDG_DATA_HOME")
		if !filepath.IsAbs(base) {
			home, err := os.UserHomeDir()
			if err != nil {
				return "", fmt.Errorf("%w: %w", errNoData, err)
			}
			base = filepath.Join(home, ".local", "share")
		}
		dir = filepath.Join(base, "eidbridge")
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", fmt.Errorf("data folder: %w", err)
	}
	return dir, nil
}

// service makes the desktop service of a command. The returned function closes
// what it opened.
func (p *program) service(source cardreader.Source, prompter desktop.Prompter, allowActive bool, log *slog.Logger) (*desktop.Service, string, func(), error) {
	dir, err := p.dataDir()
	if err != nil {
		return nil, "", nil, err
	}
	j, err := journal.Open(filepath.Join(dir, "journal.jsonl"))
	if err != nil {
		return nil, "", nil, err
	}
	s, err := desktop.New(desktop.Config{
		Cards: source, Prompter: prompter, Journal: j,
		Now: time.Now, Random: rand.Reader, Log: log, AllowActive: allowActive,
	})
	if err != nil {
		return nil, "", nil, errors.Join(err, j.Close())
	}
	return s, dir, func() { _ = j.Close() }, nil
}

// asking are the options that say how to ask for the PIN.
type asking struct {
	Pinentry string `placeholder:"PROGRAM" help:"Ask with this pinentry program."`
	Lang     string `placeholder:"TAG" help:"Language of the questions: es, et, nl, en (default: the desktop's)."`

	// terminal asks there although there are windows: for lists that are too long
	// for them.
	terminal bool
}

// pinentry asks in windows, or on the terminal with a pinentry for it.
func (a asking) pinentry(texts *prompt.Texts) (*prompt.Pinentry, error) {
	path, err := prompt.Find(a.Pinentry, os.Getenv)
	if err != nil {
		return nil, err
	}
	return &prompt.Pinentry{
		Program: path, Texts: texts, Terminal: terminalName(), Getenv: os.Getenv, Now: time.Now,
	}, nil
}

// prompter is the way for a command in a terminal: a named pinentry, else one with
// windows where there is a desktop, else the terminal itself.
func (a asking) prompter(texts *prompt.Texts) (desktop.Prompter, error) {
	desktopRuns := os.Getenv("DISPLAY") != "" || os.Getenv("WAYLAND_DISPLAY") != ""
	if a.Pinentry != "" {
		return a.pinentry(texts)
	}
	if desktopRuns && !a.terminal && os.Getenv("SSH_CONNECTION") == "" {
		if p, err := a.pinentry(texts); err == nil {
			return p, nil
		}
	}
	return prompt.Terminal{Path: prompt.DefaultTerminal, Texts: texts}, nil
}

// terminalName finds a terminal for pinentry's ttyname: the device behind the
// standard streams, else the one that GPG_TTY names, else the controlling one;
// empty where there is none.
func terminalName() string {
	for _, f := range []*os.File{os.Stdin, os.Stderr, os.Stdout} {
		info, err := f.Stat()
		if err != nil || info.Mode()&os.ModeCharDevice == 0 {
			continue
		}
		name, err := os.Readlink(fmt.Sprintf("/proc/self/fd/%d", f.Fd()))
		if err == nil && filepath.IsAbs(name) && name != os.DevNull {
			return name
		}
	}
	if name := os.Getenv("GPG_TTY"); filepath.IsAbs(name) {
		return name
	}
	f, err := os.OpenFile(prompt.DefaultTerminal, os.O_RDWR, 0)
	if err != nil {
		return ""
	}
	f.Close()
	return prompt.DefaultTerminal
}

// entering are asking, or entries from a descriptor in place of questions.
type entering struct {
	PINFD int `name:"pin-fd" placeholder:"N" default:"-1" help:"Read what would be asked (PINs, a password) from this file descriptor, one line an entry."`
	asking
}

// questions asks in the way the options say.
func (e *entering) questions() *questions {
	return &questions{prompter: sync.OnceValues(e.way), locale: e.Lang}
}

// way chooses how to ask.
func (e *entering) way() (desktop.Prompter, error) {
	if e.PINFD >= 0 {
		f, err := entryFile(e.PINFD, "--pin-fd")
		if err != nil {
			return nil, err
		}
		return prompt.File{Reader: f}, nil
	}
	texts, err := newTexts()
	if err != nil {
		return nil, err
	}
	return e.prompter(texts)
}

// entryFile wraps the descriptor of an option.
func entryFile(fd int, option string) (io.ReadCloser, error) {
	f := os.NewFile(uintptr(fd), option)
	if f == nil {
		return nil, &problem{exit: exitUsage, message: fmt.Sprintf("descriptor %d cannot be used", fd)}
	}
	if _, err := f.Stat(); err != nil {
		return nil, &problem{exit: exitUsage, message: fmt.Sprintf("descriptor %d of %s is not open", fd, option), hints: []string{
			"Example: eidagent sign " + option + " 3 FILE.pdf 3<entry.txt",
		}}
	}
	return f, nil
}
