package saml

import (
	"crypto/x509"
	"testing"

	"github.com/beevik/etree"
	dsig "github.com/russellhaering/goxmldsig"
)

// The peer is goxmldsig's own validation of the same signed elements, without
// any of the other checks: parse, find, verify.

func BenchmarkValidateResponse(b *testing.B) {
	b.Run("signed assertion", func(b *testing.B) {
		a, e := goodAnswer(), goodExpectation()
		a.signR = nil
		e.Signed = Coverage{Assertion: true}
		benchmark(b, a.post(), e)
	})
	b.Run("signed response and assertion", func(b *testing.B) { benchmark(b, goodAnswer().post(), goodExpectation()) })
}

func benchmark(b *testing.B, message string, e Expectation) {
	b.Helper()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := ValidateResponse([]byte(message), e); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkGoxmldsig(b *testing.B) {
	b.Run("signed assertion", func(b *testing.B) {
		a := goodAnswer()
		a.signR = nil
		a.signA.keyInfo = x509Data(keysOnce().idp)
		benchmarkPeer(b, a.post(), false)
	})
	b.Run("signed response and assertion", func(b *testing.B) {
		a := goodAnswer()
		a.signA.keyInfo, a.signR.keyInfo = x509Data(keysOnce().idp), x509Data(keysOnce().idp)
		benchmarkPeer(b, a.post(), true)
	})
}

func benchmarkPeer(b *testing.B, message string, both bool) {
	b.Helper()
	context := dsig.NewDefaultValidationContext(&dsig.MemoryX509CertificateStore{Roots: []*x509.Certificate{keysOnce().idp.cert}})
	context.Clock = dsig.NewFakeClockAt(testNow)
	b.ReportAllocs()
	for b.Loop() {
		document := etree.NewDocument()
		if err := document.ReadFromBytes([]byte(message)); err != nil {
			b.Fatal(err)
		}
		root := document.Root()
		if both {
			verified, err := context.Validate(root)
			if err != nil {
				b.Fatal(err)
			}
			root = verified
		}
		assertion := root.FindElement("./Assertion")
		if _, err := context.Validate(assertion); err != nil {
			b.Fatal(err)
		}
	}
}
