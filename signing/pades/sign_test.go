package pades_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/elliptic"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/hex"
	"testing"

	"github.com/eidbridge/eidbridge/fixtures/pdfs"
	"github.com/eidbridge/eidbridge/signing"
	"github.com/eidbridge/eidbridge/signing/cms"
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
	for _, s := range append(pdfs.Samples(), pdfs.Unusual()...) {
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

// TestSignWithEveryKey signs once with each kind of key and scheme. The hole is
// sized from the real CMS before the signer is asked: to the byte for RSA, and for
// ECDSA to the few bytes by which its values vary.
func TestSignWithEveryKey(t *testing.T) {
	// A certificate of this size would not fit a hole that was guessed.
	large := func(c *x509.Certificate) {
		c.ExtraExtensions = append(c.ExtraExtensions, pkix.Extension{Id: asn1.ObjectIdentifier{2, 999, 1}, Value: make([]byte, 40_000)})
	}
	for _, k := range []struct {
		name      string
		cred      signing.Credential
		o         pades.Options
		algorithm string
		slack     int // bytes of the hole that may stay empty
	}{
		{"P-256", sharedCA().issue(t, newECDSA(t, elliptic.P256()), nil), pades.Options{}, "ECDSA with SHA-256", 8},
		{"P-256 with SHA-512", sharedCA().issue(t, newECDSA(t, elliptic.P256()), nil), pades.Options{Digest: crypto.SHA512}, "ECDSA with SHA-512", 8},
		{"P-384", sharedCA().issue(t, newECDSA(t, elliptic.P384()), nil), pades.Options{}, "ECDSA with SHA-384", 8},
		{"P-521", sharedCA().issue(t, newECDSA(t, elliptic.P521()), nil), pades.Options{}, "ECDSA with SHA-512", 8},
		{"large certificate", sharedCA().issue(t, newECDSA(t, elliptic.P256()), large), pades.Options{}, "ECDSA with SHA-256", 8},
		{"RSA", sharedCA().issue(t, sharedRSA(), nil), pades.Options{}, "RSA with SHA-256", 0},
		{"RSA with SHA-384", sharedCA().issue(t, sharedRSA(), nil), pades.Options{Digest: crypto.SHA384}, "RSA with SHA-384", 0},
		{"RSA with SHA-512", sharedCA().issue(t, sharedRSA(), nil), pades.Options{Digest: crypto.SHA512}, "RSA with SHA-512", 0},
		{"RSA-PSS", sharedCA().issue(t, sharedRSA(), nil), pades.Options{PSS: true}, "RSA-PSS with SHA-256", 0},
		{"RSA-PSS with SHA-512", sharedCA().issue(t, sharedRSA(), nil), pades.Options{PSS: true, Digest: crypto.SHA512}, "RSA-PSS with SHA-512", 0},
	} {
		t.Run(k.name, func(t *testing.T) {
			counter := &countingSigner{Signer: k.cred.Signer}
			cred := k.cred
			cred.Signer = counter
			signed, result := sign(t, pdfs.Classic(), cred, k.o)
			if counter.calls != 1 {
				t.Errorf("the signer was called %d times", counter.calls)
			}
			if result.SignatureAlgorithm != k.algorithm {
				t.Errorf("algorithm %q, want %q", result.SignatureAlgorithm, k.algorithm)
			}
			got := verify(t, signed, trusted()).Signatures[0]
			if got.Indication != pades.TotalPassed || got.SignatureAlgorithm != k.algorithm {
				t.Errorf("verdict: %+v", got)
			}
			hole, err := hex.DecodeString(string(signed[got.ByteRange[1]+1 : got.ByteRange[2]-1]))
			if err != nil {
				t.Fatal(err)
			}
			_, slack, err := cms.ParsePadded(hole)
			if err != nil {
				t.Fatal(err)
			}
			if slack > k.slack {
				t.Errorf("%d of %d bytes of the hole are empty, want at most %d", slack, len(hole), k.slack)
			}
		})
	}
}
