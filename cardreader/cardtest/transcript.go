package cardtest

import (
	"bufio"
	"bytes"
	"context"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Transcript is a transport that plays a recording: commands must come as they were
// recorded, byte for byte, or the test ends. One thing may be left out and is counted:
// selecting the application that is selected.
//
// A recording has lines "> COMMAND" and "< ANSWER" by turns, both hexadecimal; lines
// that begin with "#" are comments. An answer "(N certificate bytes) 9000" is that many
// bytes of Content.
type Transcript struct {
	// Content takes the place of file content that the recording leaves out.
	Content []byte

	t      testing.TB
	lines  []string
	at     string
	spared int
}

// ReadTranscript reads a recording from testdata.
func ReadTranscript(t testing.TB, name string) *Transcript {
	t.Helper()
	file, err := os.Open(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	p := &Transcript{t: t}
	lines := bufio.NewScanner(file)
	for lines.Scan() {
		if line := strings.TrimSpace(lines.Text()); line != "" && line[0] != '#' {
			p.lines = append(p.lines, line)
		}
	}
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
	return p
}

// NewTranscript is a recording of these lines.
func NewTranscript(t testing.TB, lines ...string) *Transcript { return &Transcript{t: t, lines: lines} }

// Left is how many lines were not played.
func (p *Transcript) Left() int { return len(p.lines) }

// Spared is how many selections were left out.
func (p *Transcript) Spared() int { return p.spared }

// Last is the answer at the end of the recording, with its status word.
func (p *Transcript) Last() []byte {
	p.t.Helper()
	return p.answer(p.lines[len(p.lines)-1])
}

// Transmit implements cardreader.Transport.
func (p *Transcript) Transmit(_ context.Context, command []byte) ([]byte, error) {
	p.t.Helper()
	got := "> " + strings.ToUpper(hex.EncodeToString(command))
	for len(p.lines) >= 2 && got != p.lines[0] && p.lines[0] == p.at {
		p.lines = p.lines[2:]
		p.spared++
	}
	if len(p.lines) < 2 {
		p.t.Fatalf("command %X after the end of the recording", command)
	}
	if got != p.lines[0] {
		p.t.Fatalf("command\n%s\nrecorded is\n%s", got, p.lines[0])
	}
	if strings.HasPrefix(got, "> 00A4040C") {
		p.at = got
	}
	line := p.lines[1]
	p.lines = p.lines[2:]
	var n int
	if _, err := fmt.Sscanf(line, "< (%d certificate bytes) 9000", &n); err == nil {
		offset := int(command[2])<<8 | int(command[3])
		return append(bytes.Clone(p.Content[offset:offset+n]), 0x90, 0), nil
	}
	return p.answer(line), nil
}

func (p *Transcript) answer(line string) []byte {
	p.t.Helper()
	raw, err := hex.DecodeString(strings.ReplaceAll(strings.TrimPrefix(line, "< "), " ", ""))
	if err != nil {
		p.t.Fatalf("%q: %v", line, err)
	}
	return raw
}
