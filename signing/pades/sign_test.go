package pades_test

import (
	"bytes"
	"context"
	"crypto/elliptic"
	"crypto/x509"
	"testing"

	"github.com/eidbridge/eidbridge/fixtures/pdfs"
	"github.com/eidbridge/eidbridge/signing"
	"github.com/eidbridge/eidbridge/signing/pades"
)

func sign(t testing.TB, file []byte, cred signing.Credential, o pades.Options) ([]byte, *pades.Result) {
	t.Helper()
	if o.SigningTime.IsZero() {
		o.SigningTime = signedAt
	}
	var out bytes.Buffer
	result, err := pades.Sign(context.Background(), bytes.NewReader(file), int64(len(file)), &out, cred, o)
	if err != nil {
		t.Fatalf("Sign: %v", err)
	}
	return out.Bytes(), result
}

func verify(t testing.TB, file []byte, o pades.VerifyOptions) *pades.Report {
	t.Helper()
	if o.Time.IsZero() {
		o.Time = signedAt.AddDate(0, 1, 0)
	}
	report, err := pades.Verify(context.Background(), bytes.NewReader(file), int64(len(file)), o)
	if err != nil {
		t.Fatalf("Verify: %v", err)
	}
	return report
}

func trusted() pades.VerifyOptions {
	return pades.VerifyOptions{Roots: []*x509.Certificate{sharedCA().root}, WithoutRevocation: true}
}

func TestSignEveryStructure(t *testing.T) {
	cred := citizen(t)
	for _, s := range pdfs.Samples() {
		t.Run(s.Name, func(t *testing.T) {
			counter := &countingSigner{Signer: cred.Signer}
			signed, result := sign(t, s.Data, signing.Credential{Signer: counter, Certificate: cred.Certificate, Chain: cred.Chain}, pades.Options{})
			if counter.calls != 1 {
				t.Errorf("the signer was called %d times", counter.calls)
			}
			if !bytes.HasPrefix(signed, s.Data) {
				t.Error("the bytes of the source were changed")
			}
			if result.Size != int64(len(signed)) {
				t.Errorf("result says %d bytes, got %d", result.Size, len(signed))
			}
			report := verify(t, signed, trusted())
			if len(report.Signatures) != 1 {
				t.Fatalf("%d signatures", len(report.Signatures))
			}
			got := report.Signatures[0]
			if got.Indication != pades.TotalPassed || got.Coverage != pades.WholeFile || got.Baseline != signing.BaselineB || got.ChangesAfter != pades.ChangesNone {
				t.Errorf("verdict: %+v", got)
			}
			untold := verify(t, signed, pades.VerifyOptions{Roots: trusted().Roots}).Signatures[0]
			if untold.Indication != pades.Indeterminate || untold.SubIndication != pades.TryLater || !untold.Signer.ChainBuilt {
				t.Errorf("without word of revocation: %s/%s", untold.Indication, untold.SubIndication)
			}
			untrusted := verify(t, signed, pades.VerifyOptions{}).Signatures[0]
			if untrusted.Indication != pades.Indeterminate || untrusted.SubIndication != pades.NoCertificateChainFound || untrusted.Integrity != pades.Intact {
				t.Errorf("without anchors: %+v", untrusted)
			}
		})
	}
}

func TestSignWithEveryKey(t *testing.T) {
	for _, k := range []struct {
		name      string
		cred      signing.Credential
		pss       bool
		algorithm string
	}{
		{"P-256", sharedCA().issue(t, newECDSA(t, elliptic.P256()), nil), false, "ECDSA with SHA-256"},
		{"P-384", sharedCA().issue(t, newECDSA(t, elliptic.P384()), nil), false, "ECDSA with SHA-384"},
		{"P-521", sharedCA().issue(t, newECDSA(t, elliptic.P521()), nil), false, "ECDSA with SHA-512"},
		{"RSA", sharedCA().issue(t, sharedRSA(), nil), false, "RSA with SHA-256"},
		{"RSA-PSS", sharedCA().issue(t, sharedRSA(), nil), true, "RSA-PSS with SHA-256"},
	} {
		t.Run(k.name, func(t *testing.T) {
			signed, result := sign(t, pdfs.Classic(), k.cred, pades.Options{PSS: k.pss})
			if result.SignatureAlgorithm != k.algorithm {
				t.Errorf("algorithm %q, want %q", result.SignatureAlgorithm, k.algorithm)
			}
			if got := verify(t, signed, trusted()).Signatures[0]; got.Indication != pades.TotalPassed || got.SignatureAlgorithm != k.algorithm {
				t.Errorf("verdict: %+v", got)
			}
		})
	}
}
