package capacity

import "io/fs"

// GroupMemory is the memory of the control group.
func GroupMemory(system fs.FS) int64 { return groupMemory(system) }
