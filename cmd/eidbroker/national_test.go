package main

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/eidbridge/eidbridge/brokers"
	"github.com/eidbridge/eidbridge/brokers/store"
)

// nationalFiles puts a key, its certificate and a node's metadata into a
// directory.
func nationalFiles(t *testing.T) directory {
	t.Helper()
	dir := t.TempDir()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "lab"}, NotBefore: time.Unix(0, 0), NotAfter: time.Date(2090, 1, 1, 0, 0, 0, 0, time.UTC)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"key.pem":  string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private})),
		"cert.pem": string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})),
		"node.xml": `<EntityDescriptor xmlns="urn:oasis:names:tc:SAML:2.0:metadata" entityID="https://node.example"><IDPSSODescriptor protocolSupportEnumeration="urn:oasis:names:tc:SAML:2.0:protocol"><KeyDescriptor><KeyInfo xmlns="http://www.w3.org/2000/09/xmldsig#"><X509Data><X509Certificate>` + base64.StdEncoding.EncodeToString(der) + `</X509Certificate></X509Data></KeyInfo></KeyDescriptor><SingleSignOnService Binding="urn:oasis:names:tc:SAML:2.0:bindings:HTTP-POST" Location="https://node.example/x"/></IDPSSODescriptor></EntityDescriptor>`,
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return directory(dir)
}

const (
	claveSection = `[clave]
provider_name = "S0000000X_E00000001;PORTAL"
signing_key = "key.pem"
certificate = "cert.pem"
gateway_url = "https://pasarela.example/Proxy2/ServiceProvider"
gateway_certificates = [{file = "cert.pem"}, {file = "cert.pem", from = 2027-01-01T00:00:00Z, until = 2028-01-01T00:00:00Z}]
decryption_key = "key.pem"
decryption_certificate = "cert.pem"
disabled_idps = ["EIDASIdP"]
selected_idps = {OTHER = "CLVMOVILIdP"}
sha256 = true
`
	eidasSection = `[eidas]
country = "ES"
signing_key = "key.pem"
certificate = "cert.pem"
decryption_key = "key.pem"
decryption_certificate = "cert.pem"
metadata_file = "node.xml"
countries = ["EE", "NL"]
`
)

func connect(t *testing.T, dir directory, text string) ([]brokers.Upstream, error) {
	t.Helper()
	path := filepath.Join(string(dir), "c.toml")
	write(t, path, text)
	c, err := readConfig(path)
	if err != nil {
		t.Fatal(err)
	}
	return c.upstreams(dir, store.NewMemory())
}

func TestNationalSectionsConnect(t *testing.T) {
	list, err := connect(t, nationalFiles(t), claveSection+eidasSection)
	if err != nil {
		t.Fatal(err)
	}
	var methods []string
	for _, u := range list {
		for _, m := range u.Methods() {
			methods = append(methods, m.ID)
		}
	}
	if got, want := strings.Join(methods, " "), "clave-permanente clave-movil clave-permanente-sms clave-certificado clave-dnie eidas-ee eidas-nl"; got != want {
		t.Errorf("methods = %s, want %s", got, want)
	}
	document, err := list[1].(brokers.Describer).Metadata()
	if err != nil || !strings.Contains(string(document), `entityID="http://localhost:8181/upstream/eidas/metadata"`) {
		t.Errorf("metadata = %s, %v", document, err)
	}
}

func TestNationalSectionsAreRefusedWhereTheyAreWrong(t *testing.T) {
	dir := nationalFiles(t)
	for name, row := range map[string]struct{ section, old, changed, want string }{
		"no gateway certificate":  {claveSection, "gateway_certificates", "#", "certificates of the gateway"},
		"gateway file missing":    {claveSection, `[{file = "cert.pem"}`, `[{file = "none.pem"}`, "none.pem"},
		"half a provider name":    {claveSection, ";PORTAL", "", "provider name"},
		"unknown identity source": {claveSection, "EIDASIdP", "OtherIdP", "not known"},
		"no clave key":            {claveSection, `signing_key = "key.pem"`, "", "signing key"},
		"half a decryption key":   {claveSection, `decryption_key = "key.pem"`, "", "decryption key"},
		"no country":              {eidasSection, `country = "ES"`, "", "country"},
		"no decryption key":       {eidasSection, "decryption_key = \"key.pem\"\ndecryption_certificate = \"cert.pem\"\n", "", "decryption key is missing"},
		"eidas metadata of two":   {eidasSection, "metadata_file", "metadata_url = \"https://x.example\"\nmetadata_file", "not both"},
		"eidas metadata missing":  {eidasSection, "node.xml", "none.xml", "none.xml"},
		"wrong NameID format":     {eidasSection, "countries", "name_id_format = \"x\"\ncountries", "NameID format"},
	} {
		text := strings.Replace(row.section, row.old, row.changed, 1)
		if text == row.section {
			t.Fatalf("%s changes nothing", name)
		}
		if _, err := connect(t, dir, text); err == nil || !strings.Contains(err.Error(), row.want) {
			t.Errorf("%s: %v, want %q", name, err, row.want)
		}
	}
}

const digidSection = `[digid]
signing_key = "key.pem"
certificate = "cert.pem"
metadata_file = "node.xml"
back_channel_roots = "cert.pem"
`

const digid4Section = `[digid4]
entity_id = "urn:nl-eid-gdi:1.0:DV:00000000000000000000:entities:0001"
signing_key = "key.pem"
certificate = "cert.pem"
decryption_key = "key.pem"
decryption_certificate = "cert.pem"
metadata_file = "node.xml"
back_channel_roots = "cert.pem"
[[digid4.services]]
method = "digid4-midden"
uuid = "00000000-0000-4000-8000-000000000000"
level = "low"
name = { en = "DigiD" }
`

// Our metadata say where people come back to after logging out, and where we are told of
// logouts, unless the configuration leaves logouts out.
func TestLogoutAddresses(t *testing.T) {
	dir := nationalFiles(t)
	const here = "http://localhost:8181/upstream/"
	for name, c := range map[string]struct {
		text             string
		addresses, wrong []string
	}{
		"3.x":                    {digidSection, []string{here + "digid/logout"}, []string{"digid/notice"}},
		"3.x over https":         {"issuer = \"https://broker.example\"\n" + digidSection, []string{"https://broker.example/upstream/digid/logout", "https://broker.example/upstream/digid/notice"}, nil},
		"3.x, notices elsewhere": {digidSection + `logout_notice_url = "https://notices.example/x"`, []string{here + "digid/logout", "https://notices.example/x"}, []string{"digid/notice"}},
		"3.x without":            {digidSection + "without_logout = true", nil, []string{"SingleLogoutService"}},
		"4.x":                    {digid4Section, []string{here + "digid4/logout"}, []string{"notice"}},
		"4.x without":            {strings.Replace(digid4Section, "signing_key", "without_logout = true\nsigning_key", 1), nil, []string{"SingleLogoutService"}},
	} {
		list, err := connect(t, dir, c.text)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		document, err := list[0].(brokers.Describer).Metadata()
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		for _, address := range c.addresses {
			if !strings.Contains(string(document), `Location="`+address+`"`) {
				t.Errorf("%s: no %s in %s", name, address, document)
			}
		}
		for _, wrong := range c.wrong {
			if strings.Contains(string(document), wrong) {
				t.Errorf("%s: %s in %s", name, wrong, document)
			}
		}
	}
	for name, c := range map[string]struct {
		text string
		err  error
	}{"with": {claveSection, nil}, "without": {strings.Replace(claveSection, "gateway_url", "without_logout = true\ngateway_url", 1), brokers.ErrNoLogout}} {
		list, err := connect(t, dir, c.text)
		if err != nil {
			t.Fatalf("Cl@ve %s: %v", name, err)
		}
		d, err := list[0].(brokers.Leaver).StartLogout(t.Context(), nil, "relay")
		if !errors.Is(err, c.err) || err == nil && d.Location == "" {
			t.Errorf("Cl@ve %s: %+v, %v", name, d, err)
		}
	}
	for text, want := range map[string]string{
		digidSection + "without_logout = true\nlogout_notice_url = \"https://x.example/\"":                          "without logout",
		strings.Replace(digid4Section, "signing_key", "logout_notice_url = \"https://x.example/\"\nsigning_key", 1): "nobody tells",
	} {
		if _, err := connect(t, dir, text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}
