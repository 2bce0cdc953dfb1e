package capacity

import (
	"bytes"
	"io/fs"
	"math"
	"os"
	"path"
	"runtime/debug"
	"strconv"
	"strings"
)

// LimitMemory has the garbage collector keep the process within the memory of its control
// group, of which the heap gets three quarters: the rest is for what the collector does
// not see, such as SQLite's caches. It gives the bytes of the heap, 0 if there is no limit
// or GOMEMLIMIT has said one.
func LimitMemory() int64 {
	if os.Getenv("GOMEMLIMIT") != "" {
		return 0
	}
	limit := groupMemory(os.DirFS("/"))
	if limit == 0 {
		return 0
	}
	heap := limit / 4 * 3
	debug.SetMemoryLimit(heap)
	return heap
}

// groupMemory is the memory of the control group that this process is in, and of those
// around it, in bytes; 0 is no limit.
//
// Source: cgroups(7); Linux, admin-guide/cgroup-v2.rst and cgroup-v1/memory.rst.
func groupMemory(system fs.FS) int64 {
	groups, err := fs.ReadFile(system, "proc/self/cgroup")
	if err != nil {
		return 0
	}
	least := int64(math.MaxInt64)
	for line := range bytes.Lines(groups) { // number:controllers:path
		part := strings.SplitN(strings.TrimSpace(string(line)), ":", 3)
		if len(part) != 3 {
			continue
		}
		root, name := "sys/fs/cgroup", "memory.max"
		switch {
		case part[1] == "memory":
			root, name = "sys/fs/cgroup/memory", "memory.limit_in_bytes"
		case part[0] != "0" || part[1] != "":
			continue
		}
		// In a container the path may be that of the host, of which only the root is
		// there.
		for dir := path.Clean("/" + part[2]); ; dir = path.Dir(dir) {
			if n := number(system, path.Join(root, dir, name)); n > 0 {
				least = min(least, n)
			}
			if dir == "/" {
				break
			}
		}
	}
	const unlimited = 1 << 60 // the first version has a very large number for no limit
	if least >= unlimited {
		return 0
	}
	return least
}

// number reads a file with a number, 0 for any other word.
func number(system fs.FS, name string) int64 {
	text, err := fs.ReadFile(system, name)
	if err != nil {
		return 0
	}
	n, err := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64)
	if err != nil {
		return 0
	}
	return n
}
