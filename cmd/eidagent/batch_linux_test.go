package main

import (
	"bufio"
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/creack/pty"
	"golang.org/x/sys/unix"

	"github.com/eidbridge/eidbridge/fixtures/pdfs"
	"github.com/eidbridge/eidbridge/signing/batch"
	"github.com/eidbridge/eidbridge/signing/pades"
)

// keyFile makes a key in a PKCS #12 file with the password "secreto".
func (d *desk) keyFile() string {
	d.t.Helper()
	for _, args := range [][]string{
		{"req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", "k.pem", "-out", "c.pem", "-days", "30", "-subj", "/C=ES/CN=ESPANOLA ESPANOLA CARMEN - 99999999R", "-addext", "keyUsage=critical,digitalSignature,nonRepudiation", "-addext", "basicConstraints=critical,CA:FALSE"},
		{"pkcs12", "-export", "-inkey", "k.pem", "-in", "c.pem", "-passout", "pass:secreto", "-out", "key.p12"},
	} {
		c := exec.Command("openssl", args...)
		c.Dir = d.dir
		if out, err := c.CombinedOutput(); err != nil {
			d.t.Fatalf("%v: %s", err, out)
		}
	}
	return filepath.Join(d.dir, "key.p12")
}

func (d *desk) read(name string) []byte {
	d.t.Helper()
	content, err := os.ReadFile(filepath.Join(d.dir, name))
	if err != nil {
		d.t.Fatal(err)
	}
	return content
}

// batchDesk is a desk with a key file that needs no password and a folder of documents,
// each of them another.
type batchDesk struct {
	*desk
	key, folder string
	manifest    string            // its path; empty is the usual one
	documents   map[string][]byte // by name
	former      map[string][]byte // what is there in the place of outputs
}

func newBatchDesk(t *testing.T, documents int) *batchDesk {
	t.Helper()
	d := &batchDesk{desk: newDesk(t), documents: make(map[string][]byte), former: make(map[string][]byte)}
	d.keyFile()
	d.key = d.write("key.pem", slices.Concat(d.read("c.pem"), d.read("k.pem")))
	d.folder = filepath.Join(d.dir, "batch")
	d.more(documents)
	return d
}

// more makes so many documents, in a folder that nothing was signed in.
func (d *batchDesk) more(documents int) {
	d.t.Helper()
	for i := range documents {
		d.documents[fmt.Sprintf("%04d.pdf", i)] = fmt.Appendf(bytes.Clone(pdfs.Classic()), "%% %d\n", i)
	}
	d.fill(d.folder)
}

// broken makes one document none, and returns its path.
func (d *batchDesk) broken(name string) string {
	d.t.Helper()
	d.documents[name] = []byte("no PDF")
	d.fill(d.folder)
	return filepath.Join(d.folder, name)
}

// fill makes a folder that nothing was signed in.
func (d *batchDesk) fill(folder string) {
	d.t.Helper()
	d.folder = folder
	if err := errors.Join(os.RemoveAll(folder), os.Mkdir(folder, 0o700)); err != nil {
		d.t.Fatal(err)
	}
	for _, files := range []map[string][]byte{d.documents, d.former} {
		for name, data := range files {
			if err := os.WriteFile(filepath.Join(folder, name), data, 0o600); err != nil {
				d.t.Fatal(err)
			}
		}
	}
}

func signedName(name string) string { return strings.TrimSuffix(name, ".pdf") + "-signed.pdf" }

// sign is the command that signs the folder.
func (d *batchDesk) sign(args ...string) *exec.Cmd {
	if d.manifest != "" {
		args = append(args, "--manifest", d.manifest)
	}
	return d.command(slices.Concat([]string{"--p12", d.key, "sign", "--pin-fd", "0"}, args, []string{d.folder})...)
}

// done looks at each output: it is whole and in the manifest, or what was there before.
// It returns the digests of those that are done.
func (d *batchDesk) done() map[string]string {
	d.t.Helper()
	done := make(map[string]string)
	manifest := cmp.Or(d.manifest, filepath.Join(d.folder, batch.ManifestName))
	var m *batch.Manifest
	if _, err := os.Stat(manifest); err == nil {
		if m, err = batch.OpenManifest(manifest); err != nil {
			d.t.Fatal(err)
		}
		defer func() { _ = m.Close() }()
	}
	for name, document := range d.documents {
		in, out := filepath.Join(d.folder, name), filepath.Join(d.folder, signedName(name))
		if now, err := os.ReadFile(in); err != nil || !bytes.Equal(now, document) {
			d.t.Fatalf("%s was changed (%v)", in, err)
		}
		signed, err := os.ReadFile(out)
		former, replaced := d.former[signedName(name)]
		if !replaced && errors.Is(err, os.ErrNotExist) || replaced && bytes.Equal(signed, former) {
			continue
		}
		if err != nil {
			d.t.Fatalf("S-20 %s is gone: %v", out, err)
		}
		if err := d.whole(signed, document); err != nil {
			d.t.Errorf("S-20 %s: %v", out, err)
		}
		var record batch.Record
		listed := false
		if m != nil {
			record, listed = m.Done(batch.Item{In: in, Out: out})
		}
		if !listed {
			d.t.Fatalf("S-20 %s is in place, and the manifest does not know it", out)
		}
		done[out] = record.SHA256
	}
	return done
}

// whole demands that a file is a document with one signature that is right.
func (d *batchDesk) whole(signed, document []byte) error {
	report, err := pades.Verify(d.t.Context(), bytes.NewReader(signed), int64(len(signed)), pades.VerifyOptions{})
	switch {
	case err != nil:
		return err
	case !bytes.HasPrefix(signed, document):
		return errors.New("it is no form of its document")
	case len(report.Signatures) != 1 || report.Signatures[0].Integrity != pades.Intact:
		return fmt.Errorf("signatures %+v", report.Signatures)
	}
	return nil
}

// parts are the temporary files in the folder.
func (d *batchDesk) parts() []string {
	d.t.Helper()
	parts, err := filepath.Glob(filepath.Join(d.folder, ".*"))
	if err != nil {
		d.t.Fatal(err)
	}
	return parts
}

// goesOn runs the same command again and demands that it signs exactly what is not done
// yet; it returns how many that were.
func (d *batchDesk) goesOn(before map[string]string, args ...string) int {
	d.t.Helper()
	c := d.sign(args...)
	out, err := c.CombinedOutput()
	rest := len(d.documents) - len(before)
	want := fmt.Sprintf("%d signed, %d signed before, 0 failed, 0 left", rest, len(before))
	if err != nil || !strings.Contains(string(out), want) {
		d.t.Fatalf("the run afterwards: %v, want %s\n%s", err, want, out)
	}
	now := d.done()
	if len(now) != len(d.documents) {
		d.t.Fatalf("%d of %d are done", len(now), len(d.documents))
	}
	for name, digest := range before {
		if now[name] != digest {
			d.t.Errorf("%s was in the manifest and was signed again", name)
		}
	}
	entries, err := os.ReadDir(d.folder)
	files := 2 * len(d.documents)
	if d.manifest == "" {
		files++
	}
	if err != nil || len(entries) != files {
		d.t.Fatalf("S-20 the folder holds %d files (%v), for %d documents; temporary ones: %v", len(entries), err, len(d.documents), d.parts())
	}
	return rest
}

// slowly starts a command whose output has room for a few lines only, so that it waits
// in the middle of the batch until the rest is read.
func (d *batchDesk) slowly(c *exec.Cmd) *bufio.Reader {
	d.t.Helper()
	reader, writer, err := os.Pipe()
	if err != nil {
		d.t.Fatal(err)
	}
	d.t.Cleanup(func() { reader.Close() })
	if _, err := unix.FcntlInt(writer.Fd(), unix.F_SETPIPE_SZ, os.Getpagesize()); err != nil {
		d.t.Fatal(err)
	}
	c.Stdout = writer
	if err := c.Start(); err != nil {
		d.t.Fatal(err)
	}
	writer.Close()
	out := bufio.NewReader(reader)
	if _, err := out.ReadString('\n'); err != nil {
		d.t.Fatalf("it never told of an output: %v", err)
	}
	return out
}

// fitting is a number of documents whose lines do not fit into such an output.
func (d *batchDesk) fitting() int {
	return 20 + 2*os.Getpagesize()/len(filepath.Join(d.dir, "batch", "0000-signed.pdf"))
}

// An interrupted batch: what is signed is in place and told of, the rest is left, and
// nothing is called failed. The next run signs the rest.
func TestBatchIsInterrupted(t *testing.T) {
	const documents = 200
	d := newBatchDesk(t, documents)
	c := d.sign()
	var told bytes.Buffer
	c.Stderr = &told
	out := d.slowly(c)
	if err := c.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	rest, err := io.ReadAll(out)
	if err != nil {
		t.Fatal(err)
	}
	_ = c.Wait()
	if got := c.ProcessState.ExitCode(); got != exitRefused {
		t.Errorf("exit code %d", got)
	}
	signed := 1 + bytes.Count(rest, []byte("\n"))
	done := d.done()
	if signed == documents || len(done) != signed {
		t.Errorf("%d were told of, %d are done", signed, len(done))
	}
	d.wants(told.String(), fmt.Sprintf("%d signed, 0 signed before, 0 failed, %d left", signed, documents-signed), "cancelled: the rest was not signed", "Run the same command again")
	d.goesOn(done)
}

// Who reads the results goes away, which ends the program.
func TestBatchLosesItsReader(t *testing.T) {
	d := newBatchDesk(t, 100)
	c := d.sign()
	reader, writer, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	reader.Close()
	c.Stdout = writer
	err = c.Run()
	writer.Close()
	if exit, ok := errors.AsType[*exec.ExitError](err); !ok || exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGPIPE {
		t.Fatal(err)
	}
	done := d.done()
	if len(done) == 0 || len(done) == 100 {
		t.Errorf("%d are done", len(done))
	}
	d.goesOn(done)
}

// Results that cannot be written anywhere are no success.
func TestBatchCannotTell(t *testing.T) {
	d := newBatchDesk(t, 3)
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer full.Close()
	var told bytes.Buffer
	c := d.sign()
	c.Stdout, c.Stderr = full, &told
	if err := c.Run(); c.ProcessState.ExitCode() != exitOther {
		t.Errorf("%v", err)
	}
	d.wants(told.String(), "3 signed", "no space left")
	d.goesOn(d.done())
}

// Two runs over one folder: the second signs nothing while the first is at it.
func TestBatchIsAlone(t *testing.T) {
	d := newBatchDesk(t, 0)
	d.more(d.fitting())
	first := d.sign()
	out := d.slowly(first)
	for _, args := range [][]string{nil, {"--force"}} {
		second := d.sign(args...)
		said, err := second.CombinedOutput()
		if second.ProcessState.ExitCode() != exitOther {
			t.Errorf("%v", err)
		}
		d.wants(string(said), "another program is using it", "hint: Wait for the other run")
		if bytes.Contains(said, []byte("-signed.pdf")) {
			t.Errorf("%s", said)
		}
	}
	if _, err := io.Copy(io.Discard, out); err != nil {
		t.Fatal(err)
	}
	if err := first.Wait(); err != nil {
		t.Error(err)
	}
	d.goesOn(d.done())
}

// One document among many is broken, and stays so: the others are signed, once.
func TestBatchWithABrokenDocument(t *testing.T) {
	d := newBatchDesk(t, 70)
	broken := d.broken("0040.pdf")
	for _, want := range []string{"69 signed, 0 signed before, 1 failed, 0 left", "0 signed, 69 signed before, 1 failed, 0 left"} {
		c := d.sign("--json")
		var out, told bytes.Buffer
		c.Stdout, c.Stderr = &out, &told
		if err := c.Run(); c.ProcessState.ExitCode() != exitDocument {
			t.Errorf("%v: %s", err, told.String())
		}
		d.wants(told.String(), want, broken+": the file is not a PDF")
		if n := strings.Count(told.String(), "not a PDF"); n != 1 {
			t.Errorf("it is told %d times:\n%s", n, told.String())
		}
		var report batchReport
		if err := json.Unmarshal(out.Bytes(), &report); err != nil {
			t.Fatal(err)
		}
		if report.Signed+report.Skipped != 69 || report.Failed != 1 || report.Left != 0 || len(report.Files) != 70 ||
			report.Files[40].Status != batchFailed || report.Files[40].Error == "" || report.Files[41].SHA256 == "" {
			t.Errorf("%s", out.String())
		}
		if n := len(d.done()); n != 69 {
			t.Errorf("%d are done", n)
		}
	}
}

// A program with few open files signs in groups all the same. With fewer than a group
// takes it may fail, says why, and loses nothing.
func TestBatchWithFewOpenFiles(t *testing.T) {
	d := newBatchDesk(t, 100)
	for _, row := range []struct {
		files int
		works bool
	}{{64, true}, {28, false}} {
		d.fill(d.folder)
		c := d.sign()
		c.Args = append([]string{"sh", "-c", fmt.Sprintf(`ulimit -n %d; exec "$0" "$@"`, row.files), c.Path}, c.Args[1:]...)
		sh, err := exec.LookPath("sh")
		if err != nil {
			t.Fatal(err)
		}
		c.Path = sh
		out, err := c.CombinedOutput()
		if err != nil && (row.works || !bytes.Contains(out, []byte("too many open files"))) {
			t.Errorf("%d files: %v\n%s", row.files, err, out)
		}
		d.goesOn(d.done())
	}
}

// The bar of a batch on a terminal never mixes with the lines about documents.
func TestBatchOfAKeyFileOnATerminal(t *testing.T) {
	d := newBatchDesk(t, 70)
	c := d.sign()
	terminal, line, err := pty.Open()
	if err != nil {
		t.Fatal(err)
	}
	defer terminal.Close()
	c.Stdout, c.Stderr = line, line
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	line.Close()
	printed, _ := io.ReadAll(terminal) // EIO: the program has closed its end
	if err := c.Wait(); err != nil {
		t.Error(err)
	}
	var seen []string
	for text := range strings.SplitSeq(string(printed), "\r\n") {
		if at := strings.LastIndex(text, "\x1b[K"); at >= 0 {
			text = text[at+len("\x1b[K"):]
		}
		seen = append(seen, text)
	}
	var want []string
	for i := range 70 {
		want = append(want, filepath.Join(d.folder, fmt.Sprintf("%04d-signed.pdf\tB-B", i)))
	}
	want = append(want, "eidagent: 70 signed, 0 signed before, 0 failed, 0 left", "")
	for i, text := range want {
		want[i] = strings.ReplaceAll(text, "\t", "        ")
	}
	for i, text := range seen {
		seen[i] = strings.ReplaceAll(text, "\t", "        ")
	}
	if !slices.Equal(seen, want) {
		t.Errorf("%q", printed)
	}
	d.wants(string(printed), "[########################] 70/70 0069.pdf", "] 35/70 0034.pdf")
}
