package validation_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/eidbridge/eidbridge/fixtures/pdfs"
	"github.com/eidbridge/eidbridge/signing"
	"github.com/eidbridge/eidbridge/signing/asic"
	"github.com/eidbridge/eidbridge/signing/cades"
	"github.com/eidbridge/eidbridge/signing/pades"
	"github.com/eidbridge/eidbridge/signing/xades"
)

const letter = `<?xml version="1.0" encoding="UTF-8"?>` + "\n" + `<letter xmlns="urn:lab:letter"><to>Whom it concerns</to><text>Good morning.</text></letter>`

// bytesContent is content in memory.
type bytesContent []byte

func (b bytesContent) Open() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(b)), nil }

// forms are the kinds of documents, by the extension of their files.
func forms() []string { return []string{".pdf", ".xml", ".p7m", ".asice", ".scs", ".sce"} }

// signed makes a document of a form in a realm.
func (l *lab) signed(t testing.TB, r *realm, form string) []byte {
	t.Helper()
	document, err := l.sign(r, form)
	if err != nil {
		t.Fatalf("%s%s: %v", r.name, form, err)
	}
	return document
}

func (l *lab) sign(r *realm, form string) ([]byte, error) {
	ctx, cred, services, at := context.Background(), r.credential(), r.services(l), r.time()
	var out bytes.Buffer
	var result *signing.Result
	var err error
	container := asic.Options{SigningTime: at, Level: r.level, Services: services, Digest: r.hash, PSS: r.pss}
	inputs := []asic.Input{{Name: "letter.xml", Content: bytesContent(letter)}, {Name: "more.txt", Content: bytesContent("more")}}
	switch form {
	case ".pdf":
		src := pdfs.Classic()
		result, err = pades.Sign(ctx, bytes.NewReader(src), int64(len(src)), &out, cred, pades.Options{SigningTime: at, Level: r.level, Services: services, Digest: r.hash, PSS: r.pss})
	case ".xml":
		result, err = xades.Sign(ctx, strings.NewReader(letter), int64(len(letter)), &out, cred, xades.Options{SigningTime: at, Level: r.level, Services: services, Digest: r.hash, PSS: r.pss})
	case ".p7m":
		result, err = cades.Sign(ctx, bytesContent(letter), &out, cred, cades.Options{SigningTime: at, Level: r.level, Services: services, Digest: r.hash, PSS: r.pss})
	case ".asice":
		result, err = asic.Sign(ctx, &out, signing.ASiCE, inputs, cred, container)
	case ".sce":
		container.CAdES = true
		result, err = asic.Sign(ctx, &out, signing.ASiCE, inputs, cred, container)
	case ".scs":
		container.CAdES = true
		result, err = asic.Sign(ctx, &out, signing.ASiCS, inputs[:1], cred, container)
	}
	if err != nil {
		return nil, err
	}
	if want := r.level; want != "" && result.Baseline != want {
		return nil, fmt.Errorf("level %s instead of %s: %s", result.Baseline, want, result.Shortfall)
	}
	return out.Bytes(), nil
}

// verify judges a document of a form.
func verify(form string, document []byte, content signing.Content, o signing.VerifyOptions) (*signing.Report, error) {
	ctx, src, size := context.Background(), bytes.NewReader(document), int64(len(document))
	switch form {
	case ".pdf":
		return pades.Verify(ctx, src, size, o)
	case ".xml":
		return xades.Verify(ctx, src, size, xades.VerifyOptions{VerifyOptions: o})
	case ".p7m", ".p7s":
		return cades.Verify(ctx, src, size, content, o)
	default:
		return asic.Verify(ctx, src, size, o)
	}
}

// online judges in a realm as of now, with authorities that can be asked.
func (l *lab) online(r *realm) signing.VerifyOptions {
	r.set(time.Now())
	return signing.VerifyOptions{Roots: r.anchors(), Time: time.Now(), Fetch: l.client}
}

// words puts a report into one line: verdict and level of each signature.
func words(r *signing.Report, err error) string {
	if err != nil {
		return "REFUSED " + err.Error()
	}
	if len(r.Signatures) == 0 {
		return "NO_SIGNATURE"
	}
	var all []string
	for _, s := range r.Signatures {
		text := string(s.Indication)
		if s.SubIndication != "" {
			text += "/" + string(s.SubIndication)
		}
		if s.Baseline != "" {
			text += " " + string(s.Baseline)
		}
		all = append(all, text)
	}
	return strings.Join(all, "; ")
}

// generated is a document of a case, as a file.
type generated struct {
	name, path, form string
	realm            *realm
	ours, want       string
	dss, why         string
	findings         []string
	content          string // path of detached content
}

func write(t testing.TB, dir string, n int, form string, document []byte) string {
	t.Helper()
	path := filepath.Join(dir, fmt.Sprintf("%04d%s", n, form))
	if err := os.WriteFile(path, document, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// situated makes and judges the documents of all situations.
func (l *lab) situated(t testing.TB, dir string) []*generated {
	t.Helper()
	var all []*generated
	for _, s := range situations() {
		r := l.newRealm(t, s.situation)
		for _, form := range forms() {
			r.set(r.now.Add(-r.signedAgo))
			document, err := l.sign(r, form)
			level := " " + string(max(s.level, signing.BaselineB))
			if s.basic && form != ".pdf" {
				level = " " + string(signing.BaselineB)
			}
			g := &generated{name: s.name + form, form: form, realm: r, want: s.want + level, why: s.why}
			if s.dss != "" {
				g.dss = s.dss + level
			}
			all = append(all, g)
			if err != nil {
				g.ours = "NOT MADE " + err.Error()
				continue
			}
			g.path = write(t, dir, len(all), form, document)
			report, err := verify(form, document, nil, l.online(r))
			g.ours = words(report, err)
			if report != nil {
				for _, s := range report.Signatures {
					for _, f := range s.Findings {
						g.findings = append(g.findings, f.Text)
					}
				}
			}
		}
	}
	return all
}

func TestSituations(t *testing.T) {
	l := newLab(t)
	for _, g := range l.situated(t, t.TempDir()) {
		if g.ours != g.want {
			t.Errorf("%s: %s, want %s: %q", g.name, g.ours, g.want, g.findings)
		}
	}
}
