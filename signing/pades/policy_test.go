package pades_test

import (
	"bytes"
	"context"
	"crypto"
	"encoding/hex"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/eidbridge/eidbridge/fixtures/pdfs"
	"github.com/eidbridge/eidbridge/signing"
	"github.com/eidbridge/eidbridge/signing/pades"
	"github.com/eidbridge/eidbridge/signing/pdf"
	"github.com/eidbridge/eidbridge/signing/tsp"
)

// body returns the source of the newest definition of an object.
func body(t testing.TB, file []byte, number int) string {
	t.Helper()
	all := regexp.MustCompile(fmt.Sprintf(`(?s)(?:^|\n)%d 0 obj\n(.*?)\nendobj`, number)).FindAllSubmatch(file, -1)
	if all == nil {
		t.Fatalf("no object %d", number)
	}
	return string(all[len(all)-1][1])
}

// with is the newest definition of an object with entries added to it.
func with(t *testing.T, file []byte, number int, entries string) string {
	t.Helper()
	b := body(t, file, number)
	end := strings.LastIndex(b, ">>")
	return b[:end] + " " + entries + " >>"
}

// TestCertify makes certifications of every permission and looks at what may
// follow (P-27, P-29).
func TestCertify(t *testing.T) {
	cred := citizen(t)
	for _, p := range []pades.Certification{pades.CertifyNoChanges, pades.CertifyForms, pades.CertifyAnnotations} {
		t.Run(fmt.Sprint(p), func(t *testing.T) {
			signed, _ := sign(t, pdfs.Form(), cred, pades.Options{Certify: p, LegalAttestation: "nothing hidden"})
			got := verify(t, signed, trusted()).Signatures[0]
			if got.Indication != pades.TotalPassed || got.CertificationLevel != int(p) {
				t.Errorf("verdict: %+v", got)
			}
			doc, err := pdf.Open(context.Background(), bytes.NewReader(signed), int64(len(signed)), pdf.Limits{})
			if err != nil {
				t.Fatal(err)
			}
			_, catalog, err := doc.Root()
			if err != nil {
				t.Fatal(err)
			}
			perms, err := doc.Value(catalog, "Perms")
			if err != nil || perms.Get("DocMDP").IsNull() {
				t.Errorf("the catalog names no certification: %v", err)
			}
			if legal, err := doc.Value(catalog, "Legal"); err != nil || legal.Get("Attestation").Text() != "nothing hidden" {
				t.Errorf("no attestation: %v", err)
			}
			refusal(t, signed, cred, pades.Options{Certify: p}, map[bool]pades.RefusalCode{
				true: pades.RefusedCertifiedNoChanges, false: pades.RefusedCertification,
			}[p == pades.CertifyNoChanges])
			if p == pades.CertifyNoChanges {
				return
			}
			twice, _ := sign(t, signed, citizen(t), pades.Options{})
			if report := verify(t, twice, trusted()); !report.Passed() || len(report.Signatures) != 2 {
				t.Errorf("a signature within the permission: %+v", report.Signatures)
			}
		})
	}
	t.Run("not a kind", func(t *testing.T) {
		refusal(t, pdfs.Form(), cred, pades.Options{Certify: 4}, pades.RefusedOption)
	})
	t.Run("attestation without certification", func(t *testing.T) {
		refusal(t, pdfs.Form(), cred, pades.Options{LegalAttestation: "x"}, pades.RefusedOption)
	})
	t.Run("permissions that are there stay", func(t *testing.T) {
		file := bytes.Replace(pdfs.Classic(), []byte("/Lang (en)"), []byte("/Perms<<>>"), 1)
		signed, _ := sign(t, file, cred, pades.Options{Certify: pades.CertifyForms})
		if got := verify(t, signed, trusted()).Signatures[0]; got.CertificationLevel != 2 || got.Indication != pades.TotalPassed {
			t.Errorf("verdict: %+v", got)
		}
	})
}

// TestChangesAfterSigning is the table of ISO 32000-2 table 257 for approval
// signatures and each certification: 30 later revisions of one signed form
// (P-27, P-30, P-31, P-32, P-38).
func TestChangesAfterSigning(t *testing.T) {
	cred := citizen(t)
	const none, filled, annotated, other, undefined = pades.ChangesLTVOnly, pades.ChangesFormFill, pades.ChangesAnnotations, pades.ChangesOther, pades.ChangesUndefined
	appearance := "<< /Type /XObject /Subtype /Form /BBox [0 0 10 10] /Length 0 >>\nstream\n\nendstream"
	changes := []struct {
		name  string
		class pades.Changes
		make  func(t *testing.T, f []byte) map[int]string
	}{
		{"content", other, func(*testing.T, []byte) map[int]string {
			return map[int]string{5: "<< /Length 2 >>\nstream\nBT\nendstream"}
		}},
		{"form filled in", filled, func(t *testing.T, f []byte) map[int]string {
			return map[int]string{8: with(t, f, 8, "/V (a remark) /AP << /N 90 0 R >>"), 90: appearance}
		}},
		{"form without its look", filled, func(t *testing.T, f []byte) map[int]string {
			return map[int]string{8: with(t, f, 8, "/V (a remark)")}
		}},
		{"look without a value", undefined, func(t *testing.T, f []byte) map[int]string {
			return map[int]string{7: strings.Replace(body(t, f, 7), "/AP << /N 20 0 R >>", "/AP << /N 90 0 R >>", 1), 90: appearance}
		}},
		{"field moved", undefined, func(t *testing.T, f []byte) map[int]string {
			return map[int]string{8: strings.Replace(body(t, f, 8), "/Rect [72 500", "/Rect [0 0", 1)}
		}},
		{"field hidden", undefined, func(t *testing.T, f []byte) map[int]string {
			return map[int]string{8: strings.Replace(body(t, f, 8), "/F 4", "/F 6", 1)}
		}},
		{"field gets a script (P-32)", other, func(t *testing.T, f []byte) map[int]string {
			return map[int]string{8: with(t, f, 8, "/V (x) /AA << /F << /S /JavaScript /JS (x) >> >>")}
		}},
		{"annotation", annotated, func(t *testing.T, f []byte) map[int]string {
			return map[int]string{3: strings.Replace(body(t, f, 3), "/Annots [", "/Annots [90 0 R ", 1), 90: "<< /Type /Annot /Subtype /FreeText /Rect [0 0 595 842] >>"}
		}},
		{"annotation with a script (P-32)", other, func(t *testing.T, f []byte) map[int]string {
			return map[int]string{3: strings.Replace(body(t, f, 3), "/Annots [", "/Annots [90 0 R ", 1), 90: "<< /Type /Annot /Subtype /Link /Rect [0 0 595 842] /A << /S /JavaScript /JS (x) >> >>"}
		}},
		{"page turned", other, func(t *testing.T, f []byte) map[int]string {
			return map[int]string{3: with(t, f, 3, "/Rotate 90")}
		}},
		{"page box", other, func(t *testing.T, f []byte) map[int]string {
			return map[int]string{3: strings.Replace(body(t, f, 3), "/MediaBox [0 0 595 842]", "/MediaBox [0 0 595 400]", 1)}
		}},
		{"font", other, func(*testing.T, []byte) map[int]string {
			return map[int]string{4: "<< /Type /Font /Subtype /Type1 /BaseFont /Symbol >>"}
		}},
		{"page added", other, func(t *testing.T, f []byte) map[int]string {
			return map[int]string{2: "<< /Type /Pages /Kids [3 0 R 90 0 R] /Count 2 >>", 90: "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 9 9] >>"}
		}},
		{"validation data", none, func(t *testing.T, f []byte) map[int]string {
			return map[int]string{1: with(t, f, 1, "/DSS << /Certs [90 0 R] >>"), 90: "<< /Length 1 >>\nstream\nx\nendstream"}
		}},
		{"colour profile", undefined, func(t *testing.T, f []byte) map[int]string {
			return map[int]string{1: with(t, f, 1, "/OutputIntents [<< /Type /OutputIntent /S /GTS_PDFA1 >>]")}
		}},
		{"script of the document (P-32)", other, func(t *testing.T, f []byte) map[int]string {
			return map[int]string{1: with(t, f, 1, "/Names << /JavaScript << /Names [(a) << /S /JavaScript /JS (x) >>] >> >>")}
		}},
		{"action on opening (P-32)", other, func(t *testing.T, f []byte) map[int]string {
			return map[int]string{1: with(t, f, 1, "/OpenAction << /S /JavaScript /JS (x) >>")}
		}},
		{"field added", undefined, func(t *testing.T, f []byte) map[int]string {
			return map[int]string{6: strings.Replace(body(t, f, 6), "] /DR", " 90 0 R] /DR", 1), 90: "<< /FT /Tx /T (more) >>"}
		}},
		{"second field of the same name (P-28)", other, func(t *testing.T, f []byte) map[int]string {
			return map[int]string{6: strings.Replace(body(t, f, 6), "] /DR", " 90 0 R] /DR", 1), 90: "<< /FT /Tx /T (name) /V (Someone) >>"}
		}},
	}
	for _, p := range []pades.Certification{pades.NotCertified, pades.CertifyNoChanges, pades.CertifyForms, pades.CertifyAnnotations} {
		signed, _ := sign(t, pdfs.DressedForm(), cred, pades.Options{Certify: p})
		for _, c := range changes {
			t.Run(fmt.Sprintf("P %d %s", p, c.name), func(t *testing.T) {
				got := verify(t, pdfs.Revise(signed, c.make(t, signed), 1), trusted()).Signatures[0]
				if got.ChangesAfter != c.class {
					t.Errorf("changes %s, want %s: %v", got.ChangesAfter, c.class, got.Findings)
				}
				want := c.class == none || c.class == filled && p != pades.CertifyNoChanges
				if passed := got.Indication == pades.TotalPassed; passed != want {
					t.Errorf("%s/%s, passed should be %v: %v", got.Indication, got.SubIndication, want, got.Findings)
				}
				if c.class == filled && want && !hasFinding(got, "form_filled") {
					t.Errorf("the report does not name the field: %v", got.Findings)
				}
				if strings.Contains(c.name, "P-32") && !hasFinding(got, "active_content_added") {
					t.Errorf("findings %v", got.Findings)
				}
				if !want && p == pades.CertifyNoChanges && c.class == filled && !hasFinding(got, "docmdp_violation") {
					t.Errorf("findings %v", got.Findings)
				}
			})
		}
	}
}

// TestAnnotationsAreNamed lays five kinds over a signed page (P-30): they fail the
// signature by page and rectangle, unless a policy accepts them, and then they are
// named all the same. What the certification forbids no policy accepts.
func TestAnnotationsAreNamed(t *testing.T) {
	cred := citizen(t)
	for _, p := range []pades.Certification{pades.NotCertified, pades.CertifyNoChanges, pades.CertifyForms, pades.CertifyAnnotations} {
		signed, _ := sign(t, pdfs.DressedForm(), cred, pades.Options{Certify: p})
		for _, kind := range []string{"FreeText", "Stamp", "Redact", "Widget", "Square"} {
			t.Run(fmt.Sprintf("P %d %s", p, kind), func(t *testing.T) {
				file := pdfs.Revise(signed, map[int]string{
					3:  strings.Replace(body(t, signed, 3), "/Annots [", "/Annots [90 0 R ", 1),
					90: "<< /Type /Annot /Subtype /" + kind + " /Rect [72 700 300.5 740] /IC [1 1 1] >>",
				}, 1)
				named := func(s pades.Signature) bool {
					return slices.ContainsFunc(s.Findings, func(f pades.Finding) bool {
						return f.Code == "annotations_added" && strings.HasSuffix(f.Text, fmt.Sprintf("%q on page 1 at 72 700 300.5 740 was added", kind))
					})
				}
				got := verify(t, file, trusted()).Signatures[0]
				if got.ChangesAfter != pades.ChangesAnnotations || got.Indication != pades.TotalFailed || got.SubIndication != pades.FormatFailure || !named(got) {
					t.Errorf("%s %s/%s %v", got.ChangesAfter, got.Indication, got.SubIndication, got.Findings)
				}
				policy := trusted()
				policy.AcceptAnnotations = true
				got = verify(t, file, policy).Signatures[0]
				allowed := p == pades.NotCertified || p == pades.CertifyAnnotations
				if (got.Indication == pades.TotalPassed) != allowed || !named(got) {
					t.Errorf("with the policy: %s/%s %v", got.Indication, got.SubIndication, got.Findings)
				}
			})
		}
	}
}

// TestLockIsJudged changes, renames and shadows a locked field (P-28).
func TestLockIsJudged(t *testing.T) {
	lock := &pades.FieldLock{Action: pades.LockInclude, Fields: []string{"name"}}
	signed, _ := sign(t, pdfs.DressedForm(), citizen(t), pades.Options{Lock: lock})
	if !strings.Contains(string(signed), "/Type /SigFieldLock /Action /Include /Fields [(name) ]") {
		t.Error("the field says nothing of its lock")
	}
	for _, c := range []struct {
		name    string
		objects map[int]string
		passed  bool
	}{
		{"locked field changed", map[int]string{7: strings.Replace(body(t, signed, 7), "(Mari-Liis)", "(Somebody)", 1)}, false},
		{"locked field renamed", map[int]string{7: strings.Replace(body(t, signed, 7), "(name)", "(nome)", 1)}, false},
		{"locked field shadowed", map[int]string{
			6: strings.Replace(body(t, signed, 6), "/Fields [", "/Fields [90 0 R ", 1), 90: "<< /FT /Tx /T (name) /V (Somebody) >>",
		}, false},
		{"open field filled in", map[int]string{8: with(t, signed, 8, "/V (a remark)")}, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := verify(t, pdfs.Revise(signed, c.objects, 1), trusted()).Signatures[0]
			if (got.Indication == pades.TotalPassed) != c.passed {
				t.Errorf("%s/%s %v", got.Indication, got.SubIndication, got.Findings)
			}
			if strings.HasSuffix(c.name, "changed") && (got.SubIndication != pades.FormatFailure || !hasFinding(got, "fieldmdp_violation")) {
				t.Errorf("%s/%s %v", got.Indication, got.SubIndication, got.Findings)
			}
		})
	}
	t.Run("all fields", func(t *testing.T) {
		signed, _ := sign(t, pdfs.DressedForm(), citizen(t), pades.Options{Lock: &pades.FieldLock{Action: pades.LockAll}})
		got := verify(t, pdfs.Revise(signed, map[int]string{8: with(t, signed, 8, "/V (a remark)")}, 1), trusted()).Signatures[0]
		if got.SubIndication != pades.FormatFailure {
			t.Errorf("%s/%s %v", got.Indication, got.SubIndication, got.Findings)
		}
		// A field that comes later is one of all fields, too.
		refusal(t, signed, citizen(t), pades.Options{}, pades.RefusedFieldLocked)
		added := pdfs.Revise(signed, map[int]string{
			6: strings.Replace(body(t, signed, 6), "/Fields [", "/Fields [90 0 R ", 1), 90: "<< /FT /Sig /T (later) /V << /Type /Sig >> >>",
		}, 1)
		if got := verify(t, added, trusted()).Signatures[1]; got.SubIndication != pades.FormatFailure || !hasFinding(got, "fieldmdp_violation") {
			t.Errorf("a field that was added: %s/%s %v", got.Indication, got.SubIndication, got.Findings)
		}
	})
	for name, wrong := range map[string]pades.FieldLock{
		"unknown field":  {Action: pades.LockInclude, Fields: []string{"nobody"}},
		"no fields":      {Action: pades.LockExclude},
		"all with names": {Action: pades.LockAll, Fields: []string{"name"}},
		"no action":      {Fields: []string{"name"}},
	} {
		t.Run(name, func(t *testing.T) {
			refusal(t, pdfs.Form(), citizen(t), pades.Options{Lock: &wrong}, pades.RefusedOption)
		})
	}
}

// TestPermissionsDoNotVanish takes the certification out of a certified document
// (P-29): what was signed keeps limiting what may follow.
func TestPermissionsDoNotVanish(t *testing.T) {
	cred := citizen(t)
	signed, _ := sign(t, pdfs.DressedForm(), cred, pades.Options{Certify: pades.CertifyNoChanges})
	catalog := body(t, signed, 1)
	without := regexp.MustCompile(`(?s)/Perms <<.*?>>`).ReplaceAllString(catalog, "")
	if without == catalog {
		t.Fatal("no /Perms in the catalog")
	}
	fill := with(t, signed, 8, "/V (a remark)")
	for name, objects := range map[string]map[int]string{
		"perms removed":            {1: without},
		"perms removed and filled": {1: without, 8: fill},
		"only filled":              {8: fill},
	} {
		t.Run(name, func(t *testing.T) {
			got := verify(t, pdfs.Revise(signed, objects, 1), trusted()).Signatures[0]
			if got.Indication == pades.TotalPassed || got.CertificationLevel != 1 {
				t.Errorf("%s/%s level %d %v", got.Indication, got.SubIndication, got.CertificationLevel, got.Findings)
			}
		})
		t.Run(name+", signing", func(t *testing.T) {
			refusal(t, pdfs.Revise(signed, objects, 1), cred, pades.Options{}, pades.RefusedCertifiedNoChanges)
		})
	}
	t.Run("certification that is not the first", func(t *testing.T) {
		once, _ := sign(t, pdfs.Form(), cred, pades.Options{})
		refusal(t, once, cred, pades.Options{Certify: pades.CertifyForms}, pades.RefusedCertification)
	})
	t.Run("two certifications", func(t *testing.T) {
		certified, _ := sign(t, pdfs.Form(), cred, pades.Options{Certify: pades.CertifyForms})
		refusal(t, certified, cred, pades.Options{Certify: pades.CertifyForms}, pades.RefusedCertification)
	})
}

// TestSignHonoursSeedValues meets what a field demands.
func TestSignHonoursSeedValues(t *testing.T) {
	cred := citizen(t)
	c := cred.Certificate
	hexed := func(b []byte) string { return "<" + hex.EncodeToString(b) + ">" }
	other := sharedCA().issue(t, newECDSA(t, sharedCA().key.Curve), nil).Certificate
	for _, row := range []struct {
		name, seed string
		options    pades.Options
		refused    bool
	}{
		{"digest of their choice", "/Ff 64 /DigestMethod [(SHA1) (SHA512)]", pades.Options{}, false},
		{"digest of their choice against ours", "/Ff 64 /DigestMethod [(SHA512)]", pades.Options{Digest: crypto.SHA384}, true},
		{"a reason of theirs", "/Ff 8 /Reasons [(I agree) (I disagree)]", pades.Options{Reason: "I disagree"}, false},
		{"no reason", "/Ff 8 /Reasons [(.)]", pades.Options{Reason: "mine"}, true},
		{"certification", "/MDP << /P 2 >>", pades.Options{}, false},
		{"the same certification", "/MDP << /P 2 >>", pades.Options{Certify: 2}, false},
		{"another certification", "/MDP << /P 2 >>", pades.Options{Certify: 3}, true},
		{"no certification", "/MDP << /P 0 >>", pades.Options{Certify: 3}, true},
		{"attestation", "/Ff 16 /MDP << /P 1 >> /LegalAttestation [(fonts only)]", pades.Options{LegalAttestation: "fonts only"}, false},
		{"another attestation", "/Ff 16 /MDP << /P 1 >> /LegalAttestation [(fonts only)]", pades.Options{LegalAttestation: "x"}, true},
		{"document lock", "/Ff 128 /LockDocument /true", pades.Options{}, false},
		{"document lock left to us", "/Ff 128 /LockDocument /auto", pades.Options{}, false},
		{"subject", "/Cert << /Ff 1 /Subject [" + hexed(other.Raw) + hexed(c.Raw) + "] >>", pades.Options{}, false},
		{"another subject", "/Cert << /Ff 1 /Subject [" + hexed(other.Raw) + "] >>", pades.Options{}, true},
		{"another subject, as advice", "/Cert << /Ff 0 /Subject [" + hexed(other.Raw) + "] >>", pades.Options{}, false},
		{"issuer", "/Cert << /Ff 2 /Issuer [" + hexed(sharedCA().root.Raw) + "] >>", pades.Options{}, false},
		{"another issuer", "/Cert << /Ff 2 /Issuer [" + hexed(other.Raw) + "(no certificate)] >>", pades.Options{}, true},
		{"policy", "/Cert << /Ff 4 /OID [(1.2.3.4)] >>", pades.Options{}, true},
		{"holder", "/Cert << /Ff 8 /SubjectDN [<< /C (FI) >> << /C (EE) /SERIALNUMBER (PNOEE-60001019906) >>] >>", pades.Options{}, false},
		{"holder by identifier", "/Cert << /Ff 8 /SubjectDN [<< /2.5.4.42 (PILLE) >>] >>", pades.Options{}, false},
		{"another holder", "/Cert << /Ff 8 /SubjectDN [<< /C (EE) /CN (X) >>] >>", pades.Options{}, true},
		{"key usage", "/Cert << /Ff 32 /KeyUsage [(1XXXXXXXX) (01XXXXXXX)] >>", pades.Options{}, false},
		{"another key usage", "/Cert << /Ff 32 /KeyUsage [(11XXXXXXX)] >>", pades.Options{}, true},
		{"where to get a certificate", "/Cert << /Ff 64 /URL (http://localhost/) >>", pades.Options{}, false},
		{"two entries", "/Ff 0 /Ff 1", pades.Options{}, true},
	} {
		t.Run(row.name, func(t *testing.T) {
			file := pdfs.EmptyFieldWith("/SV << /Type /SV " + row.seed + " >>")
			if row.refused {
				code := pades.RefusedSeedValue
				if row.name == "two entries" {
					code = pades.RefusedAmbiguous
				}
				refusal(t, file, cred, row.options, code)
				return
			}
			signed, result := sign(t, file, cred, row.options)
			got := verify(t, signed, trusted()).Signatures[0]
			if got.Indication != pades.TotalPassed || result.Field != "applicant" {
				t.Errorf("verdict: %+v", got)
			}
			switch {
			case strings.HasPrefix(row.name, "digest") && got.DigestAlgorithm != "SHA-512",
				strings.Contains(row.name, "certification") && got.CertificationLevel != 2,
				row.name == "document lock" && got.CertificationLevel != 1:
				t.Errorf("not honoured: %+v", got)
			}
		})
	}
	t.Run("time-stamp that cannot be had", func(t *testing.T) {
		file := pdfs.EmptyFieldWith("/SV << /TimeStamp << /Ff 1 >> >>")
		var out bytes.Buffer
		_, err := pades.Sign(context.Background(), bytes.NewReader(file), int64(len(file)), &out, cred, pades.Options{
			SigningTime: signedAt, Level: signing.BaselineT, Services: &pades.Services{TimeStamps: deaf{}},
		})
		if !errors.Is(err, signing.ErrUnreached) {
			t.Errorf("got %v", err)
		}
	})
}

// deaf is a time-stamping authority that cannot be reached.
type deaf struct{}

func (deaf) Stamp(context.Context, crypto.Hash, []byte) (*tsp.Token, error) {
	return nil, errors.New("no route to host")
}
