package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// The receipt in testdata is one that the provider's own test wrote; nobody is
// asked about it.
func TestReceiptIsRead(t *testing.T) {
	read := func(args ...string) (out, err string, code int) {
		var stdout, stderr bytes.Buffer
		code = run(t.Context(), append([]string{"receipt"}, args...), streams{&stdout, &stderr})
		return stdout.String(), stderr.String(), code
	}
	const file, keys = "testdata/receipt.jwt", "testdata/jwks.json"
	out, err, code := read(file, "--jwks", keys)
	if code != 0 || !strings.HasPrefix(out, "Valid. http://127.0.0.1:") || !strings.Contains(out, "The login was by fake-card of fake.") {
		t.Errorf("exit %d: %s%s", code, out, err)
	}
	if out, err, code = read(file, "--jwks", keys, "--json"); code != 0 || !strings.Contains(out, `"level": "high"`) {
		t.Errorf("exit %d: %s%s", code, out, err)
	}
	text, fail := os.ReadFile(file)
	if fail != nil {
		t.Fatal(fail)
	}
	changed := filepath.Join(t.TempDir(), "changed.jwt")
	write(t, changed, strings.Replace(string(text), ".e", ".E", 1))
	empty := filepath.Join(t.TempDir(), "empty.json")
	write(t, empty, `{"keys":[]}`)
	for _, args := range [][]string{{changed, "--jwks", keys}, {file, "--jwks", empty}, {file, "--jwks", file}, {keys, "--jwks", keys}, {"missing", "--jwks", keys}} {
		if out, err, code := read(args...); code != 1 || out != "" || err == "" {
			t.Errorf("%v: exit %d: %s%s", args, code, out, err)
		}
	}
}
