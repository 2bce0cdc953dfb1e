package main

import (
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/eidbridge/eidbridge/fixtures/corpus"
	"github.com/eidbridge/eidbridge/signing"
)

// What the packages conclude of foreign documents reaches whoever calls the
// program: every row of the corpus that is about signed documents, through eidagent
// verify, with the trust that it names.
func TestCorpusThroughTheCommand(t *testing.T) {
	c := corpus.Open(t, func(r corpus.Row) bool {
		trust := r["trust setting"]
		return (strings.HasPrefix(trust, "none") || strings.HasPrefix(trust, "pin ") || strings.HasPrefix(trust, "EE test TL")) && corpus.Of("asic", "cades", "pades", "xades")(r) ||
			strings.HasPrefix(trust, "this list")
	})
	program := filepath.Join(t.TempDir(), "eidagent")
	if out, err := exec.Command("go", "build", "-o", program, ".").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	for _, row := range c.Rows {
		t.Run(row["file"], func(t *testing.T) {
			t.Parallel()
			judge(t, program, c.Folder, row["file"], row["companions"], row["trust setting"], row["expected indication"])
		})
	}
	if judged := len(c.Rows); judged < 50 {
		t.Errorf("%d rows", judged)
	}
}

func judge(t *testing.T, program, folder, file, companions, trust, want string) {
	t.Helper()
	args := []string{"verify", "--json", "--without-revocation", filepath.Join(folder, file)}
	for companion := range strings.FieldsSeq(companions) {
		_, path, found := strings.Cut(companion, ":")
		beside := filepath.Join(folder, filepath.Dir(file), "aux", filepath.Base(path))
		if _, err := os.Stat(beside); found && err == nil {
			args = append(args, "--content", beside)
		}
	}
	switch {
	case strings.HasPrefix(trust, "EE test TL"):
		args = []string{"verify", "--json", "--require=LT", "--trusted-list", filepath.Join(folder, "trust", "tl", "EE_T.xml"), filepath.Join(folder, file)}
	case strings.HasPrefix(trust, "this list"):
		args = []string{"verify", "--json", "--require=LT", "--trusted-list", filepath.Join(folder, file), filepath.Join(folder, "tl", "aux", "tsl.asice")}
		want = map[string]string{"QES_OK": string(signing.TotalPassed), "NOT_QES": "NOT_PASSED"}[want]
	}
	if pin, ok := strings.CutPrefix(trust, "pin "); ok {
		name := strings.TrimSuffix(strings.Fields(pin)[0], ";")
		if strings.HasPrefix(name, "aux/") {
			name = filepath.Join(filepath.Dir(file), name)
		}
		args = append(args, "--anchors", filepath.Join(folder, name))
		if _, after, ok := strings.Cut(trust, "time "); ok {
			args = append(args, "--at", strings.TrimSuffix(strings.Fields(after)[0], ";"))
		}
	}
	var problems strings.Builder
	command := exec.CommandContext(t.Context(), program, args...)
	command.Env, command.Stderr = append(os.Environ(), "XDG_CONFIG_HOME="+t.TempDir()), &problems
	out, failed := command.Output()
	var exit *exec.ExitError
	if failed != nil && !errors.As(failed, &exit) || exit != nil && exit.ExitCode() < 0 {
		t.Fatalf("it crashed: %v %s", failed, &problems)
	}
	var report struct {
		Signatures []struct{ Indication signing.Indication }
	}
	if err := json.Unmarshal(out, &report); err != nil {
		if want != "REJECT" && want != "NOT_PASSED" { // what is refused has not passed
			t.Errorf("refused, want %s: %s", want, &problems)
		}
		return
	}
	if want == "REJECT" || want == "NO_SIGNATURE" {
		if len(report.Signatures) > 0 {
			t.Errorf("%d signatures, want %s", len(report.Signatures), want)
		}
		return
	}
	answers := strings.Split(want, ";")
	for i, s := range report.Signatures {
		answer := answers[min(i, len(answers)-1)]
		if answer == "NOT_PASSED" && s.Indication != signing.TotalPassed || slices.Contains(strings.Split(answer, "|"), string(s.Indication)) {
			continue
		}
		t.Errorf("signature %d: %s, want %s", i+1, s.Indication, answer)
	}
	if len(report.Signatures) == 0 || len(answers) > 1 && len(answers) != len(report.Signatures) {
		t.Errorf("%d signatures, want %s", len(report.Signatures), want)
	}
}
