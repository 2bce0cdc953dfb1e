package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"unicode"

	"github.com/eidbridge/eidbridge/signing/outfile"
)

// Bounds of a phrase, in characters. The longest is what prompts show of it.
const (
	minPhrase = 6
	maxPhrase = 28
)

// phraseFile is where the phrase is (XDG Base Directory Specification,
// XDG_CONFIG_HOME); empty where there is no such place.
func phraseFile(getenv func(string) string) string {
	base := getenv("XDG_CONFIG_HOME")
	if !filepath.IsAbs(base) {
		home := getenv("HOME")
		if !filepath.IsAbs(home) {
			return ""
		}
		base = filepath.Join(home, ".config")
	}
	return filepath.Join(base, "eidbridge", "phrase")
}

// readPhrase gives the phrase, empty where none was chosen.
func readPhrase(getenv func(string) string) (string, error) {
	path := phraseFile(getenv)
	if path == "" {
		return "", nil
	}
	file, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("your phrase: %w", err)
	}
	defer file.Close()
	text, err := io.ReadAll(io.LimitReader(file, 4*maxPhrase))
	return strings.TrimSpace(string(text)), err
}

// phraseCommand chooses the words by which a person knows the agent's own windows
// (threats C-49).
type phraseCommand struct {
	Clear bool `help:"Forget the phrase."`
}

// Run reads one line from standard input: an argument would be seen by every user
// of the computer.
func (c *phraseCommand) Run(p *program) error {
	path := phraseFile(os.Getenv)
	if path == "" {
		return errNoData
	}
	if c.Clear {
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		_, err := fmt.Fprintln(p.stdout, "Questions show no phrase.")
		return err
	}
	fmt.Fprint(p.stderr, "Type a few words that nobody would guess, and Enter: ")
	line, err := bufio.NewReader(io.LimitReader(os.Stdin, 4*maxPhrase+2)).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	phrase := strings.TrimSpace(line)
	length := len([]rune(phrase))
	printable := !strings.ContainsFunc(phrase, func(r rune) bool { return !unicode.IsPrint(r) })
	if length < minPhrase || length > maxPhrase || !printable {
		return &problem{exit: exitUsage, message: fmt.Sprintf("a phrase has %d to %d printable characters", minPhrase, maxPhrase)}
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	if err := outfile.Replace(path, []byte(phrase+"\n"), 0o600); err != nil {
		return err
	}
	_, err = fmt.Fprintln(p.stdout, "Every question of the agent's shows your phrase from now on. A window without it is not the agent's.")
	return err
}
