package store

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/eidbridge/eidbridge/brokers/filelock"
)

// Alone has an SQLite database opened by one server at a time: a lock file beside it
// holds off a second one. Commands that work beside a server open it without.
func Alone() Option {
	return func(d *database) { d.alone = true }
}

// ErrServed is a database that another server has open.
var ErrServed = errors.New("another eidbroker serves this database")

// Lock takes the lock file of an SQLite database, or is ErrServed. The function lets
// go of it.
func Lock(path string) (release func() error, err error) {
	file, err := os.OpenFile(path+".lock", os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := filelock.Take(file); err != nil {
		if errors.Is(err, filelock.ErrHeld) {
			err = ErrServed
		}
		return nil, errors.Join(err, file.Close())
	}
	return file.Close, nil
}

// files are those of an open SQLite database, as they were when it was opened.
type files struct {
	path string
	was  map[string]os.FileInfo
}

func lookAt(path string) (files, error) {
	f := files{path, map[string]os.FileInfo{}}
	for _, name := range []string{path, path + "-wal"} {
		info, err := os.Stat(name)
		if err != nil {
			return f, err
		}
		f.was[name] = info
	}
	return f, nil
}

// check reports a file that is gone or another one: what is written now would be
// lost with the process.
func (f files) check() error {
	for name, was := range f.was {
		is, err := os.Stat(name)
		if errors.Is(err, fs.ErrNotExist) || err == nil && !os.SameFile(was, is) {
			return fmt.Errorf("the file %s was removed or replaced while the database is open", name)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// Check reports that the files of the database are not those any more that were
// opened (threats S-28).
func (s *SQLite) Check() error { return s.files.check() }

// Check finds nothing wrong: the server looks after its files.
func (*Postgres) Check() error { return nil }
