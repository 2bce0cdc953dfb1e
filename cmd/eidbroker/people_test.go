package main

import (
	"bytes"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/eidbridge/eidbridge/brokers"
	"github.com/eidbridge/eidbridge/brokers/store"
)

const peopleSections = `[[oidc]]
kind = "tara"
issuer = "https://tara.example"
client_id = "broker"
secret_file = "secret"
methods = ["tara-mid", "tara-eidas"]
max_level = "substantial"

[[oidc]]
id = "gold"
kind = "generic"
issuer = "https://op.example"
client_id = "broker"
auth = "private_key_jwt"
key_file = "key.pem"
key_id = "k1"
decryption_key = "key.pem"
subject_scheme = "xx-gold"
country = "XX"
levels = { "urn:example:gold" = "substantial", "urn:example:lead" = "low" }
names = { en = "Gold", et = "Kuld" }
pushed_requests = true

[card]
roots = "cert.pem"
intermediates = "cert.pem"
internal_responders = ["127.0.0.1:8184"]
agent_ports = [27184]
[[card.kinds]]
policies = ["1.2.3.4"]
country = "XX"
scheme = "card"
class = "other"

[mobile_id]
url = "https://mid.example/mid-api"
relying_party_uuid = "00000000-0000-4000-8000-000000000000"
relying_party_name = "Lab"
roots = "cert.pem"

[smart_id]
url = "https://sid.example/v3"
scheme_name = "smart-id-demo"
relying_party_uuid = "00000000-0000-4000-8000-000000000000"
relying_party_name = "DEMO"
roots = "cert.pem"
notification = true
advanced = true
max_level = "low"
`

func peopleFiles(t *testing.T) directory {
	t.Helper()
	dir := nationalFiles(t)
	write(t, filepath.Join(string(dir), "secret"), "s3cret\n")
	if err := os.Chmod(filepath.Join(string(dir), "secret"), 0o600); err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestPeopleSectionsConnect(t *testing.T) {
	list, err := connect(t, peopleFiles(t), peopleSections)
	if err != nil {
		t.Fatal(err)
	}
	var methods []string
	for _, u := range list {
		for _, m := range u.Methods() {
			methods = append(methods, u.ID()+"/"+m.ID+"="+m.Level.String())
		}
	}
	want := "tara/tara-mid=substantial tara/tara-eidas=substantial gold/gold=substantial card/card=high mobile-id/mobile-id=high smart-id/smart-id=low smart-id/smart-id-push=low"
	if got := strings.Join(methods, " "); got != want {
		t.Errorf("methods = %s, want %s", got, want)
	}
}

func TestPeopleSectionsAreRefusedWhereTheyAreWrong(t *testing.T) {
	dir := peopleFiles(t)
	for name, row := range map[string]struct{ old, changed, want string }{
		"unknown kind":          {`kind = "tara"`, `kind = "saml"`, "kind"},
		"no secret":             {`secret_file = "secret"`, "", "secret is missing"},
		"secret file missing":   {`secret_file = "secret"`, `secret_file = "none"`, "none"},
		"unknown method":        {`"tara-mid"`, `"tara-fax"`, "tara-fax"},
		"subject of a register": {`"xx-gold"`, `"nl-bsn"`, "nl-bsn"},
		"levels and scheme":     {`subject_scheme`, "scheme = \"tara\"\nsubject_scheme", "not both"},
		"unknown level":         {`"substantial", "urn`, `"supreme", "urn`, "level"},
		"no card roots":         {"[card]\nroots = \"cert.pem\"", "[card]", "roots"},
		"responder":             {`"127.0.0.1:8184"`, `"127.0.0.1"`, "internal_responders"},
		"agent port":            {`[27184]`, `[0]`, "agent_ports"},
		"card class":            {`class = "other"`, `class = "paper"`, "paper"},
		"mobile-id over http":   {"https://mid.example", "http://mid.example", "https"},
		"capital UUID":          {"relying_party_uuid = \"00000000-0000-4000-8000-000000000000\"\nrelying_party_name = \"Lab\"", "relying_party_uuid = \"ABC\"\nrelying_party_name = \"Lab\"", "lower case"},
		"long party name":       {`"DEMO"`, `"` + strings.Repeat("x", 33) + `"`, "32 bytes"},
	} {
		text := strings.Replace(peopleSections, row.old, row.changed, 1)
		if text == peopleSections {
			t.Fatalf("%s changes nothing", name)
		}
		path := filepath.Join(string(dir), "c.toml")
		write(t, path, text)
		c, err := readConfig(path)
		if err == nil {
			_, err = c.upstreams(dir, store.NewMemory())
		}
		if err == nil || !strings.Contains(err.Error(), row.want) {
			t.Errorf("%s: %v, want %q", name, err, row.want)
		}
	}
}

// two issuers do not share the names of their people; one issuer may be
// connected twice.
func TestSubjectSchemesAreOfOneIssuer(t *testing.T) {
	dir := peopleFiles(t)
	second := func(issuer string) string {
		return "\n[[oidc]]\nid = \"iron\"\nkind = \"generic\"\nissuer = \"" + issuer + "\"\nclient_id = \"broker\"\nsecret_file = \"secret\"\nsubject_scheme = \"xx-gold\"\ncountry = \"XX\"\nlevels = { lead = \"low\" }\nnames = { en = \"Iron\" }\n"
	}
	if _, err := connect(t, dir, peopleSections+second("https://op.example")); err != nil {
		t.Errorf("one issuer: %v", err)
	}
	if _, err := connect(t, dir, peopleSections+second("https://other.example")); err == nil || !strings.Contains(err.Error(), "another issuer") {
		t.Errorf("two issuers: %v", err)
	}
}

// The switch of an operator: a file that is read again when it changes.
func TestOutagesSwitchWhileRunning(t *testing.T) {
	dir := peopleFiles(t)
	path := filepath.Join(string(dir), "c.toml")
	fixed := "outages_file = \"outages.toml\"\n" + peopleSections + "\n[[outages]]\nupstream = \"card\"\nfrom = 2026-12-01T22:00:00Z\nuntil = 2026-12-01T23:00:00Z\nplanned = true\n"
	write(t, path, fixed)
	c, err := readConfig(path)
	if err != nil {
		t.Fatal(err)
	}
	list, err := connect(t, dir, fixed)
	if err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	at, err := c.outageSwitch(dir, list, slog.New(slog.NewTextHandler(&log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	now := time.Date(2026, 12, 1, 22, 30, 0, 0, time.UTC)
	applies := func(upstream, method string) bool {
		for _, o := range at(now) {
			if o.Upstream == upstream && o.Applies(method, now) {
				return true
			}
		}
		return false
	}
	if !applies("card", "card") || applies("mobile-id", "mobile-id") {
		t.Error("the configured outage is not the only one")
	}
	file := filepath.Join(string(dir), "outages.toml")
	write(t, file, "[[outages]]\nupstream = \"mobile-id\"\n")
	if applies("mobile-id", "mobile-id") {
		t.Error("the file was looked at again at once")
	}
	now = now.Add(outageLook)
	if !applies("mobile-id", "mobile-id") {
		t.Error("the switch was not seen")
	}
	write(t, file, "[[outages]]\nupstream = 1\n")
	if err := os.Chtimes(file, now, now.Add(time.Second)); err != nil {
		t.Fatal(err)
	}
	now = now.Add(outageLook)
	if !applies("mobile-id", "mobile-id") || !strings.Contains(log.String(), "outages.toml:2") {
		t.Errorf("a file with a mistake: %s", log.String())
	}
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	now = now.Add(outageLook)
	if applies("mobile-id", "mobile-id") {
		t.Error("the switch cannot be taken back")
	}
	for name, section := range map[string]string{
		"no upstream":      "[[outages]]\n",
		"unknown upstream": "[[outages]]\nupstream = \"none\"\n",
		"ends before":      "[[outages]]\nupstream = \"card\"\nfrom = 2026-12-02T00:00:00Z\nuntil = 2026-12-01T00:00:00Z\n",
		"planned, no end":  "[[outages]]\nupstream = \"card\"\nplanned = true\n",
	} {
		write(t, path, peopleSections+section)
		c, err := readConfig(path)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.outageSwitch(dir, []brokers.Upstream{list[3]}, slog.New(slog.DiscardHandler)); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
}

// check-config reads all and changes nothing.
func TestCheckConfig(t *testing.T) {
	dir := peopleFiles(t)
	path := filepath.Join(string(dir), "eidbroker.toml")
	write(t, path, peopleSections)
	before, err := os.ReadDir(string(dir))
	if err != nil {
		t.Fatal(err)
	}
	var out, problems bytes.Buffer
	if code := run(t.Context(), []string{"check-config", "--config", path}, streams{&out, &problems}); code != 0 || !strings.Contains(out.String(), "mobile-id  mobile-id                up to high") {
		t.Errorf("%d: %s%s", code, out.String(), problems.String())
	}
	write(t, path, strings.Replace(peopleSections, "cert.pem", "gone.pem", 1))
	if code := run(t.Context(), []string{"check-config", "--config", path}, streams{&out, &problems}); code != 1 || !strings.Contains(problems.String(), "gone.pem") {
		t.Errorf("%d: %s", code, problems.String())
	}
	after, err := os.ReadDir(string(dir))
	if err != nil || len(after) != len(before) {
		t.Errorf("files before %d, after %d (%v)", len(before), len(after), err)
	}
}

// Every setting of the sections is in the documented defaults, with the example
// values readable.
func TestDefaultsDocumentPeopleSections(t *testing.T) {
	text := string(defaultConfig)
	for _, section := range []string{"[[oidc]]", "[card]", "[[card.kinds]]", "[mobile_id]", "[smart_id]", "[[outages]]", "[[equivalences]]"} {
		_, rest, ok := strings.Cut(text, "#"+section+"\n")
		if !ok {
			t.Errorf("%s is not documented", section)
			continue
		}
		body, _, _ := strings.Cut(rest, "\n#[")
		var lines []string
		for line := range strings.Lines(body) {
			if setting := strings.TrimPrefix(line, "#"); regexp.MustCompile(`^[a-z_]+ = `).MatchString(setting) {
				lines = append(lines, setting)
			}
		}
		path := filepath.Join(t.TempDir(), "c.toml")
		write(t, path, section+"\n"+strings.Join(lines, ""))
		if _, err := readConfig(path); err != nil {
			t.Errorf("%s: %v", section, err)
		}
		if len(lines) < 2 {
			t.Errorf("%s documents %d settings", section, len(lines))
		}
	}
}
