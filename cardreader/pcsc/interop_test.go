//go:build cgo && interop

package pcsc_test

import "testing"

// The number of signatures that the project promises.
func TestInteropTwoProgramsShareACardForAThousandSignatures(t *testing.T) { shareTheCard(t, 1000) }
