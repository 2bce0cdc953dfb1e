package pades_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"testing"

	"github.com/eidbridge/eidbridge/fixtures/pdfs"
	"github.com/eidbridge/eidbridge/signing/appearance"
	"github.com/eidbridge/eidbridge/signing/pades"
	"github.com/eidbridge/eidbridge/signing/pdf"
)

// typed tells whether a caller can decide on an error.
func typed(err error) bool {
	var format *pdf.FormatError
	var limit *pdf.LimitError
	return errors.Is(err, pdf.ErrNotPDF) || errors.Is(err, pdf.ErrEncrypted) || errors.Is(err, pdf.ErrMissing) ||
		errors.Is(err, pades.ErrRefused) || errors.As(err, &format) || errors.As(err, &limit)
}

// TestHostileFilesAreRefusedInTime brings the files of P-60 to P-74 to both
// doors.
func TestHostileFilesAreRefusedInTime(t *testing.T) {
	cred := citizen(t)
	for _, s := range pdfs.Malformed() {
		t.Run(s.Name, func(t *testing.T) {
			begin := cpuSeconds()
			var out bytes.Buffer
			_, err := pades.Sign(context.Background(), bytes.NewReader(s.Data), int64(len(s.Data)), &out, cred, pades.Options{SigningTime: signedAt})
			if err == nil { // rebuilt, or never needed what is wrong
				if got := verify(t, out.Bytes(), trusted()); !got.Passed() || got.Signatures[0].Coverage != pades.WholeFile {
					t.Errorf("signed: %+v", got)
				}
			} else if !typed(err) {
				t.Errorf("signing: %v", err)
			}
			report, err := pades.Verify(context.Background(), bytes.NewReader(s.Data), int64(len(s.Data)), pades.VerifyOptions{})
			if err != nil && !typed(err) || err == nil && len(report.Signatures) > 0 {
				t.Errorf("verifying: %v", err)
			}
			if took := cpuSeconds() - begin; took > 5 {
				t.Errorf("took %.1f s of the processor", took)
			}
		})
	}
}

// FuzzSign: a file is refused with a typed error, or signed so that our own
// verification finds the signature whole and every earlier byte in place.
func FuzzSign(f *testing.F) {
	cred := sharedCA().issue(f, newECDSA(f, sharedCA().key.Curve), nil)
	for _, s := range pdfs.Samples() {
		f.Add(s.Data)
	}
	signed, _ := sign(f, pdfs.Form(), cred, pades.Options{})
	f.Add(signed)
	f.Fuzz(func(t *testing.T, file []byte) {
		var out bytes.Buffer
		result, err := pades.Sign(context.Background(), bytes.NewReader(file), int64(len(file)), &out, cred, pades.Options{SigningTime: signedAt})
		if err != nil {
			if !typed(err) {
				t.Fatalf("untyped error %v", err)
			}
			return
		}
		if !bytes.HasPrefix(out.Bytes(), file) {
			t.Fatal("the source was changed")
		}
		report, err := pades.Verify(context.Background(), bytes.NewReader(out.Bytes()), int64(out.Len()), pades.VerifyOptions{Time: signedAt})
		if err != nil {
			t.Fatalf("own output is refused: %v", err)
		}
		for _, s := range report.Signatures {
			if s.Field == result.Field && s.Integrity == pades.Intact && s.Coverage == pades.WholeFile && s.ChangesAfter == pades.ChangesNone {
				return
			}
		}
		t.Fatalf("own signature is not found whole: %+v", report.Signatures)
	})
}

// FuzzVerify changes a signed file: it never passes with other bytes than those
// that were signed, except for white space behind its end.
func FuzzVerify(f *testing.F) {
	cred := sharedCA().issue(f, newECDSA(f, sharedCA().key.Curve), nil)
	original, _ := sign(f, pdfs.Classic(), cred, pades.Options{})
	s := bytes.LastIndex(original, []byte("/Contents <")) + len("/Contents ")
	e := s + bytes.IndexByte(original[s:], '>') + 1
	f.Add(original)
	f.Add(pdfs.Revise(original, map[int]string{5: "<< /Length 2 >>\nstream\nBT\nendstream"}, 1))
	f.Fuzz(func(t *testing.T, file []byte) {
		report, err := pades.Verify(context.Background(), bytes.NewReader(file), int64(len(file)), trusted())
		if err != nil {
			if !typed(err) {
				t.Fatalf("untyped error %v", err)
			}
			return
		}
		if !report.Passed() {
			return
		}
		for _, got := range report.Signatures {
			if got.Coverage != pades.WholeFile && got.ChangesAfter == pades.ChangesNone {
				t.Fatalf("passed with %+v", got)
			}
		}
		if !bytes.HasPrefix(file, original[:s]) || !bytes.HasPrefix(file[e:], original[e:]) {
			t.Fatal("other bytes pass")
		}
	})
}

// TestDanglingReferencesStayDangling: what the form or a page refers to and the file has
// not is no number for a new object. Else the field that is not there would be the
// signature's.
func TestDanglingReferencesStayDangling(t *testing.T) {
	form := string(pdfs.Form())
	next := regexp.MustCompile(`/Size ([0-9]+)`).FindStringSubmatch(form)
	if next == nil {
		t.Fatal("the form has no table")
	}
	// In a revision, so that the table is sound: of a file that has to be rebuilt, what is
	// missing counts as cut off.
	for name, row := range map[string]struct {
		object int
		body   string
	}{
		"a field": {6, "<< /Fields [%s 0 R 7 0 R 8 0 R] /DA (/Helv 0 Tf 0 g) >>"},
		"an annotation": {3, "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Resources << /Font << /F1 4 0 R >> >> /Contents 5 0 R " +
			"/Annots [%s 0 R 7 0 R 8 0 R] >>"},
	} {
		file := string(pdfs.Revise([]byte(form), map[int]string{row.object: fmt.Sprintf(row.body, next[1])}, 1))
		for _, visible := range []bool{false, true} {
			o := pades.Options{SigningTime: signedAt}
			if visible {
				o.Visible = &pades.Visible{Mark: appearance.Mark{Text: "{name}"}}
			}
			var out bytes.Buffer
			if _, err := pades.Sign(t.Context(), strings.NewReader(file), int64(len(file)), &out, citizen(t), o); err != nil {
				t.Fatalf("%s, visible %v: %v", name, visible, err)
			}
			if got := verify(t, out.Bytes(), trusted()); !got.Passed() {
				t.Errorf("%s, visible %v: %+v", name, visible, got)
			}
			if strings.Contains(out.String()[len(file):], "\n"+next[1]+" 0 obj") {
				t.Errorf("%s, visible %v: object %s is a new one", name, visible, next[1])
			}
		}
	}
}
