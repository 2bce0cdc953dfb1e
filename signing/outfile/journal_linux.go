package outfile

import (
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// ordered tells whether the file system of a file keeps a journal that never has a name
// before the pages that were waited for when it was given: the package comment says
// why these do. What cannot be found out is no.
func ordered(f *os.File) bool {
	raw, err := f.SyscallConn()
	if err != nil {
		return false
	}
	yes := false
	err = raw.Control(func(fd uintptr) {
		var system unix.Statfs_t
		if unix.Fstatfs(int(fd), &system) != nil {
			return
		}
		switch system.Type {
		case unix.XFS_SUPER_MAGIC:
			yes = true
		case unix.EXT4_SUPER_MAGIC:
			var file unix.Stat_t
			yes = unix.Fstat(int(fd), &file) == nil && orderedExt4(unix.Major(file.Dev), unix.Minor(file.Dev))
		}
	})
	return err == nil && yes
}

// orderedExt4 asks how an ext4 on a device is mounted. One that was made without a
// journal, and ext2 and ext3, have the same magic number.
func orderedExt4(major, minor uint32) bool {
	device, err := os.Readlink("/sys/dev/block/" + strconv.Itoa(int(major)) + ":" + strconv.Itoa(int(minor)))
	if err != nil {
		return false
	}
	text, err := os.ReadFile(filepath.Join("/proc/fs/ext4", filepath.Base(device), "options"))
	if err != nil {
		return false
	}
	options := strings.Split(string(text), "\n")
	return slices.Contains(options, "barrier") && (slices.Contains(options, "data=ordered") || slices.Contains(options, "data=journal"))
}
