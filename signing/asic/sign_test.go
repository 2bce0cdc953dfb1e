package asic_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/eidbridge/eidbridge/fixtures/signers"
	"github.com/eidbridge/eidbridge/signing"
	"github.com/eidbridge/eidbridge/signing/archive"
	"github.com/eidbridge/eidbridge/signing/asic"
)

func memory(data []byte) signing.Content {
	return signing.SectionContent(bytes.NewReader(data), 0, int64(len(data)))
}

func input(name, text string) asic.Input {
	return asic.Input{Name: name, Size: int64(len(text)), Content: memory([]byte(text))}
}

// inputs fit a kind of container; names need escaping in URIs.
func inputs(kind signing.Format) []asic.Input {
	if kind == signing.ASiCS {
		return []asic.Input{input("leping 1+1.txt", "A contract.\n")}
	}
	return []asic.Input{input("leping 1+1.txt", "A contract.\n"), input("lisad/tõend & 100%.xml", "<a/>"), input("empty.bin", "")}
}

func open(t testing.TB, data []byte) *asic.Container {
	t.Helper()
	c, err := asic.Open(t.Context(), bytes.NewReader(data), int64(len(data)), archive.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func sign(t testing.TB, kind signing.Format, cred signing.Credential, o asic.Options) ([]byte, *signing.Result) {
	t.Helper()
	var out bytes.Buffer
	result, err := asic.Sign(t.Context(), &out, kind, inputs(kind), cred, o)
	if err != nil {
		t.Fatalf("Sign: %v", err)
	}
	if result.Size != int64(out.Len()) || result.Format != kind {
		t.Errorf("%+v, %d bytes", result, out.Len())
	}
	return out.Bytes(), result
}

func verify(t testing.TB, data []byte, o signing.VerifyOptions) *signing.Report {
	t.Helper()
	report, err := asic.Verify(t.Context(), bytes.NewReader(data), int64(len(data)), o)
	if err != nil {
		t.Fatalf("Verify: %v", err)
	}
	return report
}

func passed(t testing.TB, report *signing.Report, levels ...signing.Baseline) {
	t.Helper()
	if len(report.Signatures) != len(levels) || len(report.Warnings) > 0 {
		t.Fatalf("%d signatures, want %d; warnings %v", len(report.Signatures), len(levels), report.Warnings)
	}
	for i, s := range report.Signatures {
		if s.Indication != signing.TotalPassed || s.Baseline != levels[i] || len(s.Signed) == 0 || s.File == "" {
			t.Errorf("signature %d: %s/%s, level %s, want %s: %v", i+1, s.Indication, s.SubIndication, s.Baseline, levels[i], s.Findings)
		}
	}
	for _, st := range report.TimeStamps {
		if st.Indication != signing.TotalPassed {
			t.Errorf("time-stamp %s: %s/%s %v", st.File, st.Indication, st.SubIndication, st.Findings)
		}
	}
}

// flavours are the kinds of containers and signatures.
func flavours() []struct {
	name  string
	kind  signing.Format
	cades bool
} {
	return []struct {
		name  string
		kind  signing.Format
		cades bool
	}{
		{"ASiC-E XAdES", signing.ASiCE, false},
		{"ASiC-E CAdES", signing.ASiCE, true},
		{"ASiC-S XAdES", signing.ASiCS, false},
		{"ASiC-S CAdES", signing.ASiCS, true},
	}
}

func TestSignWithEveryKind(t *testing.T) {
	keys := signers.NewKeys(t)
	for _, f := range flavours() {
		for _, kind := range signers.Kinds() {
			t.Run(f.name+" "+string(kind), func(t *testing.T) {
				cred := keys.Credential(t, kind, nil)
				counting := &signers.Counting{Signer: cred.Signer}
				cred.Signer = counting
				data, _ := sign(t, f.kind, cred, asic.Options{CAdES: f.cades, PSS: kind == signers.RSAPSS})
				if counting.Calls != 1 {
					t.Errorf("the key was used %d times", counting.Calls)
				}
				passed(t, verify(t, data, keys.Trusting()), signing.BaselineB)
				c := open(t, data)
				if c.Kind != f.kind || c.CAdES() != f.cades || len(c.Files) != len(inputs(f.kind)) || len(c.Warnings) > 0 {
					t.Errorf("%s, %d files, %v", c.Kind, len(c.Files), c.Warnings)
				}
				// EN 319 162-1 A.1: the type can be read at a fixed place.
				if want := "mimetypeapplication/vnd.etsi." + string(f.kind) + "+zip"; string(data[30:30+len(want)]) != want {
					t.Errorf("begins with %q", data[30:90])
				}
			})
		}
	}
}

func TestSignaturesAreAddedBesideOthers(t *testing.T) {
	keys := signers.NewKeys(t)
	for _, f := range flavours() {
		t.Run(f.name, func(t *testing.T) {
			data, _ := sign(t, f.kind, keys.Credential(t, signers.P256, nil), asic.Options{CAdES: f.cades})
			for i, kind := range []signers.Kind{signers.P384, signers.RSA} {
				var out bytes.Buffer
				result, err := open(t, data).AddSignature(t.Context(), &out, keys.Credential(t, kind, nil), asic.Options{})
				if err != nil {
					t.Fatal(err)
				}
				data = out.Bytes()
				if result.Size != int64(len(data)) || result.EarlierSignatures == 0 {
					t.Errorf("%+v", result)
				}
				levels := slices.Repeat([]signing.Baseline{signing.BaselineB}, i+2)
				passed(t, verify(t, data, keys.Trusting()), levels...)
			}
		})
	}
}

func TestPlanTravelsAsJSON(t *testing.T) {
	keys := signers.NewKeys(t)
	cred := keys.Credential(t, signers.P256, nil)
	public := cred
	public.Signer = nil
	for _, f := range flavours() {
		t.Run(f.name, func(t *testing.T) {
			var made bytes.Buffer
			if err := asic.Create(t.Context(), &made, f.kind, inputs(f.kind)); err != nil {
				t.Fatal(err)
			}
			plan, err := open(t, made.Bytes()).Prepare(t.Context(), public, asic.Options{CAdES: f.cades})
			if err != nil {
				t.Fatal(err)
			}
			raw, err := json.Marshal(plan)
			if err != nil {
				t.Fatal(err)
			}
			var remote asic.Plan
			if err := json.Unmarshal(raw, &remote); err != nil {
				t.Fatal(err)
			}
			_, digest := remote.Digest()
			value, err := cred.Signer.Sign(nil, digest, remote.SignerOpts())
			if err != nil {
				t.Fatal(err)
			}
			var out bytes.Buffer
			if err := remote.Complete(t.Context(), open(t, made.Bytes()), &out, value); err != nil {
				t.Fatal(err)
			}
			passed(t, verify(t, out.Bytes(), keys.Trusting()), signing.BaselineB)

			other := bytes.Buffer{}
			changed := inputs(f.kind)
			changed[0] = input(changed[0].Name, "Another contract.\n")
			if err := asic.Create(t.Context(), &other, f.kind, changed); err != nil {
				t.Fatal(err)
			}
			if err := remote.Complete(t.Context(), open(t, other.Bytes()), io.Discard, value); !errors.Is(err, signing.ErrSourceChanged) {
				t.Errorf("other files (P-49): %v", err)
			}
			value[len(value)-1] ^= 1
			if err := remote.Complete(t.Context(), open(t, made.Bytes()), io.Discard, value); !errors.Is(err, signing.ErrWrongSignature) {
				t.Errorf("spoiled value (P-52): %v", err)
			}
		})
	}
}

func TestFilesOfUnsignedContainersChange(t *testing.T) {
	keys := signers.NewKeys(t)
	var made bytes.Buffer
	if err := asic.Create(t.Context(), &made, signing.ASiCE, inputs(signing.ASiCE)); err != nil {
		t.Fatal(err)
	}
	if report := verify(t, made.Bytes(), signing.VerifyOptions{}); len(report.Signatures) != 0 {
		t.Errorf("%+v", report.Signatures)
	}
	var more, less bytes.Buffer
	if err := open(t, made.Bytes()).Add(t.Context(), &more, input("uus.txt", "new")); err != nil {
		t.Fatal(err)
	}
	if err := open(t, more.Bytes()).Remove(t.Context(), &less, "empty.bin"); err != nil {
		t.Fatal(err)
	}
	c := open(t, less.Bytes())
	var names []string
	for _, f := range c.Files {
		names = append(names, f.Name)
	}
	if strings.Join(names, "|") != "leping 1+1.txt|lisad/tõend & 100%.xml|uus.txt" || len(c.Warnings) > 0 {
		t.Errorf("%q, %v", names, c.Warnings)
	}
	var signed bytes.Buffer
	if _, err := c.AddSignature(t.Context(), &signed, keys.Credential(t, signers.P256, nil), asic.Options{}); err != nil {
		t.Fatal(err)
	}
	passed(t, verify(t, signed.Bytes(), keys.Trusting()), signing.BaselineB)

	// Signed files stay as they are.
	c = open(t, signed.Bytes())
	for what, err := range map[string]error{
		"add":    c.Add(t.Context(), io.Discard, input("x", "x")),
		"remove": c.Remove(t.Context(), io.Discard, "uus.txt"),
	} {
		if refused, ok := errors.AsType[*signing.RefusedError](err); !errors.Is(err, asic.ErrSigned) || !ok || refused.Advice == "" {
			t.Errorf("%s: %v", what, err)
		}
	}
	if err := c.Remove(t.Context(), io.Discard, "none"); !errors.Is(err, asic.ErrNoFile) {
		t.Errorf("remove what is not there: %v", err)
	}
}

func TestInputsAreRefused(t *testing.T) {
	one := input("a.txt", "a")
	for name, row := range map[string]struct {
		kind signing.Format
		in   []asic.Input
	}{
		"twice":                  {signing.ASiCE, []asic.Input{one, one}},
		"twice but for case":     {signing.ASiCE, []asic.Input{one, input("A.TXT", "b")}},
		"twice but for NFC":      {signing.ASiCE, []asic.Input{input("\u00f5", "a"), input("o\u0303", "b")}},
		"right to left":          {signing.ASiCE, []asic.Input{input("a\u202etxt.exe", "a")}},
		"parent":                 {signing.ASiCE, []asic.Input{input("../a", "a")}},
		"absolute":               {signing.ASiCE, []asic.Input{input("/a", "a")}},
		"META-INF":               {signing.ASiCE, []asic.Input{input("meta-inf/signatures0.xml", "a")}},
		"mimetype":               {signing.ASiCE, []asic.Input{input("mimetype", "a")}},
		"two files in an ASiC-S": {signing.ASiCS, []asic.Input{one, input("b", "b")}},
		"folder in an ASiC-S":    {signing.ASiCS, []asic.Input{input("f/b", "b")}},
		"no kind":                {"zip", []asic.Input{one}},
	} {
		if err := asic.Create(t.Context(), io.Discard, row.kind, row.in); !errors.Is(err, signing.ErrRefused) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestExtractStaysInItsFolder(t *testing.T) {
	var made bytes.Buffer
	if err := asic.Create(t.Context(), &made, signing.ASiCE, inputs(signing.ASiCE)); err != nil {
		t.Fatal(err)
	}
	c := open(t, made.Bytes())
	outside, dir := t.TempDir(), t.TempDir()
	if err := os.Symlink(outside, filepath.Join(dir, "lisad")); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Extract(t.Context(), dir, "lisad/tõend & 100%.xml"); err == nil {
		t.Error("a link led out of the folder")
	}
	if entries, err := os.ReadDir(outside); err != nil || len(entries) > 0 {
		t.Errorf("written outside: %v, %v", entries, err)
	}
	if err := os.Remove(filepath.Join(dir, "lisad")); err != nil {
		t.Fatal(err)
	}
	done, err := c.Extract(t.Context(), dir)
	if err != nil || len(done) != 3 {
		t.Fatalf("%v, %v", done, err)
	}
	if got, err := os.ReadFile(filepath.Join(dir, "lisad", "tõend & 100%.xml")); err != nil || string(got) != "<a/>" {
		t.Errorf("%q, %v", got, err)
	}
	if _, err := c.Extract(t.Context(), dir); !errors.Is(err, signing.ErrExists) {
		t.Errorf("second time: %v", err)
	}
}

func TestTamperedContainersFail(t *testing.T) {
	keys := signers.NewKeys(t)
	for _, f := range flavours() {
		data, _ := sign(t, f.kind, keys.Credential(t, signers.P256, nil), asic.Options{CAdES: f.cades})
		for _, row := range []struct {
			name   string
			change func(name string, content []byte) (string, []byte)
			want   signing.SubIndication
		}{
			{"changed file (X-71)", func(name string, content []byte) (string, []byte) {
				if name == "leping 1+1.txt" {
					return name, []byte("A contract!\n")
				}
				return name, content
			}, signing.HashFailure},
			{"renamed file", func(name string, content []byte) (string, []byte) {
				if name == "leping 1+1.txt" {
					return "leping 2.txt", content
				}
				return name, content
			}, signing.SignedDataNotFound},
		} {
			if f.kind == signing.ASiCS && f.cades && row.want == signing.SignedDataNotFound {
				continue // the name is not signed there
			}
			t.Run(f.name+" "+row.name, func(t *testing.T) {
				report := verify(t, rewrite(t, data, row.change), keys.Trusting())
				if s := report.Signatures[0]; s.SubIndication != row.want || s.Indication == signing.TotalPassed {
					t.Errorf("%s/%s %v", s.Indication, s.SubIndication, s.Findings)
				}
			})
		}
	}
}

// rewrite writes a container again with changed files.
func rewrite(t testing.TB, data []byte, change func(name string, content []byte) (string, []byte), more ...asic.Input) []byte {
	t.Helper()
	r, err := archive.Open(bytes.NewReader(data), int64(len(data)), archive.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	w := archive.NewWriter(&out)
	for _, f := range r.Files {
		content, err := f.ReadAll(1 << 20)
		if err != nil {
			t.Fatal(err)
		}
		name, content := change(f.Name, content)
		if name == "mimetype" {
			err = w.Bare(name, content)
		} else {
			err = w.Write(name, f.Modified, content)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, in := range more {
		src, err := in.Content.Open()
		if err != nil {
			t.Fatal(err)
		}
		content, err := io.ReadAll(src)
		if err != nil {
			t.Fatal(err)
		}
		if err := w.Write(in.Name, in.Modified, content); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func same(name string, content []byte) (string, []byte) { return name, content }

// A file that was put in after signing is told as unsigned.
func TestUnsignedFilesAreListed(t *testing.T) {
	keys := signers.NewKeys(t)
	for _, cades := range []bool{false, true} {
		data, _ := sign(t, signing.ASiCE, keys.Credential(t, signers.P256, nil), asic.Options{CAdES: cades})
		report := verify(t, rewrite(t, data, same, input("lisa.txt", "more")), keys.Trusting())
		found := fmt.Sprint(report.Warnings, report.Signatures[0].Findings)
		if !strings.Contains(found, `the file "lisa.txt" is not signed`) || !strings.Contains(found, `does not cover the file "lisa.txt"`) {
			t.Errorf("%s", found)
		}
	}
}

func sha256Of(text string) []byte {
	sum := sha256.Sum256([]byte(text))
	return sum[:]
}
