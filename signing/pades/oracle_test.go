package pades_test

import (
	"bytes"
	"crypto/x509"
	"io"
	"slices"
	"testing"
	"time"

	"github.com/digitorus/pdfsign"

	"github.com/eidbridge/eidbridge/fixtures/pdfs"
	"github.com/eidbridge/eidbridge/signing"
	"github.com/eidbridge/eidbridge/signing/pades"
)

// pdfsignSign has the peer library sign a file.
func pdfsignSign(t testing.TB, file []byte, cred signing.Credential, format pdfsign.Format) []byte {
	t.Helper()
	doc, err := pdfsign.Open(bytes.NewReader(file), int64(len(file)))
	if err != nil {
		t.Fatal(err)
	}
	doc.Sign(cred.Signer, cred.Certificate).Format(format).Reason("by another library")
	var out bytes.Buffer
	if _, err := doc.Write(&out); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// today is a credential to the taste of the peer: valid now, because it takes the
// clock of the machine; with an extended key usage; and without a chain, because
// it takes the first certificate of the message for the signer's.
func today(t testing.TB) signing.Credential {
	t.Helper()
	cred := sharedCA().issue(t, newECDSA(t, sharedCA().key.Curve), func(c *x509.Certificate) {
		c.NotBefore, c.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
		c.KeyUsage |= x509.KeyUsageDigitalSignature
		c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageEmailProtection}
	})
	cred.Chain = nil
	return cred
}

func TestPdfsignReadsWhatWeSign(t *testing.T) {
	cred := today(t)
	for _, s := range pdfs.Samples() {
		switch s.Name {
		case "hybrid", "mixed-chain", "cr-line-ends", "short-xref-entries", "startxref-off":
			continue // its reader does not open these
		}
		t.Run(s.Name, func(t *testing.T) {
			signed, _ := sign(t, s.Data, cred, pades.Options{SigningTime: time.Now()})
			doc, err := pdfsign.Open(bytes.NewReader(signed), int64(len(signed)))
			if err != nil {
				t.Fatal(err)
			}
			roots := x509.NewCertPool()
			roots.AddCert(sharedCA().root)
			v := doc.Verify().TrustedRoots(roots).SkipRevocationCheck(true)
			if !v.Valid() || v.Count() != 1 {
				t.Errorf("%d signatures, error %v, %+v", v.Count(), v.Err(), v.Signatures())
			}
		})
	}
}

// TestPdfsignFindsTheSameSignedBytes has the extract package of the peer enumerate
// signatures: the same byte ranges, and signed bytes that are all of the file but the
// hole.
func TestPdfsignFindsTheSameSignedBytes(t *testing.T) {
	cred := today(t)
	for _, s := range []pdfs.Sample{{Name: "classic", Data: pdfs.Classic()}, {Name: "compressed", Data: pdfs.FormCompressed()}, {Name: "visible field", Data: pdfs.EmptyVisibleField()}} {
		t.Run(s.Name, func(t *testing.T) {
			signed, _ := sign(t, s.Data, cred, pades.Options{SigningTime: time.Now()})
			signed, _ = sign(t, signed, cred, pades.Options{SigningTime: time.Now()})
			ours := verify(t, signed, trusted()).Signatures
			doc, err := pdfsign.Open(bytes.NewReader(signed), int64(len(signed)))
			if err != nil {
				t.Fatal(err)
			}
			found := 0
			for theirs, err := range doc.Signatures() {
				if err != nil {
					t.Fatal(err)
				}
				i := slices.IndexFunc(ours, func(o pades.Signature) bool { return slices.Equal(o.ByteRange, theirs.ByteRange()) })
				if i < 0 || theirs.SubFilter() != ours[i].SubFilter {
					t.Fatalf("byte range %v, encoding %s", theirs.ByteRange(), theirs.SubFilter())
				}
				r, err := theirs.SignedData()
				if err != nil {
					t.Fatal(err)
				}
				data, err := io.ReadAll(r)
				b := ours[i].ByteRange
				if want := slices.Concat(signed[:b[1]], signed[b[2]:b[2]+b[3]]); err != nil || !bytes.Equal(data, want) {
					t.Errorf("%d signed bytes, want %d (%v)", len(data), len(want), err)
				}
				found++
			}
			if found != len(ours) || found != 2 {
				t.Errorf("%d signatures, we find %d", found, len(ours))
			}
		})
	}
}

func TestVerifyReadsWhatPdfsignSigns(t *testing.T) {
	cred := today(t)
	for _, c := range []struct {
		name     string
		format   pdfsign.Format
		filter   string
		baseline signing.Baseline
	}{
		{"legacy", pdfsign.DefaultFormat, "adbe.pkcs7.detached", ""},
		{"baseline", pdfsign.PAdES_B_B, "ETSI.CAdES.detached", signing.BaselineB},
	} {
		t.Run(c.name, func(t *testing.T) {
			signed := pdfsignSign(t, pdfs.Classic(), cred, c.format)
			o := trusted()
			o.Time = time.Now()
			got := verify(t, signed, o).Signatures
			if len(got) != 1 || got[0].Indication != pades.TotalPassed || got[0].SubFilter != c.filter || got[0].Baseline != c.baseline {
				t.Errorf("verdict: %+v", got)
			}
			again, _ := sign(t, signed, cred, pades.Options{SigningTime: time.Now()})
			if report := verify(t, again, o); len(report.Signatures) != 2 || !report.Passed() {
				t.Errorf("after a second signature: %+v", report)
			}
		})
	}
}
