package main

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"math/big"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/eidbridge/eidbridge/cardreader"
)

// steering is what a reader's name, a certificate or a PIN's label may hold to draw
// over the terminal, turn text round, or imitate lines of ours.
const steering = "\x1b[2J\u202eLAB\x00\nCard\t<b>genuine</b>"

// foreign is a certificate whose names are steering, longer than any screen.
func foreign(t *testing.T) *x509.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	long := steering + strings.Repeat("x", 10<<10)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now(), NotAfter: time.Now().Add(time.Hour),
		Subject: pkix.Name{CommonName: long, SerialNumber: long, ExtraNames: []pkix.AttributeTypeAndValue{
			{Type: asn1.ObjectIdentifier{2, 5, 4, 42}, Value: long}, {Type: asn1.ObjectIdentifier{2, 5, 4, 4}, Value: long},
		}},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	c, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// plain checks that a table is printable text with lines of a bearable length.
func plain(t *testing.T, table string, lines int) {
	t.Helper()
	if n := strings.Count(table, "\n"); n != lines {
		t.Errorf("%d lines, want %d:\n%s", n, lines, table)
	}
	for line := range strings.Lines(table) {
		if len(line) > 600 {
			t.Errorf("a line of %d bytes", len(line))
		}
		for _, r := range strings.TrimSuffix(line, "\n") {
			if !unicode.IsPrint(r) || r == '<' {
				t.Fatalf("%U in %q", r, line)
			}
		}
	}
}

// Threats C-12, C-31: what readers, cards and certificates call themselves is shown
// with its control characters visible, cut, and on its own line.
func TestForeignNamesSteerNoTerminal(t *testing.T) {
	p := &program{ctx: t.Context()}
	slot := cardreader.Inserted{
		Reader:      cardreader.Reader{Name: steering + strings.Repeat("x", 4<<10), State: cardreader.ReaderPresent},
		Info:        cardreader.Info{Family: steering, DocumentNumber: steering},
		Credentials: []cardreader.Credential{{ID: "1", Usage: cardreader.UsageSignature, PIN: steering, Certificate: foreign(t)}},
		PINs:        []cardreader.PINStatus{{ID: steering, TriesLeft: 3, TriesMax: 3}},
	}
	var cards bytes.Buffer
	if err := (cardsReport{Readers: []readerReport{p.describe(slot, time.Now())}}).writeTable(&cards); err != nil {
		t.Fatal(err)
	}
	// Reader, card, certificate with five lines, PIN.
	plain(t, cards.String(), 9)
	if !strings.Contains(cards.String(), `\u{1b}[2J\u{202e}LAB\u{0}\u{a}`) {
		t.Errorf("what is there does not show:\n%s", cards.String())
	}
}

// Threat C-12, and what documents and services write into errors.
func TestForeignTextInErrorsSteersNoTerminal(t *testing.T) {
	var out, problems bytes.Buffer
	if code := run(t.Context(), []string{"scan", "nothing\x1b[2J\u202e.pdf"}, &out, &problems); code != exitUsage {
		t.Errorf("exit code %d", code)
	}
	if text := problems.String(); !strings.Contains(text, "nothing") || strings.ContainsAny(text, "\x1b\u202e") {
		t.Errorf("%q", text)
	}
}
