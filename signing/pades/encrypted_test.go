package pades_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/eidbridge/eidbridge/fixtures/pdfs"
	"github.com/eidbridge/eidbridge/signing"
	"github.com/eidbridge/eidbridge/signing/pades"
	"github.com/eidbridge/eidbridge/signing/pdf"
)

// qpdf makes one document out of another.
func qpdf(t testing.TB, file []byte, args ...string) []byte {
	t.Helper()
	path, err := exec.LookPath("qpdf")
	if err != nil {
		t.Skip("qpdf is not installed")
	}
	dir := t.TempDir()
	in, out := filepath.Join(dir, "in.pdf"), filepath.Join(dir, "out.pdf")
	if err := os.WriteFile(in, file, 0o600); err != nil {
		t.Fatal(err)
	}
	args = append(append([]string{"--allow-weak-crypto"}, args...), in, out)
	if text, err := exec.Command(path, args...).CombinedOutput(); err != nil {
		t.Fatalf("qpdf %v: %v\n%s", args, err, text)
	}
	made, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	return made
}

// protections are the ways of qpdf to encrypt, without the passwords.
func protections() map[string][]string {
	return map[string][]string{
		"RC4 40 bits":                    {"40", "--"},
		"RC4 128 bits":                   {"128", "--use-aes=n", "--"},
		"RC4 V4":                         {"128", "--use-aes=n", "--force-V4", "--"},
		"AES-128":                        {"128", "--use-aes=y", "--"},
		"AES-128 with metadata in clear": {"128", "--use-aes=y", "--cleartext-metadata", "--"},
		"AES-256 R5":                     {"256", "--force-R5", "--"},
		"AES-256 R6":                     {"256", "--"},
	}
}

// TestSignEncryptedDocuments signs what qpdf encrypted, in every way, opened by
// no password, the user's and the owner's, with objects in the file and in
// object streams. qpdf decrypts the result, whose strings must then be plain.
func TestSignEncryptedDocuments(t *testing.T) {
	s := newState(t)
	for name, protection := range protections() {
		for _, c := range []struct{ user, password string }{{"", ""}, {"nimi", "nimi"}, {"nimi", "omanik"}} {
			for _, streams := range []string{"disable", "generate"} {
				t.Run(fmt.Sprint(name, " ", c.user, " ", c.password, " ", streams), func(t *testing.T) {
					args := append([]string{"--object-streams=" + streams, "--encrypt", c.user, "omanik"}, protection...)
					file := qpdf(t, pdfs.Form(), args...)
					level := signing.BaselineB
					if c.password == "" {
						level = signing.BaselineLTA
					}
					var out bytes.Buffer
					result, err := pades.Sign(t.Context(), bytes.NewReader(file), int64(len(file)), &out, s.cred, pades.Options{
						Level: level, Services: s.services, SigningTime: s.Now(), Reason: "Põhjus (1)", Password: []byte(c.password),
					})
					if err != nil || result.Baseline != level {
						t.Fatalf("%+v, %v", result, err)
					}
					report := verify(t, out.Bytes(), pades.VerifyOptions{Roots: s.Roots()[:1], Time: s.Now(), Password: []byte(c.password), WithoutRevocation: true})
					if got := report.Signatures[0]; !report.Passed() || got.Baseline != level || got.Reason != "Põhjus (1)" || !report.Encrypted {
						t.Errorf("report %+v", report)
					}
					plain := qpdf(t, out.Bytes(), "--password="+c.password, "--decrypt", "--qdf", "--object-streams=disable")
					if !bytes.Contains(plain, []byte("/T (Signature1)")) || level == signing.BaselineLTA && !bytes.Contains(plain, []byte("/T (Timestamp1)")) || !bytes.Contains(plain, []byte("/ByteRange")) {
						t.Error("qpdf does not find the names of the fields")
					}
					text, err := judge(t, out.Bytes(), "qpdf", "--password="+c.password, "--check")
					if err != nil {
						t.Errorf("qpdf: %v\n%s", err, text)
					}
					text, _ = judge(t, out.Bytes(), "pdfsig", "-nocert", "-upw", c.password)
					if c.password != "omanik" && !strings.Contains(text, "Signature is Valid") {
						t.Errorf("pdfsig:\n%s", text)
					}
				})
			}
		}
	}
}

// TestPasswordsAreThoseOfPeople: a password with accents opens, in the encoding that the
// encryption has for it, whichever way the keyboard writes them.
func TestPasswordsAreThoseOfPeople(t *testing.T) {
	cred := citizen(t)
	for name, protection := range protections() {
		for _, row := range []struct {
			mode, set, typed string
			only256          bool
		}{
			{"unicode", "contraseña-žõ", "contraseña-žõ", false},
			{"unicode", "contraseña-žõ", "contrasen\u0303a-z\u030Co\u0303", false}, // as macOS writes it
			{"bytes", "contraseña", "contraseña", false},                           // of a program that encodes nothing
			{"unicode", "пароль", "пароль", true},
			{"unicode", "SaSLprep IX", "S\u00AASL\u00ADprep\u00A0\u2168", true}, // RFC 4013 3, and a space
		} {
			if row.only256 && !strings.HasPrefix(name, "AES-256") {
				continue
			}
			t.Run(name+" "+row.typed, func(t *testing.T) {
				for _, passwords := range [][]string{{row.set, "omanik"}, {"nimi", row.set}} {
					file := qpdf(t, pdfs.Form(), slices.Concat([]string{"--password-mode=" + row.mode, "--encrypt"}, passwords, protection)...)
					var out bytes.Buffer
					_, err := pades.Sign(t.Context(), bytes.NewReader(file), int64(len(file)), &out, cred, pades.Options{SigningTime: signedAt, Password: []byte(row.typed)})
					if err != nil {
						t.Fatal(err)
					}
					qpdf(t, out.Bytes(), "--password-mode="+row.mode, "--password="+row.set, "--decrypt")
				}
			})
		}
	}
}

// TestStoredPlanOfALockedDocument: the password is not in a plan that is stored, and
// whoever goes on with it has to know it to check the output.
func TestStoredPlanOfALockedDocument(t *testing.T) {
	cred := citizen(t)
	const password = "a password that no base64 is like"
	file := qpdf(t, pdfs.Form(), "--encrypt", password, "omanik", "256", "--")
	prepared, err := pades.Prepare(t.Context(), bytes.NewReader(file), int64(len(file)), cred, pades.Options{SigningTime: signedAt, Password: []byte(password)})
	if err != nil {
		t.Fatal(err)
	}
	stored, err := json.Marshal(prepared)
	inBase64 := base64.StdEncoding.EncodeToString([]byte(password)) // as JSON has bytes
	if err != nil || bytes.Contains(stored, []byte(password)) || bytes.Contains(stored, []byte(inBase64)) {
		t.Fatalf("%v, %s", err, stored)
	}
	var plan pades.Plan
	if err := json.Unmarshal(stored, &plan); err != nil {
		t.Fatal(err)
	}
	out := completed(t, &plan, file, cred)
	check := func() error { return plan.Check(t.Context(), bytes.NewReader(file), bytes.NewReader(out)) }
	if err := check(); !errors.Is(err, pades.ErrCheck) || !errors.Is(err, pdf.ErrEncrypted) {
		t.Errorf("without the password: %v", err)
	}
	plan.Unlock([]byte(password))
	if err := check(); err != nil {
		t.Errorf("with the password: %v", err)
	}
}

// TestLockedDocumentsAreRefused (P-46, P-75): wrong password, unknown or
// malformed handlers, and protections that grant no right to sign.
func TestLockedDocumentsAreRefused(t *testing.T) {
	cred := citizen(t)
	attempt := func(file []byte, password string) error {
		counter := &countingSigner{Signer: cred.Signer}
		_, err := pades.Sign(t.Context(), bytes.NewReader(file), int64(len(file)), &bytes.Buffer{},
			signing.Credential{Signer: counter, Certificate: cred.Certificate}, pades.Options{SigningTime: signedAt, Password: []byte(password)})
		if err != nil && counter.calls > 0 {
			t.Error("the key was used")
		}
		return err
	}
	for name, protection := range protections() {
		locked := qpdf(t, pdfs.Form(), append([]string{"--encrypt", "nimi", "omanik"}, protection...)...)
		for _, password := range []string{"", "Nimi", strings.Repeat("x", 5000)} {
			if err := attempt(locked, password); !errors.Is(err, pdf.ErrEncrypted) {
				t.Errorf("%s with %.10q: %v", name, password, err)
			}
		}
		open := qpdf(t, pdfs.Form(), append([]string{"--encrypt", "", "omanik"}, protection...)...)
		for from, to := range map[string]string{
			"/Filter /Standard": "/Filter /Adobe.PK", "/V ": "/V 9", "/R ": "/R 9", "/O <": "/O [<", "/CFM /AES": "/CFM /XYZ",
		} {
			at := bytes.LastIndex(open[:bytes.Index(open, []byte("/Filter /Standard"))], []byte(" obj")) // the encryption dictionary
			broken := append(bytes.Clone(open[:at]), bytes.Replace(open[at:], []byte(from), []byte(to), 1)...)
			if bytes.Equal(broken, open) {
				continue
			}
			if err := attempt(broken, ""); err == nil {
				t.Errorf("%s with %q: signed", name, to)
			}
		}
	}
	forbidden := qpdf(t, pdfs.Form(), "--encrypt", "", "omanik", "128", "--use-aes=y", "--modify=none", "--annotate=n", "--form=n", "--")
	if refused, _ := errors.AsType[*pades.RefusedError](attempt(forbidden, "")); refused == nil || refused.Code != pades.RefusedPermission {
		t.Error("signed against the protection")
	}
	if err := attempt(forbidden, "omanik"); err != nil {
		t.Errorf("by its owner: %v", err)
	}
}
