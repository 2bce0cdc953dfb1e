//go:build cgo

package host

import (
	"bytes"
	"fmt"
	"os"

	"github.com/eidbridge/eidbridge/brokers/hsm/internal/wire"
)

// maxPIN bounds a PIN, in bytes.
const maxPIN = 256

// readPIN reads a PIN that nobody else may read. The caller clears it.
func readPIN(path string, credential bool) ([]byte, *wire.Failure) {
	refuse := func(format string, args ...any) ([]byte, *wire.Failure) {
		return nil, &wire.Failure{Kind: wire.PINFile, Detail: fmt.Sprintf(format, args...)}
	}
	file, err := os.Open(path)
	if err != nil {
		return refuse("%v", err)
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return refuse("%v", err)
	}
	others := os.FileMode(0o077)
	if credential {
		others = 0o007
	}
	switch {
	case !info.Mode().IsRegular():
		return refuse("%s is not a regular file", path)
	case info.Mode().Perm()&others != 0:
		return refuse("%s can be read by others (mode %04o); chmod 600 it", path, info.Mode().Perm())
	case info.Size() > maxPIN+2:
		return refuse("%s is longer than a PIN", path)
	}
	buffer := make([]byte, maxPIN+3)
	n := 0
	for n < len(buffer) {
		more, err := file.Read(buffer[n:])
		n += more
		if err != nil || more == 0 { // the end; a PIN that was cut short is seen as empty or refused as too long
			break
		}
	}
	pin := bytes.TrimRight(buffer[:n], "\r\n")
	if len(pin) == 0 || len(pin) > maxPIN {
		clear(buffer)
		return refuse("%s has no PIN of 1 to %d bytes", path, maxPIN)
	}
	return pin, nil
}
