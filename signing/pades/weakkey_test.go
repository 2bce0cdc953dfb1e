package pades_test

import (
	"crypto/rand"
	"testing"

	"github.com/eidbridge/eidbridge/fixtures/pdfs"
	"github.com/eidbridge/eidbridge/signing/pades"
	"github.com/eidbridge/eidbridge/signing/weakkey/weakkeytest"
)

// C-36: whatever such a key signed, anybody could have.
func TestVerifyTrustsNoKeyThatCanBeComputed(t *testing.T) {
	key, err := weakkeytest.Key(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	signed, _ := sign(t, pdfs.Classic(), sharedCA().issue(t, key, nil), pades.Options{})
	got := verify(t, signed, trusted()).Signatures[0]
	if got.Indication != pades.Indeterminate || got.SubIndication != pades.CryptoConstraintsFailure {
		t.Errorf("got %s/%s", got.Indication, got.SubIndication)
	}
}
