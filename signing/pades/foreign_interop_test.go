//go:build interop

package pades_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/eidbridge/eidbridge/signing/pades"
)

// foreign is one document of other producers and what became of it.
type foreign struct {
	path, signed string
	refused      error
	before       *pades.Report // nil when it could not be read
	after        *pades.Report
	field        string
	took         time.Duration
	problems     []string
	// unread names the judges that could not read the document as it was.
	unread []string
}

func (f *foreign) problem(format string, args ...any) {
	f.problems = append(f.problems, fmt.Sprintf(format, args...))
}

// TestInteropForeignDocuments signs every PDF in the folders that EIDBRIDGE_PDFS
// names (or in pdfs beside the shared corpus), which public test suites of readers
// and writers fill well. A document is signed or refused with a reason. Of a signed
// one, qpdf must find no more wrong than before, poppler and pyHanko must accept
// the new signature over the whole file, and every earlier signature must be judged
// as it was. EIDBRIDGE_PDF_PASSWORDS are passwords to try, with commas between.
func TestInteropForeignDocuments(t *testing.T) {
	documents := foreignDocuments(t)
	passwords := append([]string{""}, strings.Split(os.Getenv("EIDBRIDGE_PDF_PASSWORDS"), ",")...)
	dir := t.TempDir()
	work := make(chan *foreign)
	var wg sync.WaitGroup
	for range max(1, runtime.NumCPU()) {
		wg.Go(func() {
			for f := range work {
				signForeign(t, f, dir, passwords)
				if f.refused == nil {
					judgeForeign(t.Context(), f)
				}
			}
		})
	}
	for i, f := range documents {
		f.signed = filepath.Join(dir, fmt.Sprintf("%05d.pdf", i))
		work <- f
	}
	close(work)
	wg.Wait()
	judgeByPyHanko(t, documents)
	tally(t, documents)
}

func foreignDocuments(t *testing.T) []*foreign {
	folders := filepath.SplitList(os.Getenv("EIDBRIDGE_PDFS"))
	if len(folders) == 0 {
		beside := filepath.Join("..", "..", "..", "shared", "pdfs")
		if _, err := os.Stat(beside); err != nil {
			t.Skip("no PDFs of other producers: name folders with EIDBRIDGE_PDFS")
		}
		folders = []string{beside}
	}
	var found []*foreign
	for _, folder := range folders {
		err := filepath.WalkDir(folder, func(path string, e fs.DirEntry, err error) error {
			if err == nil && e.Type().IsRegular() && strings.EqualFold(filepath.Ext(path), ".pdf") {
				found = append(found, &foreign{path: path})
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return found
}

// signForeign signs from file to file, with everything that is checked on the way.
func signForeign(t *testing.T, f *foreign, dir string, passwords []string) {
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	data, err := os.ReadFile(f.path)
	if err != nil {
		f.problem("%v", err)
		return
	}
	begin := time.Now()
	var password []byte
	for _, p := range passwords {
		password = []byte(p)
		var result *pades.Result
		result, f.refused = pades.SignFile(ctx, f.path, f.signed, citizen(t), pades.Options{SigningTime: signedAt, Password: password})
		if f.refused == nil {
			f.field = result.Field
		}
		if f.refused == nil || !strings.Contains(f.refused.Error(), "encrypted") {
			break
		}
	}
	f.took = time.Since(begin)
	if f.took > 20*time.Second {
		f.problem("took %s", f.took)
	}
	if f.refused != nil {
		if !typed(f.refused) {
			f.problem("untyped refusal: %v", f.refused)
		}
		return
	}
	out, err := os.ReadFile(f.signed)
	if err != nil || !bytes.HasPrefix(out, data) {
		f.problem("the bytes of the source were changed (%v)", err)
		return
	}
	o := pades.VerifyOptions{Time: signedAt, Password: password}
	f.before, _ = pades.Verify(ctx, bytes.NewReader(data), int64(len(data)), o)
	if f.after, err = pades.Verify(ctx, bytes.NewReader(out), int64(len(out)), o); err != nil {
		f.problem("own reading: %v", err)
		return
	}
	compareForeign(f)
}

// compareForeign wants the earlier signatures judged as before.
func compareForeign(f *foreign) {
	now := make(map[string]pades.Signature)
	for _, s := range f.after.Signatures {
		now[s.Field] = s
	}
	own, ok := now[f.field]
	if !ok || own.Integrity != pades.Intact || own.Coverage != pades.WholeFile || own.Indication == pades.TotalFailed {
		f.problem("own signature: %s/%s %s %s %v", own.Indication, own.SubIndication, own.Integrity, own.Coverage, own.Findings)
	}
	if f.before == nil {
		return
	}
	for _, old := range f.before.Signatures {
		s := now[old.Field]
		same := s.Indication == old.Indication && s.SubIndication == old.SubIndication && s.Integrity == old.Integrity
		if !same && old.Indication != pades.TotalFailed || s.Indication == pades.TotalPassed && old.Indication != pades.TotalPassed {
			f.problem("earlier signature %q: %s/%s became %s/%s %v", old.Field, old.Indication, old.SubIndication, s.Indication, s.SubIndication, s.Findings)
		}
	}
}

// judgeForeign has qpdf and poppler look at the document before and after.
func judgeForeign(ctx context.Context, f *foreign) {
	before, _ := qpdfCheck(ctx, f.path)
	after, complaint := qpdfCheck(ctx, f.signed)
	switch {
	case after > before:
		f.problem("qpdf: %d became %d: %s", before, after, complaint)
	case before == 2:
		f.unread = append(f.unread, "qpdf")
	}
	out, err := run(ctx, "pdfsig", "-nocert", f.signed)
	blocks := strings.Split(out, "Signature #")
	last := ""
	for _, b := range blocks[1:] {
		if strings.Contains(b, "Signature Field Name: "+f.field+"\n") || len(blocks) == 2 {
			last = b
		}
	}
	if strings.Contains(last, "Signature is Valid") && strings.Contains(last, "Total document signed") {
		return
	}
	if info, errInfo := run(ctx, "pdfinfo", f.path); errInfo != nil || strings.Contains(info, "Syntax Error") {
		f.unread = append(f.unread, "poppler")
		return
	}
	f.problem("pdfsig (%v): %.300s", err, strings.TrimSpace(last+"\n"+blocks[0]))
}

func run(ctx context.Context, program string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	out, err := exec.CommandContext(ctx, program, args...).CombinedOutput()
	return string(out), err
}

// qpdfCheck returns how bad it is (0 good, 1 warnings, 2 errors) and the first
// complaint.
func qpdfCheck(ctx context.Context, path string) (grade int, complaint string) {
	out, err := run(ctx, "qpdf", "--check", path)
	var exit *exec.ExitError
	switch {
	case err == nil:
		return 0, ""
	case errors.As(err, &exit) && exit.ExitCode() == 3:
		grade = 1
	default:
		grade = 2
	}
	for line := range strings.SplitSeq(out, "\n") {
		if strings.HasPrefix(line, "WARNING") || strings.Contains(line, "qpdf:") {
			return grade, line
		}
	}
	return grade, out
}

// pythonWithPyHanko is the interpreter of Python that has it.
func pythonWithPyHanko(t *testing.T) string {
	t.Helper()
	interpreter, err := filepath.Abs(filepath.Join("..", "..", ".cache", "python", "bin", "python"))
	if err != nil {
		t.Fatal(err)
	}
	if own := os.Getenv("EIDBRIDGE_PYTHON"); own != "" {
		interpreter = own
	}
	if _, err := os.Stat(interpreter); err != nil {
		for _, command := range [][]string{
			{"python3", "-m", "venv", filepath.Dir(filepath.Dir(interpreter))},
			{interpreter, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--requirement", "../../fixtures/interop/testdata/requirements.txt"},
		} {
			if out, err := exec.CommandContext(t.Context(), command[0], command[1:]...).CombinedOutput(); err != nil {
				t.Fatalf("%v: %v\n%s", command, err, out)
			}
		}
	}
	return interpreter
}

// judgeByPyHanko has one process of pyHanko read all signed documents, and those it
// objects to as they were.
func judgeByPyHanko(t *testing.T, documents []*foreign) {
	interpreter := pythonWithPyHanko(t)
	byPath := make(map[string]*foreign)
	var signed, sources []string
	for _, f := range documents {
		if f.refused == nil {
			byPath[f.signed], byPath[f.path] = f, f
			signed = append(signed, f.signed)
		}
	}
	complaints := make(map[*foreign]string)
	askPyHanko(t, interpreter, signed, func(path string, v pyHankoVerdict) {
		f := byPath[path]
		if why := v.objection(f.field); why != "" {
			complaints[f] = why
			sources = append(sources, f.path)
		}
	})
	askPyHanko(t, interpreter, sources, func(path string, v pyHankoVerdict) {
		if f := byPath[path]; v.Error != "" {
			f.unread = append(f.unread, "pyHanko")
			delete(complaints, f)
		}
	})
	for f, why := range complaints {
		f.problem("pyHanko: %s", why)
	}
}

type pyHankoVerdict struct {
	Path, Error string
	Signatures  []struct {
		Field, Coverage, Modification, Error string
		Intact, Valid                        bool
	}
}

func (v pyHankoVerdict) objection(field string) string {
	if v.Error != "" {
		return v.Error
	}
	for _, s := range v.Signatures {
		if s.Field == field {
			if s.Error != "" || !s.Intact || !s.Valid || s.Coverage != "ENTIRE_FILE" {
				return fmt.Sprintf("%+v", s)
			}
			return ""
		}
	}
	return "does not see the signature"
}

func askPyHanko(t *testing.T, interpreter string, paths []string, each func(string, pyHankoVerdict)) {
	command := exec.CommandContext(t.Context(), interpreter, "testdata/judge_many.py")
	command.Stdin = strings.NewReader(strings.Join(paths, "\n") + "\n")
	command.Stderr = os.Stderr
	out, err := command.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var v pyHankoVerdict
		if err := json.Unmarshal(lines.Bytes(), &v); err != nil {
			t.Fatal(err)
		}
		if v.Path != "" {
			each(v.Path, v)
		}
	}
	if err := command.Wait(); err != nil {
		t.Fatal(err)
	}
}

// tally prints counts, refusals grouped by their reason, and what went wrong.
func tally(t *testing.T, documents []*foreign) {
	refusals := make(map[string][]string)
	unread := make(map[string]int)
	signed, earlier := 0, 0
	numbers, quoted := regexp.MustCompile(`\d+`), regexp.MustCompile(`"[^"]*"`)
	for _, f := range documents {
		for _, p := range f.problems {
			t.Errorf("%s: %s", f.path, p)
		}
		if f.refused != nil {
			reason := quoted.ReplaceAllString(numbers.ReplaceAllString(f.refused.Error(), "N"), "…")
			refusals[reason] = append(refusals[reason], filepath.Base(f.path))
			continue
		}
		signed++
		if f.before != nil {
			earlier += len(f.before.Signatures)
		}
		for _, judge := range f.unread {
			unread[judge]++
		}
	}
	t.Logf("%d documents, %d signed, %d refused; %d earlier signatures judged as before; not readable before by %v",
		len(documents), signed, len(documents)-signed, earlier, unread)
	for _, reason := range slices.SortedFunc(maps.Keys(refusals), func(a, b string) int { return len(refusals[b]) - len(refusals[a]) }) {
		t.Logf("refused %4d: %s (%s)", len(refusals[reason]), reason, refusals[reason][0])
	}
}
