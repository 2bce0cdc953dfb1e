package pades_test

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/eidbridge/eidbridge/fixtures/pdfs"
	"github.com/eidbridge/eidbridge/signing"
	"github.com/eidbridge/eidbridge/signing/cms"
	"github.com/eidbridge/eidbridge/signing/pades"
	"github.com/eidbridge/eidbridge/signing/pdf"
)

// surgery cuts a signed file at its last signature.
type surgery struct {
	file                  []byte
	rangeAt, rangeEnd     int // of the ByteRange array
	contentsAt, contentsE int // of the string with its brackets
}

func operate(t testing.TB, file []byte) surgery {
	t.Helper()
	s := surgery{file: file}
	found := regexp.MustCompile(`/ByteRange (\[[^\]]*\])`).FindAllSubmatchIndex(file, -1)
	if found == nil {
		t.Fatal("no ByteRange")
	}
	last := found[len(found)-1]
	s.rangeAt, s.rangeEnd = last[2], last[3]
	s.contentsAt = s.rangeEnd + bytes.IndexByte(file[s.rangeEnd:], '<')
	s.contentsE = s.contentsAt + bytes.IndexByte(file[s.contentsAt:], '>') + 1
	return s
}

// withRange replaces the array, padded to its old length.
func (s surgery) withRange(text string) []byte {
	width := s.rangeEnd - s.rangeAt
	if len(text) > width {
		return nil
	}
	out := bytes.Clone(s.file)
	copy(out[s.rangeAt:], fmt.Sprintf("%-*s", width, text))
	return out
}

// withContents replaces the string, padded with zeros to its old length.
func (s surgery) withContents(text string) []byte {
	out := bytes.Clone(s.file)
	copy(out[s.contentsAt:s.contentsE], fmt.Sprintf("%-*s", s.contentsE-s.contentsAt, text))
	return out
}

// withMessage replaces the CMS.
func (s surgery) withMessage(t *testing.T, message []byte) []byte {
	t.Helper()
	text := hex.EncodeToString(message)
	room := s.contentsE - s.contentsAt - 2
	if len(text) > room {
		t.Fatal("the message does not fit")
	}
	return s.withContents("<" + text + strings.Repeat("0", room-len(text)) + ">")
}

// message returns what is in the hole: the CMS, and the zeros behind it. Where it ends
// its own length tells, for its last byte, one of a signature value, may be zero as well.
func (s surgery) message(t *testing.T) (message, padding []byte) {
	t.Helper()
	raw, err := hex.DecodeString(string(s.file[s.contentsAt+1 : s.contentsE-1]))
	if err != nil {
		t.Fatal(err)
	}
	_, n, err := cms.ParsePadded(raw)
	if err != nil {
		t.Fatal(err)
	}
	return raw[:len(raw)-n], raw[len(raw)-n:]
}

func hasFinding(s pades.Signature, code string) bool {
	return slices.ContainsFunc(s.Findings, func(f pades.Finding) bool { return f.Code == code })
}

// formatFailure demands that no signature passes and the first one fails for its
// format.
func formatFailure(t *testing.T, file []byte) {
	t.Helper()
	report, err := pades.Verify(context.Background(), bytes.NewReader(file), int64(len(file)), trusted())
	if err != nil {
		var format *pdf.FormatError
		if !errors.As(err, &format) {
			t.Errorf("untyped error %v", err)
		}
		return
	}
	if len(report.Signatures) == 0 {
		t.Fatal("the signature is not reported at all")
	}
	for _, s := range report.Signatures {
		if s.Indication != pades.TotalFailed || s.SubIndication != pades.FormatFailure {
			t.Errorf("verdict %s/%s %v", s.Indication, s.SubIndication, s.Findings)
		}
	}
}

// TestVerifyRefusesForgedByteRange builds the matrix of universal forgeries
// (P-09, P-13).
func TestVerifyRefusesForgedByteRange(t *testing.T) {
	signed, _ := sign(t, pdfs.Classic(), citizen(t), pades.Options{})
	s := operate(t, signed)
	ranges := []string{
		"null", "[]", "[0 0 0 0]", "[0 -1 2 3]", "[0 10 20]", "[0 1 2 3 4]", "[0.0 1.0 2.0 3.0]", "[0 5 0 R 20 30]",
		"[0 99999999 5 5]", "[0 9223372036854775807 1]", "[0 50 20 30]", "[0 10 20 5 40 3]",
	}
	contents := []string{"null", "<>", "<00>", "<000000>", "<deadbeef>", "(not hex)", "<3>", "4 0 R"}
	for _, r := range ranges {
		t.Run("range "+r, func(t *testing.T) { formatFailure(t, s.withRange(r)) })
		for _, c := range contents {
			t.Run(r+" with "+c, func(t *testing.T) {
				formatFailure(t, surgery{
					file: s.withRange(r), contentsAt: s.contentsAt, contentsE: s.contentsE,
				}.withContents(c))
			})
		}
	}
	for _, c := range contents {
		t.Run("contents "+c, func(t *testing.T) { formatFailure(t, s.withContents(c)) })
	}
}

// TestVerifyRefusesWiderGap moves the edges of the gap (P-06, P-12).
func TestVerifyRefusesWiderGap(t *testing.T) {
	signed, _ := sign(t, pdfs.Classic(), citizen(t), pades.Options{})
	s := operate(t, signed)
	total := len(signed)
	for _, c := range []struct {
		name       string
		start, end int
	}{
		{"gap begins a byte early", s.contentsAt - 1, s.contentsE},
		{"gap ends a byte late", s.contentsAt, s.contentsE + 1},
		{"gap begins inside the string", s.contentsAt + 1, s.contentsE},
		{"gap ends inside the string", s.contentsAt, s.contentsE - 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			formatFailure(t, s.withRange(fmt.Sprintf("[0 %d %d %d]", c.start, c.end, total-c.end)))
		})
	}
	t.Run("range does not reach the end", func(t *testing.T) {
		formatFailure(t, s.withRange(fmt.Sprintf("[0 %d %d %d]", s.contentsAt, s.contentsE, total-s.contentsE-9)))
	})
}

func TestVerifyFindsEveryFlippedByteOfTheDocument(t *testing.T) {
	file := pdfs.Classic()
	signed, _ := sign(t, file, citizen(t), pades.Options{})
	at := bytes.Index(signed, []byte("A page of"))
	signed[at] = 'B'
	got := verify(t, signed, trusted()).Signatures[0]
	if got.Indication != pades.TotalFailed || got.SubIndication != pades.HashFailure || got.Integrity != pades.Broken {
		t.Errorf("verdict: %+v", got)
	}
}

const pageObject = "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Resources << /Font << /F1 4 0 R >> >> /Contents 5 0 R"

// TestVerifyReportsLaterChanges appends revisions to a signed file (P-01, P-03,
// P-05, P-17, P-30, P-36, P-38).
func TestVerifyReportsLaterChanges(t *testing.T) {
	signed, _ := sign(t, pdfs.Classic(), citizen(t), pades.Options{})
	annots := string(regexp.MustCompile(`/Annots \[[^\]]*\]`).Find(signed))
	form := string(regexp.MustCompile(`/AcroForm \d+ 0 R`).Find(signed))
	catalog := "<< /Type /Catalog /Pages 2 0 R /Lang (en) " + form + " /Extensions << /ESIC << /BaseVersion /1.7 /ExtensionLevel 2 >> >> "
	content := "<< /Length 26 >>\nstream\nBT /F1 18 Tf (Other) Tj ET\nendstream"
	for _, c := range []struct {
		name    string
		objects map[int]string
		root    int
		want    pades.Changes
		verdict pades.Indication
	}{
		{"nothing is changed", nil, 1, pades.ChangesLTVOnly, pades.TotalPassed},
		{"an object is written again as it was", map[int]string{4: "<< /BaseFont /Helvetica /Type /Font /Subtype /Type1 >>"}, 1, pades.ChangesLTVOnly, pades.TotalPassed},
		{"a document security store is added", map[int]string{1: catalog + "/DSS << /Certs [20 0 R] >> >>", 20: "<< /Length 1 >>\nstream\nx\nendstream"}, 1, pades.ChangesLTVOnly, pades.TotalPassed},
		{"page content is replaced (P-01)", map[int]string{5: content}, 1, pades.ChangesOther, pades.TotalFailed},
		{"font is replaced (P-36)", map[int]string{4: "<< /Type /Font /Subtype /Type1 /BaseFont /Symbol >>"}, 1, pades.ChangesOther, pades.TotalFailed},
		{"page is turned", map[int]string{3: pageObject + annots + " /Rotate 90 >>"}, 1, pades.ChangesOther, pades.TotalFailed},
		{"page tree grows (P-03)", map[int]string{2: "<< /Type /Pages /Kids [3 0 R 3 0 R] /Count 2 >>"}, 1, pades.ChangesOther, pades.TotalFailed},
		{"the same catalog under another number", map[int]string{21: catalog + ">>"}, 21, pades.ChangesLTVOnly, pades.TotalPassed},
		{"another catalog (P-03)", map[int]string{21: strings.Replace(catalog, "/Pages 2 0 R", "/Pages 22 0 R", 1) + ">>", 22: "<< /Type /Pages /Kids [3 0 R] /Count 1 >>"}, 21, pades.ChangesOther, pades.TotalFailed},
		{"an old object as catalog", map[int]string{4: catalog + ">>"}, 4, pades.ChangesOther, pades.TotalFailed},
		{"optional content (P-38)", map[int]string{1: catalog + "/OCProperties << >> >>"}, 1, pades.ChangesOther, pades.TotalFailed},
		{"script on opening", map[int]string{1: catalog + "/OpenAction << /S /JavaScript /JS (app.alert()) >> >>"}, 1, pades.ChangesOther, pades.TotalFailed},
		{"annotation is added (P-30)", map[int]string{3: pageObject + strings.Replace(annots, "]", " 22 0 R]", 1) + ">>", 22: "<< /Type /Annot /Subtype /FreeText /Rect [0 0 500 500] >>"}, 1, pades.ChangesAnnotations, pades.TotalFailed},
		{"unknown catalog entry", map[int]string{1: catalog + "/Names << >> >>"}, 1, pades.ChangesUndefined, pades.Indeterminate},
	} {
		t.Run(c.name, func(t *testing.T) {
			report := verify(t, pdfs.Revise(signed, c.objects, c.root), trusted())
			if len(report.Signatures) != 1 {
				t.Fatalf("%d signatures, warnings %v", len(report.Signatures), report.Warnings)
			}
			got := report.Signatures[0]
			if got.ChangesAfter != c.want || got.Indication != c.verdict || got.Coverage != pades.WholeRevision || got.Integrity != pades.Intact {
				t.Errorf("got %s %s/%s %s %v", got.ChangesAfter, got.Indication, got.SubIndication, got.Coverage, got.Findings)
			}
			code := map[pades.Changes]string{pades.ChangesOther: "changed_after_signing", pades.ChangesAnnotations: "annotations_added"}[c.want]
			if c.verdict == pades.TotalFailed && (got.SubIndication != pades.FormatFailure || !hasFinding(got, code)) {
				t.Errorf("findings %v", got.Findings)
			}
		})
	}
	t.Run("signature is removed (P-17)", func(t *testing.T) {
		report := verify(t, pdfs.Revise(signed, map[int]string{1: "<< /Type /Catalog /Pages 2 0 R >>"}, 1), trusted())
		if len(report.Signatures) != 0 || !slices.ContainsFunc(report.Warnings, func(f pades.Finding) bool { return f.Code == "signature_removed" }) {
			t.Errorf("report: %+v", report)
		}
	})
	t.Run("raw objects are appended (P-04)", func(t *testing.T) {
		formatFailure(t, append(bytes.Clone(signed), "5 0 obj\n(x)\nendobj\nstartxref\n0\n%%EOF\n"...))
	})
	t.Run("data is appended (P-59)", func(t *testing.T) {
		got := verify(t, append(bytes.Clone(signed), "5 0 obj\n(x)\nendobj\n"...), trusted()).Signatures[0]
		if got.Coverage != pades.WholeRevision || got.Indication != pades.TotalFailed {
			t.Errorf("verdict: %+v", got)
		}
	})
	t.Run("missing object comes into being", func(t *testing.T) {
		base := bytes.Replace(pdfs.Classic(), []byte("/Lang (en)"), []byte("/AA 30 0 R"), 1)
		dangling, _ := sign(t, base, citizen(t), pades.Options{})
		got := verify(t, pdfs.Revise(dangling, map[int]string{30: "<< /WC << /S /Named /N /Print >> >>"}, 1), trusted()).Signatures[0]
		if got.Indication == pades.TotalPassed || got.ChangesAfter != pades.ChangesUndefined {
			t.Errorf("verdict: %+v", got)
		}
	})
}

// TestVerifyRefusesOverriddenDictionary spoofs the reason (P-05).
func TestVerifyRefusesOverriddenDictionary(t *testing.T) {
	signed, _ := sign(t, pdfs.Classic(), citizen(t), pades.Options{Reason: "I read it"})
	found := regexp.MustCompile(`(\d+) 0 obj\n(<<\n/Type /Sig\n(?s:.*?)\n>>)\nendobj`).FindSubmatch(signed)
	var number int
	if _, err := fmt.Sscan(string(found[1]), &number); err != nil {
		t.Fatal(err)
	}
	spoofed := strings.Replace(string(found[2]), "I read it", "I am king", 1)
	formatFailure(t, pdfs.Revise(signed, map[int]string{number: spoofed}, 1))
}

func TestVerifyReportsSharedSignature(t *testing.T) {
	signed, _ := sign(t, pdfs.Classic(), citizen(t), pades.Options{})
	field := regexp.MustCompile(`(\d+) 0 obj\n<<\n/FT /Sig\n/T \(Signature1\)\n/V (\d+) 0 R`).FindSubmatch(signed)
	form := regexp.MustCompile(`/AcroForm (\d+) 0 R`).FindSubmatch(signed)
	var number int
	if _, err := fmt.Sscan(string(form[1]), &number); err != nil {
		t.Fatal(err)
	}
	formatFailure(t, pdfs.Revise(signed, map[int]string{
		number: fmt.Sprintf("<< /Fields [%s 0 R 40 0 R] /SigFlags 3 >>", field[1]),
		40:     fmt.Sprintf("<< /FT /Sig /T (copy) /V %s 0 R >>", field[2]),
	}, 1))
}

// TestVerifyRefusesForeignMessages replaces the CMS (P-12, P-18, P-19).
func TestVerifyRefusesForeignMessages(t *testing.T) {
	// An ECDSA value that is as long as it can be leaves no padding; the next one
	// probably does.
	var signed []byte
	var s surgery
	var message, padding []byte
	for range 100 {
		signed, _ = sign(t, pdfs.Classic(), citizen(t), pades.Options{})
		s = operate(t, signed)
		if message, padding = s.message(t); len(padding) > 0 {
			break
		}
	}
	t.Run("bytes behind the message", func(t *testing.T) {
		if len(padding) == 0 {
			t.Fatal("no signature with padding")
		}
		padding = bytes.Clone(padding)
		padding[len(padding)-1] = 1
		formatFailure(t, s.withMessage(t, slices.Concat(message, padding)))
	})
	t.Run("message without its beginning", func(t *testing.T) { formatFailure(t, s.withMessage(t, message[1:])) })
	t.Run("unknown encoding (P-18)", func(t *testing.T) {
		formatFailure(t, resign(t, pdfs.Classic(), "/ETSI.CAdES.detached", "/ETSI.CAdES.detatche"))
	})
	t.Run("unknown handler (P-18)", func(t *testing.T) {
		formatFailure(t, resign(t, pdfs.Classic(), "/Adobe.PPKLite", "/Adobe.PPKLitf"))
	})
	t.Run("signature of a person as a time-stamp (P-18)", func(t *testing.T) {
		const name = "/ETSI.CAdES.detached"
		report := verify(t, resign(t, pdfs.Classic(), name, fmt.Sprintf("%-*s", len(name), "/ETSI.RFC3161")), trusted())
		if len(report.Signatures) != 0 || len(report.TimeStamps) != 1 {
			t.Fatalf("%d signatures, %d time-stamps", len(report.Signatures), len(report.TimeStamps))
		}
		if got := report.TimeStamps[0]; got.Indication != pades.TotalFailed || got.SubIndication != pades.FormatFailure || got.Time != nil {
			t.Errorf("time-stamp: %+v", got)
		}
	})
	t.Run("time-stamp as the signature of a person (P-18)", func(t *testing.T) {
		s := newState(t)
		stamped, _ := s.sign(t, pdfs.Classic(), signing.BaselineLTA)
		honest := s.verify(t, stamped)
		if len(honest.Signatures) != 1 || len(honest.TimeStamps) != 1 || !honest.Passed() {
			t.Fatalf("%+v", honest)
		}
		at := bytes.LastIndex(stamped, []byte("/SubFilter /ETSI.RFC3161"))
		for _, as := range []string{"/SubFilter /ETSI.CAdES.detached", "/SubFilter /adbe.pkcs7.detached"} {
			// A name that is longer takes the blanks of the byte range.
			blanks := bytes.LastIndex(stamped, []byte("        "))
			grown := append(append(bytes.Clone(stamped[:at]), as...), stamped[at+len("/SubFilter /ETSI.RFC3161"):blanks]...)
			grown = append(grown, stamped[blanks+len(as)-len("/SubFilter /ETSI.RFC3161"):]...)
			if len(grown) != len(stamped) {
				t.Fatalf("%d bytes instead of %d", len(grown), len(stamped))
			}
			report := verify(t, grown, pades.VerifyOptions{Roots: s.Roots()[:1], Time: s.Now()})
			for _, got := range report.Signatures {
				if got.Field == honest.TimeStamps[0].Field && (got.Indication != pades.TotalFailed || got.SubIndication != pades.FormatFailure) {
					t.Errorf("verdict: %+v", got)
				}
			}
			if len(report.Signatures) != 2 || report.Passed() {
				t.Errorf("%d signatures, passed %v", len(report.Signatures), report.Passed())
			}
		}
	})
	t.Run("no handler (P-18)", func(t *testing.T) {
		formatFailure(t, resign(t, pdfs.Classic(), "/Filter /Adobe.PPKLite", "/Fulter /Adobe.PPKLite"))
	})
}

// resign has an honest key sign a revision in which one text was replaced by
// another of the same length.
func resign(t *testing.T, file []byte, old, replacement string) []byte {
	t.Helper()
	cred := citizen(t)
	ctx := context.Background()
	plan, err := pades.Prepare(ctx, bytes.NewReader(file), int64(len(file)), cred, pades.Options{SigningTime: signedAt})
	if err != nil {
		t.Fatal(err)
	}
	edited := bytes.Replace(plan.Tail, []byte(old), []byte(replacement), 1)
	if bytes.Equal(edited, plan.Tail) || len(edited) != len(plan.Tail) {
		t.Fatalf("%q cannot be replaced", old)
	}
	hash, _ := plan.Digest()
	h := hash.New()
	for _, part := range [][]byte{file, edited[:plan.HoleStart], edited[plan.HoleEnd:]} {
		h.Write(part)
	}
	plan.Tail = edited
	plan.SignedAttributes = bytes.Replace(plan.SignedAttributes, plan.MessageDigest, h.Sum(nil), 1)
	plan.MessageDigest = h.Sum(nil)
	_, digest := plan.Digest()
	value, err := cred.Signer.Sign(nil, digest, plan.SignerOpts())
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := plan.Complete(ctx, bytes.NewReader(file), &out, value); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}
