package batch

import (
	"bufio"
	"bytes"
	json "encoding/json/v2"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/eidbridge/eidbridge/signing"
	"github.com/eidbridge/eidbridge/signing/outfile"
)

// Record is one signed document of a manifest.
type Record struct {
	// Item has the paths; in the file they are relative to the manifest.
	Item
	// SourceSHA256 and SHA256 are of the document before and after, in lower-case
	// hex.
	SourceSHA256 string
	SHA256       string
	// Baseline is the level that was reached; Shortfall says why it is not the one
	// asked for.
	Baseline  signing.Baseline
	Shortfall string
	Time      time.Time
}

// line is a Record as it is written.
type line struct {
	File         string           `json:"file"`
	Output       string           `json:"output"`
	SourceSHA256 string           `json:"source_sha256"`
	SHA256       string           `json:"sha256"`
	Baseline     signing.Baseline `json:"baseline"`
	Shortfall    string           `json:"shortfall,omitempty"`
	Time         time.Time        `json:"time"`
}

// ManifestName is what the manifest of a batch is called, in the folder of its
// outputs.
const ManifestName = "eidagent-batch.jsonl"

// maxManifest bounds what is read, in bytes: Max documents with long names.
const maxManifest = 64 << 20

// ErrInUse is a manifest that another program has open, which may be signing the same
// documents.
var ErrInUse = errors.New("another program is using it")

// Manifest remembers what is signed: one JSON object a line, appended and made
// durable before the outputs get their names, so that none is there without a line. A
// line counts as long as input and output have its digests: none does whose output
// never came to be, or was replaced. A line that was cut off when the computer
// stopped is passed over.
type Manifest struct {
	dir     string
	file    *os.File
	records map[string][]Record // by input
	cut     bool                // the last line is
}

// OpenManifest opens or makes a manifest, which is for one program at a time:
// ErrInUse.
func OpenManifest(name string) (*Manifest, error) {
	absolute, err := filepath.Abs(name)
	if err != nil {
		return nil, err
	}
	m := &Manifest{dir: filepath.Dir(absolute), records: make(map[string][]Record)}
	info, err := os.Lstat(name)
	if err == nil && !info.Mode().IsRegular() {
		return nil, &fs.PathError{Op: "open", Path: name, Err: errors.New("not a regular file")}
	}
	if m.file, err = os.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_APPEND, 0o600); err != nil {
		return nil, err
	}
	if !outfile.Claim(m.file) {
		err = ErrInUse
	} else if info == nil { // its lines are durable only if its name is
		err = outfile.SyncFolder(m.dir)
	}
	if err == nil {
		err = m.read()
	}
	if err != nil {
		m.file.Close()
		return nil, fmt.Errorf("manifest %s: %w", name, err)
	}
	return m, nil
}

func (m *Manifest) read() error {
	data, err := io.ReadAll(io.LimitReader(m.file, maxManifest+1))
	if err != nil {
		return err
	}
	if len(data) > maxManifest {
		return fmt.Errorf("larger than %d MiB", maxManifest>>20)
	}
	m.cut = len(data) > 0 && data[len(data)-1] != '\n'
	lines := bufio.NewScanner(bytes.NewReader(data))
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var l line
		if json.Unmarshal(lines.Bytes(), &l) != nil || l.File == "" || l.Output == "" {
			continue
		}
		r := Record{
			Item:         Item{In: m.absolute(l.File), Out: m.absolute(l.Output)},
			SourceSHA256: l.SourceSHA256, SHA256: l.SHA256, Baseline: l.Baseline, Shortfall: l.Shortfall, Time: l.Time,
		}
		m.records[r.In] = append(m.records[r.In], r)
	}
	return lines.Err()
}

func (m *Manifest) absolute(name string) string {
	if filepath.IsAbs(name) {
		return filepath.Clean(name)
	}
	return filepath.Join(m.dir, filepath.FromSlash(name))
}

func (m *Manifest) relative(name string) string {
	absolute, err := filepath.Abs(name)
	if err != nil {
		return name
	}
	if short, err := filepath.Rel(m.dir, absolute); err == nil {
		return filepath.ToSlash(short)
	}
	return absolute
}

// Done tells whether an item is signed: the manifest has it, and both files are still
// the ones that it was written for. What was signed was checked before it was
// written down.
func (m *Manifest) Done(item Item) (Record, bool) {
	in, err1 := filepath.Abs(item.In)
	out, err2 := filepath.Abs(item.Out)
	if err1 != nil || err2 != nil || len(m.records[in]) == 0 {
		return Record{}, false
	}
	source, err1 := Digest(in)
	signed, err2 := Digest(out)
	for _, r := range m.records[in] {
		if err1 == nil && err2 == nil && r.Out == out && source == r.SourceSHA256 && signed == r.SHA256 {
			r.Item = item
			return r, true
		}
	}
	return Record{}, false
}

// Append writes records down, whose outputs are durable and about to get their names,
// and waits for the disk once for all of them.
func (m *Manifest) Append(records ...Record) error {
	if len(records) == 0 {
		return nil
	}
	var lines []byte
	if m.cut { // what follows must not become part of that line
		lines = append(lines, '\n')
	}
	for _, r := range records {
		data, err := json.Marshal(line{
			File: m.relative(r.In), Output: m.relative(r.Out), SourceSHA256: r.SourceSHA256, SHA256: r.SHA256,
			Baseline: r.Baseline, Shortfall: r.Shortfall, Time: r.Time,
		}, json.Deterministic(true))
		if err != nil {
			return err
		}
		lines = append(append(lines, data...), '\n')
	}
	if n, err := m.file.Write(lines); err != nil {
		m.cut = m.cut || n > 0
		return err
	}
	m.cut = false
	return m.file.Sync()
}

// Close closes the file.
func (m *Manifest) Close() error { return m.file.Close() }
