package asic_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/eidbridge/eidbridge/signing"
	"github.com/eidbridge/eidbridge/signing/asic"

	"github.com/eidbridge/eidbridge/fixtures/signers"
)

// Jobs of child processes, which are measured from outside.
const (
	childCopy   = "asic-bench-copy"   // read, hash and write: what signing cannot do without
	childSign   = "asic-bench-sign"   // a file into a new container
	childAdd    = "asic-bench-add"    // a further signature
	childVerify = "asic-bench-verify" // both of them
	childHash   = "asic-bench-hash"   // read and hash: what verifying cannot do without
)

func TestMain(m *testing.M) {
	if len(os.Args) > 1 {
		if job, ok := map[string]func(in, out string) error{
			childCopy: copyAndHash, childHash: func(in, _ string) error { return hashFile(in, io.Discard) },
			childSign: signChild, childAdd: addChild, childVerify: verifyChild,
		}[os.Args[1]]; ok {
			if err := job(os.Args[2], os.Args[3]); err != nil {
				fmt.Fprintln(os.Stderr, err)
				os.Exit(1)
			}
			os.Exit(0)
		}
	}
	os.Exit(m.Run())
}

func hashFile(in string, to io.Writer) error {
	f, err := os.Open(in)
	if err != nil {
		return err
	}
	defer f.Close()
	h := sha256.New()
	_, err = io.CopyBuffer(io.MultiWriter(to, h), struct{ io.Reader }{f}, make([]byte, 256<<10))
	return err
}

func copyAndHash(in, out string) error {
	f, err := os.Create(out)
	if err != nil {
		return err
	}
	return errors.Join(hashFile(in, f), f.Sync(), f.Close())
}

// benchCredential is made by the child, since no key leaves a process.
func benchCredential() (signing.Credential, error) {
	var cred signing.Credential
	var err error
	testing.Init()
	r := testing.Benchmark(func(b *testing.B) {
		cred = signers.NewKeys(b).Credential(b, signers.P256, nil)
		b.SkipNow()
	})
	_ = r
	if cred.Certificate == nil {
		err = errors.New("no credential")
	}
	return cred, err
}

func signChild(in, out string) error {
	cred, err := benchCredential()
	if err != nil {
		return err
	}
	_, err = asic.SignFiles(context.Background(), []string{in}, out, signing.ASiCE, cred, asic.Options{Digest: crypto.SHA256, Overwrite: true})
	return err
}

func addChild(in, out string) error {
	cred, err := benchCredential()
	if err != nil {
		return err
	}
	_, err = asic.AddSignatureFile(context.Background(), in, out, cred, asic.Options{Digest: crypto.SHA256, Overwrite: true})
	return err
}

func verifyChild(in, _ string) error {
	f, err := os.Open(in)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	report, err := asic.Verify(context.Background(), f, info.Size(), signing.VerifyOptions{})
	if err == nil && !report.Intact() {
		err = errors.New("not intact")
	}
	return err
}

// cost is what a child process took.
type cost struct {
	wall, cpu time.Duration
	peak      float64 // MB
}

func measure(b *testing.B, job, in, out string) cost {
	b.Helper()
	c := exec.CommandContext(b.Context(), os.Args[0], job, in, out)
	var failure bytes.Buffer
	c.Stderr = &failure
	began := time.Now()
	if err := c.Run(); err != nil {
		b.Fatalf("%s: %v\n%s", job, err, failure.Bytes())
	}
	took := cost{wall: time.Since(began), cpu: c.ProcessState.UserTime() + c.ProcessState.SystemTime()}
	if usage, ok := c.ProcessState.SysUsage().(*syscall.Rusage); ok {
		took.peak = float64(usage.Maxrss) / 1024
	}
	return took
}

// BenchmarkContainer signs a file of 500 MB in an ASiC-E, adds a signature and
// verifies both, each in a process of its own, beside a process that reads, hashes
// and writes the same file, in turn.
func BenchmarkContainer(b *testing.B) {
	const size = 500 << 20
	dir := b.TempDir()
	in, copied := filepath.Join(dir, "film.mp4"), filepath.Join(dir, "copy")
	once, twice := filepath.Join(dir, "once.asice"), filepath.Join(dir, "twice.asice")
	f, err := os.Create(in)
	if err != nil {
		b.Fatal(err)
	}
	block := bytes.Repeat([]byte("eidbridge"), 1<<16)
	for written := 0; written < size; written += len(block) {
		if _, err := f.Write(block[:min(len(block), size-written)]); err != nil {
			b.Fatal(err)
		}
	}
	if err := errors.Join(f.Sync(), f.Close()); err != nil {
		b.Fatal(err)
	}
	for _, row := range []struct{ name, job, in, out, peer, peerIn string }{
		{"sign 500MB", childSign, in, once, childCopy, in},
		{"add to 500MB", childAdd, once, twice, childCopy, in},
		{"verify 500MB", childVerify, twice, "", childHash, in},
	} {
		b.Run(row.name, func(b *testing.B) {
			for b.Loop() {
				theirs := measure(b, row.peer, row.peerIn, copied)
				ours := measure(b, row.job, row.in, row.out)
				b.ReportMetric(ours.wall.Seconds(), "s")
				b.ReportMetric(ours.wall.Seconds()/theirs.wall.Seconds(), "times-the-time")
				b.ReportMetric(ours.cpu.Seconds()/theirs.cpu.Seconds(), "times-the-cpu")
				b.ReportMetric(ours.peak, "peak-MB")
				b.ReportMetric(0, "ns/op")
			}
		})
	}
}
