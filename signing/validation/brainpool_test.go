package validation_test

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/eidbridge/eidbridge/signing"
	"github.com/eidbridge/eidbridge/signing/cms"
)

// openSSL runs it in a folder.
func openSSL(t *testing.T, dir string, args ...string) {
	t.Helper()
	c := exec.Command("openssl", args...)
	c.Dir = dir
	if out, err := c.CombinedOutput(); err != nil {
		t.Fatalf("openssl %s: %v\n%s", args[0], err, out)
	}
}

// brainpoolCountry is an authority of two levels and a signer, each on a curve of its
// own, as German and Austrian authorities are, and two signatures of the signer.
func brainpoolCountry(t *testing.T) (root *x509.Certificate, message, document []byte) {
	t.Helper()
	dir := t.TempDir()
	write := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	read := func(name string) []byte {
		t.Helper()
		text, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	write("ca.cnf", "basicConstraints=critical,CA:TRUE\nkeyUsage=critical,keyCertSign,cRLSign\nsubjectKeyIdentifier=hash\n")
	write("signer.cnf", "basicConstraints=critical,CA:FALSE\nkeyUsage=critical,nonRepudiation\nsubjectKeyIdentifier=hash\nauthorityKeyIdentifier=keyid\n")
	write("letter.txt", "Good morning")
	for _, of := range []struct{ name, curve, hash, by, extensions string }{
		{"root", "brainpoolP512r1", "-sha512", "", "ca.cnf"},
		{"between", "brainpoolP384r1", "-sha384", "root", "ca.cnf"},
		{"signer", "brainpoolP256r1", "-sha256", "between", "signer.cnf"},
	} {
		openSSL(t, dir, "ecparam", "-genkey", "-noout", "-name", of.curve, "-out", of.name+".key")
		openSSL(t, dir, "req", "-new", "-key", of.name+".key", "-subj", "/CN=lab "+of.name, "-out", of.name+".csr")
		args := []string{"x509", "-req", "-in", of.name + ".csr", "-days", "2", "-extfile", of.extensions, "-set_serial", "17", of.hash, "-out", of.name + ".pem"}
		if of.by == "" {
			args = append(args, "-signkey", of.name+".key")
		} else {
			args = append(args, "-CA", of.by+".pem", "-CAkey", of.by+".key")
		}
		openSSL(t, dir, args...)
	}
	openSSL(t, dir, "cms", "-sign", "-binary", "-cades", "-nodetach", "-in", "letter.txt", "-outform", "DER", "-signer", "signer.pem", "-inkey", "signer.key", "-certfile", "between.pem", "-out", "letter.p7m")
	openSSL(t, dir, "cms", "-verify", "-cades", "-binary", "-in", "letter.p7m", "-inform", "DER", "-CAfile", "root.pem", "-purpose", "any", "-out", os.DevNull)
	write("template.xml", `<doc><text>Good morning</text><ds:Signature xmlns:ds="http://www.w3.org/2000/09/xmldsig#"><ds:SignedInfo><ds:CanonicalizationMethod Algorithm="http://www.w3.org/2001/10/xml-exc-c14n#"/><ds:SignatureMethod Algorithm="http://www.w3.org/2001/04/xmldsig-more#ecdsa-sha256"/><ds:Reference URI=""><ds:Transforms><ds:Transform Algorithm="http://www.w3.org/2000/09/xmldsig#enveloped-signature"/><ds:Transform Algorithm="http://www.w3.org/2001/10/xml-exc-c14n#"/></ds:Transforms><ds:DigestMethod Algorithm="http://www.w3.org/2001/04/xmlenc#sha256"/><ds:DigestValue/></ds:Reference></ds:SignedInfo><ds:SignatureValue/><ds:KeyInfo><ds:X509Data><ds:X509Certificate/></ds:X509Data></ds:KeyInfo></ds:Signature></doc>`)
	c := exec.Command("xmlsec1", "--sign", "--privkey-pem", "signer.key,signer.pem,between.pem", "--output", "letter.xml", "template.xml")
	c.Dir = dir
	if out, err := c.CombinedOutput(); err != nil {
		t.Fatalf("xmlsec1: %v\n%s", err, out)
	}
	block, _ := pem.Decode(read("root.pem"))
	root, err := cms.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	return root, read("letter.p7m"), read("letter.xml")
}

// TestSignaturesOnBrainpoolCurvesAreJudged: keys and certificates are OpenSSL's, which
// verifies its message beforehand; the XML is signed by xmlsec1. Nothing tells about
// revocation, which is another matter.
func TestSignaturesOnBrainpoolCurvesAreJudged(t *testing.T) {
	root, message, document := brainpoolCountry(t)
	other, _, _ := brainpoolCountry(t)
	for _, row := range []struct {
		name, form string
		document   []byte
		root       *x509.Certificate
		indication signing.Indication
		sub        signing.SubIndication
	}{
		{"CMS", ".p7m", message, root, signing.TotalPassed, ""},
		{"CMS, content changed", ".p7m", bytes.Replace(message, []byte("morning"), []byte("evening"), 1), root, signing.TotalFailed, signing.HashFailure},
		{"CMS, value changed", ".p7m", flipped(message, 3), root, signing.TotalFailed, signing.SigCryptoFailure},
		{"CMS, another authority of the same name", ".p7m", message, other, signing.Indeterminate, signing.NoCertificateChainFound},
		// A bare XML signature names its certificate nowhere in what it signs.
		{"XML", ".xml", document, root, signing.Indeterminate, signing.SigConstraintsFailure},
		{"XML, content changed", ".xml", bytes.Replace(document, []byte("morning"), []byte("evening"), 1), root, signing.TotalFailed, signing.HashFailure},
	} {
		t.Run(row.name, func(t *testing.T) {
			report, err := verify(row.form, row.document, nil, signing.VerifyOptions{Roots: []*x509.Certificate{row.root}, Time: time.Now(), WithoutRevocation: true})
			if err != nil || len(report.Signatures) != 1 {
				t.Fatalf("%+v, %v", report, err)
			}
			got := report.Signatures[0]
			if got.Indication != row.indication || got.SubIndication != row.sub {
				t.Errorf("%s/%s, want %s/%s", got.Indication, got.SubIndication, row.indication, row.sub)
			}
		})
	}
}

// flipped changes a bit of the byte before some last ones.
func flipped(document []byte, last int) []byte {
	changed := slices.Clone(document)
	changed[len(changed)-last] ^= 1
	return changed
}
