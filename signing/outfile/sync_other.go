//go:build !unix

package outfile

// SyncFolder does nothing where a directory cannot be opened for syncing.
func SyncFolder(string) error { return nil }
