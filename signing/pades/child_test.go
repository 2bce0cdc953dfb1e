package pades_test

import (
	"bufio"
	"bytes"
	"compress/zlib"
	"context"
	"crypto"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/digitorus/pdfsign"

	"github.com/eidbridge/eidbridge/fixtures/pdfs"
	"github.com/eidbridge/eidbridge/signing"
	"github.com/eidbridge/eidbridge/signing/batch"
	"github.com/eidbridge/eidbridge/signing/fetch"
	"github.com/eidbridge/eidbridge/signing/outfile"
	"github.com/eidbridge/eidbridge/signing/pades"
	"github.com/eidbridge/eidbridge/signing/tsp"
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
	Written float64 // seconds until all was written, before a group was synced
	CPU     float64 // seconds, of all threads
	PeakKB  float64 // high-water mark of resident memory
}

// work does one piece of work: mode, then key, certificates, output folder, files.
func work(mode string, args []string) error {
	key, certificate, out, files := args[0], args[1], args[2], args[3:]
	cred, err := readCredential(key, certificate)
	if err != nil {
		return err
	}
	services, err := readServices()
	if err != nil {
		return err
	}
	began, used := time.Now(), cpuSeconds()
	if mode == "batch" {
		err, files = signBatch(cred, out, files), nil
	}
	var group outfile.Group
	var memory outfile.Memory
	for _, file := range files {
		target := filepath.Join(out, filepath.Base(file))
		switch mode {
		case "copy", "grouped-copy":
			err = copyAndHash(file, target)
		case "durable-copy":
			err = durableCopy(file, target)
		case "sign":
			_, err = pades.SignFile(context.Background(), file, target, cred, pades.Options{Memory: &memory})
		case "sign-grouped":
			_, err = pades.SignFile(context.Background(), file, target, cred, pades.Options{Group: &group})
		case "sign-LTA":
			_, err = pades.SignFile(context.Background(), file, target, cred, pades.Options{Level: signing.BaselineLTA, Services: services})
		case "extend":
			_, err = pades.ExtendFile(context.Background(), file, target, signing.BaselineLTA, services, false)
		case "sparse":
			err = signSparse(file, target, cred)
		case "hostile":
			err = lookAtHostile(file, cred)
		case "pdfsign":
			err = pdfsignFile(file, target, cred)
		default:
			err = fmt.Errorf("no such work: %s", mode)
		}
		if err != nil {
			return err
		}
	}
	written := time.Since(began)
	for _, failed := range group.Sync(context.Background()) {
		err = failed
	}
	if mode == "grouped-copy" {
		err = syncCopies(out, files)
	}
	if err != nil {
		return err
	}
	took, used := time.Since(began), cpuSeconds()-used
	peak, err := peakKB()
	if err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(cost{took.Seconds(), written.Seconds(), used, peak})
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

// durableCopy does the same with the durability that a signature has, as programs
// usually go about it: the file beside its place is synced and renamed, then the
// folder is synced.
func durableCopy(from, to string) error {
	if err := copyAndHash(from, to+".part"); err != nil {
		return err
	}
	if err := syncName(to + ".part"); err != nil {
		return err
	}
	if err := os.Rename(to+".part", to); err != nil {
		return err
	}
	return syncName(filepath.Dir(to))
}

// syncCopies makes copies durable together, and their names.
func syncCopies(folder string, files []string) error {
	for _, file := range files {
		if err := syncName(filepath.Join(folder, filepath.Base(file))); err != nil {
			return err
		}
	}
	return syncName(folder)
}

// syncName syncs a file or a folder.
func syncName(name string) error {
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	return f.Sync()
}

// signBatch signs as a batch does, with its manifest and a worker for each processor.
func signBatch(cred signing.Credential, out string, files []string) error {
	m, err := batch.OpenManifest(filepath.Join(out, batch.ManifestName))
	if err != nil {
		return err
	}
	var items []batch.Item
	for _, file := range files {
		items = append(items, batch.Item{In: file, Out: filepath.Join(out, filepath.Base(file))})
	}
	var failed error
	err = batch.Run(context.Background(), items, runtime.GOMAXPROCS(0), batch.PDF(cred, pades.Options{}), func(outcomes []batch.Outcome) {
		var records []batch.Record
		for _, o := range outcomes {
			failed = errors.Join(failed, o.Err)
			records = append(records, o.Record)
		}
		failed = errors.Join(failed, m.Append(records...))
	})
	return errors.Join(err, failed, m.Close())
}

// Variables that name the services of a child.
const (
	childTSA  = "PADES_TSA"
	childRoot = "PADES_ROOT"
)

// readServices returns nil unless the environment names some.
func readServices() (*pades.Services, error) {
	address := os.Getenv(childTSA)
	if address == "" {
		return nil, nil //nolint:nilnil // most work needs none
	}
	server, err := url.Parse(address)
	if err != nil {
		return nil, err
	}
	roots, err := readCertificates(os.Getenv(childRoot))
	if err != nil {
		return nil, err
	}
	client := fetch.New(fetch.Options{Allow: []string{server.Host}, Timeout: time.Minute})
	return &pades.Services{
		TimeStamps: &tsp.Client{Fetch: client, Servers: []tsp.Server{{URL: address}}},
		Fetch:      client, Anchors: roots,
	}, nil
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

// lookAtHostile brings a file to every door; what they say of it is for other tests.
func lookAtHostile(name string, cred signing.Credential) error {
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	ctx := context.Background()
	_, _ = pades.Verify(ctx, f, info.Size(), pades.VerifyOptions{})
	_, _ = pades.ScanDocument(ctx, f, info.Size(), nil)
	_, _ = pades.Sign(ctx, f, info.Size(), io.Discard, cred, pades.Options{})
	return nil
}

func readCredential(key, certificate string) (signing.Credential, error) {
	var cred signing.Credential
	content, err := os.ReadFile(key)
	if err != nil {
		return cred, err
	}
	block, _ := pem.Decode(content)
	if block == nil {
		return cred, fmt.Errorf("%s: no PEM", key)
	}
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return cred, err
	}
	certificates, err := readCertificates(certificate)
	if err != nil {
		return cred, err
	}
	cred.Signer, cred.Certificate, cred.Chain = parsed.(crypto.Signer), certificates[0], certificates[1:]
	return cred, nil
}

// readCertificates reads one or more.
func readCertificates(name string) ([]*x509.Certificate, error) {
	content, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	var all []*x509.Certificate
	for block, rest := pem.Decode(content); block != nil; block, rest = pem.Decode(rest) {
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, err
		}
		all = append(all, c)
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("%s: no PEM", name)
	}
	return all, nil
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
	env                   []string // of a child, beside that of its parent
	files                 []string
}

// newBench has a P-256 key, whose signatures digest with SHA-256.
func newBench(t testing.TB) *bench {
	t.Helper()
	return benchOf(t, today(t))
}

func benchOf(t testing.TB, cred signing.Credential) *bench {
	t.Helper()
	b := &bench{dir: t.TempDir()}
	der, err := x509.MarshalPKCS8PrivateKey(cred.Signer)
	if err != nil {
		t.Fatal(err)
	}
	b.key = b.pem(t, "key.pem", "PRIVATE KEY", der)
	certificates := [][]byte{cred.Certificate.Raw}
	for _, c := range cred.Chain {
		certificates = append(certificates, c.Raw)
	}
	b.certificate = b.pem(t, "cert.pem", "CERTIFICATE", certificates...)
	return b
}

// newLevelBench has a citizen of a state whose services answer a child.
func newLevelBench(t testing.TB) *bench {
	t.Helper()
	s := newState(t)
	b := benchOf(t, s.cred)
	b.env = []string{
		childTSA + "=" + s.services.TimeStamps.(*tsp.Client).Servers[0].URL,
		childRoot + "=" + b.pem(t, "root.pem", "CERTIFICATE", s.Roots()[0].Raw),
	}
	return b
}

// pem writes blocks to a file and returns its name.
func (b *bench) pem(t testing.TB, name, kind string, blocks ...[]byte) string {
	t.Helper()
	var out []byte
	for _, block := range blocks {
		out = append(out, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: block})...)
	}
	name = filepath.Join(b.dir, name)
	if err := os.WriteFile(name, out, 0o600); err != nil {
		t.Fatal(err)
	}
	return name
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
	c.Env = append(append(os.Environ(), b.env...), childMode+"="+mode)
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

// maxPeak is the most memory that signing may take at any size and level, in MB.
const maxPeak = 32

// TestMemoryDoesNotGrowWithTheDocument signs files of several sizes in processes
// of their own; the benchmarks go up to 500 MB.
func TestMemoryDoesNotGrowWithTheDocument(t *testing.T) {
	if _, err := os.Stat("/proc/self/status"); err != nil {
		t.Skip("this system does not tell how much memory a process had") // not on Linux
	}
	for _, row := range []struct {
		name  string
		write func(t testing.TB, name string)
	}{
		{"1 MB", func(t testing.TB, name string) { writeNoise(t, name, 1<<20) }},
		{"3 MB, held in memory", func(t testing.TB, name string) { writeNoise(t, name, 3<<20) }},
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
			if t.Logf("%.1f MB", peak); peak > maxPeak {
				t.Errorf("signing takes %.1f MB of memory", peak)
			}
		})
	}
}

// TestMemoryOfHostileFiles looks at each of those that could take much in a process of
// its own: none takes 64 MB more than a plain document (P-60, P-63, P-68, P-74).
func TestMemoryOfHostileFiles(t *testing.T) {
	if _, err := os.Stat("/proc/self/status"); err != nil {
		t.Skip("this system does not tell how much memory a process had") // not on Linux
	}
	b := newBench(t)
	look := func(document []byte) float64 {
		name := filepath.Join(b.dir, "document.pdf")
		if err := os.WriteFile(name, document, 0o600); err != nil {
			t.Fatal(err)
		}
		b.files = []string{name}
		return b.run(t, "hostile").PeakKB / 1024
	}
	pack := func(content []byte, filters string) pdfs.Sample {
		stream := fmt.Sprintf("<< /Length %d /Filter [%s] >>\nstream\n%s\nendstream", len(content), filters, content)
		return pdfs.Sample{Name: "content of " + filters, Data: pdfs.Revise(pdfs.Classic(), map[int]string{5: stream}, 1)}
	}
	bomb := zlibbed(t, make([]byte, 60<<20))
	samples := []pdfs.Sample{
		pack(bomb, "/FlateDecode"),
		pack(zlibbed(t, bomb), "/FlateDecode /FlateDecode"),
		pack(bomb, strings.Repeat("/FlateDecode ", 10)),
	}
	for _, s := range pdfs.Malformed() {
		if slices.Contains([]string{"P-60", "P-63", "P-68", "P-74"}, s.Name[:len("P-60")]) {
			samples = append(samples, s)
		}
	}
	plain := look(pdfs.Classic())
	for _, s := range samples {
		if peak := look(s.Data); peak > plain+64 {
			t.Errorf("%s takes %.1f MB of memory, a plain document %.1f MB", s.Name, peak, plain)
		}
	}
}

func zlibbed(t *testing.T, content []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	w := zlib.NewWriter(&out)
	if _, err := w.Write(content); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// TestMemoryOfLevelsDoesNotGrow makes B-LTA at once, and of what was signed at B-B.
func TestMemoryOfLevelsDoesNotGrow(t *testing.T) {
	if _, err := os.Stat("/proc/self/status"); err != nil {
		t.Skip("this system does not tell how much memory a process had") // not on Linux
	}
	b := newLevelBench(t)
	document := filepath.Join(b.dir, "document.pdf")
	writeNoise(t, document, 64<<20)
	for _, mode := range []string{"sign-LTA", "extend"} {
		t.Run(mode, func(t *testing.T) {
			b.files = []string{document}
			if mode == "extend" {
				b.files = []string{b.signed(t, document)}
			}
			peak := b.run(t, mode).PeakKB / 1024
			if t.Logf("%.1f MB", peak); peak > maxPeak {
				t.Errorf("%s takes %.1f MB of memory", mode, peak)
			}
		})
	}
}

// signed signs a document at B-B and returns the name of the output.
func (b *bench) signed(t testing.TB, document string) string {
	t.Helper()
	cred, err := readCredential(b.key, b.certificate)
	if err != nil {
		t.Fatal(err)
	}
	out := document + ".signed.pdf"
	if _, err := pades.SignFile(t.Context(), document, out, cred, pades.Options{}); err != nil {
		t.Fatal(err)
	}
	return out
}
