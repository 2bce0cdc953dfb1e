package facturae_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/eidbridge/eidbridge/fixtures/pki"
	"github.com/eidbridge/eidbridge/fixtures/xmls"
	"github.com/eidbridge/eidbridge/signing"
	"github.com/eidbridge/eidbridge/signing/facturae"
	"github.com/eidbridge/eidbridge/signing/xades"
)

func spaniard(t testing.TB) (signing.Credential, *pki.Country) {
	t.Helper()
	country, err := pki.New(pki.Options{Seed: []byte("facturae")})
	if err != nil {
		t.Fatal(err)
	}
	keys, err := country.SpanishCitizen(pki.Persons()[3])
	if err != nil {
		t.Fatal(err)
	}
	return signing.Credential{Signer: keys.Signature.Key, Certificate: keys.Signature.Certificate, Chain: keys.Issuers[:1]}, country
}

func TestSignInvoices(t *testing.T) {
	cred, country := spaniard(t)
	ctx := context.Background()
	for _, version := range xmls.Versions() {
		for _, v2 := range []bool{false, true} {
			t.Run(version, func(t *testing.T) {
				invoice := xmls.Invoice(version, 3)
				var out bytes.Buffer
				r, err := facturae.Sign(ctx, bytes.NewReader(invoice), int64(len(invoice)), &out, cred, facturae.Options{V2: v2})
				if err != nil || r.Format != signing.FacturaE {
					t.Fatalf("%+v, %v", r, err)
				}
				if !bytes.Contains(out.Bytes(), []byte("politica_de_firma_formato_facturae_v3_1.pdf")) || !bytes.Contains(out.Bytes(), []byte("Ohixl6upD6av8N7pEvDABhEL6hM=")) ||
					!bytes.Contains(out.Bytes(), []byte("<xades:ClaimedRole>emisor</xades:ClaimedRole>")) || bytes.Contains(out.Bytes(), []byte("SigningCertificateV2")) != v2 {
					t.Errorf("signature without policy or role, or in the other form:\n%s", out.Bytes())
				}
				if !strings.HasSuffix(out.String(), "</ds:Signature></fe:Facturae>\n") {
					t.Error("the signature is not the last child of the document element")
				}
				report, err := facturae.Verify(ctx, bytes.NewReader(out.Bytes()), int64(out.Len()), xades.VerifyOptions{
					VerifyOptions: signing.VerifyOptions{Roots: country.Roots(), WithoutRevocation: true},
				})
				if err != nil || !report.Passed() || len(report.Warnings) > 0 {
					t.Fatalf("%+v, %v", report, err)
				}
				got := report.Signatures[0]
				if got.Baseline != signing.BaselineB || !got.Data[0].Whole() || got.Roles[0] != "emisor" || got.Format != signing.FacturaE {
					t.Errorf("%+v", got)
				}
				// The format has no co-signatures.
				if _, err := facturae.Prepare(ctx, bytes.NewReader(out.Bytes()), int64(out.Len()), cred, facturae.Options{}); !errors.Is(err, facturae.ErrSigned) {
					t.Errorf("a second signature: %v", err)
				}
			})
		}
	}
}

func TestSignRefusesBeforeTheKeyIsUsed(t *testing.T) {
	cred, _ := spaniard(t)
	broken := strings.Replace(string(xmls.Invoice("3.2.2", 1)), "<Modality>I</Modality>", "", 1)
	var schema *facturae.SchemaError
	if _, err := facturae.Prepare(context.Background(), strings.NewReader(broken), int64(len(broken)), cred, facturae.Options{}); !errors.As(err, &schema) {
		t.Errorf("a broken invoice: %v", err)
	}
	good := xmls.Invoice("3.2.2", 1)
	if _, err := facturae.Prepare(context.Background(), bytes.NewReader(good), int64(len(good)), cred, facturae.Options{Role: "boss"}); !errors.Is(err, signing.ErrRefused) {
		t.Errorf("an unknown role: %v", err)
	}
}

func TestSignFileOfAnInvoice(t *testing.T) {
	cred, _ := spaniard(t)
	dir := t.TempDir()
	in, out := filepath.Join(dir, "invoice.xml"), filepath.Join(dir, "invoice.xsig")
	invoice := xmls.Invoice("3.2.1", 2)
	if err := os.WriteFile(in, invoice, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := facturae.SignFile(context.Background(), in, out, cred, facturae.Options{}); err != nil {
		t.Fatal(err)
	}
	after, err := os.ReadFile(in)
	if err != nil || sha256.Sum256(after) != sha256.Sum256(invoice) {
		t.Error("the input was changed")
	}
	report, err := xades.VerifyFile(context.Background(), out, xades.VerifyOptions{})
	if err != nil || report.Signatures[0].Integrity != signing.Intact {
		t.Errorf("%+v, %v", report, err)
	}
	if _, err := facturae.SignFile(context.Background(), in, out, cred, facturae.Options{}); !errors.Is(err, signing.ErrExists) {
		t.Errorf("over an existing file: %v", err)
	}
}

// TestVerifyTellsAnotherPolicyDigest: the identifier of the policy with the digest
// of another document.
func TestVerifyTellsAnotherPolicyDigest(t *testing.T) {
	cred, country := spaniard(t)
	policy := xades.FacturaEPolicy()
	policy.Digest[0] ^= 1
	invoice := xmls.Invoice("3.2.2", 1)
	var out bytes.Buffer
	if _, err := xades.Sign(context.Background(), bytes.NewReader(invoice), int64(len(invoice)), &out, cred, xades.Options{Claims: signing.Claims{Policy: policy}}); err != nil {
		t.Fatal(err)
	}
	report, err := facturae.Verify(context.Background(), bytes.NewReader(out.Bytes()), int64(out.Len()), xades.VerifyOptions{
		VerifyOptions: signing.VerifyOptions{Roots: country.Roots(), WithoutRevocation: true},
	})
	if err != nil || report.Signatures[0].SubIndication != signing.SigConstraintsFailure {
		t.Errorf("%+v, %v", report, err)
	}
}
