//go:build cgo

package pkcs11

import "golang.org/x/sys/unix"

// limitMemory keeps a module that asks for absurd buffers from taking the whole
// computer: allocating then fails and ends this process.
func limitMemory() error {
	return unix.Setrlimit(unix.RLIMIT_DATA, &unix.Rlimit{Cur: maxMemory, Max: maxMemory})
}
