package saml

import (
	"strings"
	"testing"
)

// TestWrapping builds the eight signature wrapping attacks of "On Breaking SAML"
// and their relatives (threats ), each with a new
// identifier for the evil element and with the identifier of the honest one. No
// variant may release any identity: neither the evil one nor the honest one.
func TestWrapping(t *testing.T) {
	const evil = "s00000000:999990019"
	for _, v := range wrappings() {
		for _, sameID := range []bool{false, true} {
			name := v.name + "/new ID"
			if sameID {
				name = v.name + "/same ID"
			}
			t.Run(name, func(t *testing.T) {
				w := newWrap(sameID)
				e := goodExpectation()
				e.Signed = v.signed
				for _, lenient := range []Leniency{{}, Recorded()} {
					e.Lenient = lenient
					got, err := ValidateResponse([]byte(v.build(w)), e)
					if err == nil {
						t.Fatalf("accepted with identity %q (evil: %v)", got.NameID.Value, got.NameID.Value == evil)
					}
					if got != nil {
						t.Fatal("identity released with an error")
					}
				}
			})
		}
	}
}

type wrapping struct {
	name   string
	signed Coverage
	build  func(w wrap) string
}

// wrap has the pieces that wrapping attacks are made of.
type wrap struct {
	response          string // signed response with an unsigned assertion inside
	responseSignature string
	bareResponse      string // the same without its signature
	assertion         string // signed assertion
	signature         string // its signature
	bare              string // the assertion without it
	evil              string // unsigned assertion about somebody else
	shell             string // unsigned response around $assertion
	evilResponse      string // unsigned response with the evil assertion
}

func newWrap(sameID bool) wrap {
	id := func(good string) string {
		if sameID {
			return good
		}
		return "_evil" + good
	}
	a := goodAnswer()
	a.signR = nil
	w := wrap{shell: a.response, assertion: a.signedAssertion(), bare: a.assertion}
	w.signature = between(w.assertion, "<ds:Signature", "</ds:Signature>")
	w.evil = strings.NewReplacer("s00000000:900029365", "s00000000:999990019", `"_assertion1"`, `"`+id("_assertion1")+`"`).Replace(a.assertion)
	b := goodAnswer()
	b.signA = nil
	w.response = b.post()
	w.responseSignature = between(w.response, "<ds:Signature", "</ds:Signature>")
	w.bareResponse = strings.Replace(w.response, w.responseSignature, "", 1)
	w.evilResponse = strings.NewReplacer(`"_response1"`, `"`+id("_response1")+`"`, "$assertion", w.evil).Replace(a.response)
	return w
}

func between(s, from, to string) string {
	i := strings.Index(s, from)
	return s[i : strings.Index(s, to)+len(to)]
}

// inside puts content before the end of an element.
func inside(s, end, content string) string {
	i := strings.LastIndex(s, end)
	return s[:i] + content + s[i:]
}

// object wraps content the way XSW6 and XSW8 do.
func object(content string) string { return "<ds:Object>" + content + "</ds:Object>" }

func afterIssuer(s, content string) string {
	const end = "</saml:Issuer>"
	i := strings.Index(s, end) + len(end)
	return s[:i] + content + s[i:]
}

func wrappings() []wrapping {
	byResponse, byAssertion := Coverage{Response: true}, Coverage{Assertion: true}
	shell := func(w wrap, content string) string { return strings.Replace(w.shell, "$assertion", content, 1) }
	extensions := func(content string) string { return "<samlp:Extensions>" + content + "</samlp:Extensions>" }
	return []wrapping{
		{"X-01 XSW1 original response inside the signature of the evil one", byResponse, func(w wrap) string {
			return afterIssuer(w.evilResponse, inside(w.responseSignature, "</ds:Signature>", object(w.bareResponse)))
		}},
		{"X-02 XSW2 original response beside the signature", byResponse, func(w wrap) string {
			return afterIssuer(w.evilResponse, extensions(w.bareResponse)+w.responseSignature)
		}},
		{"X-03 XSW3 evil assertion before the signed one", byAssertion, func(w wrap) string { return shell(w, w.evil+w.assertion) }},
		{"X-04 XSW4 signed assertion inside the evil one", byAssertion, func(w wrap) string {
			return shell(w, inside(w.evil, "</saml:Assertion>", w.assertion))
		}},
		{"X-05 XSW5 evil assertion with the signature, original appended", byAssertion, func(w wrap) string {
			return shell(w, afterIssuer(w.evil, w.signature)+w.bare)
		}},
		{"X-06 XSW6 original inside the signature of the evil one", byAssertion, func(w wrap) string {
			return shell(w, afterIssuer(w.evil, inside(w.signature, "</ds:Signature>", object(w.bare))))
		}},
		{"X-07 XSW7 evil assertion in Extensions", byAssertion, func(w wrap) string {
			return afterIssuer(shell(w, w.assertion), extensions(w.evil))
		}},
		{"X-08 XSW8 original in an Object of the evil one", byAssertion, func(w wrap) string {
			return shell(w, afterIssuer(w.evil, inside(w.signature, "</ds:Signature>", object(w.bare)))+w.assertion)
		}},
		{"X-09 signature whose reference resolves to itself", byAssertion, func(w wrap) string {
			return shell(w, afterIssuer(w.evil, strings.Replace(w.signature, "<ds:Signature ", `<ds:Signature Id="_assertion1" `, 1)))
		}},
		{"X-10 evil assertion after the signed one", byAssertion, func(w wrap) string { return shell(w, w.assertion+w.evil) }},
		{"X-11 evil assertion inside the removed signature", byResponse, func(w wrap) string {
			return strings.Replace(w.response, "</ds:Signature>", object(w.evil)+"</ds:Signature>", 1)
		}},
		{"X-14 a validly signed element first", byAssertion, func(w wrap) string {
			return afterIssuer(w.evilResponse, extensions(w.assertion))
		}},
		{"signed response with an unsigned second assertion", byResponse, func(w wrap) string {
			return inside(w.response, "</samlp:Response>", w.evil)
		}},
		{"original in Advice, evil one outside", byAssertion, func(w wrap) string {
			return shell(w, inside(w.evil, "</saml:Assertion>", "<saml:Advice>"+w.assertion+"</saml:Advice>"))
		}},
		{"X-76 evil assertion with a signed one in its Advice and the signature", byAssertion, func(w wrap) string {
			evil := strings.Replace(w.evil, "<saml:AuthnStatement", "<saml:Advice>"+w.bare+"</saml:Advice><saml:AuthnStatement", 1)
			return shell(w, afterIssuer(evil, w.signature))
		}},
		{"signed assertion inside a forged response", byResponse, func(w wrap) string {
			return afterIssuer(w.evilResponse, w.responseSignature)
		}},
		{"original response in StatusDetail", byResponse, func(w wrap) string {
			return strings.Replace(w.evilResponse, "</samlp:Status>", "<samlp:StatusDetail>"+w.response+"</samlp:StatusDetail></samlp:Status>", 1)
		}},
		{"original assertion in an attribute value", byAssertion, func(w wrap) string {
			return shell(w, inside(w.evil, "</saml:Assertion>", `<saml:AttributeStatement><saml:Attribute Name="a"><saml:AttributeValue>`+w.assertion+`</saml:AttributeValue></saml:Attribute></saml:AttributeStatement>`))
		}},
		{"original assertion concealed in an unknown element", byAssertion, func(w wrap) string {
			return shell(w, afterIssuer(w.evil, w.signature)+"<foo>"+w.bare+"</foo>")
		}},
	}
}

// TestWrappingBase proves that the pieces are right: unwrapped, each signed piece
// is accepted. Otherwise the attacks would be refused for the wrong reason.
func TestWrappingBase(t *testing.T) {
	w := newWrap(false)
	for _, row := range []struct {
		message string
		signed  Coverage
	}{
		{w.response, Coverage{Response: true}},
		{strings.Replace(w.shell, "$assertion", w.assertion, 1), Coverage{Assertion: true}},
	} {
		e := goodExpectation()
		e.Signed = row.signed
		got, err := ValidateResponse([]byte(row.message), e)
		checkVerdict(t, got, err, accepted)
	}
}

// TestReadsVerifiedBytesOnly hands the response reader a verified copy that
// differs from the received element: what is read has to be the copy.
func TestReadsVerifiedBytesOnly(t *testing.T) {
	a := goodAnswer()
	a.signA = nil
	e := goodExpectation()
	e.Signed = Coverage{Envelope: true}
	if err := e.check(); err != nil {
		t.Fatal(err)
	}
	parse := func(identity string) *element {
		a.signR = nil
		root, err := parseMessage([]byte(strings.Replace(a.post(), "s00000000:900029365", identity, 1)), MessageLimits(), Leniency{})
		if err != nil {
			t.Fatal(err)
		}
		return root
	}
	j := judgement{Expectation: e}
	got, err := j.response(parse("s00000000:999990019"), parse("s00000000:900029365"))
	checkVerdict(t, got, err, accepted)
}
