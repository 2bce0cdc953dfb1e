//go:build unix && cgo

package pcsc

// pinned makes the name that the binding keeps a C string under differ by role:
// it stores the string in a map by name, and a parallel call for the same reader
// would free the one that C still reads. C stops at the zero byte.
func pinned(reader, role string) string { return reader + "\x00" + role }
