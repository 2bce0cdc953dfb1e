//go:build !unix

package host

func withoutCore() error { return nil }
