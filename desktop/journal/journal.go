// Package journal keeps the agent's journal in a file: one JSON object a line,
// only ever appended to, readable by its owner alone.
//
// What a line holds is desktop.Entry's business. Retention, export and a chain of
// hashes are left to later versions.
package journal

import (
	json "encoding/json/v2"
	"fmt"
	"os"
	"path/filepath"
	"sync"

	"github.com/eidbridge/eidbridge/desktop"
	"github.com/eidbridge/eidbridge/signing/outfile"
)

// File is a journal on disk. It is safe for use by several goroutines, and by
// several processes as far as appending a short line is atomic (POSIX O_APPEND).
type File struct {
	mu   sync.Mutex
	file *os.File
}

// Open opens or creates the file with mode 0600. Open fails where a journal could
// not be written, so that this is known before the first request.
func Open(path string) (*File, error) {
	f, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open journal: %w", err)
	}
	// An older file may have been made with other rights.
	err = f.Chmod(0o600)
	if err == nil {
		err = endLine(f)
	}
	if err == nil { // lines are durable only if the name is
		err = outfile.SyncFolder(filepath.Dir(path))
	}
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("open journal: %w", err)
	}
	return &File{file: f}, nil
}

// endLine ends a line that a loss of power cut off, so that the next one is not part of
// it.
func endLine(f *os.File) error {
	info, err := f.Stat()
	if err != nil || info.Size() == 0 {
		return err
	}
	var last [1]byte
	if _, err := f.ReadAt(last[:], info.Size()-1); err != nil || last[0] == '\n' {
		return err
	}
	_, err = f.WriteString("\n")
	return err
}

// Append writes one line and syncs it.
func (j *File) Append(e desktop.Entry) error {
	line, err := json.Marshal(e, json.Deterministic(true))
	if err != nil {
		return fmt.Errorf("journal entry: %w", err)
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	// One write, so that lines of two processes do not mix.
	if _, err := j.file.Write(append(line, '\n')); err != nil {
		return fmt.Errorf("append to journal: %w", err)
	}
	if err := j.file.Sync(); err != nil {
		return fmt.Errorf("append to journal: %w", err)
	}
	return nil
}

// Close closes the file.
func (j *File) Close() error { return j.file.Close() }
