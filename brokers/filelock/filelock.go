// Package filelock keeps a second process away from a file. The kernel lets go of a
// lock at the death of its holder, so none is ever left behind.
package filelock

import "errors"

// ErrHeld is a file that another process holds.
var ErrHeld = errors.New("another process holds it")
