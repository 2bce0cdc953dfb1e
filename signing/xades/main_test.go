package xades_test

import (
	"context"
	"crypto"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/eidbridge/eidbridge/signing"
	"github.com/eidbridge/eidbridge/signing/xades"
)

// TestMain lets the test program be a small signing program: benchmarks run it as
// a process of its own, whose memory can be told.
func TestMain(m *testing.M) {
	if len(os.Args) > 3 && os.Args[1] == childSign {
		os.Exit(child(sign(os.Args[2], os.Args[3], os.Args[4:])))
	}
	if len(os.Args) > 2 && os.Args[1] == childVerify {
		os.Exit(child(verifyAll(os.Args[2:])))
	}
	os.Exit(m.Run())
}

const childSign, childVerify = "xades-sign", "xades-verify"

func child(err error) int {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// sign signs files with a key and a certificate in PEM, to files of the same name
// and ".signed".
func sign(key, certificate string, names []string) error {
	var cred signing.Credential
	for _, name := range []string{key, certificate} {
		raw, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		block, _ := pem.Decode(raw)
		if name == certificate {
			if cred.Certificate, err = x509.ParseCertificate(block.Bytes); err != nil {
				return err
			}
			continue
		}
		parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
		if err != nil {
			return err
		}
		cred.Signer = parsed.(crypto.Signer)
	}
	for _, name := range names {
		if _, err := xades.SignFile(context.Background(), name, name+".signed", cred, xades.Options{Limits: large(), Overwrite: true}); err != nil {
			return err
		}
	}
	return nil
}

// verifyAll demands that every signature of the files is intact.
func verifyAll(names []string) error {
	for _, name := range names {
		r, err := xades.VerifyFile(context.Background(), name, xades.VerifyOptions{Limits: large()})
		if err != nil {
			return err
		}
		if len(r.Signatures) == 0 || !r.Intact() {
			return fmt.Errorf("%s: %+v", strings.TrimSpace(name), r.Signatures)
		}
	}
	return nil
}
