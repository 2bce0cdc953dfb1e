// Package ballast keeps a broker from collecting garbage all the time. What lives
// between two requests is a megabyte or two, and the collector, which waits for the
// heap to double, would run some twenty times a second under load.
package ballast

import "runtime"

// weight is in bytes. It is address space that nobody touches, so no memory is
// behind it; what it costs is as much garbage as it weighs.
const weight = 6 << 20

// Load puts the ballast into the heap, until the returned function is called. A
// large heap it changes little, unlike a setting of GOGC.
func Load() (drop func()) {
	b := make([]byte, weight)
	return func() { runtime.KeepAlive(b) }
}
