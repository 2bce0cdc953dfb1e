package pades_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/elliptic"
	"crypto/sha256"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/eidbridge/eidbridge/fixtures/pdfs"
	"github.com/eidbridge/eidbridge/signing"
	"github.com/eidbridge/eidbridge/signing/pades"
)

// desk is a folder with a document.
type desk struct {
	folder, in, out string
	data            []byte
}

func newDesk(t *testing.T, data []byte) desk {
	t.Helper()
	folder := t.TempDir()
	d := desk{folder: folder, in: filepath.Join(folder, "in.pdf"), out: filepath.Join(folder, "out.pdf"), data: data}
	if err := os.WriteFile(d.in, data, 0o640); err != nil {
		t.Fatal(err)
	}
	return d
}

// untouched demands that a failed signing left nothing behind: the source as it
// was, an earlier output as it was, and no other file.
func (d desk) untouched(t *testing.T, output []byte) {
	t.Helper()
	got, err := os.ReadFile(d.in)
	if err != nil || !bytes.Equal(got, d.data) {
		t.Errorf("the source was changed (%v)", err)
	}
	want := 1
	if output != nil {
		want = 2
		if got, err := os.ReadFile(d.out); err != nil || !bytes.Equal(got, output) {
			t.Errorf("the earlier output was changed (%v)", err)
		}
	}
	entries, err := os.ReadDir(d.folder)
	if err != nil {
		t.Fatal(err)
	}
	if len(entries) != want {
		t.Errorf("the folder holds %v", entries)
	}
}

func TestSignFileTakesPermissionsAndPlace(t *testing.T) {
	d := newDesk(t, pdfs.Contract())
	result, err := pades.SignFile(context.Background(), d.in, d.out, citizen(t), pades.Options{SigningTime: signedAt})
	if err != nil {
		t.Fatal(err)
	}
	signed, err := os.ReadFile(d.out)
	if err != nil {
		t.Fatal(err)
	}
	if got := verify(t, signed, trusted()); !got.Passed() || result.Size != int64(len(signed)) {
		t.Errorf("report: %+v", got)
	}
	info, err := os.Stat(d.out)
	if err != nil || info.Mode().Perm() != 0o640 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	d.untouched(t, signed)

	_, err = pades.SignFile(context.Background(), d.in, d.out, citizen(t), pades.Options{SigningTime: signedAt})
	if !errors.Is(err, pades.ErrExists) {
		t.Errorf("second time: %v", err)
	}
	d.untouched(t, signed)

	if _, err := pades.SignFile(context.Background(), d.in, d.out, citizen(t), pades.Options{SigningTime: signedAt, Overwrite: true}); err != nil {
		t.Errorf("overwriting: %v", err)
	}
}

// TestSignFileAndProtectedOutputs: a file that may only be read stays as it is unless
// it is to be replaced, and is then replaced as a whole (P-48).
func TestSignFileAndProtectedOutputs(t *testing.T) {
	cred := citizen(t)
	d := newDesk(t, pdfs.Classic())
	earlier := []byte("an earlier output")
	if err := os.WriteFile(d.out, earlier, 0o400); err != nil {
		t.Fatal(err)
	}
	counter := &countingSigner{Signer: cred.Signer}
	_, err := pades.SignFile(t.Context(), d.in, d.out, signing.Credential{Signer: counter, Certificate: cred.Certificate}, pades.Options{SigningTime: signedAt})
	if !errors.Is(err, pades.ErrExists) || counter.calls != 0 {
		t.Errorf("got %v after %d signatures", err, counter.calls)
	}
	d.untouched(t, earlier)
	if _, err := pades.SignFile(t.Context(), d.in, d.out, cred, pades.Options{SigningTime: signedAt, Overwrite: true}); err != nil {
		t.Fatal(err)
	}
	if signed, err := os.ReadFile(d.out); err != nil || !verify(t, signed, trusted()).Passed() {
		t.Errorf("the output is not whole: %v", err)
	}
}

// TestSignFileRefusesStrangeOutputs (P-48).
func TestSignFileRefusesStrangeOutputs(t *testing.T) {
	cred := citizen(t)
	for _, c := range []struct {
		name  string
		setup func(t *testing.T, d *desk)
	}{
		{"output is the input", func(_ *testing.T, d *desk) { d.out = d.in }},
		{"output is a symbolic link to the input", func(t *testing.T, d *desk) { link(t, d.in, d.out) }},
		{"output is a dangling symbolic link", func(t *testing.T, d *desk) { link(t, filepath.Join(d.folder, "nowhere"), d.out) }},
		{"output is a directory", func(t *testing.T, d *desk) {
			if err := os.Mkdir(d.out, 0o700); err != nil {
				t.Fatal(err)
			}
		}},
		{"output is a pipe", func(t *testing.T, d *desk) {
			if err := syscall.Mkfifo(d.out, 0o600); err != nil {
				t.Fatal(err)
			}
		}},
		{"output is a device", func(_ *testing.T, d *desk) { d.out = os.DevNull }},
		{"folder does not exist", func(_ *testing.T, d *desk) { d.out = filepath.Join(d.folder, "no", "out.pdf") }},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := newDesk(t, pdfs.Classic())
			c.setup(t, &d)
			counter := &countingSigner{Signer: cred.Signer}
			_, err := pades.SignFile(context.Background(), d.in, d.out, signing.Credential{Signer: counter, Certificate: cred.Certificate},
				pades.Options{SigningTime: signedAt, Overwrite: true})
			if !errors.Is(err, pades.ErrOutput) || counter.calls != 0 {
				t.Errorf("got %v after %d signatures", err, counter.calls)
			}
			if got, err := os.ReadFile(d.in); err != nil || !bytes.Equal(got, d.data) {
				t.Error("the source was changed")
			}
		})
	}
	t.Run("input is a directory", func(t *testing.T) {
		d := newDesk(t, nil)
		if _, err := pades.SignFile(context.Background(), d.folder, d.out, cred, pades.Options{SigningTime: signedAt}); err == nil {
			t.Error("signed a directory")
		}
	})
	t.Run("input does not exist", func(t *testing.T) {
		d := newDesk(t, nil)
		if _, err := pades.SignFile(context.Background(), d.in+"x", d.out, cred, pades.Options{}); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("got %v", err)
		}
	})
}

func link(t *testing.T, target, name string) {
	t.Helper()
	if err := os.Symlink(target, name); err != nil {
		t.Fatal(err)
	}
}

// trickySigner misbehaves in a given way.
type trickySigner struct {
	crypto.Signer
	sign func(io.Reader, []byte, crypto.SignerOpts) ([]byte, error)
}

func (s trickySigner) Sign(r io.Reader, digest []byte, o crypto.SignerOpts) ([]byte, error) {
	return s.sign(r, digest, o)
}

var errCardGone = errors.New("the card was pulled out")

// TestSignFileLeavesNothingBehind fails at every step (P-52, S-20 to S-26).
func TestSignFileLeavesNothingBehind(t *testing.T) {
	cred := citizen(t)
	ctx, cancel := context.WithCancel(context.Background())
	for _, c := range []struct {
		name string
		ctx  context.Context
		sign func(io.Reader, []byte, crypto.SignerOpts) ([]byte, error)
		want error
	}{
		{"card pulled out", context.Background(), func(io.Reader, []byte, crypto.SignerOpts) ([]byte, error) { return nil, errCardGone }, errCardGone},
		{"wrong value", context.Background(), func(r io.Reader, d []byte, o crypto.SignerOpts) ([]byte, error) {
			d[0] ^= 1
			return cred.Signer.Sign(r, d, o)
		}, pades.ErrWrongSignature},
		{"empty value", context.Background(), func(io.Reader, []byte, crypto.SignerOpts) ([]byte, error) { return nil, nil }, pades.ErrWrongSignature},
		{"over-long value", context.Background(), func(io.Reader, []byte, crypto.SignerOpts) ([]byte, error) { return make([]byte, 1<<20), nil }, pades.ErrWrongSignature},
		{"cancelled while the card signs", ctx, func(r io.Reader, d []byte, o crypto.SignerOpts) ([]byte, error) {
			cancel()
			return cred.Signer.Sign(r, d, o)
		}, context.Canceled},
		{"cancelled before", ctx, cred.Signer.Sign, context.Canceled},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := newDesk(t, pdfs.Classic())
			earlier := []byte("an earlier output")
			if err := os.WriteFile(d.out, earlier, 0o600); err != nil {
				t.Fatal(err)
			}
			_, err := pades.SignFile(c.ctx, d.in, d.out,
				signing.Credential{Signer: trickySigner{cred.Signer, c.sign}, Certificate: cred.Certificate},
				pades.Options{SigningTime: signedAt, Overwrite: true})
			if !errors.Is(err, c.want) {
				t.Errorf("got %v, want %v", err, c.want)
			}
			d.untouched(t, earlier)
		})
	}
	t.Run("output appears meanwhile", func(t *testing.T) {
		d := newDesk(t, pdfs.Classic())
		late := []byte("somebody else was faster")
		_, err := pades.SignFile(context.Background(), d.in, d.out, signing.Credential{Certificate: cred.Certificate, Signer: trickySigner{
			cred.Signer,
			func(r io.Reader, digest []byte, o crypto.SignerOpts) ([]byte, error) {
				if err := os.WriteFile(d.out, late, 0o600); err != nil {
					t.Error(err)
				}
				return cred.Signer.Sign(r, digest, o)
			},
		}}, pades.Options{SigningTime: signedAt})
		if !errors.Is(err, pades.ErrExists) {
			t.Errorf("got %v", err)
		}
		d.untouched(t, late)
	})
	t.Run("source changes while the card signs (P-49)", func(t *testing.T) {
		d := newDesk(t, pdfs.Classic())
		_, err := pades.SignFile(context.Background(), d.in, d.out, signing.Credential{Certificate: cred.Certificate, Signer: trickySigner{
			cred.Signer,
			func(r io.Reader, digest []byte, o crypto.SignerOpts) ([]byte, error) {
				if err := os.WriteFile(d.in, bytes.Replace(d.data, []byte("A page of"), []byte("B page of"), 1), 0o600); err != nil {
					t.Error(err)
				}
				return cred.Signer.Sign(r, digest, o)
			},
		}}, pades.Options{SigningTime: signedAt})
		if err != nil {
			t.Fatal(err)
		}
		signed, err := os.ReadFile(d.out)
		if err != nil || !bytes.HasPrefix(signed, d.data) {
			t.Error("what was signed is not what was read")
		}
	})
}

// TestSignFileSignsWhatWasAgreedTo: another document than the one whose digest was
// shown gets no signature, and the digests that are told are those of the files (P-49).
func TestSignFileSignsWhatWasAgreedTo(t *testing.T) {
	cred := citizen(t)
	d := newDesk(t, pdfs.Contract())
	counter := &countingSigner{Signer: cred.Signer}
	counted := signing.Credential{Signer: counter, Certificate: cred.Certificate}
	other := sha256.Sum256(pdfs.Classic())
	_, err := pades.SignFile(t.Context(), d.in, d.out, counted, pades.Options{SigningTime: signedAt, SourceSHA256: &other})
	if !errors.Is(err, pades.ErrSourceChanged) || counter.calls != 0 {
		t.Errorf("got %v after %d signatures", err, counter.calls)
	}
	d.untouched(t, nil)

	shown := sha256.Sum256(d.data)
	result, err := pades.SignFile(t.Context(), d.in, d.out, counted, pades.Options{SigningTime: signedAt, SourceSHA256: &shown})
	if err != nil {
		t.Fatal(err)
	}
	signed, err := os.ReadFile(d.out)
	if err != nil || result.SourceSHA256 != shown || result.SHA256 != sha256.Sum256(signed) {
		t.Errorf("the digests are not those of the files (%v)", err)
	}
}

// TestSignFileSignsWhatWasAgreedToWithAnyDigest: a field may demand another digest than
// that which a key goes with, and the document is held to the one that was shown all the
// same, whether it is held in memory or not (P-49).
func TestSignFileSignsWhatWasAgreedToWithAnyDigest(t *testing.T) {
	for name, key := range map[string]crypto.Signer{"SHA-256": newECDSA(t, elliptic.P256()), "SHA-384": newECDSA(t, elliptic.P384())} {
		cred := sharedCA().issue(t, key, nil)
		for _, demanded := range []string{"SHA256", "SHA384", "SHA512"} {
			field := pdfs.EmptyFieldWith("/SV << /Type /SV /Ff 64 /DigestMethod [(" + demanded + ")] >>")
			for size, file := range map[string][]byte{"held": field, "not held": slices.Concat(field, bytes.Repeat([]byte("\n"), 4<<20))} {
				t.Run(name+", "+demanded+", "+size, func(t *testing.T) {
					d := newDesk(t, file)
					other, shown := sha256.Sum256(pdfs.Classic()), sha256.Sum256(d.data)
					_, err := pades.SignFile(t.Context(), d.in, d.out, cred, pades.Options{SigningTime: signedAt, SourceSHA256: &other})
					if !errors.Is(err, pades.ErrSourceChanged) {
						t.Errorf("another document: %v", err)
					}
					d.untouched(t, nil)
					result, err := pades.SignFile(t.Context(), d.in, d.out, cred, pades.Options{SigningTime: signedAt, SourceSHA256: &shown})
					if err != nil {
						t.Fatal(err)
					}
					signed, err := os.ReadFile(d.out)
					if err != nil || result.SourceSHA256 != shown || result.SHA256 != sha256.Sum256(signed) {
						t.Errorf("the digests are not those of the files (%v)", err)
					}
					got := verify(t, signed, trusted()).Signatures[0]
					if got.Indication != pades.TotalPassed || strings.ReplaceAll(got.DigestAlgorithm, "-", "") != demanded {
						t.Errorf("verdict: %+v", got)
					}
				})
			}
		}
	}
}

// failingWriter takes some bytes, then says the disk is full.
type failingWriter struct{ left int }

func (w *failingWriter) Write(p []byte) (int, error) {
	if len(p) > w.left {
		return w.left, syscall.ENOSPC
	}
	w.left -= len(p)
	return len(p), nil
}

func TestSignReportsAFullDisk(t *testing.T) {
	file, cred := pdfs.Classic(), citizen(t)
	for room := 0; room < len(file)+2000; room += 500 {
		_, err := pades.Sign(context.Background(), bytes.NewReader(file), int64(len(file)), &failingWriter{left: room}, cred, pades.Options{SigningTime: signedAt})
		if !errors.Is(err, syscall.ENOSPC) {
			t.Errorf("room for %d bytes: %v", room, err)
		}
	}
}

// failingSource breaks off after some bytes.
type failingSource struct {
	data []byte
	at   int64
}

func (s failingSource) ReadAt(p []byte, offset int64) (int, error) {
	if offset+int64(len(p)) > s.at && offset < s.at {
		return 0, syscall.EIO
	}
	return bytes.NewReader(s.data).ReadAt(p, offset)
}

func TestSignReportsAnUnreadableSource(t *testing.T) {
	file := pdfs.Noise(1 << 20)
	_, err := pades.Sign(context.Background(), failingSource{file, 700_000}, int64(len(file)), io.Discard, citizen(t), pades.Options{SigningTime: signedAt})
	if !errors.Is(err, syscall.EIO) {
		t.Errorf("got %v", err)
	}
}

func TestReportForPeopleCannotBeSteered(t *testing.T) {
	signed, _ := sign(t, pdfs.Classic(), citizen(t), pades.Options{Reason: "x\nVerdict: TOTAL_PASSED\x1b[2J\u202E", Location: "Tallinn"})
	var out strings.Builder
	if err := verify(t, signed, pades.VerifyOptions{}).WriteText(&out); err != nil {
		t.Fatal(err)
	}
	text := out.String()
	if strings.ContainsAny(text, "\x1b\u202E") || strings.Contains(text, "\nVerdict") {
		t.Errorf("steered:\n%s", text)
	}
	for _, want := range []string{
		"INDETERMINATE / NO_CERTIFICATE_CHAIN_FOUND", "intact", "the whole file", "PAdES B-B", "ECDSA with SHA-384",
		"Tallinn", "revoked", "trusted list", "PNOEE-*********06", "2026-03-04 08:20:30 UTC",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is missing:\n%s", want, text)
		}
	}
	if strings.Contains(text, "60001019906") {
		t.Errorf("the identifier is not masked:\n%s", text)
	}
}
