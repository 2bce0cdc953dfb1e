package asic_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/eidbridge/eidbridge/fixtures/signers"
	"github.com/eidbridge/eidbridge/signing"
	"github.com/eidbridge/eidbridge/signing/archive"
	"github.com/eidbridge/eidbridge/signing/asic"
)

// container writes files as they are given.
func container(t testing.TB, mimetype string, files ...string) []byte {
	t.Helper()
	var out bytes.Buffer
	w := archive.NewWriter(&out)
	if mimetype != "" {
		if err := w.Bare("mimetype", []byte(mimetype)); err != nil {
			t.Fatal(err)
		}
	}
	for i := 0; i < len(files); i += 2 {
		if err := w.Write(files[i], time.Time{}, []byte(files[i+1])); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

const (
	typeE = "application/vnd.etsi.asic-e+zip"
	typeS = "application/vnd.etsi.asic-s+zip"
)

// TestContainersAreRefused is X-59 beyond what package archive refuses.
func TestContainersAreRefused(t *testing.T) {
	manifest := func(entries string) string {
		return `<manifest:manifest xmlns:manifest="urn:oasis:names:tc:opendocument:xmlns:manifest:1.0">` + entries + `</manifest:manifest>`
	}
	entry := func(name string) string {
		return `<manifest:file-entry manifest:full-path="` + name + `" manifest:media-type="text/plain"/>`
	}
	for _, row := range []struct {
		name string
		data []byte
		want error
	}{
		{"wrong type", container(t, "application/zip", "a", "a"), asic.ErrNotContainer},
		{"type of a text document", container(t, "application/vnd.oasis.opendocument.text", "a", "a"), asic.ErrNotContainer},
		{"no type and no signature", container(t, "", "a", "a"), asic.ErrNotContainer},
		{"long type", container(t, strings.Repeat("a", 1000), "a", "a"), archive.ErrLimit},
		{"manifest with an entity", container(t, typeE, "META-INF/manifest.xml", `<!DOCTYPE a [<!ENTITY b "c">]>`+manifest(""), "a", "a"), asic.ErrFormat},
		{"manifest that is no XML", container(t, typeE, "META-INF/manifest.xml", "x", "a", "a"), asic.ErrFormat},
		{"manifest with one file twice", container(t, typeE, "META-INF/manifest.xml", manifest(entry("a")+entry("a")), "a", "a"), asic.ErrFormat},
		{"manifest that leads upwards", container(t, typeE, "META-INF/manifest.xml", manifest(entry("../a")), "a", "a"), archive.ErrName},
		{"ASiC-S with two files", container(t, typeS, "a", "a", "b", "b"), asic.ErrFormat},
		{"ASiC-S with a folder", container(t, typeS, "f/a", "a"), asic.ErrFormat},
	} {
		_, err := asic.Verify(t.Context(), bytes.NewReader(row.data), int64(len(row.data)), signing.VerifyOptions{})
		if !errors.Is(err, row.want) {
			t.Errorf("%s: got %v, want %v", row.name, err, row.want)
		}
	}
}

// TestForgedContainersFail: signatures and manifests that are moved, emptied or
// about something else.
func TestForgedContainersFail(t *testing.T) {
	keys := signers.NewKeys(t)
	cred := keys.Credential(t, signers.P256, nil)
	e, _ := sign(t, signing.ASiCE, cred, asic.Options{CAdES: true})
	x, _ := sign(t, signing.ASiCE, cred, asic.Options{})
	drop := func(data []byte, name string) []byte {
		return rewrite(t, data, func(n string, content []byte) (string, []byte) {
			if n == name {
				return "dropped.txt", content
			}
			return n, content
		})
	}
	replace := func(data []byte, name, from, to string) []byte {
		return rewrite(t, data, func(n string, content []byte) (string, []byte) {
			if n == name {
				content = bytes.Replace(content, []byte(from), []byte(to), 1)
			}
			return n, content
		})
	}
	for _, row := range []struct {
		name string
		data []byte
		sub  signing.SubIndication
	}{
		{"manifest gone", drop(e, "META-INF/ASiCManifest001.xml"), signing.FormatFailure},
		{"manifest changed", replace(e, "META-INF/ASiCManifest001.xml", "text/plain", "text/other"), signing.HashFailure},
		{"manifest about nothing", replace(e, "META-INF/ASiCManifest001.xml", "asic:DataObjectReference", "asic:Other"), signing.FormatFailure},
		{"signed file gone", drop(e, "leping 1+1.txt"), signing.SignedDataNotFound},
		{"signed file gone, XAdES", drop(x, "leping 1+1.txt"), signing.SignedDataNotFound},
		{"signature cut", replace(x, "META-INF/signatures0.xml", "</ds:SignatureValue>", ""), signing.FormatFailure},
	} {
		report := verify(t, row.data, keys.Trusting())
		if len(report.Signatures) != 1 || report.Signatures[0].Indication == signing.TotalPassed || report.Signatures[0].SubIndication != row.sub {
			t.Errorf("%s: %+v", row.name, report.Signatures)
		}
	}
}

// TestContainerWithoutItsSignature: what a manifest names and is not there is no
// signature, and the container says so.
func TestContainerWithoutItsSignature(t *testing.T) {
	keys := signers.NewKeys(t)
	e, _ := sign(t, signing.ASiCE, keys.Credential(t, signers.P256, nil), asic.Options{CAdES: true})
	r := verify(t, rewrite(t, e, func(name string, content []byte) (string, []byte) {
		if name == "META-INF/signature001.p7s" {
			name = "dropped.txt"
		}
		return name, content
	}), keys.Trusting())
	if len(r.Signatures) != 0 || !slices.ContainsFunc(r.Warnings, func(f signing.Finding) bool { return f.Code == "container_manifest" }) {
		t.Errorf("%+v", r)
	}
}

// TestTimeStampAloneIsNoSignature: a container with a token alone has none, and the
// token is judged (EN 319 162-1 4.3.3.4).
func TestTimeStampAloneIsNoSignature(t *testing.T) {
	t.Parallel()
	country := signers.NewCountry(t)
	token, err := country.Services.TimeStamps.Stamp(t.Context(), 5, sha256Of("A contract.\n"))
	if err != nil {
		t.Fatal(err)
	}
	o := country.Trusting()
	o.Fetch = country.Client
	data := container(t, typeS, "leping.txt", "A contract.\n", "META-INF/timestamp.tst", string(token.Raw))
	report := verify(t, data, o)
	if len(report.Signatures) != 0 || len(report.TimeStamps) != 1 || report.TimeStamps[0].Indication != signing.TotalPassed || report.Passed() {
		t.Errorf("%+v %+v", report.Signatures, report.TimeStamps)
	}
	changed := container(t, typeS, "leping.txt", "Another.\n", "META-INF/timestamp.tst", string(token.Raw))
	if report = verify(t, changed, o); report.TimeStamps[0].SubIndication != signing.HashFailure {
		t.Errorf("%+v", report.TimeStamps)
	}
}

// TestBombsCostNothing: a container that inflates to gigabytes is refused, and a
// real file of that kind is verified with little memory.
func TestBombsCostNothing(t *testing.T) {
	dir := t.TempDir()
	name := filepath.Join(dir, "zeros")
	f, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Truncate(64 << 20); err != nil {
		t.Fatal(err)
	}
	f.Close()
	keys := signers.NewKeys(t)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	out := filepath.Join(dir, "zeros.asice")
	if _, err := asic.SignFiles(t.Context(), []string{name}, out, signing.ASiCE, keys.Credential(t, signers.P256, nil), asic.Options{}); err != nil {
		t.Fatal(err)
	}
	runtime.ReadMemStats(&after)
	if grew := after.TotalAlloc - before.TotalAlloc; grew > 24<<20 {
		t.Errorf("%d bytes were allocated", grew)
	}
	bomb := container(t, typeE, "bomb.txt", strings.Repeat("\x00", 3<<20))
	if len(bomb) > 1<<20 {
		t.Fatal("not compressed")
	}
	if _, err := asic.Open(t.Context(), bytes.NewReader(bomb), int64(len(bomb)), archive.Limits{FreeSize: 1 << 20}); !errors.Is(err, archive.ErrLimit) {
		t.Errorf("bomb: %v", err)
	}
}

func FuzzVerify(f *testing.F) {
	keys := signers.NewKeys(f)
	cred := keys.Credential(f, signers.P256, nil)
	for _, flavour := range flavours() {
		data, _ := sign(f, flavour.kind, cred, asic.Options{CAdES: flavour.cades})
		f.Add(data)
	}
	f.Add(container(f, typeS, "a", "a", "META-INF/timestamp.tst", "x"))
	f.Fuzz(func(t *testing.T, data []byte) {
		report, err := asic.Verify(t.Context(), bytes.NewReader(data), int64(len(data)), keys.Trusting())
		if err != nil {
			for _, known := range []error{
				asic.ErrFormat, asic.ErrNotContainer, archive.ErrFormat, archive.ErrLimit, archive.ErrName, archive.ErrEncrypted, archive.ErrAmbiguous, archive.ErrCorrupt,
			} {
				if errors.Is(err, known) {
					return
				}
			}
			t.Fatalf("untyped error: %v", err)
		}
		var b strings.Builder
		if err := report.WriteText(&b); err != nil {
			t.Fatal(err)
		}
	})
}
