package xades_test

import (
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"errors"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/eidbridge/eidbridge/signing"
	"github.com/eidbridge/eidbridge/signing/xades"
	"github.com/eidbridge/eidbridge/signing/xmltext"
)

// TestReportNamesWhatIsCovered: by the bytes that were
// digested and not by where the signature stands.
func TestReportNamesWhatIsCovered(t *testing.T) {
	t.Parallel()
	v := newTarget(t)
	// Content inside the signature that the enveloped transform leaves out.
	whole := v.sign(t, letter, xades.Options{})
	evil := once(t, whole, "</ds:Signature>", `<ds:Object><body Id="forged">forged</body></ds:Object></ds:Signature>`)
	report, err := v.judge(evil)
	if err != nil {
		t.Fatal(err)
	}
	d := report.Signatures[0].Data[0]
	at := int64(strings.Index(evil, "forged"))
	if !d.Whole() || len(d.Omitted) != 1 || at < d.Omitted[0][0] || at >= d.Omitted[0][1] {
		t.Errorf("what stands inside the signature is said to be covered: %+v", d)
	}
	// A small signed part in a big document that nobody signed.
	part := v.sign(t, letter, xades.Options{Elements: []string{"body"}})
	part = once(t, part, "</letter>", "<more>unsigned</more></letter>")
	if report, err = v.judge(part); err != nil {
		t.Fatal(err)
	}
	s := report.Signatures[0]
	d = s.Data[0]
	if s.Indication != signing.TotalPassed || d.Whole() || part[d.Start:d.End] != `<body Id="body">text &amp; more</body>` {
		t.Errorf("%+v", s)
	}
	found := false
	for _, f := range s.Findings {
		found = found || f.Code == "partial_coverage"
	}
	if !found {
		t.Errorf("nothing says that the rest is not covered: %v", s.Findings)
	}
	var text strings.Builder
	if err := report.WriteText(&text); err != nil || !strings.Contains(text.String(), `the element "body"`) {
		t.Errorf("%v\n%s", err, text.String())
	}
}

// TestNamesThatOtherReadersTakeOtherwise are refused.
func TestNamesThatOtherReadersTakeOtherwise(t *testing.T) {
	t.Parallel()
	v := newTarget(t)
	for _, doc := range []string{`<x::y/>`, `<:y/>`, `<a :b=""/>`, `<a><b:/></a>`, `<!x><a/>`} {
		_, err := v.judge(doc)
		var syntax *xmltext.Error
		if !errors.As(err, &syntax) {
			t.Errorf("%s: %v", doc, err)
		}
	}
}

// TestCertificateOfAnotherCA: the right names, and another key above.
func TestCertificateOfAnotherCA(t *testing.T) {
	t.Parallel()
	ca := func() (*x509.Certificate, any) {
		key := generate(t, elliptic.P256())
		template := &x509.Certificate{
			SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().AddDate(5, 0, 0),
			IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
		}
		template.Subject.CommonName = "State CA"
		raw, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
		if err != nil {
			t.Fatal(err)
		}
		c, err := x509.ParseCertificate(raw)
		if err != nil {
			t.Fatal(err)
		}
		return c, key
	}
	trusted, _ := ca()
	forged, forgedKey := ca()
	key := generate(t, elliptic.P256())
	template := &x509.Certificate{SerialNumber: big.NewInt(7), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().AddDate(1, 0, 0), KeyUsage: x509.KeyUsageContentCommitment}
	template.Subject.CommonName = "Goethe"
	raw, err := x509.CreateCertificate(rand.Reader, template, forged, key.Public(), forgedKey)
	if err != nil {
		t.Fatal(err)
	}
	certificate, err := x509.ParseCertificate(raw)
	if err != nil {
		t.Fatal(err)
	}
	v := &target{
		cred:    signing.Credential{Signer: key, Certificate: certificate, Chain: []*x509.Certificate{forged}},
		options: xades.VerifyOptions{VerifyOptions: signing.VerifyOptions{Roots: []*x509.Certificate{trusted}, WithoutRevocation: true}},
	}
	report, err := v.judge(v.sign(t, letter, xades.Options{}))
	if err != nil {
		t.Fatal(err)
	}
	if got := report.Signatures[0]; got.Integrity != signing.Intact || got.Indication != signing.Indeterminate || got.SubIndication != signing.NoCertificateChainFound {
		t.Errorf("%s, %s/%s %v", got.Integrity, got.Indication, got.SubIndication, got.Findings)
	}
}
