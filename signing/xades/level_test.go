package xades_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/eidbridge/eidbridge/fixtures/signers"
	"github.com/eidbridge/eidbridge/signing"
	"github.com/eidbridge/eidbridge/signing/c14n"
	"github.com/eidbridge/eidbridge/signing/tsp"
	"github.com/eidbridge/eidbridge/signing/xades"
)

// state is a country with two signers and what the levels are raised with.
type state struct {
	*signers.Country
	cred, other signing.Credential
	services    *signing.Services
}

func newState(t testing.TB) *state {
	t.Helper()
	country := signers.NewCountry(t)
	services := *country.Services
	services.TimeStamps = &tsp.Client{Fetch: country.Client, Servers: []tsp.Server{{URL: "http://" + country.Address + "/tsa/es"}}, Clock: country.Now}
	services.Anchors = country.Roots()[1:]
	return &state{Country: country, cred: country.Spaniard(t, 0), other: country.Spaniard(t, 1), services: &services}
}

func (s *state) sign(t testing.TB, doc string, o xades.Options) ([]byte, *signing.Result) {
	t.Helper()
	o.Services, o.SigningTime = s.services, s.Now()
	var out bytes.Buffer
	r, err := xades.Sign(context.Background(), strings.NewReader(doc), int64(len(doc)), &out, s.cred, o)
	if err != nil {
		t.Fatalf("Sign: %v", err)
	}
	if r.Size != int64(out.Len()) {
		t.Errorf("result %+v for %d bytes", r, out.Len())
	}
	return out.Bytes(), r
}

func (s *state) options() xades.VerifyOptions {
	return xades.VerifyOptions{VerifyOptions: signing.VerifyOptions{Roots: s.Roots()[1:], Time: s.Now()}}
}

func (s *state) verify(t testing.TB, doc []byte) *signing.Report {
	t.Helper()
	return judge(t, doc, s.options())
}

func judge(t testing.TB, doc []byte, o xades.VerifyOptions) *signing.Report {
	t.Helper()
	r, err := xades.Verify(context.Background(), bytes.NewReader(doc), int64(len(doc)), o)
	if err != nil {
		t.Fatalf("Verify: %v", err)
	}
	return r
}

func (s *state) extend(t testing.TB, doc []byte, level signing.Baseline) ([]byte, *signing.Extension) {
	t.Helper()
	var out bytes.Buffer
	e, err := xades.Extend(context.Background(), bytes.NewReader(doc), int64(len(doc)), &out, level, s.services, xades.ExtendOptions{})
	if err != nil {
		t.Fatalf("Extend: %v", err)
	}
	if e.Size != int64(out.Len()) {
		t.Error("the size is wrong")
	}
	return out.Bytes(), e
}

// passed demands that every signature is TOTAL_PASSED at a level.
func (s *state) passed(t testing.TB, doc []byte, level signing.Baseline) {
	t.Helper()
	r := s.verify(t, doc)
	if len(r.Signatures) == 0 {
		t.Error("no signature")
	}
	for i, got := range r.Signatures {
		if got.Indication != signing.TotalPassed || got.Baseline != level || got.BestTime == nil || got.Revocation == "" {
			t.Errorf("signature %d: %s/%s, level %s, best time %v, revocation %q: %v", i+1, got.Indication, got.SubIndication, got.Baseline, got.BestTime, got.Revocation, got.Findings)
		}
		for _, stamp := range got.TimeStamps {
			if stamp.Integrity != signing.Intact || stamp.Indication != signing.TotalPassed {
				t.Errorf("time-stamp %+v", stamp)
			}
		}
	}
}

func TestSignAtEveryLevelInEveryPackaging(t *testing.T) {
	t.Parallel()
	s := newState(t)
	for name, o := range packagings() {
		for _, level := range []signing.Baseline{signing.BaselineT, signing.BaselineLT, signing.BaselineLTA} {
			t.Run(name+" "+string(level), func(t *testing.T) {
				o.Level = level
				signed, result := s.sign(t, letter, o)
				if result.Baseline != level || result.Shortfall != "" {
					t.Errorf("result %+v", result)
				}
				if level != signing.BaselineT {
					s.passed(t, signed, level)
					return
				}
				// Nothing in the document says that nobody was revoked.
				got := s.verify(t, signed).Signatures[0]
				if got.Baseline != level || got.SubIndication != signing.TryLater || got.BestTime != nil {
					t.Errorf("verdict %+v", got)
				}
				asking := s.options()
				asking.Fetch = s.Client
				if asked := judge(t, signed, asking); !asked.Passed() || asked.Signatures[0].BestTime == nil {
					t.Errorf("with questions asked: %+v", asked.Signatures[0])
				}
			})
		}
	}
}

func TestSignObjectsAtLTA(t *testing.T) {
	t.Parallel()
	s := newState(t)
	hash, err := xades.DefaultDigest(s.cred.Certificate.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	files := files{"a%20file.txt": "hello", "empty.bin": ""}
	var objects []xades.Object
	for name, content := range files {
		h := hash.New()
		h.Write([]byte(content))
		objects = append(objects, xades.Object{URI: name, MimeType: "text/plain", Digest: h.Sum(nil)})
	}
	var out bytes.Buffer
	_, err = xades.SignObjects(context.Background(), objects, &out, s.cred, files, xades.Options{
		Container: true, Canonicalization: c14n.Inclusive11, Level: signing.BaselineLTA, Services: s.services,
	})
	if err != nil {
		t.Fatal(err)
	}
	o := s.options()
	o.Resolver = files
	r := judge(t, out.Bytes(), o)
	if got := r.Signatures[0]; got.Indication != signing.TotalPassed || got.Baseline != signing.BaselineLTA || len(got.Signed) != 2 {
		t.Errorf("%+v", got)
	}
	// another file of the same name.
	files["a%20file.txt"] = "bye"
	if got := judge(t, out.Bytes(), o).Signatures[0]; got.Indication != signing.TotalFailed || got.SubIndication != signing.HashFailure {
		t.Errorf("over another file: %s/%s", got.Indication, got.SubIndication)
	}
	delete(files, "empty.bin")
	files["a%20file.txt"] = "hello"
	if got := judge(t, out.Bytes(), o).Signatures[0]; got.SubIndication != signing.SignedDataNotFound {
		t.Errorf("without a file: %s/%s", got.Indication, got.SubIndication)
	}
}

func TestExtendFromEveryLevel(t *testing.T) {
	t.Parallel()
	s := newState(t)
	levels := []signing.Baseline{signing.BaselineB, signing.BaselineT, signing.BaselineLT, signing.BaselineLTA}
	for name, o := range map[string]xades.Options{"enveloped": {}, "enveloping": {Packaging: xades.Enveloping}} {
		for _, from := range levels {
			for _, to := range levels[1:] {
				t.Run(name+" "+string(from)+" to "+string(to), func(t *testing.T) {
					o.Level = from
					signed, _ := s.sign(t, letter, o)
					extended, e := s.extend(t, signed, to)
					want := to
					if from.Rank() > to.Rank() {
						want = from
					}
					if e.Before != from || e.After != want || e.Shortfall != "" {
						t.Errorf("extension %+v, want %s", e, want)
					}
					if want != signing.BaselineT {
						s.passed(t, extended, want)
					}
					untouched(t, signed, extended)
				})
			}
		}
	}
}

// untouched demands that the second document is the first with something put in.
func untouched(t testing.TB, before, after []byte) {
	t.Helper()
	same := 0
	for same < len(before) && same < len(after) && before[same] == after[same] {
		same++
	}
	if rest := before[same:]; !bytes.HasSuffix(after, rest) {
		t.Error("bytes that were there have changed")
	}
}

// TestArchiveFormIsThatOfTheSignedProperties: whoever makes the octets of the signed
// properties anew, in the form that the archive time-stamp names, gets the same.
// EN 319 132-1 6.3: with properties that only refer to validation data a signature
// is of no level above B-T, whatever else it holds.
func TestPropertiesThatOnlyReferEndAtT(t *testing.T) {
	t.Parallel()
	s := newState(t)
	signed, _ := s.sign(t, letter, xades.Options{Level: signing.BaselineLT})
	const end = "</xades:UnsignedSignatureProperties>"
	for property, want := range map[string]signing.Baseline{
		"CompleteCertificateRefs": signing.BaselineT, "CompleteCertificateRefsV2": signing.BaselineT, "CompleteRevocationRefs": signing.BaselineT,
		"SigAndRefsTimeStampV2": signing.BaselineT, "RefsOnlyTimeStamp": signing.BaselineT, "SomethingElse": signing.BaselineLT,
	} {
		doc := bytes.Replace(signed, []byte(end), []byte("<xades:"+property+"/>"+end), 1)
		if len(doc) == len(signed) {
			t.Fatal("there are no unsigned properties")
		}
		got := s.verify(t, doc).Signatures[0]
		if got.Indication != signing.TotalPassed || got.Baseline != want {
			t.Errorf("%s: %s, level %s, want %s", property, got.Indication, got.Baseline, want)
		}
	}
}

func TestArchiveFormIsThatOfTheSignedProperties(t *testing.T) {
	t.Parallel()
	s := newState(t)
	for _, form := range []c14n.Method{c14n.Exclusive10, c14n.Inclusive10, c14n.Inclusive11} {
		signed, _ := s.sign(t, letter, xades.Options{Canonicalization: form, Level: signing.BaselineLT})
		extended, _ := s.extend(t, signed, signing.BaselineLTA)
		s.passed(t, extended, signing.BaselineLTA)
		_, archive, found := strings.Cut(string(extended), ":ArchiveTimeStamp ")
		if !found || !strings.Contains(archive[:strings.Index(archive, "</")], `CanonicalizationMethod Algorithm="`+string(form)+`"`) {
			t.Errorf("%s: another form", form)
		}
	}
}

func TestVerifyLTALongAfterCertificatesEnded(t *testing.T) {
	t.Parallel()
	s := newState(t)
	lta, _ := s.sign(t, letter, xades.Options{Level: signing.BaselineLTA})
	b, _ := s.sign(t, letter, xades.Options{})
	s.SetAhead(6 * 365 * 24 * time.Hour) // the citizen's certificate has five years
	s.passed(t, lta, signing.BaselineLTA)
	if got := s.verify(t, b).Signatures[0]; got.Indication != signing.Indeterminate || got.BestTime != nil {
		t.Errorf("B-B: %+v", got)
	}
	for _, years := range []int{7, 14} {
		s.SetAhead(time.Duration(years) * 365 * 24 * time.Hour)
		var e *signing.Extension
		if lta, e = s.extend(t, lta, signing.BaselineLTA); e.Before != signing.BaselineLTA || e.After != signing.BaselineLTA {
			t.Errorf("after %d years: %+v", years, e)
		}
		o := s.options()
		o.Fetch = s.Client
		r := judge(t, lta, o)
		if !r.Passed() || r.Signatures[0].BestTime.After(time.Now().Add(time.Minute)) {
			t.Errorf("after %d years: %+v", years, r.Signatures[0])
		}
	}
}

// TestLevelThatServicesDoNotReach: the document is finished at the level that was
// reached, says so, and is extended later.
func TestLevelThatServicesDoNotReach(t *testing.T) {
	t.Parallel()
	s := newState(t)
	responder, err := url.Parse(s.cred.Certificate.OCSPServer[0])
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		down string
		want signing.Baseline
	}{{"/tsa", signing.BaselineB}, {responder.Path + " /crl", signing.BaselineT}} {
		t.Run(c.down, func(t *testing.T) {
			s.SwitchOff(c.down)
			signed, result := s.sign(t, letter, xades.Options{Level: signing.BaselineLTA})
			s.SwitchOff("")
			if result.Baseline != c.want || result.Shortfall == "" {
				t.Errorf("result %+v, want %s", result, c.want)
			}
			if got := s.verify(t, signed).Signatures[0]; got.Integrity != signing.Intact || got.Baseline != c.want {
				t.Errorf("verdict %+v", got)
			}
			extended, e := s.extend(t, signed, signing.BaselineLTA)
			if e.After != signing.BaselineLTA {
				t.Errorf("extension %+v", e)
			}
			s.passed(t, extended, signing.BaselineLTA)
		})
	}
}

// TestPlanTravels signs with a plan that went through JSON, the key elsewhere.
func TestPlanTravels(t *testing.T) {
	t.Parallel()
	s := newState(t)
	ctx := context.Background()
	for name, o := range packagings() {
		t.Run(name, func(t *testing.T) {
			plan, err := xades.Prepare(ctx, strings.NewReader(letter), int64(len(letter)), signing.Credential{Certificate: s.cred.Certificate, Chain: s.cred.Chain}, o)
			if err != nil {
				t.Fatal(err)
			}
			text, err := json.Marshal(plan)
			if err != nil {
				t.Fatal(err)
			}
			var back xades.Plan
			if err := json.Unmarshal(text, &back); err != nil {
				t.Fatal(err)
			}
			_, digest := back.Digest()
			value, err := s.cred.Signer.Sign(nil, digest, back.SignerOpts())
			if err != nil {
				t.Fatal(err)
			}
			if err := back.TimeStamp(ctx, s.services.TimeStamps, value); err != nil {
				t.Fatal(err)
			}
			var out bytes.Buffer
			if err := back.Complete(ctx, strings.NewReader(letter), &out, value); err != nil {
				t.Fatal(err)
			}
			if got := s.verify(t, out.Bytes()).Signatures[0]; got.Integrity != signing.Intact || got.Baseline != signing.BaselineT {
				t.Errorf("%+v", got)
			}
			other := strings.Replace(letter, "more", "less", 1)
			if err := back.Complete(ctx, strings.NewReader(other), &out, value); !errors.Is(err, signing.ErrSourceChanged) {
				t.Errorf("another document: %v", err)
			}
			value[len(value)/2] ^= 1
			if err := back.Complete(ctx, strings.NewReader(letter), &out, value); !errors.Is(err, signing.ErrWrongSignature) {
				t.Errorf("wrong value: %v", err)
			}
		})
	}
}

func TestCountersign(t *testing.T) {
	t.Parallel()
	s := newState(t)
	ctx := context.Background()
	for name, o := range packagings() {
		t.Run(name, func(t *testing.T) {
			o.Level = signing.BaselineLT
			signed, _ := s.sign(t, letter, o)
			var out bytes.Buffer
			_, err := xades.Countersign(ctx, bytes.NewReader(signed), int64(len(signed)), &out, "", s.other, xades.Options{Level: signing.BaselineLT, Services: s.services, Canonicalization: o.Canonicalization})
			if err != nil {
				t.Fatal(err)
			}
			untouched(t, signed, out.Bytes())
			s.passed(t, out.Bytes(), signing.BaselineLT)
			r := s.verify(t, out.Bytes())
			if len(r.Signatures) != 2 || r.Signatures[1].Countersigns != 1 {
				t.Errorf("%+v", r.Signatures)
			}
		})
	}
}

// TestSignTwice: signatures that leave each other out stand side by side; a plain
// enveloped one refuses to be broken.
func TestSignTwice(t *testing.T) {
	t.Parallel()
	s := newState(t)
	ctx := context.Background()
	once, _ := s.sign(t, letter, xades.Options{Parallel: true, Level: signing.BaselineLT})
	twice, r := s.sign(t, string(once), xades.Options{Parallel: true, Level: signing.BaselineLT})
	if r.EarlierSignatures != 1 {
		t.Errorf("result %+v", r)
	}
	s.passed(t, twice, signing.BaselineLT)
	parts, _ := s.sign(t, letter, xades.Options{Elements: []string{"body"}, Level: signing.BaselineLT})
	parts, _ = s.sign(t, string(parts), xades.Options{Elements: []string{"body"}, Level: signing.BaselineLT})
	s.passed(t, parts, signing.BaselineLT)
	plain, _ := s.sign(t, letter, xades.Options{})
	_, err := xades.Prepare(ctx, bytes.NewReader(plain), int64(len(plain)), s.cred, xades.Options{})
	var refused *signing.RefusedError
	if !errors.As(err, &refused) || refused.Code != signing.RefusedEarlier {
		t.Errorf("a second plain enveloped signature: %v", err)
	}
	extended, _ := s.extend(t, twice, signing.BaselineLTA)
	s.passed(t, extended, signing.BaselineLTA)
}
