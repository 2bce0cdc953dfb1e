package cades_test

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/eidbridge/eidbridge/fixtures/needs"
	"github.com/eidbridge/eidbridge/fixtures/signers"
	"github.com/eidbridge/eidbridge/signing"
	"github.com/eidbridge/eidbridge/signing/cades"
	"github.com/eidbridge/eidbridge/signing/cms"
)

var text = []byte("The quick brown fox jumps over the lazy dog.\n")

// memory is content in memory.
func memory(data []byte) signing.Content {
	return signing.SectionContent(bytes.NewReader(data), 0, int64(len(data)))
}

func sign(t testing.TB, data []byte, cred signing.Credential, o cades.Options) ([]byte, *signing.Result) {
	t.Helper()
	var out bytes.Buffer
	result, err := cades.Sign(t.Context(), memory(data), &out, cred, o)
	if err != nil {
		t.Fatalf("Sign: %v", err)
	}
	if result.Size != int64(out.Len()) {
		t.Errorf("result says %d bytes, got %d", result.Size, out.Len())
	}
	return out.Bytes(), result
}

func verify(t testing.TB, message []byte, content signing.Content, o signing.VerifyOptions) *signing.Report {
	t.Helper()
	report, err := cades.Verify(t.Context(), bytes.NewReader(message), int64(len(message)), content, o)
	if err != nil {
		t.Fatalf("Verify: %v", err)
	}
	return report
}

// passed demands TOTAL_PASSED and levels, in the order of the report.
func passed(t testing.TB, report *signing.Report, levels ...signing.Baseline) {
	t.Helper()
	if len(report.Signatures) != len(levels) {
		t.Fatalf("%d signatures, want %d", len(report.Signatures), len(levels))
	}
	for i, s := range report.Signatures {
		if s.Indication != signing.TotalPassed || s.Integrity != signing.Intact || s.Baseline != levels[i] {
			t.Errorf("signature %d: %s/%s, %s, level %s, want %s: %v", i+1, s.Indication, s.SubIndication, s.Integrity, s.Baseline, levels[i], s.Findings)
		}
		for _, st := range s.TimeStamps {
			if st.Indication != signing.TotalPassed {
				t.Errorf("signature %d: time-stamp %s: %s/%s %v", i+1, st.Kind, st.Indication, st.SubIndication, st.Findings)
			}
		}
	}
}

// content is what verifies a signature: nil when it is inside.
func contentFor(detached bool, data []byte) signing.Content {
	if detached {
		return memory(data)
	}
	return nil
}

func TestSignWithEveryKind(t *testing.T) {
	keys := signers.NewKeys(t)
	for _, kind := range signers.Kinds() {
		for _, detached := range []bool{false, true} {
			name := string(kind) + " attached"
			if detached {
				name = string(kind) + " detached"
			}
			t.Run(name, func(t *testing.T) {
				cred := keys.Credential(t, kind, nil)
				counting := &signers.Counting{Signer: cred.Signer}
				cred.Signer = counting
				message, result := sign(t, text, cred, cades.Options{Detached: detached, PSS: kind == signers.RSAPSS})
				if counting.Calls != 1 {
					t.Errorf("the key was used %d times", counting.Calls)
				}
				if kind == signers.RSAPSS != strings.HasPrefix(result.SignatureAlgorithm, "RSA-PSS") {
					t.Errorf("algorithm %s", result.SignatureAlgorithm)
				}
				if bytes.Contains(message, text) == detached {
					t.Error("the content is on the wrong side")
				}
				passed(t, verify(t, message, contentFor(detached, text), keys.Trusting()), signing.BaselineB)
				if again := reencode(t, message, text); !bytes.Equal(again, message) {
					t.Error("the message is not DER")
				}
				openssl(t, keys.Root, message, text, detached)
			})
		}
	}
}

// reencode parses and writes a message.
func reencode(t *testing.T, message, content []byte) []byte {
	t.Helper()
	d, err := cms.Open(bytes.NewReader(message), int64(len(message)))
	if err != nil || d.Indefinite {
		t.Fatalf("%v, indefinite %t", err, d.Indefinite)
	}
	head, tail, err := d.Frame(int64(len(content)))
	if err != nil {
		t.Fatal(err)
	}
	if d.Detached() {
		return head
	}
	return append(append(head, content...), tail...)
}

// openssl has OpenSSL verify a message.
func openssl(t *testing.T, root *x509.Certificate, message, content []byte, detached bool) {
	t.Helper()
	needs.Program(t, "openssl", "openssl")
	dir := t.TempDir()
	write := func(name string, data []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	args := []string{
		"cms", "-verify", "-cades", "-inform", "DER", "-in", write("message.p7m", message), "-purpose", "any", "-binary",
		"-CAfile", write("root.pem", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: root.Raw})),
		"-out", filepath.Join(dir, "out"),
	}
	if detached {
		args = append(args, "-content", write("content", content))
	}
	if out, err := exec.CommandContext(t.Context(), "openssl", args...).CombinedOutput(); err != nil {
		t.Fatalf("openssl: %v\n%s", err, out)
	}
	if got, err := os.ReadFile(filepath.Join(dir, "out")); err != nil || !bytes.Equal(got, content) {
		t.Errorf("openssl took out %q, %v", got, err)
	}
}

func TestPlanTravelsAsJSON(t *testing.T) {
	keys := signers.NewKeys(t)
	cred := keys.Credential(t, signers.P256, nil)
	public := cred
	public.Signer = nil
	for _, detached := range []bool{false, true} {
		plan, err := cades.Prepare(t.Context(), memory(text), public, cades.Options{Detached: detached})
		if err != nil {
			t.Fatal(err)
		}
		raw, err := json.Marshal(plan)
		if err != nil {
			t.Fatal(err)
		}
		var remote cades.Plan
		if err := json.Unmarshal(raw, &remote); err != nil {
			t.Fatal(err)
		}
		_, digest := remote.Digest()
		value, err := cred.Signer.Sign(nil, digest, remote.SignerOpts())
		if err != nil {
			t.Fatal(err)
		}
		var out bytes.Buffer
		if err := remote.Complete(t.Context(), memory(text), &out, value); err != nil {
			t.Fatal(err)
		}
		passed(t, verify(t, out.Bytes(), contentFor(detached, text), keys.Trusting()), signing.BaselineB)

		value[len(value)-1] ^= 1
		if err := remote.Complete(t.Context(), memory(text), io.Discard, value); !errors.Is(err, signing.ErrWrongSignature) {
			t.Errorf("a spoiled value (P-52): %v", err)
		}
		value[len(value)-1] ^= 1
		if err := remote.Complete(t.Context(), memory(bytes.ToUpper(text)), io.Discard, value); !detached && !errors.Is(err, signing.ErrSourceChanged) {
			t.Errorf("other content (P-49): %v", err)
		}
	}
}

func TestClaimsAreWrittenAndRead(t *testing.T) {
	keys := signers.NewKeys(t)
	digest := bytes.Repeat([]byte{7}, 32)
	message, _ := sign(t, text, keys.Credential(t, signers.P256, nil), cades.Options{
		Detached: true, MediaType: "text/plain",
		SigningTime: time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC),
		Claims: signing.Claims{
			Policy:      &signing.Policy{OID: "2.16.724.1.3.1.1.2.1.9", DigestAlgorithm: "SHA-256", Digest: digest, Document: "https://sede.example/policy.pdf"},
			Commitments: []signing.Commitment{signing.ProofOfApproval},
			Roles:       []string{"juhataja", "директор"},
			Place:       signing.Place{Street: "Pikk 1", PostalCode: "10123", Locality: "Tallinn", Country: "EE"},
		},
	})
	s := verify(t, message, memory(text), signing.VerifyOptions{}).Signatures[0]
	if s.Policy != "2.16.724.1.3.1.1.2.1.9" || len(s.Commitments) != 1 || s.Commitments[0] != signing.ProofOfApproval ||
		strings.Join(s.Roles, "|") != "juhataja|директор" || s.Location != "10123, Pikk 1, Tallinn, EE" || s.Baseline != signing.BaselineB ||
		!s.ClaimedTime.Equal(time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)) {
		t.Errorf("%+v", s)
	}
	if !bytes.Contains(message, []byte("text/plain")) || !bytes.Contains(message, digest) {
		t.Error("media type or policy digest is not in the message")
	}
}

func TestRefusedBeforeTheKeyIsUsed(t *testing.T) {
	keys := signers.NewKeys(t)
	good := keys.Credential(t, signers.P256, nil)
	for _, row := range []struct {
		name string
		cred signing.Credential
		o    cades.Options
		code signing.RefusalCode
	}{
		{"expired (P-54)", keys.Credential(t, signers.P256, func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Hour) }), cades.Options{}, signing.RefusedCertificate},
		{"not for signatures", keys.Credential(t, signers.P256, func(c *x509.Certificate) { c.KeyUsage = x509.KeyUsageKeyEncipherment }), cades.Options{}, signing.RefusedCertificate},
		{"key of another certificate", signing.Credential{Signer: keys.Credential(t, signers.P256, nil).Signer, Certificate: good.Certificate}, cades.Options{}, signing.RefusedKey},
		{"level without services", good, cades.Options{Level: signing.BaselineT}, signing.RefusedOption},
		{"no level", good, cades.Options{Level: "B-X"}, signing.RefusedOption},
		{"two commitment types", good, cades.Options{Claims: signing.Claims{Commitments: []signing.Commitment{signing.ProofOfOrigin, signing.ProofOfSender}}}, signing.RefusedOption},
		{"policy without OID", good, cades.Options{Claims: signing.Claims{Policy: &signing.Policy{OID: "policy"}}}, signing.RefusedOption},
	} {
		t.Run(row.name, func(t *testing.T) {
			counting := &signers.Counting{Signer: row.cred.Signer}
			row.cred.Signer = counting
			_, err := cades.Sign(t.Context(), memory(text), io.Discard, row.cred, row.o)
			refused, ok := errors.AsType[*signing.RefusedError](err)
			if !ok || refused.Code != row.code || counting.Calls != 0 {
				t.Errorf("got %v, key used %d times", err, counting.Calls)
			}
		})
	}
}

func TestLevels(t *testing.T) {
	t.Parallel()
	country := signers.NewCountry(t)
	for _, detached := range []bool{false, true} {
		basic, _ := sign(t, text, country.Citizen, cades.Options{Detached: detached, SigningTime: country.Now()})
		content := contentFor(detached, text)
		for _, level := range []signing.Baseline{signing.BaselineT, signing.BaselineLT, signing.BaselineLTA} {
			message, result := sign(t, text, country.Citizen, cades.Options{Detached: detached, Level: level, Services: country.Services, SigningTime: country.Now()})
			if result.Baseline != level || result.Shortfall != "" {
				t.Errorf("%s: %+v", level, result)
			}
			o := country.Trusting()
			if level == signing.BaselineT {
				o.Fetch = country.Client
			}
			passed(t, verify(t, message, content, o), level)

			extended := extend(t, basic, content, level, country)
			passed(t, verify(t, extended, content, o), level)
			if d, e := fields(t, basic), fields(t, extended); !bytes.Equal(d, e) {
				t.Error("extending changed the signer")
			}
		}
	}
}

func fields(t *testing.T, message []byte) []byte {
	t.Helper()
	d, err := cms.Open(bytes.NewReader(message), int64(len(message)))
	if err != nil {
		t.Fatal(err)
	}
	return d.SignerInfos[0].Fields()
}

func extend(t testing.TB, message []byte, content signing.Content, level signing.Baseline, country *signers.Country) []byte {
	t.Helper()
	var out bytes.Buffer
	e, err := cades.Extend(t.Context(), bytes.NewReader(message), int64(len(message)), content, &out, level, country.Services)
	if err != nil {
		t.Fatalf("Extend: %v", err)
	}
	if e.After != level || e.Shortfall != "" || e.Size != int64(out.Len()) {
		t.Errorf("%+v, %d bytes", e, out.Len())
	}
	return out.Bytes()
}

// TestArchiveIsRenewed extends B-LTA again when the certificates of the signer
// and of the first time-stamps have ended.
func TestArchiveIsRenewed(t *testing.T) {
	t.Parallel()
	country := signers.NewCountry(t)
	message, _ := sign(t, text, country.Citizen, cades.Options{Level: signing.BaselineLTA, Services: country.Services, SigningTime: country.Now()})
	country.Advance(30 * 24 * time.Hour)
	renewed := extend(t, message, nil, signing.BaselineLTA, country)
	country.Advance(6 * 365 * 24 * time.Hour)
	report := verify(t, renewed, nil, country.Trusting())
	archives := 0
	for _, s := range report.Signatures[0].TimeStamps {
		if s.Kind == signing.ArchiveStamp {
			archives++
		}
		if s.Integrity != signing.Intact {
			t.Errorf("%s: %s %v", s.Kind, s.Integrity, s.Findings)
		}
	}
	if archives != 2 || report.Signatures[0].Baseline != signing.BaselineLTA {
		t.Errorf("%d archive time-stamps, level %s", archives, report.Signatures[0].Baseline)
	}
}

func TestShortfallLeavesTheLevelBelow(t *testing.T) {
	t.Parallel()
	country := signers.NewCountry(t)
	for _, row := range []struct {
		off  string
		want signing.Baseline
	}{{"/tsa", signing.BaselineB}, {"/ocsp", signing.BaselineT}} {
		country.SwitchOff(row.off)
		message, result := sign(t, text, country.Citizen, cades.Options{Level: signing.BaselineLTA, Services: country.Services, SigningTime: country.Now()})
		if result.Baseline != row.want || result.Shortfall == "" {
			t.Errorf("without %s: %s, %q", row.off, result.Baseline, result.Shortfall)
		}
		country.SwitchOff("")
		o := country.Trusting()
		o.Fetch = country.Client
		passed(t, verify(t, message, nil, o), row.want)
	}
}

func TestCoSignaturesKeepEarlierSigners(t *testing.T) {
	t.Parallel()
	country := signers.NewCountry(t)
	second := country.Person(t, 1)
	for _, detached := range []bool{false, true} {
		content := contentFor(detached, text)
		first, _ := sign(t, text, country.Citizen, cades.Options{Detached: detached, Level: signing.BaselineLT, Services: country.Services, SigningTime: country.Now()})
		var out bytes.Buffer
		result, err := cades.CoSign(t.Context(), bytes.NewReader(first), int64(len(first)), content, &out, second, cades.Options{Level: signing.BaselineLTA, Services: country.Services, SigningTime: country.Now()})
		if err != nil || result.EarlierSignatures != 1 || result.Baseline != signing.BaselineLTA || result.Size != int64(out.Len()) {
			t.Fatalf("%+v, %v", result, err)
		}
		before, err := cms.Open(bytes.NewReader(first), int64(len(first)))
		if err != nil {
			t.Fatal(err)
		}
		der, err := before.SignerInfos[0].DER()
		if err != nil || !bytes.Contains(out.Bytes(), der) {
			t.Errorf("the first signer was changed: %v", err)
		}
		report := verify(t, out.Bytes(), content, country.Trusting())
		if len(report.Signatures) != 2 {
			t.Fatalf("%d signatures", len(report.Signatures))
		}
		for _, s := range report.Signatures {
			if s.Indication != signing.TotalPassed || s.Baseline.Rank() < signing.BaselineLT.Rank() {
				t.Errorf("%s %s/%s %v", s.Baseline, s.Indication, s.SubIndication, s.Findings)
			}
		}
		openssl(t, country.Roots()[0], out.Bytes(), text, detached)
	}
}

func TestCounterSignature(t *testing.T) {
	t.Parallel()
	country := signers.NewCountry(t)
	first, _ := sign(t, text, country.Citizen, cades.Options{SigningTime: country.Now()})
	var out bytes.Buffer
	if _, err := cades.CounterSign(t.Context(), bytes.NewReader(first), int64(len(first)), nil, 1, &out, country.Person(t, 1), cades.Options{SigningTime: country.Now()}); err != nil {
		t.Fatal(err)
	}
	o := country.Trusting()
	o.Fetch = country.Client
	report := verify(t, out.Bytes(), nil, o)
	passed(t, report, signing.BaselineB, signing.BaselineB)
	if report.Signatures[0].Countersigns != 0 || report.Signatures[1].Countersigns != 1 {
		t.Errorf("countersigns %d and %d", report.Signatures[0].Countersigns, report.Signatures[1].Countersigns)
	}
	archived := extend(t, out.Bytes(), nil, signing.BaselineLTA, country)
	passed(t, verify(t, archived, nil, country.Trusting()), signing.BaselineLTA, signing.BaselineB)

	// A countersignature that is moved to another signer is about another value.
	other, _ := sign(t, text, country.Citizen, cades.Options{SigningTime: country.Now()})
	from, to := parse(t, out.Bytes()), parse(t, other)
	if err := to.SignerInfos[0].AddUnsigned(cms.OIDCounterSignature, from.SignerInfos[0].UnsignedAttribute(cms.OIDCounterSignature)[0]); err != nil {
		t.Fatal(err)
	}
	if err := to.AddCertificates(from.Certificates...); err != nil {
		t.Fatal(err)
	}
	report = verify(t, frame(t, to, text), nil, o)
	if s := report.Signatures[1]; s.Indication != signing.TotalFailed || s.SubIndication != signing.HashFailure {
		t.Errorf("moved countersignature: %s/%s", s.Indication, s.SubIndication)
	}
}

// TestCounterSignatureLevels: a countersignature has a time-stamp of its own and
// validation data in the message; an archive time-stamp is the signer's.
func TestCounterSignatureLevels(t *testing.T) {
	t.Parallel()
	country := signers.NewCountry(t)
	for _, detached := range []bool{false, true} {
		first, _ := sign(t, text, country.Citizen, cades.Options{Detached: detached, SigningTime: country.Now()})
		for level, later := range map[signing.Baseline]signing.Baseline{
			signing.BaselineB: signing.BaselineB, signing.BaselineT: signing.BaselineLT, signing.BaselineLT: signing.BaselineLT,
		} {
			var out bytes.Buffer
			// The content is not needed, and not at hand where it is detached.
			result, err := cades.CounterSign(t.Context(), bytes.NewReader(first), int64(len(first)), nil, 1, &out, country.Person(t, 1), cades.Options{SigningTime: country.Now(), Level: level, Services: country.Services})
			if err != nil || result.Baseline != level || result.Shortfall != "" {
				t.Fatalf("detached %t: %+v, %v", detached, result, err)
			}
			content := contentFor(detached, text)
			o := country.Trusting()
			o.Fetch = country.Client
			passed(t, verify(t, out.Bytes(), content, o), signing.BaselineB, level)
			archived := extend(t, out.Bytes(), content, signing.BaselineLTA, country)
			passed(t, verify(t, archived, content, country.Trusting()), signing.BaselineLTA, later)
		}
		var refused *signing.RefusedError
		_, err := cades.PrepareCounterSignature(t.Context(), bytes.NewReader(first), int64(len(first)), nil, 1, country.Person(t, 1), cades.Options{Level: signing.BaselineLTA, Services: country.Services})
		if !errors.As(err, &refused) || refused.Code != signing.RefusedOption {
			t.Errorf("B-LTA: %v", err)
		}
	}
}

func parse(t *testing.T, message []byte) *cms.SignedData {
	t.Helper()
	d, err := cms.Open(bytes.NewReader(message), int64(len(message)))
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func frame(t *testing.T, d *cms.SignedData, content []byte) []byte {
	t.Helper()
	head, tail, err := d.Frame(int64(len(content)))
	if err != nil {
		t.Fatal(err)
	}
	return append(append(head, content...), tail...)
}

func TestFiles(t *testing.T) {
	keys := signers.NewKeys(t)
	cred := keys.Credential(t, signers.P384, nil)
	dir := t.TempDir()
	in, out := filepath.Join(dir, "a.txt"), filepath.Join(dir, "a.txt.p7s")
	if err := os.WriteFile(in, text, 0o640); err != nil {
		t.Fatal(err)
	}
	if _, err := cades.SignFile(t.Context(), in, out, cred, cades.Options{Detached: true}); err != nil {
		t.Fatal(err)
	}
	if _, err := cades.SignFile(t.Context(), in, out, cred, cades.Options{Detached: true}); !errors.Is(err, signing.ErrExists) {
		t.Errorf("second time: %v", err)
	}
	both := filepath.Join(dir, "both.p7s")
	if _, err := cades.CoSignFile(t.Context(), out, in, both, keys.Credential(t, signers.P256, nil), cades.Options{}); err != nil {
		t.Fatal(err)
	}
	message, err := os.ReadFile(both)
	if err != nil {
		t.Fatal(err)
	}
	passed(t, verify(t, message, signing.FileContent(in), keys.Trusting()), signing.BaselineB, signing.BaselineB)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := cades.SignFile(ctx, in, filepath.Join(dir, "c"), cred, cades.Options{}); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 3 {
		t.Errorf("left behind: %v, %v", entries, err)
	}
}
