package main

import (
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/eidbridge/eidbridge/signing/pades"
)

type scanCommand struct {
	File string `arg:"" help:"The PDF to look through."`
	JSON bool   `name:"json" help:"Print the findings as JSON."`
	unlocking
	asking
}

// scanReport is the JSON of this command.
type scanReport struct {
	File string `json:"file"`
	*pades.Scan
}

// Run names what a document does or hides. It judges nothing: findings are no
// failure.
func (c *scanCommand) Run(p *program) error {
	open := c.passwords(c.manager)
	defer open.wipe()
	password, err := open.of(p.ctx, c.File)
	if err != nil {
		return err
	}
	f, err := os.Open(c.File)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	scan, err := pades.ScanDocument(p.ctx, f, info.Size(), password)
	if err != nil {
		return err
	}
	if c.JSON {
		return p.printJSON(scanReport{File: c.File, Scan: scan})
	}
	return writeScan(p.stdout, scan)
}

func writeScan(w io.Writer, s *pades.Scan) error {
	var b strings.Builder
	if len(s.Findings) == 0 {
		b.WriteString("Nothing in the document acts by itself or is hidden.\n")
	}
	for _, f := range s.Findings {
		mark := " "
		if f.Active {
			mark = "!"
		}
		fmt.Fprintf(&b, "%s %-18s %s", mark, f.Kind, f.Text)
		if len(f.Names) > 0 {
			fmt.Fprintf(&b, ": %q", f.Names)
		}
		if len(f.Pages) > 0 {
			fmt.Fprintf(&b, " (pages %s)", strings.Trim(fmt.Sprint(f.Pages), "[]"))
		}
		b.WriteByte('\n')
	}
	if !s.Complete {
		b.WriteString("The document is too large to be looked through completely.\n")
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// tellActive says what the document does by itself, for those who saw no question.
func (p *program) tellActive(s *pades.Scan) {
	if s == nil {
		return
	}
	for _, f := range s.Active() {
		fmt.Fprintf(p.stderr, "eidagent: the document has %s\n", f.Text)
	}
}
