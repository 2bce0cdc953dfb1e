//go:build interop

package main

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/eidbridge/eidbridge/fixtures/nodesaml"
)

// strangersAccept are messages that a stranger accepts and we refuse, strangersRefuse
// those that one refuses and we accept, each with the reason. A name stands for the
// message with any part signed.
func strangersAccept() (python, node map[string]string) {
	python = map[string]string{
		"second restriction for another": "SAML Core 2.5.1.4: every restriction has to be met",
		"no restriction":                 "SAML Profiles 4.1.4.2: a bearer assertion names its audience",
		"no recipient":                   "SAML Profiles 4.1.4.2: Recipient is the consumer service",
		"authenticated in the future":    "nobody has been",
		"version 1.1":                    "SAML Core 4.1.2",
		"one attribute twice":            "threats X-85",
		"second status below":            "threats X-87: success has no second thought",
	}
	node = map[string]string{
		"attribute without a name": "SAML Core 2.7.3.1: Name is required",
		"unknown condition":        "SAML Core 2.5.1.1: what is not understood makes it invalid",
		"no confirmation":          "SAML Profiles 4.1.4.2", "holder of key": "SAML Profiles 4.1.4.2", "sender vouches": "SAML Profiles 4.1.4.2",
		"another recipient": "SAML Profiles 4.1.4.2", "no recipient": "SAML Profiles 4.1.4.2", "confirmation that begins later": "nor was it time",
		"no authentication": "SAML Profiles 4.1.4.2", "two authentications": "one login has one",
		"session is over": "SAML Core 2.7.2", "no context": "SAML Core 2.7.2.2", "authenticated in the future": "nobody has been",
		"issuer of the assertion is another": "it was not asked", "issuer of the response is another": "it was not asked",
		"empty destination": "SAML Core 3.2.2", "another destination": "SAML Core 3.2.2", "confirmation of another request": "SAML Profiles 4.1.4.2",
		"version 1.1": "SAML Core 4.1.2", "response of version 1.1": "SAML Core 4.1.2", "second status below": "threats X-87",
		"answer to another request": "it is asked by one that knows no request",
		"failed":                    "SAML Core 3.2.2.2", "success below failure": "SAML Core 3.2.2.2", "no status": "SAML Core 3.2.2",
		"unknown element": "SAML's schema", "text between elements": "SAML's schema",
		"document type": "threats X-25", "text behind": "XML 1.0 2.1",

		"name for another": "SAML Core 2.2.2", "one attribute twice": "threats X-85", "confirmation without data": "SAML Profiles 4.1.4.2",
		"element in the name":                                       "SAML's schema",
		"encrypted attribute besides":                               "nobody can read what it says",
		"assertion signed and signature of the response broken":     "a signature that is there has to hold",
		"response signed by another and assertion by the right one": "a signature that is there has to hold",
		"assertion signed by another and response by the right one": "a signature that is there has to hold",
		"no subject": "SAML Profiles 4.1.4.2", "name of another kind": "it names nobody", "empty name": "it names nobody",
		"confirmation over": "SAML Profiles 4.1.4.2",
	}
	return python, node
}

func strangersRefuse() (python, node map[string]string) {
	python = map[string]string{
		"no attributes":                "a login is one without attributes, too",
		"statement without attributes": "recorded messages have it",
		"conditions with an offset":    "recorded messages have it",
		"blanks around the audience":   "XML Schema 2, 3.2.17: blanks do not count in a URI",
		"blanks around the issuer":     "recorded messages have it",
		"language and type":            "the schema knows no such attributes",
	}
	node = map[string]string{
		"confirmation without an end": "recorded messages have it",
		"blanks around the audience":  "XML Schema 2, 3.2.17: blanks do not count in a URI",
		"RSA-SHA384":                  "it knows no SHA-384",
		"inclusive 1.1":               "it knows no Canonical XML 1.1",
	}
	return python, node
}

// TestInteropSAMLJudges has python3-saml and node-saml judge what
// TestJudgeSAMLOnMadeMessages judges.
func TestInteropSAMLJudges(t *testing.T) {
	f := newForge(t)
	f.make()
	pythonAccepts, nodeAccepts := strangersAccept()
	pythonRefuses, nodeRefuses := strangersRefuse()
	python, node := f.askPython(), f.askNode()
	agreed := map[string]int{}
	differ := map[string]bool{}
	for i, m := range f.messages {
		at := strings.LastIndex(m.name, ", ")
		name := m.name
		if at > 0 {
			name = m.name[:at]
		}
		for who, v := range map[string]struct {
			accepted         bool
			nameID, why      string
			accepts, refuses map[string]string
		}{
			"python3-saml": {python[i].Accepted, python[i].NameID, python[i].Error, pythonAccepts, pythonRefuses},
			"node-saml":    {node[i].Accepted, node[i].NameID, node[i].Error, nodeAccepts, nodeRefuses},
		} {
			if v.accepted != m.accept {
				differ[who+" "+name] = true
			}
			switch {
			case v.accepted && m.accept && strings.TrimSpace(v.nameID) != m.nameID:
				t.Errorf("%s: %s reads %q, want %q", m.name, who, v.nameID, m.nameID)
			case v.accepted == m.accept:
				agreed[who]++
			case v.accepted && v.accepts[name] == "":
				t.Errorf("%s: %s accepts it", m.name, who)
			case !v.accepted && v.refuses[name] == "":
				t.Errorf("%s: %s refuses it: %s", m.name, who, v.why)
			}
		}
	}
	for who, reasons := range map[string][]map[string]string{"python3-saml": {pythonAccepts, pythonRefuses}, "node-saml": {nodeAccepts, nodeRefuses}} {
		for _, named := range reasons {
			for name := range named {
				if !differ[who+" "+name] {
					t.Errorf("%s: %s does not differ any more", name, who)
				}
			}
		}
	}
	t.Logf("%d messages, agreement: %v", len(f.messages), agreed)
	for who, n := range agreed {
		if n < len(f.messages)*2/3 {
			t.Errorf("%s agrees on %d only", who, n)
		}
	}
}

// strangersVerdict is what another judge says.
type strangersVerdict struct {
	Accepted      bool
	NameID, Error string
}

func (f *forge) askPython() []strangersVerdict {
	f.t.Helper()
	home, err := filepath.Abs(filepath.Join("..", "..", ".cache", "samljudges"))
	if err != nil {
		f.t.Fatal(err)
	}
	interpreter := filepath.Join(home, "bin", "python")
	run := func(name string, args ...string) []byte {
		c := exec.CommandContext(f.t.Context(), name, args...)
		var problems bytes.Buffer
		c.Stderr = &problems
		out, err := c.Output()
		if err != nil {
			f.t.Fatalf("%s: %v\n%s", name, err, &problems)
		}
		return out
	}
	run("python3", "-m", "venv", home)
	run(interpreter, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--requirement", "testdata/samljudges/requirements.txt")
	certificate, err := os.ReadFile(f.keys["idp certificate"])
	if err != nil {
		f.t.Fatal(err)
	}
	given, err := json.Marshal(map[string]string{"sp": madeSP, "acs": madeACS, "idp": madeIdP, "request": madeRequest, "certificate": string(certificate)})
	if err != nil {
		f.t.Fatal(err)
	}
	args := []string{"testdata/samljudges/judge.py", string(given)}
	for _, m := range f.messages {
		args = append(args, m.file)
	}
	var all []strangersVerdict
	for line := range bytes.Lines(run(interpreter, args...)) {
		var v strangersVerdict
		if err := json.Unmarshal(line, &v); err != nil {
			f.t.Fatal(err)
		}
		all = append(all, v)
	}
	if len(all) != len(f.messages) {
		f.t.Fatalf("%d verdicts", len(all))
	}
	return all
}

func (f *forge) askNode() []strangersVerdict {
	f.t.Helper()
	certificate, err := os.ReadFile(f.keys["idp certificate"])
	if err != nil {
		f.t.Fatal(err)
	}
	sp, err := nodesaml.Start(f.t.Context(), f.dir, map[string]any{
		"callbackUrl": madeACS, "entryPoint": madeIdP, "issuer": madeSP, "audience": madeSP, "idpIssuer": madeIdP, "idpCert": string(certificate),
		"wantAuthnResponseSigned": false, "wantAssertionsSigned": false, "acceptedClockSkewMs": 60000,
	})
	if err != nil {
		f.t.Fatal(err)
	}
	defer func() {
		if err := sp.Close(); err != nil {
			f.t.Error(err)
		}
	}()
	var all []strangersVerdict
	for _, m := range f.messages {
		document, err := os.ReadFile(m.file)
		if err != nil {
			f.t.Fatal(err)
		}
		v, err := sp.JudgeFresh(map[string]string{"SAMLResponse": base64.StdEncoding.EncodeToString(document)})
		if err != nil {
			f.t.Fatal(err)
		}
		name, _ := v.Profile["nameID"].(string)
		all = append(all, strangersVerdict{Accepted: v.Profile != nil, NameID: name, Error: v.Error})
	}
	return all
}
