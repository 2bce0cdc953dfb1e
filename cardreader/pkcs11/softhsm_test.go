//go:build linux && cgo

package pkcs11

import (
	"crypto"
	"crypto/sha256"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/eidbridge/eidbridge/cardreader"
	"github.com/eidbridge/eidbridge/fixtures/cards"
	"github.com/eidbridge/eidbridge/fixtures/holders"
	"github.com/eidbridge/eidbridge/fixtures/needs"
)

// SoftHSM with RSA and elliptic keys: a module of another maker, with keys that
// want no login of their own.
func TestSoftHSMSigns(t *testing.T) {
	path := needs.File(t, "/usr/lib/softhsm/libsofthsm2.so", "softhsm2")
	dir := t.TempDir()
	conf := filepath.Join(dir, "softhsm2.conf")
	if err := os.WriteFile(conf, fmt.Appendf(nil, "directories.tokendir = %s\nlog.level = ERROR\n", dir), 0o600); err != nil {
		t.Fatal(err)
	}
	run := func(name string, args ...string) {
		t.Helper()
		c := exec.CommandContext(t.Context(), name, args...)
		c.Env = append(os.Environ(), "SOFTHSM2_CONF="+conf)
		if out, err := c.CombinedOutput(); err != nil {
			t.Fatalf("%s: %v\n%s", name, err, out)
		}
	}
	run("softhsm2-util", "--init-token", "--free", "--label", "lab", "--so-pin", "12345678", "--pin", "abc-12/3")
	country := holders.Country(t)
	person := holders.Citizen(cards.KindEstEID)
	estonian, err := country.EstonianCitizen(person)
	if err != nil {
		t.Fatal(err)
	}
	spanish, err := country.SpanishCitizen(holders.Citizen(cards.KindDNIe))
	if err != nil {
		t.Fatal(err)
	}
	for i, c := range []struct {
		key         any
		certificate *x509.Certificate
	}{
		{estonian.Signature.Key, estonian.Signature.Certificate},
		{spanish.Authentication.Key, spanish.Authentication.Certificate},
	} {
		der, err := x509.MarshalPKCS8PrivateKey(c.key)
		if err != nil {
			t.Fatal(err)
		}
		id := fmt.Sprintf("%02x", i+1)
		keyFile, certificateFile := filepath.Join(dir, "key"+id), filepath.Join(dir, "certificate"+id)
		block := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
		if err := errors.Join(os.WriteFile(keyFile, block, 0o600), os.WriteFile(certificateFile, c.certificate.Raw, 0o600)); err != nil {
			t.Fatal(err)
		}
		run("softhsm2-util", "--token", "lab", "--import", keyFile, "--label", "key"+id, "--id", id, "--pin", "abc-12/3")
		run("pkcs11-tool", "--module", path, "--login", "--pin", "abc-12/3", "--write-object", certificateFile, "--type", "cert", "--id", id)
	}
	m := &Module{Path: path, Host: host("SOFTHSM2_CONF=" + conf)}
	digest := sha256.Sum256([]byte("document"))
	for _, usage := range []cardreader.Usage{cardreader.UsageSignature, cardreader.UsageAuthentication} {
		found, err := m.Find(t.Context(), cardreader.Selection{Usage: usage})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := m.Signer(t.Context(), found, &typist{pin: "abc-12/3"}).Sign(nil, digest[:], crypto.SHA256); err != nil {
			t.Errorf("%s: %v", usage, err)
		}
		var refused *cardreader.PINError
		_, err = m.Signer(t.Context(), found, &typist{pin: "abc-12/4"}).Sign(nil, digest[:], crypto.SHA256)
		if !errors.As(err, &refused) || refused.Reason != cardreader.PINWrong {
			t.Errorf("wrong PIN: %v", err)
		}
	}
}
