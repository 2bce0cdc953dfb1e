package main

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// surroundings are what a process runs in.
type surroundings struct {
	uid int
	// program and data are the modes of the executable with its folder, and of the
	// folder of database and keys; zero is not known.
	program, folder, data fs.FileMode
	// cores says that core dumps may be written.
	cores bool
}

// look finds out about this process.
func look(data directory) surroundings {
	s := surroundings{uid: os.Getuid(), cores: coresAllowed()}
	if path, err := os.Executable(); err == nil {
		if info, err := os.Stat(path); err == nil {
			s.program = info.Mode().Perm()
		}
		if info, err := os.Stat(filepath.Dir(path)); err == nil {
			s.folder = info.Mode()
		}
	}
	if info, err := os.Stat(string(data)); err == nil {
		s.data = info.Mode().Perm()
	}
	return s
}

// doubts are what an operator had better change; the unit file beside this program
// does all of it.
func (s surroundings) doubts() []string {
	const others = 0o022 // write bits of group and others
	var list []string
	if s.uid == 0 {
		list = append(list, "it runs as root; give it a user of its own")
	}
	if s.program&others != 0 || s.folder&others != 0 && s.folder&fs.ModeSticky == 0 {
		list = append(list, "others may replace the program: its file or folder is writable for them")
	}
	if s.data&0o007 != 0 {
		list = append(list, fmt.Sprintf("others may enter the folder of database and keys: its mode is %o", s.data))
	}
	if s.cores {
		list = append(list, "core dumps could not be turned off; they would have keys in them")
	}
	return list
}
