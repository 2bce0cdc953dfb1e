package main

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/eidbridge/eidbridge/fixtures/corpus"
	"github.com/eidbridge/eidbridge/fixtures/idps/badidp"
)

// TestJudgeSAMLOnTheCorpus gives every recorded response to the verb, with the
// trust setting that its row names.
func TestJudgeSAMLOnTheCorpus(t *testing.T) {
	c := corpus.Open(t, func(r corpus.Row) bool { return r["format"] == "saml" })
	dir := c.Folder
	for _, row := range c.Rows {
		t.Run(filepath.Base(row["file"]), func(t *testing.T) {
			file := filepath.Join(dir, row["file"])
			args := append(trustOf(t, dir, file, row["companions"]), timesOf(row["trust setting"])...)
			verdict := judge(t, append(args, file)...)
			if want := row["expected indication"] == "ACCEPT"; verdict.Accepted != want {
				t.Errorf("accepted = %v, want %v: %s", verdict.Accepted, want, verdict.Detail)
			}
			if (verdict.Reason == "") != verdict.Accepted || !verdict.Accepted && (verdict.NameID != "" || len(verdict.Attributes) > 0) {
				t.Errorf("verdict = %+v", verdict)
			}
		})
	}
}

func trustOf(t *testing.T, dir, file, companion string) []string {
	t.Helper()
	if companion != "-" {
		path := filepath.Join(dir, "saml", "aux", filepath.Base(companion))
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if bytes.HasPrefix(bytes.TrimSpace(data), []byte("<")) {
			return []string{"--idp-metadata", path}
		}
		return []string{"--idp-cert", path}
	}
	// The row names a fingerprint of the certificate that is in the message.
	message, err := judgeSAMLCommand{File: file}.message(nil)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "idp.der")
	if m := regexp.MustCompile(`X509Certificate>([^<]+)<`).FindSubmatch(message); m != nil {
		der, err := base64.StdEncoding.DecodeString(strings.Join(strings.Fields(string(m[1])), ""))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, der, 0o600); err != nil {
			t.Fatal(err)
		}
		return []string{"--idp-cert", path}
	}
	return []string{"--idp-cert", filepath.Join(dir, "saml", "aux", "cert.pem")}
}

func timesOf(trust string) []string {
	args := []string{"--ignore-conditions"}
	if clock := regexp.MustCompile(`time (\d{4}-\S+Z)`).FindStringSubmatch(trust); clock != nil {
		args = []string{"--at", clock[1]}
	}
	if request := regexp.MustCompile(`InResponseTo ([^\s;]+)`).FindStringSubmatch(trust); request != nil {
		args = append(args, "--request", request[1])
	}
	return args
}

func judge(t *testing.T, args ...string) samlVerdict {
	t.Helper()
	var out, problems bytes.Buffer
	if code := run(t.Context(), append([]string{"judge-saml"}, args...), streams{strings.NewReader(""), &out, &problems}); code != 0 {
		t.Fatalf("exit code %d: %s", code, problems.String())
	}
	var verdict samlVerdict
	if err := json.Unmarshal(out.Bytes(), &verdict); err != nil {
		t.Fatal(err)
	}
	return verdict
}

// TestJudgeSAMLTrustsNobodyByDefault: without a trusted party nothing is accepted,
// the certificate in the message least of all.
func TestJudgeSAMLTrustsNobodyByDefault(t *testing.T) {
	keys, err := badidp.NewKeys(time.Now())
	if err != nil {
		t.Fatal(err)
	}
	x := badidp.Exchange{IdP: "https://idp.example", SP: "https://sp.example", ACS: "https://sp.example/acs", RequestID: "_q", Now: time.Now(), Person: badidp.Person{NameID: "alice"}, Class: "urn:c"}
	dir := t.TempDir()
	write := func(name string, data []byte) string {
		t.Helper()
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file, data, 0o600); err != nil {
			t.Fatal(err)
		}
		return file
	}
	message := func(name string) string {
		t.Helper()
		f, ok := badidp.Find(name)
		if !ok {
			t.Fatal(name)
		}
		d, err := f.Answer(x, keys)
		if err != nil {
			t.Fatal(err)
		}
		return write(name, []byte(d.Fields[0].Value))
	}
	metadata := write("idp.xml", keys.Metadata(x.IdP, badidp.Endpoints{SignOn: "http://idp.example/sso"}))
	for _, row := range []struct {
		name   string
		args   []string
		reason string
	}{
		{"right", []string{"--idp-metadata", metadata, "--audience", x.SP, "--recipient", x.ACS, "--request", "_q"}, ""},
		{"right", nil, "signature_key"},
		{"right", []string{"--idp-metadata", metadata, "--audience", "https://other.example"}, "audience"},
		{"right", []string{"--idp-metadata", metadata, "--audience", "https://other.example", "--ignore-conditions"}, ""},
		{"right", []string{"--idp-metadata", metadata, "--at", "2020-01-01T00:00:00Z"}, "issue_instant"},
		{"right", []string{"--idp-metadata", metadata, "--request", "_other"}, "in_response_to"},
		{"response-other-key-in-keyinfo", []string{"--idp-metadata", metadata}, "signature_invalid"},
		{"issuer-other", []string{"--idp-metadata", metadata}, "issuer"},
		{"doctype", nil, "xml"},
		{"status-failure", []string{"--idp-metadata", metadata}, "status"},
	} {
		verdict := judge(t, append(row.args, message(row.name))...)
		if verdict.Reason != row.reason || verdict.Accepted != (row.reason == "") || verdict.Accepted && verdict.NameID != "alice" {
			t.Errorf("%s %v: %+v", row.name, row.args, verdict)
		}
	}
}
