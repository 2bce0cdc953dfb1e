// Package pcsc reaches readers through PC/SC: pcscd on Linux and BSD, the
// system's own service on macOS and Windows. It follows the PC/SC workgroup's
// specification part 5 as pcsc-lite implements it, and adds what the interface
// lacks: deadlines, answers that are checked, errors that mean something.
//
// None of the underlying calls can be interrupted, and two of them wait for
// another program without limit. Each therefore runs in a goroutine of its own
// with a recover at its border; past the deadline it is left to finish by
// itself and to clean up behind it. At most maxAbandoned may be in that state.
//
// Every listing and every connection has a context of its own, so a service
// that was restarted is found again by the next request.
//
// Without cgo (except on Windows) the package compiles to a service that is
// never there. Left out: PIN pads, reader groups, and extended APDUs under T=0.
package pcsc
