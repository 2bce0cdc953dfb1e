package saml

import (
	"fmt"
	"strings"
	"testing"
)

// TestLimitsOneOver builds a document at each budget and one beyond it.
func TestLimitsOneOver(t *testing.T) {
	nested := func(n int) string { return strings.Repeat("<a>", n) + strings.Repeat("</a>", n) }
	siblings := func(n int) string { return "<a>" + strings.Repeat("<b/>", n-1) + "</a>" }
	attributes := func(n int) string {
		var b strings.Builder
		b.WriteString("<a")
		for i := range n {
			fmt.Fprintf(&b, ` x%d=""`, i)
		}
		return b.String() + "/>"
	}
	declarations := func(n int) string {
		var b strings.Builder
		b.WriteString("<a>")
		for i := range n {
			fmt.Fprintf(&b, `<b xmlns:n%d="urn:x"/>`, i)
		}
		return b.String() + "</a>"
	}
	l := MessageLimits()
	for _, row := range []struct {
		name  string
		build func(int) string
		limit int
	}{
		{"bytes", func(n int) string { return "<a>" + strings.Repeat(" ", n-7) + "</a>" }, l.Bytes},
		{"depth", nested, l.Depth},
		{"elements", siblings, l.Elements},
		{"attributes", attributes, l.Attributes},
		{"declarations", declarations, l.Declarations},
		{"namespace name", func(n int) string { return `<a xmlns="urn:` + strings.Repeat("x", n-4) + `"/>` }, maxNamespace},
	} {
		if _, err := parseMessage([]byte(row.build(row.limit)), l, Leniency{}); err != nil {
			t.Errorf("%s at the limit: %v", row.name, err)
		}
		if _, err := parseMessage([]byte(row.build(row.limit+1)), l, Leniency{}); ReasonOf(err) != ReasonTooLarge {
			t.Errorf("%s one over: %v, want reason %s", row.name, err, ReasonTooLarge)
		}
	}
}

// TestVerifiedCopyFitsItsBudget: exclusive canonicalization of a document within
// its budget writes more declarations than the document has.
func TestVerifiedCopyFitsItsBudget(t *testing.T) {
	a, e := goodAnswer(), goodExpectation()
	var values strings.Builder
	for i := range 500 {
		fmt.Fprintf(&values, `<saml:Attribute Name="a%d"><saml:AttributeValue xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xsi:nil="true"></saml:AttributeValue></saml:Attribute>`, i)
	}
	statement(values.String())(a)
	// The message declares the prefix once, its canonical form at every value.
	a.final = func(s string) string {
		s = strings.ReplaceAll(s, ` xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"`, "")
		return strings.Replace(s, "<samlp:Response ", `<samlp:Response xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" `, 1)
	}
	got, err := ValidateResponse([]byte(a.post()), e)
	checkVerdict(t, got, err, accepted)
}
