//go:build interop

package validation_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/eidbridge/eidbridge/fixtures/dss"
	"github.com/eidbridge/eidbridge/fixtures/pdfs"
	"github.com/eidbridge/eidbridge/signing"
	"github.com/eidbridge/eidbridge/signing/asic"
	"github.com/eidbridge/eidbridge/signing/cades"
	"github.com/eidbridge/eidbridge/signing/pades"
	"github.com/eidbridge/eidbridge/signing/xades"
)

// signingKeys are keys of several kinds with certificates of a realm.
func (r *realm) signingKeys(t testing.TB) map[string]dss.SigningKey {
	t.Helper()
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	p256, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	p521, err := ecdsa.GenerateKey(elliptic.P521(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	_, ed, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	keys := make(map[string]dss.SigningKey)
	for name, key := range map[string]crypto.Signer{"rsa": rsaKey, "p256": p256, "p521": p521, "ed25519": ed} {
		template := &x509.Certificate{
			SerialNumber: big.NewInt(int64(len(keys)) + 500_000), Subject: pkix.Name{CommonName: "signer " + name, Country: []string{"EE"}},
			NotBefore: r.now.Add(-year), NotAfter: r.now.Add(year), KeyUsage: x509.KeyUsageContentCommitment,
			OCSPServer: []string{r.address + "/ocsp"}, IssuingCertificateURL: []string{r.address + "/between.cer"},
		}
		der, err := x509.CreateCertificate(rand.Reader, template, r.between.certificate, key.Public(), r.between.key)
		if err != nil {
			t.Fatal(err)
		}
		certificate, err := x509.ParseCertificate(der)
		if err != nil {
			t.Fatal(err)
		}
		keys[name] = dss.SigningKey{Key: key, Chain: []*x509.Certificate{certificate, r.between.certificate, r.root.certificate}}
	}
	return keys
}

// judgeFile judges a document by the ending of its name.
func judgeFile(t testing.TB, f dss.File, o signing.VerifyOptions) (*signing.Report, error) {
	t.Helper()
	raw, err := os.ReadFile(f.Path)
	if err != nil {
		t.Fatal(err)
	}
	var content signing.Content
	if len(f.Detached) > 0 {
		data, err := os.ReadFile(f.Detached[0])
		if err != nil {
			t.Fatal(err)
		}
		content = bytesContent(data)
	}
	ctx, src, size := context.Background(), bytes.NewReader(raw), int64(len(raw))
	switch filepath.Ext(f.Path) {
	case ".pdf":
		return pades.Verify(ctx, src, size, o)
	case ".xml":
		return xades.Verify(ctx, src, size, xades.VerifyOptions{VerifyOptions: o, Resolver: xades.Files(f.Detached)})
	case ".p7m", ".p7s":
		return cades.Verify(ctx, src, size, content, o)
	default:
		return asic.Verify(ctx, src, size, o)
	}
}

// known are differences between DSS and us that have a reason, by parts of names of
// documents.
func known(name string) string {
	for _, k := range []struct {
		parts  []string
		reason string
	}{
		{[]string{"ed25519", "-rich.asic"}, "EdDSA: TS 119 312 does not evaluate it, and we take it; DSS's policy does not"},
		{[]string{"xades111", "xades122"}, "level: the baseline of EN 319 132-1 has properties of version 1.3.2 alone"},
		{[]string{"xades-XAdES-"}, "level: DSS gives the name of TS 101 903, and we the baseline level whose content is there"},
		{[]string{"transform-xpath-B", "transform-xpath-LTA", "xpath2-intersect", "xpath2-subtract"}, "X-41: such filters are not followed"},
		{[]string{"RIPEMD160", "WHIRLPOOL"}, "X-66: never verified"},
	} {
		for _, p := range k.parts {
			if strings.Contains(name, p) {
				return k.reason
			}
		}
	}
	return ""
}

// wordsOf sorts what was found in a document. Without any word of revocation DSS says
// CERTIFICATE_CHAIN_GENERAL_FAILURE where EN 319 102-1 5.2.6.4 has TRY_LATER.
func wordsOf(text string) []string {
	all := strings.Split(strings.ReplaceAll(text, "CERTIFICATE_CHAIN_GENERAL_FAILURE", "TRY_LATER"), "; ")
	slices.Sort(all)
	return all
}

// some are parts of the names of documents that a test has time for.
func some() []string {
	return []string{
		"LTA-rsa", "LTA-p521", "LTA-docmdp2", "LTA-vri", "subfilter-pkcs7", "B-pss-SHA3_256", "B-p256-SHA3_224", "B-rsa-SHA1", "stamp-only", "LTA-manifest.xml",
		"LTA-countersigned", "LTA-content-stamp", "B-xades1", "transform-xpath", "XAdES-XL", "lta-twice", "xades-B-policy", "detached-missing",
		"xades-LTA-DETACHED-inclusive",
	}
}

// TestInteropStrangers has DSS sign documents of many shapes and compares what we
// find in them with what DSS finds, with and without a trust anchor, offline.
// EIDBRIDGE_STRANGERS names a folder: then all shapes are made, which takes a
// quarter of an hour, and kept there with the table of what was found.
func TestInteropStrangers(t *testing.T) {
	l := newLab(t)
	r := l.newRealm(t, situation{name: "strangers"})
	dir, only := t.TempDir(), some()
	keep := os.Getenv("EIDBRIDGE_STRANGERS")
	if keep != "" {
		dir, only = keep, nil
	}
	made, refused := dss.Sign(t, dir, dss.Signatures{
		Keys: r.signingKeys(t), Root: r.root.certificate, TSA: r.address + "/tsa",
		PDF: pdfs.Classic(), Form: pdfs.Contract(), XML: []byte(letter), Text: []byte("more"), Only: only,
	})
	for name, why := range refused {
		t.Logf("%s was not made: %s", name, why)
	}
	if len(made) < 40 {
		t.Fatalf("%d documents", len(made))
	}
	outcomes := dss.Judge(t, dss.Job{Files: made}, dss.Job{Anchors: r.anchors(), Files: made})
	var table strings.Builder
	for i, f := range made {
		for j, roots := range [][]*x509.Certificate{nil, r.anchors()} {
			name := filepath.Base(f.Path)
			report, err := judgeFile(t, f, signing.VerifyOptions{Time: time.Now(), Roots: roots})
			ours, other := words(report, err), theirs(outcomes[j].Files[i])
			same := slices.Equal(wordsOf(ours), wordsOf(other))
			reason := known(name)
			if !same && reason == "" {
				t.Errorf("%s, %d anchors: %s, DSS says %s", name, len(roots), ours, other)
			}
			fmt.Fprintf(&table, "%s\t%d\t%t\t%s\t%s\t%s\n", name, len(roots), same, ours, other, reason)
		}
	}
	if keep != "" {
		if err := os.WriteFile(filepath.Join(dir, "found.tsv"), []byte(table.String()), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}
