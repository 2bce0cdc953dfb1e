package pades_test

import (
	"bytes"
	"errors"
	"fmt"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"

	"github.com/eidbridge/eidbridge/fixtures/pdfs"
	"github.com/eidbridge/eidbridge/signing"
	"github.com/eidbridge/eidbridge/signing/appearance"
	"github.com/eidbridge/eidbridge/signing/pades"
	"github.com/eidbridge/eidbridge/signing/pdf"
)

// TestVerifyReportsCompressedChanges replaces objects through an object stream
// (P-02).
func TestVerifyReportsCompressedChanges(t *testing.T) {
	signed, _ := sign(t, pdfs.CompressedObjects(), citizen(t), pades.Options{})
	got := verify(t, pdfs.ReviseCompressed(signed, map[int]string{4: "<< /Type /Font /Subtype /Type1 /BaseFont /Symbol >>"}), trusted()).Signatures[0]
	if got.Indication != pades.TotalFailed || got.SubIndication != pades.FormatFailure || got.ChangesAfter != pades.ChangesOther || !hasFinding(got, "changed_after_signing") {
		t.Errorf("verdict: %+v", got)
	}
	same := verify(t, pdfs.ReviseCompressed(signed, map[int]string{4: "<< /BaseFont /Helvetica /Subtype /Type1 /Type /Font >>"}), trusted()).Signatures[0]
	if same.Indication != pades.TotalPassed {
		t.Errorf("the same object again: %+v", same)
	}
}

// TestVerifyRefusesWrapping moves the signed parts apart and puts a document of
// the attacker's between or around them (P-07, P-08).
func TestVerifyRefusesWrapping(t *testing.T) {
	signed, _ := sign(t, pdfs.Classic(), citizen(t), pades.Options{})
	s := operate(t, signed)
	total := len(signed)
	t.Run("second part moved, a table in the gap (P-07)", func(t *testing.T) {
		inner := pdfs.Revise(signed[:s.contentsE], map[int]string{5: "<< /Length 2 >>\nstream\nBT\nendstream"}, 1)[s.contentsE:]
		moved := append(append(bytes.Clone(signed[:s.contentsE]), inner...), signed[s.contentsE:]...)
		shifted := surgery{file: moved, rangeAt: s.rangeAt, rangeEnd: s.rangeEnd}
		formatFailure(t, shifted.withRange(fmt.Sprintf("[0 %d %d %d]", s.contentsAt, s.contentsE+len(inner), total-s.contentsE)))
	})
	t.Run("signed parts carried in streams (P-08)", func(t *testing.T) {
		// Twice: the places of the parts are known only once they are laid out.
		parts := [][]byte{signed[:s.contentsAt], signed[s.contentsE:]}
		build := func(a, b int) []byte {
			return pdfs.Revise(pdfs.Classic(), map[int]string{
				1:  "<< /Type /Catalog /Pages 2 0 R /AcroForm << /Fields [30 0 R] /SigFlags 3 >> >>",
				30: "<< /FT /Sig /T (wrapped) /V 31 0 R >>",
				31: fmt.Sprintf("<< /Type /Sig /Filter /Adobe.PPKLite /SubFilter /ETSI.CAdES.detached /ByteRange [%010d %010d %010d %010d] /Contents %s >>",
					a, len(parts[0]), b, len(parts[1]), signed[s.contentsAt:s.contentsE]),
				32: fmt.Sprintf("<< /Length %d >>\nstream\n%s\nendstream", len(parts[0]), parts[0]),
				33: fmt.Sprintf("<< /Length %d >>\nstream\n%s\nendstream", len(parts[1]), parts[1]),
			}, 1)
		}
		first := build(0, 0)
		a := bytes.LastIndex(first, parts[0])
		b := bytes.LastIndex(first, parts[1])
		formatFailure(t, build(a, b))
	})
}

// TestVerifyRefusesEncapsulatedContent puts content into the CMS of the victim
// (P-10), with every byte range that leaves the file out.
func TestVerifyRefusesEncapsulatedContent(t *testing.T) {
	// The hole has room for a time-stamp that never came.
	signed, _ := sign(t, pdfs.Classic(), citizen(t), pades.Options{Level: signing.BaselineT, Services: &pades.Services{TimeStamps: deaf{}}})
	s := operate(t, signed)
	message, _ := s.message(t)
	own := withContent(t, message, []byte("a challenge"))
	carried := s.withMessage(t, own)
	formatFailure(t, carried)
	again := operate(t, carried)
	for _, r := range []string{"null", "[]", "[0 0 0 0]", "[0 1 2 99999999]"} {
		formatFailure(t, again.withRange(r))
	}
}

// withContent adds eContent to the encapContentInfo of a SignedData.
func withContent(t *testing.T, message, content []byte) []byte {
	t.Helper()
	input := cryptobyte.String(message)
	var info, explicit, signed, rest cryptobyte.String
	var kind cryptobyte.String
	if !input.ReadASN1(&info, asn1.SEQUENCE) || !info.ReadASN1Element(&kind, asn1.OBJECT_IDENTIFIER) ||
		!info.ReadASN1(&explicit, asn1.Tag(0).ContextSpecific().Constructed()) || !explicit.ReadASN1(&signed, asn1.SEQUENCE) {
		t.Fatal("no SignedData")
	}
	var version, digests, encapsulated cryptobyte.String
	if !signed.ReadASN1Element(&version, asn1.INTEGER) || !signed.ReadASN1Element(&digests, asn1.SET) || !signed.ReadASN1(&encapsulated, asn1.SEQUENCE) {
		t.Fatal("no content info")
	}
	rest = signed
	var b cryptobyte.Builder
	b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddBytes(kind)
		b.AddASN1(asn1.Tag(0).ContextSpecific().Constructed(), func(b *cryptobyte.Builder) {
			b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
				b.AddBytes(version)
				b.AddBytes(digests)
				b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
					b.AddBytes(encapsulated)
					b.AddASN1(asn1.Tag(0).ContextSpecific().Constructed(), func(b *cryptobyte.Builder) {
						b.AddASN1OctetString(content)
					})
				})
				b.AddBytes(rest)
			})
		})
	})
	out, err := b.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// TestVerifyRefusesSecondVersions has an object twice (P-14): for a reader that
// looks for objects the file is another document.
func TestVerifyRefusesSecondVersions(t *testing.T) {
	refusal(t, pdfs.Unlisted(5), citizen(t), pades.Options{}, pades.RefusedAmbiguous)
	// Made by somebody who signs all the same: the second version comes later.
	signed, _ := sign(t, pdfs.Classic(), citizen(t), pades.Options{})
	at := bytes.LastIndex(signed, []byte("startxref"))
	second := append(bytes.Clone(signed[:at]), "5 0 obj\n<< /Length 2 >>\nstream\nBT\nendstream\nendobj\n"...)
	formatFailure(t, append(second, signed[at:]...))
	// So does one of another generation, which some readers take for newer.
	second = append(bytes.Clone(signed[:at]), "5 1 obj\n<< /Length 2 >>\nstream\nBT\nendstream\nendobj\n"...)
	formatFailure(t, append(second, signed[at:]...))
	// Left over without being anybody's second version, an object harms nothing.
	signed, _ = sign(t, pdfs.Unlisted(25), citizen(t), pades.Options{})
	if got := verify(t, signed, trusted()); !got.Passed() {
		t.Errorf("%+v", got.Signatures)
	}
}

// TestVerifyRefusesHiddenDictionaries: a signature in an object stream, and one
// whose Contents lie elsewhere (P-15).
func TestVerifyRefusesHiddenDictionaries(t *testing.T) {
	formatFailure(t, pdfs.PackedSignature())
	signed, _ := sign(t, pdfs.Classic(), citizen(t), pades.Options{})
	formatFailure(t, operate(t, signed).withContents("5 0 R"))
}

// TestOnlyFieldsLeadToSignatures (P-16): what no field leads to is pointed out and
// not judged; what only the form knows, or carries no flag, is.
func TestOnlyFieldsLeadToSignatures(t *testing.T) {
	signed, _ := sign(t, pdfs.Classic(), citizen(t), pades.Options{})
	form := regexp.MustCompile(`/AcroForm (\d+) 0 R`).FindSubmatch(signed)
	var number int
	if _, err := fmt.Sscan(string(form[1]), &number); err != nil {
		t.Fatal(err)
	}
	warned := func(r *pades.Report, code string) bool {
		return slices.ContainsFunc(r.Warnings, func(f pades.Finding) bool { return f.Code == code })
	}
	t.Run("orphan", func(t *testing.T) {
		report := verify(t, pdfs.Revise(signed, map[int]string{number: "<< /Fields [] /SigFlags 3 >>"}, 1), trusted())
		if len(report.Signatures) != 0 || !warned(report, "orphan_signature") || !warned(report, "signature_removed") {
			t.Errorf("%+v", report)
		}
	})
	t.Run("in the annotations of a page only", func(t *testing.T) {
		s := operate(t, signed)
		dict := "<< /Type /Sig /Filter /Adobe.PPKLite /SubFilter /ETSI.CAdES.detached " +
			string(signed[s.rangeAt-len("/ByteRange "):s.rangeEnd]) + " /Contents " + string(signed[s.contentsAt:s.contentsE]) + " >>"
		file := pdfs.Revise(pdfs.Classic(), map[int]string{
			3:  pageObject + " /Annots [30 0 R] >>",
			30: "<< /FT /Sig /T (loose) /V 31 0 R /Type /Annot /Subtype /Widget /Rect [0 0 9 9] >>",
			31: dict,
		}, 1)
		report := verify(t, file, trusted())
		if len(report.Signatures) != 0 || report.Passed() || !warned(report, "orphan_signature") {
			t.Errorf("%+v", report)
		}
	})
	t.Run("no flags", func(t *testing.T) {
		plain := bytes.Replace(signed, []byte("/SigFlags 3"), []byte("/SigFlags 0"), 1)
		if got := verify(t, plain, trusted()).Signatures; len(got) != 1 || got[0].Indication != pades.TotalFailed {
			t.Errorf("%+v", got) // found, and its bytes are not the signed ones
		}
	})
}

// TestShadowAttacks rebuilds the six published variants in small (P-33 to P-37):
// what was prepared before the signature is brought to light after it.
func TestShadowAttacks(t *testing.T) {
	cred := citizen(t)
	overlay := "<< /Type /XObject /Subtype /Image /Width 1 /Height 1 /ColorSpace /DeviceGray /BitsPerComponent 8 /Length 1 >>\nstream\nx\nendstream"
	page := "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Resources << /Font << /F1 4 0 R >> /XObject << /Over 30 0 R >> >> /Contents 5 0 R >>"
	hidden := pdfs.Revise(pdfs.Classic(), map[int]string{3: page, 30: overlay}, 1)
	second := pdfs.Revise(pdfs.Classic(), map[int]string{
		31: "<< /Type /Pages /Kids [32 0 R] /Count 1 >>",
		32: "<< /Type /Page /Parent 31 0 R /MediaBox [0 0 595 842] /Contents 33 0 R >>",
		33: "<< /Length 2 >>\nstream\nBT\nendstream",
	}, 1)
	for _, c := range []struct {
		name   string
		base   []byte
		change func(t *testing.T, f []byte) (map[int]string, int)
	}{
		{"hide 1: picture over text taken away (P-33)", hidden, func(*testing.T, []byte) (map[int]string, int) {
			return map[int]string{30: strings.Replace(overlay, "\nx\n", "\n\x00\n", 1)}, 1
		}},
		{"hide 1: picture freed (P-33)", hidden, func(*testing.T, []byte) (map[int]string, int) {
			return map[int]string{30: "null"}, 1
		}},
		{"hide 2: form over text (P-34)", pdfs.DressedForm(), func(*testing.T, []byte) (map[int]string, int) {
			return map[int]string{20: "<< /Type /XObject /Subtype /Form /BBox [0 0 228 20] /Length 0 >>\nstream\n\nendstream"}, 1
		}},
		{"replace 1: look of a field (P-35)", pdfs.DressedForm(), func(t *testing.T, f []byte) (map[int]string, int) {
			return map[int]string{
				7:  strings.Replace(body(t, f, 7), "/N 20 0 R", "/N 40 0 R", 1),
				40: "<< /Type /XObject /Subtype /Form /BBox [0 0 228 20] /Length 0 >>\nstream\n\nendstream",
			}, 1
		}},
		{"replace 2: font (P-36)", pdfs.Classic(), func(*testing.T, []byte) (map[int]string, int) {
			return map[int]string{4: "<< /Type /Font /Subtype /Type1 /BaseFont /ZapfDingbats >>"}, 1
		}},
		{"hide and replace 1: catalog turns to the other pages (P-37)", second, func(t *testing.T, f []byte) (map[int]string, int) {
			return map[int]string{1: strings.Replace(body(t, f, 1), "/Pages 2 0 R", "/Pages 31 0 R", 1)}, 1
		}},
		{"hide and replace 2: page turns to the other content (P-37)", second, func(t *testing.T, f []byte) (map[int]string, int) {
			return map[int]string{3: strings.Replace(body(t, f, 3), "/Contents 5 0 R", "/Contents 33 0 R", 1)}, 1
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			signed, _ := sign(t, c.base, cred, pades.Options{})
			objects, root := c.change(t, signed)
			got := verify(t, pdfs.Revise(signed, objects, root), trusted()).Signatures[0]
			if got.Indication == pades.TotalPassed || got.Integrity != pades.Intact || len(got.Findings) == 0 ||
				got.ChangesAfter != pades.ChangesOther && got.ChangesAfter != pades.ChangesUndefined {
				t.Errorf("%s/%s %s %v", got.Indication, got.SubIndication, got.ChangesAfter, got.Findings)
			}
		})
	}
}

// TestVerdictIsNeverTakenFromWhatIsShown (P-39): a name in the dictionary and in an
// appearance is not the signer's.
func TestVerdictIsNeverTakenFromWhatIsShown(t *testing.T) {
	file := pdfs.Revise(pdfs.EmptyVisibleField(), map[int]string{
		11: "<< /Type /Annot /Subtype /Widget /Rect [72 72 272 122] /F 4 /P 3 0 R /AP << /N 30 0 R >> >>",
		30: "<< /Type /XObject /Subtype /Form /BBox [0 0 200 50] /Length 38 >>\nstream\nBT (Signed by the MINISTER, valid) Tj ET\nendstream",
	}, 1)
	signed, _ := sign(t, file, citizen(t), pades.Options{Name: "MINISTER"})
	report := verify(t, signed, trusted())
	if got := report.Signatures[0]; got.Signer.CommonName == "" || strings.Contains(got.Signer.Subject, "MINISTER") || got.ClaimedName != "MINISTER" {
		t.Errorf("%+v", got.Signer)
	}
	var text strings.Builder
	if err := report.WriteText(&text); err != nil {
		t.Fatal(err)
	}
	for line := range strings.SplitSeq(text.String(), "\n") {
		if strings.Contains(line, "MINISTER") && !strings.Contains(line, "Claimed name") {
			t.Errorf("line %q", line)
		}
	}
}

// TestHoleFitsEveryChain (P-56): the hole is sized from the message itself.
func TestHoleFitsEveryChain(t *testing.T) {
	cred := citizen(t)
	for range 40 {
		cred.Chain = append(cred.Chain, sharedCA().issue(t, sharedRSA(), nil).Certificate)
	}
	counter := &countingSigner{Signer: cred.Signer}
	cred.Signer = counter
	signed, _ := sign(t, pdfs.Classic(), cred, pades.Options{})
	if got := verify(t, signed, trusted()); !got.Passed() || counter.calls != 1 {
		t.Errorf("%d calls, %+v", counter.calls, got.Signatures)
	}
}

// TestSignatureInAnAttachment (P-57): the outer document is not signed, and the
// attachment is listed.
func TestSignatureInAnAttachment(t *testing.T) {
	inner, _ := sign(t, pdfs.Classic(), citizen(t), pades.Options{})
	outer := pdfs.Revise(pdfs.Classic(), map[int]string{
		1:  "<< /Type /Catalog /Pages 2 0 R /Names << /EmbeddedFiles << /Names [(a.pdf) 30 0 R] >> >> >>",
		30: "<< /Type /Filespec /F (a.pdf) /UF (a.pdf) /EF << /F 31 0 R >> >>",
		31: fmt.Sprintf("<< /Type /EmbeddedFile /Length %d >>\nstream\n%s\nendstream", len(inner), inner),
	}, 1)
	report := verify(t, outer, trusted())
	if len(report.Signatures) != 0 || report.Passed() || len(report.Warnings) != 0 {
		t.Errorf("%+v", report)
	}
	found := scan(t, outer)
	if i := slices.Index(kinds(found), "embedded_file"); i < 0 || !slices.Contains(found.Findings[i].Names, "a.pdf") {
		t.Errorf("%+v", found.Findings)
	}
}

// TestReadersAgree (P-47, P-58): qpdf, poppler and pdfsign see the pages and the
// signatures that we see, in files of every form; TestInteropReadersSeeTheSame compares
// the objects of the first page.
func TestReadersAgree(t *testing.T) {
	for _, s := range append(pdfs.Samples(), pdfs.Sample{Name: "linearized", Data: qpdf(t, pdfs.Form(), "--linearize")}) {
		t.Run(s.Name, func(t *testing.T) {
			signed, _ := sign(t, s.Data, citizen(t), pades.Options{})
			doc, err := pdf.Open(t.Context(), bytes.NewReader(signed), int64(len(signed)), pdf.Limits{})
			if err != nil {
				t.Fatal(err)
			}
			pages := 0
			if err := doc.WalkPages(func(pdf.Page) bool { pages++; return true }); err != nil {
				t.Fatal(err)
			}
			if out, err := judge(t, signed, "qpdf", "--show-npages"); strings.TrimSpace(lastLine(out)) != fmt.Sprint(pages) {
				t.Errorf("qpdf sees %q pages (%v), we %d", out, err, pages)
			}
			out, _ := judge(t, signed, "pdfsig", "-nocert")
			if n := strings.Count(out, "Signature #"); n != len(verify(t, signed, trusted()).Signatures) || !strings.Contains(out, "Total document signed") {
				t.Errorf("poppler:\n%s", out)
			}
		})
	}
}

func lastLine(s string) string {
	lines := strings.Split(strings.TrimSpace(s), "\n")
	return lines[len(lines)-1]
}

// TestByteRangesAreNotMultiplied (P-71): thousands of pairs cost nothing.
func TestByteRangesAreNotMultiplied(t *testing.T) {
	file := pdfs.Revise(pdfs.Large(9_000_000), map[int]string{
		1:  "<< /Type /Catalog /Pages 2 0 R /AcroForm << /Fields [30 0 R] /SigFlags 3 >> >>",
		30: "<< /FT /Sig /T (many) /V << /Type /Sig /Filter /Adobe.PPKLite /SubFilter /ETSI.CAdES.detached /Contents <3000> /ByteRange [" + strings.Repeat("0 9000000 ", 2000) + "] >> >>",
	}, 1)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	formatFailure(t, file)
	runtime.ReadMemStats(&after)
	if used := int64(after.TotalAlloc - before.TotalAlloc); used > 32<<20 {
		t.Errorf("allocated %d MiB", used>>20)
	}
}

// TestSignaturesAreCounted (P-72).
func TestSignaturesAreCounted(t *testing.T) {
	file := pdfs.ManySignatures(10_000)
	var limit *pdf.LimitError
	begin := cpuSeconds()
	_, err := pades.Verify(t.Context(), bytes.NewReader(file), int64(len(file)), trusted())
	if !errors.As(err, &limit) {
		t.Errorf("verifying: %v", err)
	}
	_, err = pades.Prepare(t.Context(), bytes.NewReader(file), int64(len(file)), citizen(t), pades.Options{SigningTime: signedAt})
	if !errors.As(err, &limit) {
		t.Errorf("signing: %v", err)
	}
	if took := cpuSeconds() - begin; took > 10 {
		t.Errorf("took %.1f s of the processor", took)
	}
	few := pdfs.ManySignatures(100)
	if report := verify(t, few, trusted()); len(report.Signatures) != 100 || report.Signatures[0].SubIndication != pades.FormatFailure {
		t.Errorf("%d signatures", len(report.Signatures))
	}
}

// TestLoopsAreLeft (P-61, P-73): what leads back to itself is neither followed nor
// in the way.
func TestLoopsAreLeft(t *testing.T) {
	cred := citizen(t)
	for _, s := range pdfs.Loops() {
		t.Run(s.Name, func(t *testing.T) {
			begin := cpuSeconds()
			signed, _ := sign(t, s.Data, cred, pades.Options{})
			again, _ := sign(t, signed, cred, pades.Options{})
			if got := verify(t, again, trusted()); !got.Passed() || len(got.Signatures) != 2 {
				t.Errorf("%+v", got.Signatures)
			}
			scan(t, s.Data)
			if took := cpuSeconds() - begin; took > 10 {
				t.Errorf("took %.1f s of the processor", took)
			}
		})
	}
}

// TestPreviewOfHostileFiles (P-79): a preview draws the mark, never the document, so
// that there is no renderer to attack; what cannot be read has none.
func TestPreviewOfHostileFiles(t *testing.T) {
	cred := citizen(t)
	for _, s := range pdfs.Malformed() {
		t.Run(s.Name, func(t *testing.T) {
			begin := cpuSeconds()
			_, err := pades.Preview(t.Context(), bytes.NewReader(s.Data), int64(len(s.Data)), cred, pades.Options{
				SigningTime: signedAt, Visible: &pades.Visible{Mark: appearance.Mark{Text: "{name}"}},
			})
			if err != nil && !typed(err) {
				t.Errorf("got %v", err)
			}
			if took := cpuSeconds() - begin; took > 5 {
				t.Errorf("took %.1f s of the processor", took)
			}
		})
	}
}
