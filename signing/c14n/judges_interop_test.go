//go:build interop

package c14n_test

import "testing"

func TestInteropWriteEqualsXmllint(t *testing.T) {
	compareWithXmllint(t, 5000)
}

func TestInteropWriteEqualsXmlsec(t *testing.T) {
	compareWithXmlsec(t, 80)
}

func TestInteropReaderRefusesWhatXmllintRefuses(t *testing.T) {
	compareVerdicts(t, 5000)
}
