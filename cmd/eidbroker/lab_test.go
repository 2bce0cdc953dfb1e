package main

import (
	"crypto/x509"
	"encoding/base64"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/eidbridge/eidbridge/fixtures/pki"
)

// W-61: a broker that is not this machine believes no certificate of the lab, in
// whatever file, unless its configuration says that it is a lab itself.
func TestLabIsNotBelieved(t *testing.T) {
	country, err := pki.New(pki.Options{})
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := country.WritePEM(dir); err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(dir, "*.pem"))
	if err != nil || len(files) == 0 {
		t.Fatalf("%v %v", files, err)
	}
	var marked *x509.Certificate
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, certificate := range certificatesIn(text) {
			marked = certificate
			if !ofLab(certificate) {
				t.Errorf("W-61 %s: %s has no marker of the lab", file, certificate.Subject)
			}
		}
	}
	metadata := `<md:KeyDescriptor><ds:X509Certificate>` + "\n" + base64.StdEncoding.EncodeToString(marked.Raw) + "\n</ds:X509Certificate>"
	write(t, filepath.Join(dir, "metadata.xml"), metadata)
	root := filepath.Base(files[0])
	for name, section := range map[string]string{
		"client_roots":                  "client_roots = \"" + root + "\"\n",
		"card.roots":                    "[card]\nroots = \"" + root + "\"\n",
		"card.intermediates":            "[card]\nroots = \"x\"\nintermediates = \"" + root + "\"\n",
		"mobile_id.roots":               "[mobile_id]\nroots = \"" + root + "\"\n",
		"smart_id.server_roots":         "[smart_id]\nserver_roots = \"" + root + "\"\n",
		"oidc[0].server_roots":          "[[oidc]]\nserver_roots = \"" + root + "\"\n",
		"digid.metadata_file":           "[digid]\nmetadata_file = \"metadata.xml\"\n",
		"digid.metadata_certificates":   "[digid]\nmetadata_certificates = \"" + root + "\"\n",
		"digid4.back_channel_roots":     "[digid4]\nback_channel_roots = \"" + root + "\"\n",
		"eidas.metadata_file":           "[eidas]\nmetadata_file = \"metadata.xml\"\n",
		"eidas.metadata_certificates":   "[eidas]\nmetadata_certificates = \"" + root + "\"\n",
		"clave.gateway_certificates[0]": "[clave]\n[[clave.gateway_certificates]]\nfile = \"" + root + "\"\n",
	} {
		for head, refused := range map[string]bool{
			"issuer = \"https://login.example\"\n":             true,
			"issuer = \"https://login.example\"\nlab = true\n": false,
			"issuer = \"http://localhost:8181\"\n":             false,
		} {
			path := filepath.Join(dir, "c.toml")
			write(t, path, head+section)
			c, err := readConfig(path)
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			problems := c.refuseLab(directory(dir))
			if (len(problems) == 1) != refused {
				t.Errorf("W-61 %s, %s: %v", name, head, problems)
			}
			for _, problem := range problems {
				if !strings.HasPrefix(problem.Error(), path+":") || !strings.Contains(problem.Error(), name) {
					t.Errorf("W-61 %s: no line in %v", name, problem)
				}
			}
		}
	}
	// check-config says so as well, and a certificate of somebody else is none of this.
	path := filepath.Join(dir, "c.toml")
	write(t, path, "issuer = \"https://login.example\"\nclient_roots = \""+root+"\"\n")
	c, err := readConfig(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.check(t.Context(), directory(dir)); err == nil || !strings.Contains(err.Error(), "c.toml:2: client_roots: "+root+" has a certificate of the lab") {
		t.Errorf("W-61 check says %v", err)
	}
	if ofLab(&x509.Certificate{}) {
		t.Error("a certificate of nobody is of the lab")
	}
}
