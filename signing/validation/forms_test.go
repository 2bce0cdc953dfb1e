package validation_test

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"os/exec"
	"regexp"
	"slices"
	"strings"

	"github.com/eidbridge/eidbridge/signing/xmldsig"
)

// Names of XML Signature and XAdES.
const (
	dsig      = "http://www.w3.org/2000/09/xmldsig#"
	exclusive = "http://www.w3.org/2001/10/xml-exc-c14n#"
	inclusive = "http://www.w3.org/TR/2001/REC-xml-c14n-20010315"
	xades132  = "http://uri.etsi.org/01903/v1.3.2#"
	enveloped = dsig + "enveloped-signature"
)

// form is an XML signature that is written by hand, to be sealed by xmlsec1.
type form struct {
	method, c14n string
	references   []string
	keyInfo      string // content of ds:KeyInfo; "-" leaves it out
	properties   string // content of SignedSignatureProperties
	data         string // content of SignedDataObjectProperties
	unsigned     string // content of UnsignedSignatureProperties
	objects      string // further ds:Object
	space        string // namespace of XAdES; "-" for a plain XML signature
	id           string
	bare         bool // no reference to SignedProperties
	propertyType string
	target       string
}

func transform(algorithm string) string { return `<ds:Transform Algorithm="` + algorithm + `"/>` }

// reference is a ds:Reference; attributes come as they are written.
func reference(attributes string, transforms ...string) string {
	list := ""
	if len(transforms) > 0 {
		list = "<ds:Transforms>" + strings.Join(transforms, "") + "</ds:Transforms>"
	}
	return `<ds:Reference ` + attributes + `>` + list + `<ds:DigestMethod Algorithm="http://www.w3.org/2001/04/xmlenc#sha256"/><ds:DigestValue/></ds:Reference>`
}

// newForm is a signature of the realm's signer.
func (w *workshop) newForm(references ...string) form {
	return form{
		method: "http://www.w3.org/2001/04/xmldsig-more#ecdsa-sha256", c14n: exclusive, references: references, space: xades132, id: "s",
		keyInfo: w.x509Data(w.r.signer.certificate.Raw, w.r.issuer.certificate.Raw), properties: signedAt + w.named(), propertyType: "http://uri.etsi.org/01903#SignedProperties", target: "#s",
		data: `<xades:DataObjectFormat ObjectReference="#r1"><xades:MimeType>text/xml</xades:MimeType></xades:DataObjectFormat>`,
	}
}

const signedAt = `<xades:SigningTime>2026-01-02T03:04:05Z</xades:SigningTime>`

func (w *workshop) x509Data(certificates ...[]byte) string {
	text := "<ds:X509Data>"
	for _, c := range certificates {
		text += "<ds:X509Certificate>" + base64.StdEncoding.EncodeToString(c) + "</ds:X509Certificate>"
	}
	return text + "</ds:X509Data>"
}

// certDigest is a Cert about the certificate of a party.
func certDigest(raw []byte, more string) string {
	sum := sha256.Sum256(raw)
	return `<xades:Cert><xades:CertDigest><ds:DigestMethod Algorithm="http://www.w3.org/2001/04/xmlenc#sha256"/><ds:DigestValue>` + base64.StdEncoding.EncodeToString(sum[:]) + `</ds:DigestValue></xades:CertDigest>` + more + `</xades:Cert>`
}

// named is SigningCertificateV2 about the signer.
func (w *workshop) named() string {
	return "<xades:SigningCertificateV2>" + certDigest(w.r.signer.certificate.Raw, "") + "</xades:SigningCertificateV2>"
}

// namedV1 is SigningCertificate about the signer.
func (w *workshop) namedV1(digestURI string, issuer, serial string) string {
	sum := sha1.Sum(w.r.signer.certificate.Raw)
	return `<xades:SigningCertificate><xades:Cert><xades:CertDigest><ds:DigestMethod Algorithm="` + digestURI + `"/><ds:DigestValue>` + base64.StdEncoding.EncodeToString(sum[:]) +
		`</ds:DigestValue></xades:CertDigest><xades:IssuerSerial><ds:X509IssuerName>` + issuer + `</ds:X509IssuerName><ds:X509SerialNumber>` + serial + `</ds:X509SerialNumber></xades:IssuerSerial></xades:Cert></xades:SigningCertificate>`
}

// text writes the ds:Signature, with digests and value empty.
func (f form) text() string {
	var b strings.Builder
	id := ""
	if f.id != "" {
		id = ` Id="` + f.id + `"`
	}
	references := strings.Join(f.references, "")
	if f.space != "-" && !f.bare {
		references += reference(`Type="`+f.propertyType+`" URI="#`+f.id+`p"`, transform(exclusive))
	}
	method := `<ds:SignatureMethod Algorithm="` + f.method + `"/>`
	if strings.HasPrefix(f.method, "<") {
		method = f.method
	}
	fmt.Fprintf(&b, `<ds:Signature xmlns:ds="%s"%s><ds:SignedInfo><ds:CanonicalizationMethod Algorithm="%s"/>%s%s</ds:SignedInfo><ds:SignatureValue Id="%sv"></ds:SignatureValue>`, dsig, id, f.c14n, method, references, f.id)
	if f.keyInfo != "-" {
		fmt.Fprintf(&b, `<ds:KeyInfo Id="%sk">%s</ds:KeyInfo>`, f.id, f.keyInfo)
	}
	if f.space != "-" {
		unsigned, data := "", ""
		if f.unsigned != "" {
			unsigned = "<xades:UnsignedProperties><xades:UnsignedSignatureProperties>" + f.unsigned + "</xades:UnsignedSignatureProperties></xades:UnsignedProperties>"
		}
		if f.data != "" {
			data = "<xades:SignedDataObjectProperties>" + f.data + "</xades:SignedDataObjectProperties>"
		}
		fmt.Fprintf(&b, `<ds:Object><xades:QualifyingProperties xmlns:xades="%s" Target="%s"><xades:SignedProperties Id="%sp"><xades:SignedSignatureProperties>%s</xades:SignedSignatureProperties>%s</xades:SignedProperties>%s</xades:QualifyingProperties></ds:Object>`,
			f.space, f.target, f.id, f.properties, data, unsigned)
	}
	return b.String() + f.objects + "</ds:Signature>"
}

// sealed has xmlsec1 compute digests and value of a document, or our own code where
// xmlsec1 does not follow a reference.
func (w *workshop) sealed(document string) string {
	w.t.Helper()
	key, _ := w.keyFile(w.r.signer, "signer")
	args := []string{"--sign", "--privkey-pem", key, "--enabled-reference-uris", "empty,same-doc,local"}
	for _, name := range []string{
		dsig + ":Object", dsig + ":KeyInfo", dsig + ":Manifest", dsig + ":SignatureValue", dsig + ":Signature", dsig + ":SignatureProperties", dsig + ":SignatureProperty",
		xades132 + ":SignedProperties", "http://uri.etsi.org/01903/v1.2.2#:SignedProperties", "http://uri.etsi.org/01903/v1.1.1#:SignedProperties", "urn:lab:letter:part", "urn:lab:letter:letter",
	} {
		args = append(args, "--id-attr:Id", name)
	}
	out, err := exec.Command("xmlsec1", append(args, w.file("template.xml", []byte(document)))...).Output()
	if err != nil {
		return w.goSeal(document) // it has what xmlsec1 does not do
	}
	return string(out)
}

// inLetter puts a signature into a letter whose text has an identifier.
func inLetter(signature string) string {
	return `<?xml version="1.0" encoding="UTF-8"?>` + "\n" + `<letter xmlns="urn:lab:letter" Id="whole"><part Id="part">Good morning.</part>` + signature + `</letter>`
}

// goSeal makes digests and value of the first signature of a document right with our
// own code, as far as its references can be followed.
func (w *workshop) goSeal(document string) string {
	w.t.Helper()
	open := func() (*xmldsig.Document, *xmldsig.Signature) {
		d, err := xmldsig.Open(context.Background(), strings.NewReader(document), int64(len(document)), xmldsig.Options{XPointer: true})
		if err != nil || len(d.Signatures) == 0 {
			w.t.Fatalf("%v\n%s", err, document)
		}
		return d, d.Signatures[0]
	}
	d, s := open()
	outcomes := make([]xmldsig.Outcome, len(s.References))
	for i := range s.References {
		r := s.References[i]
		if r.Err != nil && r.Digest != 0 && len(r.Value) == 0 {
			r.Err = nil // only the digest is missing
		}
		found, err := d.Digest(context.Background(), s, []xmldsig.Reference{r})
		if err != nil {
			outcomes[i].Err = err
			continue
		}
		outcomes[i] = found[0]
	}
	for i, o := range slices.Backward(outcomes) {
		if o.Err != nil {
			continue
		}
		e := s.References[i].Element.Child(dsig, "DigestValue")
		at := s.Start - s.Element.Start
		value := "<ds:DigestValue>" + base64.StdEncoding.EncodeToString(o.Digest) + "</ds:DigestValue>"
		document = document[:at+e.Start] + value + document[at+e.End:]
	}
	_, s = open()
	info, err := s.SignedInfo()
	if err != nil {
		return document // there is nothing to sign
	}
	sum := sha256.Sum256(info)
	key := w.r.signer.key.(*ecdsa.PrivateKey)
	der, err := key.Sign(rand.Reader, sum[:], crypto.SHA256)
	if err != nil {
		w.t.Fatal(err)
	}
	value, err := xmldsig.RawECDSA(key.Curve, der)
	if err != nil {
		w.t.Fatal(err)
	}
	return regexp.MustCompile(`(<ds:SignatureValue[^>]*>)[^<]*`).ReplaceAllString(document, "${1}"+base64.StdEncoding.EncodeToString(value))
}
