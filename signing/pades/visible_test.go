package pades_test

import (
	"bytes"
	"context"
	"errors"
	"image"
	"image/color"
	"image/png"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/eidbridge/eidbridge/fixtures/pdfs"
	"github.com/eidbridge/eidbridge/signing/appearance"
	"github.com/eidbridge/eidbridge/signing/pades"
	"github.com/eidbridge/eidbridge/signing/pdf"
)

// usualMark fills its values from certificate and options.
func usualMark() appearance.Mark {
	return appearance.Mark{
		Text: "Signed by {name}\n{issuer}\n{time}\n{level}\nReason: {reason}\nПодписано, Υπογραφή, õšžñ",
		QR:   "https://example.test/", Border: true,
	}
}

func visible(places ...pades.Place) pades.Options {
	return pades.Options{Reason: "approval", Visible: &pades.Visible{Mark: usualMark(), Places: places}}
}

// render has poppler draw one page of a file at 144 dots an inch.
func render(t *testing.T, file []byte, page int) image.Image {
	t.Helper()
	program, err := exec.LookPath("pdftoppm")
	if err != nil {
		t.Skip("pdftoppm is not installed")
	}
	dir := t.TempDir()
	name := filepath.Join(dir, "signed.pdf")
	if err := os.WriteFile(name, file, 0o600); err != nil {
		t.Fatal(err)
	}
	n := strconv.Itoa(page)
	out, err := exec.Command(program, "-cropbox", "-png", "-r", "144", "-f", n, "-l", n, "-singlefile", name, filepath.Join(dir, "page")).CombinedOutput()
	if err != nil {
		t.Fatalf("pdftoppm: %v\n%s", err, out)
	}
	data, err := os.ReadFile(filepath.Join(dir, "page.png"))
	if err != nil {
		t.Fatal(err)
	}
	m, err := png.Decode(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// difference is the mean distance of the gray values of two pictures, the second of
// them at a place in the first.
func difference(a, b image.Image, x, y int) float64 {
	sum, n := 0.0, 0
	for j := range b.Bounds().Dy() {
		for i := range b.Bounds().Dx() {
			p := color.GrayModel.Convert(a.At(x+i, y+j)).(color.Gray).Y
			q := color.GrayModel.Convert(b.At(i, j)).(color.Gray).Y
			sum += math.Abs(float64(p) - float64(q))
			n++
		}
	}
	return sum / float64(n)
}

// TestPreviewIsWhatAViewerShows signs pages of every rotation, crop box and unit and
// compares what poppler draws with the preview.
func TestPreviewIsWhatAViewerShows(t *testing.T) {
	file := pdfs.Views()
	const w, h = 220.0, 90.0
	o := visible(pades.Place{Page: pades.AllPages, X: 50, Y: 30, Width: w, Height: h})
	o.SigningTime = signedAt
	cred := citizen(t)
	signed, _ := sign(t, file, cred, o)
	drawing, err := pades.Preview(context.Background(), bytes.NewReader(file), int64(len(file)), cred, o)
	if err != nil {
		t.Fatal(err)
	}
	preview, err := drawing.Image(144)
	if err != nil {
		t.Fatal(err)
	}
	blank := image.NewUniform(color.White)
	for page := 1; page <= 7; page++ {
		shown, want := render(t, signed, page), preview
		scale := 2.0
		if page == 7 { // poppler does not scale by the unit, so the page is half as large
			scale = 1
			if want, err = drawing.Image(72); err != nil {
				t.Fatal(err)
			}
		}
		b := shown.Bounds()
		if page < 7 && (b.Dx() != 800 && b.Dx() != 600) {
			t.Errorf("page %d is %d pixels wide", page, b.Dx())
		}
		x, y := int(50*scale), b.Dy()-int((30+h)*scale)
		got := difference(shown, want, x, y)
		empty := difference(blank, want, 0, 0)
		if got > empty/4 {
			t.Errorf("page %d differs from the preview by %.1f; an empty page would by %.1f", page, got, empty)
		}
	}
}

// TestVisibleSignaturesAreAcceptedByOthers signs every structure visibly: the
// verdict is as for hidden ones, qpdf and poppler agree, and the text can be read.
func TestVisibleSignaturesAreAcceptedByOthers(t *testing.T) {
	cred := citizen(t)
	for _, s := range append(pdfs.Samples(), pdfs.Sample{Name: "views", Data: pdfs.Views()}) {
		t.Run(s.Name, func(t *testing.T) {
			signed, _ := sign(t, s.Data, cred, visible())
			got := verify(t, signed, trusted()).Signatures[0]
			if got.Indication != pades.TotalPassed || got.Coverage != pades.WholeFile {
				t.Errorf("verdict %+v", got)
			}
			_, before := judge(t, s.Data, "qpdf", "--check")
			if out, err := judge(t, signed, "qpdf", "--check"); err != nil && before == nil {
				t.Errorf("qpdf: %v\n%s", err, out)
			}
			if out, err := judge(t, signed, "pdfsig", "-nocert"); err != nil || !strings.Contains(out, "Signature is Valid") || !strings.Contains(out, "Total document signed") {
				t.Errorf("pdfsig: %v\n%s", err, out)
			}
			if out, err := judge(t, signed, "pdffonts"); err != nil || !strings.Contains(out, "CID TrueType      Identity-H       yes yes yes") {
				t.Errorf("pdffonts: %v\n%s", err, out)
			}
			twice, _ := sign(t, signed, cred, pades.Options{})
			report := verify(t, twice, trusted())
			if len(report.Signatures) != 2 || report.Signatures[0].Indication != pades.TotalPassed || report.Signatures[0].ChangesAfter != pades.ChangesFormFill {
				t.Errorf("after a further signature: %+v", report.Signatures[0])
			}
		})
	}
}

func TestTextOfTheMarkCanBeRead(t *testing.T) {
	signed, _ := sign(t, pdfs.Views(), citizen(t), visible(pades.Place{Page: 2, Corner: pades.TopLeft, Width: 280, Height: 120}))
	name := filepath.Join(t.TempDir(), "signed.pdf")
	if err := os.WriteFile(name, signed, 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command("pdftotext", name, "-").CombinedOutput()
	if err != nil {
		t.Skipf("pdftotext: %v", err)
	}
	for _, want := range []string{
		"Signed by\nPROOVIJA,PILLE,60001019906\n", "2026-03-04 10:20:30 +02:00\n", "PAdES B-B\n", "Reason: approval\n", "Подписано, Υπογραφή, õšžñ\n",
	} {
		if !strings.Contains(string(out), want) {
			t.Errorf("no %q in %q", want, out)
		}
	}
}

// object finds the first object that has a word in it, in source form.
func object(t *testing.T, tail string, words ...string) string {
	t.Helper()
	for body := range strings.SplitSeq(tail, "endobj") {
		all := true
		for _, w := range words {
			all = all && strings.Contains(body, w)
		}
		if all {
			return body
		}
	}
	t.Fatalf("no object with %q", words)
	return ""
}

// One field has one widget (ISO 32000-2 12.7.5.5); further marks are stamps in the
// same revision.
func TestFurtherMarksAreStamps(t *testing.T) {
	file := pdfs.Views()
	signed, _ := sign(t, file, citizen(t), visible(
		pades.Place{Page: 1, Corner: pades.TopLeft, Width: 150}, pades.Place{Page: 1, Corner: pades.BottomRight, Width: 150},
		pades.Place{Page: pades.LastPage, Corner: pades.BottomRight, Width: 150}))
	tail := added(t, file, signed)
	if n := strings.Count(tail, "/Subtype /Widget"); n != 1 {
		t.Errorf("%d widgets", n)
	}
	if n := strings.Count(tail, "/Subtype /Stamp"); n != 2 {
		t.Errorf("%d stamps", n)
	}
	widget := object(t, tail, "/FT /Sig")
	for _, want := range []string{"/F 132", "/TU (Signed by", "/Contents (Signed by", "/AP << /N ", "/Rect [24 212 174 276]"} {
		want = strings.ReplaceAll(want, "(Signed by", "<FEFF005300690067006E00650064")
		if !strings.Contains(widget, want) {
			t.Errorf("no %s in %s", want, widget)
		}
	}
	if n := strings.Count(tail, "/Type /Page\n") + strings.Count(tail, "/Type /Page "); n != 2 {
		t.Errorf("%d pages were rewritten", n)
	}
	// Two orientations or units are two forms, over the same font.
	if n := strings.Count(tail, "/FontFile2"); n != 1 {
		t.Errorf("%d fonts", n)
	}
}

// An empty field with an area gets the mark where its author put it.
func TestMarkGoesIntoTheEmptyField(t *testing.T) {
	file := pdfs.EmptyVisibleField()
	signed, result := sign(t, file, citizen(t), visible())
	if result.NewField {
		t.Error("a new field was made")
	}
	if got := verify(t, signed, trusted()).Signatures[0]; got.Indication != pades.TotalPassed {
		t.Errorf("verdict %+v", got)
	}
	if tail := added(t, file, signed); !strings.Contains(tail, "/AP << /N ") || !strings.Contains(tail, "/FontFile2") {
		t.Errorf("no appearance in %s", tail)
	}
}

// TestMarksThatWouldHarmAreRefused before a key is used.
func TestMarksThatWouldHarmAreRefused(t *testing.T) {
	cred := citizen(t)
	once, _ := sign(t, pdfs.Classic(), cred, pades.Options{})
	nan := math.NaN()
	for _, row := range []struct {
		name string
		file []byte
		o    pades.Options
		code pades.RefusalCode
	}{
		{"several pages of a signed document", once, visible(pades.Place{Page: 1}, pades.Place{Page: 1, X: 200, Y: 300}), pades.RefusedVisible},
		{"text that does not fit", pdfs.Classic(), visible(pades.Place{Page: 1, Width: 20, Height: 5}), pades.RefusedVisible},
		{"field without an area", pdfs.EmptyField(), func() pades.Options { o := visible(); o.FieldName = emptyFieldName(t); return o }(), pades.RefusedVisible},
		// P-50
		{"page 0", pdfs.Classic(), visible(pades.Place{}), pades.RefusedOption},
		{"page -2 of 1", pdfs.Classic(), visible(pades.Place{Page: -2}), pades.RefusedOption},
		{"page 10⁹", pdfs.Classic(), visible(pades.Place{Page: 1e9}), pades.RefusedOption},
		{"NaN", pdfs.Classic(), visible(pades.Place{Page: 1, X: nan}), pades.RefusedOption},
		{"infinite", pdfs.Classic(), visible(pades.Place{Page: 1, Width: math.Inf(1)}), pades.RefusedOption},
		{"10³⁰", pdfs.Classic(), visible(pades.Place{Page: 1, Y: 1e30}), pades.RefusedOption},
		{"negative width", pdfs.Classic(), visible(pades.Place{Page: 1, Width: -5}), pades.RefusedOption},
		{"left of the page", pdfs.Classic(), visible(pades.Place{Page: 1, X: -5}), pades.RefusedOption},
		{"right of the page", pdfs.Classic(), visible(pades.Place{Page: 1, X: 500, Width: 200}), pades.RefusedOption},
	} {
		t.Run(row.name, func(t *testing.T) {
			counter := &countingSigner{Signer: cred.Signer}
			c := cred
			c.Signer = counter
			row.o.SigningTime = signedAt
			_, err := pades.Sign(context.Background(), bytes.NewReader(row.file), int64(len(row.file)), new(bytes.Buffer), c, row.o)
			refused, ok := errors.AsType[*pades.RefusedError](err)
			if !ok || refused.Code != row.code || refused.Advice == "" || counter.calls != 0 {
				t.Errorf("%v, %d calls", err, counter.calls)
			}
		})
	}
}

// emptyFieldName is the name of the field of pdfs.EmptyField.
func emptyFieldName(t *testing.T) string {
	t.Helper()
	file := pdfs.EmptyField()
	doc, err := pdf.Open(context.Background(), bytes.NewReader(file), int64(len(file)), pdf.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	form, err := doc.Form()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range form.Fields {
		if f.Type == "Sig" {
			return f.Name
		}
	}
	t.Fatal("no field")
	return ""
}

// A second visible signature next to the first: the first is whole and the second
// is pointed out, since it could cover text (P-31).
func TestSecondVisibleSignatureIsPointedOut(t *testing.T) {
	cred := citizen(t)
	once, _ := sign(t, pdfs.Classic(), cred, visible(pades.Place{Page: 1, Corner: pades.BottomLeft}))
	twice, _ := sign(t, once, cred, visible(pades.Place{Page: 1, Corner: pades.BottomRight}))
	report := verify(t, twice, trusted())
	first := report.Signatures[0]
	if first.Indication != pades.TotalPassed || first.ChangesAfter != pades.ChangesFormFill {
		t.Errorf("first signature: %+v", first)
	}
	pointedOut := false
	for _, f := range append(first.Findings, report.Warnings...) {
		pointedOut = pointedOut || strings.Contains(f.Text, "visible")
	}
	if !pointedOut {
		t.Errorf("findings: %+v", first.Findings)
	}
}

// TestVerdictIsNotTakenFromTheMark (P-39): a mark may say anything; the report names
// the certificate's holder.
func TestVerdictIsNotTakenFromTheMark(t *testing.T) {
	signed, _ := sign(t, pdfs.Classic(), citizen(t), pades.Options{Visible: &pades.Visible{Mark: appearance.Mark{
		Text: "Signed by {name}: TRUSTED, VALID, QUALIFIED", Values: appearance.Values{Name: "MINISTER OF FINANCE"},
	}}})
	var text bytes.Buffer
	report := verify(t, signed, pades.VerifyOptions{})
	if err := report.WriteText(&text); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(text.String(), "MINISTER") || strings.Contains(text.String(), "TRUSTED") || !strings.Contains(text.String(), "PROOVIJA") {
		t.Errorf("report:\n%s", text.String())
	}
	if report.Signatures[0].Indication != pades.Indeterminate {
		t.Errorf("verdict %s", report.Signatures[0].Indication)
	}
}

// TestMarkInEncryptedDocument: what is drawn is encrypted like the rest, and drawn.
func TestMarkInEncryptedDocument(t *testing.T) {
	program, err := exec.LookPath("qpdf")
	if err != nil {
		t.Skip("qpdf is not installed")
	}
	dir := t.TempDir()
	plain, locked := filepath.Join(dir, "plain.pdf"), filepath.Join(dir, "locked.pdf")
	if err := os.WriteFile(plain, pdfs.Classic(), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command(program, "--encrypt", "", "owner", "256", "--", plain, locked).CombinedOutput(); err != nil {
		t.Fatalf("qpdf: %v\n%s", err, out)
	}
	file, err := os.ReadFile(locked)
	if err != nil {
		t.Fatal(err)
	}
	o := visible(pades.Place{Page: 1, X: 100, Y: 100, Width: 220, Height: 90})
	o.SigningTime = signedAt
	cred := citizen(t)
	signed, _ := sign(t, file, cred, o)
	if strings.Contains(added(t, file, signed), "Reason: approval") {
		t.Error("text stands in clear")
	}
	drawing, err := pades.Preview(context.Background(), bytes.NewReader(file), int64(len(file)), cred, o)
	if err != nil {
		t.Fatal(err)
	}
	want, err := drawing.Image(144)
	if err != nil {
		t.Fatal(err)
	}
	shown := render(t, signed, 1)
	if got, empty := difference(shown, want, 200, shown.Bounds().Dy()-380), difference(image.White, want, 0, 0); got > empty/4 {
		t.Errorf("differs from the preview by %.1f; an empty page would by %.1f", got, empty)
	}
}

// A certification may show itself. After it, a mark goes into an empty field that the
// author left, and nowhere else.
func TestMarksAndCertifications(t *testing.T) {
	cred := citizen(t)
	o := visible(pades.Place{Page: 1, Corner: pades.TopLeft})
	o.Certify = pades.CertifyForms
	certified, _ := sign(t, pdfs.EmptyVisibleField(), cred, o)
	into, result := sign(t, certified, cred, visible())
	if result.NewField {
		t.Error("a new field was made")
	}
	for _, s := range verify(t, into, trusted()).Signatures {
		if s.Indication != pades.TotalPassed || s.Coverage == pades.Partial {
			t.Errorf("signature in %s: %+v", s.Field, s)
		}
	}
	o = visible(pades.Place{Page: 1, Corner: pades.BottomLeft})
	o.SigningTime = signedAt
	_, err := pades.Sign(context.Background(), bytes.NewReader(certified), int64(len(certified)), new(bytes.Buffer), cred, o)
	if refused, ok := errors.AsType[*pades.RefusedError](err); !ok || refused.Code != pades.RefusedVisible {
		t.Errorf("a new visible field: %v", err)
	}
}

// The field of a signed document that its author left for the next signer.
func TestMarkIntoAFieldOfASignedDocument(t *testing.T) {
	cred := citizen(t)
	once, _ := sign(t, pdfs.EmptyVisibleField(), cred, pades.Options{FieldName: "first"})
	twice, result := sign(t, once, cred, visible())
	if result.NewField || result.EarlierSignatures != 1 {
		t.Errorf("result %+v", result)
	}
	for _, s := range verify(t, twice, trusted()).Signatures {
		if s.Indication != pades.TotalPassed {
			t.Errorf("signature in %s: %+v", s.Field, s)
		}
	}
}
