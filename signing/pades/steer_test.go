package pades_test

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/json"
	"errors"
	"regexp"
	"strings"
	"testing"
	"unicode/utf16"

	"github.com/eidbridge/eidbridge/fixtures/pdfs"
	"github.com/eidbridge/eidbridge/signing"
	"github.com/eidbridge/eidbridge/signing/pades"
	"github.com/eidbridge/eidbridge/signing/pdf"
)

// added returns the bytes that signing appended.
func added(t *testing.T, file, signed []byte) string {
	t.Helper()
	if !bytes.HasPrefix(signed, file) {
		t.Fatal("the source was changed")
	}
	return string(signed[len(file):])
}

// TestSignKeepsTextFromBecomingSyntax hides delimiters in UTF-16 code units
// (P-40).
func TestSignKeepsTextFromBecomingSyntax(t *testing.T) {
	attack := "x)/Name(MINISTER OF FINANCE)/Foo<<>>[]%\\("
	if len(attack)%2 != 0 {
		attack += " "
	}
	units := make([]uint16, 0, len(attack)/2)
	for i := 0; i+1 < len(attack); i += 2 {
		units = append(units, uint16(attack[i])<<8|uint16(attack[i+1]))
	}
	for _, text := range []string{attack, string(utf16.Decode(units)), "Ш(щ)\\", "õige \r\n põhjus", "日本語", "\U0001F58B signed"} {
		signed, _ := sign(t, pdfs.Classic(), citizen(t), pades.Options{Reason: text, Location: text, ContactInfo: text, Name: "P"})
		got := verify(t, signed, trusted()).Signatures[0]
		if got.Reason != text || got.Location != text || got.ContactInfo != text || got.ClaimedName != "P" {
			t.Errorf("text %q came back as %q, %q, %q, name %q", text, got.Reason, got.Location, got.ContactInfo, got.ClaimedName)
		}
		if got.Indication != pades.TotalPassed {
			t.Errorf("text %q: %v", text, got.Findings)
		}
		dict := signatureDictionary(t, signed)
		var keys []string
		for key, value := range dict.Entries() {
			keys = append(keys, key)
			// Other characters than those of ASCII are never delimiters to anybody.
			if value.Kind() == pdf.String && strings.IndexFunc(text, func(r rune) bool { return r < ' ' || r > '~' }) >= 0 && key != "M" && key != "Name" && !value.IsHex() {
				t.Errorf("text %q: /%s is %.40q", text, key, value.Raw())
			}
		}
		if got, want := strings.Join(keys, " "), "Type Filter SubFilter ByteRange Contents M Name Location Reason ContactInfo"; got != want {
			t.Errorf("text %q: entries %s, want %s", text, got, want)
		}
	}
}

// signatureDictionary returns that of the only signature.
func signatureDictionary(t *testing.T, signed []byte) pdf.Object {
	t.Helper()
	doc, err := pdf.Open(t.Context(), bytes.NewReader(signed), int64(len(signed)), pdf.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	form, err := doc.Form()
	if err != nil || len(form.Fields) != 1 {
		t.Fatalf("%d fields, %v", len(form.Fields), err)
	}
	dict, err := doc.Resolve(form.Fields[0].Value)
	if err != nil {
		t.Fatal(err)
	}
	return dict
}

// TestSignCopiesTheCatalogVerbatim (P-41).
func TestSignCopiesTheCatalogVerbatim(t *testing.T) {
	catalog := "<< /Type /Catalog /Pages 2 0 R /Lang (x\\) /OpenAction << /S /JavaScript /JS (a) >> /X \\() /Na#20me /V#2Fx % comment >>\n>>"
	file := bytes.Replace(pdfs.Classic(), []byte("<< /Type /Catalog /Pages 2 0 R /Lang (en) >>"), []byte(catalog), 1)
	file = fixOffsets(t, file)
	signed, _ := sign(t, file, citizen(t), pades.Options{})
	tail := added(t, file, signed)
	if !strings.Contains(tail, strings.TrimSuffix(catalog, ">>")) {
		t.Errorf("the catalog is not copied verbatim:\n%s", tail)
	}
	doc, err := pdf.Open(context.Background(), bytes.NewReader(signed), int64(len(signed)), pdf.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	_, root, err := doc.Root()
	if err != nil {
		t.Fatal(err)
	}
	var keys []string
	for key := range root.Entries() {
		keys = append(keys, key)
	}
	want := "Type Pages Lang Na me AcroForm Extensions"
	if got := strings.Join(keys, " "); got != want {
		t.Errorf("keys of the catalog: %q, want %q", got, want)
	}
}

// fixOffsets lets qpdf rewrite the table of an edited file.
func fixOffsets(t *testing.T, file []byte) []byte {
	t.Helper()
	in := bytes.Index(file, []byte("1 0 obj"))
	body := file[in:bytes.LastIndex(file, []byte("xref\n0"))]
	var offsets []int
	for _, m := range regexp.MustCompile(`(?m)^\d+ 0 obj`).FindAllIndex(body, -1) {
		offsets = append(offsets, in+m[0])
	}
	out := bytes.Clone(file[:in+len(body)])
	at := len(out)
	out = append(out, "xref\n0 6\n0000000000 65535 f \n"...)
	for _, o := range offsets {
		out = append(out, []byte(strings.Repeat("0", 10-len(itoa(o)))+itoa(o)+" 00000 n \n")...)
	}
	return append(out, []byte("trailer\n<< /Size 6 /Root 1 0 R >>\nstartxref\n"+itoa(at)+"\n%%EOF\n")...)
}

func itoa(n int) string {
	b, err := json.Marshal(n)
	if err != nil {
		panic(err)
	}
	return string(b)
}

// TestSignIgnoresPlaceholdersInTheDocument (P-42, P-43).
func TestSignIgnoresPlaceholdersInTheDocument(t *testing.T) {
	signed, _ := sign(t, pdfs.Large(200_000), citizen(t), pades.Options{})
	if got := verify(t, signed, trusted()).Signatures[0]; got.Indication != pades.TotalPassed {
		t.Errorf("verdict: %+v", got)
	}
}

// TestSignKeepsTheForm (P-44).
func TestSignKeepsTheForm(t *testing.T) {
	for name, file := range map[string][]byte{"classic": pdfs.Form(), "compressed": pdfs.FormCompressed()} {
		t.Run(name, func(t *testing.T) {
			signed, _ := sign(t, file, citizen(t), pades.Options{})
			doc, err := pdf.Open(context.Background(), bytes.NewReader(signed), int64(len(signed)), pdf.Limits{})
			if err != nil {
				t.Fatal(err)
			}
			form, err := doc.Form()
			if err != nil {
				t.Fatal(err)
			}
			for _, key := range []string{"DR", "DA", "Q", "CO", "NeedAppearances"} {
				if form.Dict.Get(key).IsNull() {
					t.Errorf("/%s is lost", key)
				}
			}
			if len(form.Fields) != 3 {
				t.Errorf("%d fields, want 3", len(form.Fields))
			}
			if n, _ := form.Dict.Get("SigFlags").Int(); n != 3 {
				t.Errorf("SigFlags %d", n)
			}
		})
	}
}

// TestSignTouchesOnlyTheArrays: of indirect lists the lists alone change.
func TestSignTouchesOnlyTheArrays(t *testing.T) {
	file := pdfs.IndirectAnnots()
	signed, _ := sign(t, file, citizen(t), pades.Options{})
	tail := added(t, file, signed)
	for _, unwanted := range []string{"\n3 0 obj", "\n1 0 obj"} {
		if strings.Contains(tail, unwanted) {
			t.Errorf("%q was rewritten:\n%s", unwanted, tail)
		}
	}
	for _, wanted := range []string{"9 0 obj\n[7 0 R 8 0 R 1", "10 0 obj\n[7 0 R 8 0 R 1", "/ESIC"} {
		if !strings.Contains(tail, wanted) {
			t.Errorf("%q is missing:\n%s", wanted, tail)
		}
	}
}

func TestSignUsesTheEmptyField(t *testing.T) {
	for name, c := range map[string]struct {
		file  []byte
		field string
	}{
		"hidden":        {pdfs.EmptyField(), "applicant"},
		"visible, deep": {pdfs.EmptyVisibleField(), "office.clerk"},
	} {
		t.Run(name, func(t *testing.T) {
			signed, result := sign(t, c.file, citizen(t), pades.Options{})
			if result.Field != c.field || result.NewField {
				t.Errorf("field %q, new %v", result.Field, result.NewField)
			}
			if got := verify(t, signed, trusted()).Signatures[0]; got.Field != c.field || got.Indication != pades.TotalPassed {
				t.Errorf("verdict: %+v", got)
			}
			_, other := sign(t, c.file, citizen(t), pades.Options{FieldName: "Mine"})
			if other.Field != "Mine" || !other.NewField {
				t.Errorf("field %q, new %v", other.Field, other.NewField)
			}
		})
	}
}

// TestSignAfterOthers signs one file four times (P-45).
func TestSignAfterOthers(t *testing.T) {
	for _, s := range pdfs.Samples() {
		t.Run(s.Name, func(t *testing.T) {
			file := s.Data
			for range 4 {
				file, _ = sign(t, file, citizen(t), pades.Options{})
			}
			report := verify(t, file, trusted())
			if len(report.Signatures) != 4 {
				t.Fatalf("%d signatures", len(report.Signatures))
			}
			for i, got := range report.Signatures {
				changes, coverage := pades.ChangesFormFill, pades.WholeRevision
				if i == 3 {
					changes, coverage = pades.ChangesNone, pades.WholeFile
				}
				if got.Indication != pades.TotalPassed || got.ChangesAfter != changes || got.Coverage != coverage {
					t.Errorf("signature %d: %s %s %s %v", i+1, got.Indication, got.ChangesAfter, got.Coverage, got.Findings)
				}
			}
		})
	}
}

func refusal(t *testing.T, file []byte, cred signing.Credential, o pades.Options, want pades.RefusalCode) {
	t.Helper()
	counter := &countingSigner{Signer: cred.Signer}
	if cred.Signer != nil {
		cred.Signer = counter
	}
	if o.SigningTime.IsZero() {
		o.SigningTime = signedAt
	}
	_, err := pades.Sign(context.Background(), bytes.NewReader(file), int64(len(file)), &bytes.Buffer{}, cred, o)
	var refused *pades.RefusedError
	if !errors.As(err, &refused) || refused.Code != want || !errors.Is(err, pades.ErrRefused) {
		t.Errorf("got %v, want refusal %s", err, want)
	}
	if counter.calls != 0 {
		t.Error("the key was used")
	}
}

func TestSignRefusesBeforeTheKey(t *testing.T) {
	cred := citizen(t)
	t.Run("prefix data (P-59)", func(t *testing.T) {
		refusal(t, pdfs.PrefixData(), cred, pades.Options{}, pades.RefusedPrefixData)
	})
	t.Run("expired certificate (P-55)", func(t *testing.T) {
		refusal(t, pdfs.Classic(), cred, pades.Options{SigningTime: signedAt.AddDate(10, 0, 0)}, pades.RefusedCertificate)
	})
	t.Run("certificate not yet valid (P-55)", func(t *testing.T) {
		refusal(t, pdfs.Classic(), cred, pades.Options{SigningTime: signedAt.AddDate(-10, 0, 0)}, pades.RefusedCertificate)
	})
	t.Run("certificate for key agreement (P-55)", func(t *testing.T) {
		other := sharedCA().issue(t, newECDSA(t, sharedCA().key.Curve), func(c *x509.Certificate) { c.KeyUsage = x509.KeyUsageKeyAgreement })
		refusal(t, pdfs.Classic(), other, pades.Options{}, pades.RefusedCertificate)
	})
	t.Run("key of another certificate", func(t *testing.T) {
		refusal(t, pdfs.Classic(), signing.Credential{Signer: citizen(t).Signer, Certificate: cred.Certificate}, pades.Options{}, pades.RefusedKey)
	})
	t.Run("no key", func(t *testing.T) {
		refusal(t, pdfs.Classic(), signing.Credential{Certificate: cred.Certificate}, pades.Options{}, pades.RefusedKey)
	})
	t.Run("field that is no signature", func(t *testing.T) {
		refusal(t, pdfs.Form(), cred, pades.Options{FieldName: "name"}, pades.RefusedFieldName)
	})
	t.Run("field name with a full stop", func(t *testing.T) {
		refusal(t, pdfs.Form(), cred, pades.Options{FieldName: "a.b"}, pades.RefusedFieldName)
	})
	t.Run("duplicate catalog key", func(t *testing.T) {
		file := bytes.Replace(pdfs.Classic(), []byte("/Lang (en)"), []byte("/Pages 2 0"+" R"), 1)
		refusal(t, file, cred, pades.Options{}, pades.RefusedAmbiguous)
	})
	certified := pdfs.EmptyFieldWith("/Lock << /Type /SigFieldLock /Action /All /P 1 >>")
	certified, _ = sign(t, certified, cred, pades.Options{})
	t.Run("no changes allowed", func(t *testing.T) {
		refusal(t, certified, cred, pades.Options{}, pades.RefusedCertifiedNoChanges)
	})
	for name, seed := range map[string]string{
		"handler":     "/Ff 1 /Filter /Other",
		"encoding":    "/Ff 2 /SubFilter [/adbe.pkcs7.detached]",
		"version":     "/Ff 4 /V 9",
		"reasons":     "/Ff 8 /Reasons [(I agree) (I disagree)]",
		"attestation": "/Ff 16 /LegalAttestation [(x)]",
		"revocation":  "/Ff 32 /AddRevInfo true",
		"digest":      "/Ff 64 /DigestMethod [(SHA1)]",
		"appearance":  "/Ff 256 /AppearanceFilter (x)",
		"certificate": "/Cert << /Ff 1 /Subject [(x)] >>",
		"time-stamp":  "/TimeStamp << /URL (http://localhost) /Ff 1 >>",
		"certify":     "/MDP << /P 7 >>",
	} {
		t.Run("seed value "+name, func(t *testing.T) {
			refusal(t, pdfs.EmptyFieldWith("/SV << /Type /SV "+seed+" >>"), cred, pades.Options{}, pades.RefusedSeedValue)
		})
	}
	t.Run("seed values that fit", func(t *testing.T) {
		file := pdfs.EmptyFieldWith("/SV << /Type /SV /Ff 75 /Filter /Adobe.PPKLite /SubFilter [/ETSI.CAdES.detached] /Reasons [(I agree)] " +
			"/DigestMethod [(SHA256) (SHA384)] /MDP << /P 0 >> /AddRevInfo false >>")
		signed, _ := sign(t, file, cred, pades.Options{Reason: "I agree"})
		if got := verify(t, signed, trusted()).Signatures[0]; got.Indication != pades.TotalPassed {
			t.Errorf("verdict: %+v", got)
		}
	})
}

// TestSignHonoursFieldLock: the lock becomes a transform, and locked fields are
// not signed again.
func TestSignHonoursFieldLock(t *testing.T) {
	file := pdfs.EmptyFieldWith("/Lock << /Type /SigFieldLock /Action /Include /Fields [(name) (office)] >>")
	signed, _ := sign(t, file, citizen(t), pades.Options{})
	tail := added(t, file, signed)
	if !strings.Contains(tail, "/TransformMethod /FieldMDP") || !strings.Contains(tail, "/Fields [(name) (office)]") {
		t.Errorf("no transform:\n%s", tail)
	}
	again, result := sign(t, signed, citizen(t), pades.Options{})
	if !result.NewField {
		t.Error("no new field")
	}
	if got := verify(t, again, trusted()); !got.Passed() {
		t.Errorf("report: %+v", got)
	}
}

func TestSignRefusesForeignFiles(t *testing.T) {
	cred := citizen(t)
	attempt := func(file []byte) error {
		_, err := pades.Prepare(context.Background(), bytes.NewReader(file), int64(len(file)), cred, pades.Options{SigningTime: signedAt})
		return err
	}
	for _, file := range []string{"", "%", "PK\x03\x04 a zip", "<html></html>", strings.Repeat("\n", 5000)} {
		if err := attempt([]byte(file)); !errors.Is(err, pdf.ErrNotPDF) {
			t.Errorf("%.10q: %v", file, err)
		}
	}
}

// TestPlanSurvivesJSON signs in three steps with the plan sent away in between.
func TestPlanSurvivesJSON(t *testing.T) {
	file, cred := pdfs.Form(), citizen(t)
	ctx := context.Background()
	plan, err := pades.Prepare(ctx, bytes.NewReader(file), int64(len(file)), signing.Credential{Certificate: cred.Certificate}, pades.Options{SigningTime: signedAt})
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(plan)
	if err != nil {
		t.Fatal(err)
	}
	var back pades.Plan
	if err := json.Unmarshal(text, &back); err != nil {
		t.Fatal(err)
	}
	hash, digest := back.Digest()
	signature, err := cred.Signer.Sign(nil, digest, back.SignerOpts())
	if err != nil || back.SignerOpts().HashFunc() != hash {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := back.Complete(ctx, bytes.NewReader(file), &out, signature); err != nil {
		t.Fatal(err)
	}
	if got := verify(t, out.Bytes(), trusted()).Signatures[0]; got.Indication != pades.TotalPassed {
		t.Errorf("verdict: %+v", got)
	}
	t.Run("another document (P-49)", func(t *testing.T) {
		other := bytes.Replace(file, []byte("A page of"), []byte("B page of"), 1)
		if err := back.Complete(ctx, bytes.NewReader(other), &out, signature); !errors.Is(err, pades.ErrSourceChanged) {
			t.Errorf("got %v", err)
		}
	})
	t.Run("another value (P-52)", func(t *testing.T) {
		out.Reset()
		signature[len(signature)-1] ^= 1
		if err := back.Complete(ctx, bytes.NewReader(file), &out, signature); !errors.Is(err, pades.ErrWrongSignature) || out.Len() > 0 {
			t.Errorf("got %v, %d bytes written", err, out.Len())
		}
	})
}
