//go:build !unix

package outfile

// syncDir does nothing where a directory cannot be opened for syncing.
func syncDir(string) error { return nil }
