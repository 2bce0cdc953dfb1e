package pades_test

import (
	"bytes"
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"encoding/hex"
	"fmt"
	"strings"
	"testing"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"

	"github.com/eidbridge/eidbridge/fixtures/pdfs"
	"github.com/eidbridge/eidbridge/signing"
	"github.com/eidbridge/eidbridge/signing/cms"
	"github.com/eidbridge/eidbridge/signing/pades"
)

// strange is a signature that is right and that we would not make.
type strange struct {
	filter, subFilter, entries string
	twice                      bool // a second field claims it, too
	// message makes the Contents for the signed bytes.
	message func(signed []byte) []byte
}

// sign appends a revision with the signature to a file whose object 1 is the catalog,
// without a form.
func (s strange) sign(t testing.TB) []byte {
	t.Helper()
	const hole, place = 4096, "[0 0000000000 0000000000 0000000000]"
	blank := "<" + strings.Repeat("0", hole) + ">"
	objects := map[int]string{
		1:  "<< /Type /Catalog /Pages 2 0 R /Lang (en) /AcroForm 32 0 R >>",
		30: "<< /FT /Sig /T (strange) /V 31 0 R >>",
		31: fmt.Sprintf("<< /Type /Sig %s %s /M (D:20260304102030Z) %s /ByteRange %s /Contents %s >>", s.filter, s.subFilter, s.entries, place, blank),
		32: "<< /Fields [30 0 R] /SigFlags 3 >>",
	}
	if s.twice {
		objects[32], objects[33] = "<< /Fields [30 0 R 33 0 R] /SigFlags 3 >>", "<< /FT /Sig /T (again) /V 31 0 R >>"
	}
	file := pdfs.Revise(pdfs.Classic(), objects, 1)
	begin := bytes.LastIndex(file, []byte(blank))
	end := begin + len(blank)
	written := fmt.Sprintf("%-*s", len(place), fmt.Sprintf("[0 %d %d %d]", begin, end, len(file)-end))
	copy(file[bytes.LastIndex(file, []byte(place)):], written)
	message := hex.EncodeToString(s.message(append(bytes.Clone(file[:begin]), file[end:]...)))
	if len(message) > hole {
		t.Fatal("the message does not fit")
	}
	copy(file[begin+1:], message)
	return file
}

// digestOf is the digest of data.
func digestOf(h crypto.Hash, data []byte) []byte {
	d := h.New()
	d.Write(data)
	return d.Sum(nil)
}

// handmade is the CMS of a signer who combines algorithms as nobody should.
func handmade(t testing.TB, cred signing.Credential, digest crypto.Hash, algorithm []byte, over crypto.Hash) func([]byte) []byte {
	t.Helper()
	return func(signed []byte) []byte {
		var names cryptobyte.Builder
		names.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) { addName(t, b, cms.DigestOID(digest)) })
		identifier := names.BytesOrPanic()
		attribute := func(b *cryptobyte.Builder, kind cms.OID, value func(*cryptobyte.Builder)) {
			b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
				addName(t, b, kind)
				b.AddASN1(asn1.SET, value)
			})
		}
		var set cryptobyte.Builder
		set.AddASN1(asn1.SET, func(b *cryptobyte.Builder) {
			attribute(b, cms.OIDContentType, func(b *cryptobyte.Builder) { addName(t, b, cms.OIDData) })
			attribute(b, cms.OIDMessageDigest, func(b *cryptobyte.Builder) { b.AddASN1OctetString(digestOf(digest, signed)) })
		})
		attributes := set.BytesOrPanic()
		message := attributes
		if over != 0 {
			message = digestOf(over, attributes)
		}
		value, err := cred.Signer.Sign(rand.Reader, message, over)
		if err != nil {
			t.Fatal(err)
		}
		tagged := bytes.Clone(attributes)
		tagged[0] = 0xa0
		explicit := asn1.Tag(0).ContextSpecific().Constructed()
		var b cryptobyte.Builder
		b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
			addName(t, b, cms.OIDSignedData)
			b.AddASN1(explicit, func(b *cryptobyte.Builder) {
				b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
					b.AddASN1Int64(1)
					b.AddASN1(asn1.SET, func(b *cryptobyte.Builder) { b.AddBytes(identifier) })
					b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) { addName(t, b, cms.OIDData) })
					b.AddASN1(explicit, func(b *cryptobyte.Builder) { b.AddBytes(cred.Certificate.Raw) })
					b.AddASN1(asn1.SET, func(b *cryptobyte.Builder) {
						b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
							b.AddASN1Int64(1)
							b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
								b.AddBytes(cred.Certificate.RawIssuer)
								b.AddASN1BigInt(cred.Certificate.SerialNumber)
							})
							b.AddBytes(identifier)
							b.AddBytes(tagged)
							b.AddBytes(algorithm)
							b.AddASN1OctetString(value)
						})
					})
				})
			})
		})
		return b.BytesOrPanic()
	}
}

// addName writes an identifier as its dotted name says.
func addName(t testing.TB, b *cryptobyte.Builder, name cms.OID) {
	t.Helper()
	var parts []int
	for _, part := range strings.Split(string(name), ".") {
		var n int
		if _, err := fmt.Sscan(part, &n); err != nil {
			t.Fatal(err)
		}
		parts = append(parts, n)
	}
	b.AddASN1ObjectIdentifier(parts)
}

const (
	ordinaryFilter = "/Filter /Adobe.PPKLite"
	detached       = "/SubFilter /adbe.pkcs7.detached"
)

// rsaWithSHA256 and ed25519OID are AlgorithmIdentifiers.
func rsaWithSHA256() []byte {
	return []byte{0x30, 13, 6, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 11, 5, 0}
}
func ed25519OID() []byte { return []byte{0x30, 5, 6, 3, 0x2b, 0x65, 0x70} }

// judged demands a verdict of the one signature, with the signer's root trusted or
// with nobody's.
func judged(t *testing.T, file []byte, o pades.VerifyOptions, want string, codes ...string) {
	t.Helper()
	report := verify(t, file, o)
	if len(report.Signatures) != 1 {
		t.Fatalf("%d signatures", len(report.Signatures))
	}
	s := report.Signatures[0]
	if got := strings.TrimSuffix(string(s.Indication)+"/"+string(s.SubIndication), "/"); got != want {
		t.Errorf("%d anchors: %s, want %s: %v", len(o.Roots), got, want, s.Findings)
	}
	for _, code := range codes {
		if !hasFinding(s, code) {
			t.Errorf("%d anchors: no finding %s: %v", len(o.Roots), code, s.Findings)
		}
	}
	if len(codes) > 0 && report.Intact() {
		t.Error("called whole")
	}
}

const (
	failedFormat = "TOTAL_FAILED/FORMAT_FAILURE"
	noChain      = "INDETERMINATE/NO_CERTIFICATE_CHAIN_FOUND"
	weakCrypto   = "INDETERMINATE/CRYPTO_CONSTRAINTS_FAILURE"
)

// strangers knows no signer.
func strangers() pades.VerifyOptions { return pades.VerifyOptions{WithoutRevocation: true} }

// TestLegacyEncodings judges adbe.pkcs7.sha1 and adbe.x509.rsa_sha1 (P-18): they are
// read, and not relied on.
func TestLegacyEncodings(t *testing.T) {
	cred := sharedCA().issue(t, sharedRSA(), nil)
	key := sharedRSA()
	pkcs7 := strange{filter: ordinaryFilter, subFilter: "/SubFilter /adbe.pkcs7.sha1", message: func(signed []byte) []byte {
		content := digestOf(crypto.SHA1, signed)
		return withContent(t, handmade(t, cred, crypto.SHA256, rsaWithSHA256(), crypto.SHA256)(content), content)
	}}
	value := func(signed []byte) []byte {
		raw, err := rsa.SignPKCS1v15(nil, key, crypto.SHA1, digestOf(crypto.SHA1, signed))
		if err != nil {
			t.Fatal(err)
		}
		var b cryptobyte.Builder
		b.AddASN1OctetString(raw)
		return b.BytesOrPanic()
	}
	certificate := "<" + hex.EncodeToString(cred.Certificate.Raw) + ">"
	x509 := strange{filter: ordinaryFilter, subFilter: "/SubFilter /adbe.x509.rsa_sha1", entries: "/Cert " + certificate, message: value}
	several := x509
	several.entries = "/Cert [" + certificate + " <" + hex.EncodeToString(sharedCA().root.Raw) + ">]"
	for _, c := range []struct {
		name    string
		s       strange
		changed string
	}{
		{"adbe.pkcs7.sha1", pkcs7, "TOTAL_FAILED/HASH_FAILURE"},
		{"adbe.x509.rsa_sha1", x509, "TOTAL_FAILED/SIG_CRYPTO_FAILURE"},
		{"adbe.x509.rsa_sha1 with a chain", several, "TOTAL_FAILED/SIG_CRYPTO_FAILURE"},
	} {
		t.Run(c.name, func(t *testing.T) {
			signed := c.s.sign(t)
			judged(t, signed, trusted(), weakCrypto)
			judged(t, signed, strangers(), noChain)
			changed := bytes.Replace(signed, []byte("A page of"), []byte("B page of"), 1)
			judged(t, changed, trusted(), c.changed)
			judged(t, changed, strangers(), c.changed)
		})
	}
	without := x509
	without.entries = ""
	judged(t, without.sign(t), trusted(), "INDETERMINATE/NO_SIGNING_CERTIFICATE_FOUND")
	empty := pkcs7
	empty.message = handmade(t, cred, crypto.SHA256, rsaWithSHA256(), crypto.SHA256)
	judged(t, empty.sign(t), trusted(), failedFormat)
}

// TestAlgorithmsFitTogether (P-26): the digest of the document is that of the
// signature (RFC 8933 3.1, RFC 8419 3.1).
func TestAlgorithmsFitTogether(t *testing.T) {
	cred := sharedCA().issue(t, sharedRSA(), nil)
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	edwards := sharedCA().issue(t, key, nil)
	for _, c := range []struct {
		name    string
		message func([]byte) []byte
		want    string
	}{
		{"RSA, one digest", handmade(t, cred, crypto.SHA256, rsaWithSHA256(), crypto.SHA256), "TOTAL_PASSED"},
		{"RSA, two digests", handmade(t, cred, crypto.SHA512, rsaWithSHA256(), crypto.SHA256), weakCrypto},
		{"Ed25519", handmade(t, edwards, crypto.SHA512, ed25519OID(), 0), "TOTAL_PASSED"},
		{"Ed25519 with another digest", handmade(t, edwards, crypto.SHA256, ed25519OID(), 0), weakCrypto},
	} {
		t.Run(c.name, func(t *testing.T) {
			signed := strange{filter: ordinaryFilter, subFilter: detached, message: c.message}.sign(t)
			judged(t, signed, trusted(), c.want)
			judged(t, signed, strangers(), noChain)
		})
	}
}

// TestUnverifiedAlgorithms: of a signature by an algorithm that exists and that is not
// verified here, it is asked first whose it would be, as of any other; what is no
// algorithm at all is not one (P-26).
func TestUnverifiedAlgorithms(t *testing.T) {
	cred := sharedCA().issue(t, sharedRSA(), nil)
	const unknown = "INDETERMINATE/CRYPTO_CONSTRAINTS_FAILURE_NO_POE"
	for _, c := range []struct {
		name, oid, nobody string
	}{
		{"DSA", "2.16.840.1.101.3.4.3.2", noChain},
		{"Ed448", "1.3.101.113", noChain},
		{"RSA over MD5", "1.2.840.113549.1.1.4", noChain},
		{"RSA over RIPEMD-160", "1.3.36.3.3.1.2", noChain},
		{"plain ECDSA", "0.4.0.127.0.7.1.1.4.1.3", noChain},
		{"a curve", "1.2.840.10045.3.1.7", unknown},
	} {
		t.Run(c.name, func(t *testing.T) {
			var b cryptobyte.Builder
			b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) { addName(t, b, cms.OID(c.oid)) })
			signed := strange{filter: ordinaryFilter, subFilter: detached, message: handmade(t, cred, crypto.SHA256, b.BytesOrPanic(), crypto.SHA256)}.sign(t)
			judged(t, signed, trusted(), unknown, "algorithm_unknown")
			judged(t, signed, strangers(), c.nobody, "algorithm_unknown")
		})
	}
}

// objection is a document whose signed bytes and value are right, and against which
// something speaks all the same.
type objection struct {
	name, code string
	file       []byte
}

func objections(t testing.TB) []objection {
	t.Helper()
	cred := sharedCA().issue(t, sharedRSA(), nil)
	message := handmade(t, cred, crypto.SHA256, rsaWithSHA256(), crypto.SHA256)
	plain := strange{filter: ordinaryFilter, subFilter: detached, message: message}
	signed := plain.sign(t)
	revised := func(objects map[int]string) []byte { return pdfs.Revise(signed, objects, 1) }
	page := pageObject + " /Annots [40 0 R] >>"
	certified := func(p int) []byte {
		s := plain
		s.entries = fmt.Sprintf("/Reference [<< /Type /SigRef /TransformMethod /DocMDP /TransformParams << /Type /TransformParams /P %d /V /1.2 >> >>]", p)
		return s.sign(t)
	}
	again := revised(nil)
	last := bytes.LastIndex(again, []byte("startxref\n"))
	twice := append(append(bytes.Clone(again[:last]), "5 0 obj\n<< /Length 2 >>\nstream\nBT\nendstream\nendobj\n"...), again[last:]...)
	var at int
	if _, err := fmt.Sscanf(string(again[last:]), "startxref\n%d", &at); err != nil {
		t.Fatal(err)
	}
	beside := fmt.Appendf(bytes.Clone(again[:last]), "startxref\n%d\n%%%%EOF\n", at-5)
	return []objection{
		{"unknown handler (P-18)", "sub_filter", strange{filter: "/Filter /Some.Handler", subFilter: detached, message: message}.sign(t)},
		{"no handler (P-18)", "sub_filter", strange{subFilter: detached, message: message}.sign(t)},
		{"unknown encoding (P-18)", "sub_filter", strange{filter: ordinaryFilter, subFilter: "/SubFilter /some.detached", message: message}.sign(t)},
		{"no encoding", "sub_filter", strange{filter: ordinaryFilter, message: message}.sign(t)},
		{"bytes behind the message (P-12)", "cms_format", strange{filter: ordinaryFilter, subFilter: detached, message: func(b []byte) []byte { return append(message(b), 1, 2, 3) }}.sign(t)},
		{"two fields share it (P-16)", "shared_signature", strange{filter: ordinaryFilter, subFilter: detached, message: message, twice: true}.sign(t)},
		{"annotation (P-30)", "annotations_added", revised(map[int]string{3: page, 40: "<< /Type /Annot /Subtype /Text /Rect [9 9 29 29] >>"})},
		{"annotation, none permitted (P-27)", "docmdp_violation", pdfs.Revise(certified(2), map[int]string{3: page, 40: "<< /Type /Annot /Subtype /Text /Rect [9 9 29 29] >>"}, 1)},
		{"annotation, nothing permitted (P-27)", "docmdp_violation", pdfs.Revise(certified(1), map[int]string{3: page, 40: "<< /Type /Annot /Subtype /Text /Rect [9 9 29 29] >>"}, 1)},
		{"data behind the end (P-59)", "changed_after_signing", append(bytes.Clone(signed), "% more\n"...)},
		{"second version of an object (P-14)", "ambiguous_structure", twice},
		{"table beside its offset (P-04)", "ambiguous_structure", beside},
	}
}

// TestObjectionsWaitForTheSigner looks at documents against which something speaks. Whoever knows the signer is told
// that they fail; whoever does not, that nobody knows whose they are, with the
// objection beside it (EN 319 102-1 5.3.4).
func TestObjectionsWaitForTheSigner(t *testing.T) {
	for _, c := range objections(t) {
		t.Run(c.name, func(t *testing.T) {
			judged(t, c.file, trusted(), failedFormat, c.code)
			judged(t, c.file, strangers(), noChain, c.code)
		})
	}
}

// damage is a document that fails whoever signed.
type damage struct {
	name string
	file []byte
	// warned tells that DSS's policy does no more than warn of it.
	warned bool
}

func damages(t testing.TB) []damage {
	t.Helper()
	cred := sharedCA().issue(t, sharedRSA(), nil)
	message := handmade(t, cred, crypto.SHA256, rsaWithSHA256(), crypto.SHA256)
	plain := strange{filter: ordinaryFilter, subFilter: detached, message: message}
	signed := plain.sign(t)
	revised := func(objects map[int]string) []byte { return pdfs.Revise(signed, objects, 1) }
	catalog := body(t, signed, 1)
	catalog = catalog[:len(catalog)-2]
	s := operate(t, signed)
	digits := string(signed[s.contentsAt:s.contentsE])
	return []damage{
		{"content", revised(map[int]string{5: "<< /Length 2 >>\nstream\nBT\nendstream"}), true},
		{"font", revised(map[int]string{4: "<< /Type /Font /Subtype /Type1 /BaseFont /Symbol >>"}), true},
		{"turned page", revised(map[int]string{3: pageObject + " /Rotate 90 >>"}), true},
		{"script", revised(map[int]string{1: catalog + "/OpenAction << /S /JavaScript /JS (x) >> >>"}), true},
		{"page added", revised(map[int]string{2: "<< /Type /Pages /Kids [3 0 R 40 0 R] /Count 2 >>", 40: pageObject + " >>"}), false},
		{"dictionary edited", revised(map[int]string{31: strings.Replace(body(t, signed, 31), "D:2026", "D:2020", 1)}), false},
		{"field renamed", revised(map[int]string{30: "<< /FT /Sig /T (other) /V 31 0 R >>"}), false},
		{"further field (P-16)", revised(map[int]string{32: "<< /Fields [30 0 R 41 0 R] /SigFlags 3 >>", 41: "<< /FT /Sig /T (again) /V 31 0 R >>"}), false},
		{"white space in the digits", s.withContents(digits[:101] + " " + digits[101:len(digits)-2] + ">"), false},
	}
}

// TestSomeChangesNeedNoSigner: what is shown, what acts, and what the signature itself
// is, fails whoever signed (P-01, P-03, P-05, P-12, P-32, P-36).
func TestSomeChangesNeedNoSigner(t *testing.T) {
	for _, c := range damages(t) {
		t.Run(c.name, func(t *testing.T) {
			judged(t, c.file, trusted(), failedFormat)
			judged(t, c.file, strangers(), failedFormat)
		})
	}
}

// TestDictionaryWrittenAgain: a later revision that repeats the dictionary as it was
// changes nothing, one that has another Contents in it does (P-05).
func TestDictionaryWrittenAgain(t *testing.T) {
	cred := sharedCA().issue(t, sharedRSA(), nil)
	signed := strange{filter: ordinaryFilter, subFilter: detached, message: handmade(t, cred, crypto.SHA256, rsaWithSHA256(), crypto.SHA256)}.sign(t)
	dict := body(t, signed, 31)
	judged(t, pdfs.Revise(signed, map[int]string{31: dict}, 1), trusted(), "TOTAL_PASSED")
	judged(t, pdfs.Revise(signed, map[int]string{31: strings.Replace(dict, "/Type /Sig", "/Type  /Sig", 1)}, 1), trusted(), "TOTAL_PASSED")
	other := strings.Replace(dict, "<30", "<3F", 1)
	judged(t, pdfs.Revise(signed, map[int]string{31: other}, 1), trusted(), failedFormat)
	judged(t, pdfs.Revise(signed, map[int]string{31: strings.Replace(dict, "/M (D:2026", "/M (D:2025", 1)}, 1), strangers(), failedFormat)
}

// TestWhatSignersSeeStays: the look of a signed field and the flags of the form are no
// business of later revisions (P-16, P-31).
func TestWhatSignersSeeStays(t *testing.T) {
	cred := sharedCA().issue(t, sharedRSA(), nil)
	signed := strange{filter: ordinaryFilter, subFilter: detached, message: handmade(t, cred, crypto.SHA256, rsaWithSHA256(), crypto.SHA256)}.sign(t)
	for name, objects := range map[string]map[int]string{
		"signed field dressed": {30: with(t, signed, 30, "/Rect [0 0 500 500] /AP << /N 40 0 R >>"), 40: "<< /Type /XObject /Subtype /Form /BBox [0 0 9 9] /Length 0 >>\nstream\n\nendstream"},
		"flag lost":            {32: "<< /Fields [30 0 R] /SigFlags 1 >>"},
	} {
		t.Run(name, func(t *testing.T) {
			judged(t, pdfs.Revise(signed, objects, 1), trusted(), "INDETERMINATE/SIG_CONSTRAINTS_FAILURE", "changes_unclassified")
		})
	}
}
