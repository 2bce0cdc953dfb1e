package cms

import (
	"io"
	"math/big"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"
)

// SignedData is a parsed message. Raw elements are as received.
type SignedData struct {
	Version          int64
	DigestAlgorithms []AlgorithmIdentifier
	ContentType      OID
	// Content is the encapsulated content of a message that Parse read; nil when the
	// signature is detached, or when Open left the content where it is.
	Content      []byte
	Certificates [][]byte // raw Certificate, or another choice of CertificateSet
	CRLs         [][]byte // raw CertificateList or OtherRevocationInfo
	SignerInfos  []SignerInfo
	// Indefinite tells that an outer length was indefinite, so that the message
	// is BER but not DER.
	Indefinite bool

	hasContent, hasCertificates, hasCRLs bool
	// src and parts say where Open found the content.
	src   io.ReaderAt
	parts []part
}

// SignerInfo is one signer (RFC 5652 5.3).
type SignerInfo struct {
	Version int64
	// Issuer (raw Name) and Serial, or SubjectKeyID, name the certificate.
	Issuer             []byte
	Serial             *big.Int
	SubjectKeyID       []byte
	DigestAlgorithm    AlgorithmIdentifier
	SignedAttributes   []Attribute // nil when there are none
	SignatureAlgorithm AlgorithmIdentifier
	Signature          []byte
	UnsignedAttributes []Attribute

	signed, unsigned []byte // raw elements with their context tags
	// fields is everything before the unsigned attributes, as received.
	fields []byte
}

// Attribute is an attribute with its raw values.
type Attribute struct {
	Type   OID
	Values [][]byte
}

// Detached tells whether the content is elsewhere.
func (d *SignedData) Detached() bool { return !d.hasContent }

// Parse reads a ContentInfo with SignedData that fills b to the last byte.
// Errors match ErrFormat or ErrLimit.
func Parse(b []byte) (*SignedData, error) {
	d, padding, err := parse(b)
	if err == nil && padding != 0 {
		err = formatError("bytes behind the message")
	}
	if err != nil {
		return nil, err
	}
	return d, nil
}

// ParsePadded reads a message that is followed by zero bytes, as in the
// /Contents of a PDF signature, and returns how many there are.
func ParsePadded(b []byte) (d *SignedData, padding int, err error) {
	s := cryptobyte.String(b)
	if len(b) < 2 || b[1] == 0x80 {
		return parse(b)
	}
	var message cryptobyte.String
	if !s.ReadASN1Element(&message, asn1.SEQUENCE) {
		return nil, 0, formatError("no ContentInfo")
	}
	if !allZero(s) {
		return nil, 0, formatError("bytes behind the message")
	}
	d, _, err = parse(message)
	return d, len(s), err
}

// parse reads a message; padding counts zero bytes behind it, which only an
// indefinite outer length leaves possible.
func parse(b []byte) (d *SignedData, padding int, err error) {
	if len(b) > maxMessage {
		return nil, 0, limitError("message size")
	}
	d = new(SignedData)
	body, open, err := d.outer(b)
	if err != nil {
		return nil, 0, err
	}
	rest, err := d.parseBody(body)
	if err != nil {
		return nil, 0, err
	}
	if !allZero(rest) || len(rest) < 2*open || open == 0 && len(rest) > 0 {
		return nil, 0, formatError("bytes behind the signers")
	}
	return d, len(rest) - 2*open, nil
}

// outer takes off ContentInfo, its [0] and the SEQUENCE of SignedData, each of
// which may have an indefinite length. It returns how many end-of-contents
// octet pairs must follow the body.
func (d *SignedData) outer(b []byte) (body cryptobyte.String, open int, err error) {
	s := cryptobyte.String(b)
	enter := func(tag asn1.Tag) bool {
		if len(s) >= 2 && s[0] == byte(tag) && s[1] == 0x80 {
			s = s[2:]
			open++
			d.Indefinite = true
			return true
		}
		// A definite length reaches to the end of what is around it, or to the
		// end-of-contents octets of that.
		var content cryptobyte.String
		if !s.ReadASN1(&content, tag) || len(s) != 2*open || !allZero(s) {
			return false
		}
		s, open = content, 0
		return true
	}
	var oid OID
	if !enter(asn1.SEQUENCE) || !ReadOID(&s, &oid) {
		return nil, 0, formatError("no ContentInfo")
	}
	if oid != OIDSignedData {
		return nil, 0, formatError("content type is not SignedData")
	}
	if !enter(explicit(0)) || !enter(asn1.SEQUENCE) {
		return nil, 0, formatError("no SignedData")
	}
	return s, open, nil
}

func allZero(b []byte) bool {
	for _, c := range b {
		if c != 0 {
			return false
		}
	}
	return true
}

func (d *SignedData) parseBody(s cryptobyte.String) (rest cryptobyte.String, err error) {
	var algorithms, content cryptobyte.String
	if !s.ReadASN1Integer(&d.Version) || !s.ReadASN1(&algorithms, asn1.SET) || !d.take(&s, &content, asn1.SEQUENCE) {
		return nil, formatError("SignedData")
	}
	if err := d.readAlgorithms(algorithms); err != nil {
		return nil, err
	}
	if err := d.parseContent(content); err != nil {
		return nil, err
	}
	return d.parseSets(s)
}

func (d *SignedData) readAlgorithms(set cryptobyte.String) error {
	for !set.Empty() {
		a, ok := readAlgorithm(&set)
		if !ok {
			return formatError("digestAlgorithms")
		}
		if len(d.DigestAlgorithms) == maxAlgorithms {
			return limitError("digestAlgorithms")
		}
		d.DigestAlgorithms = append(d.DigestAlgorithms, a)
	}
	return nil
}

// parseSets reads what follows the content.
func (d *SignedData) parseSets(s cryptobyte.String) (rest cryptobyte.String, err error) {
	var signers cryptobyte.String
	if d.Certificates, d.hasCertificates, err = d.elements(&s, explicit(0), maxCertificates, maxCertificate); err != nil {
		return nil, err
	}
	if d.CRLs, d.hasCRLs, err = d.elements(&s, explicit(1), maxRevocations, maxMessage); err != nil {
		return nil, err
	}
	if !d.take(&s, &signers, asn1.SET) {
		return nil, formatError("signerInfos")
	}
	for !signers.Empty() {
		if len(d.SignerInfos) == maxSigners {
			return nil, limitError("signerInfos")
		}
		si, err := parseSignerInfo(&signers)
		if err != nil {
			return nil, err
		}
		d.SignerInfos = append(d.SignerInfos, si)
	}
	return s, nil
}

func (d *SignedData) parseContent(s cryptobyte.String) error {
	var wrapped cryptobyte.String
	if !ReadOID(&s, &d.ContentType) {
		return formatError("encapContentInfo")
	}
	if s.Empty() {
		return nil
	}
	d.hasContent = true
	if !d.take(&s, &wrapped, explicit(0)) || !s.Empty() {
		return formatError("encapContentInfo")
	}
	var content cryptobyte.String
	if !wrapped.ReadASN1(&content, asn1.OCTET_STRING) || !wrapped.Empty() {
		return formatError("eContent")
	}
	d.Content = content
	return nil
}

// take reads an element that may have an indefinite length, whose content then
// has none.
func (d *SignedData) take(s, content *cryptobyte.String, tag asn1.Tag) bool {
	if len(*s) < 2 || (*s)[0] != byte(tag) || (*s)[1] != 0x80 {
		return s.ReadASN1(content, tag)
	}
	d.Indefinite = true
	body := (*s)[2:]
	rest := body
	for len(rest) >= 2 && (rest[0] != 0 || rest[1] != 0) {
		var element cryptobyte.String
		var inner asn1.Tag
		if !rest.ReadAnyASN1Element(&element, &inner) {
			return false
		}
	}
	if len(rest) < 2 {
		return false
	}
	*content = body[:len(body)-len(rest)]
	*s = rest[2:]
	return true
}

// elements reads an optional set of opaque elements.
func (d *SignedData) elements(s *cryptobyte.String, tag asn1.Tag, most, size int) (all [][]byte, has bool, err error) {
	var set cryptobyte.String
	if len(*s) == 0 || (*s)[0] != byte(tag) {
		return nil, false, nil
	}
	if !d.take(s, &set, tag) {
		return nil, false, formatError("certificates or crls")
	}
	has = true
	for !set.Empty() {
		var raw cryptobyte.String
		var inner asn1.Tag
		if !set.ReadAnyASN1Element(&raw, &inner) {
			return nil, false, formatError("certificates or crls")
		}
		if len(all) == most || len(raw) > size {
			return nil, false, limitError("certificates or crls")
		}
		all = append(all, raw)
	}
	return all, has, nil
}

func parseSignerInfo(in *cryptobyte.String) (SignerInfo, error) {
	var si SignerInfo
	var s cryptobyte.String
	if !in.ReadASN1(&s, asn1.SEQUENCE) {
		return si, formatError("SignerInfo")
	}
	whole := s
	if !s.ReadASN1Integer(&si.Version) {
		return si, formatError("SignerInfo")
	}
	if err := si.parseIdentifier(&s); err != nil {
		return si, err
	}
	var ok bool
	var err error
	if si.DigestAlgorithm, ok = readAlgorithm(&s); !ok {
		return si, formatError("digestAlgorithm")
	}
	if si.SignedAttributes, si.signed, err = parseAttributes(&s, explicit(0)); err != nil {
		return si, err
	}
	if si.SignatureAlgorithm, ok = readAlgorithm(&s); !ok {
		return si, formatError("signatureAlgorithm")
	}
	var signature cryptobyte.String
	if !s.ReadASN1(&signature, asn1.OCTET_STRING) {
		return si, formatError("signature value")
	}
	si.Signature = signature
	si.fields = whole[:len(whole)-len(s)]
	if si.UnsignedAttributes, si.unsigned, err = parseAttributes(&s, explicit(1)); err != nil {
		return si, err
	}
	if !s.Empty() {
		return si, formatError("trailing bytes in SignerInfo")
	}
	return si, nil
}

func (si *SignerInfo) parseIdentifier(s *cryptobyte.String) error {
	keyID := asn1.Tag(0).ContextSpecific()
	if s.PeekASN1Tag(keyID) {
		var id cryptobyte.String
		if !s.ReadASN1(&id, keyID) {
			return formatError("subjectKeyIdentifier")
		}
		si.SubjectKeyID = append([]byte{}, id...)
		return nil
	}
	var sid, issuer cryptobyte.String
	si.Serial = new(big.Int)
	if !s.ReadASN1(&sid, asn1.SEQUENCE) || !sid.ReadASN1Element(&issuer, asn1.SEQUENCE) ||
		!sid.ReadASN1Integer(si.Serial) || !sid.Empty() {
		return formatError("issuerAndSerialNumber")
	}
	si.Issuer = issuer
	return nil
}

func parseAttributes(s *cryptobyte.String, tag asn1.Tag) (attributes []Attribute, raw []byte, err error) {
	if !s.PeekASN1Tag(tag) {
		return nil, nil, nil
	}
	var element cryptobyte.String
	if !s.ReadASN1Element(&element, tag) {
		return nil, nil, formatError("attributes")
	}
	raw = element
	var set cryptobyte.String
	if !element.ReadASN1(&set, tag) {
		return nil, nil, formatError("attributes")
	}
	attributes = []Attribute{}
	for !set.Empty() {
		var seq, values cryptobyte.String
		var a Attribute
		if !set.ReadASN1(&seq, asn1.SEQUENCE) || !ReadOID(&seq, &a.Type) ||
			!seq.ReadASN1(&values, asn1.SET) || !seq.Empty() {
			return nil, nil, formatError("attribute")
		}
		for !values.Empty() {
			var value cryptobyte.String
			var inner asn1.Tag
			if !values.ReadAnyASN1Element(&value, &inner) {
				return nil, nil, formatError("attribute value")
			}
			if len(a.Values) == maxValues {
				return nil, nil, limitError("attribute values")
			}
			a.Values = append(a.Values, value)
		}
		if len(attributes) == maxAttributes {
			return nil, nil, limitError("attributes")
		}
		attributes = append(attributes, a)
	}
	return attributes, raw, nil
}
