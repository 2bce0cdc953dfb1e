package validation_test

import (
	"archive/zip"
	"bytes"
	"compress/flate"
	"crypto/x509"
	"encoding/asn1"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/eidbridge/eidbridge/signing"
	"github.com/eidbridge/eidbridge/signing/cms"
)

// altered is a document that was made or changed by other hands.
type altered struct {
	name, form string
	document   []byte
	content    []byte // detached
	want       string
}

// workshop makes altered documents in one realm where all is right.
type workshop struct {
	t   testing.TB
	l   *lab
	r   *realm
	dir string
	all []altered
}

func (w *workshop) add(name, form string, document []byte, want string) {
	w.all = append(w.all, altered{name: name, form: form, document: document, want: want})
}

// strangers are the documents about which DSS says something else than we do, with
// the reason.
func strangers() map[string][2]string {
	const (
		unread = "DSS has no report on what it cannot read"
		packed = "a program that reads the container otherwise sees other files (EN 319 162-1 A.1)"
	)
	return map[string][2]string{
		"method unknown.xml":                                                 {"REFUSED", unread},
		"no references.xml":                                                  {"REFUSED", unread},
		"digest unknown.xml":                                                 {hashFailure, "the value does not verify either, since SignedInfo was changed"},
		"time-stamp of another.xml":                                          {"TOTAL_PASSED B-T", "a time-stamp of another signature makes no level (threats X-58)"},
		"properties not covered.xml":                                         {constraints, "properties that nothing covers may be anybody's (threats X-55)"},
		"certificate not named.xml":                                          {"TOTAL_PASSED", "DSS's default policy does without the reference of EN 319 132-1 5.2.2"},
		"certificate named with another's serial number.xml":                 {"TOTAL_PASSED B-B", "EN 319 102-1 5.2.3.4 asks for a warning; RFC 5035 5 demands that it matches"},
		"certificate named with a wrong digest.xml":                          {noSigner + " B-B", "no certificate is that of the signature"},
		"no signing time.xml":                                                {constraints, "DSS's default policy demands the time; it is a claim, and its absence costs the level"},
		"transform unknown.xml":                                              {hashFailure, "what is not done is not digested"},
		"stylesheet as transform.xml":                                        {hashFailure, "what is not done is not digested"},
		"openssl, PSS, another mask (P-26).p7m":                              {cryptoFails + "", "RFC 4055 3.1 recommends one digest for both; another one is not verified here"},
		"openssl, RSA, MD5 (P-26).p7m":                                       {weak + " B-B", "it is not verified at all"},
		"openssl, RSA, RIPEMD-160.p7m":                                       {weak + " B-B", "it is not verified at all"},
		"data behind.p7m":                                                    {passedB, "what stands behind is signed by nobody"},
		"another certificate in place of the signer's.p7m":                   {"REFUSED", unread},
		"text behind the end.pdf":                                            {passedB, "what stands behind is signed by nobody"},
		"openssl, P-192 (P-26).p7m":                                          {"INDETERMINATE/NO_CERTIFICATE_CHAIN_FOUND B-B", "the curve is not known here"},
		"another digest named (P-26).p7m":                                    {cryptoFails, "the digest that is named is the one that is compared"},
		"certificate of the same name and number first (P-20).p7m":           {noSigner + " B-B", "the digest chooses among them (EN 319 102-1 5.2.3.4), not the place"},
		"certificate of the same name and number only (P-20).p7m":            {noSigner + " B-B", "no certificate is that of the signature"},
		"unnamed, with a certificate of the same name and number (P-20).p7m": {"TOTAL_FAILED/SIG_CRYPTO_FAILURE", "nothing says which of the two it is"},
		"cut.pdf":                          {format + " B-B", "nothing says where the newest revision begins"},
		"gap begins earlier.pdf":           {format + " B-B", "the content of what has no shape is not looked at"},
		"gap ends later.pdf":               {format + " B-B", "the content of what has no shape is not looked at"},
		"range ends behind the file.pdf":   {format + " B-B", "the content of what has no shape is not looked at"},
		"LTA, content changed.pdf":         {"TOTAL_FAILED/HASH_FAILURE B-LTA", "no time-stamp is about what is there now (threats X-58)"},
		"LTA, cut to its signature.pdf":    {format + " B-T", "the content of what has no shape is not looked at"},
		"file renamed.asice":               {passedB, "a signature names its files (EN 319 162-1 4.4.3)"},
		"mimetype of something else.asice": {passedB, packed},
		"mimetype of something else.sce":   {passedB, packed},
		"mimetype of something else.scs":   {passedB, packed},
		"path upwards.asice":               {passedB, packed},
		"path upwards.sce":                 {passedB, packed},
		"path upwards.scs":                 {passedB, packed},
		"file twice.asice":                 {hashFailure, packed},
		"file twice.sce":                   {hashFailure, packed},
		"file twice.scs":                   {format + " B-B", packed},
		"signature empty.asice":            {"REFUSED", unread},
		"signature empty.sce":              {"REFUSED", unread},
		"signature empty.scs":              {"REFUSED", unread},
		"no manifest.sce":                  {format + " B-B", "the signature is about an unknown manifest"},
		"no signature.scs":                 {"REFUSED", unread},
	}
}

// once replaces the one occurrence.
func (w *workshop) once(s, from, to string) string {
	w.t.Helper()
	if n := strings.Count(s, from); n != 1 {
		w.t.Fatalf("%d times %q", n, from)
	}
	return strings.Replace(s, from, to, 1)
}

func (w *workshop) level(level signing.Baseline, form string) string {
	w.t.Helper()
	w.r.level = level
	defer func() { w.r.level = "" }()
	w.r.set(w.r.now)
	return string(w.l.signed(w.t, w.r, form))
}

// flip changes one character of a Base64 text after a mark.
func (w *workshop) flip(s, mark string) string {
	w.t.Helper()
	at := regexp.MustCompile(mark).FindStringIndex(s)
	if at == nil {
		w.t.Fatalf("no %s", mark)
	}
	i := at[1] + 8
	c := byte('A')
	if s[i] == 'A' {
		c = 'B'
	}
	return s[:i] + string(c) + s[i+1:]
}

func (w *workshop) run(stdin []byte, name string, args ...string) []byte {
	w.t.Helper()
	c := exec.Command(name, args...)
	c.Stdin = bytes.NewReader(stdin)
	var problems strings.Builder
	c.Stderr = &problems
	out, err := c.Output()
	if err != nil {
		w.t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, &problems)
	}
	return out
}

func (w *workshop) file(name string, content []byte) string {
	w.t.Helper()
	path := filepath.Join(w.dir, name)
	if err := os.WriteFile(path, content, 0o600); err != nil {
		w.t.Fatal(err)
	}
	return path
}

func (w *workshop) keyFile(p party, name string) (key, certificate string) {
	w.t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(p.key)
	if err != nil {
		w.t.Fatal(err)
	}
	key = w.file(name+".key", pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
	return key, w.file(name+".pem", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: p.certificate.Raw}))
}

// seal has xmlsec1 compute all digests and the value of a signature anew, with the
// signer's key.
func (w *workshop) seal(document string) string {
	w.t.Helper()
	document = regexp.MustCompile(`(?s)(<ds:SignedInfo.*</ds:SignedInfo>)`).ReplaceAllStringFunc(document, func(info string) string {
		return regexp.MustCompile(`<ds:DigestValue>[^<]*</ds:DigestValue>`).ReplaceAllString(info, "<ds:DigestValue/>")
	})
	document = regexp.MustCompile(`(<ds:SignatureValue[^>]*>)[^<]*`).ReplaceAllString(document, "$1")
	key, _ := w.keyFile(w.r.signer, "signer")
	in := w.file("template.xml", []byte(document))
	return string(w.run(nil, "xmlsec1", "--sign", "--privkey-pem", key, "--id-attr:Id", "http://uri.etsi.org/01903/v1.3.2#:SignedProperties",
		"--id-attr:Id", "http://www.w3.org/2000/09/xmldsig#:Object", "--id-attr:Id", "http://www.w3.org/2000/09/xmldsig#:KeyInfo", "--id-attr:Id", "part", in))
}

const (
	passedB     = "TOTAL_PASSED B-B"
	hashFailure = "TOTAL_FAILED/HASH_FAILURE B-B"
	cryptoFails = "TOTAL_FAILED/SIG_CRYPTO_FAILURE B-B"
	format      = "TOTAL_FAILED/FORMAT_FAILURE"
	noSigner    = "INDETERMINATE/NO_SIGNING_CERTIFICATE_FOUND"
	notFound    = "INDETERMINATE/SIGNED_DATA_NOT_FOUND B-B"
	constraints = "INDETERMINATE/SIG_CONSTRAINTS_FAILURE"
	weak        = "INDETERMINATE/CRYPTO_CONSTRAINTS_FAILURE_NO_POE"
)

// xml makes XAdES signatures that were changed, some of them signed again.
func (w *workshop) xml() {
	whole := w.level("", ".xml")
	stamped := w.level(signing.BaselineT, ".xml")
	add := func(name, document, want string) { w.add(name, ".xml", []byte(document), want) }
	add("content changed", w.once(whole, "Good morning", "Good evening"), hashFailure)
	add("blank in the content", w.once(whole, "Good morning", "Good  morning"), hashFailure)
	add("comment in the content", w.once(whole, "Good morning", "Good <!-- -->morning"), passedB)
	add("CDATA in the content", w.once(whole, "Good morning", "<![CDATA[Good]]> morning"), passedB)
	add("value changed", w.flip(whole, `<ds:SignatureValue[^>]*>`), cryptoFails)
	add("digest changed", w.flip(whole, `<ds:DigestValue>`), hashFailure)
	add("property changed", regexp.MustCompile(`<xades:SigningTime>20`).ReplaceAllString(whole, "<xades:SigningTime>19"), hashFailure)
	add("line breaks in the value", regexp.MustCompile(`(<ds:SignatureValue[^>]*>[^<]{20})`).ReplaceAllString(whole, "$1\n  "), passedB)
	add("blank in SignedInfo", w.once(whole, "<ds:SignedInfo>", "<ds:SignedInfo> "), cryptoFails)
	keyInfo := regexp.MustCompile(`(?s)<ds:KeyInfo[^>]*>.*</ds:KeyInfo>`)
	add("no KeyInfo", keyInfo.ReplaceAllString(whole, ""), noSigner)
	certificates := regexp.MustCompile(`<ds:X509Certificate>[^<]*</ds:X509Certificate>`).FindAllString(whole, -1)
	swapped := strings.Replace(whole, certificates[0], "@", 1)
	swapped = strings.Replace(swapped, certificates[1], certificates[0], 1)
	add("issuer's certificate first", strings.Replace(swapped, "@", certificates[1], 1), passedB)
	decoy := "<ds:X509Certificate>" + base64.StdEncoding.EncodeToString(w.r.responder.certificate.Raw) + "</ds:X509Certificate>"
	add("another certificate first", strings.Replace(whole, certificates[0], decoy+certificates[0], 1), passedB)
	add("another certificate only", keyInfo.ReplaceAllString(whole, "<ds:KeyInfo><ds:X509Data>"+decoy+"</ds:X509Data></ds:KeyInfo>"), noSigner)
	add("method unknown", w.once(whole, "xmldsig-more#ecdsa-sha256", "xmldsig-more#ecdsa-sha999"), "INDETERMINATE/CRYPTO_CONSTRAINTS_FAILURE_NO_POE")
	add("method of another key", w.once(whole, "xmldsig-more#ecdsa-sha256", "xmldsig-more#rsa-sha256"), cryptoFails)
	add("digest unknown", strings.Replace(whole, "xmlenc#sha256", "xmlenc#sha999", 1), cryptoFails)
	add("no references", regexp.MustCompile(`(?s)<ds:Reference.*</ds:Reference>`).ReplaceAllString(whole, ""), format)
	add("time-stamp of another", regexp.MustCompile(`<xades:EncapsulatedTimeStamp[^<]*`).ReplaceAllLiteralString(stamped,
		regexp.MustCompile(`<xades:EncapsulatedTimeStamp[^<]*`).FindString(w.level(signing.BaselineT, ".xml"))), passedB)
	add("no well-formed XML", whole[:len(whole)-9], "REFUSED")
	add("document type", w.once(whole, "<letter", "<!DOCTYPE letter [<!ENTITY x 'y'>]><letter"), "REFUSED")
	add("wrapped", w.once(w.once(whole, "<letter xmlns", "<letter2><letter xmlns"), "</letter>", "</letter></letter2>"), hashFailure)
	add("element after the signature", w.once(whole, "</letter>", "<more/></letter>"), hashFailure)

	seal := func(name, document, want string) { add(name, w.seal(document), want) }
	seal("sealed", whole, passedB)
	one := regexp.MustCompile(`(?s)<ds:Reference[^>]*SignedProperties.*?</ds:Reference>`).FindString(whole)
	seal("properties not covered", strings.Replace(whole, one, "", 1), format)
	object := regexp.MustCompile(`(?s)<ds:Object>.*</ds:Object>`).FindString(whole)
	seal("plain XML signature", strings.Replace(strings.Replace(whole, one, "", 1), object, "", 1), constraints)
	named := regexp.MustCompile(`(?s)<xades:SigningCertificateV2>.*</xades:SigningCertificateV2>`).FindString(whole)
	seal("certificate not named", strings.Replace(whole, named, "", 1), constraints)
	seal("certificate named with a wrong digest", strings.Replace(whole, named, w.flip(named, `<ds:DigestValue>`), 1), noSigner)
	serial := regexp.MustCompile(`<xades:IssuerSerialV2>[^<]*</xades:IssuerSerialV2>`)
	wrongSerial := "<xades:IssuerSerialV2>" + base64.StdEncoding.EncodeToString(issuerSerial(w.t, w.r.responder.certificate)) + "</xades:IssuerSerialV2>"
	if serial.MatchString(named) {
		seal("certificate named with another's serial number", serial.ReplaceAllLiteralString(whole, wrongSerial), constraints)
		seal("certificate named without a serial number", serial.ReplaceAllLiteralString(whole, ""), passedB)
	} else {
		seal("certificate named with another's serial number", w.once(whole, "</xades:CertDigest>", "</xades:CertDigest>"+wrongSerial), constraints)
	}
	seal("no signing time", regexp.MustCompile(`<xades:SigningTime>[^<]*</xades:SigningTime>`).ReplaceAllString(whole, ""), "TOTAL_PASSED")
	seal("no type of the data", regexp.MustCompile(`(?s)<xades:SignedDataObjectProperties>.*</xades:SignedDataObjectProperties>`).ReplaceAllString(whole, ""), "TOTAL_PASSED")
	seal("SHA-1 digest", strings.Replace(whole, "http://www.w3.org/2001/04/xmlenc#sha256", "http://www.w3.org/2000/09/xmldsig#sha1", 1), weak+" B-B")
	seal("SHA-1 value", w.once(whole, "xmldsig-more#ecdsa-sha256", "xmldsig-more#ecdsa-sha1"), weak+" B-B")
	seal("SHA-512 digest", strings.Replace(whole, "http://www.w3.org/2001/04/xmlenc#sha256", "http://www.w3.org/2001/04/xmlenc#sha512", 1), passedB)
	seal("SHA-224 digest", strings.Replace(whole, "http://www.w3.org/2001/04/xmlenc#sha256", "http://www.w3.org/2001/04/xmldsig-more#sha224", 1), passedB)
	exclusive := "http://www.w3.org/2001/10/xml-exc-c14n#"
	for name, uri := range map[string]string{
		"inclusive": "http://www.w3.org/TR/2001/REC-xml-c14n-20010315", "1.1": "http://www.w3.org/2006/12/xml-c14n11",
		"with comments": exclusive + "WithComments", "inclusive with comments": "http://www.w3.org/TR/2001/REC-xml-c14n-20010315#WithComments",
		"1.1 with comments": "http://www.w3.org/2006/12/xml-c14n11#WithComments",
	} {
		seal("canonical form "+name, strings.ReplaceAll(whole, `"`+exclusive+`"`, `"`+uri+`"`), passedB)
	}
	unstated := regexp.MustCompile(`<ds:Transform Algorithm="`+exclusive+`"( ?/>|></ds:Transform>)`).ReplaceAllString(whole, "")
	seal("canonical form unstated", w.once(unstated, "<ds:Transforms></ds:Transforms>", ""), passedB)
	add("transform unknown", strings.Replace(whole, "http://www.w3.org/2000/09/xmldsig#enveloped-signature", "http://www.w3.org/2000/09/xmldsig#unknown", 1), format+" B-B")
	add("stylesheet as transform", strings.Replace(whole, "http://www.w3.org/2000/09/xmldsig#enveloped-signature", "http://www.w3.org/TR/1999/REC-xslt-19991116", 1), format+" B-B")
}

func issuerSerial(t testing.TB, c *x509.Certificate) []byte {
	t.Helper()
	name := asn1.RawValue{Class: 2, Tag: 4, IsCompound: true, Bytes: c.RawIssuer}
	raw, err := asn1.Marshal(struct {
		Names  []asn1.RawValue
		Serial any
	}{[]asn1.RawValue{name}, c.SerialNumber})
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// cms makes signatures with openssl, and changes some.
func (w *workshop) cms() {
	key, certificate := w.keyFile(w.r.signer, "signer")
	issuer := w.file("issuer.pem", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: w.r.issuer.certificate.Raw}))
	second := w.l.issue(w.t, "second signer", &w.r.between, 2048, x509.Certificate{KeyUsage: x509.KeyUsageContentCommitment},
		func(c *x509.Certificate, _ time.Time) { c.OCSPServer = []string{w.r.address + "/ocsp"} })
	rsaKey, rsaCertificate := w.keyFile(second, "second")
	content := w.file("content.txt", []byte(letter))
	sign := func(args ...string) []byte {
		base := []string{"cms", "-sign", "-binary", "-in", content, "-outform", "DER", "-certfile", issuer}
		return w.run(nil, "openssl", append(base, args...)...)
	}
	ec := []string{"-signer", certificate, "-inkey", key, "-nodetach"}
	rsaArgs := []string{"-signer", rsaCertificate, "-inkey", rsaKey, "-nodetach"}
	with := func(base []string, more ...string) []byte { return sign(append(slices.Clone(base), more...)...) }
	add := func(name string, document []byte, want string) { w.add(name, ".p7m", document, want) }
	plain := with(ec, "-cades")
	add("openssl", plain, passedB)
	add("openssl, without reference to the certificate", with(ec), "TOTAL_PASSED")
	add("openssl, no attributes", with(ec, "-noattr"), constraints)
	add("openssl, no certificates", with(ec, "-cades", "-nocerts"), noSigner)
	add("openssl, key identifier", with(ec, "-cades", "-keyid"), passedB)
	add("openssl, SHA-1 (P-26)", with(ec, "-cades", "-md", "sha1"), weak+" B-B")
	add("openssl, SHA-224", with(ec, "-cades", "-md", "sha224"), passedB)
	add("openssl, SHA-384", with(ec, "-cades", "-md", "sha384"), passedB)
	add("openssl, SHA-512", with(ec, "-cades", "-md", "sha512"), passedB)
	add("openssl, RSA", with(rsaArgs, "-cades"), passedB)
	add("openssl, PSS", with(rsaArgs, "-cades", "-keyopt", "rsa_padding_mode:pss"), passedB)
	add("openssl, PSS, long salt", with(rsaArgs, "-cades", "-keyopt", "rsa_padding_mode:pss", "-keyopt", "rsa_pss_saltlen:max"), passedB)
	add("openssl, PSS, no salt", with(rsaArgs, "-cades", "-keyopt", "rsa_padding_mode:pss", "-keyopt", "rsa_pss_saltlen:0"), passedB)
	add("openssl, PSS, another mask (P-26)", with(rsaArgs, "-cades", "-keyopt", "rsa_padding_mode:pss", "-keyopt", "rsa_mgf1_md:sha512"), weak)
	add("openssl, RSA, MD5 (P-26)", with(rsaArgs, "-cades", "-md", "md5"), weak)
	add("openssl, RSA, RIPEMD-160", with(rsaArgs, "-cades", "-md", "rmd160"), weak)
	short := w.l.issue(w.t, "signer with a short key", &w.r.between, 1024, x509.Certificate{KeyUsage: x509.KeyUsageContentCommitment},
		func(c *x509.Certificate, _ time.Time) { c.OCSPServer = []string{w.r.address + "/ocsp"} })
	shortKey, shortCertificate := w.keyFile(short, "short")
	add("openssl, RSA-1024 (P-26)", with([]string{"-signer", shortCertificate, "-inkey", shortKey, "-nodetach"}, "-cades"), weak+" B-B")
	old := w.dir + "/old"
	w.run(nil, "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime192v1", "-nodes", "-keyout", old+".key", "-out", old+".pem", "-subj", "/CN=old curve")
	add("openssl, P-192 (P-26)", with([]string{"-signer", old + ".pem", "-inkey", old + ".key", "-nodetach"}, "-cades"), weak+" B-B")
	two := append(slices.Clone(ec), "-cades", "-signer", rsaCertificate, "-inkey", rsaKey)
	add("openssl, two signers", sign(two...), "TOTAL_PASSED B-B; TOTAL_PASSED B-B")
	add("openssl, indefinite lengths", with(ec, "-cades", "-indef", "-stream"), passedB)

	changed := bytes.Replace(plain, []byte("Good morning"), []byte("Good evening"), 1)
	add("content changed", changed, hashFailure)
	damaged := slices.Clone(plain)
	damaged[len(damaged)-3] ^= 1
	add("value changed", damaged, cryptoFails)
	// The digest that SignerInfo names is another than the one that was used.
	sha256OID, sha512OID := []byte{0x06, 9, 0x60, 0x86, 0x48, 1, 0x65, 3, 4, 2, 1}, []byte{0x06, 9, 0x60, 0x86, 0x48, 1, 0x65, 3, 4, 2, 3}
	named := slices.Clone(plain)
	copy(named[bytes.LastIndex(named, sha256OID):], sha512OID)
	add("another digest named (P-26)", named, hashFailure)
	twin := w.twin()
	add("certificate of the same name and number first (P-20)", w.withCertificates(plain, twin, w.r.signer.certificate.Raw), passedB)
	add("certificate of the same name and number only (P-20)", w.withCertificates(plain, twin), noSigner)
	add("unnamed, with a certificate of the same name and number (P-20)", w.withCertificates(with(ec), twin, w.r.signer.certificate.Raw), noSigner)
	add("certificate of somebody else first (P-21)", w.withCertificates(plain, w.r.responder.certificate.Raw, w.r.signer.certificate.Raw), passedB)
	add("cut", plain[:len(plain)-40], "REFUSED")
	add("data behind", append(slices.Clone(plain), 0), "REFUSED")
	detached := w.run(nil, "openssl", "cms", "-sign", "-binary", "-in", content, "-outform", "DER", "-certfile", issuer, "-signer", certificate, "-inkey", key, "-cades")
	w.all = append(w.all,
		altered{name: "detached", form: ".p7s", document: detached, content: []byte(letter), want: passedB},
		altered{name: "detached from something else", form: ".p7s", document: detached, content: []byte("else"), want: hashFailure},
		altered{name: "detached from nothing", form: ".p7s", document: detached, want: notFound},
	)
	add("another certificate in place of the signer's", replaceAll(plain, w.r.signer.certificate.Raw, w.r.responder.certificate.Raw), noSigner)
}

// twin is a certificate with issuer and serial number of the signer's and another key.
func (w *workshop) twin() []byte {
	w.t.Helper()
	number := func(c *x509.Certificate, _ time.Time) { c.SerialNumber = w.r.signer.certificate.SerialNumber }
	return w.l.issue(w.t, "twin", &w.r.between, 0, x509.Certificate{KeyUsage: x509.KeyUsageContentCommitment}, number).certificate.Raw
}

// withCertificates has a message carry these certificates in this order.
func (w *workshop) withCertificates(message []byte, certificates ...[]byte) []byte {
	w.t.Helper()
	d, err := cms.Parse(message)
	if err != nil {
		w.t.Fatal(err)
	}
	d.Certificates = certificates
	out, err := d.Append(nil)
	if err != nil {
		w.t.Fatal(err)
	}
	return out
}

// replaceAll replaces where lengths agree, and gives the document unchanged where
// they do not.
func replaceAll(document, from, to []byte) []byte {
	if len(from) != len(to) {
		// Certificates of one shape differ by the length of their signatures.
		n := len(from)
		padded := slices.Clone(from)
		copy(padded[n/2:], bytes.Repeat([]byte{0x55}, 8))
		to = padded
	}
	return bytes.ReplaceAll(document, from, to)
}

// pdf makes changes to signed PDFs.
func (w *workshop) pdf() {
	whole := []byte(w.level("", ".pdf"))
	lta := []byte(w.level(signing.BaselineLTA, ".pdf"))
	add := func(name string, document []byte, want string) { w.add(name, ".pdf", document, want) }
	at := bytes.Index(whole, []byte("stream"))
	flipped := slices.Clone(whole)
	flipped[at+12] ^= 1
	add("content changed", flipped, hashFailure)
	contents := bytes.Index(whole, []byte("/Contents <")) + len("/Contents <")
	value := slices.Clone(whole)
	last := contents + bytes.IndexByte(whole[contents:], '>')
	for last--; value[last] == '0'; last-- {
	}
	value[last] = '0'
	value[last-1] = '1'
	add("value changed", value, cryptoFails)
	add("text behind the end", append(slices.Clone(whole), "\n% more\n"...), format+" B-B")
	add("zeros behind the end", append(slices.Clone(whole), make([]byte, 100)...), passedB)
	add("cut", whole[:len(whole)-20], format)
	numbers := regexp.MustCompile(`/ByteRange \[ ?0 (\d+) (\d+) (\d+)`)
	shift := func(first, second, third int) []byte {
		return numbers.ReplaceAllFunc(slices.Clone(whole), func(b []byte) []byte {
			var n [3]int
			m := numbers.FindSubmatch(b)
			for i := range n {
				_, _ = fmt.Sscan(string(m[i+1]), &n[i])
			}
			made := fmt.Appendf(nil, "/ByteRange [0 %d %d %d", n[0]+first, n[1]+second, n[2]+third)
			return append(made, bytes.Repeat([]byte(" "), max(0, len(b)-len(made)))...)
		})
	}
	add("gap begins earlier", shift(-8, 0, 0), format)
	add("gap ends later", shift(0, 8, -8), format)
	add("range ends earlier", shift(0, 0, -8), format+" B-B")
	add("range ends behind the file", shift(0, 0, 8), format)
	add("LTA, content changed", bytes.Replace(lta, []byte("Tf"), []byte("tf"), 1), hashFailure)
	add("LTA, cut to its signature", lta[:endOfRevision(lta, 1)], format)
	add("LTA, last time-stamp cut off", lta[:endOfRevision(lta, 2)], "TOTAL_PASSED B-LT")
}

// endOfRevision finds the end of a revision of a PDF, counted from 0.
func endOfRevision(document []byte, n int) int {
	at := 0
	for range n + 1 {
		next := bytes.Index(document[at:], []byte("%%EOF"))
		if next < 0 {
			return len(document)
		}
		at += next + 5
	}
	return at
}

// entry is a file of a container.
type entry struct {
	name   string
	data   []byte
	stored bool
}

func (w *workshop) unzip(raw []byte) []entry {
	w.t.Helper()
	z, err := zip.NewReader(bytes.NewReader(raw), int64(len(raw)))
	if err != nil {
		w.t.Fatal(err)
	}
	var all []entry
	for _, f := range z.File {
		r, err := f.Open()
		if err != nil {
			w.t.Fatal(err)
		}
		data, err := io.ReadAll(r)
		if err != nil {
			w.t.Fatal(err)
		}
		all = append(all, entry{f.Name, data, f.Method == zip.Store})
	}
	return all
}

func (w *workshop) zip(all []entry) []byte {
	w.t.Helper()
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	for _, e := range all {
		// As other programs do it: without a data descriptor.
		h := &zip.FileHeader{Name: e.name, CRC32: crc32.ChecksumIEEE(e.data), UncompressedSize64: uint64(len(e.data))}
		data := e.data
		if !e.stored {
			h.Method = zip.Deflate
			data = deflated(w.t, e.data)
		}
		h.CompressedSize64 = uint64(len(data))
		f, err := z.CreateRaw(h)
		if err == nil {
			_, err = f.Write(data)
		}
		if err != nil {
			w.t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		w.t.Fatal(err)
	}
	return b.Bytes()
}

func pick(form string, of map[string]string, otherwise string) string {
	if v, ok := of[form]; ok {
		return v
	}
	return otherwise
}

func deflated(t testing.TB, data []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	z, err := flate.NewWriter(&b, flate.DefaultCompression)
	if err == nil {
		_, err = z.Write(data)
	}
	if err == nil {
		err = z.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// containers makes changes to the three kinds.
func (w *workshop) containers() {
	for _, form := range []string{".asice", ".sce", ".scs"} {
		whole := []byte(w.level("", form))
		change := func(edit func([]entry) []entry) []byte { return w.zip(edit(w.unzip(whole))) }
		add := func(name, want string, edit func([]entry) []entry) { w.add(name, form, change(edit), want) }
		each := func(name string, f func(*entry)) func([]entry) []entry {
			return func(all []entry) []entry {
				for i := range all {
					if all[i].name == name {
						f(&all[i])
					}
				}
				return all
			}
		}
		without := func(name string) func([]entry) []entry {
			return func(all []entry) []entry {
				return slices.DeleteFunc(all, func(e entry) bool { return e.name == name })
			}
		}
		add("packed again", passedB, func(all []entry) []entry { return all })
		add("file changed", hashFailure, each("letter.xml", func(e *entry) { e.data = append(e.data, ' ') }))
		add("file renamed", pick(form, map[string]string{".scs": passedB}, notFound), each("letter.xml", func(e *entry) { e.name = "other.xml" }))
		add("file removed", pick(form, map[string]string{".scs": format + " B-B"}, notFound), without("letter.xml"))
		add("file added", pick(form, map[string]string{".scs": format + " B-B"}, passedB), func(all []entry) []entry { return append(all, entry{"extra.txt", []byte("extra"), false}) })
		add("no mimetype", passedB, without("mimetype"))
		add("mimetype last", passedB, func(all []entry) []entry { return append(all[1:], all[0]) })
		add("mimetype packed", passedB, each("mimetype", func(e *entry) { e.stored = false }))
		add("mimetype with a line end", passedB, each("mimetype", func(e *entry) { e.data = append(e.data, '\n') }))
		add("mimetype of something else", "REFUSED", each("mimetype", func(e *entry) { e.data = []byte("application/zip") }))
		add("no signature", "NO_SIGNATURE", func(all []entry) []entry {
			return slices.DeleteFunc(all, func(e entry) bool { return strings.Contains(e.name, "signature") })
		})
		add("no manifest", pick(form, map[string]string{".asice": format + " B-B", ".sce": format}, passedB), func(all []entry) []entry {
			return slices.DeleteFunc(all, func(e entry) bool { return strings.Contains(strings.ToLower(e.name), "manifest") })
		})
		add("manifest changed", pick(form, map[string]string{".sce": hashFailure}, passedB), func(all []entry) []entry {
			for i := range all {
				if strings.Contains(strings.ToLower(all[i].name), "manifest") {
					all[i].data = append(all[i].data, '\n')
				}
			}
			return all
		})
		add("signature empty", format, func(all []entry) []entry {
			for i := range all {
				if strings.Contains(all[i].name, "signature") {
					all[i].data = nil
				}
			}
			return all
		})
		add("path upwards", "REFUSED", func(all []entry) []entry { return append(all, entry{"../extra.txt", []byte("extra"), false}) })
		add("file twice", "REFUSED", func(all []entry) []entry { return append(all, entry{"letter.xml", []byte("extra"), false}) })
	}
}

func (l *lab) workshop(t testing.TB, dir string) []*generated {
	t.Helper()
	identified := func(c *x509.Certificate, _ time.Time) { c.SubjectKeyId = []byte("a key of the lab") }
	w := &workshop{t: t, l: l, r: l.newRealm(t, situation{name: "workshop", signer: identified}), dir: dir}
	w.xml()
	w.cms()
	w.pdf()
	w.containers()
	var all []*generated
	for i, a := range w.all {
		g := &generated{name: a.name + a.form, form: a.form, realm: w.r, want: a.want}
		if other, ok := strangers()[g.name]; ok {
			g.dss, g.why = other[0], other[1]
		}
		g.path = write(t, dir, i, a.form, a.document)
		var content signing.Content
		if a.content != nil {
			content = bytesContent(a.content)
			g.content = write(t, dir, i, ".content", a.content)
		}
		report, err := verify(a.form, a.document, content, l.online(w.r))
		g.ours = words(report, err)
		if err != nil {
			g.ours, g.findings = "REFUSED", []string{err.Error()}
		}
		if report != nil {
			for _, s := range report.Signatures {
				for _, f := range s.Findings {
					g.findings = append(g.findings, f.Text)
				}
			}
		}
		all = append(all, g)
	}
	return all
}

func TestAlteredDocuments(t *testing.T) {
	l := newLab(t)
	for _, g := range l.workshop(t, t.TempDir()) {
		if g.ours != g.want {
			t.Errorf("%s: %s, want %s: %q", g.name, g.ours, g.want, g.findings)
		}
	}
}
