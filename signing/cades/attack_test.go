package cades_test

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/eidbridge/eidbridge/fixtures/needs"
	"github.com/eidbridge/eidbridge/fixtures/signers"
	"github.com/eidbridge/eidbridge/signing"
	"github.com/eidbridge/eidbridge/signing/cades"
	"github.com/eidbridge/eidbridge/signing/cms"
)

// TestAttacks: what may never pass, each with its verdict (threats 4 and 5.3,
// signatures 17).
func TestAttacks(t *testing.T) {
	keys := signers.NewKeys(t)
	cred := keys.Credential(t, signers.P256, nil)
	other := keys.Credential(t, signers.P256, nil)
	attached, _ := sign(t, text, cred, cades.Options{})
	detached, _ := sign(t, text, cred, cades.Options{Detached: true})
	strangers := signers.NewKeys(t)
	foreign, _ := sign(t, text, strangers.Credential(t, signers.P256, nil), cades.Options{})
	for _, row := range []struct {
		name    string
		message []byte
		content signing.Content
		want    signing.Indication
		sub     signing.SubIndication
	}{
		{"other file of the same name (X-60)", detached, memory(bytes.ToUpper(text)), signing.TotalFailed, signing.HashFailure},
		{"changed content inside", bytes.Replace(attached, []byte("quick"), []byte("QUICK"), 1), nil, signing.TotalFailed, signing.HashFailure},
		{"content inside wins over another", attached, memory([]byte("other")), signing.TotalPassed, ""},
		{"no file at hand", detached, nil, signing.Indeterminate, signing.SignedDataNotFound},
		{"anchor inside the message (P-22)", foreign, nil, signing.Indeterminate, signing.NoCertificateChainFound},
		{"certificate of another key first (P-20)", moreCertificates(t, attached, other.Certificate.Raw), nil, signing.TotalPassed, ""},
		{"no certificate", without(t, attached), nil, signing.Indeterminate, signing.NoSigningCertificateFound},
		{"flipped bit in the value", flipped(t, attached), nil, signing.TotalFailed, signing.SigCryptoFailure},
	} {
		t.Run(row.name, func(t *testing.T) {
			s := verify(t, row.message, row.content, keys.Trusting()).Signatures[0]
			if s.Indication != row.want || s.SubIndication != row.sub {
				t.Errorf("%s/%s %v", s.Indication, s.SubIndication, s.Findings)
			}
			if s.Indication == signing.TotalPassed && s.Signer.Certificate != nil && !s.Signer.Certificate.Equal(cred.Certificate) {
				t.Error("the signer is somebody else")
			}
		})
	}
}

// TestOtherContentIsWarnedOf: whoever gives a file along with a message that has
// content of its own learns that the file is not what was signed.
func TestOtherContentIsWarnedOf(t *testing.T) {
	keys := signers.NewKeys(t)
	attached, _ := sign(t, text, keys.Credential(t, signers.P256, nil), cades.Options{})
	for _, row := range []struct {
		name    string
		content signing.Content
		want    int
	}{
		{"none", nil, 0},
		{"the same", memory(text), 0},
		{"another", memory(bytes.ToUpper(text)), 1},
		{"a longer one", memory(append(bytes.Clone(text), 0)), 1},
		{"an empty one", memory(nil), 1},
	} {
		warnings := verify(t, attached, row.content, keys.Trusting()).Warnings
		if len(warnings) != row.want || row.want > 0 && warnings[0].Code != cades.FindOtherContent {
			t.Errorf("%s: %v", row.name, warnings)
		}
	}
}

func moreCertificates(t *testing.T, message []byte, raw ...[]byte) []byte {
	t.Helper()
	d := parse(t, message)
	d.Certificates = append(slices.Clone(raw), d.Certificates...)
	return frame(t, d, text)
}

func without(t *testing.T, message []byte) []byte {
	t.Helper()
	d := parse(t, message)
	d.Certificates = nil
	return frame(t, d, text)
}

func flipped(t *testing.T, message []byte) []byte {
	t.Helper()
	d := parse(t, message)
	i := bytes.Index(message, d.SignerInfos[0].Signature)
	if i < 0 {
		t.Fatal("no value in the message")
	}
	out := bytes.Clone(message)
	out[i+len(d.SignerInfos[0].Signature)-1] ^= 1
	return out
}

// TestBareSignatureWithoutItsFile: a value over the content itself, made by OpenSSL
// without attributes, and no content: nothing can be said about it. With the
// content it verifies and is still no signature to rely on.
func TestBareSignatureWithoutItsFile(t *testing.T) {
	needs.Program(t, "openssl", "openssl")
	keys := signers.NewKeys(t)
	cred := keys.Credential(t, signers.P256, nil)
	dir := t.TempDir()
	key, err := x509.MarshalPKCS8PrivateKey(cred.Signer)
	if err != nil {
		t.Fatal(err)
	}
	for name, data := range map[string][]byte{
		"key.pem": pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key}), "text": text,
		"cert.pem": pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cred.Certificate.Raw}),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	c := exec.CommandContext(t.Context(), "openssl", "cms", "-sign", "-binary", "-noattr", "-outform", "DER", "-in", "text", "-signer", "cert.pem", "-inkey", "key.pem", "-out", "bare.p7s")
	c.Dir = dir
	if out, err := c.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	message, err := os.ReadFile(filepath.Join(dir, "bare.p7s"))
	if err != nil {
		t.Fatal(err)
	}
	if s := verify(t, message, nil, keys.Trusting()).Signatures[0]; s.SubIndication != signing.SignedDataNotFound || s.Indication != signing.Indeterminate {
		t.Errorf("without the file: %s/%s", s.Indication, s.SubIndication)
	}
	if s := verify(t, message, memory(text), keys.Trusting()).Signatures[0]; s.SubIndication != signing.SigConstraintsFailure || s.Integrity != signing.Intact {
		t.Errorf("with the file: %s/%s, %s %v", s.Indication, s.SubIndication, s.Integrity, s.Findings)
	}
}

// TestMalformedMessagesAreRefused within moments (P-19, P-76).
func TestMalformedMessagesAreRefused(t *testing.T) {
	keys := signers.NewKeys(t)
	message, _ := sign(t, text, keys.Credential(t, signers.P256, nil), cades.Options{})
	head := message[:bytes.Index(message, text)-2] // up to tag and length of the content
	for name, data := range map[string][]byte{
		"nothing":                     nil,
		"cut":                         message[:len(message)-1],
		"more behind":                 append(bytes.Clone(message), 0),
		"nested without end":          bytes.Repeat([]byte{0x30, 0x80}, 100_000),
		"content nested without end":  append(bytes.Clone(head), bytes.Repeat([]byte{0x24, 0x80}, 100_000)...),
		"twelve megabytes of nesting": bytes.Repeat([]byte{0x30, 0x80}, 6_000_000),
		"length beyond the end":       {0x30, 0x87, 1, 2, 3, 4, 5, 6, 7},
		"PEM of something else":       pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: message}),
	} {
		begin := time.Now()
		_, err := cades.Verify(t.Context(), bytes.NewReader(data), int64(len(data)), nil, keys.Trusting())
		if !errors.Is(err, cms.ErrFormat) && !errors.Is(err, cms.ErrLimit) {
			t.Errorf("%s: %v", name, err)
		}
		if took := time.Since(begin); took > 20*time.Second {
			t.Errorf("%s took %s", name, took)
		}
	}
}

// berMessage writes a message as streaming signers do: indefinite lengths, and the
// content in pieces.
func berMessage(t testing.TB, message, content []byte, piece int) []byte {
	t.Helper()
	d, err := cms.Open(bytes.NewReader(message), int64(len(message)))
	if err != nil {
		t.Fatal(err)
	}
	head, tail, err := d.Frame(0)
	if err != nil {
		t.Fatal(err)
	}
	// The head ends with SEQUENCE { OID data, [0] { OCTET STRING } } of no length;
	// version and digest algorithms stand before it.
	i := bytes.Index(head, []byte{0x02, 0x01})
	end := bytes.LastIndex(head, []byte{0x30})
	var b bytes.Buffer
	b.Write([]byte{0x30, 0x80, 0x06, 0x09, 0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 0x01, 0x07, 0x02, 0xA0, 0x80, 0x30, 0x80})
	b.Write(head[i:end])
	b.Write([]byte{0x30, 0x80, 0x06, 0x09, 0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 0x01, 0x07, 0x01, 0xA0, 0x80, 0x24, 0x80})
	for at := 0; at < len(content); at += piece {
		part := content[at:min(at+piece, len(content))]
		b.Write([]byte{0x04, byte(len(part))})
		b.Write(part)
	}
	b.Write([]byte{0, 0, 0, 0, 0, 0})
	b.Write(tail)
	b.Write([]byte{0, 0, 0, 0, 0, 0})
	return b.Bytes()
}

func TestStreamedAndArmouredMessagesAreRead(t *testing.T) {
	keys := signers.NewKeys(t)
	message, _ := sign(t, text, keys.Credential(t, signers.P256, nil), cades.Options{})
	for name, data := range map[string][]byte{
		"BER": berMessage(t, message, text, 7),
		"PEM": pem.EncodeToMemory(&pem.Block{Type: "PKCS7", Bytes: message}),
		"CMS": pem.EncodeToMemory(&pem.Block{Type: "CMS", Bytes: message}),
	} {
		t.Run(name, func(t *testing.T) {
			passed(t, verify(t, data, nil, keys.Trusting()), signing.BaselineB)
		})
	}
	// A streamed message is co-signed into DER.
	ber := berMessage(t, message, text, 10)
	var out bytes.Buffer
	if _, err := cades.CoSign(t.Context(), bytes.NewReader(ber), int64(len(ber)), nil, &out, keys.Credential(t, signers.RSA, nil), cades.Options{}); err != nil {
		t.Fatal(err)
	}
	passed(t, verify(t, out.Bytes(), nil, keys.Trusting()), signing.BaselineB, signing.BaselineB)
	if again := reencode(t, out.Bytes(), text); !bytes.Equal(again, out.Bytes()) {
		t.Error("the message is not DER")
	}
}

// TestLevelIsNoHigherThanProven is X-58 for messages: a time-stamp of another
// signature, and an archive time-stamp that covers something that is gone.
func TestLevelIsNoHigherThanProven(t *testing.T) {
	t.Parallel()
	country := signers.NewCountry(t)
	o := cades.Options{SigningTime: country.Now(), Services: country.Services}
	basic, _ := sign(t, text, country.Citizen, o)
	o.Level = signing.BaselineT
	stamped, _ := sign(t, text, country.Citizen, o)
	o.Level = signing.BaselineLTA
	archived, _ := sign(t, text, country.Citizen, o)

	d := parse(t, basic)
	if err := d.SignerInfos[0].AddUnsigned(cms.OIDSignatureTimeStamp, parse(t, stamped).SignerInfos[0].UnsignedAttribute(cms.OIDSignatureTimeStamp)[0]); err != nil {
		t.Fatal(err)
	}
	s := verify(t, frame(t, d, text), nil, country.Trusting()).Signatures[0]
	if s.Baseline != signing.BaselineB || s.BestTime != nil || s.TimeStamps[0].SubIndication != signing.HashFailure {
		t.Errorf("copied time-stamp: %s, %v, %+v", s.Baseline, s.BestTime, s.TimeStamps)
	}

	d = parse(t, archived)
	d.CRLs = d.CRLs[1:]
	report := verify(t, frame(t, d, text), nil, country.Trusting())
	for _, st := range report.Signatures[0].TimeStamps {
		if st.Kind == signing.ArchiveStamp && st.Indication != signing.TotalFailed {
			t.Errorf("archive time-stamp over what is gone: %s/%s", st.Indication, st.SubIndication)
		}
	}
}

// endless is content of a size that is never held.
type endless int64

func (e endless) Open() (io.ReadCloser, error) {
	return io.NopCloser(io.LimitReader(zeros{}, int64(e))), nil
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

// TestContentIsNeverHeld signs 64 MB inside a message with a few MB of memory.
func TestContentIsNeverHeld(t *testing.T) {
	keys := signers.NewKeys(t)
	cred := keys.Credential(t, signers.P256, nil)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	if _, err := cades.Sign(t.Context(), endless(64<<20), io.Discard, cred, cades.Options{}); err != nil {
		t.Fatal(err)
	}
	runtime.ReadMemStats(&after)
	if grew := after.TotalAlloc - before.TotalAlloc; grew > 4<<20 {
		t.Errorf("%d bytes were allocated", grew)
	}
}

func FuzzVerify(f *testing.F) {
	keys := signers.NewKeys(f)
	cred := keys.Credential(f, signers.P256, nil)
	attached, _ := sign(f, text, cred, cades.Options{})
	detached, _ := sign(f, text, cred, cades.Options{Detached: true})
	f.Add(attached)
	f.Add(detached)
	f.Add(berMessage(f, attached, text, 9))
	f.Fuzz(func(t *testing.T, data []byte) {
		report, err := cades.Verify(t.Context(), bytes.NewReader(data), int64(len(data)), memory(text), keys.Trusting())
		if err != nil {
			if !errors.Is(err, cms.ErrFormat) && !errors.Is(err, cms.ErrLimit) {
				t.Fatalf("untyped error: %v", err)
			}
			return
		}
		var b strings.Builder
		if err := report.WriteText(&b); err != nil {
			t.Fatal(err)
		}
		// What is read is written and read again as the same.
		d, err := cms.Open(bytes.NewReader(data), int64(len(data)))
		if err != nil {
			return // in PEM
		}
		bare, err := d.WithoutContent()
		if err != nil {
			t.Fatal(err)
		}
		again, err := cms.Open(bytes.NewReader(bare), int64(len(bare)))
		if err != nil || len(again.SignerInfos) != len(d.SignerInfos) {
			t.Fatalf("written again: %v", err)
		}
	})
}
