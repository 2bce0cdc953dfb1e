//go:build interop

package cades_test

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/eidbridge/eidbridge/fixtures/signers"
	"github.com/eidbridge/eidbridge/signing"
)

// stranger is OpenSSL as signer and as judge, in a folder with keys.
type stranger struct {
	t   *testing.T
	dir string
}

func (s stranger) put(name string, data []byte) {
	s.t.Helper()
	if err := os.WriteFile(filepath.Join(s.dir, name), data, 0o600); err != nil {
		s.t.Fatal(err)
	}
}

func (s stranger) run(args string) error {
	c := exec.CommandContext(s.t.Context(), "openssl", strings.Fields(args)...)
	c.Dir = s.dir
	return c.Run()
}

// newStranger gives OpenSSL the keys rsa and ec.
func newStranger(t *testing.T, keys *signers.Keys) stranger {
	t.Helper()
	s := stranger{t, t.TempDir()}
	s.put("content", text)
	var roots []byte
	for _, c := range keys.Trusting().Roots {
		roots = append(roots, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw})...)
	}
	s.put("roots.pem", roots)
	for name, kind := range map[string]signers.Kind{"rsa": signers.RSA, "ec": signers.P256} {
		cred := keys.Credential(t, kind, func(c *x509.Certificate) { c.SubjectKeyId = []byte(name) })
		der, err := x509.MarshalPKCS8PrivateKey(cred.Signer)
		if err != nil {
			t.Fatal(err)
		}
		s.put(name+".key", pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
		s.put(name+".pem", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cred.Certificate.Raw}))
	}
	return s
}

// TestInteropOpenSSLSigns has OpenSSL make messages of many shapes. What it accepts is
// not broken for us, and both find one changed byte of the content. Where the verdict
// is not TOTAL_PASSED, EN 319 102-1 demands more than CMS does.
func TestInteropOpenSSLSigns(t *testing.T) {
	const byRSA, byEC, pss = " -signer rsa.pem -inkey rsa.key", " -signer ec.pem -inkey ec.key", " -keyopt rsa_padding_mode:pss"
	keys := signers.NewKeys(t)
	s := newStranger(t, keys)
	for name, row := range map[string]struct {
		args string
		sub  signing.SubIndication
	}{
		"plain":                     {byRSA, ""},
		"EC":                        {byEC, ""},
		"CAdES":                     {"-cades" + byEC, ""},
		"PSS":                       {"-cades" + byRSA + pss, ""},
		"PSS, longest salt":         {"-cades" + byRSA + pss + " -keyopt rsa_pss_saltlen:max", ""},
		"PSS, no salt":              {"-cades" + byRSA + pss + " -keyopt rsa_pss_saltlen:0", ""},
		"SHA-512":                   {"-md sha512" + byRSA, ""},
		"SHA3-256":                  {"-md sha3-256" + byRSA, ""},
		"key identifier":            {"-keyid -cades" + byRSA, ""},
		"no capabilities":           {"-nosmimecap" + byRSA, ""},
		"two signers":               {"-cades" + byRSA + byEC, ""},
		"indefinite lengths":        {"-stream -cades" + byRSA + byEC, ""},
		"content of another type":   {"-econtent_type 1.2.3.4 -cades" + byEC, ""},
		"receipt asked for":         {"-receipt_request_to a@example.org -cades" + byEC, ""},
		"SHA-1":                     {"-md sha1" + byRSA, signing.CryptoConstraintsFailureNoPOE},
		"RIPEMD-160":                {"-md ripemd160" + byRSA, signing.CryptoConstraintsFailureNoPOE},
		"nothing signed beside":     {"-noattr" + byRSA, signing.SigConstraintsFailure},
		"nothing beside, in pieces": {"-noattr -stream" + byEC, signing.SigConstraintsFailure},
		"no certificate":            {"-nocerts" + byRSA, signing.NoSigningCertificateFound},
	} {
		for _, form := range []string{"DER", "PEM"} {
			for _, place := range []string{"", " -nodetach"} {
				if place == "" && strings.Contains(row.args, "-stream") {
					continue // a stream has its content inside in any case
				}
				t.Run(name+" "+form+place, func(t *testing.T) {
					s := stranger{t, s.dir}
					if err := s.run("cms -sign -binary -in content -out message -outform " + form + place + " " + row.args); err != nil {
						t.Fatal(err)
					}
					s.judge(keys.Trusting(), form, place == "", row.sub, name == "RIPEMD-160" || row.sub == signing.NoSigningCertificateFound)
				})
			}
		}
	}
}

// judge compares what OpenSSL and we find in the message as it is and with another
// content, which an unknown digest cannot tell. Who signed comes before what was signed
// (EN 319 102-1 5.3.4): of a message without its certificate nothing else is said.
func (s stranger) judge(o signing.VerifyOptions, form string, detached bool, want signing.SubIndication, unknown bool) {
	s.t.Helper()
	raw, err := os.ReadFile(filepath.Join(s.dir, "message"))
	if err != nil {
		s.t.Fatal(err)
	}
	check := "cms -verify -binary -purpose any -CAfile roots.pem -certfile rsa.pem -out out -in bent -inform " + form
	for _, bent := range []bool{false, true} {
		message, content := raw, bytes.Clone(text)
		if bent {
			content[0] ^= 1
		}
		if bent && !detached {
			if form == "PEM" {
				return // the content is in Base64 there
			}
			message = bytes.Replace(raw, text, content, 1)
		}
		s.put("bent", message)
		command, given := check, signing.Content(nil)
		if detached {
			s.put("other", content)
			command, given = check+" -content other", memory(content)
		}
		if err := s.run(command); (err != nil) != bent {
			s.t.Errorf("bent %t: OpenSSL says %v", bent, err)
		}
		for _, found := range verify(s.t, message, given, o).Signatures {
			sub, failed := want, bent && !unknown
			if bent {
				sub = found.SubIndication
			}
			if found.SubIndication != sub || failed != (found.Indication == signing.TotalFailed) || bent && found.Indication == signing.TotalPassed {
				s.t.Errorf("bent %t: %s/%s %v", bent, found.Indication, found.SubIndication, found.Findings)
			}
		}
	}
}
