package audit

import (
	"bufio"
	"bytes"
	"crypto/ed25519"
	"errors"
	"fmt"
	"io"
	"time"
)

// Finding is the first thing that is wrong with a log.
type Finding struct {
	// File counts the readers from 0, Row the lines of that file from 1.
	File, Row int
	// Number is the number that the line should have.
	Number  int64
	Problem string
}

func (f *Finding) Error() string {
	return fmt.Sprintf("line %d of file %d, entry %d: %s", f.Row, f.File+1, f.Number, f.Problem)
}

// Verdict says how far a log goes.
type Verdict struct {
	// Log is the name of the chain, Lines the number of its last line.
	Log   string
	Lines int64
	// Checkpoints were verified; Marked is the last line that one covers, at
	// MarkedAt. What comes after could have been cut or changed by whoever can write
	// the file.
	Checkpoints int
	Marked      int64
	MarkedAt    time.Time
}

// Verify reads the files of one chain in their order and checks every line and
// every checkpoint. Kept are checkpoints from elsewhere that the chain has to
// contain. The error is a Finding, or of reading.
func Verify(key ed25519.PublicKey, kept []string, files ...io.Reader) (Verdict, error) {
	v := &verifier{key: key, kept: map[int64][]Checkpoint{}}
	for _, compact := range kept {
		c, err := ParseCheckpoint(compact, key)
		if err != nil {
			return v.verdict, fmt.Errorf("kept checkpoint: %w", err)
		}
		v.kept[c.Lines] = append(v.kept[c.Lines], c)
		v.furthest = max(v.furthest, c.Lines)
	}
	if len(files) == 0 {
		return v.verdict, errors.New("no audit log was given")
	}
	for i, file := range files {
		v.file, v.row = i, 0
		if err := v.read(file); err != nil {
			return v.verdict, err
		}
	}
	if v.furthest > v.verdict.Lines {
		return v.verdict, v.finding(fmt.Sprintf("the log ends, but a kept checkpoint knows %d entries: its end was cut off", v.furthest))
	}
	return v.verdict, nil
}

type verifier struct {
	key       ed25519.PublicKey
	kept      map[int64][]Checkpoint
	furthest  int64
	file, row int
	value     chain
	begun     bool
	verdict   Verdict
}

func (v *verifier) finding(problem string) *Finding {
	return &Finding{File: v.file, Row: v.row, Number: v.verdict.Lines + 1, Problem: problem}
}

func (v *verifier) read(file io.Reader) error {
	reader := bufio.NewReaderSize(file, 64<<10)
	for {
		text, err := readLine(reader)
		v.row++
		if errors.Is(err, io.EOF) {
			if len(text) > 0 {
				return v.finding("half a line: the broker died while it wrote; its next start removes it")
			}
			return nil
		}
		if errors.Is(err, errLineTooLong) {
			return v.finding(err.Error())
		}
		if err != nil {
			return err
		}
		if err := v.line(bytes.TrimSuffix(text, []byte("\n"))); err != nil {
			return err
		}
	}
}

func (v *verifier) line(text []byte) error {
	l, body, value, err := parseLine(text)
	if err != nil {
		return v.finding(err.Error())
	}
	if !v.begun {
		if err := v.begin(&l); err != nil {
			return err
		}
	}
	switch {
	case l.Number != v.verdict.Lines+1:
		return v.finding(fmt.Sprintf("it says to be entry %d: entries are missing, inserted or in another order", l.Number))
	case value != next(v.value, body):
		return v.finding("its chain value is wrong: the entry was changed")
	}
	if l.Checkpoint != "" {
		if err := v.checkpoint(&l); err != nil {
			return err
		}
	}
	v.verdict.Lines, v.value = l.Number, value
	for _, c := range v.kept[l.Number] {
		if c.Log == v.verdict.Log && c.Chain != value.String() {
			return v.finding("a kept checkpoint tells of another history up to here")
		}
		if c.Log != v.verdict.Log {
			return v.finding("a kept checkpoint is of another log")
		}
	}
	return nil
}

// begin takes the first line: of a chain, or of a file that continues one.
func (v *verifier) begin(l *Line) error {
	v.begun = true
	v.verdict.Log = l.Attributes["log"]
	switch {
	case v.verdict.Log == "":
		return v.finding("the first entry does not name the log: the beginning is missing")
	case l.Number == 1:
		return nil
	}
	value, err := carried(l)
	if err != nil {
		return v.finding(err.Error())
	}
	v.value, v.verdict.Lines = value, l.Number-1
	return nil
}

func (v *verifier) checkpoint(l *Line) error {
	c, err := ParseCheckpoint(l.Checkpoint, v.key)
	switch {
	case err != nil:
		return v.finding(err.Error())
	case c.Log != v.verdict.Log || c.Lines != l.Number-1 || c.Chain != v.value.String():
		return v.finding("the checkpoint speaks of another history")
	}
	v.verdict.Checkpoints++
	v.verdict.Marked, v.verdict.MarkedAt = c.Lines, c.Time
	return nil
}
