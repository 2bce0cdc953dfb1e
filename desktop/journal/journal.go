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
	"sync"

	"github.com/eidbridge/eidbridge/desktop"
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
	f, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open journal: %w", err)
	}
	// An older file may have been made with other rights.
	if err := f.Chmod(0o600); err != nil {
		f.Close()
		return nil, fmt.Errorf("open journal: %w", err)
	}
	return &File{file: f}, nil
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
