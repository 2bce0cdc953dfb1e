package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/eidbridge/eidbridge/desktop"
	"github.com/eidbridge/eidbridge/signing/pdf"
)

// unlocking are the options for encrypted documents. There is none that takes the
// password itself: arguments are seen by every user of a computer, and kept in the
// history of a shell.
type unlocking struct {
	PasswordFD int `name:"password-fd" placeholder:"N" default:"-1" help:"Read the password of encrypted PDFs from this file descriptor, one line (default: ask)."`
}

// manager asks in the way that the options say.
func (a asking) manager() (desktop.Manager, error) {
	texts, err := newTexts()
	if err != nil {
		return desktop.Manager{}, err
	}
	prompter, err := a.prompter(texts)
	return desktop.Manager{Prompter: prompter, Locale: a.Lang}, err
}

// passwords opens documents. It asks once and tries the same password for the next
// document first.
type passwords struct {
	options unlocking
	ask     func() (desktop.Manager, error)
	known   []byte   // the last one
	held    [][]byte // all
	read    bool     // the descriptor; entry and failed are what it gave
	used    bool     // entry, for a document
	entry   []byte
	failed  error
}

func (u unlocking) passwords(ask func() (desktop.Manager, error)) *passwords {
	return &passwords{options: u, ask: ask}
}

// wipe overwrites what is known, when no document needs it any longer.
func (p *passwords) wipe() {
	for _, b := range p.held {
		clear(b)
	}
}

// of returns the password that opens a file, nil for one that opens without. What is
// no PDF has none; what is wrong with it is said later and better. A file that opens
// without, and then allows nobody to sign, may allow it to its owner: the password of the
// descriptor is the owner's if it opens the file, too.
func (p *passwords) of(ctx context.Context, name string) ([]byte, error) {
	if locked, closed := look(ctx, name, nil); !locked {
		if !closed || p.options.PasswordFD < 0 {
			return nil, nil
		}
		if owner, err := p.given(); err == nil && opens(ctx, name, owner) {
			return owner, nil
		}
		return nil, nil
	}
	if p.known != nil && opens(ctx, name, p.known) {
		return p.known, nil
	}
	entered, err := p.next(ctx, name)
	if err != nil {
		return nil, err
	}
	if !opens(ctx, name, entered) {
		clear(entered)
		return nil, &problem{exit: exitDocument, message: fmt.Sprintf("%s does not open with this password", filepath.Base(name)), hints: []string{
			"Run the command again; a document counts no tries. Documents that are encrypted for certificates cannot be opened.",
		}}
	}
	p.known, p.held = entered, append(p.held, entered)
	return p.known, nil
}

// maxPassword is what a PDF password can have, in bytes (ISO 32000-2 7.6.4.3.3).
const maxPassword = 127

// next takes one entry, from the descriptor or a person.
func (p *passwords) next(ctx context.Context, name string) ([]byte, error) {
	if p.options.PasswordFD >= 0 {
		if p.used {
			return nil, &problem{exit: exitDocument, message: fmt.Sprintf("%s has another password than the document before it", filepath.Base(name)), hints: []string{
				"Sign documents with different passwords one by one, or without --password-fd.",
			}}
		}
		p.used = true
		return p.given()
	}
	manager, err := p.ask()
	if err != nil {
		return nil, err
	}
	secret, err := manager.DocumentPassword(ctx, filepath.Base(name))
	if errors.Is(err, desktop.ErrNoPrompt) {
		return nil, explainPDF(pdf.ErrEncrypted) // in a batch, of this document alone
	}
	if err != nil {
		return nil, err
	}
	defer secret.Wipe()
	var entered []byte
	err = secret.Use(func(b []byte) error { entered = append(entered, b...); return nil })
	return entered, err
}

// given is what the descriptor holds. It is read once.
func (p *passwords) given() ([]byte, error) {
	if p.read {
		return p.entry, p.failed
	}
	p.read = true
	f, err := entryFile(p.options.PasswordFD, "--password-fd")
	if err != nil {
		p.failed = err
		return nil, err
	}
	defer f.Close()
	p.entry, p.failed = readEntry(f)
	p.held = append(p.held, p.entry)
	return p.entry, p.failed
}

// readEntry reads one line byte by byte, since what follows may be for somebody else.
func readEntry(r io.Reader) ([]byte, error) {
	line := make([]byte, 0, maxPassword+2)
	for len(line) < cap(line) {
		n, err := r.Read(line[len(line) : len(line)+1])
		line = line[:len(line)+n]
		if n == 1 && line[len(line)-1] == '\n' || errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			clear(line)
			return nil, err
		}
	}
	entry := bytes.TrimSuffix(bytes.TrimSuffix(line, []byte("\n")), []byte("\r"))
	if len(entry) == 0 || len(entry) > maxPassword {
		clear(line)
		return nil, &problem{exit: exitUsage, message: "the file descriptor holds no password"}
	}
	return entry, nil
}

// opens tells whether a file is not locked with a password.
func opens(ctx context.Context, name string, password []byte) bool {
	locked, _ := look(ctx, name, password)
	return !locked
}

// look tells whether a file is locked to this password, and whether it is closed to
// signatures by those who have no other.
func look(ctx context.Context, name string, password []byte) (locked, closed bool) {
	f, err := os.Open(name)
	if err != nil {
		return false, false
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return false, false
	}
	doc, err := pdf.OpenProtected(ctx, f, info.Size(), pdf.Limits{}, password)
	if err != nil {
		return false, false
	}
	return doc.Locked(), !doc.Permits(pdf.PermitModify | pdf.PermitAnnotate | pdf.PermitFill)
}
