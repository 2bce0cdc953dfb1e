package pades_test

import (
	"bytes"
	"context"
	"crypto"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/eidbridge/eidbridge/fixtures/pdfs"
	"github.com/eidbridge/eidbridge/fixtures/pki"
	"github.com/eidbridge/eidbridge/fixtures/signers"
	"github.com/eidbridge/eidbridge/signing"
	"github.com/eidbridge/eidbridge/signing/fetch"
	"github.com/eidbridge/eidbridge/signing/pades"
	"github.com/eidbridge/eidbridge/signing/tsp"
)

// state is a country with a signer and what the levels are raised with.
type state struct {
	*signers.Country
	cred     signing.Credential
	services *pades.Services
}

func newState(t testing.TB) *state {
	t.Helper()
	country := signers.NewCountry(t)
	return &state{Country: country, cred: country.Citizen, services: country.Services}
}

func (s *state) sign(t testing.TB, file []byte, level signing.Baseline) ([]byte, *pades.Result) {
	t.Helper()
	return sign(t, file, s.cred, pades.Options{Level: level, Services: s.services, SigningTime: s.Now()})
}

func (s *state) verify(t testing.TB, file []byte) *pades.Report {
	t.Helper()
	return verify(t, file, pades.VerifyOptions{Roots: s.Roots()[:1], Time: s.Now()})
}

func (s *state) extend(t testing.TB, file []byte, level signing.Baseline) ([]byte, *pades.Extension) {
	t.Helper()
	var out bytes.Buffer
	e, err := pades.Extend(context.Background(), bytes.NewReader(file), int64(len(file)), &out, level, s.services)
	if err != nil {
		t.Fatalf("Extend: %v", err)
	}
	if !bytes.HasPrefix(out.Bytes(), file) || e.Size != int64(out.Len()) {
		t.Error("the earlier bytes were changed, or the size is wrong")
	}
	return out.Bytes(), e
}

func (s *state) passed(t testing.TB, file []byte, level signing.Baseline) {
	t.Helper()
	report := s.verify(t, file)
	for _, got := range report.Signatures {
		if got.Indication != pades.TotalPassed || got.Baseline != level || got.ChangesAfter != pades.ChangesNone && got.ChangesAfter != pades.ChangesLTVOnly {
			t.Errorf("verdict %s/%s, level %s, changes %s: %v", got.Indication, got.SubIndication, got.Baseline, got.ChangesAfter, got.Findings)
		}
		if got.BestTime == nil || got.Revocation == "" {
			t.Errorf("best-signature-time %v, revocation %q", got.BestTime, got.Revocation)
		}
	}
	for _, stamp := range report.TimeStamps {
		if stamp.Integrity != pades.Intact {
			t.Errorf("time-stamp %+v", stamp)
		}
	}
}

func TestSignAtEveryLevelInEveryStructure(t *testing.T) {
	s := newState(t)
	for _, sample := range pdfs.Samples() {
		for _, level := range []signing.Baseline{signing.BaselineT, signing.BaselineLT, signing.BaselineLTA} {
			t.Run(sample.Name+" "+string(level), func(t *testing.T) {
				signed, result := s.sign(t, sample.Data, level)
				if result.Baseline != level || result.Shortfall != "" || result.Size != int64(len(signed)) || !bytes.HasPrefix(signed, sample.Data) {
					t.Errorf("result %+v for %d bytes", result, len(signed))
				}
				if level != signing.BaselineT {
					s.passed(t, signed, level)
					return
				}
				// Nothing in the file says that nobody was revoked.
				got := s.verify(t, signed).Signatures[0]
				if got.Baseline != level || got.SubIndication != pades.TryLater || got.BestTime != nil {
					t.Errorf("verdict %+v", got)
				}
				asked := verify(t, signed, pades.VerifyOptions{Roots: s.Roots()[:1], Time: s.Now(), Fetch: s.Client})
				if !asked.Passed() || asked.Signatures[0].BestTime == nil {
					t.Errorf("with questions asked: %+v", asked.Signatures[0])
				}
			})
		}
	}
}

func TestVerifyLTALongAfterCertificatesEnded(t *testing.T) {
	s := newState(t)
	lt, _ := s.sign(t, pdfs.Contract(), signing.BaselineLT)
	lta, _ := s.sign(t, pdfs.Contract(), signing.BaselineLTA)
	b, _ := s.sign(t, pdfs.Contract(), signing.BaselineB)
	s.SetAhead(6 * 365 * 24 * time.Hour) // the citizen's certificate has five years
	s.passed(t, lt, signing.BaselineLT)
	// That nobody says whether the certificate was revoked comes first.
	got := s.verify(t, b).Signatures[0]
	if got.SubIndication != pades.TryLater || !slices.ContainsFunc(got.Findings, func(f pades.Finding) bool { return f.Code == signing.FindValidity }) {
		t.Errorf("B-B: %+v", got)
	}
	// Every time-stamp is proven by a later one; renewed twice, it holds.
	for _, years := range []int{7, 14} {
		s.SetAhead(time.Duration(years) * 365 * 24 * time.Hour)
		var e *pades.Extension
		if lta, e = s.extend(t, lta, signing.BaselineLTA); e.Before != signing.BaselineLTA || e.After != signing.BaselineLTA {
			t.Errorf("after %d years: %+v", years, e)
		}
		report := verify(t, lta, pades.VerifyOptions{Roots: s.Roots()[:1], Time: s.Now(), Fetch: s.Client})
		if !report.Passed() || report.Signatures[0].BestTime.After(time.Now().Add(time.Minute)) {
			t.Errorf("after %d years: %+v", years, report)
		}
	}
}

func TestExtendFromEveryLevel(t *testing.T) {
	s := newState(t)
	for _, from := range []signing.Baseline{signing.BaselineB, signing.BaselineT, signing.BaselineLT, signing.BaselineLTA} {
		for _, to := range []signing.Baseline{signing.BaselineT, signing.BaselineLT, signing.BaselineLTA} {
			t.Run(string(from)+" to "+string(to), func(t *testing.T) {
				signed, _ := s.sign(t, pdfs.Contract(), from)
				extended, e := s.extend(t, signed, to)
				want := to
				if order := "B-B B-T B-LT B-LTA"; strings.Index(order, string(from)+" ") > strings.Index(order+" ", string(to)+" ") || from == signing.BaselineLTA {
					want = from
				}
				if e.Before != from || e.After != want || e.Shortfall != "" {
					t.Errorf("extension %+v, want %s", e, want)
				}
				if want != signing.BaselineT {
					s.passed(t, extended, want)
				}
			})
		}
	}
}

// TestLevelThatServicesDoNotReach (P-54): the document is finished at the level
// that was reached, says so, and is extended later.
func TestLevelThatServicesDoNotReach(t *testing.T) {
	s := newState(t)
	for _, c := range []struct {
		down string
		want signing.Baseline
	}{{"/tsa", signing.BaselineB}, {"/ocsp/ee-root", signing.BaselineLTA}, {"/ocsp/ee-esteid", signing.BaselineT}} {
		t.Run(c.down, func(t *testing.T) {
			s.SwitchOff(c.down)
			d := newDesk(t, pdfs.Contract())
			counter := &countingSigner{Signer: s.cred.Signer}
			result, err := pades.SignFile(t.Context(), d.in, d.out, signing.Credential{Signer: counter, Certificate: s.cred.Certificate, Chain: s.cred.Chain},
				pades.Options{Level: signing.BaselineLTA, Services: s.services})
			if err != nil || counter.calls != 1 {
				t.Fatalf("%v after %d signatures", err, counter.calls)
			}
			if result.Baseline != c.want || (result.Shortfall == "") != (c.want == signing.BaselineLTA) {
				t.Errorf("result %+v", result)
			}
			s.SwitchOff("")
			final := filepath.Join(d.folder, "final.pdf")
			e, err := pades.ExtendFile(t.Context(), d.out, final, signing.BaselineLTA, s.services, false)
			if err != nil || e.After != signing.BaselineLTA || e.Shortfall != "" {
				t.Fatalf("%+v, %v", e, err)
			}
			data, err := os.ReadFile(final)
			if err != nil {
				t.Fatal(err)
			}
			s.passed(t, data, signing.BaselineLTA)
			if _, err := pades.ExtendFile(t.Context(), d.out, final, signing.BaselineLTA, s.services, false); !errors.Is(err, pades.ErrExists) {
				t.Errorf("over an existing file: %v", err)
			}
		})
	}
}

// TestRevocationAgainstTime (P-25): revoked before, at and after the time that is
// proven, with and without a time-stamp. A time-stamp after the revocation does not
// tell that the signature is no older: REVOKED_NO_POE is what EN 319 102-1 5.5.4
// keeps. What makes it TOTAL_FAILED/REVOKED is a time-stamp over the content (see
// package validation).
func TestRevocationAgainstTime(t *testing.T) {
	for _, c := range []struct {
		name    string
		level   signing.Baseline
		revoked time.Duration // from the time that is proven, or claimed
		want    pades.Indication
		sub     pades.SubIndication
	}{
		{"before, no time-stamp", signing.BaselineB, -time.Hour, pades.Indeterminate, pades.RevokedNoPOE},
		{"after, no time-stamp", signing.BaselineB, time.Hour, pades.Indeterminate, pades.RevokedNoPOE},
		{"before, time-stamp", signing.BaselineT, -time.Hour, pades.Indeterminate, pades.RevokedNoPOE},
		{"at, time-stamp", signing.BaselineT, 0, pades.Indeterminate, pades.RevokedNoPOE},
		{"after, time-stamp", signing.BaselineT, time.Hour, pades.TotalPassed, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newState(t)
			signed, result := s.sign(t, pdfs.Contract(), c.level)
			proven := result.SigningTime
			if c.level == signing.BaselineT {
				proven = *s.verify(t, signed).Signatures[0].TimeStamps[0].Time
			}
			if err := s.Revoke(s.cred.Certificate, proven.Add(c.revoked), pki.KeyCompromise); err != nil {
				t.Fatal(err)
			}
			s.SetAhead(24 * time.Hour)
			report := verify(t, signed, pades.VerifyOptions{Roots: s.Roots()[:1], Time: s.Now(), Fetch: s.Client})
			if got := report.Signatures[0]; got.Indication != c.want || got.SubIndication != c.sub {
				t.Errorf("%s/%s: %v", got.Indication, got.SubIndication, got.Findings)
			}
		})
	}
}

// TestSignRefusesRevokedCertificates (P-55): before the key is used.
func TestSignRefusesRevokedCertificates(t *testing.T) {
	for _, reason := range []pki.Reason{pki.KeyCompromise, pki.CertificateHold} {
		s := newState(t)
		if err := s.Revoke(s.cred.Certificate, s.Now().Add(-time.Hour), reason); err != nil {
			t.Fatal(err)
		}
		counter := &countingSigner{Signer: s.cred.Signer}
		_, err := pades.Sign(t.Context(), bytes.NewReader(pdfs.Classic()), int64(len(pdfs.Classic())), &bytes.Buffer{},
			signing.Credential{Signer: counter, Certificate: s.cred.Certificate}, pades.Options{Level: signing.BaselineLT, Services: s.services})
		refused, _ := errors.AsType[*pades.RefusedError](err)
		if refused == nil || refused.Code != pades.RefusedRevoked || counter.calls != 0 {
			t.Errorf("%v after %d signatures", err, counter.calls)
		}
	}
}

// foreignStamps gives tokens of a country whose root nobody trusts.
type foreignStamps struct{ pades.Stamper }

// wrongStamps gives tokens over other data (P-23).
type wrongStamps struct{ pades.Stamper }

func (w wrongStamps) Stamp(ctx context.Context, hash crypto.Hash, digest []byte) (*tsp.Token, error) {
	other := bytes.Clone(digest)
	other[0] ^= 1
	return w.Stamper.Stamp(ctx, hash, other)
}

// TestForgedTimeStampsProveNothing (P-23).
func TestForgedTimeStampsProveNothing(t *testing.T) {
	s := newState(t)
	stranger := newStranger(t)
	for name, stamps := range map[string]pades.Stamper{
		"imprint of other bytes":       wrongStamps{s.services.TimeStamps},
		"authority that nobody trusts": foreignStamps{stranger.services.TimeStamps},
	} {
		t.Run(name, func(t *testing.T) {
			services := *s.services
			services.TimeStamps = stamps
			signed, _ := sign(t, pdfs.Contract(), s.cred, pades.Options{Level: signing.BaselineT, Services: &services, SigningTime: s.Now()})
			got := verify(t, signed, pades.VerifyOptions{Roots: s.Roots()[:1], Time: s.Now(), Fetch: s.Client}).Signatures[0]
			if got.BestTime != nil || got.TimeStamps[0].Indication == pades.TotalPassed {
				t.Errorf("time-stamp %+v", got.TimeStamps)
			}
			s.SetAhead(6 * 365 * 24 * time.Hour)
			defer s.SetAhead(0)
			// Revocation, about which nobody says anything of certificates that have ended,
			// comes before validity; it is left out here.
			got = verify(t, signed, pades.VerifyOptions{Roots: s.Roots()[:1], Time: s.Now(), WithoutRevocation: true}).Signatures[0]
			if got.Indication != pades.Indeterminate || got.SubIndication != pades.OutOfBoundsNoPOE {
				t.Errorf("after the certificate ended: %s/%s", got.Indication, got.SubIndication)
			}
		})
	}
}

// newStranger is another country, with roots of its own.
func newStranger(t *testing.T) *state {
	s := newState(t)
	country, err := pki.New(pki.Options{Seed: []byte("stranger")})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(country.Handler())
	t.Cleanup(server.Close)
	s.services.TimeStamps = &tsp.Client{
		Fetch: fetch.New(fetch.Options{Allow: []string{server.Listener.Addr().String()}}), Servers: []tsp.Server{{URL: server.URL + "/tsa"}},
	}
	return s
}

func TestExtendRefusesWhatIsNotSignedOrNotWhole(t *testing.T) {
	s := newState(t)
	signed, _ := s.sign(t, pdfs.Contract(), signing.BaselineB)
	broken := bytes.Clone(signed)
	broken[bytes.Index(broken, []byte("/CreationDate"))+16] ^= 1
	legacy := bytes.Replace(signed, []byte("/Reason"), []byte("/Reason"), 1)
	for _, c := range []struct {
		name  string
		file  []byte
		level signing.Baseline
		code  pades.RefusalCode
	}{
		{"unsigned", pdfs.Contract(), signing.BaselineT, pades.RefusedUnsigned},
		{"broken", broken, signing.BaselineT, pades.RefusedBroken},
		{"to B-B", legacy, signing.BaselineB, pades.RefusedOption},
		{"to nowhere", legacy, "B-XL", pades.RefusedOption},
	} {
		var out bytes.Buffer
		_, err := pades.Extend(t.Context(), bytes.NewReader(c.file), int64(len(c.file)), &out, c.level, s.services)
		if refused, _ := errors.AsType[*pades.RefusedError](err); refused == nil || refused.Code != c.code || out.Len() > 0 {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

// TestPlanTravelsToARemoteCard prepares on a server, signs elsewhere, and
// completes at B-T from the serialised plan.
func TestPlanTravelsToARemoteCard(t *testing.T) {
	s := newState(t)
	file := pdfs.Contract()
	source := bytes.NewReader(file)
	public := signing.Credential{Certificate: s.cred.Certificate, Chain: s.cred.Chain}
	prepared, err := pades.Prepare(t.Context(), source, int64(len(file)), public, pades.Options{Level: signing.BaselineT, SigningTime: s.Now()})
	if err != nil {
		t.Fatal(err)
	}
	stored, err := json.Marshal(prepared)
	if err != nil {
		t.Fatal(err)
	}
	_, digest := prepared.Digest()
	signature, err := s.cred.Signer.Sign(nil, digest, prepared.SignerOpts())
	if err != nil {
		t.Fatal(err)
	}
	var plan pades.Plan
	if err := json.Unmarshal(stored, &plan); err != nil {
		t.Fatal(err)
	}
	if err := plan.TimeStamp(t.Context(), s.services.TimeStamps, append(bytes.Clone(signature), 0)); !errors.Is(err, pades.ErrWrongSignature) {
		t.Errorf("a value that is none: %v", err)
	}
	if err := plan.TimeStamp(t.Context(), s.services.TimeStamps, signature); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := plan.Complete(t.Context(), source, &out, signature); err != nil {
		t.Fatal(err)
	}
	if plan.Result().Baseline != signing.BaselineT {
		t.Errorf("result %+v", plan.Result())
	}
	lta, _ := s.extend(t, out.Bytes(), signing.BaselineLTA)
	s.passed(t, lta, signing.BaselineLTA)
}

// TestSecondSignerAfterLTA signs a document of level B-LTA again; both are good,
// and extending raises both.
func TestSecondSignerAfterLTA(t *testing.T) {
	s := newState(t)
	once, _ := s.sign(t, pdfs.Contract(), signing.BaselineLTA)
	twice, result := s.sign(t, once, signing.BaselineLTA)
	if result.Baseline != signing.BaselineLTA || result.EarlierSignatures != 2 {
		t.Errorf("result %+v", result)
	}
	report := s.verify(t, twice)
	if !report.Passed() || len(report.Signatures) != 2 || len(report.TimeStamps) != 2 {
		t.Errorf("report %+v", report)
	}
	for _, got := range report.Signatures {
		if got.Baseline != signing.BaselineLTA {
			t.Errorf("field %s is %s", got.Field, got.Baseline)
		}
	}
}

// TestToolsOfOthersReadLTA has qpdf check the structure and poppler the
// signatures at the highest level.
func TestToolsOfOthersReadLTA(t *testing.T) {
	if _, err := exec.LookPath("qpdf"); err != nil {
		t.Skip("qpdf is not installed")
	}
	s := newState(t)
	for _, sample := range pdfs.Samples() {
		signed, _ := s.sign(t, sample.Data, signing.BaselineLTA)
		_, before := judge(t, sample.Data, "qpdf", "--check")
		if out, err := judge(t, signed, "qpdf", "--check"); err != nil && before == nil {
			t.Errorf("%s: qpdf: %v\n%s", sample.Name, err, out)
		}
		out, err := judge(t, signed, "pdfsig", "-nocert")
		if err != nil || strings.Count(out, "Signature is Valid") != 1 || !strings.Contains(out, "Timestamp1") || !strings.Contains(out, "Total document signed") {
			t.Errorf("%s: pdfsig: %v\n%s", sample.Name, err, out)
		}
	}
}

// TestLevelOutlivesLaterData: what an archive time-stamp covers stays covered when the
// store grows behind it, as it does before the next one; and what is only added behind
// it is not covered.
func TestLevelOutlivesLaterData(t *testing.T) {
	s := newState(t)
	grow := func(file []byte) []byte {
		t.Helper()
		m := regexp.MustCompile(`/DSS (\d+) 0 R`).FindAllSubmatch(file, -1)
		if len(m) == 0 {
			t.Fatal("no store")
		}
		number, err := strconv.Atoi(string(m[len(m)-1][1]))
		if err != nil {
			t.Fatal(err)
		}
		root := regexp.MustCompile(`/Root (\d+) 0 R`).FindSubmatch(file)
		catalog, err := strconv.Atoi(string(root[1]))
		if err != nil {
			t.Fatal(err)
		}
		return pdfs.Revise(file, map[int]string{number: with(t, file, number, "/Later true")}, catalog)
	}
	for _, level := range []signing.Baseline{signing.BaselineLT, signing.BaselineLTA} {
		signed, _ := s.sign(t, pdfs.Classic(), level)
		got := s.verify(t, grow(signed)).Signatures[0]
		if got.Baseline != level || got.Indication != pades.TotalPassed || got.ChangesAfter != pades.ChangesLTVOnly {
			t.Errorf("%s became %s: %s/%s %s %v", level, got.Baseline, got.Indication, got.SubIndication, got.ChangesAfter, got.Findings)
		}
	}
	// Another signature with data of its own, and a time-stamp over that alone.
	first, _ := s.sign(t, pdfs.Classic(), signing.BaselineT)
	stamped, _ := s.extend(t, first, signing.BaselineLTA)
	second, _ := s.sign(t, stamped, signing.BaselineB)
	report := s.verify(t, second)
	if levels := []signing.Baseline{report.Signatures[0].Baseline, report.Signatures[1].Baseline}; levels[0] != signing.BaselineLTA || levels[1] != signing.BaselineB {
		t.Errorf("levels %v", levels)
	}
}

// TestFieldsMayStandFirst: producers put new fields where they like in the list of the
// form. Every former one has to be there, in its order.
func TestFieldsMayStandFirst(t *testing.T) {
	signed := pdfs.Classic()
	for range 3 {
		signed, _ = sign(t, signed, citizen(t), pades.Options{})
	}
	list := regexp.MustCompile(`/Fields \[(\d+ 0 R)[ \n]+(\d+ 0 R)[ \n]+(\d+ 0 R)[ \n]*\]`).FindSubmatchIndex(signed)
	if list == nil {
		t.Fatal("no list of three fields")
	}
	from, to := list[2], list[7]
	field := func(n int) string { return string(signed[list[2*n]:list[2*n+1]]) }
	for _, row := range []struct {
		name  string
		order []int
		want  pades.Changes
	}{
		{"new one last", []int{1, 2, 3}, pades.ChangesFormFill},
		{"new one first", []int{3, 1, 2}, pades.ChangesFormFill},
		{"new one between", []int{1, 3, 2}, pades.ChangesFormFill},
		{"old ones exchanged", []int{2, 1, 3}, pades.ChangesOther},
	} {
		file := bytes.Clone(signed)
		copy(file[from:to], fmt.Sprintf("%-*s", to-from, field(row.order[0])+" "+field(row.order[1])+" "+field(row.order[2])))
		judged := 0
		for _, got := range verify(t, file, trusted()).Signatures {
			if got.Field != "Signature2" {
				continue
			}
			if judged++; got.ChangesAfter != row.want {
				t.Errorf("%s: %s %v", row.name, got.ChangesAfter, got.Findings)
			}
		}
		if judged != 1 {
			t.Errorf("%s: the second signature is judged %d times", row.name, judged)
		}
	}
}

// TestFormerCatalogs: some producers give every revision a catalog of a new number. The
// former ones still refer to the form, and mean nothing.
func TestFormerCatalogs(t *testing.T) {
	first, _ := sign(t, pdfs.Classic(), citizen(t), pades.Options{})
	moved := pdfs.Revise(first, map[int]string{60: body(t, first, 1)}, 60)
	second, _ := sign(t, moved, citizen(t), pades.Options{})
	third, _ := sign(t, second, citizen(t), pades.Options{})
	for _, got := range verify(t, third, trusted()).Signatures {
		if got.Indication != pades.TotalPassed || !got.ChangesAfter.Harmless() {
			t.Errorf("%s: %s/%s %s %v", got.Field, got.Indication, got.SubIndication, got.ChangesAfter, got.Findings)
		}
	}
}

// TestWhatCannotBeReadCannotBeExtended: the table says of an object that nobody uses
// that it stands where another one does. Such a document is signed up to B-T; above, and
// later, what is appended could not be told from a change, which is told before the key
// is used.
func TestWhatCannotBeReadCannotBeExtended(t *testing.T) {
	s := newState(t)
	file := pdfs.Classic()
	size := regexp.MustCompile(`/Size (\d+)`).FindSubmatch(file)[1]
	next, _ := strconv.Atoi(string(size))
	more := strconv.Itoa(next + 1)
	file = bytes.Replace(file, []byte("xref\n0 "+string(size)), []byte("xref\n0 "+more), 1)
	file = bytes.Replace(file, []byte("/Size "+string(size)), []byte("/Size "+more), 1)
	file = bytes.Replace(file, []byte("trailer\n"), fmt.Appendf(nil, "%010d 00000 n \ntrailer\n", bytes.Index(file, []byte("1 0 obj"))), 1)
	for _, level := range []signing.Baseline{signing.BaselineB, signing.BaselineT} {
		signed, result := s.sign(t, file, level)
		if own := s.verify(t, signed).Signatures[0]; result.Baseline != level || own.Integrity != pades.Intact || own.Coverage != pades.WholeFile {
			t.Errorf("%s: made %s, read as %+v", level, result.Baseline, own)
		}
	}
	for _, level := range []signing.Baseline{signing.BaselineLT, signing.BaselineLTA} {
		counter := &countingSigner{Signer: s.cred.Signer}
		cred := signing.Credential{Signer: counter, Certificate: s.cred.Certificate, Chain: s.cred.Chain}
		_, err := pades.Sign(t.Context(), bytes.NewReader(file), int64(len(file)), io.Discard, cred,
			pades.Options{Level: level, Services: s.services, SigningTime: s.Now()})
		refused, _ := errors.AsType[*pades.RefusedError](err)
		if refused == nil || refused.Code != pades.RefusedAmbiguous || refused.Advice == "" || counter.calls != 0 {
			t.Errorf("%s: %v, the key was used %d times", level, err, counter.calls)
		}
	}
}
