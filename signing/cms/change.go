package cms

import (
	"bytes"
	"slices"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"
)

// Formats of OtherRevocationInfoFormat (RFC 5940 2.1) and the type of a basic
// response (RFC 6960 4.2.1).
const (
	oidOCSPResponse      OID = "1.3.6.1.5.5.7.16.2"
	oidBasicOCSPResponse OID = "1.3.6.1.5.5.7.48.1.1"
)

// Attach makes a message that holds its content, which stays elsewhere and is
// written with Frame.
func (d *SignedData) Attach() { d.hasContent, d.src, d.parts = true, bytes.NewReader(nil), nil }

// Fields returns the fields of a signer before the unsigned attributes, as
// received: version, sid, digestAlgorithm, signedAttrs, signatureAlgorithm and
// signature, without anything around them.
func (si *SignerInfo) Fields() []byte { return si.fields }

// SignerInfo returns the signer around a signature value. signedAttributes is
// what SignedAttributes returned.
func (t *Template) SignerInfo(signedAttributes, signature []byte) (SignerInfo, error) {
	if len(signedAttributes) == 0 || signedAttributes[0] != byte(asn1.SET) {
		return SignerInfo{}, formatError("signed attributes are no SET")
	}
	attributes := bytes.Clone(signedAttributes)
	attributes[0] = byte(explicit(0))
	var b cryptobyte.Builder
	t.addSignerInfo(&b, attributes, signature)
	raw, err := b.Bytes()
	if err != nil {
		return SignerInfo{}, err
	}
	in := cryptobyte.String(raw)
	return parseSignerInfo(&in)
}

// DER returns the encoding of a signer.
func (si *SignerInfo) DER() ([]byte, error) {
	var b cryptobyte.Builder
	si.add(&b)
	return b.Bytes()
}

// ParseSignerInfo reads a signer that fills raw, such as the value of a
// countersignature attribute.
func ParseSignerInfo(raw []byte) (SignerInfo, error) {
	in := cryptobyte.String(raw)
	si, err := parseSignerInfo(&in)
	if err == nil && !in.Empty() {
		err = formatError("bytes behind SignerInfo")
	}
	return si, err
}

// AddSigner adds a signer beside those that are there, whose bytes stay as they
// are. The set is put into DER order.
func (d *SignedData) AddSigner(si SignerInfo) error {
	if len(d.SignerInfos) == maxSigners {
		return limitError("signerInfos")
	}
	d.SignerInfos = append(d.SignerInfos, si)
	encoded := func(si SignerInfo) []byte {
		raw, _ := si.DER() // an error comes up again when the message is written
		return raw
	}
	slices.SortStableFunc(d.SignerInfos, func(a, b SignerInfo) int { return bytes.Compare(encoded(a), encoded(b)) })
	if !slices.ContainsFunc(d.DigestAlgorithms, func(a AlgorithmIdentifier) bool {
		return a.Algorithm == si.DigestAlgorithm.Algorithm
	}) {
		d.DigestAlgorithms = append(d.DigestAlgorithms, si.DigestAlgorithm)
	}
	d.raiseVersion()
	return nil
}

// AddCertificates adds certificates that are not there yet, in DER order.
func (d *SignedData) AddCertificates(all ...[]byte) error {
	merged, err := merge(d.Certificates, all, maxCertificates)
	if err != nil {
		return err
	}
	d.Certificates, d.hasCertificates = merged, d.hasCertificates || len(merged) > 0
	d.raiseVersion()
	return nil
}

// AddRevocation adds CRLs and OCSP responses that are not there yet to crls, in
// DER order. An OCSP response is wrapped as RFC 5940 says.
func (d *SignedData) AddRevocation(crls, ocsps [][]byte) error {
	all := slices.Clone(crls)
	for _, raw := range ocsps {
		var b cryptobyte.Builder
		b.AddASN1(explicit(1), func(b *cryptobyte.Builder) {
			addOID(b, oidOCSPResponse)
			b.AddBytes(raw)
		})
		wrapped, err := b.Bytes()
		if err != nil {
			return err
		}
		all = append(all, wrapped)
	}
	merged, err := merge(d.CRLs, all, maxRevocations)
	if err != nil {
		return err
	}
	d.CRLs, d.hasCRLs = merged, d.hasCRLs || len(merged) > 0
	d.raiseVersion()
	return nil
}

func merge(have, more [][]byte, most int) ([][]byte, error) {
	all := slices.Clone(have)
	for _, raw := range more {
		if !slices.ContainsFunc(all, func(o []byte) bool { return bytes.Equal(o, raw) }) {
			all = append(all, raw)
		}
	}
	if len(all) == len(have) {
		return have, nil
	}
	if len(all) > most {
		return nil, limitError("certificates or crls")
	}
	slices.SortFunc(all, bytes.Compare)
	return all, nil
}

// raiseVersion sets the version that the parts demand (RFC 5652 5.1); a message
// keeps a higher one.
func (d *SignedData) raiseVersion() {
	version := int64(1)
	if d.ContentType != OIDData || slices.ContainsFunc(d.SignerInfos, func(si SignerInfo) bool { return si.Version == 3 }) {
		version = 3
	}
	for _, c := range d.Certificates {
		switch {
		case c[0] == byte(explicit(3)):
			version = 5
		case c[0] == byte(explicit(2)):
			version = max(version, 4)
		case c[0] == byte(explicit(1)):
			version = max(version, 3)
		}
	}
	for _, c := range d.CRLs {
		if c[0] == byte(explicit(1)) {
			version = 5
		}
	}
	d.Version = max(d.Version, version)
}

// RevocationInfo sorts elements of crls into CRLs and OCSP responses (RFC 5940).
// A bare BasicOCSPResponse is wrapped into a response; other kinds are left out.
func RevocationInfo(elements [][]byte) (crls, ocsps [][]byte) {
	for _, raw := range elements {
		in := cryptobyte.String(raw)
		var body, response cryptobyte.String
		var format OID
		switch {
		case in.PeekASN1Tag(asn1.SEQUENCE):
			crls = append(crls, raw)
		case in.ReadASN1(&body, explicit(1)) && ReadOID(&body, &format) && body.ReadASN1Element(&response, asn1.SEQUENCE):
			switch format {
			case oidOCSPResponse:
				ocsps = append(ocsps, response)
			case oidBasicOCSPResponse:
				ocsps = append(ocsps, WrapBasicOCSP(response))
			}
		}
	}
	return crls, ocsps
}

// WrapBasicOCSP makes an OCSPResponse of a BasicOCSPResponse (RFC 6960 4.2.1).
func WrapBasicOCSP(basic []byte) []byte {
	var b cryptobyte.Builder
	b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1Enum(0)
		b.AddASN1(explicit(0), func(b *cryptobyte.Builder) {
			b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
				addOID(b, oidBasicOCSPResponse)
				b.AddASN1OctetString(basic)
			})
		})
	})
	return b.BytesOrPanic()
}

// SetSigner replaces a signer whose unsigned attributes have changed, and keeps
// the DER order.
func (d *SignedData) SetSigner(i int, si SignerInfo) error {
	all := d.SignerInfos
	d.SignerInfos = slices.Delete(slices.Clone(all), i, i+1)
	return d.AddSigner(si)
}

// WithoutContent returns the DER of the message as if it were detached.
func (d *SignedData) WithoutContent() ([]byte, error) {
	bare := *d
	bare.hasContent, bare.Content = false, nil
	return bare.Append(nil)
}
