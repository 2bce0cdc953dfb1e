//go:build !linux

package main

// harden is for the system on which a broker is served.
func harden() {}

func coresAllowed() bool { return false }
