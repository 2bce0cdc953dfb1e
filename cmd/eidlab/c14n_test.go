package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestC14NPrintsTheOctets(t *testing.T) {
	folder := t.TempDir()
	write := func(name, text string) string {
		file := filepath.Join(folder, name)
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return file
	}
	file := write("in.xml", `<?xml version="1.0"?><a xmlns:p="urn:p" xmlns:q="urn:q"><p:b Id="x" z="1" y="2"/><p:b>t<!--c--></p:b></a>`)
	declared := write("declared.xml", `<!DOCTYPE a [<!ATTLIST a b CDATA "c"><!ENTITY e SYSTEM "e.txt">]><a>&e;</a>`)
	entity := write("e.txt", "far")
	const exclusive, inclusive = "http://www.w3.org/2001/10/xml-exc-c14n#", "http://www.w3.org/TR/2001/REC-xml-c14n-20010315"
	for _, c := range []struct {
		name string
		args []string
		code int
		out  string
		err  string
	}{
		{"a document", []string{"--method", exclusive, file}, 0, `<a><p:b xmlns:p="urn:p" Id="x" y="2" z="1"></p:b><p:b xmlns:p="urn:p">t</p:b></a>`, ""},
		{"an element by ID", []string{"--method", inclusive, "--id", "x", file}, 0, `<p:b xmlns:p="urn:p" xmlns:q="urn:q" Id="x" y="2" z="1"></p:b>`, ""},
		{"an element by name", []string{"--method", exclusive, "--element", "{urn:p}b", file}, 0, `<p:b xmlns:p="urn:p" Id="x" y="2" z="1"></p:b>`, ""},
		{"a PrefixList", []string{"--method", exclusive, "--id", "x", "--prefix-list", "q n", file}, 0, `<p:b xmlns:p="urn:p" xmlns:q="urn:q" Id="x" y="2" z="1"></p:b>`, ""},
		{"less an element", []string{"--method", exclusive, "--omit", "{urn:p}b", file}, 0, `<a></a>`, ""},
		{"with comments", []string{"--method", exclusive + "WithComments", "--omit", "c", file}, 0, `<a><p:b xmlns:p="urn:p" Id="x" y="2" z="1"></p:b><p:b xmlns:p="urn:p">t<!--c--></p:b></a>`, ""},
		{"a DOCTYPE", []string{"--method", inclusive, "--entity", "e.txt=" + entity, declared}, 0, `<a b="c">far</a>`, ""},
		{"standard input", []string{"--method", inclusive, "-"}, 0, `<in></in>`, ""},
		{"an entity not at hand", []string{"--method", inclusive, declared}, 1, "", "not at hand"},
		{"an unknown method", []string{"--method", "c14n", file}, 1, "", "there are:\n  " + inclusive + "\n"},
		{"no such ID", []string{"--method", inclusive, "--id", "y", file}, 1, "", `no such element: ID "y"`},
		{"no such file", []string{"--method", inclusive, file + "x"}, 1, "", "no such file"},
		{"no method", []string{file}, 2, "", "--method"},
		{"two parts", []string{"--method", inclusive, "--id", "x", "--element", "b", file}, 2, "", "can't be used together"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var out, problems bytes.Buffer
			code := run(t.Context(), append([]string{"c14n"}, c.args...), streams{strings.NewReader("<in/>"), &out, &problems})
			if code != c.code || out.String() != c.out || !strings.Contains(problems.String(), c.err) || c.err == "" && problems.Len() > 0 {
				t.Errorf("exit code %d, want %d\ngot  %s\nwant %s\nstandard error: %s", code, c.code, out.String(), c.out, problems.String())
			}
		})
	}
}
