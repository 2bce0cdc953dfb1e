package pades_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/digitorus/pdfsign"

	"github.com/eidbridge/eidbridge/fixtures/pdfs"
	"github.com/eidbridge/eidbridge/signing"
	"github.com/eidbridge/eidbridge/signing/outfile"
	"github.com/eidbridge/eidbridge/signing/pades"
)

// childMode is the variable that makes this test program do one piece of work and
// print what it took: memory can only be told apart in a process of its own.
const childMode = "PADES_CHILD"

func TestMain(m *testing.M) {
	if mode := os.Getenv(childMode); mode != "" {
		if err := work(mode, os.Args[1:]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// cost is what a piece of work took.
type cost struct {
	Seconds float64
	CPU     float64 // seconds, of all threads
	PeakKB  float64 // high-water mark of resident memory
}

// work does one piece of work: mode, then key, certificate, output folder, files.
func work(mode string, args []string) error {
	key, certificate, out, files := args[0], args[1], args[2], args[3:]
	cred, err := readCredential(key, certificate)
	if err != nil {
		return err
	}
	began, used := time.Now(), cpuSeconds()
	for _, file := range files {
		target := filepath.Join(out, filepath.Base(file))
		switch mode {
		case "copy":
			err = copyAndHash(file, target)
		case "placed-copy":
			err = placedCopy(file, target)
		case "sign":
			_, err = pades.SignFile(context.Background(), file, target, cred, pades.Options{})
		case "sparse":
			err = signSparse(file, target, cred)
		case "pdfsign":
			err = pdfsignFile(file, target, cred)
		default:
			err = fmt.Errorf("no such work: %s", mode)
		}
		if err != nil {
			return err
		}
	}
	took, used := time.Since(began), cpuSeconds()-used
	peak, err := peakKB()
	if err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(cost{took.Seconds(), used, peak})
}

// copyAndHash is the least that a signature costs: the document is written again
// and digested, with the standard library.
func copyAndHash(from, to string) error {
	out, err := os.Create(to)
	if err != nil {
		return err
	}
	defer out.Close()
	return copyTo(out, from)
}

// placedCopy does the same, made durable and put in place as signatures are.
func placedCopy(from, to string) error {
	out, err := outfile.Create(to, 0o600, false)
	if err != nil {
		return err
	}
	defer out.Discard()
	if err := copyTo(out.Writer(), from); err != nil {
		return err
	}
	return out.Place(context.Background())
}

func copyTo(out io.Writer, from string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	// Hidden, so that neither side takes a short cut past the digest.
	_, err = io.CopyBuffer(struct{ io.Writer }{io.MultiWriter(out, sha256.New())}, struct{ io.Reader }{in}, make([]byte, 256<<10))
	return err
}

// signSparse takes the three steps of signing, and the check, with an output that
// keeps holes as holes, for documents larger than a test may write.
func signSparse(from, to string, cred signing.Credential) error {
	ctx := context.Background()
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	info, err := in.Stat()
	if err != nil {
		return err
	}
	plan, err := pades.Prepare(ctx, in, info.Size(), cred, pades.Options{})
	if err != nil {
		return err
	}
	_, digest := plan.Digest()
	value, err := cred.Signer.Sign(rand.Reader, digest, plan.SignerOpts())
	if err != nil {
		return err
	}
	out, err := os.Create(to)
	if err != nil {
		return err
	}
	defer out.Close()
	if err := plan.Complete(ctx, in, &holes{f: out}, value); err != nil {
		return err
	}
	return plan.Check(ctx, in, out)
}

// holes writes to a file, but seeks over pieces that are zero throughout. What is
// written last may not be one.
type holes struct {
	f    *os.File
	zero []byte
}

func (h *holes) Write(p []byte) (int, error) {
	if len(h.zero) < len(p) {
		h.zero = make([]byte, len(p))
	}
	if bytes.Equal(p, h.zero[:len(p)]) {
		_, err := h.f.Seek(int64(len(p)), io.SeekCurrent)
		return len(p), err
	}
	return h.f.Write(p)
}

func pdfsignFile(from, to string, cred signing.Credential) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	info, err := in.Stat()
	if err != nil {
		return err
	}
	out, err := os.Create(to)
	if err != nil {
		return err
	}
	defer out.Close()
	doc, err := pdfsign.Open(in, info.Size())
	if err != nil {
		return err
	}
	doc.Sign(cred.Signer, cred.Certificate).Format(pdfsign.PAdES_B_B)
	_, err = doc.Write(out)
	return err
}

func readCredential(key, certificate string) (cred signing.Credential, err error) {
	read := func(name string) []byte {
		content, readErr := os.ReadFile(name)
		block, _ := pem.Decode(content)
		if block == nil {
			err = fmt.Errorf("%s: no PEM (%w)", name, readErr)
			return nil
		}
		return block.Bytes
	}
	private, der := read(key), read(certificate)
	if err != nil {
		return cred, err
	}
	parsed, err := x509.ParsePKCS8PrivateKey(private)
	if err != nil {
		return cred, err
	}
	cred.Signer = parsed.(crypto.Signer)
	cred.Certificate, err = x509.ParseCertificate(der)
	return cred, err
}

// peakKB reads the high-water mark of this process. Rusage would count what the
// parent had before exec.
func peakKB() (float64, error) {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0, err
	}
	lines := bufio.NewScanner(bytes.NewReader(status))
	for lines.Scan() {
		if rest, ok := strings.CutPrefix(lines.Text(), "VmHWM:"); ok {
			return strconv.ParseFloat(strings.Fields(rest)[0], 64)
		}
	}
	return 0, fmt.Errorf("no VmHWM in /proc/self/status")
}

// bench has a folder with a key and the files to sign.
type bench struct {
	dir, key, certificate string
	files                 []string
}

func newBench(t testing.TB) *bench {
	t.Helper()
	b := &bench{dir: t.TempDir()}
	cred := today(t)
	der, err := x509.MarshalPKCS8PrivateKey(cred.Signer)
	if err != nil {
		t.Fatal(err)
	}
	b.key, b.certificate = filepath.Join(b.dir, "key.pem"), filepath.Join(b.dir, "cert.pem")
	for name, block := range map[string]*pem.Block{
		b.key: {Type: "PRIVATE KEY", Bytes: der}, b.certificate: {Type: "CERTIFICATE", Bytes: cred.Certificate.Raw},
	} {
		if err := os.WriteFile(name, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return b
}

// run has a child of this program, or of another one, do the work.
func (b *bench) run(t testing.TB, mode string, program ...string) cost {
	t.Helper()
	out, err := os.MkdirTemp(b.dir, "out")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = os.RemoveAll(out) }()
	if len(program) == 0 {
		program = []string{os.Args[0]}
	}
	args := append(append([]string(nil), program[1:]...), b.key, b.certificate, out)
	c := exec.CommandContext(t.Context(), program[0], append(args, b.files...)...)
	c.Env = append(os.Environ(), childMode+"="+mode)
	var problems bytes.Buffer
	c.Stderr = &problems
	printed, err := c.Output()
	if err != nil {
		t.Fatalf("%s: %v\n%s", mode, err, problems.String())
	}
	var took cost
	if err := json.Unmarshal(printed, &took); err != nil {
		t.Fatalf("%s: %v\n%s", mode, err, printed)
	}
	return took
}

// pyHanko is the interpreter that make setup-bench installs, or empty.
func pyHanko() string {
	interpreter, err := filepath.Abs(filepath.Join("..", "..", ".cache", "python", "bin", "python"))
	if err != nil {
		return ""
	}
	if _, err := os.Stat(interpreter); err != nil {
		return ""
	}
	return interpreter
}

// TestMemoryDoesNotGrowWithTheDocument signs files of several sizes in processes
// of their own. 32 MB are the most at any size; the benchmark goes up to 500 MB.
func TestMemoryDoesNotGrowWithTheDocument(t *testing.T) {
	if _, err := os.Stat("/proc/self/status"); err != nil {
		t.Skip("this system does not tell how much memory a process had") // not on Linux
	}
	for _, row := range []struct {
		name  string
		write func(t testing.TB, name string)
	}{
		{"1 MB", func(t testing.TB, name string) { writeNoise(t, name, 1<<20) }},
		{"64 MB", func(t testing.TB, name string) { writeNoise(t, name, 64<<20) }},
		{"200,000 objects", func(t testing.TB, name string) {
			f, err := os.Create(name)
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			if err := pdfs.WriteObjects(f, 200_000); err != nil {
				t.Fatal(err)
			}
		}},
	} {
		t.Run(row.name, func(t *testing.T) {
			b := newBench(t)
			name := filepath.Join(b.dir, "document.pdf")
			row.write(t, name)
			b.files = []string{name}
			peak := b.run(t, "sign").PeakKB / 1024
			if t.Logf("%.1f MB", peak); peak > 32 {
				t.Errorf("signing takes %.1f MB of memory", peak)
			}
		})
	}
}
