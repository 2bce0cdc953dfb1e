package audit

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
)

// maxTail bounds what Tail reads of a file, in bytes.
const maxTail = 4 << 20

// Tail returns the last lines of a file that are wanted, at most so many, the newest
// first. It looks at the end of the file only and checks that the lines there hang
// together; Verify checks all. A file that is not there has no lines.
func Tail(path string, most int, wanted func(*Line) bool) ([]Line, error) {
	text, begun, err := readTail(path)
	if err != nil {
		return nil, err
	}
	var found []Line
	var before chain
	for n := 0; len(text) > 0; n++ {
		one, rest, whole := bytes.Cut(text, []byte("\n"))
		if !whole {
			break // it is being written
		}
		text = rest
		if n == 0 && !begun {
			continue // half of one
		}
		line, body, value, err := parseLine(one)
		if err == nil && before != (chain{}) && value != next(before, body) {
			err = errChanged
		}
		if err != nil {
			return nil, fmt.Errorf("reading audit log: %w", err)
		}
		before = value
		if wanted(&line) {
			found = append(found, line)
		}
	}
	slices.Reverse(found)
	return found[:min(len(found), most)], nil
}

// readTail reads the end of a file, and says whether that is all of it.
func readTail(path string) (text []byte, all bool, err error) {
	file, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, true, nil
	}
	if err != nil {
		return nil, false, err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return nil, false, err
	}
	start := max(0, info.Size()-maxTail)
	text, err = io.ReadAll(io.NewSectionReader(file, start, maxTail))
	return text, start == 0, err
}
