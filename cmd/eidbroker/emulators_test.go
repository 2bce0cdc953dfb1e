package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestEmulatorsAreRefusedInProduction: with an issuer that others reach, the
// broker does not start with an upstream on this machine, whichever it is; a
// laboratory's broker does.
func TestEmulatorsAreRefusedInProduction(t *testing.T) {
	dir := nationalFiles(t)
	write(t, filepath.Join(string(dir), "secret"), strings.Repeat("s", 43))
	if err := os.Chmod(filepath.Join(string(dir), "secret"), 0o600); err != nil {
		t.Fatal(err)
	}
	const (
		authorities = "roots = \"cert.pem\"\nrelying_party_uuid = \"00000000-0000-4000-8000-000000000000\"\nrelying_party_name = \"DEMO\"\n"
		pair        = "service_name = \"x\"\nsigning_key = \"key.pem\"\ncertificate = \"cert.pem\"\nmetadata_certificates = \"cert.pem\"\nback_channel_roots = \"cert.pem\"\n"
		routed      = "entity_id = \"urn:nl-eid-gdi:1.0:DV:00000000000000000000:entities:9001\"\nsigning_key = \"key.pem\"\ncertificate = \"cert.pem\"\nmetadata_certificates = \"cert.pem\"\nback_channel_roots = \"cert.pem\"\ndecryption_key = \"key.pem\"\ndecryption_certificate = \"cert.pem\"\n" +
			"metadata_url = \"HERE/saml/v4/entrance/metadata\"\n[[digid4.services]]\nmethod = \"digid4-midden\"\nuuid = \"00000000-0000-4000-8000-000000000000\"\nlevel = \"low\"\nname = {en = \"x\"}\n"
	)
	sections := map[string]string{
		"clave.gateway_url":   strings.Replace(claveSection, "https://pasarela.example", "HERE", 1),
		"digid.metadata_url":  "[digid]\n" + pair + "metadata_url = \"HERE/saml/idp/metadata\"\n",
		"digid4.metadata_url": "[digid4]\n" + routed,
		"eidas.metadata_url":  strings.Replace(eidasSection, `metadata_file = "node.xml"`, "metadata_url = \"HERE/metadata\"\nmetadata_certificates = \"cert.pem\"", 1),
		"oidc[0].issuer":      "[[oidc]]\nkind = \"tara\"\nissuer = \"HERE\"\nclient_id = \"broker\"\nsecret_file = \"secret\"\n",
		"mobile_id.url":       "[mobile_id]\nurl = \"HERE/mid-api\"\n" + authorities,
		"smart_id.url":        "[smart_id]\nurl = \"HERE/v3\"\nscheme_name = \"smart-id-demo\"\n" + authorities,
	}
	start := func(issuer, section string) (int, string) {
		t.Helper()
		path := filepath.Join(string(dir), "c.toml")
		write(t, path, "issuer = \""+issuer+"\"\nlisten = \"127.0.0.1:0\"\n"+section)
		code, _, told := call(t, "check-config", "--config", path)
		return code, told
	}
	for setting, section := range sections {
		for _, here := range []string{"http://127.0.0.1:8182", "https://localhost:8182", "https://127.1.2.3", "http://[::1]:8182"} {
			code, told := start("https://broker.example", strings.ReplaceAll(section, "HERE", here))
			if code == 0 || !strings.Contains(told, setting) || !strings.Contains(told, "emulator") {
				t.Errorf("%s at %s: %d %s", setting, here, code, told)
			}
		}
		if code, told := start("http://localhost:8181", strings.ReplaceAll(section, "HERE", "http://127.0.0.1:8182")); code != 0 {
			t.Errorf("%s of a laboratory: %d %s", setting, code, told)
		}
		if code, told := start("https://broker.example", strings.ReplaceAll(section, "HERE", "https://service.example")); code != 0 {
			t.Errorf("%s of a service: %d %s", setting, code, told)
		}
	}
	// What names an entity on this machine is an emulator's, too, wherever it is read from.
	for setting, line := range map[string]string{
		"clave.gateway_id":    "gateway_id = \"http://127.0.0.1:8190\"\n",
		"digid.idp_entity_id": "idp_entity_id = \"http://localhost:8182/saml/idp/metadata\"\n",
	} {
		name, _, _ := strings.Cut(setting, ".")
		section := strings.ReplaceAll(sections[map[string]string{"clave": "clave.gateway_url", "digid": "digid.metadata_url"}[name]], "HERE", "https://service.example")
		if code, told := start("https://broker.example", section+line); code == 0 || !strings.Contains(told, setting) {
			t.Errorf("%s: %d %s", setting, code, told)
		}
	}
	// A node whose metadata lead to this machine.
	node, err := os.ReadFile(filepath.Join(string(dir), "node.xml"))
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(string(dir), "node.xml"), strings.ReplaceAll(string(node), "https://node.example", "http://127.0.0.1:8190"))
	if code, told := start("https://broker.example", eidasSection); code == 0 || !strings.Contains(told, "eidas.metadata_file") {
		t.Errorf("metadata of an emulated node: %d %s", code, told)
	}
	if code, told := start("http://localhost:8181", eidasSection); code != 0 {
		t.Errorf("metadata of an emulated node in a laboratory: %d %s", code, told)
	}
}
