package pades_test

import (
	"bytes"
	"crypto"
	"crypto/sha256"
	"os"
	"strconv"
	"testing"

	"github.com/eidbridge/eidbridge/fixtures/pdfs"
	"github.com/eidbridge/eidbridge/signing/outfile"
	"github.com/eidbridge/eidbridge/signing/pades"
)

// limitOfHeld is up to which size SignFile holds a document in memory, in bytes.
const limitOfHeld = 4 << 20

// documentOf is a document of exactly so many bytes that do not repeat.
func documentOf(t testing.TB, size int) []byte {
	t.Helper()
	around := len(pdfs.Noise(size)) - size // the rest of the file, some digits more or less
	file := pdfs.Noise(size - around - 16)
	if len(file) > size || len(file) < size-64 {
		t.Fatalf("a document of %d bytes, not %d", len(file), size)
	}
	return append(file, bytes.Repeat([]byte("\n"), size-len(file))...)
}

// TestSignFileMakesWhatSignMakes: whether a document is streamed, held in memory or
// copied in pieces, and in whose memory, makes no difference to a byte of the output.
// The signatures of RSA by PKCS #1 v1.5 are the same each time.
func TestSignFileMakesWhatSignMakes(t *testing.T) {
	cred := sharedCA().issue(t, sharedRSA(), nil)
	var memory outfile.Memory // used again by the next document, of another size
	for _, size := range []int{1 << 10, 64<<10 - 1, 64 << 10, 64<<10 + 1, 1 << 20, limitOfHeld - 1, limitOfHeld, limitOfHeld + 1, 5 << 20} {
		file := documentOf(t, size)
		shown := sha256.Sum256(file)
		for _, digest := range []crypto.Hash{crypto.SHA256, crypto.SHA384, crypto.SHA512} {
			options := pades.Options{SigningTime: signedAt, Digest: digest}
			want, streamed := sign(t, file, cred, options)
			t.Run(strconv.Itoa(size)+" "+digest.String(), func(t *testing.T) {
				d := newDesk(t, file)
				options.Memory, options.SourceSHA256 = &memory, &shown
				result, err := pades.SignFile(t.Context(), d.in, d.out, cred, options)
				if err != nil {
					t.Fatal(err)
				}
				got, err := os.ReadFile(d.out)
				if err != nil || !bytes.Equal(got, want) {
					t.Errorf("another output of %d bytes, not %d (%v)", len(got), len(want), err)
				}
				streamed.SourceSHA256, streamed.SHA256 = shown, sha256.Sum256(want)
				if *result != *streamed {
					t.Errorf("result %+v, want %+v", result, streamed)
				}
			})
		}
	}
}
